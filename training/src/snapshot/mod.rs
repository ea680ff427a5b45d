//! All of a run's state on disk.

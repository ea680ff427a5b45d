//! Pictures → augmented batches, in worker threads.

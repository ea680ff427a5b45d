//! Numbers of a step for people: progress bar, CSV, TensorBoard.

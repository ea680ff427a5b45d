//! Gradients → parameters.

//! Configuration → a trained checkpoint.

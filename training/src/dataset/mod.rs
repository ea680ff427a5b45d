//! Folders and archives of labelled pictures.

mod archive;

pub use archive::Archive;

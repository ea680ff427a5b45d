//! Folders and archives of labelled pictures.

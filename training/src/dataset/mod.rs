//! Folders and archives of labelled pictures.
//!
//! [`Archive`] reads files wherever they lie, [`Dataset`] knows which class each picture of a source has,
//! [`Mixture`] joins several, and [`Order`] says which picture comes when in training.

mod archive;
mod classes;
#[cfg(test)]
pub(crate) mod fixture;
mod labelled;
mod layout;
mod mixture;
mod order;

pub use archive::Archive;
pub use classes::{ClassMap, Selection, read_class_list, read_subsets};
pub use labelled::{Dataset, Sample, Split};
pub use mixture::{Mixture, Source, SourceOptions};
pub use order::{Order, Place};

//! Masks → findings → metadata, messages and overlays.

mod composition;
pub mod finding;
pub mod message;
pub mod meta;
pub mod outlet;

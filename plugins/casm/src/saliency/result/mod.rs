//! Masks → findings → metadata, messages and overlays.

pub mod boxes;
mod composition;
pub mod finding;
pub mod message;
pub mod meta;
pub mod outlet;

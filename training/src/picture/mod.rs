//! Picture files → upright RGB → square network input.

mod decode;
mod resize;

pub use decode::decode;
pub use resize::{Region, crop, resize, stretch};

//! Picture files → upright RGB → square network input.

mod decode;
mod resize;

pub use decode::decode;
pub use resize::{Region, crop, resize, stretch};

/// File name endings of pictures, in lower case.
pub const ENDINGS: [&str; 4] = ["jpg", "jpeg", "png", "webp"];

/// Whether a file is a picture, by its name.
pub fn has_ending(name: &str) -> bool {
    let ending = name.rsplit_once('.').map_or("", |(_, ending)| ending);
    ENDINGS
        .iter()
        .any(|known| ending.eq_ignore_ascii_case(known))
}

//! Which part of its picture an input shows.

use crate::dataset::Place;
use crate::picture::Region;

/// A part of a picture, in shares of its width and height.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct View {
    /// Left edge, 0 to 1.
    pub left: f32,
    /// Top edge, 0 to 1.
    pub top: f32,
    /// Width, above 0 to 1.
    pub width: f32,
    /// Height, above 0 to 1.
    pub height: f32,
    /// Whether left and right are exchanged.
    pub mirrored: bool,
}

/// Where an input comes from.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Origin {
    /// The picture.
    pub picture: Place,
    /// What is shown of it.
    pub view: View,
}

impl View {
    /// All of the picture.
    pub const WHOLE: View = View {
        left: 0.0,
        top: 0.0,
        width: 1.0,
        height: 1.0,
        mirrored: false,
    };

    /// `region` of a picture of `(width, height)` pixels.
    pub fn new(region: Region, (width, height): (u32, u32), mirrored: bool) -> View {
        let share = |part: u32, whole: u32| part as f32 / whole.max(1) as f32;
        View {
            left: share(region.x, width),
            top: share(region.y, height),
            width: share(region.width, width),
            height: share(region.height, height),
            mirrored,
        }
    }

    /// The central `size` × `size` pixels of a picture that was resized to `(width, height)`.
    pub fn central(size: u32, (width, height): (u32, u32)) -> View {
        let share = |whole: u32| (size as f32 / whole.max(1) as f32).min(1.0);
        View {
            left: (1.0 - share(width)) / 2.0,
            top: (1.0 - share(height)) / 2.0,
            width: share(width),
            height: share(height),
            mirrored: false,
        }
    }
}

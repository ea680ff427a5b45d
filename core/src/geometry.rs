//! How a frame is laid onto the network's square input, and how boxes come back.

use serde::{Deserialize, Serialize};

use crate::mask::BoundingBox;

/// How a frame becomes square.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Resize {
    /// The whole frame, aspect ratio not kept: the paper's second method.
    #[default]
    Stretch,
    /// Short side to the input size, then the centre: the paper's first method.
    Crop,
}

/// The mapping between a frame and the network's input.
///
/// The frame is resized to `resized`, and the input is the square of `input_size` pixels at
/// `offset` in that.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Geometry {
    /// How.
    pub resize: Resize,
    /// Frame width in pixels.
    pub frame_width: u32,
    /// Frame height in pixels.
    pub frame_height: u32,
    /// Side of the network's input.
    pub input_size: u32,
    /// Size of the whole frame after resizing: (width, height).
    pub resized: (u32, u32),
    /// Left and top of the crop inside the resized frame.
    pub offset: (u32, u32),
}

impl Geometry {
    /// Geometry of a frame. Sizes of 0 count as 1.
    pub fn new(resize: Resize, frame_width: u32, frame_height: u32, input_size: u32) -> Geometry {
        let (frame_width, frame_height) = (frame_width.max(1), frame_height.max(1));
        let input_size = input_size.max(1);
        let resized = match resize {
            Resize::Stretch => (input_size, input_size),
            Resize::Crop => {
                let short = u64::from(frame_width.min(frame_height));
                // The long side is truncated, not rounded, as the authors' transforms do.
                let side = |side: u32| {
                    let resized = u64::from(input_size) * u64::from(side) / short;
                    u32::try_from(resized).unwrap_or(u32::MAX)
                };
                (side(frame_width), side(frame_height))
            }
        };
        let offset = (
            half_to_even(resized.0.saturating_sub(input_size)),
            half_to_even(resized.1.saturating_sub(input_size)),
        );
        Geometry {
            resize,
            frame_width,
            frame_height,
            input_size,
            resized,
            offset,
        }
    }

    /// A box in pixels of a mask of `mask_width` x `mask_height` that covers the network's input →
    /// the box in frame pixels, rounded to the nearest pixel, clipped to the frame, never empty.
    pub fn box_to_frame(
        &self,
        bounding_box: BoundingBox,
        mask_width: usize,
        mask_height: usize,
    ) -> BoundingBox {
        let [columns, rows] = self.axes();
        let (x, width) = columns.to_frame(bounding_box.x, bounding_box.width, mask_width);
        let (y, height) = rows.to_frame(bounding_box.y, bounding_box.height, mask_height);
        BoundingBox {
            x,
            y,
            width,
            height,
        }
    }

    /// The part of the frame that the network sees: all of it, or the centre if it is cropped.
    pub fn seen_area(&self) -> BoundingBox {
        self.box_to_frame(
            BoundingBox {
                x: 0,
                y: 0,
                width: 1,
                height: 1,
            },
            1,
            1,
        )
    }

    /// A point of the frame → the same point of the network's input, both in pixels from the top
    /// left corner (so that the centre of the first pixel is 0.5, 0.5). Outside of the input the
    /// result is below 0 or above `input_size`.
    pub fn point_to_input(&self, x: f64, y: f64) -> (f64, f64) {
        let [columns, rows] = self.axes();
        (columns.to_input(x), rows.to_input(y))
    }

    /// Columns and rows, which follow the same rule.
    fn axes(&self) -> [Axis; 2] {
        let input = self.input_size;
        [
            Axis {
                frame: self.frame_width,
                resized: self.resized.0,
                offset: self.offset.0,
                input,
            },
            Axis {
                frame: self.frame_height,
                resized: self.resized.1,
                offset: self.offset.1,
                input,
            },
        ]
    }
}

/// One direction of a [`Geometry`].
struct Axis {
    frame: u32,
    resized: u32,
    offset: u32,
    input: u32,
}

impl Axis {
    /// An interval in pixels of a mask of `mask_size` over the input → start and length in the frame.
    fn to_frame(&self, start: u32, length: u32, mask_size: usize) -> (u32, u32) {
        // frame position of mask edge e = (e * input / mask + offset) * frame / resized. Kept as a
        // fraction of whole numbers, so that the nearest pixel does not hang on a float's last bit.
        let mask = mask_size.max(1) as u128;
        let denominator = mask * u128::from(self.resized.max(1));
        let numerator = |edge: u64| {
            let in_mask =
                u128::from(edge) * u128::from(self.input) + u128::from(self.offset) * mask;
            in_mask * u128::from(self.frame)
        };
        let (first, last) = (u64::from(start), u64::from(start) + u64::from(length));
        let nearest = |edge| (2 * numerator(edge) + denominator) / (2 * denominator);
        let frame = self.frame.max(1);
        let clip = |pixel: u128, limit: u32| pixel.min(u128::from(limit)) as u32;
        let (left, right) = (clip(nearest(first), frame), clip(nearest(last), frame));
        if left < right {
            return (left, right - left);
        }
        // Narrower than a pixel: the one that holds its centre.
        let centre = (numerator(first) + numerator(last)) / (2 * denominator);
        (clip(centre, frame - 1), 1)
    }

    fn to_input(&self, position: f64) -> f64 {
        let scale = f64::from(self.resized) / f64::from(self.frame.max(1));
        position * scale - f64::from(self.offset)
    }
}

/// Half of `value`, a half rounded to the even neighbour: Python's `round`, by which the authors'
/// transforms place the crop.
fn half_to_even(value: u32) -> u32 {
    let half = value / 2;
    half + (value & half & 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pixels(x: u32, y: u32, width: u32, height: u32) -> BoundingBox {
        BoundingBox {
            x,
            y,
            width,
            height,
        }
    }

    #[test]
    fn crop_follows_the_authors_rounding() {
        // From resize_geometry.json, which the authors' transforms made.
        let geometry = |width, height, size| {
            let geometry = Geometry::new(Resize::Crop, width, height, size);
            (geometry.resized, geometry.offset)
        };
        assert_eq!(geometry(195, 195, 224), ((224, 224), (0, 0)));
        // 239 - 224 = 15 → 7.5 → 8; 253 - 224 = 29 → 14.5 → 14.
        assert_eq!(geometry(557, 522, 224), ((239, 224), (8, 0)));
        assert_eq!(geometry(1392, 1229, 224), ((253, 224), (14, 0)));
        assert_eq!(geometry(231, 939, 224), ((224, 910), (0, 343)));
    }

    #[test]
    fn a_box_is_stretched_back_with_its_frame() {
        // 1920 / 224 = 8.571, 1080 / 224 = 4.821: 10 → 85.7, 30 → 257.1; 20 → 96.4, 60 → 289.3.
        let geometry = Geometry::new(Resize::Stretch, 1920, 1080, 224);
        assert_eq!(
            geometry.box_to_frame(pixels(10, 20, 20, 40), 224, 224),
            pixels(86, 96, 171, 193)
        );
        // The same box of a mask at a quarter of the size gives the box four times as large.
        assert_eq!(
            geometry.box_to_frame(pixels(0, 0, 56, 56), 56, 56),
            pixels(0, 0, 1920, 1080)
        );
    }

    #[test]
    fn a_box_of_a_cropped_frame_is_moved_by_the_crop() {
        // 448x224 → resized to itself, crop at (448 - 224) / 2 = 112.
        let geometry = Geometry::new(Resize::Crop, 448, 224, 224);
        assert_eq!(
            geometry.box_to_frame(pixels(0, 0, 10, 20), 224, 224),
            pixels(112, 0, 10, 20)
        );
        assert_eq!(geometry.seen_area(), pixels(112, 0, 224, 224));
    }

    #[test]
    fn a_box_is_never_empty_and_never_outside() {
        for resize in [Resize::Stretch, Resize::Crop] {
            for (width, height) in [
                (1, 1),
                (3, 1),
                (17, 33),
                (16384, 1),
                (1, 16384),
                (16384, 16384),
            ] {
                let geometry = Geometry::new(resize, width, height, 224);
                for (start, length) in [
                    (0, 1),
                    (100, 0),
                    (223, 1),
                    (0, 224),
                    (500, 9),
                    (u32::MAX, u32::MAX),
                ] {
                    let found =
                        geometry.box_to_frame(pixels(start, start, length, length), 224, 224);
                    assert!(
                        found.width >= 1 && found.height >= 1,
                        "{geometry:?} {found:?}"
                    );
                    assert!(found.x + found.width <= width, "{geometry:?} {found:?}");
                    assert!(found.y + found.height <= height, "{geometry:?} {found:?}");
                }
            }
        }
    }

    #[test]
    fn points_and_boxes_agree() {
        let geometry = Geometry::new(Resize::Crop, 640, 480, 224);
        // resized 298x224, offset 37: left edge 37 * 640 / 298 = 79.46.
        let (x, y) = geometry.point_to_input(37.0 * 640.0 / 298.0, 480.0);
        assert!(x.abs() < 1e-9 && (y - 224.0).abs() < 1e-9, "{x} {y}");
        assert_eq!(geometry.seen_area().x, 79);
    }
}

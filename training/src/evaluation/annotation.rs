//! Ground-truth boxes: from the original picture into the network's input, as the released code
//! carries them over.

use casm::geometry::Resize;
use casm::mask::BoundingBox;
use serde::{Deserialize, Serialize};

/// A ground-truth box by two of its corners, in whole pixels: of the original picture as annotated,
/// or of the network's input after [`to_input`](Annotation::to_input), where a corner may be negative
/// or lie beyond the input.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Annotation {
    /// Left edge.
    pub xmin: i32,
    /// Upper edge.
    pub ymin: i32,
    /// Right edge; the pixels of the box lie left of it.
    pub xmax: i32,
    /// Lower edge; the pixels of the box lie above it.
    pub ymax: i32,
}

impl Annotation {
    /// The box in a square input of `size` x `size` pixels onto which the original picture of `width`
    /// x `height` pixels is laid by `resize`.
    ///
    /// Edges are cut toward zero, not rounded, and not clipped. The scale is exact, so they can be a
    /// pixel off the resized picture, whose sides are whole.
    pub fn to_input(self, resize: Resize, width: u32, height: u32, size: u32) -> Annotation {
        self.to_input_of_stored(resize, (width, height), (width, height), size)
    }

    /// The same where the picture is stored in another size, `stored`, than it was annotated in,
    /// `original` (width, height), be the aspect ratio kept or not: it is the stored picture that is
    /// laid onto the input.
    pub fn to_input_of_stored(
        self,
        resize: Resize,
        original: (u32, u32),
        stored: (u32, u32),
        size: u32,
    ) -> Annotation {
        let short = f64::from(stored.0.min(stored.1));
        let size = f64::from(size);
        // Pixels per original pixel along one side, and how many the crop takes off before the first.
        let along = |original: u32, stored: u32| {
            let (original, stored) = (f64::from(original), f64::from(stored));
            match resize {
                Resize::Crop if stored > short => {
                    let scale = size / short;
                    (scale * (stored / original), (stored * scale - size) / 2.0)
                }
                // Nothing is taken off; computed, it might miss 0 by a rounding and an edge by a pixel.
                Resize::Crop | Resize::Stretch => (size / original, 0.0),
            }
        };
        let (scale_x, left) = along(original.0, stored.0);
        let (scale_y, top) = along(original.1, stored.1);
        let x = |edge: i32| (f64::from(edge) * scale_x - left) as i32;
        let y = |edge: i32| (f64::from(edge) * scale_y - top) as i32;
        Annotation {
            xmin: x(self.xmin),
            ymin: y(self.ymin),
            xmax: x(self.xmax),
            ymax: y(self.ymax),
        }
    }

    /// The part inside an input of `size` x `size` pixels as an annotation of its own, whose area counts
    /// no more than that; without area if nothing is inside.
    pub fn clipped(self, size: u32) -> Annotation {
        let limit = i32::try_from(size).unwrap_or(i32::MAX);
        let clip = |edge: i32| edge.clamp(0, limit);
        Annotation {
            xmin: clip(self.xmin),
            ymin: clip(self.ymin),
            xmax: clip(self.xmax),
            ymax: clip(self.ymax),
        }
    }

    /// Number of pixels, also of those beyond the input: to find only the visible part of an object
    /// counts as finding a part.
    pub fn area(&self) -> i64 {
        let (width, height) = (
            i64::from(self.xmax) - i64::from(self.xmin),
            i64::from(self.ymax) - i64::from(self.ymin),
        );
        width * height
    }

    /// The part inside an input of `width` x `height` pixels; `None` if there is none.
    pub fn visible(&self, width: usize, height: usize) -> Option<BoundingBox> {
        let (x, visible_width) = visible_span(self.xmin, self.xmax, width)?;
        let (y, visible_height) = visible_span(self.ymin, self.ymax, height)?;
        Some(BoundingBox {
            x,
            y,
            width: visible_width,
            height: visible_height,
        })
    }
}

/// Start and length of the part of `low .. high` within `0 .. length`, unless it is empty.
fn visible_span(low: i32, high: i32, length: usize) -> Option<(u32, u32)> {
    let end = u32::try_from(high)
        .ok()?
        .min(u32::try_from(length).unwrap_or(u32::MAX));
    let start = u32::try_from(low).unwrap_or(0);
    (start < end).then(|| (start, end - start))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn annotation([xmin, ymin, xmax, ymax]: [i32; 4]) -> Annotation {
        Annotation {
            xmin,
            ymin,
            xmax,
            ymax,
        }
    }

    /// By hand: stretched, columns are halved; cropped, 112 columns go on each side.
    #[test]
    fn both_ways_of_resizing_carry_the_box_over() {
        let raw = annotation([101, 20, 301, 220]);
        assert_eq!(
            raw.to_input(Resize::Stretch, 448, 224, 224),
            annotation([50, 20, 150, 220])
        );
        assert_eq!(
            raw.to_input(Resize::Crop, 448, 224, 224),
            annotation([-11, 20, 189, 220])
        );
    }

    /// By hand: 800 x 400 annotated, 200 x 100 stored, scale ¼ both ways, then as 200 x 100 → 224: 2.24
    /// pixels each, (448 - 224) / 2 = 112 columns cut off. Stored as a square, nothing is.
    #[test]
    fn boxes_follow_a_picture_that_is_stored_in_another_size() {
        let raw = annotation([410, 40, 610, 210]);
        assert_eq!(
            raw.to_input_of_stored(Resize::Crop, (800, 400), (200, 100), 224),
            annotation([117, 22, 229, 117])
        );
        for resize in [Resize::Crop, Resize::Stretch] {
            assert_eq!(
                raw.to_input_of_stored(resize, (800, 400), (227, 227), 224),
                annotation([114, 22, 170, 117])
            );
        }
    }

    #[test]
    fn a_clipped_box_counts_what_is_visible() {
        let clipped = annotation([-10, 5, 300, 10]).clipped(224);
        assert_eq!(clipped, annotation([0, 5, 224, 10]));
        assert_eq!(annotation([230, 5, 300, 10]).clipped(224).area(), 0);
    }

    #[test]
    fn edges_are_cut_toward_zero_on_both_sides_of_it() {
        // By hand: scale ½, (337 - 224) / 2 = 56.5 columns cut off; -½ and ½ both become 0.
        let raw = annotation([112, 0, 114, 448]);
        assert_eq!(
            raw.to_input(Resize::Crop, 674, 448, 224),
            annotation([0, 0, 0, 224])
        );
    }

    #[test]
    fn the_area_counts_what_lies_beyond_the_input() {
        let wide = annotation([-10, 0, 300, 10]);
        assert_eq!(wide.area(), 3100);
        assert_eq!(
            wide.visible(224, 224),
            Some(BoundingBox {
                x: 0,
                y: 0,
                width: 224,
                height: 10
            })
        );
    }

    #[test]
    fn a_box_out_of_sight_or_turned_round_has_no_visible_part() {
        assert_eq!(annotation([-10, 0, 0, 10]).visible(224, 224), None);
        assert_eq!(annotation([224, 0, 300, 10]).visible(224, 224), None);
        assert_eq!(annotation([20, 0, 10, 10]).visible(224, 224), None);
    }
}

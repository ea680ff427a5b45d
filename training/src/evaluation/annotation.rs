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
        let (width, height, size) = (f64::from(width), f64::from(height), f64::from(size));
        let short = width.min(height);
        // Pixels per original pixel along one side, and how many the crop takes off before the first.
        let along = |side: f64| match resize {
            Resize::Crop if side > short => {
                let scale = size / short;
                (scale, (side * scale - size) / 2.0)
            }
            // Nothing is taken off; computed, it might miss 0 by a rounding and an edge by a pixel.
            Resize::Crop | Resize::Stretch => (size / side, 0.0),
        };
        let (scale_x, left) = along(width);
        let (scale_y, top) = along(height);
        let x = |edge: i32| (f64::from(edge) * scale_x - left) as i32;
        let y = |edge: i32| (f64::from(edge) * scale_y - top) as i32;
        Annotation {
            xmin: x(self.xmin),
            ymin: y(self.ymin),
            xmax: x(self.xmax),
            ymax: y(self.ymax),
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

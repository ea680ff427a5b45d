//! Box → the part of the picture that is looked at again.

use casm::mask::BoundingBox;

/// Smallest side of a close-up, in pixels of the mask: below it there is more blur than picture.
const SMALLEST: f64 = 4.0;

/// The box around `object`'s centre that is `factor` times as large in both directions, at least 4 pixels,
/// cut at the edges of a mask of `side` × `side` pixels. In whole pixels of the mask, so that the close-up's
/// mask fits back without a shift.
pub fn close_up(object: BoundingBox, factor: f64, side: u32) -> BoundingBox {
    let (x, width) = stretch(object.x, object.width, factor, side);
    let (y, height) = stretch(object.y, object.height, factor, side);
    BoundingBox {
        x,
        y,
        width,
        height,
    }
}

/// First pixel and length of the stretched interval.
fn stretch(start: u32, length: u32, factor: f64, side: u32) -> (u32, u32) {
    let center = f64::from(start) + f64::from(length) / 2.0;
    let half = (f64::from(length) * factor).max(SMALLEST) / 2.0;
    let first = (center - half).floor().clamp(0.0, f64::from(side));
    let end = (center + half).ceil().clamp(0.0, f64::from(side));
    (first as u32, (end - first) as u32)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn corner_box(x: u32, y: u32, width: u32, height: u32) -> BoundingBox {
        BoundingBox {
            x,
            y,
            width,
            height,
        }
    }

    #[test]
    fn a_box_grows_around_its_centre() {
        // 10 × 20 pixels around (15, 30): half sides 7.5 and 15 at factor 1.5.
        let object = corner_box(10, 20, 10, 20);
        assert_eq!(close_up(object, 1.5, 56), corner_box(7, 15, 16, 30));
    }

    #[test]
    fn it_ends_at_the_edges_and_is_never_tiny() {
        assert_eq!(
            close_up(corner_box(0, 46, 20, 10), 2.0, 56),
            corner_box(0, 41, 30, 15)
        );
        assert_eq!(
            close_up(corner_box(30, 30, 1, 1), 1.0, 56),
            corner_box(28, 28, 5, 5)
        );
        assert_eq!(
            close_up(corner_box(0, 0, 56, 56), 1.2, 56),
            corner_box(0, 0, 56, 56)
        );
    }
}

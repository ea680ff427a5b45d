//! A rectangle of a frame as a frame of its own; nothing is copied.

use super::{Frame, Plane};
use crate::mask::BoundingBox;

impl<'a> Frame<'a> {
    /// The part of the frame in `area`, in the same memory, and the area that it truly covers: clipped to the frame,
    /// and widened by up to a pixel on each side to whole chroma samples. `None` if `area` and frame share no pixel.
    pub fn part(&self, area: BoundingBox) -> Option<(Frame<'a>, BoundingBox)> {
        let whole = BoundingBox {
            x: 0,
            y: 0,
            width: self.width,
            height: self.height,
        };
        let inside = area.intersection(&whole)?;
        // In pixels of the frame; 1 where every pixel has its own colour, or rows do.
        let (across, down) = self.format.chroma_block();
        let (x, y) = (inside.x / across * across, inside.y / down * down);
        let end = |end: u32, block: u32, limit: u32| end.next_multiple_of(block).min(limit);
        let width = end(inside.right(), across, self.width) - x;
        let height = end(inside.bottom(), down, self.height) - y;
        let planes = std::array::from_fn(|index| {
            if index >= self.format.plane_count() {
                return Plane::default();
            }
            let Plane { data, stride } = self.planes[index];
            // A plane at full resolution, or one sample a block.
            let size = self.format.plane_size(index, self.width, self.height);
            let sample = |at: u32, samples: u32, pixels: u32, block: u32| {
                (if samples == pixels { at } else { at / block }) as usize
            };
            let column = sample(x, size.columns, self.width, across);
            let row = sample(y, size.rows, self.height, down);
            let from = row * stride + column * size.sample_bytes;
            Plane {
                data: &data[from..],
                stride,
            }
        });
        let part = Frame {
            format: self.format,
            width,
            height,
            color: self.color,
            planes,
        };
        let area = BoundingBox {
            x,
            y,
            width,
            height,
        };
        Some((part, area))
    }
}

#[cfg(test)]
mod tests {
    use super::super::{ColorSpace, PixelFormat, check_planes, picture::Picture};
    use super::*;
    use crate::geometry::{Geometry, Resize};
    use crate::input::InputBuilder;

    fn area(x: u32, y: u32, width: u32, height: u32) -> BoundingBox {
        BoundingBox {
            x,
            y,
            width,
            height,
        }
    }

    /// A colour that tells where it is, the same for each block of 2×2.
    fn colour(x: u32, y: u32) -> [u8; 3] {
        [(x / 2 * 9) as u8, (y / 2 * 11) as u8, 90]
    }

    #[test]
    fn a_part_is_seen_as_a_picture_of_that_part_alone() {
        let color = ColorSpace::default();
        for format in PixelFormat::ALL {
            for (asked, expected) in [
                (area(4, 6, 8, 10), area(4, 6, 8, 10)),
                // To the edge, where the last chroma sample covers one pixel.
                (area(6, 2, 900, 900), area(6, 2, 17, 15)),
            ] {
                let whole = Picture::new(format, (23, 17), color, colour);
                let (part, covered) = whole.frame().part(asked).expect("it is inside");
                assert_eq!(covered, expected, "{format}");
                let extents = (0..format.plane_count()).map(|index| {
                    let plane = part.plane(index);
                    (plane.data.len(), plane.stride)
                });
                let count = format.plane_count();
                assert!(
                    check_planes(format, part.width(), part.height(), count, extents).is_ok(),
                    "{format}: the planes are long enough"
                );
                let alone = Picture::new(format, (covered.width, covered.height), color, |x, y| {
                    colour(x + covered.x, y + covered.y)
                });
                let geometry = Geometry::new(Resize::Stretch, covered.width, covered.height, 16);
                let [mut seen, mut wanted] = [Vec::new(), Vec::new()];
                let mut input = InputBuilder::default();
                input.build(&part, &geometry, &mut seen).expect("a frame");
                input
                    .build(&alone.frame(), &geometry, &mut wanted)
                    .expect("a frame");
                assert_eq!(seen, wanted, "{format}");
            }
        }
    }

    #[test]
    fn areas_are_widened_to_whole_chroma_and_never_leave_the_frame() {
        let color = ColorSpace::default();
        let covered = |format, asked| {
            let picture = Picture::new(format, (23, 17), color, colour);
            picture.frame().part(asked).map(|(_, covered)| covered)
        };
        let odd = area(3, 5, 2, 2);
        assert_eq!(covered(PixelFormat::Rgb, odd), Some(odd));
        assert_eq!(covered(PixelFormat::Nv12, odd), Some(area(2, 4, 4, 4)));
        assert_eq!(covered(PixelFormat::Yuy2, odd), Some(area(2, 5, 4, 2)));
        let last = Some(area(22, 16, 1, 1));
        assert_eq!(covered(PixelFormat::I420, area(22, 16, 5, 5)), last);
        assert_eq!(covered(PixelFormat::I420, area(23, 0, 5, 5)), None);
        assert_eq!(covered(PixelFormat::I420, area(0, 0, 0, 5)), None);
        let enormous = area(1, 1, u32::MAX, u32::MAX);
        assert_eq!(
            covered(PixelFormat::Gray8, enormous),
            Some(area(1, 1, 22, 16))
        );
    }
}

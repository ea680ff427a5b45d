//! What was found in parts of a frame → one localization of the frame.

use std::cmp::Reverse;

use crate::mask::{BinaryMask, BoundingBox, Component};

use super::{Localization, Object};

/// Puts the parts' masks and objects where they belong in the frame; keeps its buffers from frame to frame.
///
/// The frame's mask is as large as one of a whole frame, so that who reads or draws it needs not know of parts: each
/// part covers the pixels of the mask that it touches, at least one, and where parts overlap the larger value stays. Outside
/// of all parts nothing is marked. Boxes keep the exactness of their part. As many objects come out as there are parts
/// with one: the largest of each.
#[derive(Debug, Default)]
pub struct Composition {
    /// Objects of earlier frames, for the memory that they hold.
    spare: Vec<Object>,
}

impl Composition {
    /// Begins anew: `localization` is one of a frame in which nothing is marked, with a mask of `side` x `side`.
    pub fn begin(&mut self, side: usize, localization: &mut Localization) {
        let mask = &mut localization.mask;
        (mask.width, mask.height) = (side, side);
        mask.values.clear();
        mask.values.resize(side * side, 0.0);
        localization.mask_mean = 0.0;
        localization.top_class = None;
        self.spare.append(&mut localization.objects);
    }

    /// Adds what was found in the part of the frame that `area` covers, number `region` of them; `frame` is the frame's
    /// width and height. An `area` outside of the frame adds nothing.
    pub fn add(
        &mut self,
        part: &Localization,
        area: BoundingBox,
        region: usize,
        frame: (u32, u32),
        localization: &mut Localization,
    ) {
        let mask = &mut localization.mask;
        let columns = Axis::new(area.x, area.width, frame.0, mask.width, part.mask.width);
        let rows = Axis::new(area.y, area.height, frame.1, mask.height, part.mask.height);
        let (Some(columns), Some(rows)) = (columns, rows) else {
            return;
        };
        for row in rows.pixels() {
            let values = &mut mask.values[row * mask.width..][..mask.width];
            let from = &part.mask.values[rows.source(row) * part.mask.width..];
            for column in columns.pixels() {
                values[column] = values[column].max(from[columns.source(column)]);
            }
        }
        let Some(found) = part.largest() else {
            return;
        };
        let mut object = self.spare.pop().unwrap_or_default();
        object.bounding_box = BoundingBox {
            x: area.x + found.bounding_box.x,
            y: area.y + found.bounding_box.y,
            ..found.bounding_box
        };
        object.confidence = found.confidence;
        object.id = None;
        object.region = Some(region);
        lay(
            &found.component,
            &columns,
            &rows,
            (mask.width, mask.height),
            &mut object.component,
        );
        localization.objects.push(object);
    }

    /// Completes the localization: the mask's mean, and the objects in order, the largest first.
    pub fn end(&mut self, localization: &mut Localization) {
        localization.mask_mean = localization.mask.mean();
        localization
            .objects
            .sort_by_key(|object| Reverse(object.bounding_box.area()));
    }
}

/// Writes a component of a part's mask as one of the frame's, of `size` (width, height); never empty.
fn lay(
    found: &Component,
    columns: &Axis,
    rows: &Axis,
    size: (usize, usize),
    component: &mut Component,
) {
    let BinaryMask {
        width,
        height,
        values,
    } = &mut component.pixels;
    (*width, *height) = size;
    values.clear();
    values.resize(size.0 * size.1, false);
    let (mut area, mut sides) = (0, None);
    let mut mark = |column: usize, row: usize| {
        area += 1;
        values[row * size.0 + column] = true;
        let (left, top, right, bottom) = sides.unwrap_or((column, row, column, row));
        sides = Some((
            left.min(column),
            top.min(row),
            right.max(column),
            bottom.max(row),
        ));
    };
    for row in rows.pixels() {
        let from = &found.pixels.values[rows.source(row) * found.pixels.width..];
        for column in columns
            .pixels()
            .filter(|&column| from[columns.source(column)])
        {
            mark(column, row);
        }
    }
    if area == 0 {
        // Thinner than a pixel of the frame's mask: the one in the middle of its box.
        let middle = |start: u32, length: u32| (start + length / 2) as usize;
        let inside = found.bounding_box;
        let column = columns.target(middle(inside.x, inside.width));
        let row = rows.target(middle(inside.y, inside.height));
        (area, sides) = (1, Some((column, row, column, row)));
        component.pixels.values[row * size.0 + column] = true;
    }
    component.area = area;
    let (left, top, right, bottom) = sides.unwrap_or_default();
    component.bounding_box = BoundingBox {
        x: left as u32,
        y: top as u32,
        width: (right - left + 1) as u32,
        height: (bottom - top + 1) as u32,
    };
}

/// Columns or rows: where a part lies in the frame's mask.
struct Axis {
    /// Pixels of the frame's mask that the part touches.
    first: usize,
    end: usize,
    /// The part in the frame, and the frame's length.
    start: f64,
    length: f64,
    frame: f64,
    /// Pixels of the frame's mask, and of the part's.
    side: usize,
    part: usize,
}

impl Axis {
    fn new(start: u32, length: u32, frame: u32, side: usize, part: usize) -> Option<Axis> {
        if start >= frame || length == 0 || side == 0 || part == 0 {
            return None;
        }
        let scale = side as f64 / f64::from(frame);
        let first = (f64::from(start) * scale) as usize;
        let end = (f64::from(start.saturating_add(length)) * scale).ceil() as usize;
        Some(Axis {
            first: first.min(side - 1),
            end: end.clamp(first.min(side - 1) + 1, side),
            start: f64::from(start),
            length: f64::from(length),
            frame: f64::from(frame),
            side,
            part,
        })
    }

    fn pixels(&self) -> std::ops::Range<usize> {
        self.first..self.end
    }

    /// The part's pixel under the centre of a pixel of the frame's mask; the last one where the centre is just outside.
    fn source(&self, pixel: usize) -> usize {
        let at = (pixel as f64 + 0.5) / self.side as f64 * self.frame;
        let share = (at - self.start) / self.length;
        ((share * self.part as f64).max(0.0) as usize).min(self.part - 1)
    }

    /// The pixel of the frame's mask that holds the centre of a pixel of the part.
    fn target(&self, pixel: usize) -> usize {
        let at = self.start + (pixel as f64 + 0.5) / self.part as f64 * self.length;
        ((at / self.frame * self.side as f64) as usize).clamp(self.first, self.end - 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::geometry::{Geometry, Resize};
    use crate::localizer::LocalizeOptions;
    use crate::mask::{Binarization, BinarizationRule, Mask};

    fn pixels(x: u32, y: u32, width: u32, height: u32) -> BoundingBox {
        BoundingBox {
            x,
            y,
            width,
            height,
        }
    }

    /// A part with a mask of 8×8 of which `marked` is salient, as a picture of `size`.
    fn part(marked: BoundingBox, size: (u32, u32)) -> Localization {
        let inside = |at: u32, start: u32, end: u32| (start..end).contains(&at);
        let values = (0..64).map(|index| {
            let (x, y) = (index % 8, index / 8);
            let hit = inside(x, marked.x, marked.right()) && inside(y, marked.y, marked.bottom());
            if hit { 0.75 } else { 0.25 }
        });
        let mask = Mask {
            width: 8,
            height: 8,
            values: values.collect(),
        };
        let options = LocalizeOptions {
            resize: Resize::Stretch,
            binarization: Binarization {
                rule: BinarizationRule::Mean,
                ..Binarization::default()
            },
            min_area: 0.0,
            max_objects: 1,
        };
        let geometry = Geometry::new(Resize::Stretch, size.0, size.1, 8);
        Localization::from_mask(mask, &[], &geometry, &options)
    }

    fn composed(frame: (u32, u32), parts: &[(Localization, BoundingBox)]) -> Localization {
        let (mut composition, mut whole) = (Composition::default(), Localization::default());
        // Twice, because memory is used again.
        for _ in 0..2 {
            composition.begin(8, &mut whole);
            for (region, (part, area)) in parts.iter().enumerate() {
                composition.add(part, *area, region, frame, &mut whole);
            }
            composition.end(&mut whole);
        }
        whole
    }

    /// By hand: a frame of 80×80 with a mask of 8×8, so ten pixels of the frame to one of the mask. A part at (20, 40)
    /// of 40×40 covers columns 2 to 5 and rows 4 to 7, each of two pixels of the part's mask, of which that at its centre
    /// counts: the second. Its object at pixels 3 to 6 is at 20 + 15 = 35 to 20 + 35 = 55.
    #[test]
    fn a_part_lies_where_it_was_taken_from() {
        let area = pixels(20, 40, 40, 40);
        let found = part(pixels(3, 3, 4, 4), (40, 40));
        let whole = composed((80, 80), &[(found, area)]);
        let marked = |x: usize, y: usize| whole.mask.values[y * 8 + x];
        assert_eq!((marked(1, 5), marked(2, 5), marked(3, 3)), (0.0, 0.25, 0.0));
        let inside = [(3, 5), (3, 6), (4, 5), (4, 6)];
        assert!(inside.iter().all(|&(x, y)| marked(x, y) == 0.75));
        assert_eq!(
            whole
                .mask
                .values
                .iter()
                .filter(|value| **value == 0.75)
                .count(),
            4
        );
        // Four of 0.75 and twelve of 0.25 in 64.
        assert_eq!(whole.mask_mean, 6.0 / 64.0);
        let [object] = &whole.objects[..] else {
            panic!("one part, one object")
        };
        assert_eq!(object.bounding_box, pixels(35, 55, 20, 20));
        assert_eq!(object.component.bounding_box, pixels(3, 5, 2, 2));
        assert_eq!((object.component.area, object.region), (4, Some(0)));
        assert_eq!(object.confidence, 0.75);
    }

    #[test]
    fn the_largest_comes_first_and_each_says_where_it_was_found() {
        let small = (part(pixels(2, 2, 2, 2), (16, 16)), pixels(0, 0, 16, 16));
        let large = (part(pixels(1, 1, 6, 6), (40, 40)), pixels(40, 40, 40, 40));
        let whole = composed((80, 80), &[small, large]);
        let regions: Vec<_> = whole.objects.iter().map(|object| object.region).collect();
        assert_eq!(regions, [Some(1), Some(0)]);
    }

    #[test]
    fn nothing_is_marked_without_parts_and_a_tiny_one_keeps_a_pixel() {
        let empty = composed((80, 80), &[]);
        assert!(empty.objects.is_empty() && empty.mask_mean == 0.0);
        assert_eq!(empty.mask.values, [0.0; 64]);
        // 4×4 pixels of the frame in the corner are less than half a pixel of the mask.
        let tiny = (part(pixels(1, 1, 2, 2), (4, 4)), pixels(76, 76, 4, 4));
        let whole = composed((80, 80), &[tiny]);
        let component = &whole.objects[0].component;
        assert_eq!(
            (component.area, component.bounding_box),
            (1, pixels(7, 7, 1, 1))
        );
        let outside = (part(pixels(1, 1, 2, 2), (4, 4)), pixels(80, 80, 4, 4));
        assert!(composed((80, 80), &[outside]).objects.is_empty());
    }
}

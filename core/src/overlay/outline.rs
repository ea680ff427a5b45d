//! Lines: the rim of a box, and the contour of a component.

use std::ops::Range;

use crate::geometry::Geometry;
use crate::mask::{BoundingBox, Component};

use super::area::Area;
use super::field::Field;
use super::paint::Canvas;

/// Draws the rim of `shape`, a part of what is drawable, inside of it.
pub(super) fn draw_box(canvas: &mut Canvas<'_, '_>, shape: &Area, levels: &mut [Vec<u8>; 2]) {
    let thickness = canvas.line_width();
    let drawable = canvas.drawable().clone();
    let Area { columns, rows } = shape;
    let hollow = Area {
        columns: columns.start + thickness..columns.end.saturating_sub(thickness),
        rows: rows.start + thickness..rows.end.saturating_sub(thickness),
    };
    let blocks = shape.in_blocks(&drawable);
    for y in blocks.rows.clone().step_by(2) {
        let pair = y..blocks.rows.end.min(y + 2);
        // Between the upper and the lower edge only the two sides are touched.
        let sides = pair.clone().all(|y| hollow.rows.contains(&y)) && !hollow.columns.is_empty();
        let spans = if sides {
            let left = Area {
                columns: columns.start..hollow.columns.start,
                rows: pair.clone(),
            };
            let right = Area {
                columns: hollow.columns.end..columns.end,
                rows: pair.clone(),
            };
            [
                left.in_blocks(&drawable).columns,
                right.in_blocks(&drawable).columns,
            ]
        } else {
            [blocks.columns.clone(), 0..0]
        };
        for span in spans.into_iter().filter(|span| !span.is_empty()) {
            for (levels, y) in levels.iter_mut().zip([y, y + 1]) {
                levels.clear();
                if !pair.contains(&y) {
                    continue;
                }
                let in_rows = rows.contains(&y);
                let in_hollow_rows = hollow.rows.contains(&y);
                levels.extend(span.clone().map(|x| {
                    let hollow = in_hollow_rows && hollow.columns.contains(&x);
                    if in_rows && columns.contains(&x) && !hollow {
                        u8::MAX
                    } else {
                        0
                    }
                }));
            }
            canvas.paint((span.start, y), &levels[0], &levels[1]);
        }
    }
}

/// Buffers for contours.
#[derive(Debug, Default)]
pub(super) struct Contour {
    smooth: Vec<u8>,
    smoothing: Vec<u8>,
    /// The last `2 * thickness + 1` rows, each 255 inside of the shape and 0 outside, with
    /// `thickness` bytes of 0 at both ends.
    window: Vec<Vec<u8>>,
}

impl Contour {
    /// Draws the line along the inside of `component`'s edge.
    pub(super) fn draw(
        &mut self,
        canvas: &mut Canvas<'_, '_>,
        component: &Component,
        geometry: &Geometry,
        field: &mut Field,
        levels: &mut [Vec<u8>; 2],
    ) {
        let pixels = &component.pixels;
        let size = (pixels.width, pixels.height);
        let radius = radius(component);
        self.smooth.clear();
        self.smooth.extend(
            pixels
                .values
                .iter()
                .map(|&inside| if inside { u8::MAX } else { 0 }),
        );
        smooth(&mut self.smooth, &mut self.smoothing, size, radius);
        // Half way up is the edge; smoothing may have left a speck with little height.
        let edge = self
            .smooth
            .iter()
            .max()
            .map_or(u8::MAX, |highest| highest.div_ceil(2))
            .max(1);

        let area = contour_area(component, geometry, canvas.drawable());
        if area.is_empty() {
            return;
        }
        field.lay(self.smooth.iter().copied(), size, geometry, &area);

        let thickness = canvas.line_width();
        let width = area.columns.len();
        let count = 2 * thickness + 1;
        self.window.resize_with(count, Vec::new);
        for row in &mut self.window {
            row.clear();
            row.resize(width + 2 * thickness, 0);
        }
        // Row i of the area is written to slot (i + thickness) % count, `thickness` rows ahead of
        // the row that is drawn. What lies outside of the area is outside of the shape.
        let height = area.rows.len();
        for written in 0..height + thickness {
            let slot = &mut self.window[(written + thickness) % count][thickness..][..width];
            if written < height {
                field.row(area.rows.start + written, slot);
                for level in slot {
                    *level = if *level >= edge { u8::MAX } else { 0 };
                }
            } else {
                slot.fill(0);
            }
            let Some(drawn) = written.checked_sub(thickness) else {
                continue;
            };
            let line = &mut levels[drawn % 2];
            line.resize(width, 0);
            self.line(drawn, thickness, line);
            let y = area.rows.start + drawn;
            if drawn % 2 == 1 {
                canvas.paint((area.columns.start, y - 1), &levels[0], &levels[1]);
            } else if drawn + 1 == height {
                canvas.paint((area.columns.start, y), &levels[0], &[]);
            }
        }
    }

    /// Marks the pixels of row `drawn` that are inside and have an outside within `thickness`,
    /// looked for in eight directions.
    fn line(&self, drawn: usize, thickness: usize, line: &mut [u8]) {
        let diagonal = (thickness * 7 + 5) / 10;
        let row = |offset: usize| &self.window[(drawn + offset) % self.window.len()][..];
        let centre = &row(thickness)[thickness..];
        let straight = [
            &row(0)[thickness..],
            &row(2 * thickness)[thickness..],
            row(thickness),
            &row(thickness)[2 * thickness..],
        ];
        let (above, below) = (row(thickness - diagonal), row(thickness + diagonal));
        let (left, right) = (thickness - diagonal, thickness + diagonal);
        let slanted = [
            &above[left..],
            &above[right..],
            &below[left..],
            &below[right..],
        ];
        line.copy_from_slice(&centre[..line.len()]);
        for neighbour in straight.into_iter().chain(slanted) {
            // Bit 0 becomes "some neighbour is outside"; the rest of the byte stays the centre's.
            for (level, neighbour) in line.iter_mut().zip(neighbour) {
                *level &= neighbour | 0xfe;
            }
        }
        // 255: all neighbours inside. 254: inside with an outside near. 0: outside.
        for level in line {
            *level = if *level == 0xfe { u8::MAX } else { 0 };
        }
    }
}

/// How far a component's edge is smoothed, in pixels of the mask.
fn radius(component: &Component) -> usize {
    // Rounds off the corners of the network's coarse grid, of 4 pixels in a mask of 224.
    component.pixels.width.max(component.pixels.height) / 112
}

/// The part of what is `drawable` that has the contour of `component`.
pub(super) fn contour_area(component: &Component, geometry: &Geometry, drawable: &Area) -> Area {
    let pixels = &component.pixels;
    let around = grown(component.bounding_box, 2 * radius(component) as u32 + 1);
    Area::from(geometry.box_to_frame(around, pixels.width, pixels.height)).in_blocks(drawable)
}

/// The four sides of the rim of `shape`, of which none holds a pixel of another.
pub(super) fn sides(shape: &Area, thickness: usize) -> [Area; 4] {
    let Area { columns, rows } = shape;
    let split = |range: &Range<usize>| {
        let first = range.start..range.end.min(range.start + thickness);
        let last = first.end.max(range.end.saturating_sub(thickness))..range.end;
        (first, last)
    };
    let ((left, right), (upper, lower)) = (split(columns), split(rows));
    let between = upper.end..lower.start;
    let side = |columns: &Range<usize>, rows: &Range<usize>| Area {
        columns: columns.clone(),
        rows: rows.clone(),
    };
    [
        side(columns, &upper),
        side(&left, &between),
        side(&right, &between),
        side(columns, &lower),
    ]
}

/// The box with `margin` more on each side, as far as numbers go.
pub(super) fn grown(bounding_box: BoundingBox, margin: u32) -> BoundingBox {
    let BoundingBox {
        x,
        y,
        width,
        height,
    } = bounding_box;
    let (left, top) = (x.saturating_sub(margin), y.saturating_sub(margin));
    BoundingBox {
        x: left,
        y: top,
        width: width.saturating_add(x - left).saturating_add(margin),
        height: height.saturating_add(y - top).saturating_add(margin),
    }
}

/// Two passes of a mean over `2 * radius + 1` pixels in both directions, in place.
fn smooth(
    levels: &mut [u8],
    scratch: &mut Vec<u8>,
    (width, height): (usize, usize),
    radius: usize,
) {
    if radius == 0 {
        return;
    }
    scratch.clear();
    scratch.resize(levels.len(), 0);
    for _ in 0..2 {
        for y in 0..height {
            mean_of_neighbours(levels, scratch, y * width, 1, width, radius);
        }
        for x in 0..width {
            mean_of_neighbours(scratch, levels, x, width, height, radius);
        }
    }
}

/// One line of `count` pixels, `step` apart; the first and last pixel continue beyond the ends.
fn mean_of_neighbours(
    from: &[u8],
    to: &mut [u8],
    start: usize,
    step: usize,
    count: usize,
    radius: usize,
) {
    let value = |index: usize| u32::from(from[start + index.min(count - 1) * step]);
    let total = 2 * radius as u32 + 1;
    let mut sum = value(0) * (radius as u32 + 1) + (1..=radius).map(value).sum::<u32>();
    for index in 0..count {
        to[start + index * step] = ((sum + total / 2) / total) as u8;
        sum = sum + value(index + radius + 1) - value(index.saturating_sub(radius));
    }
}

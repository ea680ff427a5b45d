//! Rectangles of frame pixels, as ranges of columns and rows.

use std::ops::Range;

use crate::frame::FrameMut;
use crate::geometry::Geometry;
use crate::mask::BoundingBox;

/// A rectangle; empty if one of its ranges is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Area {
    pub(super) columns: Range<usize>,
    pub(super) rows: Range<usize>,
}

impl Area {
    /// The part of a frame that the network saw.
    pub(super) fn seen(geometry: &Geometry) -> Area {
        let frame = Area {
            columns: 0..geometry.frame_width as usize,
            rows: 0..geometry.frame_height as usize,
        };
        Area::from(geometry.seen_area()).intersection(&frame)
    }

    /// What may be drawn on: the part of `frame` that the network saw, shrunk to whole chroma
    /// blocks so that no colour leaks out of it.
    pub(super) fn drawable(frame: &FrameMut<'_>, geometry: &Geometry) -> Area {
        let seen = Area::seen(geometry);
        if !frame.format().shares_chroma() {
            return seen;
        }
        let (width, height) = (frame.width() as usize, frame.height() as usize);
        Area {
            columns: whole_blocks(seen.columns, width),
            rows: whole_blocks(seen.rows, height),
        }
    }

    /// The pixels that are in both.
    pub(super) fn intersection(&self, other: &Area) -> Area {
        Area {
            columns: intersection(&self.columns, &other.columns),
            rows: intersection(&self.rows, &other.rows),
        }
    }

    /// The smallest area around this one that begins and ends at even pixels of the frame, or
    /// where `limit` does.
    pub(super) fn in_blocks(&self, limit: &Area) -> Area {
        let around = |range: &Range<usize>, limit: &Range<usize>| {
            let even = range.start & !1..(range.end + 1) & !1;
            intersection(&even, limit)
        };
        Area {
            columns: around(&self.columns, &limit.columns),
            rows: around(&self.rows, &limit.rows),
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.columns.is_empty() || self.rows.is_empty()
    }
}

impl From<&Area> for BoundingBox {
    /// Of an area within a frame.
    fn from(area: &Area) -> BoundingBox {
        BoundingBox {
            x: area.columns.start as u32,
            y: area.rows.start as u32,
            width: area.columns.len() as u32,
            height: area.rows.len() as u32,
        }
    }
}

impl From<BoundingBox> for Area {
    fn from(bounding_box: BoundingBox) -> Area {
        let BoundingBox {
            x,
            y,
            width,
            height,
        } = bounding_box;
        // Saturating: the numbers may be anything.
        let range = |start: u32, length: u32| start as usize..start.saturating_add(length) as usize;
        Area {
            columns: range(x, width),
            rows: range(y, height),
        }
    }
}

/// What both ranges hold; never ends before it starts.
fn intersection(first: &Range<usize>, second: &Range<usize>) -> Range<usize> {
    let start = first.start.max(second.start);
    start..first.end.min(second.end).max(start)
}

/// The largest range inside of `range` that holds whole blocks of two; the last block of an odd
/// `size` has one pixel.
fn whole_blocks(range: Range<usize>, size: usize) -> Range<usize> {
    let start = (range.start + 1) & !1;
    let end = if range.end >= size {
        size
    } else {
        range.end & !1
    };
    start.min(end)..end
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whole_blocks_begin_and_end_at_even_pixels_or_at_the_edge() {
        assert_eq!(whole_blocks(3..9, 20), 4..8);
        assert_eq!(whole_blocks(3..17, 17), 4..17);
        assert_eq!(whole_blocks(0..30, 17), 0..17);
        assert!(whole_blocks(3..4, 20).is_empty());
    }

    #[test]
    fn an_area_grows_to_blocks_within_its_limit() {
        let area = Area {
            columns: 3..9,
            rows: 2..5,
        };
        let limit = Area {
            columns: 0..9,
            rows: 0..40,
        };
        assert_eq!(
            area.in_blocks(&limit),
            Area {
                columns: 2..9,
                rows: 2..6
            }
        );
    }

    #[test]
    fn absurd_boxes_become_empty_areas() {
        let far = Area::from(BoundingBox {
            x: u32::MAX,
            y: 9,
            width: u32::MAX,
            height: 1,
        });
        let frame = Area {
            columns: 0..10,
            rows: 0..10,
        };
        assert!(far.intersection(&frame).is_empty());
    }
}

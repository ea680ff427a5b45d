//! Rectangles of whole pixels.

use serde::{Deserialize, Serialize};

/// A rectangle of whole pixels, half open: columns `x .. x + width`, rows `y .. y + height`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
pub struct BoundingBox {
    /// First column.
    pub x: u32,
    /// First row.
    pub y: u32,
    /// Columns.
    pub width: u32,
    /// Rows.
    pub height: u32,
}

impl BoundingBox {
    /// First column to the right of the box.
    pub fn right(&self) -> u32 {
        self.x.saturating_add(self.width)
    }

    /// First row below the box.
    pub fn bottom(&self) -> u32 {
        self.y.saturating_add(self.height)
    }

    /// Number of pixels.
    pub fn area(&self) -> u64 {
        u64::from(self.width) * u64::from(self.height)
    }

    /// What both boxes cover; `None` if they share no pixel.
    pub fn intersection(&self, other: &BoundingBox) -> Option<BoundingBox> {
        let (x, y) = (self.x.max(other.x), self.y.max(other.y));
        let width = self.right().min(other.right()).checked_sub(x)?;
        let height = self.bottom().min(other.bottom()).checked_sub(y)?;
        (width > 0 && height > 0).then_some(BoundingBox {
            x,
            y,
            width,
            height,
        })
    }

    /// Intersection over union, in [0, 1]; 0 for two boxes without pixels.
    pub fn iou(&self, other: &BoundingBox) -> f64 {
        let Some(shared) = self.intersection(other) else {
            return 0.0;
        };
        let shared = shared.area() as f64;
        shared / (self.area() as f64 + other.area() as f64 - shared)
    }
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
    fn edges_and_area_are_half_open() {
        let one = corner_box(3, 4, 1, 1);
        assert_eq!((one.right(), one.bottom(), one.area()), (4, 5, 1));
    }

    #[test]
    fn boxes_that_only_touch_share_nothing() {
        let left = corner_box(0, 0, 2, 2);
        assert_eq!(left.intersection(&corner_box(2, 0, 2, 2)), None);
        assert_eq!(left.intersection(&corner_box(0, 5, 2, 2)), None);
        assert_eq!(left.iou(&corner_box(2, 0, 2, 2)), 0.0);
    }

    /// By hand: 2 of 4 + 6 - 2 pixels.
    #[test]
    fn iou_is_the_shared_part_of_all_that_is_covered() {
        let (a, b) = (corner_box(0, 0, 2, 2), corner_box(1, 0, 3, 2));
        assert_eq!(a.intersection(&b), Some(corner_box(1, 0, 1, 2)));
        assert_eq!(a.iou(&b), 0.25);
        assert_eq!(b.iou(&a), 0.25);
        assert_eq!(a.iou(&a), 1.0);
    }

    #[test]
    fn empty_and_enormous_boxes_do_not_panic() {
        let empty = corner_box(1, 1, 0, 5);
        assert_eq!(empty.iou(&empty), 0.0);
        let enormous = corner_box(u32::MAX - 1, 0, u32::MAX, u32::MAX);
        assert_eq!(enormous.right(), u32::MAX);
        assert!(enormous.iou(&enormous) <= 1.0);
    }
}

//! MaxBoxAcc and MaxBoxAccV2: the protocol in which weakly supervised localization is compared today.
//!
//! J. Choe, S. J. Oh, S. Lee, S. Chun, Z. Akata, H. Shim, *Evaluating Weakly Supervised Object
//! Localization Methods Right*, CVPR 2020, sections 4.1 and 4.3, as the released code (wsolevaluation)
//! computes them:
//!
//! 1. The mask over the stretched input is brought to 0 … 1 by its least and largest value, then to
//!    whole levels 0 … 255, cut off.
//! 2. For each threshold a pixel is marked if it is above it. wsolevaluation tries thresholds in steps
//!    of 0.001, which are cut to whole levels: each of 0 … 254 comes up, so these are tried here.
//! 3. Contours of the marked pixels, joined also at corners, outer ones and those of holes. V1: of
//!    the contour with the largest area, which is that of the polygon through its pixels' centres; V2: of
//!    every contour, the best.
//! 4. A box is x, y, x + width, y + height of the contour, the last two at most the last column and row.
//!    Without contours it is the pixel 0, 0.
//! 5. Intersection over union counts the last column and row in, on both sides. A picture is found at
//!    a threshold if a box reaches 0.5 (V1), or 0.3, 0.5 and 0.7 (V2), with any annotation.
//! 6. The accuracy is that at the threshold which is best **on these pictures**, for each IoU its own; V2
//!    is the mean over the three.
//!
//! PxAP, the protocol's third number, needs ground-truth masks, and there are none.

use casm::{BoundingBox, Mask};
use image::{GrayImage, Luma};
use imageproc::contours::{Contour, find_contours};

use super::Annotation;

/// Number of thresholds.
pub const LEVELS: usize = 255;
/// What counts as found in V2; V1 uses the second.
pub const IOU: [f64; 3] = [0.3, 0.5, 0.7];

/// Corners of a box, the last column and row included.
type Corners = [i32; 4];

/// A yes or no for each of [`LEVELS`] thresholds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct LevelSet([u64; 4]);

impl LevelSet {
    /// Found at one threshold only.
    #[cfg(test)]
    pub(super) fn at(level: usize) -> LevelSet {
        let mut set = LevelSet::default();
        set.insert(level);
        set
    }

    fn insert(&mut self, level: usize) {
        self.0[level / 64] |= 1 << (level % 64);
    }

    /// Whether the picture is found at the threshold `level`.
    pub fn contains(&self, level: usize) -> bool {
        self.0[level / 64] >> (level % 64) & 1 == 1
    }
}

/// At which thresholds one picture's object is found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct MaxBoxScore {
    /// V1: by the largest contour, at an IoU of 0.5.
    pub largest: LevelSet,
    /// V2: by any contour, for each of [`IOU`].
    pub any: [LevelSet; 3],
}

impl MaxBoxScore {
    /// From a box that is the same at all thresholds, in the stretched input of `size` x `size`.
    pub fn of_box(found: &BoundingBox, size: u32, annotations: &[Annotation]) -> MaxBoxScore {
        let last = size - 1;
        let edges = [
            found.x,
            found.y,
            found.right().min(last),
            found.bottom().min(last),
        ];
        let corners = edges.map(|edge| edge as i32);
        let best = annotations
            .iter()
            .map(|truth| iou(corners, *truth))
            .fold(0.0, f64::max);
        let set = |threshold: f64| {
            let reached = best >= threshold;
            LevelSet(std::array::from_fn(|_| if reached { u64::MAX } else { 0 }))
        };
        MaxBoxScore {
            largest: set(IOU[1]),
            any: IOU.map(set),
        }
    }

    /// From a mask over the stretched input and annotations in its pixels, carried over by
    /// [`to_stretched`].
    pub fn new(mask: &Mask, annotations: &[Annotation]) -> MaxBoxScore {
        let levels = grey_levels(mask);
        let mut score = MaxBoxScore::default();
        for level in 0..LEVELS {
            let boxes = boxes(&levels, level as u8);
            let best = |boxes: &mut dyn Iterator<Item = Corners>| {
                boxes
                    .flat_map(|found| annotations.iter().map(move |truth| iou(found, *truth)))
                    .fold(0.0, f64::max)
            };
            let largest = best(&mut boxes.largest.into_iter());
            let any = best(&mut boxes.all.into_iter());
            if largest >= IOU[1] {
                score.largest.insert(level);
            }
            for (threshold, set) in IOU.iter().zip(&mut score.any) {
                if any >= *threshold {
                    set.insert(level);
                }
            }
        }
        score
    }
}

/// A box of the original picture of `width` x `height` in the stretched input of `size` x `size`.
///
/// As wsolevaluation does it: multiplied before it is divided, which [`Annotation::to_input`] does the
/// other way round, and rounding makes a pixel of it now and then.
pub fn to_stretched(annotation: Annotation, width: u32, height: u32, size: u32) -> Annotation {
    let carry = |edge: i32, side: u32| (f64::from(edge) * f64::from(size) / f64::from(side)) as i32;
    Annotation {
        xmin: carry(annotation.xmin, width),
        ymin: carry(annotation.ymin, height),
        xmax: carry(annotation.xmax, width),
        ymax: carry(annotation.ymax, height),
    }
}

/// The threshold at which most pictures are found, and whether each is found there. The lowest of
/// several; `None` without pictures.
pub fn best_level(sets: &[LevelSet]) -> Option<(usize, Vec<bool>)> {
    let found = |level: usize| sets.iter().filter(|set| set.contains(level)).count();
    let best = (0..LEVELS).rev().max_by_key(|&level| found(level))?;
    if sets.is_empty() {
        return None;
    }
    Some((best, sets.iter().map(|set| set.contains(best)).collect()))
}

/// The mask in levels 0 … 255 with a border of one pixel of 0, which the search for contours needs: it
/// would miss what begins in the first column.
fn grey_levels(mask: &Mask) -> GrayImage {
    let (width, height) = (mask.width as u32, mask.height as u32);
    let mut grey = GrayImage::new(width + 2, height + 2);
    let values = mask.values.iter().copied();
    let low = values.clone().fold(f32::INFINITY, f32::min);
    let high = values.fold(f32::NEG_INFINITY, f32::max);
    // Constant masks, and those with a NaN, show nothing.
    if high > low && mask.values.iter().all(|value| value.is_finite()) {
        let range = high - low;
        for (index, &value) in mask.values.iter().enumerate() {
            let level = ((value - low) / range * 255.0) as u8;
            let (x, y) = (index as u32 % width, index as u32 / width);
            grey.put_pixel(x + 1, y + 1, Luma([level]));
        }
    }
    grey
}

struct Boxes {
    largest: Vec<Corners>,
    all: Vec<Corners>,
}

/// The boxes of what is above `level`, in pixels of the mask without its border.
fn boxes(levels: &GrayImage, level: u8) -> Boxes {
    let mut marked = levels.clone();
    for value in marked.iter_mut() {
        *value = u8::from(*value > level);
    }
    let contours: Vec<Contour<i32>> = find_contours(&marked);
    let last = (levels.width() as i32 - 3, levels.height() as i32 - 3);
    let corners = |contour: &Contour<i32>| {
        let xs = || contour.points.iter().map(|point| point.x - 1);
        let ys = || contour.points.iter().map(|point| point.y - 1);
        let ends = |low: Option<i32>, high: Option<i32>, last: i32| {
            (low.unwrap_or(0), (high.unwrap_or(0) + 1).min(last))
        };
        let (left, right) = ends(xs().min(), xs().max(), last.0);
        let (top, bottom) = ends(ys().min(), ys().max(), last.1);
        [left, top, right, bottom]
    };
    let Some(largest) = contours.iter().max_by_key(|contour| doubled_area(contour)) else {
        return Boxes {
            largest: vec![[0; 4]],
            all: vec![[0; 4]],
        };
    };
    Boxes {
        largest: vec![corners(largest)],
        all: contours.iter().map(corners).collect(),
    }
}

/// Twice the area of the polygon through the centres of the contour's pixels.
fn doubled_area(contour: &Contour<i32>) -> i64 {
    let points = &contour.points;
    let next = points.iter().cycle().skip(1);
    let sum: i64 = points
        .iter()
        .zip(next)
        .map(|(a, b)| i64::from(a.x) * i64::from(b.y) - i64::from(b.x) * i64::from(a.y))
        .sum();
    sum.abs()
}

/// Intersection over union where the last column and row belong to a box.
fn iou([left, top, right, bottom]: Corners, truth: Annotation) -> f64 {
    let side = |low: i32, high: i32| (f64::from(high) - f64::from(low) + 1.0).max(0.0);
    let shared = side(left.max(truth.xmin), right.min(truth.xmax))
        * side(top.max(truth.ymin), bottom.min(truth.ymax));
    let area = side(left, right) * side(top, bottom);
    let truth_area = side(truth.xmin, truth.xmax) * side(truth.ymin, truth.ymax);
    shared / (area + truth_area - shared)
}

#[cfg(test)]
mod tests;

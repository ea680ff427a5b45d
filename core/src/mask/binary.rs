//! Mask → binary mask: which pixels count as marked (Eq. 9).

use serde::{Deserialize, Serialize};

use super::{Erosion, Mask, Selection};
use crate::vector::wide;

/// The quantile rule's threshold stays inside these bounds, as the released code's does: without the
/// upper one a mask of ones, which is relevant everywhere, would have no pixel above its threshold.
const THRESHOLD: std::ops::RangeInclusive<f32> = 1e-6..=1.0 - 1e-6;

/// How a mask is made binary.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Binarization {
    /// Which rule.
    pub rule: BinarizationRule,
    /// Factor on the mask's mean, above 0; 1 in the paper. Quantile: the marked share of the picture
    /// is `alpha` times the mean, at most all of it. Mean: marked is what reaches `alpha` times the
    /// mean.
    pub alpha: f64,
    /// So many pixels are then taken off every side of what is marked; 0 in the paper. In pixels of the network's
    /// input.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub erosion: u32,
}

fn is_zero(erosion: &u32) -> bool {
    *erosion == 0
}

impl Default for Binarization {
    fn default() -> Self {
        Binarization {
            rule: BinarizationRule::Quantile,
            alpha: 1.0,
            erosion: 0,
        }
    }
}

/// The two readings of Eq. 9, which says that a pixel is marked from `alpha` times the mean on, and
/// also that mask and binary mask have the same average. Only the first rule makes the latter true.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum BinarizationRule {
    /// As the released code does: the threshold is the value that leaves as large a share of the
    /// pixels above itself as the mask's mean.
    #[default]
    Quantile,
    /// Eq. 9 to the letter: the threshold is the mask's mean. On soft masks this marks up to two and
    /// a half times as much.
    Mean,
}

/// A mask of yes and no, row by row.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct BinaryMask {
    /// Columns.
    pub width: usize,
    /// Rows.
    pub height: usize,
    /// `width * height` values, row by row.
    pub values: Vec<bool>,
}

impl Mask {
    /// Binary mask of the same size by `binarization`.
    ///
    /// The quantile rule marks what lies strictly above its threshold, so of pixels that share the
    /// threshold's value none is marked: the marked share is at most the mask's mean, and a constant
    /// mask below 1 has no marked pixel at all. A mask with a NaN in it has none under either rule.
    pub fn binarize(&self, binarization: &Binarization) -> BinaryMask {
        let mut binary_mask = BinaryMask::default();
        self.binarize_into(
            binarization,
            self.mean(),
            &mut Selection::default(),
            &mut Erosion::default(),
            &mut binary_mask,
        );
        binary_mask
    }

    /// [`binarize`](Mask::binarize) of a mask with this `mean` into one that is there already.
    pub(crate) fn binarize_into(
        &self,
        binarization: &Binarization,
        mean: f64,
        selection: &mut Selection,
        erosion: &mut Erosion,
        binary_mask: &mut BinaryMask,
    ) {
        let target = binarization.alpha * mean;
        let marked = &mut binary_mask.values;
        marked.clear();
        marked.resize(self.values.len(), false);
        match binarization.rule {
            BinarizationRule::Quantile => {
                if let Some(threshold) = self.quantile_threshold(target, selection) {
                    mark_above(&self.values, threshold, marked);
                }
            }
            BinarizationRule::Mean => mark_from(&self.values, target, marked),
        }
        (binary_mask.width, binary_mask.height) = (self.width, self.height);
        erosion.erode(binary_mask, binarization.erosion);
    }

    /// The value with a share of `marked` of the pixels above it; `None` if there is no telling.
    ///
    /// Of n values it is the k-th smallest, k = 1 + round((n - 1) (1 - `marked`)), in O(n).
    fn quantile_threshold(&self, marked: f64, selection: &mut Selection) -> Option<f32> {
        let last = self.values.len().checked_sub(1)?;
        if marked.is_nan() {
            return None;
        }
        let below = (last as f64 * (1.0 - marked.clamp(0.0, 1.0)) + 0.5) as usize;
        let threshold = selection.nth(&self.values, below)?;
        Some(threshold.clamp(*THRESHOLD.start(), *THRESHOLD.end()))
    }
}

impl BinaryMask {
    /// Number of marked pixels.
    pub fn area(&self) -> usize {
        count(&self.values)
    }
}

wide! {
    fn mark_above(values: &[f32], threshold: f32, marked: &mut [bool]) {
        for (marked, &value) in marked.iter_mut().zip(values) {
            *marked = value > threshold;
        }
    }

    fn mark_from(values: &[f32], least: f64, marked: &mut [bool]) {
        for (marked, &value) in marked.iter_mut().zip(values) {
            *marked = f64::from(value) >= least;
        }
    }

    fn count(marked: &[bool]) -> usize {
        // So few that a byte holds their number, and bytes are what vectors add most of.
        let few = marked.chunks(255);
        few.map(|few| usize::from(few.iter().map(|&marked| u8::from(marked)).sum::<u8>())).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn marked(values: &[f32], rule: BinarizationRule, alpha: f64) -> Vec<bool> {
        let mask = Mask {
            width: values.len(),
            height: 1,
            values: values.to_vec(),
        };
        let erosion = 0;
        mask.binarize(&Binarization {
            rule,
            alpha,
            erosion,
        })
        .values
    }

    /// By hand: mean 0.4, k = 1 + round(4 * 0.6) = 3, threshold 0.3; two of five are above.
    #[test]
    fn the_quantile_rule_marks_as_large_a_share_as_the_mean() {
        let values = [0.9, 0.1, 0.3, 0.7, 0.0];
        assert_eq!(
            marked(&values, BinarizationRule::Quantile, 1.0),
            [true, false, false, true, false]
        );
        // k = 1 + round(4 * 0.8) = 4, threshold 0.7.
        assert_eq!(
            marked(&values, BinarizationRule::Quantile, 0.5),
            [true, false, false, false, false]
        );
    }

    #[test]
    fn pixels_equal_to_the_threshold_are_not_marked() {
        // Mean 0.5, k = 1 + round(3 * 0.5) = 3, threshold 0.6: three pixels share it.
        let values = [0.2, 0.6, 0.6, 0.6];
        assert_eq!(marked(&values, BinarizationRule::Quantile, 1.0), [false; 4]);
    }

    #[test]
    fn constant_masks_are_marked_nowhere_unless_they_are_ones() {
        assert_eq!(
            marked(&[0.5; 4], BinarizationRule::Quantile, 1.0),
            [false; 4]
        );
        assert_eq!(
            marked(&[0.0; 4], BinarizationRule::Quantile, 1.0),
            [false; 4]
        );
        assert_eq!(
            marked(&[1.0; 4], BinarizationRule::Quantile, 1.0),
            [true; 4]
        );
    }

    /// By hand: mean 0.2, alpha 3, k = 1 + round(4 * 0.4) = 3, threshold 0, which 5e-7 is above; but
    /// the authors' threshold is at least 1e-6.
    #[test]
    fn next_to_nothing_is_not_marked() {
        let values = [0.0, 0.0, 0.0, 5e-7, 1.0];
        assert_eq!(
            marked(&values, BinarizationRule::Quantile, 3.0),
            [false, false, false, false, true]
        );
    }

    /// By hand: of 0.9999 and three ones k = 1 + round(3 * 0.000025) = 1, threshold 0.9999. Ones alone
    /// have a threshold of 1 - 1e-6, which is the only reason that they are above it.
    #[test]
    fn nearly_everything_is_marked_where_the_mask_is_nearly_one() {
        let values = [0.9999, 1.0, 1.0, 1.0];
        assert_eq!(
            marked(&values, BinarizationRule::Quantile, 1.0),
            [false, true, true, true]
        );
    }

    #[test]
    fn the_marked_share_is_never_more_than_everything() {
        // The smallest value is the threshold, and it alone is not above itself.
        let values = [0.9, 0.5, 0.8];
        assert_eq!(
            marked(&values, BinarizationRule::Quantile, 100.0),
            [true, false, true]
        );
        assert_eq!(
            marked(&values, BinarizationRule::Quantile, f64::NAN),
            [false; 3]
        );
    }

    /// By hand: mean 0.5.
    #[test]
    fn the_mean_rule_marks_from_the_mean_on() {
        let values = [0.25, 0.5, 0.75, 0.5];
        assert_eq!(
            marked(&values, BinarizationRule::Mean, 1.0),
            [false, true, true, true]
        );
        assert_eq!(
            marked(&values, BinarizationRule::Mean, 1.5),
            [false, false, true, false]
        );
        assert_eq!(marked(&values, BinarizationRule::Mean, 0.5), [true; 4]);
    }

    #[test]
    fn infinities_do_not_panic() {
        let values = [f32::INFINITY, 0.5, 0.1];
        assert_eq!(
            marked(&values, BinarizationRule::Quantile, 1.0),
            [true, true, false]
        );
        assert_eq!(
            marked(&values, BinarizationRule::Mean, 1.0),
            [true, false, false]
        );
        let undecided = [f32::INFINITY, f32::NEG_INFINITY];
        assert_eq!(
            marked(&undecided, BinarizationRule::Quantile, 1.0),
            [false; 2]
        );
    }

    #[test]
    fn the_area_counts_marked_pixels() {
        let mask = BinaryMask {
            width: 2,
            height: 2,
            values: vec![true, false, true, true],
        };
        assert_eq!(mask.area(), 3);
        assert_eq!(BinaryMask::default().area(), 0);
    }
}

//! From the mask to the box, on plain numbers: mask → binary mask → connected component → bounding
//! box (the paper, section 5.1 and Eq. 9).
//!
//! | step | by | from → to |
//! |---|---|---|
//! | upsampling | [`Mask::upsample`] | what the decoder gives, `[56, 56]` → the input's size, `[224, 224]` |
//! | binarization | [`Mask::binarize`] | values in [0, 1] → yes or no, without a rim where the model says so |
//! | component | [`BinaryMask::largest_component`] | all marked pixels → the largest 4-connected region |
//! | box | [`Component::bounding_box`] | region → tightest rectangle |
//!
//! Nothing here panics on strange values: a mask with a NaN in it has a NaN mean, binarizes to a
//! mask without a marked pixel, and so gives no component and no box.

mod binary;
mod bounding_box;
mod component;
mod erosion;
mod selection;
mod upsampling;

pub use binary::{Binarization, BinarizationRule, BinaryMask};
pub use bounding_box::BoundingBox;
pub use component::Component;
pub(crate) use component::Components;
pub(crate) use erosion::Erosion;
pub(crate) use selection::Selection;
pub(crate) use upsampling::Upsampling;

use crate::network::Upsample;
use crate::vector::wide;

/// A saliency map: row-major values in [0, 1], 1 = relevant to some classifier.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Mask {
    /// Columns.
    pub width: usize,
    /// Rows.
    pub height: usize,
    /// `width * height` values, row by row.
    pub values: Vec<f32>,
}

impl Mask {
    /// All values as bytes in the machine's order, `width * height * 4` of them.
    pub fn bytes(&self) -> &[u8] {
        bytemuck::cast_slice(&self.values)
    }

    /// Mean of all values: the share of the picture that is relevant. 0 for a mask without pixels,
    /// NaN if a value is NaN.
    ///
    /// The sum runs in f64, where adding 50,176 multiples of 1/255 loses nothing. (The released code
    /// averages in f32 and is off by up to 2.9e-4.)
    pub fn mean(&self) -> f64 {
        sum(&self.values) / self.values.len().max(1) as f64
    }

    /// Mean of the values where `region`, of the same size, is true; 0 if it is true nowhere. Values
    /// outside do not matter, NaN neither.
    pub fn mean_over(&self, region: &BinaryMask) -> f64 {
        sum_over(&self.values, &region.values) / region.area().max(1) as f64
    }

    /// The same mask with `factor` times as many columns and rows.
    ///
    /// Bilinear is the one with `align_corners = false`: the centre of output column x lies at
    /// (x + ½) / `factor` - ½ in the input, and outside the outermost centres nothing is extrapolated.
    /// A factor of 0 gives a mask without pixels.
    pub fn upsample(&self, factor: usize, mode: Upsample) -> Mask {
        let mut mask = Mask::default();
        let size = (self.width, self.height);
        Upsampling::default().upsample(&self.values, size, factor, mode, &mut mask);
        mask
    }
}

wide! {
    /// One running sum would wait for each addition to finish; these run side by side.
    fn sum(values: &[f32]) -> f64 {
        let mut lanes = [0.0; LANES];
        let (chunks, rest) = values.as_chunks::<LANES>();
        for chunk in chunks {
            for (lane, &value) in lanes.iter_mut().zip(chunk) {
                *lane += f64::from(value);
            }
        }
        for (lane, &value) in lanes.iter_mut().zip(rest) {
            *lane += f64::from(value);
        }
        lanes.iter().sum()
    }

    /// Of the values where `inside` is true.
    fn sum_over(values: &[f32], inside: &[bool]) -> f64 {
        let mut lanes = [0.0; LANES];
        let (chunks, rest) = values.as_chunks::<LANES>();
        let (chunks_inside, rest_inside) = inside.as_chunks::<LANES>();
        for (chunk, inside) in chunks.iter().zip(chunks_inside) {
            for ((lane, &value), &inside) in lanes.iter_mut().zip(chunk).zip(inside) {
                *lane += f64::from(if inside { value } else { 0.0 });
            }
        }
        for ((lane, &value), &inside) in lanes.iter_mut().zip(rest).zip(rest_inside) {
            *lane += f64::from(if inside { value } else { 0.0 });
        }
        lanes.iter().sum()
    }
}

/// Sums side by side.
const LANES: usize = 8;

#[cfg(test)]
mod tests {
    use super::*;

    fn mask(width: usize, height: usize, values: &[f32]) -> Mask {
        Mask {
            width,
            height,
            values: values.to_vec(),
        }
    }

    #[test]
    fn the_mean_is_exact_where_f32_would_lose_digits() {
        // 2^24 + 1 is the first whole number that f32 cannot hold.
        assert_eq!(mask(2, 1, &[16_777_216.0, 1.0]).mean(), 8_388_608.5);
        assert_eq!(mask(224, 224, &[0.1; 50_176]).mean(), f64::from(0.1_f32));
    }

    #[test]
    fn a_mask_without_pixels_is_harmless() {
        let nothing = Mask::default();
        assert_eq!(nothing.mean(), 0.0);
        assert_eq!(nothing.mean_over(&BinaryMask::default()), 0.0);
        assert_eq!(nothing.upsample(4, Upsample::Nearest), nothing);
        assert_eq!(nothing.upsample(4, Upsample::Bilinear), nothing);
        let binary_mask = nothing.binarize(&Binarization::default());
        assert_eq!(binary_mask, BinaryMask::default());
        assert_eq!(binary_mask.largest_component(), None);
    }

    #[test]
    fn a_mask_with_a_nan_has_no_box() {
        let broken = mask(2, 2, &[0.1, f32::NAN, 0.9, 0.9]);
        assert!(broken.mean().is_nan());
        for rule in [BinarizationRule::Quantile, BinarizationRule::Mean] {
            let binary_mask = broken.binarize(&Binarization {
                rule,
                ..Binarization::default()
            });
            assert_eq!(binary_mask.values, [false; 4]);
            assert_eq!(binary_mask.largest_component(), None);
        }
    }

    #[test]
    fn the_mean_over_a_region_ignores_what_lies_outside() {
        let region = BinaryMask {
            width: 3,
            height: 1,
            values: vec![true, false, true],
        };
        assert_eq!(mask(3, 1, &[0.25, f32::NAN, 0.75]).mean_over(&region), 0.5);
        let nowhere = BinaryMask {
            width: 3,
            height: 1,
            values: vec![false; 3],
        };
        assert_eq!(mask(3, 1, &[1.0; 3]).mean_over(&nowhere), 0.0);
    }

    #[test]
    fn nearest_repeats_every_value() {
        let large = mask(2, 2, &[1.0, 2.0, 3.0, 4.0]).upsample(2, Upsample::Nearest);
        assert_eq!((large.width, large.height), (4, 4));
        let expected = [1, 1, 2, 2, 1, 1, 2, 2, 3, 3, 4, 4, 3, 3, 4, 4].map(|value| value as f32);
        assert_eq!(large.values, expected);
    }

    /// By hand: with factor 2 the output centres lie at -¼ (held at 0), ¼, ¾ and 1¼ (held at 1).
    #[test]
    fn bilinear_blends_between_centres_and_holds_the_border() {
        let wide = mask(2, 1, &[0.0, 1.0]).upsample(2, Upsample::Bilinear);
        assert_eq!((wide.width, wide.height), (4, 2));
        assert_eq!(wide.values, [0.0, 0.25, 0.75, 1.0, 0.0, 0.25, 0.75, 1.0]);
        let high = mask(1, 2, &[0.0, 1.0]).upsample(2, Upsample::Bilinear);
        assert_eq!(high.values, [0.0, 0.0, 0.25, 0.25, 0.75, 0.75, 1.0, 1.0]);
    }
}

//! Masks of pictures → a last layer that gives the same masks with more contrast and a wanted mean.
//!
//! A mask is σ(l) with the last convolution's values l. σ(k (l + b)) has the same order of pixels: no object
//! is found elsewhere. But the larger k, the nearer are its values to yes and no, and b moves the mean of the
//! masks, to which the quantile rule (the paper, section 5.2) cuts. Not part of the paper.

use anyhow::{Context, ensure};
use casm::checkpoint::NamedTensor;

/// The decoder's last convolution, which gives l.
const LAST: &str = "decoder.final.0";
/// How far from 0 and 1 a mask's value is taken to be at least: in f32 it may be one of them.
const LEAST: f64 = 1e-7;
/// Halvings of the interval in which b is looked for.
const HALVINGS: usize = 60;

/// What is done to l.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Sharpening {
    /// k, above 0; 1 leaves the contrast as it is.
    pub contrast: f64,
    /// b.
    pub offset: f64,
}

impl Sharpening {
    /// The one with this `contrast` with which `masks`, values in [0, 1], have the mean `area`, in (0, 1).
    ///
    /// # Errors
    /// `contrast` or `area` is out of its range; there are no masks.
    pub fn new(masks: &[f32], contrast: f64, area: f64) -> anyhow::Result<Sharpening> {
        ensure!(
            contrast.is_finite() && contrast > 0.0,
            "--contrast is {contrast}, but must be above 0"
        );
        ensure!(
            0.0 < area && area < 1.0,
            "--area is {area}, but must be between 0 and 1"
        );
        ensure!(!masks.is_empty(), "there are no masks");
        let logits: Vec<f64> = masks.iter().map(|&mask| logit(f64::from(mask))).collect();
        let mean = |offset: f64| {
            let sum: f64 = logits
                .iter()
                .map(|l| sigmoid(contrast * (l + offset)))
                .sum();
            sum / logits.len() as f64
        };
        // l is within ±16.2, and so is b: the mean grows with it.
        let (mut low, mut high) = (-40.0, 40.0);
        for _ in 0..HALVINGS {
            let middle = (low + high) / 2.0;
            match mean(middle) < area {
                true => low = middle,
                false => high = middle,
            }
        }
        Ok(Sharpening {
            contrast,
            offset: (low + high) / 2.0,
        })
    }

    /// Puts it into the last convolution among `tensors`.
    ///
    /// # Errors
    /// There is no such convolution.
    pub fn apply(self, tensors: &mut [NamedTensor]) -> anyhow::Result<()> {
        let scaled = |value: f32, offset: f64| (self.contrast * (f64::from(value) + offset)) as f32;
        for (part, offset) in [("weight", 0.0), ("bias", self.offset)] {
            let name = format!("{LAST}.{part}");
            let tensor = tensors.iter_mut().find(|tensor| tensor.name == name);
            let tensor = tensor.with_context(|| format!("it has no tensor {name}"))?;
            for value in &mut tensor.values {
                *value = scaled(*value, offset);
            }
        }
        Ok(())
    }
}

fn logit(mask: f64) -> f64 {
    let mask = mask.clamp(LEAST, 1.0 - LEAST);
    (mask / (1.0 - mask)).ln()
}

fn sigmoid(value: f64) -> f64 {
    1.0 / (1.0 + (-value).exp())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mean_becomes_what_was_asked_for() {
        // By hand: logits ln 3 and -ln 3; with contrast 2 masks of 0.9 and 0.1 have the mean 0.5, without an
        // offset. All logits ln 3: b = logit(0.2) / 2 - ln 3.
        let sharpening = Sharpening::new(&[0.75, 0.25], 2.0, 0.5).expect("two masks");
        assert!(sharpening.offset.abs() < 1e-6, "{sharpening:?}");
        let sharpening = Sharpening::new(&[0.75; 3], 2.0, 0.2).expect("three masks");
        let expected = 0.25_f64.ln() / 2.0 - 3.0_f64.ln();
        assert!(
            (sharpening.offset - expected).abs() < 1e-6,
            "{sharpening:?}"
        );
    }

    #[test]
    fn masks_that_are_wholly_yes_or_no_have_an_offset() {
        // Half of the values can become no more and no less than the others allow: 0.75 of all.
        let sharpening = Sharpening::new(&[0.0, 1.0], 1.0, 0.75).expect("two masks");
        let logit = (1.0 - LEAST) / LEAST;
        let mean = (sigmoid(logit.ln() + sharpening.offset)
            + sigmoid(-logit.ln() + sharpening.offset))
            / 2.0;
        assert!((mean - 0.75).abs() < 1e-6, "{sharpening:?}: {mean}");
    }

    #[test]
    fn the_last_convolution_takes_it_in() {
        let tensor = |name: &str, values: &[f32]| NamedTensor {
            name: name.to_owned(),
            shape: vec![values.len()],
            values: values.to_vec(),
        };
        let mut tensors = [
            tensor("decoder.final.0.bias", &[0.5]),
            tensor("decoder.final.0.weight", &[1.0, -2.0]),
            tensor("decoder.conv1x1_1.0.weight", &[7.0]),
        ];
        let sharpening = Sharpening {
            contrast: 3.0,
            offset: -1.0,
        };
        sharpening.apply(&mut tensors).expect("a decoder");
        // k (l + b) with l = w x + c: weights k w, bias k (c + b).
        assert_eq!(tensors[0].values, [-1.5]);
        assert_eq!(tensors[1].values, [3.0, -6.0]);
        assert_eq!(tensors[2].values, [7.0]);
        let error = sharpening.apply(&mut tensors[..1]).expect_err("no weight");
        assert!(error.to_string().contains("decoder.final.0.weight"));
    }

    #[test]
    fn senseless_numbers_are_refused() {
        for (contrast, area, option) in [
            (0.0, 0.5, "--contrast"),
            (f64::NAN, 0.5, "--contrast"),
            (1.0, 0.0, "--area"),
            (1.0, 1.0, "--area"),
        ] {
            let error = Sharpening::new(&[0.5], contrast, area).expect_err("senseless");
            assert!(error.to_string().contains(option), "{error}");
        }
        assert!(Sharpening::new(&[], 1.0, 0.5).is_err());
    }
}

//! From mask to box: which rule makes the mask binary.

use std::fmt;
use std::str::FromStr;

use casm::mask::{Binarization, BinarizationRule, BinaryMask, BoundingBox};
use casm::{Mask, Resize};

/// How a mask is made binary.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Rule {
    /// By the mask's own mean (Eq. 9, both readings).
    Binarization(Binarization),
    /// What is above a fixed value.
    Threshold(f32),
}

impl Rule {
    /// The box of the largest component of what the rule marks, in pixels of the mask; `None` if it marks
    /// nothing.
    pub fn bounding_box(&self, mask: &Mask) -> Option<BoundingBox> {
        let binary_mask = match *self {
            Rule::Binarization(binarization) => mask.binarize(&binarization),
            Rule::Threshold(threshold) => BinaryMask {
                width: mask.width,
                height: mask.height,
                values: mask.values.iter().map(|&value| value > threshold).collect(),
            },
        };
        let component = binary_mask.largest_component()?;
        Some(component.bounding_box)
    }
}

/// `quantile`, `mean:1.2`, `quantile:1:4`, `value>0.5`.
impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Rule::Threshold(threshold) => write!(f, "value>{threshold}"),
            Rule::Binarization(Binarization {
                rule,
                alpha,
                erosion,
            }) => {
                f.write_str(match rule {
                    BinarizationRule::Quantile => "quantile",
                    BinarizationRule::Mean => "mean",
                })?;
                match (*alpha, *erosion) {
                    (1.0, 0) => Ok(()),
                    (alpha, 0) => write!(f, ":{alpha}"),
                    (alpha, erosion) => write!(f, ":{alpha}:{erosion}"),
                }
            }
        }
    }
}

/// `quantile` or `mean`, with a factor on the mean after a colon, and pixels of erosion after another.
impl FromStr for Rule {
    type Err = String;

    fn from_str(text: &str) -> Result<Rule, String> {
        let (name, factors) = text.split_once(':').unwrap_or((text, "1"));
        let (alpha, erosion) = factors.split_once(':').unwrap_or((factors, "0"));
        let rule = match name {
            "quantile" => BinarizationRule::Quantile,
            "mean" => BinarizationRule::Mean,
            _ => {
                return Err("it is none of quantile, mean, quantile:FACTOR, mean:FACTOR, quantile:FACTOR:EROSION".to_owned());
            }
        };
        let erosion = erosion
            .parse()
            .map_err(|_| format!("the erosion '{erosion}' must be a number of pixels"))?;
        match alpha.parse() {
            Ok(alpha) if f64::is_finite(alpha) && alpha > 0.0 => {
                Ok(Rule::Binarization(Binarization {
                    rule,
                    alpha,
                    erosion,
                }))
            }
            _ => Err(format!("the factor '{alpha}' must be a number above zero")),
        }
    }
}

/// "crop" or "stretch".
pub fn resize_name(resize: Resize) -> &'static str {
    match resize {
        Resize::Crop => "crop",
        Resize::Stretch => "stretch",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_are_written_as_they_are_read() {
        for text in ["quantile", "mean", "mean:1.5", "quantile:0.25", "mean:1:4"] {
            assert_eq!(
                text.parse::<Rule>().map(|rule| rule.to_string()),
                Ok(text.to_owned())
            );
        }
        for wrong in [
            "median",
            "mean:",
            "mean:0",
            "mean:inf",
            "quantile:-1",
            "quantile:1:-1",
        ] {
            assert!(wrong.parse::<Rule>().is_err(), "{wrong}");
        }
    }

    /// By hand: above a half lie two pixels that touch, and one alone; equal is not above.
    #[test]
    fn a_fixed_threshold_marks_what_is_above_it() {
        let mask = Mask {
            width: 5,
            height: 1,
            values: vec![0.9, 0.5, 0.6, 0.7, 0.1],
        };
        let expected = BoundingBox {
            x: 2,
            y: 0,
            width: 2,
            height: 1,
        };
        assert_eq!(Rule::Threshold(0.5).bounding_box(&mask), Some(expected));
        assert_eq!(Rule::Threshold(0.9).bounding_box(&mask), None);
    }
}

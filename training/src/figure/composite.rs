//! A picture and a binary mask → masked-in and masked-out picture.

use std::fmt;
use std::str::FromStr;

use casm::mask::BinaryMask;
use image::{Rgb, RgbImage};

use super::inpaint;

/// From how far away the paper's figures fill a hole, in pixels.
pub const INPAINT_RADIUS: u32 = 3;

/// What masked pixels become.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Fill {
    /// 0, as the released code's classification of masked pictures does (Figure 3).
    Black,
    /// The mean colour that the network subtracts: 0 after normalisation, as in training.
    Mean,
    /// Equal red, green and blue, in [0, 1]; the released code's Figure 2 has 0.35.
    Grey(f64),
}

impl Fill {
    /// The colour; `mean` is the network's, RGB in [0, 1].
    pub fn color(self, mean: [f32; 3]) -> Rgb<u8> {
        // Saturates at 0 and 255.
        let level = |share: f64| (share * 255.0).round() as u8;
        match self {
            Fill::Black => Rgb([0; 3]),
            Fill::Mean => Rgb(mean.map(|share| level(f64::from(share)))),
            Fill::Grey(share) => Rgb([level(share); 3]),
        }
    }
}

impl FromStr for Fill {
    type Err = String;

    fn from_str(text: &str) -> Result<Fill, String> {
        match text {
            "black" => return Ok(Fill::Black),
            "mean" => return Ok(Fill::Mean),
            _ => {}
        }
        text.strip_prefix("grey=")
            .and_then(|share| share.parse().ok())
            .filter(|share| (0.0..=1.0).contains(share))
            .map(Fill::Grey)
            .ok_or_else(|| "must be mean, black, or grey=V with V from 0 to 1".to_owned())
    }
}

impl fmt::Display for Fill {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Fill::Black => write!(f, "black"),
            Fill::Mean => write!(f, "mean"),
            Fill::Grey(share) => write!(f, "grey={share}"),
        }
    }
}

/// The marked pixels of `picture`, the others filled: b x.
///
/// # Panics
/// If the mask has another size than the picture; so does [`masked_out`].
pub fn masked_in(picture: &RgbImage, mask: &BinaryMask, fill: Rgb<u8>) -> RgbImage {
    keep(picture, mask, true, fill)
}

/// The unmarked pixels of `picture`, the others filled: (1 - b) x.
pub fn masked_out(picture: &RgbImage, mask: &BinaryMask, fill: Rgb<u8>) -> RgbImage {
    keep(picture, mask, false, fill)
}

/// What classifiers are shown of a picture (Figure 3): masked-in, masked-out and inpainted, black where
/// masked.
///
/// # Panics
/// If the mask has another size than the picture.
pub fn masked_versions(picture: &RgbImage, mask: &BinaryMask) -> [RgbImage; 3] {
    let black = Rgb([0; 3]);
    let out = masked_out(picture, mask, black);
    let inpainted = inpaint(&out, mask, INPAINT_RADIUS);
    [masked_in(picture, mask, black), out, inpainted]
}

fn keep(picture: &RgbImage, mask: &BinaryMask, kept: bool, fill: Rgb<u8>) -> RgbImage {
    let (width, height) = picture.dimensions();
    assert_eq!(
        (width as usize, height as usize),
        (mask.width, mask.height),
        "size of picture and mask"
    );
    let mut result = picture.clone();
    for (pixel, &marked) in result.pixels_mut().zip(&mask.values) {
        if marked != kept {
            *pixel = fill;
        }
    }
    result
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_in_one_is_filled_in_the_other() {
        let picture = RgbImage::from_fn(2, 1, |x, _| Rgb([10 + x as u8; 3]));
        let mask = BinaryMask {
            width: 2,
            height: 1,
            values: vec![true, false],
        };
        let fill = Rgb([1, 2, 3]);
        let (inside, outside) = (
            masked_in(&picture, &mask, fill),
            masked_out(&picture, &mask, fill),
        );
        assert_eq!(inside.into_raw(), [10, 10, 10, 1, 2, 3]);
        assert_eq!(outside.into_raw(), [1, 2, 3, 11, 11, 11]);
    }

    /// By hand: 0.35 · 255 = 89.25; ImageNet's mean is 123.7, 116.3, 103.5 levels.
    #[test]
    fn fills_have_the_stated_colours() {
        let mean = casm::header::IMAGENET_MEAN;
        let color = |text: &str| text.parse::<Fill>().map(|fill| fill.color(mean).0);
        assert_eq!(color("black"), Ok([0, 0, 0]));
        assert_eq!(color("mean"), Ok([124, 116, 104]));
        assert_eq!(color("grey=0.35"), Ok([89, 89, 89]));
        for wrong in ["", "grey", "grey=", "grey=1.01", "grey=NaN", "white"] {
            assert!(wrong.parse::<Fill>().is_err(), "{wrong}");
        }
        for fill in ["black", "mean", "grey=0.35"] {
            assert_eq!(
                fill.parse::<Fill>().map(|fill| fill.to_string()),
                Ok(fill.to_owned())
            );
        }
    }
}

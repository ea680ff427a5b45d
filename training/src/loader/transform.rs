//! Picture of any size → the network's input.

use casm::geometry::{Geometry, Resize};
use image::RgbImage;
use rand::{Rng, RngExt};

use super::View;
use super::config::LARGEST;
use crate::picture::{self, Region};

/// How often a random crop is drawn before the centre is taken; torchvision's number.
const TRIES: usize = 10;

/// How a picture becomes `size` x `size` pixels.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Transform {
    /// A random part, as torchvision's `RandomResizedCrop` and `RandomHorizontalFlip` take it.
    Train {
        /// Smallest and largest share of the picture's area, in (0, 1]; the paper's: 0.08 to 1.
        scale: (f64, f64),
        /// Smallest and largest width / height; the paper's: 3/4 to 4/3.
        ratio: (f64, f64),
        /// Probability that all of the picture is taken instead, the aspect ratio not kept; the paper's: 0.
        whole: f64,
        /// Side in pixels that the picture is squashed to before a part is taken of it: crops of all shapes
        /// are then as large as their share of it says, and as coarse; the paper's: none.
        squash: Option<u32>,
        /// Whether every second picture is mirrored.
        flip: bool,
        /// How far brightness and contrast are changed, each by a factor of up to 1 ± this; the paper's: 0.
        jitter: f64,
    },
    /// Short side to `short` pixels, then the centre: for validation, 256 with a size of 224.
    Crop {
        /// At least the size of the input.
        short: u32,
    },
    /// All of it, the aspect ratio not kept.
    Stretch,
}

impl Transform {
    /// What the paper trains with.
    pub const TRAIN: Transform = Transform::Train {
        scale: (0.08, 1.0),
        ratio: (3.0 / 4.0, 4.0 / 3.0),
        whole: 0.0,
        squash: None,
        flip: true,
        jitter: 0.0,
    };

    /// The input made of a picture, and what it shows of it. Only [`Transform::Train`] draws from `random`.
    pub fn apply(self, picture: &RgbImage, size: u32, random: &mut impl Rng) -> (RgbImage, View) {
        match self {
            Transform::Train {
                scale,
                ratio,
                whole,
                squash,
                flip,
                jitter,
            } => {
                let squashed = squash.map(|side| picture::stretch(picture, side));
                let picture = squashed.as_ref().unwrap_or(picture);
                // Nothing is drawn where nothing can come of it: the other draws stay what they were.
                let region = match whole > 0.0 && random.random_bool(whole) {
                    true => Region::whole(picture),
                    false => random_region(picture.dimensions(), scale, ratio, random),
                };
                let mut input = picture::resize(picture, region, size, size);
                let mirrored = flip && random.random_bool(0.5);
                if mirrored {
                    image::imageops::flip_horizontal_in_place(&mut input);
                }
                if jitter > 0.0 {
                    let mut factor = || random.random_range(1.0 - jitter..=1.0 + jitter);
                    change_light(&mut input, factor(), factor());
                }
                (input, View::new(region, picture.dimensions(), mirrored))
            }
            Transform::Crop { short } => {
                let (width, height) = picture.dimensions();
                let resized = Geometry::new(Resize::Crop, width, height, short.max(size)).resized;
                let input = picture::crop(picture, short, size);
                (input, View::central(size, resized))
            }
            Transform::Stretch => (picture::stretch(picture, size), View::WHOLE),
        }
    }

    /// Says what is wrong with the numbers, if anything.
    pub(super) fn check(self, size: u32) -> anyhow::Result<()> {
        match self {
            Transform::Train {
                scale,
                ratio,
                whole,
                squash,
                jitter,
                ..
            } => {
                anyhow::ensure!(
                    squash.is_none_or(|side| (1..=LARGEST).contains(&side)),
                    "pictures are squashed to {} pixels, but it must be 1 to {LARGEST}",
                    squash.unwrap_or_default()
                );
                anyhow::ensure!(
                    (0.0..1.0).contains(&jitter),
                    "the change of light is {jitter}, but must be from 0 to below 1"
                );
                anyhow::ensure!(
                    (0.0..=1.0).contains(&whole),
                    "the share of whole pictures is {whole}, but must be from 0 to 1"
                );
                anyhow::ensure!(
                    0.0 < scale.0 && scale.0 <= scale.1 && scale.1 <= 1.0,
                    "the scale of crops is {} to {}, but must be within 0 and 1",
                    scale.0,
                    scale.1
                );
                anyhow::ensure!(
                    0.0 < ratio.0 && ratio.0 <= ratio.1 && ratio.1.is_finite(),
                    "the aspect ratio of crops is {} to {}, but must be above zero",
                    ratio.0,
                    ratio.1
                );
            }
            Transform::Crop { short } => anyhow::ensure!(
                short >= size,
                "the short side is {short} pixels, but the crop of it {size}"
            ),
            Transform::Stretch => {}
        }
        Ok(())
    }
}

/// Multiplies levels by `brightness`, then their distances from the mean level by `contrast`.
fn change_light(picture: &mut RgbImage, brightness: f64, contrast: f64) {
    let levels = picture.as_raw();
    let sum: u64 = levels.iter().map(|&level| u64::from(level)).sum();
    let mean = brightness * sum as f64 / levels.len().max(1) as f64;
    let changed: [u8; 256] = std::array::from_fn(|level| {
        let level = (brightness * level as f64 - mean) * contrast + mean;
        level.round().clamp(0.0, 255.0) as u8
    });
    for level in picture.iter_mut() {
        *level = changed[usize::from(*level)];
    }
}

/// A part of a picture with a random area, aspect ratio and position.
///
/// Area: uniform share `scale` of the picture's. Width / height: within `ratio`, its logarithm uniform.
/// If none of ten draws fits, the largest central part whose width / height is within `ratio`.
fn random_region(
    (width, height): (u32, u32),
    scale: (f64, f64),
    ratio: (f64, f64),
    random: &mut impl Rng,
) -> Region {
    let (full_width, full_height) = (f64::from(width), f64::from(height));
    for _ in 0..TRIES {
        let area = full_width * full_height * random.random_range(scale.0..=scale.1);
        let ratio = random.random_range(ratio.0.ln()..=ratio.1.ln()).exp();
        let part_width = (area * ratio).sqrt().round_ties_even();
        let part_height = (area / ratio).sqrt().round_ties_even();
        let fits = |part: f64, full: f64| 1.0 <= part && part <= full;
        if fits(part_width, full_width) && fits(part_height, full_height) {
            let (part_width, part_height) = (part_width as u32, part_height as u32);
            return Region {
                x: random.random_range(0..=width - part_width),
                y: random.random_range(0..=height - part_height),
                width: part_width,
                height: part_height,
            };
        }
    }
    let whole = full_width / full_height;
    let limit = |part: f64, full: u32| (part.round_ties_even() as u32).clamp(1, full.max(1));
    let (part_width, part_height) = if whole < ratio.0 {
        (width, limit(full_width / ratio.0, height))
    } else if whole > ratio.1 {
        (limit(full_height * ratio.1, width), height)
    } else {
        (width, height)
    };
    Region {
        x: (width - part_width) / 2,
        y: (height - part_height) / 2,
        width: part_width,
        height: part_height,
    }
}

#[cfg(test)]
mod tests;

//! Masks that look at no picture, for comparison (Figure 3).

use std::fmt;
use std::str::FromStr;

use casm::mask::BinaryMask;
use rand::RngExt;

use crate::random::{Stream, generator};

/// A mask that looks at no picture.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ToyMask {
    /// Nothing is marked.
    Zero,
    /// Everything is marked.
    One,
    /// Blocks of 4 x 4 pixels (a grid of 56 x 56 at the paper's 224 pixels), each marked with
    /// probability ½.
    Random56,
    /// Single pixels, each marked with probability ½.
    Random224,
}

impl ToyMask {
    /// All there are.
    pub const ALL: [ToyMask; 4] = [
        ToyMask::Zero,
        ToyMask::One,
        ToyMask::Random56,
        ToyMask::Random224,
    ];

    /// Its name on the command line.
    pub fn name(self) -> &'static str {
        match self {
            ToyMask::Zero => "zero",
            ToyMask::One => "one",
            ToyMask::Random56 => "random56",
            ToyMask::Random224 => "random224",
        }
    }

    /// The mask of `size` x `size` pixels for the picture number `index`.
    pub fn mask(self, size: usize, seed: u64, index: u64) -> BinaryMask {
        let mut generator = generator(seed, Stream::Toy, self as u64, index);
        let mut random = |side: usize| -> Vec<bool> {
            (0..side * side)
                .map(|_| generator.random_bool(0.5))
                .collect()
        };
        let values = match self {
            ToyMask::Zero => vec![false; size * size],
            ToyMask::One => vec![true; size * size],
            ToyMask::Random56 => {
                let side = size.div_ceil(4);
                let blocks = random(side);
                let block = |pixel: usize| blocks[pixel / size / 4 * side + pixel % size / 4];
                (0..size * size).map(block).collect()
            }
            ToyMask::Random224 => random(size),
        };
        BinaryMask {
            width: size,
            height: size,
            values,
        }
    }
}

impl FromStr for ToyMask {
    type Err = String;

    fn from_str(text: &str) -> Result<ToyMask, String> {
        let found = ToyMask::ALL.into_iter().find(|toy| toy.name() == text);
        found.ok_or_else(|| {
            let names = ToyMask::ALL.map(ToyMask::name).join(", ");
            format!("no toy mask has this name; there are {names}")
        })
    }
}

impl fmt::Display for ToyMask {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn random_masks_mark_half_and_follow_seed_and_picture() {
        for toy in [ToyMask::Random56, ToyMask::Random224] {
            let mask = toy.mask(224, 1, 0);
            // 3,136 blocks: one standard deviation is 0.9 % of the picture.
            let share = mask.area() as f64 / 50_176.0;
            assert!((share - 0.5).abs() < 0.05, "{toy}: {share}");
            assert_eq!(mask, toy.mask(224, 1, 0));
            assert_ne!(mask, toy.mask(224, 1, 1));
            assert_ne!(mask, toy.mask(224, 2, 0));
        }
    }

    #[test]
    fn random56_is_constant_on_blocks_of_four_by_four() {
        let mask = ToyMask::Random56.mask(224, 0, 0);
        for y in 0..224 {
            for x in 0..224 {
                let corner = (y / 4 * 4) * 224 + x / 4 * 4;
                assert_eq!(mask.values[y * 224 + x], mask.values[corner], "{x} {y}");
            }
        }
    }

    #[test]
    fn names_are_read_back_and_wrong_ones_refused() {
        for toy in ToyMask::ALL {
            assert_eq!(toy.to_string().parse(), Ok(toy));
        }
        let error = "random".parse::<ToyMask>().unwrap_err();
        assert!(error.contains("random224"), "{error}");
    }
}

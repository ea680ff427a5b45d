//! Random numbers that depend on nothing but a seed and a place in the run.
//!
//! Each draw has a generator of its own, made of the run's seed, what the draw is for, and where in the
//! run it happens. So a resumed run draws what the uninterrupted one would have drawn without any
//! generator's state being stored, and the number of worker threads makes no difference.

use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

/// What numbers are drawn for; streams are independent of each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stream {
    /// Initial weights.
    Initialise = 0,
    /// The order of an epoch's pictures.
    Order = 1,
    /// Crop and flip of a picture.
    Augment = 2,
    /// Which classifier judges, and which slot of the thinning set is overwritten.
    Thinning = 3,
    /// Resampled pictures of a confidence interval.
    Bootstrap = 4,
    /// Which pictures and classes are chosen: subsets, figures.
    Choice = 5,
    /// Toy masks (Figure 3).
    Toy = 6,
}

/// The generator of `stream` at (`epoch`, `index`); the meaning of the two is the stream's own.
pub fn generator(seed: u64, stream: Stream, epoch: u64, index: u64) -> ChaCha8Rng {
    let mut key = [0; 32];
    for (part, word) in key
        .chunks_exact_mut(8)
        .zip([seed, stream as u64, epoch, index])
    {
        part.copy_from_slice(&word.to_le_bytes());
    }
    ChaCha8Rng::from_seed(key)
}

//! Confidence intervals: what the numbers would have been on other pictures of the same kind.
//!
//! B. Efron, *Bootstrap Methods: Another Look at the Jackknife*, The Annals of Statistics, 1979: as many
//! pictures as there are, are drawn from them with replacement, many times over; the interval holds the
//! middle 95 % of the results. It says nothing of other training runs, and nothing of pictures of
//! another kind.

use rand::RngExt;
use serde::Serialize;

use crate::random::{Stream, generator};

/// Share of the results that an interval holds.
pub const CONFIDENCE: f64 = 0.95;

/// A number and its interval.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Estimate {
    /// On the pictures as they are.
    pub value: f64,
    /// Lower end of the interval.
    pub low: f64,
    /// Upper end of the interval.
    pub high: f64,
}

/// Draws of pictures, the same for all numbers and models, so that differences are of the same pictures.
#[derive(Debug, Clone)]
pub struct Bootstrap {
    /// How often each picture was drawn, one list a draw.
    draws: Vec<Vec<u8>>,
    /// Each picture once: the pictures as they are.
    original: Vec<u8>,
}

impl Bootstrap {
    /// Draws `pictures` of `pictures`, `resamples` times. The same `seed` gives the same draws.
    pub fn new(pictures: usize, resamples: usize, seed: u64) -> Bootstrap {
        let draw = |index: usize| {
            let mut random = generator(seed, Stream::Bootstrap, 0, index as u64);
            let mut counts = vec![0u8; pictures];
            for _ in 0..pictures {
                let count = &mut counts[random.random_range(0..pictures)];
                *count = count.saturating_add(1);
            }
            counts
        };
        Bootstrap {
            draws: (0..resamples).map(draw).collect(),
            original: vec![1; pictures],
        }
    }

    /// Number of pictures that are drawn from.
    pub fn pictures(&self) -> usize {
        self.original.len()
    }

    /// The mean of `values`, one a picture. NaN without pictures.
    pub fn mean(&self, values: &[f64]) -> Estimate {
        self.mean_within(values, |_| true)
    }

    /// The mean over those pictures, by index, that `within` holds for: a class, a subset of classes.
    pub fn mean_within(&self, values: &[f64], within: impl Fn(usize) -> bool) -> Estimate {
        let chosen: Vec<usize> = (0..values.len()).filter(|&index| within(index)).collect();
        self.estimate(|counts| {
            let (mut sum, mut weight) = (0.0, 0.0);
            for &index in &chosen {
                let count = f64::from(counts[index]);
                sum += count * values[index];
                weight += count;
            }
            sum / weight
        })
    }

    /// Any number that can be computed from how often each picture counts.
    pub fn estimate(&self, statistic: impl Fn(&[u8]) -> f64) -> Estimate {
        let value = statistic(&self.original);
        let mut results: Vec<f64> = self
            .draws
            .iter()
            .map(|counts| statistic(counts))
            // A draw without a picture of the class says nothing of it.
            .filter(|result| !result.is_nan())
            .collect();
        results.sort_unstable_by(f64::total_cmp);
        let tail = (1.0 - CONFIDENCE) / 2.0;
        Estimate {
            value,
            low: quantile(&results, tail),
            high: quantile(&results, 1.0 - tail),
        }
    }
}

/// Of sorted values, between neighbours in proportion; NaN of none.
fn quantile(sorted: &[f64], share: f64) -> f64 {
    let Some(last) = sorted.len().checked_sub(1) else {
        return f64::NAN;
    };
    let position = share * last as f64;
    let below = position as usize;
    let above = (below + 1).min(last);
    sorted[below] + (position - below as f64) * (sorted[above] - sorted[below])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_gives_the_same_interval_and_another_another() {
        let values: Vec<f64> = (0..50).map(|index| f64::from(index % 3)).collect();
        let estimate = |seed| Bootstrap::new(50, 200, seed).mean(&values);
        assert_eq!(estimate(1), estimate(1));
        assert_ne!(estimate(1), estimate(2));
    }

    #[test]
    fn every_draw_has_as_many_pictures_as_there_are() {
        for counts in Bootstrap::new(37, 20, 0).draws {
            assert_eq!(counts.into_iter().map(usize::from).sum::<usize>(), 37);
        }
    }

    /// A share p of n pictures has a standard error of √(p (1 - p) / n): 0.0217 for 0.3 of 450, and an
    /// interval of ±1.96 of these. 2000 draws know its ends to a few hundredths of its width.
    #[test]
    fn the_interval_of_a_share_is_that_of_the_binomial_distribution() {
        let values: Vec<f64> = (0..450)
            .map(|index| f64::from(u8::from(index % 10 < 3)))
            .collect();
        let Estimate { value, low, high } = Bootstrap::new(450, 2000, 7).mean(&values);
        let half = 1.96 * (0.3f64 * 0.7 / 450.0).sqrt();
        assert!((value - 0.3).abs() < 1e-12);
        assert!((low - (0.3 - half)).abs() < 0.006, "{low}");
        assert!((high - (0.3 + half)).abs() < 0.006, "{high}");
    }

    #[test]
    fn a_part_is_averaged_alone_and_nothing_has_no_interval() {
        let bootstrap = Bootstrap::new(4, 100, 0);
        let part = bootstrap.mean_within(&[1.0, 1.0, 9.0, 9.0], |index| index < 2);
        assert_eq!((part.value, part.low, part.high), (1.0, 1.0, 1.0));
        let nothing = bootstrap.mean_within(&[1.0; 4], |_| false);
        assert!(nothing.value.is_nan() && nothing.low.is_nan());
    }

    /// By hand: of 0, 1, 2, 3 the quarter lies at position ¾.
    #[test]
    fn quantiles_lie_between_their_neighbours() {
        assert_eq!(quantile(&[0.0, 1.0, 2.0, 3.0], 0.25), 0.75);
        assert_eq!(quantile(&[5.0], 0.9), 5.0);
        assert!(quantile(&[], 0.5).is_nan());
    }
}

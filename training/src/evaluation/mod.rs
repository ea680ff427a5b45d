//! How good masks and boxes are: pure functions on numbers, averaged over pictures by the caller.
//!
//! | module | what | the paper |
//! |---|---|---|
//! | [`annotation`] | ground-truth boxes: original picture → network input | section 5.1 |
//! | [`score`] | LE, OM and F1 of one picture; classification of one picture | Eq. 10, Tables 1 and 2, Figure 3 |
//! | [`statistics`] | average, spread, entropy and total variation of masks | section 6.1 |
//!
//! All shares are in [0, 1], not in percent.

pub mod annotation;
pub mod score;
pub mod statistics;

pub use annotation::Annotation;
pub use score::{BoxScore, ClassificationScore, LocalizationScore};
pub use statistics::{MaskStatistics, RunningStatistics, Statistics};

/// A weighted average that grows.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Average {
    sum: f64,
    weight: f64,
}

impl Average {
    /// Takes in a value that counts `weight` times.
    pub fn add(&mut self, value: f64, weight: f64) {
        self.sum += value * weight;
        self.weight += weight;
    }

    /// The average so far; NaN before the first value.
    pub fn value(&self) -> f64 {
        self.sum / self.weight
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_average_weighs_its_values() {
        let mut average = Average::default();
        assert!(average.value().is_nan());
        average.add(1.0, 3.0);
        average.add(5.0, 1.0);
        assert_eq!(average.value(), 2.0);
    }
}

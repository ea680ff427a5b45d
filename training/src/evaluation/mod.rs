//! How good masks and boxes are.
//!
//! | module | what | the paper |
//! |---|---|---|
//! | [`annotated`] | folders and archives → pictures with ground-truth boxes | section 5.1 |
//! | [`annotation`] | ground-truth boxes: original picture → network input | section 5.1 |
//! | [`options`] | what is measured | |
//! | [`prediction`] | pictures → masks → scores, with any network behind a closure | section 5.1 |
//! | [`rule`] | mask → box, by several rules | Eq. 9 |
//! | [`score`] | LE, OM and F1 of one picture; classification of one picture | Eq. 10, Tables 1 and 2, Figure 3 |
//! | [`statistics`] | average, spread, entropy and total variation of masks | section 6.1 |
//! | [`picture_score`] | all of these for one picture, and boxes that need no network | |
//! | [`scores`] | all pictures, and their means | Tables 1 and 2 |
//! | [`max_box`] | MaxBoxAcc and MaxBoxAccV2, today's protocol | |
//! | [`activation_map`] | class-activation maps of the same encoder, to compare with | |
//! | [`bootstrap`] | confidence intervals | |
//! | [`report`] | scores of all pictures → named numbers with intervals | Tables 1, 2, 3 |
//!
//! All shares are in [0, 1], not in percent.

pub mod activation_map;
pub mod annotated;
pub mod annotation;
pub mod bootstrap;
pub mod max_box;
pub mod options;
pub mod picture_score;
pub mod prediction;
pub mod report;
pub mod rule;
pub mod score;
pub mod scores;
pub mod statistics;

pub use activation_map::ActivationMap;
pub use annotated::{AnnotatedPicture, AnnotatedSet, Location};
pub use annotation::Annotation;
pub use bootstrap::{Bootstrap, Estimate};
pub use options::Options;
pub use picture_score::{PictureScore, Toy, ToyScore};
pub use prediction::{Predict, evaluate};
pub use report::Report;
pub use rule::Rule;
pub use score::{BoxScore, ClassificationScore, LocalizationScore};
pub use scores::{Scores, Summary};
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

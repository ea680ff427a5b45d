//! When a classifier is kept and who judges: pure decisions.

use rand::RngExt;
use serde::{Deserialize, Serialize};

use crate::random::{Stream, generator};

/// Where in the run a step is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Place {
    /// Steps done before this one, over all epochs.
    pub step: u64,
    /// Epoch, from 0.
    pub epoch: u64,
    /// Step within the epoch, from 0.
    pub iteration: u64,
}

/// What the first member of F is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum HistoryStart {
    /// The classifier after its first clean step: the released code.
    #[default]
    Stepped,
    /// The initial classifier, f(0): the paper.
    Pretrained,
}

/// Who judges a step's masks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Judge {
    /// The classifier as it is now.
    Current,
    /// The kept one in this slot of F.
    Kept(usize),
}

/// How F is filled and drawn from.
///
/// Strategy L is probability 0; F is that with a fixed classifier; FL keeps one classifier for ever;
/// L100 and L1000 keep one every 100 or 1000 steps.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ThinningPolicy {
    /// Probability that a kept classifier judges, 0 to 1; nothing is kept at 0.
    pub probability: f64,
    /// A classifier is kept every so many steps of an epoch; the count starts again with each epoch.
    pub every: u64,
    /// Largest size of F; then a random slot is overwritten.
    pub size: usize,
    /// What is kept first.
    pub start: HistoryStart,
}

impl ThinningPolicy {
    /// The slot that the classifier takes at `place`, after its clean step, if it is kept. `kept`: the
    /// size of F. A slot equal to `kept` is a new one.
    pub fn slot(&self, seed: u64, place: Place, kept: usize) -> Option<usize> {
        let every = self.every.max(1);
        let due = place.iteration % every == every - 1 || kept == 0;
        if self.probability <= 0.0 || self.size == 0 || !due {
            return None;
        }
        if kept < self.size {
            return Some(kept);
        }
        Some(self.draws(seed, place).0 % kept)
    }

    /// Who judges at `place`, F having `kept` members. The one just kept can be drawn too, as in the
    /// released code.
    pub fn judge(&self, seed: u64, place: Place, kept: usize) -> Judge {
        let (_, share, member) = self.draws(seed, place);
        if kept == 0 || share >= self.probability {
            return Judge::Current;
        }
        Judge::Kept(member % kept)
    }

    /// All draws of a step, always made in the same order: slot, share, member.
    fn draws(&self, seed: u64, place: Place) -> (usize, f64, usize) {
        let mut generator = generator(seed, Stream::Thinning, place.epoch, place.iteration);
        // 32 bits, so that the numbers do not depend on the size of usize.
        let slot = generator.random::<u32>() as usize;
        let share = generator.random::<f64>();
        let member = generator.random::<u32>() as usize;
        (slot, share, member)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn policy(probability: f64, every: u64) -> ThinningPolicy {
        ThinningPolicy {
            probability,
            every,
            size: 30,
            start: HistoryStart::Stepped,
        }
    }

    fn place(iteration: u64) -> Place {
        Place {
            step: iteration,
            epoch: 0,
            iteration,
        }
    }

    #[test]
    fn without_history_nobody_is_kept_and_the_current_classifier_judges() {
        let policy = policy(0.0, 100);
        assert!((0..500).all(|i| policy.slot(1, place(i), 0).is_none()));
        assert!((0..500).all(|i| policy.judge(1, place(i), 0) == Judge::Current));
    }

    #[test]
    fn kept_classifiers_judge_as_often_as_asked_and_evenly() {
        let policy = policy(0.5, 100);
        let mut counts = [0; 3];
        let mut current = 0;
        for iteration in 0..6000 {
            match policy.judge(7, place(iteration), 3) {
                Judge::Current => current += 1,
                Judge::Kept(slot) => counts[slot] += 1,
            }
        }
        // Binomial: the standard deviations are 39 and 29; five of each.
        assert!((2805..=3195).contains(&current), "{current}");
        assert!(
            counts.iter().all(|&n| (855..=1145).contains(&n)),
            "{counts:?}"
        );
    }

    #[test]
    fn a_full_set_overwrites_slots_at_random() {
        let policy = policy(0.5, 1);
        let slots: std::collections::BTreeSet<_> = (0..500)
            .map(|i| policy.slot(7, place(i), 30).expect("every step"))
            .collect();
        assert_eq!(
            slots.len(),
            30,
            "500 draws leave a slot out once in 2 million"
        );
        assert!(slots.iter().all(|&slot| slot < 30));
    }

    #[test]
    fn the_same_place_draws_the_same() {
        let policy = policy(0.5, 100);
        let draws =
            |seed| -> Vec<Judge> { (0..50).map(|i| policy.judge(seed, place(i), 30)).collect() };
        assert_eq!(draws(1), draws(1));
        assert_ne!(draws(1), draws(2));
    }
}

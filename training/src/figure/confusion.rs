//! What masks do to classifiers, in numbers (the paper, section 6.2 and Figure 3).

use std::collections::BTreeMap;
use std::fmt;

use serde::Serialize;

use crate::evaluation::{Average, ClassificationScore};

/// What is shown to a classifier.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Condition {
    /// The picture.
    Clean,
    /// Only what the mask marks: b x.
    MaskedIn,
    /// Only what it does not: (1 - b) x.
    MaskedOut,
    /// The masked-out picture, with the hole filled in from around it.
    Inpainted,
}

impl Condition {
    /// All, in the order of the figure.
    pub const ALL: [Condition; 4] = [
        Condition::Clean,
        Condition::MaskedIn,
        Condition::MaskedOut,
        Condition::Inpainted,
    ];

    /// Its name in tables and plots.
    pub fn name(self) -> &'static str {
        match self {
            Condition::Clean => "clean",
            Condition::MaskedIn => "masked-in",
            Condition::MaskedOut => "masked-out",
            Condition::Inpainted => "inpainted",
        }
    }
}

impl fmt::Display for Condition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// Means over pictures of one classifier under one condition.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Confusion {
    /// Whose masks: a model or a toy mask; empty for clean pictures, which have none.
    pub mask: String,
    /// Which classifier.
    pub classifier: String,
    /// What it was shown.
    pub condition: Condition,
    /// How many pictures.
    pub pictures: usize,
    /// Cross-entropy with the true class, in nats.
    pub loss: f64,
    /// Share of pictures whose true class is the first guess, in [0, 1].
    pub top1: f64,
    /// Share of pictures whose true class is among the first five, in [0, 1].
    pub top5: f64,
    /// Entropy of the softmax, in nats.
    pub entropy: f64,
}

/// Gathers scores into [`Confusion`]s.
#[derive(Debug, Default)]
pub struct Tally {
    /// By mask, classifier and condition; masks and classifiers in the order in which they were named.
    means: BTreeMap<(usize, usize, Condition), Means>,
    masks: Vec<String>,
    classifiers: Vec<String>,
}

#[derive(Debug, Default)]
struct Means {
    pictures: usize,
    loss: Average,
    top1: Average,
    top5: Average,
    entropy: Average,
}

impl Tally {
    /// Takes in the score of one picture; `mask` is empty for [`Condition::Clean`].
    pub fn add(
        &mut self,
        mask: &str,
        classifier: &str,
        condition: Condition,
        score: &ClassificationScore,
    ) {
        let mask = place(&mut self.masks, mask);
        let classifier = place(&mut self.classifiers, classifier);
        let means = self.means.entry((mask, classifier, condition)).or_default();
        means.pictures += 1;
        means.loss.add(score.loss, 1.0);
        means.top1.add(f64::from(score.top1), 1.0);
        means.top5.add(f64::from(score.top5), 1.0);
        means.entropy.add(score.entropy, 1.0);
    }

    /// One for each mask, classifier and condition that was seen, in this order.
    pub fn confusions(&self) -> Vec<Confusion> {
        let means = self.means.iter();
        means
            .map(|(&(mask, classifier, condition), means)| Confusion {
                mask: self.masks[mask].clone(),
                classifier: self.classifiers[classifier].clone(),
                condition,
                pictures: means.pictures,
                loss: means.loss.value(),
                top1: means.top1.value(),
                top5: means.top5.value(),
                entropy: means.entropy.value(),
            })
            .collect()
    }
}

/// Where `name` is in `names`; added at the end if it is new.
fn place(names: &mut Vec<String>, name: &str) -> usize {
    let found = names.iter().position(|known| known == name);
    found.unwrap_or_else(|| {
        names.push(name.to_owned());
        names.len() - 1
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scores_are_averaged_apart_for_each_mask_classifier_and_condition() {
        let score = |loss, top1: bool| ClassificationScore {
            loss,
            rank: usize::from(!top1),
            top1,
            top5: true,
            entropy: 0.5,
        };
        let mut tally = Tally::default();
        tally.add("", "b", Condition::Clean, &score(1.0, true));
        tally.add("", "b", Condition::Clean, &score(2.0, false));
        tally.add("m", "b", Condition::MaskedOut, &score(4.0, false));
        tally.add("m", "a", Condition::MaskedIn, &score(8.0, true));
        let confusions = tally.confusions();
        let clean = Confusion {
            mask: String::new(),
            classifier: "b".to_owned(),
            condition: Condition::Clean,
            pictures: 2,
            loss: 1.5,
            top1: 0.5,
            top5: 1.0,
            entropy: 0.5,
        };
        assert_eq!(confusions[0], clean);
        let keys: Vec<_> = confusions
            .iter()
            .map(|row| (row.mask.as_str(), row.classifier.as_str(), row.loss))
            .collect();
        // In the order of naming, not of the alphabet.
        assert_eq!(keys, [("", "b", 1.5), ("m", "b", 4.0), ("m", "a", 8.0)]);
    }
}

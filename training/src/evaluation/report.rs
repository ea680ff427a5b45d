//! Scores of all pictures → named numbers with confidence intervals.

mod collector;

use std::collections::BTreeMap;

use serde::Serialize;

use super::{AnnotatedSet, Bootstrap, Estimate, Options, PictureScore, Rule, Scores, Toy};
use collector::Collector;

/// What made the boxes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Method {
    /// The model's masks.
    Model,
    /// [`Toy::Full`].
    FullImage,
    /// [`Toy::Centre`].
    CentreBox,
    /// [`ActivationMap`](super::ActivationMap)s.
    ClassActivationMap,
}

/// What a number says. Errors and shares are in [0, 1].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Measure {
    /// LE: share of pictures whose box finds no object.
    LocalizationError,
    /// OM: share of pictures where the box finds none or the class is wrong.
    OfficialMetric,
    /// F1: mean over pictures of the annotation that the mask fits best.
    F1,
    /// F1a: mean over pictures of the mean over annotations.
    F1Average,
    /// Share of pictures whose class is the first guess.
    Top1,
    /// … among the first five.
    Top5,
    /// Mean of the masks.
    MaskMean,
    /// Spread of the masks' means within class-sorted batches of 128.
    StdBatch128,
    /// Spread of the masks' means over all pictures.
    StdGlobal,
    /// [`MaskStatistics::entropy`](super::MaskStatistics::entropy).
    Entropy,
    /// [`MaskStatistics::tv_mean`](super::MaskStatistics::tv_mean).
    TvMean,
    /// [`MaskStatistics::tv_sum`](super::MaskStatistics::tv_sum).
    TvSum,
    /// MaxBoxAcc.
    MaxBoxAcc,
    /// MaxBoxAccV2: mean of the three below.
    MaxBoxAccV2,
    /// … at an IoU of 0.3.
    MaxBoxAccV2Iou30,
    /// … at an IoU of 0.5.
    MaxBoxAccV2Iou50,
    /// … at an IoU of 0.7.
    MaxBoxAccV2Iou70,
}

/// A number with its interval, and what it is.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Number {
    /// What made the boxes.
    pub method: Method,
    /// How pictures became square.
    pub resize: &'static str,
    /// How masks were made binary; absent where that makes no difference.
    pub rule: Option<String>,
    /// What is said.
    pub measure: Measure,
    /// The threshold, in [0, 1], that was chosen because it is best on these pictures.
    pub chosen_threshold: Option<f64>,
    /// The number.
    #[serde(flatten)]
    pub estimate: Estimate,
    /// What it is the mean of, one value a picture; empty for spreads, which are no means.
    #[serde(skip)]
    pub values: Vec<f64>,
}

/// All numbers of a model.
#[derive(Debug, Clone, PartialEq)]
pub struct Report {
    /// Indices of the pictures in their set.
    pub pictures: Vec<usize>,
    /// The numbers, grouped by way of resizing and rule; the first rule's in the first way come first.
    pub numbers: Vec<Number>,
}

/// Some numbers over a part of the pictures: a class, a subset of classes.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Part {
    /// Its name.
    pub name: String,
    /// How many pictures.
    pub pictures: usize,
    /// Of the first way of resizing and the first rule.
    pub numbers: BTreeMap<Measure, Estimate>,
}

impl Report {
    /// The numbers of a model's `scores` with `options` on `set`; `top`: OM accepts a class among that many
    /// first guesses.
    pub fn new(
        set: &AnnotatedSet,
        scores: &Scores,
        options: &Options,
        top: usize,
        bootstrap: &Bootstrap,
    ) -> Report {
        let mut by_class: Vec<usize> = (0..scores.pictures.len()).collect();
        by_class.sort_by_key(|&index| {
            let class = set.pictures[scores.pictures[index]].class;
            class.map(|class| (set.classes[class].label, &set.classes[class].name))
        });
        let mut numbers = Vec::new();
        for (&resize, scores) in options.resizes.iter().zip(&scores.by_resize) {
            let mut collector = Collector {
                method: Method::Model,
                resize,
                scores,
                bootstrap,
                numbers: Vec::new(),
            };
            for (index, rule) in options.rules.iter().enumerate() {
                collector.localization(Some(rule), None, top, |score| score.found[index]);
            }
            collector.mask_f1();
            collector.classification();
            collector.statistics(&by_class);
            collector.max_box(|score| score.max_box.as_ref());
            numbers.append(&mut collector.numbers);
            if options.toys {
                for (index, toy) in Toy::ALL.into_iter().enumerate() {
                    let of = |score: &PictureScore| score.toys[index].localization;
                    collector.method = toy.method();
                    collector
                        .localization(None, None, top, |score| of(score).localization_error == 0.0);
                    collector.mean(Measure::F1, |score| Some(of(score).f1));
                    collector.mean(Measure::F1Average, |score| Some(of(score).f1_average));
                    collector.max_box(|score| score.toys[index].max_box.as_ref());
                    numbers.append(&mut collector.numbers);
                }
            }
        }
        Report {
            pictures: scores.pictures.clone(),
            numbers,
        }
    }

    /// Adds the numbers of class-activation maps: for each rule, and for the best of them, which is chosen
    /// on these very pictures.
    pub fn add_activation_maps(
        &mut self,
        scores: &Scores,
        options: &Options,
        top: usize,
        bootstrap: &Bootstrap,
    ) {
        for (&resize, scores) in options.resizes.iter().zip(&scores.by_resize) {
            let mut collector = Collector {
                method: Method::ClassActivationMap,
                resize,
                scores,
                bootstrap,
                numbers: Vec::new(),
            };
            for (index, rule) in options.rules.iter().enumerate() {
                collector.localization(Some(rule), None, top, |score| score.found[index]);
            }
            let found = |index: usize| scores.iter().filter(|score| score.found[index]).count();
            // The lowest of several: `max_by_key` gives the last.
            let best = (0..options.rules.len())
                .rev()
                .max_by_key(|&index| found(index));
            if let Some((best, &Rule::Threshold(threshold))) =
                best.zip(best.and_then(|best| options.rules.get(best)))
            {
                let threshold = Some(f64::from(threshold));
                collector.localization(None, threshold, top, |score| score.found[best]);
            }
            collector.mask_f1();
            collector.max_box(|score| score.max_box.as_ref());
            self.numbers.append(&mut collector.numbers);
        }
    }

    /// The numbers over those pictures, by place in [`Report::pictures`], that `within` holds for.
    pub fn part(&self, name: &str, bootstrap: &Bootstrap, within: impl Fn(usize) -> bool) -> Part {
        let first = self.numbers.first();
        let primary = |number: &&Number| {
            first.is_some_and(|first| {
                number.method == Method::Model
                    && number.resize == first.resize
                    && (number.rule.is_none() || number.rule == first.rule)
                    && !number.values.is_empty()
            })
        };
        let numbers = self.numbers.iter().filter(primary);
        let estimates = numbers.map(|number| {
            let estimate = bootstrap.mean_within(&number.values, &within);
            (number.measure, estimate)
        });
        Part {
            name: name.to_owned(),
            pictures: (0..self.pictures.len())
                .filter(|&index| within(index))
                .count(),
            numbers: estimates.collect(),
        }
    }

    /// `other` less this report, number by number, on the same pictures, with the interval of the
    /// difference, which is narrower than those of its parts. `None` if the pictures are not the same.
    pub fn difference(&self, other: &Report, bootstrap: &Bootstrap) -> Option<Vec<Number>> {
        if self.pictures != other.pictures {
            return None;
        }
        let of_model =
            |number: &&Number| number.method == Method::Model && !number.values.is_empty();
        let difference = |number: &Number| {
            let theirs = other.number(number)?;
            let pairs = number.values.iter().zip(&theirs.values);
            let values: Vec<f64> = pairs.map(|(ours, theirs)| theirs - ours).collect();
            Some(Number {
                chosen_threshold: None,
                estimate: bootstrap.mean(&values),
                values,
                ..number.clone()
            })
        };
        Some(
            self.numbers
                .iter()
                .filter(of_model)
                .filter_map(difference)
                .collect(),
        )
    }

    /// This report's number of the same kind as `other`.
    pub fn number(&self, other: &Number) -> Option<&Number> {
        let same = |number: &&Number| {
            number.method == other.method
                && number.resize == other.resize
                && number.rule == other.rule
                && number.measure == other.measure
                && number.chosen_threshold.is_some() == other.chosen_threshold.is_some()
        };
        self.numbers.iter().find(same)
    }

    /// The number of this kind; for the rule `None` stands for the first.
    pub fn find(
        &self,
        method: Method,
        resize: &str,
        rule: Option<&str>,
        measure: Measure,
    ) -> Option<&Number> {
        self.numbers.iter().find(|number| {
            number.method == method
                && number.resize == resize
                && number.measure == measure
                && rule.is_none_or(|rule| number.rule.as_deref() == Some(rule))
        })
    }
}

impl Toy {
    /// The method that stands for it in a [`Report`].
    pub fn method(self) -> Method {
        match self {
            Toy::Full => Method::FullImage,
            Toy::Centre => Method::CentreBox,
        }
    }
}

#[cfg(test)]
mod tests;

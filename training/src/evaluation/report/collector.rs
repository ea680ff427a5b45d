//! The numbers of one method in one way of resizing.

use casm::Resize;

use super::super::max_box::{IOU, LEVELS, LevelSet, MaxBoxScore, best_level};
use super::super::rule::resize_name;
use super::super::{Bootstrap, PictureScore, Rule, RunningStatistics};
use super::{Measure, Method, Number};

/// Pictures a batch over which the released code takes the spread of masks.
const STATISTICS_BATCH: usize = 128;

/// Collects the numbers of one method in one way of resizing.
pub struct Collector<'a> {
    pub method: Method,
    pub resize: Resize,
    pub scores: &'a [PictureScore],
    pub bootstrap: &'a Bootstrap,
    pub numbers: Vec<Number>,
}

impl Collector<'_> {
    fn push(
        &mut self,
        measure: Measure,
        rule: Option<&Rule>,
        chosen_threshold: Option<f64>,
        values: Vec<f64>,
    ) {
        self.numbers.push(Number {
            method: self.method,
            resize: resize_name(self.resize),
            rule: rule.map(Rule::to_string),
            measure,
            chosen_threshold,
            estimate: self.bootstrap.mean(&values),
            values,
        });
    }

    /// The mean of a number of each picture, unless a picture does not have it.
    pub fn mean(&mut self, measure: Measure, value: impl Fn(&PictureScore) -> Option<f64>) {
        if let Some(values) = self.scores.iter().map(value).collect() {
            self.push(measure, None, None, values);
        }
    }

    /// LE, and OM if there are classes.
    pub fn localization(
        &mut self,
        rule: Option<&Rule>,
        chosen_threshold: Option<f64>,
        top: usize,
        found: impl Fn(&PictureScore) -> bool,
    ) {
        let error = |found: bool| f64::from(u8::from(!found));
        let errors = self
            .scores
            .iter()
            .map(|score| error(found(score)))
            .collect();
        self.push(Measure::LocalizationError, rule, chosen_threshold, errors);
        let both = |score: &PictureScore| {
            let class = score.class.as_ref()?;
            Some(error(found(score) && class.rank < top))
        };
        if let Some(errors) = self.scores.iter().map(both).collect() {
            self.push(Measure::OfficialMetric, rule, chosen_threshold, errors);
        }
    }

    pub fn mask_f1(&mut self) {
        self.mean(Measure::F1, |score| Some(score.f1));
        self.mean(Measure::F1Average, |score| Some(score.f1_average));
    }

    pub fn classification(&mut self) {
        let share = |right: bool| f64::from(u8::from(right));
        self.mean(Measure::Top1, |score| {
            Some(share(score.class.as_ref()?.top1))
        });
        self.mean(Measure::Top5, |score| {
            Some(share(score.class.as_ref()?.top5))
        });
    }

    /// Section 6.1; `by_class` is the order of the class-sorted pictures.
    pub fn statistics(&mut self, by_class: &[usize]) {
        self.mean(Measure::MaskMean, |score| Some(score.mask.mean));
        self.mean(Measure::Entropy, |score| Some(score.mask.entropy));
        self.mean(Measure::TvMean, |score| Some(score.mask.tv_mean));
        self.mean(Measure::TvSum, |score| Some(score.mask.tv_sum));
        let scores = self.scores;
        let spreads = |counts: &[u8]| {
            let drawn = by_class.iter().flat_map(|&index| {
                std::iter::repeat_n(scores[index].mask, usize::from(counts[index]))
            });
            let drawn: Vec<_> = drawn.collect();
            let mut running = RunningStatistics::default();
            drawn
                .chunks(STATISTICS_BATCH)
                .for_each(|batch| running.add(batch));
            running.statistics()
        };
        let batch = self.bootstrap.estimate(|counts| spreads(counts).std_batch);
        let global = self.bootstrap.estimate(|counts| spreads(counts).std_global);
        for (measure, estimate) in [(Measure::StdBatch128, batch), (Measure::StdGlobal, global)] {
            self.push(measure, None, None, Vec::new());
            if let Some(number) = self.numbers.last_mut() {
                number.estimate = estimate;
            }
        }
    }

    /// MaxBoxAcc and MaxBoxAccV2, if they were measured.
    pub fn max_box(&mut self, of: impl Fn(&PictureScore) -> Option<&MaxBoxScore>) {
        let measured = self.scores.iter().map(of);
        let Some(measured) = measured.collect::<Option<Vec<_>>>() else {
            return;
        };
        let mut push = |measure, sets: Vec<LevelSet>| {
            let (level, found) = best_level(&sets)?;
            let values: Vec<f64> = found
                .into_iter()
                .map(|found| f64::from(u8::from(found)))
                .collect();
            let threshold = level as f64 / LEVELS as f64;
            self.push(measure, None, Some(threshold), values.clone());
            Some(values)
        };
        push(
            Measure::MaxBoxAcc,
            measured.iter().map(|score| score.largest).collect(),
        );
        let measures = [
            Measure::MaxBoxAccV2Iou30,
            Measure::MaxBoxAccV2Iou50,
            Measure::MaxBoxAccV2Iou70,
        ];
        let mut mean = vec![0.0; measured.len()];
        for (index, measure) in measures.into_iter().enumerate() {
            let sets = measured.iter().map(|score| score.any[index]).collect();
            let values = push(measure, sets).unwrap_or_default();
            for (mean, value) in mean.iter_mut().zip(values) {
                *mean += value / IOU.len() as f64;
            }
        }
        self.push(Measure::MaxBoxAccV2, None, None, mean);
    }
}

//! The numbers of a training step and of an evaluation.
//!
//! Field names are the columns of the CSV files, in this order. A number that a run does not have is
//! `None`: an empty cell in the CSV file, nothing in TensorBoard.

use serde::Serialize;

/// One step of Algorithm 1, averaged over its batch.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize)]
pub struct StepRecord {
    /// Steps done, this one included.
    pub step: u64,
    /// Epoch, from 0.
    pub epoch: u64,
    /// Step within the epoch, from 0.
    pub iteration: u64,
    /// Images a second, averaged over the last steps.
    pub images_per_second: f64,
    /// Share of the time that the trainer waited for data, in [0, 1], over the same steps.
    pub data_wait_share: f64,
    /// The classifier's cross-entropy on the pictures, in nats.
    pub classifier_clean_loss: Option<f64>,
    /// The judge's cross-entropy on the masked pictures, in nats (Eq. 8).
    pub classifier_masked_loss: Option<f64>,
    /// What the mapping minimises: its terms added (Eq. 6).
    pub mapping_loss: Option<f64>,
    /// The score term with the sign changed: entropy or cross-entropy of the judge on masked pictures (Eq. 7).
    pub main_term: Option<f64>,
    /// The area term as the released code has it: -λ times the mean of relu(q - mask's mean), q being 1 where
    /// area costs.
    pub regulariser_term: Option<f64>,
    /// λ times the mean of all masks: the regulariser as the paper writes it (Eq. 7).
    pub regulariser_of_paper: Option<f64>,
    /// Weighted total variation, if asked for.
    pub total_variation_term: Option<f64>,
    /// Weighted loss on masked-in pictures, if asked for.
    pub masked_in_term: Option<f64>,
    /// Mean of the masks, in [0, 1].
    pub mask_mean: Option<f64>,
    /// Share of the pictures that the classifier gets right and the judge, masked out, does not.
    pub confused_rate: Option<f64>,
    /// Share of pictures that the classifier gets right.
    pub accuracy_clean: Option<f64>,
    /// Share of masked pictures that the judge gets right.
    pub accuracy_masked: Option<f64>,
    /// Slot of the thinning set that the judge was drawn from; `None` is the current classifier.
    pub judge: Option<u64>,
    /// Weight of the regulariser.
    pub lambda: Option<f64>,
    /// Norm of the mapping's gradient before it is clipped.
    pub gradient_norm: Option<f64>,
    /// The classifier's learning rate.
    pub classifier_rate: Option<f64>,
    /// The mapping's learning rate.
    pub mapping_rate: Option<f64>,
    /// Whether gradients overflowed (f16), so that an update was left out.
    pub overflowed: bool,
}

/// An evaluation in the course of a training run. All shares are in [0, 1].
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize)]
pub struct ScoreRecord {
    /// Steps done before it.
    pub step: u64,
    /// Epoch, from 0.
    pub epoch: u64,
    /// Pictures that were scored.
    pub images: u64,
    /// LE, localization error.
    pub localization_error: Option<f64>,
    /// OM, official metric.
    pub official_metric: Option<f64>,
    /// F1 (Eq. 10).
    pub f1: Option<f64>,
    /// Share of pictures whose class is the classifier's first guess.
    pub top1: Option<f64>,
    /// Share of pictures whose class is among its first five.
    pub top5: Option<f64>,
    /// Mean of the masks.
    pub mask_mean: Option<f64>,
}

/// A record as curves over the steps.
pub trait Scalars {
    /// Steps done.
    fn step(&self) -> u64;

    /// TensorBoard's tags and the numbers; what comes before the slash is the group of the plot.
    fn scalars(&self) -> Vec<(&'static str, Option<f64>)>;
}

impl Scalars for StepRecord {
    fn step(&self) -> u64 {
        self.step
    }

    fn scalars(&self) -> Vec<(&'static str, Option<f64>)> {
        vec![
            (
                "classifier/classifier_clean_loss",
                self.classifier_clean_loss,
            ),
            (
                "classifier/classifier_masked_loss",
                self.classifier_masked_loss,
            ),
            ("classifier/accuracy_clean", self.accuracy_clean),
            ("classifier/accuracy_masked", self.accuracy_masked),
            ("classifier/classifier_rate", self.classifier_rate),
            ("mapping/mapping_loss", self.mapping_loss),
            ("mapping/main_term", self.main_term),
            ("mapping/regulariser_term", self.regulariser_term),
            ("mapping/regulariser_of_paper", self.regulariser_of_paper),
            ("mapping/total_variation_term", self.total_variation_term),
            ("mapping/masked_in_term", self.masked_in_term),
            ("mapping/mask_mean", self.mask_mean),
            ("mapping/confused_rate", self.confused_rate),
            ("mapping/lambda", self.lambda),
            ("mapping/gradient_norm", self.gradient_norm),
            ("mapping/mapping_rate", self.mapping_rate),
            ("run/epoch", Some(self.epoch as f64)),
            ("run/images_per_second", Some(self.images_per_second)),
            ("run/data_wait_share", Some(self.data_wait_share)),
        ]
    }
}

impl Scalars for ScoreRecord {
    fn step(&self) -> u64 {
        self.step
    }

    fn scalars(&self) -> Vec<(&'static str, Option<f64>)> {
        vec![
            ("score/localization_error", self.localization_error),
            ("score/official_metric", self.official_metric),
            ("score/f1", self.f1),
            ("score/top1", self.top1),
            ("score/top5", self.top5),
            ("score/mask_mean", self.mask_mean),
        ]
    }
}

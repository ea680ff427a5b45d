//! Everything that decides a run's result, as saved in its folder.

use std::path::PathBuf;

use anyhow::ensure;
use casm::Header;
use casm::header::{InputConfig, Provenance};
use casm::mask::{Binarization, BinarizationRule};
use casm::network::NetworkConfig;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::precision::TrainingPrecision;
use super::start::DecoderInit;
use super::strategy::Preset;
use crate::alternating::{ClassifierStep, MappingGradient, StepOptions};
use crate::loader::LARGEST;
use crate::optimizer::RateSchedule;
use crate::thinning::ThinningPolicy;

/// What every run has, fully resolved: no default is left to be looked up.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CourseConfig {
    /// Version of casm.
    pub created_by: String,
    /// Where the pictures come from.
    pub data: DataConfig,
    /// Encoder, and decoder if there is one.
    pub network: NetworkConfig,
    /// What the network sees.
    pub input: InputConfig,
    /// Class names in the order of the logits.
    pub classes: Vec<String>,
    /// Where the initial weights come from, in words.
    pub start: String,
    /// How a new decoder was drawn.
    #[serde(default)]
    pub decoder_init: DecoderInit,
    /// Passes over the epoch's share of the data.
    pub epochs: u64,
    /// How learning rates change.
    pub schedule: RateSchedule,
    /// Number format of the passes.
    pub precision: TrainingPrecision,
    /// Decay of the weights' moving average; none: no average.
    pub ema: Option<f64>,
    /// Of all draws.
    pub seed: u64,
    /// CPU threads of libtorch: sums depend on them in the last bit.
    pub threads: usize,
    /// What the run is scored on, unless said otherwise when it is resumed.
    pub evaluate: Option<PathBuf>,
    /// Steps between two scores.
    pub evaluate_every: u64,
    /// Score on so many pictures.
    pub evaluate_limit: Option<usize>,
    /// Steps between two snapshots.
    pub snapshot_every: u64,
    /// Snapshots that are kept.
    pub keep: usize,
}

/// A run of `casm train`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RunConfig {
    /// What every run has.
    pub course: CourseConfig,
    /// The preset that was named, for the record; what it decides is below.
    pub preset: Preset,
    /// How F is filled and drawn from.
    pub thinning: ThinningPolicy,
    /// The choices within a step.
    pub step: StepOptions,
    /// λ, the price of mask area (in the beginning, if there is a target area).
    pub lambda: f64,
    /// Mask area that λ is steered to, 0 to 1.
    pub target_area: Option<f64>,
    /// Whether the checkpoint asks for the paper's Eq. 9 (mean) instead of the released code's quantile.
    pub mean_binarization: bool,
    /// Optimisers.
    pub optimizer: OptimizerConfig,
}

/// A run of `casm train-classifier`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ClassifierConfig {
    /// What every run has.
    pub course: CourseConfig,
    /// Learning rate at the beginning, SGD.
    pub rate: f64,
    /// SGD's momentum.
    pub momentum: f64,
    /// L2 weight decay.
    pub weight_decay: f64,
}

/// The configuration of a run, as its command saves and reads it.
pub trait Configuration: Serialize + DeserializeOwned {
    /// What every run has.
    fn course(&self) -> &CourseConfig;
}

impl Configuration for RunConfig {
    fn course(&self) -> &CourseConfig {
        &self.course
    }
}

impl Configuration for ClassifierConfig {
    fn course(&self) -> &CourseConfig {
        &self.course
    }
}

/// Where the pictures come from and how they become batches.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DataConfig {
    /// Folders and archives.
    pub sources: Vec<SourceConfig>,
    /// A class-list file.
    pub class_list: Option<PathBuf>,
    /// Classes that are used, as on the command line.
    pub classes: Option<String>,
    /// Pictures in a batch.
    pub batch: usize,
    /// Batches whose gradients are summed to one.
    pub accumulate: usize,
    /// Share of all pictures in an epoch, above 0 to 1.
    pub epoch_share: f64,
    /// One iteration more in an epoch, as in the released code.
    pub compat: bool,
    /// Number of pictures.
    pub pictures: usize,
    /// Checksum of the pictures' names and classes: a run goes on with the same only.
    pub checksum: u32,
    /// Whether pictures are mirrored half of the time.
    pub flip: bool,
    /// Share of pictures that are taken whole, not cropped.
    #[serde(default)]
    pub whole: f64,
    /// Side in pixels that pictures are squashed to before they are cropped.
    #[serde(default)]
    pub squash: Option<u32>,
    /// How far brightness and contrast are changed.
    #[serde(default)]
    pub jitter: f64,
}

/// A folder or archive of pictures.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SourceConfig {
    /// Where it is.
    pub path: PathBuf,
    /// Its share of the batches, relative to the others'; none: its share of the pictures.
    pub weight: Option<f64>,
    /// Smallest share of a picture that RandomResizedCrop takes.
    pub smallest_crop: f64,
}

/// Learning rates and decay; the released code's numbers by default.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OptimizerConfig {
    /// η_f at the beginning, SGD.
    pub classifier_rate: f64,
    /// SGD's momentum.
    pub momentum: f64,
    /// η_m at the beginning, Adam.
    pub mapping_rate: f64,
    /// L2 weight decay of both.
    pub weight_decay: f64,
}

impl Default for OptimizerConfig {
    fn default() -> Self {
        OptimizerConfig {
            classifier_rate: 1e-3,
            momentum: 0.9,
            mapping_rate: 1e-3,
            weight_decay: 1e-4,
        }
    }
}

/// When a run ends before its last epoch.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct StopConfig {
    /// After so many steps in all.
    pub max_steps: Option<u64>,
    /// After so many minutes of this process.
    pub max_minutes: Option<f64>,
}

/// How a run is watched; does not change its result.
#[derive(Debug, Clone, PartialEq)]
pub struct WatchConfig {
    /// Steps between two snapshots.
    pub snapshot_every: u64,
    /// Snapshots that are kept.
    pub keep: usize,
    /// Steps between two evaluations.
    pub evaluate_every: u64,
    /// Annotated pictures to evaluate masks on.
    pub evaluate: Option<PathBuf>,
    /// Evaluate on so many of them.
    pub evaluate_limit: Option<usize>,
    /// Labelled pictures whose validation part a classifier is to recognise.
    pub validate: Option<PathBuf>,
    /// Threads that read pictures.
    pub workers: usize,
}

impl CourseConfig {
    /// The header of the run's checkpoints.
    pub fn header(&self) -> Header {
        let mut header = Header::new(self.network.clone());
        header.input = self.input.clone();
        header.classes = self.classes.clone();
        let sources = self.data.sources.iter();
        let names: Vec<String> = sources
            .filter_map(|source| Some(source.path.file_name()?.to_string_lossy().into_owned()))
            .collect();
        header.provenance = Provenance {
            created_by: self.created_by.clone(),
            data: names.join(", "),
            ..Provenance::default()
        };
        header
    }

    /// Checks what the types do not express.
    ///
    /// # Errors
    /// Names the option and what it must be.
    pub fn validate(&self) -> anyhow::Result<()> {
        ensure!(self.data.batch > 0, "--batch must be above zero");
        ensure!(self.data.accumulate > 0, "--accumulate must be above zero");
        ensure!(self.epochs > 0, "--epochs must be above zero");
        positive("--epoch-share", self.data.epoch_share)?;
        share("--epoch-share", self.data.epoch_share)?;
        share("--whole", self.data.whole)?;
        if let Some(side) = self.data.squash {
            ensure!(
                (1..=LARGEST).contains(&side),
                "--squash is {side}, but must be from 1 to {LARGEST} pixels"
            );
        }
        ensure!(
            (0.0..1.0).contains(&self.data.jitter),
            "--jitter is {}, but must be from 0 to below 1",
            self.data.jitter
        );
        for source in &self.data.sources {
            positive("--crop-scale", source.smallest_crop)?;
            share("--crop-scale", source.smallest_crop)?;
            if let Some(weight) = source.weight {
                positive("--weights", weight)?;
            }
        }
        if let Some(decay) = self.ema {
            ensure!(
                (0.0..1.0).contains(&decay),
                "--ema is {decay}, but must be from 0 to below 1"
            );
        }
        let size = self.input.size;
        ensure!(
            size > 0 && size.is_multiple_of(32) && size <= 2048,
            "--input-size is {size}, but must be a multiple of 32 from 32 to 2048"
        );
        ensure!(
            self.data.batch > 1 || size > 32,
            "batch norm needs more than one value: use --batch above 1 or a larger --input-size"
        );
        self.network.validate()?;
        Ok(())
    }
}

impl RunConfig {
    /// The header of the run's checkpoints.
    pub fn header(&self) -> Header {
        let mut header = self.course.header();
        if self.mean_binarization {
            header.binarization = Binarization {
                rule: BinarizationRule::Mean,
                ..Binarization::default()
            };
        }
        header
    }

    /// Checks what the types do not express.
    ///
    /// # Errors
    /// Names the option and what it must be.
    pub fn validate(&self) -> anyhow::Result<()> {
        self.course.validate()?;
        positive("--lambda", self.lambda)?;
        if let Some(area) = self.target_area {
            positive("--target-area", area)?;
            share("--target-area", area)?;
        }
        positive("--classifier-rate", self.optimizer.classifier_rate)?;
        positive("--mapping-rate", self.optimizer.mapping_rate)?;
        share("--momentum", self.optimizer.momentum)?;
        share("--weight-decay", self.optimizer.weight_decay)?;
        share("--history-probability", self.thinning.probability)?;
        for (option, value) in [
            ("--clip-grad", self.step.clip_gradient),
            ("--masked-in", self.step.masked_in),
            ("--masked-in-lambda", self.step.masked_in_lambda),
            ("--total-variation", self.step.total_variation),
        ] {
            ensure!(
                value.is_finite() && value >= 0.0,
                "{option} is {value}, but must be a number from 0"
            );
        }
        if self.step.mapping_gradient == MappingGradient::Legacy {
            ensure!(
                self.course.data.accumulate == 1
                    && self.course.precision == TrainingPrecision::F32
                    && self.step.classifier_step == ClassifierStep::Sequential,
                "--decoder-grad legacy exists for single batches, f32 and sequential steps only; \
                 leave out --accumulate, --precision and --classifier-step"
            );
        }
        ensure!(
            !self.step.train_on_masked_in || self.step.masked_in > 0.0,
            "--train-on-masked-in needs --masked-in WEIGHT"
        );
        ensure!(
            self.thinning.probability == 0.0 || self.thinning.size > 0,
            "--history-size is 0, but kept classifiers are to judge; use --preset L instead"
        );
        let decoder = self.course.network.decoder.as_ref();
        let raw = self
            .course
            .network
            .network()
            .encoder
            .taps
            .iter()
            .any(|tap| tap.raw);
        ensure!(
            raw || decoder.is_none_or(|decoder| !decoder.convolve_first)
                || self.preset == Preset::Paper,
            "--decoder l0-conv is for encoders with a raw first tap (ResNet); this one has none"
        );
        Ok(())
    }
}

impl ClassifierConfig {
    /// Checks what the types do not express.
    ///
    /// # Errors
    /// Names the option and what it must be.
    pub fn validate(&self) -> anyhow::Result<()> {
        self.course.validate()?;
        positive("--rate", self.rate)?;
        share("--momentum", self.momentum)?;
        share("--weight-decay", self.weight_decay)
    }
}

pub(super) fn positive(option: &str, value: f64) -> anyhow::Result<()> {
    ensure!(
        value.is_finite() && value > 0.0,
        "{option} is {value}, but must be above zero"
    );
    Ok(())
}

pub(super) fn share(option: &str, value: f64) -> anyhow::Result<()> {
    ensure!(
        (0.0..=1.0).contains(&value),
        "{option} is {value}, but must be from 0 to 1"
    );
    Ok(())
}

/// Iterations of an epoch that takes `share` of `batches`; one more with `compat`, because the released
/// code breaks off only after the first that is beyond. At least one.
pub fn iterations_per_epoch(batches: u64, share: f64, compat: bool) -> u64 {
    // 0.29 * 100 is a little less than 29.
    let iterations = (share * batches as f64 + 1e-9).floor() as u64;
    (iterations + u64::from(compat)).clamp(1, batches.max(1))
}

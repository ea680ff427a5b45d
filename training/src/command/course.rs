//! Options that `casm train`, `casm distill` and `casm train-classifier` share, and how they become a run.

mod running;
mod scoring;

use std::path::{Path, PathBuf};

use anyhow::{Context, bail, ensure};
use casm::header::InputConfig;
use casm::network::{DecoderConfig, NetworkConfig};
use casm::{Checkpoint, Device};
use casm_training::dataset::Mixture;
use casm_training::optimizer::RateSchedule;
use casm_training::run::{
    Architecture, CourseConfig, DataConfig, DecoderInit, SourceConfig, Start, StopConfig,
    TrainingPrecision, WatchConfig,
};

pub use running::{Run, go, prepare};
use running::{absolute_choice, cores, open_data};
pub use scoring::ScoringArguments;

/// Pictures, start, course and watching of a run.
#[derive(Debug, Clone, clap::Args)]
pub struct CourseArguments {
    /// Folders and archives (.tar, .tar.gz) of labelled pictures: ImageFolder, Tiny ImageNet, shards.
    #[arg(required_unless_present = "resume", value_name = "DATA")]
    pub data: Vec<PathBuf>,
    /// Where the run's files go: config.json, model.safetensors, best.safetensors, logs, snapshots.
    #[arg(long, value_name = "DIR", default_value = "run")]
    pub out: PathBuf,
    /// Go on with the run in this folder, exactly where its last snapshot was taken.
    #[arg(long, value_name = "DIR", conflicts_with = "data")]
    pub resume: Option<PathBuf>,

    /// Checkpoint or run folder to start from (casm import, casm train-classifier).
    #[arg(long, value_name = "FILE", help_heading = "Start")]
    pub init: Option<PathBuf>,
    /// Start from random weights of this encoder instead.
    #[arg(long, value_enum, conflicts_with = "init", help_heading = "Start")]
    pub architecture: Option<Architecture>,
    /// Give the checkpoint a new last layer for the data's classes.
    #[arg(long, requires = "init", help_heading = "Start")]
    pub replace_head: bool,
    /// Side of the network's input in pixels; the checkpoint's, or 224.
    #[arg(long, value_name = "PIXELS", help_heading = "Start")]
    pub input_size: Option<u32>,

    /// Share of each DATA in the batches, comma-separated; by number of pictures if left out.
    #[arg(
        long,
        value_name = "LIST",
        value_delimiter = ',',
        help_heading = "Data"
    )]
    pub weights: Vec<f64>,
    /// Smallest share of a picture that a random crop takes: one number, or one for each DATA.
    #[arg(
        long,
        value_name = "LIST",
        value_delimiter = ',',
        default_value = "0.08",
        help_heading = "Data"
    )]
    pub crop_scale: Vec<f64>,
    /// Share of the pictures that are taken whole, squashed, instead of a random crop [default: 0; distill:
    /// 0.8].
    #[arg(long, value_name = "SHARE", help_heading = "Data")]
    pub whole: Option<f64>,
    /// Squash pictures to so many pixels a side before anything else, so that crops are squashed, and coarse, as
    /// whole pictures are; of distill the teacher sees them so as well.
    #[arg(long, value_name = "PIXELS", help_heading = "Data")]
    pub squash: Option<u32>,
    /// Change brightness and contrast of every picture by factors of up to 1 ± this [default: 0; distill: 0.3].
    #[arg(long, value_name = "SHARE", help_heading = "Data")]
    pub jitter: Option<f64>,
    /// Do not mirror pictures.
    #[arg(long, help_heading = "Data")]
    pub no_flip: bool,
    /// File with a class a line; its order numbers the classes of a model that starts from scratch.
    #[arg(long, value_name = "FILE", help_heading = "Data")]
    pub class_list: Option<PathBuf>,
    /// Use these classes only: names separated by commas, or FILE.json:A,B from casm split-classes.
    #[arg(long, value_name = "CLASSES", help_heading = "Data")]
    pub classes: Option<String>,
    /// Threads that read pictures; one a core if left out.
    #[arg(long, help_heading = "Data")]
    pub workers: Option<usize>,

    /// Pictures in a batch.
    #[arg(long, default_value_t = 128, help_heading = "Course")]
    pub batch: usize,
    /// Sum the gradients of so many batches for one step.
    #[arg(long, default_value_t = 1, help_heading = "Course")]
    pub accumulate: usize,
    /// Epochs [default: 60; distill: 15; train-classifier: 30; --preset paper: 70].
    #[arg(long, help_heading = "Course")]
    pub epochs: Option<u64>,
    /// Share of all pictures that an epoch takes. Epochs go on where the last one stopped, so with 0.2 five
    /// of them see every picture once [default: 0.2; distill and train-classifier: 1].
    #[arg(long, value_name = "SHARE", help_heading = "Course")]
    pub epoch_share: Option<f64>,
    /// One iteration more in an epoch, as the released code has.
    #[arg(long, help_heading = "Course")]
    pub compat: bool,
    /// Learning rates over the epochs: step:EPOCHS (a tenth after each so many), constant, cosine [default:
    /// step:20; distill and train-classifier: cosine; --preset paper: constant].
    #[arg(long, value_name = "SCHEDULE", help_heading = "Course")]
    pub lr_schedule: Option<RateSchedule>,
    /// Number format of the passes. On NVIDIA GPUs f32 convolutions may round products to TF32.
    #[arg(long, value_enum, default_value_t = TrainingPrecision::F32, help_heading = "Course")]
    pub precision: TrainingPrecision,
    /// Keep a moving average of the weights with this decay (0.999), and make the checkpoint of it.
    #[arg(long, value_name = "DECAY", help_heading = "Course")]
    pub ema: Option<f64>,
    /// Seed of all draws.
    #[arg(long, default_value_t = 0, help_heading = "Course")]
    pub seed: u64,
    /// Where to run: auto, cpu, cuda, cuda:N.
    #[arg(long, default_value_t = Device::Auto, help_heading = "Course")]
    pub device: Device,
    /// CPU threads of the network; one a core if left out or 0.
    #[arg(long, help_heading = "Course")]
    pub threads: Option<usize>,
    /// On a GPU: choose convolutions by rule and not by timing. On the CPU runs repeat to the bit anyway.
    #[arg(long, help_heading = "Course")]
    pub deterministic: bool,

    /// Stop after so many steps in all.
    #[arg(long, value_name = "STEPS", help_heading = "Stopping and watching")]
    pub max_steps: Option<u64>,
    /// Stop after so many minutes; --resume goes on.
    #[arg(long, value_name = "MINUTES", help_heading = "Stopping and watching")]
    pub max_minutes: Option<f64>,
    /// Save the run's state every so many steps [default: 500]; 0: at the beginning and end only.
    #[arg(long, value_name = "STEPS", help_heading = "Stopping and watching")]
    pub snapshot_every: Option<u64>,
    /// Keep the last so many snapshots [default: 2].
    #[arg(long, value_name = "COUNT", help_heading = "Stopping and watching")]
    pub keep: Option<usize>,
    /// Say what would be done, and do nothing.
    #[arg(long, help_heading = "Stopping and watching")]
    pub dry_run: bool,
}

/// What of a course is the same in both commands.
pub struct Opened {
    /// The pictures, labelled.
    pub data: Mixture,
    /// The resolved options.
    pub course: CourseConfig,
    /// Where the weights come from.
    pub start: Start,
}

impl CourseArguments {
    /// Opens start and data of a new run. `decoder`: the decoder it gets.
    ///
    /// # Errors
    /// Names the option or file and the remedy.
    pub fn open(
        &self,
        defaults: Defaults,
        decoder: Option<DecoderConfig>,
        keep_decoder: bool,
    ) -> anyhow::Result<Opened> {
        let start = self.start(keep_decoder)?;
        let sources = self.sources()?;
        let data = open_data(
            &sources,
            self.class_list.as_deref(),
            self.classes.as_deref(),
            &start.classes()?,
        )?;
        let classes = data.classes().to_vec();
        let kept = start.header().filter(|_| keep_decoder);
        let kept = kept.map(|header| &header.network);
        let network = NetworkConfig {
            encoder: start.encoder(classes.len())?,
            decoder: kept.map_or(decoder, |network| network.decoder.clone()),
            separate_encoder: kept.is_some_and(|network| network.separate_encoder),
        };
        let mut input = start
            .header()
            .map_or_else(InputConfig::default, |header| header.input.clone());
        input.size = self.input_size.unwrap_or(input.size);
        let class_list = self
            .class_list
            .as_deref()
            .map(std::path::absolute)
            .transpose()?;
        let course = CourseConfig {
            created_by: format!("casm {}", env!("CARGO_PKG_VERSION")),
            data: DataConfig {
                sources,
                class_list,
                classes: self.classes.as_deref().map(absolute_choice).transpose()?,
                pictures: data.pictures(),
                checksum: data.checksum(),
                batch: self.batch,
                accumulate: self.accumulate,
                epoch_share: self.epoch_share.unwrap_or(defaults.epoch_share),
                compat: self.compat,
                whole: self.whole.unwrap_or(defaults.whole),
                squash: self.squash,
                jitter: self.jitter.unwrap_or(defaults.jitter),
                flip: !self.no_flip,
            },
            network,
            input,
            classes,
            start: start.to_string(),
            decoder_init: DecoderInit::default(),
            epochs: self.epochs.unwrap_or(defaults.epochs),
            schedule: self.lr_schedule.unwrap_or(defaults.schedule),
            precision: self.precision,
            ema: self.ema,
            seed: self.seed,
            threads: self.threads.filter(|&n| n > 0).unwrap_or_else(cores),
            evaluate: None,
            evaluate_every: 0,
            evaluate_limit: None,
            snapshot_every: self.snapshot_every.unwrap_or(500),
            keep: self.keep.unwrap_or(2),
        };
        Ok(Opened {
            data,
            course,
            start,
        })
    }

    fn start(&self, keep_decoder: bool) -> anyhow::Result<Start> {
        match (&self.init, self.architecture) {
            (Some(path), _) => {
                let path = super::checkpoint_file(path)?;
                Ok(Start::Checkpoint {
                    checkpoint: Box::new(Checkpoint::open(&path)?),
                    path,
                    keep_decoder,
                    replace_head: self.replace_head,
                })
            }
            (None, Some(architecture)) => Ok(Start::Scratch(architecture)),
            (None, None) => bail!(
                "nothing says where to start: name a checkpoint with --init FILE, \
                 or an encoder with --architecture to start from random weights"
            ),
        }
    }

    fn sources(&self) -> anyhow::Result<Vec<SourceConfig>> {
        let count = self.data.len();
        ensure!(
            self.weights.is_empty() || self.weights.len() == count,
            "--weights has {} numbers, but there are {count} DATA",
            self.weights.len()
        );
        ensure!(
            self.crop_scale.len() == 1 || self.crop_scale.len() == count,
            "--crop-scale has {} numbers, but must have one, or one for each of the {count} DATA",
            self.crop_scale.len()
        );
        let sources = self.data.iter().enumerate().map(|(index, path)| {
            // Absolute, so that the run can be resumed from another folder.
            let path = std::path::absolute(path)
                .with_context(|| format!("'{}' cannot be found", path.display()))?;
            Ok(SourceConfig {
                path,
                weight: self.weights.get(index).copied(),
                smallest_crop: *self.crop_scale.get(index).unwrap_or(&self.crop_scale[0]),
            })
        });
        sources.collect()
    }

    /// When to stop.
    pub fn stop(&self) -> StopConfig {
        StopConfig {
            max_steps: self.max_steps,
            max_minutes: self.max_minutes,
        }
    }

    /// How the run is watched.
    pub fn watch(
        &self,
        config: &CourseConfig,
        evaluate: Option<&Path>,
        every: u64,
        limit: Option<usize>,
    ) -> WatchConfig {
        WatchConfig {
            snapshot_every: self.snapshot_every.unwrap_or(config.snapshot_every),
            keep: self.keep.unwrap_or(config.keep),
            evaluate_every: every,
            evaluate: evaluate.map(Path::to_owned),
            evaluate_limit: limit,
            validate: None,
            workers: self.workers.unwrap_or_else(cores),
        }
    }
}

/// Defaults that differ between the commands.
pub struct Defaults {
    /// Epochs.
    pub epochs: u64,
    /// Share of all pictures in an epoch.
    pub epoch_share: f64,
    /// Learning rates.
    pub schedule: RateSchedule,
    /// Share of pictures that are taken whole.
    pub whole: f64,
    /// How far brightness and contrast are changed.
    pub jitter: f64,
}

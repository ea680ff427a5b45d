//! `casm train`: a mapping and its classifiers.

mod config;

use std::process::ExitCode;

use casm_training::alternating::{
    ClassifierStep, Fill, MappingGradient, MaskedStep, RegulariseOn, Score, ScoreOn,
};
use casm_training::log::Interrupt;
use casm_training::run::{AlternationLearner, DecoderInit, Preset, RunConfig};
use casm_training::thinning::HistoryStart;

use super::course::{CourseArguments, Run, ScoringArguments, go, prepare};

/// Arguments of `casm train`.
///
/// Defaults are the released code's; what the paper says otherwise is an option, and --preset paper
/// turns all of these on.
#[derive(Debug, clap::Args)]
// Negative numbers get our answer, not one about unknown options; of an option given twice the last counts.
#[command(allow_negative_numbers = true, args_override_self = true)]
pub struct Arguments {
    #[command(flatten)]
    course: CourseArguments,

    /// Which classifiers judge: F fixed (Baseline), L last, FL first and last, L100 and L1000 kept
    /// ones, casm = L100, casm-tv = L100 with smooth masks of a third of the picture, paper = L100 in the paper's words.
    #[arg(long, value_enum, default_value = "casm", help_heading = "Method")]
    preset: Preset,
    /// What the mapping maximises on masked-out pictures.
    #[arg(long, value_enum, default_value = "entropy", help_heading = "Method")]
    score: Score,
    /// Whether the decoder reads the classifier's layers or an encoder of its own.
    #[arg(long, value_enum, default_value = "shared", help_heading = "Method")]
    encoder: EncoderArgument,
    /// λ, the price of mask area [default: F 2.5, L 14, FL 7.5, L100 and L1000 10; with --score
    /// classification 9, 18, 11, 17; casm-tv 3].
    #[arg(long, help_heading = "Method")]
    lambda: Option<f64>,
    /// Steer λ, from --lambda on, so that masks cover this share of the picture [default: not; casm-tv: 0.34].
    #[arg(long, value_name = "SHARE", help_heading = "Method")]
    target_area: Option<f64>,
    /// Probability that a kept classifier judges [default: 0.5; F and L: 0].
    #[arg(long, value_name = "SHARE", help_heading = "Method")]
    history_probability: Option<f64>,
    /// Keep the classifier every so many steps of an epoch [default: L100 100, L1000 1000, FL never again].
    #[arg(long, value_name = "STEPS", help_heading = "Method")]
    history_every: Option<u64>,
    /// Keep at most so many classifiers.
    #[arg(
        long,
        value_name = "COUNT",
        default_value_t = 30,
        help_heading = "Method"
    )]
    history_size: usize,
    /// What is kept first: the classifier after its first clean step, or before [default: stepped; paper:
    /// pretrained].
    #[arg(long, value_enum, help_heading = "Method")]
    history_init: Option<HistoryStart>,
    /// Where kept classifiers lie: auto (where the run computes), cpu, cuda:N.
    #[arg(long, value_name = "DEVICE", default_value_t = casm::Device::Auto, help_heading = "Method")]
    history_device: casm::Device,
    /// Two classifier steps (clean, then masked), or one on the mean of both losses [default: sequential;
    /// paper: joint].
    #[arg(long, value_enum, help_heading = "Method")]
    classifier_step: Option<ClassifierStep>,
    /// Whether the classifier learns from masked pictures when a kept one judges [default: skip; paper:
    /// always].
    #[arg(long, value_enum, help_heading = "Method")]
    masked_step: Option<MaskedStep>,
    /// Weights that the mapping's gradient goes through; legacy matches the released code's numbers.
    #[arg(long, value_enum, default_value = "exact", help_heading = "Method")]
    decoder_grad: MappingGradient,
    /// On which pictures large masks cost [default: confused; paper: disagreement].
    #[arg(long, value_enum, help_heading = "Method")]
    reg_on: Option<RegulariseOn>,
    /// On which pictures the score counts; correct for entropy and all for classification if left out.
    #[arg(long, value_enum, help_heading = "Method")]
    main_on: Option<ScoreOn>,
    /// What masked pixels become: mean, black, grey=BRIGHTNESS.
    #[arg(long, default_value_t = Fill::Mean, help_heading = "Method")]
    fill: Fill,

    /// Whether a raw first tap goes through a 1x1 convolution as well (ResNet) [default: l0-raw; paper:
    /// l0-conv].
    #[arg(long, value_enum, help_heading = "Decoder")]
    decoder: Option<DecoderArgument>,
    /// How the mask is enlarged to the input's size.
    #[arg(long, value_enum, default_value = "nearest", help_heading = "Decoder")]
    upsample: UpsampleArgument,
    /// Positions of the encoder's taps that the decoder reads, 0 the finest; all if left out.
    #[arg(
        long,
        value_name = "LIST",
        value_delimiter = ',',
        help_heading = "Decoder"
    )]
    decoder_taps: Vec<usize>,
    /// Channels that each tap is reduced to.
    #[arg(long, default_value_t = 64, help_heading = "Decoder")]
    decoder_channels: usize,
    /// How a new decoder's convolutions are drawn [default: released; casm-tv: uniform].
    #[arg(long, value_enum, help_heading = "Decoder")]
    decoder_init: Option<DecoderInit>,
    /// Train on the checkpoint's decoder, as it is built, instead of a new one.
    #[arg(
        long,
        requires = "init",
        conflicts_with_all = ["decoder", "upsample", "decoder_taps", "decoder_channels", "decoder_init"],
        help_heading = "Decoder"
    )]
    keep_decoder: bool,

    /// Weight of the masked-in term of Phang et al. (2020); 0 is pure CASM.
    #[arg(
        long,
        value_name = "WEIGHT",
        default_value_t = 0.0,
        help_heading = "Follow-up terms"
    )]
    masked_in: f64,
    /// Price of area on pictures that are recognised masked in.
    #[arg(
        long,
        value_name = "LAMBDA",
        default_value_t = 1.0,
        help_heading = "Follow-up terms"
    )]
    masked_in_lambda: f64,
    /// Let the classifier learn from masked-in pictures too.
    #[arg(long, help_heading = "Follow-up terms")]
    train_on_masked_in: bool,
    /// Weight of the masks' total variation of Phang et al. (2020); 0 is pure CASM [default: 0; casm-tv: 0.002].
    #[arg(long, value_name = "WEIGHT", help_heading = "Follow-up terms")]
    total_variation: Option<f64>,

    /// Learning rate of the classifier (SGD) [default: 0.001; casm-tv: 0.0001].
    #[arg(long, value_name = "RATE", help_heading = "Optimisers")]
    classifier_rate: Option<f64>,
    /// Momentum of the classifier's SGD.
    #[arg(long, default_value_t = 0.9, help_heading = "Optimisers")]
    momentum: f64,
    /// Learning rate of the mapping (Adam).
    #[arg(
        long,
        value_name = "RATE",
        default_value_t = 1e-3,
        help_heading = "Optimisers"
    )]
    mapping_rate: f64,
    /// L2 weight decay of both.
    #[arg(
        long,
        value_name = "DECAY",
        default_value_t = 1e-4,
        help_heading = "Optimisers"
    )]
    weight_decay: f64,
    /// Largest L2 norm of the mapping's gradient; 0: no limit [default: 10; paper: 0].
    #[arg(long, value_name = "NORM", help_heading = "Optimisers")]
    clip_grad: Option<f64>,

    #[command(flatten)]
    scoring: ScoringArguments,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum EncoderArgument {
    Shared,
    Separate,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum DecoderArgument {
    L0Raw,
    L0Conv,
}

#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum UpsampleArgument {
    Nearest,
    Bilinear,
}

/// Trains, or goes on training.
///
/// # Errors
/// Names the option or file and the remedy; nothing that was saved is lost.
pub fn run(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    let course = &arguments.course;
    let interrupt = Interrupt::watch()?;
    let run: Run<RunConfig> = match &course.resume {
        Some(path) => Run::resume(
            path,
            &[ScoringArguments::NAMES.as_slice(), &["history-device"]].concat(),
        )?,
        None => {
            let (opened, config) = arguments.config()?;
            Run::new(config, opened, course)
        }
    };
    let config = run.config.clone();
    let watch = arguments.scoring.watch(course, &config.course);
    if course.dry_run {
        return run.print(&watch);
    }
    let device = prepare(course.device, config.course.threads, course.deterministic)?;
    let history_device = match arguments.history_device {
        casm::Device::Auto => device,
        other => casm::device::resolve(other)?,
    };
    let parameters = run.parameters(device)?;
    let learner = AlternationLearner::new(&config, &parameters, device, history_device)?;
    let folder = run.folder.clone();
    let mut trainer = run.trainer(learner, config.header(), watch, device, history_device)?;
    let (every, epoch) = (config.thinning.every, trainer.steps_per_epoch());
    if config.thinning.probability > 0.0 && every > epoch && config.preset != Preset::FL {
        eprintln!(
            "casm: an epoch has {epoch} steps, so that keeping a classifier every {every} steps keeps the first \
             one only; --history-every N keeps more"
        );
    }
    go(&mut trainer, course, &interrupt, &folder)
}

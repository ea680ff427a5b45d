//! `casm train-classifier`: f(0).

use std::path::PathBuf;
use std::process::ExitCode;

use casm_training::log::Interrupt;
use casm_training::optimizer::RateSchedule;
use casm_training::run::{ClassifierConfig, SupervisedLearner, WatchConfig};

use super::course::{CourseArguments, Defaults, Run, go, prepare};

/// Arguments of `casm train-classifier`.
#[derive(Debug, clap::Args)]
// Negative numbers get our answer, not one about unknown options; of an option given twice the last counts.
#[command(allow_negative_numbers = true, args_override_self = true)]
pub struct Arguments {
    #[command(flatten)]
    course: CourseArguments,

    /// Learning rate at the beginning (SGD).
    #[arg(long, default_value_t = 0.05, help_heading = "Optimiser")]
    rate: f64,
    /// Momentum.
    #[arg(long, default_value_t = 0.9, help_heading = "Optimiser")]
    momentum: f64,
    /// L2 weight decay.
    #[arg(
        long,
        value_name = "DECAY",
        default_value_t = 1e-4,
        help_heading = "Optimiser"
    )]
    weight_decay: f64,

    /// Labelled pictures whose validation part is classified during training.
    #[arg(long, value_name = "DATA", help_heading = "Stopping and watching")]
    validate: Option<PathBuf>,
    /// Classify them every so many steps.
    #[arg(
        long,
        value_name = "STEPS",
        default_value_t = 500,
        help_heading = "Stopping and watching"
    )]
    validate_every: u64,
}

/// Trains, or goes on training.
///
/// # Errors
/// Names the option or file and the remedy; nothing that was saved is lost.
pub fn run(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    let course = &arguments.course;
    let interrupt = Interrupt::watch()?;
    let run: Run<ClassifierConfig> = match &course.resume {
        Some(path) => Run::resume(path, &["validate", "validate-every"])?,
        None => {
            let defaults = Defaults {
                epochs: 30,
                epoch_share: 1.0,
                schedule: RateSchedule::Cosine,
                whole: 0.0,
                jitter: 0.0,
            };
            let opened = course.open(defaults, None, false)?;
            let config = ClassifierConfig {
                course: opened.course.clone(),
                rate: arguments.rate,
                momentum: arguments.momentum,
                weight_decay: arguments.weight_decay,
            };
            config.validate()?;
            Run::new(config, opened, course)
        }
    };
    let config = run.config.clone();
    let watch = WatchConfig {
        validate: arguments.validate.clone(),
        ..course.watch(&config.course, None, arguments.validate_every, None)
    };
    if course.dry_run {
        return run.print(&watch);
    }
    let device = prepare(course.device, config.course.threads, course.deterministic)?;
    let learner = SupervisedLearner::new(&config, &run.parameters(device)?, device)?;
    let folder = run.folder.clone();
    let mut trainer = run.trainer(learner, config.course.header(), watch, device, device)?;
    go(&mut trainer, course, &interrupt, &folder)
}

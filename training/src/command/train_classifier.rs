//! `casm train-classifier`: f(0).

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use casm::parameters::Parameters;
use casm_training::log::Interrupt;
use casm_training::optimizer::RateSchedule;
use casm_training::run::{
    ClassifierConfig, Parts, RunFolder, SupervisedLearner, Trainer, WatchConfig,
};

use super::course::{CourseArguments, Defaults, go, open_data, prepare, refuse_others};

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
    let (config, folder, data, start) = match &course.resume {
        Some(path) => {
            refuse_others(&["validate", "validate-every"])?;
            let folder = RunFolder::new(path);
            let config: ClassifierConfig = folder.read_config()?;
            let data = &config.course.data;
            let mixture = open_data(
                &data.sources,
                data.class_list.as_deref(),
                data.classes.as_deref(),
                &config.course.classes,
            )?;
            (config, folder, mixture, None)
        }
        None => {
            let defaults = Defaults {
                epochs: 30,
                epoch_share: 1.0,
                schedule: RateSchedule::Cosine,
            };
            let opened = course.open(defaults, None, false)?;
            let config = ClassifierConfig {
                course: opened.course,
                rate: arguments.rate,
                momentum: arguments.momentum,
                weight_decay: arguments.weight_decay,
            };
            config.validate()?;
            let folder = RunFolder::new(&course.out);
            (config, folder, opened.data, Some(opened.start))
        }
    };
    if course.dry_run {
        writeln!(
            std::io::stdout(),
            "{}",
            serde_json::to_string_pretty(&config)?
        )?;
        return Ok(ExitCode::SUCCESS);
    }
    let device = prepare(course.device, config.course.threads, course.deterministic)?;
    let network = &config.course.network;
    let parameters = match &start {
        Some(start) => start.parameters(network, config.course.seed, device)?,
        // All of it comes from the snapshot.
        None => Parameters::initialise(&network.network().parameters(), tch::Device::Cpu)?
            .copied(device)?,
    };
    let parts = Parts {
        learner: SupervisedLearner::new(&config, &parameters, device)?,
        course: config.course.clone(),
        header: config.course.header(),
        folder: folder.clone(),
        watch: WatchConfig {
            validate: arguments.validate.clone(),
            ..course.watch(&config.course, None, arguments.validate_every, None)
        },
        device,
        history_device: device,
        data,
    };
    let mut trainer = Trainer::new(parts, course.resume.is_some())?;
    if course.resume.is_none() {
        folder.write_config(&config)?;
    }
    go(&mut trainer, course, &interrupt, &folder)
}

//! From options to a run that goes: its pictures, libtorch, and how it ends.

use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context, ensure};
use casm::Device;
use casm_training::dataset::{Mixture, Selection, SourceOptions, Split};
use casm_training::log::Interrupt;
use casm_training::run::{Learner, Outcome, RunFolder, SourceConfig, Trainer, keep_freed_memory};

use super::CourseArguments;

/// `FILE.json:A,B` with the whole path, so that the run can be resumed from another folder.
pub(super) fn absolute_choice(choice: &str) -> anyhow::Result<String> {
    Ok(match choice.split_once(".json:") {
        Some((file, names)) => {
            let path = std::path::absolute(format!("{file}.json"))?;
            format!("{}:{names}", path.display())
        }
        None => choice.to_owned(),
    })
}

/// Refuses options that a resumed run has its own values for; `allowed` may be given again.
///
/// # Errors
/// Names the option.
pub fn refuse_others(allowed: &[&str]) -> anyhow::Result<()> {
    let always = [
        "resume",
        "max-steps",
        "max-minutes",
        "snapshot-every",
        "keep",
        "workers",
        "device",
        "deterministic",
        "dry-run",
    ];
    for word in std::env::args().skip(2) {
        let Some(option) = word.strip_prefix("--") else {
            continue;
        };
        let option = option.split('=').next().unwrap_or(option);
        ensure!(
            always.contains(&option) || allowed.contains(&option),
            "--{option} is fixed when a run begins and cannot be changed by --resume; leave it out, \
             or start another run"
        );
    }
    Ok(())
}

/// Opens the pictures of a run, new or resumed.
///
/// # Errors
/// They cannot be used.
pub fn open_data(
    sources: &[SourceConfig],
    class_list: Option<&Path>,
    classes: Option<&str>,
    model_classes: &[String],
) -> anyhow::Result<Mixture> {
    let options: Vec<SourceOptions> = sources
        .iter()
        .map(|source| SourceOptions {
            path: source.path.clone(),
            weight: source.weight,
            scale: Some((source.smallest_crop, 1.0)),
        })
        .collect();
    let selection = Selection::read(class_list, classes)?;
    Mixture::open(&options, Split::Train, &selection, model_classes)
}

/// Sets libtorch up for a run; returns its device.
///
/// # Errors
/// The device cannot be used.
pub fn prepare(device: Device, threads: usize, deterministic: bool) -> anyhow::Result<tch::Device> {
    keep_freed_memory();
    let device = casm::device::resolve(device)?;
    tch::set_num_threads(i32::try_from(threads.max(1)).context("--threads is too large")?);
    if device.is_cuda() {
        tch::Cuda::cudnn_set_benchmark(!deterministic);
    }
    Ok(device)
}

/// Runs a trainer and says how it ended.
///
/// # Errors
/// Those of [`Trainer::run`].
pub fn go<L: Learner>(
    trainer: &mut Trainer<L>,
    arguments: &CourseArguments,
    interrupt: &Interrupt,
    folder: &RunFolder,
) -> anyhow::Result<ExitCode> {
    let stop = arguments.stop();
    let (done, epoch) = (trainer.steps_done(), trainer.steps_per_epoch());
    let end = match (stop.max_steps, stop.max_minutes) {
        (Some(steps), _) => format!("to step {steps} at most"),
        (_, Some(minutes)) => format!("for {minutes} minutes at most"),
        (None, None) => "without a limit".to_owned(),
    };
    eprintln!("casm: from step {done}, {epoch} steps an epoch, {end}");
    let outcome = trainer.run(stop, interrupt)?;
    let steps = trainer.steps_done();
    let model = folder.model();
    match outcome {
        Outcome::Finished => eprintln!(
            "casm: {steps} steps done; the model is '{}'",
            model.display()
        ),
        Outcome::Stopped => eprintln!(
            "casm: stopped after {steps} steps, all saved; the model so far is '{}', and --resume '{}' goes on",
            model.display(),
            folder.path().display()
        ),
    }
    // All of them were named.
    match trainer.rejected() {
        0 => Ok(ExitCode::SUCCESS),
        _ => Ok(ExitCode::FAILURE),
    }
}

/// Processor cores.
pub(super) fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

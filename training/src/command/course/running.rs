//! From options to a run that goes: its pictures, libtorch, and how it ends.

use std::io::Write;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::{Context, ensure};
use casm::parameters::Parameters;
use casm::{Device, Header};
use casm_training::dataset::{Mixture, Selection, SourceOptions, Split};
use casm_training::log::Interrupt;
use casm_training::run::{
    Configuration, Learner, Outcome, Parts, RunFolder, Scorer, SourceConfig, Start, Trainer,
    Validator, WatchConfig, keep_freed_memory,
};

use super::{CourseArguments, Opened};

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
fn refuse_others(allowed: &[&str]) -> anyhow::Result<()> {
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

/// A run that is about to begin or to go on.
pub struct Run<C> {
    /// The resolved options.
    pub config: C,
    /// Where its files are.
    pub folder: RunFolder,
    /// Its pictures, labelled.
    pub data: Arc<Mixture>,
    /// Where its weights come from; none: from the folder's latest snapshot.
    start: Option<Start>,
}

impl<C: Configuration> Run<C> {
    /// A new run in the folder of the options.
    pub fn new(config: C, opened: Opened, arguments: &CourseArguments) -> Run<C> {
        Run {
            config,
            folder: RunFolder::new(&arguments.out),
            data: Arc::new(opened.data),
            start: Some(opened.start),
        }
    }

    /// The run in the folder `path`; options other than those about stopping, watching and `allowed` are
    /// refused.
    ///
    /// # Errors
    /// Names the option; there is no run in the folder, or its pictures are gone.
    pub fn resume(path: &Path, allowed: &[&str]) -> anyhow::Result<Run<C>> {
        refuse_others(allowed)?;
        let folder = RunFolder::new(path);
        let config: C = folder.read_config()?;
        let course = config.course();
        let data = open_data(
            &course.data.sources,
            course.data.class_list.as_deref(),
            course.data.classes.as_deref(),
            &course.classes,
        )?;
        Ok(Run {
            config,
            folder,
            data: Arc::new(data),
            start: None,
        })
    }

    /// Whether it goes on from a snapshot.
    pub fn resumes(&self) -> bool {
        self.start.is_none()
    }

    /// The weights to build a learner on.
    ///
    /// # Errors
    /// The checkpoint to start from does not fit.
    pub fn parameters(&self, device: tch::Device) -> anyhow::Result<Parameters> {
        let course = self.config.course();
        let network = &course.network;
        match &self.start {
            Some(start) => start.parameters(network, course.decoder_init, course.seed, device),
            // All of it comes from the snapshot.
            None => {
                let wanted = network.network().parameters();
                Ok(Parameters::initialise(&wanted, tch::Device::Cpu)?.copied(device)?)
            }
        }
    }

    /// Prints the resolved options, once what the run would be refused for has been looked at.
    ///
    /// # Errors
    /// The folder is a file; what it is to be scored on cannot be used; standard output cannot be written.
    pub fn print(&self, watch: &WatchConfig) -> anyhow::Result<ExitCode> {
        let (folder, header) = (self.folder.path(), self.config.course().header());
        ensure!(
            !folder.is_file(),
            "--out '{}' is a file; name a folder",
            folder.display()
        );
        Scorer::new(watch, &header)?;
        Validator::new(watch, &header)?;
        let json = serde_json::to_string_pretty(&self.config)?;
        writeln!(std::io::stdout(), "{json}")?;
        Ok(ExitCode::SUCCESS)
    }

    /// The trainer of the run; a new run's options are saved in its folder.
    ///
    /// # Errors
    /// Those of [`Trainer::new`]; the folder cannot be written.
    pub fn trainer<L: Learner>(
        self,
        learner: L,
        header: Header,
        watch: WatchConfig,
        device: tch::Device,
        history_device: tch::Device,
    ) -> anyhow::Result<Trainer<L>> {
        let parts = Parts {
            learner,
            course: self.config.course().clone(),
            header,
            folder: self.folder.clone(),
            watch,
            device,
            history_device,
            data: self.data,
        };
        let trainer = Trainer::new(parts, self.start.is_none())?;
        if self.start.is_some() {
            self.folder.write_config(&self.config)?;
        }
        Ok(trainer)
    }
}

/// Opens the pictures of a run, new or resumed.
///
/// # Errors
/// They cannot be used.
pub(super) fn open_data(
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
        Outcome::Stopped | Outcome::Interrupted => eprintln!(
            "casm: stopped after {steps} steps, all saved; the model so far is '{}', and --resume '{}' goes on",
            model.display(),
            folder.path().display()
        ),
    }
    Ok(match (outcome, trainer.rejected()) {
        // As of a program that Ctrl-C ends, so that a script does not go on with half a model.
        (Outcome::Interrupted, _) => ExitCode::from(130),
        (_, 0) => ExitCode::SUCCESS,
        // All of them were named.
        _ => ExitCode::FAILURE,
    })
}

/// Processor cores.
pub(super) fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

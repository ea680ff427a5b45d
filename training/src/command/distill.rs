//! `casm distill`: a student that learns from a teacher's close-ups.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, ensure};
use casm::Checkpoint;
use casm::network::DecoderConfig;
use casm_training::distillation::{TargetSet, Teacher};
use casm_training::log::Interrupt;
use casm_training::optimizer::RateSchedule;
use casm_training::run::{DistillationConfig, DistillationLearner, TeacherConfig};

use super::checkpoint_file;
use super::course::{CourseArguments, Defaults, Opened, Run, ScoringArguments, go, prepare};
use super::figure::progress_bar;

/// Arguments of `casm distill`.
///
/// The student starts as --init and learns the masks that the teacher gives of close-ups, put back into
/// the whole picture. The pictures' classes and boxes are not learnt from.
#[derive(Debug, clap::Args)]
// Negative numbers get our answer, not one about unknown options; of an option given twice the last counts.
#[command(allow_negative_numbers = true, args_override_self = true)]
pub struct Arguments {
    #[command(flatten)]
    course: CourseArguments,

    /// Checkpoint or run folder that teaches masks; that of --init if left out.
    #[arg(long, value_name = "FILE", help_heading = "Method")]
    teacher: Option<PathBuf>,
    /// Checkpoint that teaches classes, such as the classifier that training began with; the teacher if
    /// left out.
    #[arg(long, value_name = "FILE", help_heading = "Method")]
    classifier: Option<PathBuf>,
    /// Sizes of the close-ups, relative to the box that the teacher finds in the whole picture.
    #[arg(
        long,
        value_name = "LIST",
        value_delimiter = ',',
        default_value = "1.2,1.35",
        help_heading = "Method"
    )]
    zooms: Vec<f64>,
    /// Bring targets nearer to yes and no, the larger the more; 0: take them as they are.
    #[arg(long, default_value_t = 0.0, help_heading = "Method")]
    sharpness: f64,
    /// Weight of the classes' loss beside the masks'.
    #[arg(
        long,
        value_name = "WEIGHT",
        default_value_t = 0.3,
        help_heading = "Method"
    )]
    class_weight: f64,

    /// Learning rate of the classifier, the decoder's encoder (Adam).
    #[arg(
        long,
        value_name = "RATE",
        default_value_t = 1e-4,
        help_heading = "Optimisers"
    )]
    classifier_rate: f64,
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
        default_value_t = 0.0,
        help_heading = "Optimisers"
    )]
    weight_decay: f64,
    /// Largest L2 norm of the gradient; 0: no limit.
    #[arg(
        long,
        value_name = "NORM",
        default_value_t = 5.0,
        help_heading = "Optimisers"
    )]
    clip_grad: f64,

    #[command(flatten)]
    scoring: ScoringArguments,
}

/// Trains, or goes on training.
///
/// # Errors
/// Names the option or file and the remedy; nothing that was saved is lost.
pub fn run(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    let course = &arguments.course;
    let interrupt = Interrupt::watch()?;
    let run: Run<DistillationConfig> = match &course.resume {
        Some(path) => Run::resume(path, &ScoringArguments::NAMES)?,
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
    let teacher = config.open_teacher(device)?;
    // What the student learns are boxes by the teacher's rule.
    let mut header = config.course.header();
    header.binarization = teacher.binarization();
    let Some(targets) = targets(&run, &teacher, watch.workers, device, &interrupt)? else {
        return Ok(ExitCode::from(130));
    };
    let parameters = run.parameters(device)?;
    let learner = DistillationLearner::new(&config, &parameters, teacher, targets, device)?;
    let folder = run.folder.clone();
    let mut trainer = run.trainer(learner, header, watch, device, device)?;
    go(&mut trainer, course, &interrupt, &folder)
}

/// What the teacher says of the run's pictures: asked now, or read if the run goes on. None if the user
/// wants to leave meanwhile.
fn targets(
    run: &Run<DistillationConfig>,
    teacher: &Teacher,
    workers: usize,
    device: tch::Device,
    interrupt: &Interrupt,
) -> anyhow::Result<Option<TargetSet>> {
    let path = run.folder.targets();
    if run.resumes() {
        return TargetSet::open(&path, &run.data).map(Some);
    }
    ensure!(
        !run.folder.has_snapshot(),
        "'{}' holds a run already; go on with --resume, or choose another folder with --out",
        run.folder.path().display()
    );
    eprintln!(
        "casm: asking the teacher about {} pictures",
        run.data.pictures()
    );
    let bar = progress_bar(run.data.pictures());
    let mut left = false;
    let mut after = |done: usize| {
        bar.set_position(done as u64);
        left = interrupt.requested();
        ensure!(!left, "interrupted");
        Ok(())
    };
    let course = &run.config.course;
    let passes = (course.precision.kind(), device);
    let squash = course.data.squash;
    let targets = TargetSet::new(teacher, &run.data, squash, workers, passes, &mut after);
    bar.finish_and_clear();
    if left {
        eprintln!("casm: left before the first step; nothing to go on from");
        return Ok(None);
    }
    let (targets, rejected) = targets?;
    for (name, reason) in rejected {
        eprintln!("casm: the teacher cannot see '{name}': {reason}");
    }
    std::fs::create_dir_all(run.folder.path())
        .with_context(|| format!("cannot make the folder '{}'", run.folder.path().display()))?;
    targets.save(&path)?;
    Ok(Some(targets))
}

impl Arguments {
    /// The run that is asked for.
    fn config(&self) -> anyhow::Result<(Opened, DistillationConfig)> {
        let file = |path: &Option<PathBuf>| path.as_deref().map(checkpoint_file).transpose();
        let init = file(&self.course.init)?;
        let teacher = file(&self.teacher)?.or(init.clone()).context(
            "nothing says who teaches: name a checkpoint of casm train with --init FILE or --teacher FILE",
        )?;
        let defaults = Defaults {
            epochs: 15,
            epoch_share: 1.0,
            schedule: RateSchedule::Cosine,
            whole: 0.8,
            jitter: 0.3,
        };
        let keep_decoder = init.as_deref().map_or(Ok(false), has_decoder)?;
        let decoder = Some(DecoderConfig::default());
        let mut opened = self.course.open(defaults, decoder, keep_decoder)?;
        self.scoring.apply(&mut opened.course)?;
        let classifier = file(&self.classifier)?;
        let classifier = classifier.as_deref().map(TeacherConfig::new);
        let config = DistillationConfig {
            course: opened.course.clone(),
            teacher: TeacherConfig::new(&teacher)?,
            classifier: classifier.transpose()?,
            zooms: self.zooms.clone(),
            sharpness: self.sharpness,
            class_weight: self.class_weight,
            classifier_rate: self.classifier_rate,
            mapping_rate: self.mapping_rate,
            weight_decay: self.weight_decay,
            clip_gradient: self.clip_grad,
        };
        config.validate()?;
        Ok((opened, config))
    }
}

fn has_decoder(path: &Path) -> anyhow::Result<bool> {
    Ok(Checkpoint::open(path)?.header().network.decoder.is_some())
}

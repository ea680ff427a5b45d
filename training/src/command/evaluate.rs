//! `casm evaluate`: a model's boxes and masks against ground truth.

mod agreement;
mod json;
mod parts;
pub(super) mod subject;
mod summary;
mod table;
mod tables;

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, ensure};
use casm::{Device, EngineKind, Precision, Resize};
use casm_training::dataset::read_subsets;
use casm_training::evaluation::annotated::Split;
use casm_training::evaluation::{AnnotatedSet, Bootstrap, Location, Rule};

use parts::Parts;
use subject::Subject;

use super::figure::check_writable;

/// Problems that are printed one by one; of more the number is told.
const SHOWN_PROBLEMS: usize = 20;
/// Thresholds of `--threshold-sweep`.
const SWEEP: [f32; 9] = [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9];

/// Arguments of `casm evaluate`.
#[derive(Debug, clap::Args)]
#[command(after_long_help = json::SCHEMA)]
pub struct Arguments {
    /// Checkpoint file, or a run's folder; again for each further model. The built-in model if left out.
    #[arg(long, value_name = "FILE")]
    model: Vec<PathBuf>,
    /// Folder, .tar or .tar.gz with annotated pictures.
    ///
    /// wsolevaluation's metadata (image_ids.txt, class_labels.txt, image_sizes.txt, localization.txt) with
    /// pictures in images/, Tiny ImageNet as shipped, or pictures with XML files as ILSVRC's and VOC's.
    #[arg(long, value_name = "PATH")]
    data: PathBuf,
    /// Folder, .tar or .tar.gz with the annotations, where they do not lie beside the pictures.
    #[arg(long, value_name = "PATH")]
    annotations: Option<PathBuf>,
    /// Which part of a set that has parts; Tiny ImageNet: val if left out.
    #[arg(long, value_enum)]
    split: Option<SplitArgument>,
    /// Only this many pictures, evenly spread.
    #[arg(long, value_name = "N", value_parser = at_least_one)]
    limit: Option<usize>,
    /// What runs the network: auto, torch, openvino.
    #[arg(long, default_value_t = EngineKind::Auto)]
    engine: EngineKind,
    /// Where to run: auto, cpu, cuda, cuda:N.
    #[arg(long, default_value_t = Device::Auto)]
    device: Device,
    /// CPU threads; 0 = at most one a core.
    #[arg(long, default_value_t = 0)]
    threads: usize,
    /// Number format of the network.
    #[arg(long, value_enum, default_value_t = PrecisionArgument::Auto)]
    precision: PrecisionArgument,
    /// Pictures that the network sees at once.
    #[arg(long, value_name = "N", default_value = "16", value_parser = at_least_one)]
    batch: usize,
    /// How a picture becomes square: its centre (the paper's first method), all of it (the second), or one
    /// after the other.
    #[arg(long, value_enum, default_value_t = ResizeArgument::Both)]
    resize: ResizeArgument,
    /// How masks are made binary: quantile or mean, with a factor as in mean:1.2, and pixels of erosion as in quantile:1:4. May be given several
    /// times; the model's own rule if left out.
    #[arg(long, value_name = "RULE")]
    binarize: Vec<Rule>,
    /// Also LE at fixed thresholds 0.1 to 0.9 of the mask's value.
    #[arg(long)]
    threshold_sweep: bool,
    /// OM accepts the class among this many first guesses.
    #[arg(long, value_name = "K", default_value = "1", value_parser = at_least_one)]
    om_topk: usize,
    /// How large an annotation is that goes beyond the input: all of it (released code) or what is inside.
    #[arg(long, value_enum, default_value_t = AreaArgument::Whole)]
    gt_area: AreaArgument,
    /// Also MaxBoxAcc and MaxBoxAccV2, at thresholds that are best on these pictures. PxAP needs masks as
    /// ground truth and is left out.
    #[arg(long, value_enum, default_value_t = ProtocolArgument::Casm)]
    protocol: ProtocolArgument,
    /// Also the full image, the centre box, and class-activation maps of the same encoder.
    #[arg(long)]
    baselines: bool,
    /// Take the class-activation maps of this classifier, which needs no decoder: that of before the
    /// training, say.
    #[arg(long, value_name = "FILE", requires = "baselines")]
    activation_model: Option<PathBuf>,
    /// A row a model, and their mean, least and largest, instead of all numbers of each.
    #[arg(long)]
    summary: bool,
    /// Worst and best classes; all of them go to FILE as CSV.
    #[arg(long, value_name = "FILE", num_args = 0..=1, require_equals = true)]
    per_class: Option<Option<PathBuf>>,
    /// Numbers of each subset of classes (Table 3): a JSON object, subset → list of classes, as
    /// `casm split-classes` writes it.
    #[arg(long, value_name = "FILE")]
    per_subset: Option<PathBuf>,
    /// Compare each engine and precision that is here with f32 in libtorch, instead: masks, boxes, LE.
    ///
    /// --engine and --precision restrict it. --data may be pictures without annotations, or a video. The
    /// model's masks stay in memory, 13 KB a picture. Exit code 1 if a bound is not kept.
    #[arg(long, conflicts_with_all = ["baselines", "summary", "per_class", "per_subset", "threshold_sweep", "protocol"])]
    agreement: bool,
    /// Resamples of the bootstrap that gives the intervals.
    #[arg(long, value_name = "N", default_value = "1000", value_parser = at_least_one)]
    resamples: usize,
    /// Seed of the bootstrap.
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// Write everything into this file as JSON.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum SplitArgument {
    Train,
    Val,
}

#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum PrecisionArgument {
    Auto,
    F32,
    Bf16,
    F16,
    Int8,
}

#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum ResizeArgument {
    Crop,
    Stretch,
    Both,
}

#[derive(Debug, Clone, Copy, PartialEq, clap::ValueEnum)]
enum AreaArgument {
    Whole,
    Clipped,
}

#[derive(Debug, Clone, Copy, PartialEq, clap::ValueEnum)]
enum ProtocolArgument {
    /// The paper's: LE, OM, F1.
    Casm,
    /// wsolevaluation's beside it; pictures are stretched for it.
    Wsoleval,
}

fn at_least_one(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(number) if number > 0 => Ok(number),
        _ => Err("it must be a whole number from 1 on".to_owned()),
    }
}

impl Arguments {
    fn resizes(&self) -> Vec<Resize> {
        match self.resize {
            ResizeArgument::Crop => vec![Resize::Crop],
            ResizeArgument::Stretch => vec![Resize::Stretch],
            ResizeArgument::Both => vec![Resize::Crop, Resize::Stretch],
        }
    }

    fn location(&self) -> Location {
        Location {
            data: self.data.clone(),
            annotations: self.annotations.clone(),
            split: self.split.map(|split| match split {
                SplitArgument::Train => Split::Train,
                SplitArgument::Val => Split::Val,
            }),
        }
    }

    fn wsoleval(&self) -> bool {
        self.protocol == ProtocolArgument::Wsoleval
    }

    fn precision(&self) -> Precision {
        match self.precision {
            PrecisionArgument::Auto => Precision::Auto,
            PrecisionArgument::F32 => Precision::F32,
            PrecisionArgument::Bf16 => Precision::Bf16,
            PrecisionArgument::F16 => Precision::F16,
            PrecisionArgument::Int8 => Precision::Int8,
        }
    }
}

/// Scores every model on the same pictures and prints the numbers.
///
/// # Errors
/// A model, the data or an option cannot be used; an output cannot be written.
pub fn run(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    // Before hours of work, not after.
    for path in [&arguments.json, &arguments.per_class.clone().flatten()] {
        path.as_deref().map_or(Ok(()), check_writable)?;
    }
    ensure!(
        !arguments.wsoleval() || !matches!(arguments.resize, ResizeArgument::Crop),
        "--protocol wsoleval stretches pictures: use --resize stretch or both"
    );
    if arguments.agreement {
        return agreement::run(arguments);
    }
    let subsets = arguments
        .per_subset
        .as_deref()
        .map(read_subsets)
        .transpose()?;
    // Models before data: they are opened faster, and either may be mistyped.
    let checkpoints = subject::checkpoints(&arguments.model)?;
    let mut set = AnnotatedSet::open(&arguments.location())?;
    if let Some(limit) = arguments.limit {
        set.limit(limit);
    }
    let mut bootstrap: Option<Bootstrap> = None;
    let mut subjects = Vec::new();
    for (name, checkpoint) in checkpoints {
        let subject = Subject::evaluate(name, &checkpoint, &set, arguments, &mut bootstrap)?;
        subjects.push(subject);
    }
    let bootstrap = bootstrap.context("no model was evaluated")?;
    let difference = match &subjects[..] {
        [first, second] => first.report.difference(&second.report, &bootstrap),
        _ => None,
    };
    let parts: Vec<Parts> = subjects
        .iter()
        .map(|subject| Parts::new(subject, &set, arguments, subsets.as_ref(), &bootstrap))
        .collect::<anyhow::Result<_>>()?;

    let text = tables::text(arguments, &set, &subjects, difference.as_deref(), &parts);
    let written = std::io::stdout().write_all(text.as_bytes());
    written.context("standard output cannot be written")?;
    if let Some(Some(path)) = &arguments.per_class {
        parts::write_csv(path, &subjects, &parts)?;
    }
    if let Some(path) = &arguments.json {
        json::write(
            path,
            arguments,
            &set,
            &subjects,
            difference.as_deref(),
            &parts,
        )?;
    }
    Ok(report_problems(&set, &subjects))
}

/// Names what could not be used; pictures that no model could read once.
fn report_problems(set: &AnnotatedSet, subjects: &[Subject]) -> ExitCode {
    let unread = subjects
        .iter()
        .take(1)
        .flat_map(|subject| &subject.problems);
    let problems: Vec<&String> = set.problems.iter().chain(unread).collect();
    for problem in problems.iter().take(SHOWN_PROBLEMS) {
        eprintln!("casm: {problem}");
    }
    if problems.len() > SHOWN_PROBLEMS {
        let more = problems.len() - SHOWN_PROBLEMS;
        eprintln!("casm: … and {more} more; --json FILE lists all");
    }
    if problems.is_empty() {
        ExitCode::SUCCESS
    } else {
        eprintln!("casm: {} inputs could not be used", problems.len());
        ExitCode::FAILURE
    }
}

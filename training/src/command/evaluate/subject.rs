//! One model on all pictures.

use std::path::PathBuf;

use anyhow::Context;
use casm::engine::{EngineDescription, Output};
use casm::network::Upsample;
use casm::{Checkpoint, EngineOptions, Resize};
use casm_training::evaluation::{
    ActivationMap, AnnotatedSet, Bootstrap, Options, Predict, Report, Rule, Scores, evaluate,
};
use indicatif::{ProgressBar, ProgressStyle};

use super::{AreaArgument, Arguments, SWEEP};

/// Thresholds for class-activation maps, as shares of their range.
const ACTIVATION_SWEEP: [f32; 7] = [0.1, 0.15, 0.2, 0.25, 0.3, 0.35, 0.4];

/// A model and its numbers.
pub struct Subject {
    /// The model as it was named, or "the built-in model".
    pub name: String,
    /// "MobileNetV2".
    pub encoder: String,
    pub engine: EngineDescription,
    /// For each of the set's classes the model's name for it; or why there is none.
    pub classes: Result<Vec<String>, String>,
    /// Pictures that could not be read.
    pub problems: Vec<String>,
    /// All pictures are stored as squares.
    pub square: bool,
    pub report: Report,
}

/// Opens the models, each with its name; each must have a decoder.
pub fn checkpoints(models: &[PathBuf]) -> anyhow::Result<Vec<(String, Checkpoint)>> {
    let mut checkpoints = Vec::new();
    for model in models {
        let checkpoint = super::super::checkpoint(Some(model))?;
        checkpoints.push((model.display().to_string(), checkpoint));
    }
    if models.is_empty() {
        checkpoints.push(("the built-in model".to_owned(), Checkpoint::built_in()?));
    }
    for (_, checkpoint) in &checkpoints {
        checkpoint.header().require_decoder(checkpoint.origin())?;
    }
    Ok(checkpoints)
}

impl Subject {
    /// Runs `checkpoint` over the set. `bootstrap` is made for the first model, and used for all.
    pub fn evaluate(
        name: String,
        checkpoint: &Checkpoint,
        set: &AnnotatedSet,
        arguments: &Arguments,
        bootstrap: &mut Option<Bootstrap>,
    ) -> anyhow::Result<Subject> {
        let header = checkpoint.header();
        let count = header.network.classes();
        let logits = set.match_classes(&header.classes, count);
        let mut options = Options {
            resizes: arguments.resizes(),
            clipped: arguments.gt_area == AreaArgument::Clipped,
            max_box: arguments.wsoleval(),
            toys: arguments.baselines,
            logits: logits.as_ref().ok().cloned(),
            batch: arguments.batch,
            ..Options::new(header)
        };
        if !arguments.binarize.is_empty() {
            options.rules.clone_from(&arguments.binarize);
        }
        if arguments.threshold_sweep {
            options.rules.extend(SWEEP.map(Rule::Threshold));
        }

        let named = || format!("{} was not evaluated", checkpoint.origin());
        let mut engine = casm::open_engine(
            checkpoint,
            &EngineOptions {
                engine: arguments.engine,
                device: arguments.device,
                precision: arguments.precision(),
                threads: arguments.threads,
            },
        )?;
        let run =
            &mut |batch, pixels: &[u8], output: &mut Output| engine.run(batch, pixels, output);
        let scores = scores(set, &mut options, run, "pictures").with_context(named)?;
        let description = engine.description().clone();
        // Its threads would compete with those of what comes.
        drop(engine);

        let bootstrap = match bootstrap {
            Some(bootstrap) if bootstrap.pictures() == scores.pictures.len() => bootstrap,
            other => other.insert(Bootstrap::new(
                scores.pictures.len(),
                arguments.resamples,
                arguments.seed,
            )),
        };
        let top = arguments.om_topk;
        let mut report = Report::new(set, &scores, &options, top, bootstrap);
        if arguments.baselines {
            let classifier = arguments.activation_model.as_deref();
            let classifier = classifier
                .map(|path| super::super::checkpoint(Some(path)))
                .transpose()?;
            add_activation_maps(
                &mut report,
                classifier.as_ref().unwrap_or(checkpoint),
                set,
                arguments,
                &options,
                bootstrap,
            )?;
        }
        let class_name = |logit: usize| header.classes.get(logit).cloned().unwrap_or_default();
        Ok(Subject {
            name,
            encoder: header.network.encoder.name(),
            engine: description,
            classes: logits.map(|logits| logits.into_iter().map(class_name).collect()),
            problems: scores.problems,
            square: scores.square,
            report,
        })
    }
}

/// Adds the class-activation maps of `classifier` to a report, measured as `options` say.
fn add_activation_maps(
    report: &mut Report,
    classifier: &Checkpoint,
    set: &AnnotatedSet,
    arguments: &Arguments,
    options: &Options,
    bootstrap: &Bootstrap,
) -> anyhow::Result<()> {
    let header = classifier.header();
    let mut options = Options {
        input_size: header.input.size,
        upsample: Upsample::Bilinear,
        min_max: true,
        rules: ACTIVATION_SWEEP.map(Rule::Threshold).to_vec(),
        toys: false,
        logits: set
            .match_classes(&header.classes, header.network.classes())
            .ok(),
        ..options.clone()
    };
    if arguments.threads > 0 {
        tch::set_num_threads(i32::try_from(arguments.threads).unwrap_or(i32::MAX));
    }
    let maps = ActivationMap::open(classifier, arguments.device)?;
    let run = &mut |batch, pixels: &[u8], output: &mut Output| maps.run(batch, pixels, output);
    let scores = scores(set, &mut options, run, "class-activation maps")
        .with_context(|| format!("{} gave no class-activation maps", classifier.origin()))?;
    report.add_activation_maps(&scores, &options, arguments.om_topk, bootstrap);
    Ok(())
}

/// Scores the set behind a progress bar. Of two ways of resizing that are the same one is left.
fn scores(
    set: &AnnotatedSet,
    options: &mut Options,
    predict: &mut Predict<'_>,
    what: &'static str,
) -> anyhow::Result<Scores> {
    let progress = progress_bar(set.pictures.len(), what);
    let watch = |pictures: usize| progress.inc(pictures as u64);
    let mut scores = evaluate(set, options, predict, &watch)?;
    progress.finish_and_clear();
    let stretch = options
        .resizes
        .iter()
        .position(|&resize| resize == Resize::Stretch);
    if let Some(stretch) = stretch.filter(|_| scores.square) {
        scores.by_resize = vec![scores.by_resize.swap_remove(stretch)];
        options.resizes = vec![Resize::Stretch];
    }
    Ok(scores)
}

/// A bar on the terminal; nothing where standard error is none.
fn progress_bar(pictures: usize, what: &'static str) -> ProgressBar {
    let style = ProgressStyle::with_template("{bar:30} {pos}/{len} {msg}, {per_sec}, {eta} left");
    ProgressBar::new(pictures as u64)
        .with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
        .with_message(what)
}

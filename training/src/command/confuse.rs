//! `casm confuse`: what masks do to classifiers (Figure 3).

mod study;

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, ensure};
use casm::Resize;
use casm_training::figure::{Confusion, ToyMask, plot};
use serde::Serialize;

use super::figure::{
    NetworkArguments, PictureArguments, ResizeArgument, check_writable, progress_bar, report,
    square, write,
};
use study::Study;

/// Pictures that are decoded and masked together.
const BATCH: usize = 8;

/// Arguments of `casm confuse`.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// Whose masks: checkpoint files or folders of runs; the built-in model if left out.
    #[arg(long, value_name = "FILE", num_args = 1..)]
    model: Vec<PathBuf>,
    #[command(flatten)]
    pictures: PictureArguments,
    /// Who judges: checkpoint files, or dir:FOLDER for all in a folder; the models' own classifiers if left
    /// out.
    #[arg(long, value_name = "FILE", num_args = 1..)]
    classifier: Vec<String>,
    /// Masks that look at no picture, to compare with: zero, one, random56, random224.
    #[arg(long, value_name = "NAME", value_delimiter = ',')]
    toy: Vec<ToyMask>,
    /// How pictures become square: the paper's figure has the centre of the picture; pictures that are
    /// stored squashed want stretch.
    #[arg(long, value_enum, default_value_t = ResizeArgument::Crop)]
    resize: ResizeArgument,
    /// Seed of the random toy masks.
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// Write the means into this file, a line for each mask, classifier and condition.
    #[arg(long, value_name = "FILE")]
    csv: Option<PathBuf>,
    /// Draw them into this SVG file.
    #[arg(long, value_name = "FILE")]
    plot: Option<PathBuf>,
    /// Print JSON instead of a table.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    network: NetworkArguments,
}

/// What `--json` prints.
#[derive(Debug, Serialize)]
struct Document<'a> {
    data: &'a Path,
    resize: Resize,
    seed: u64,
    confusions: &'a [Confusion],
    problems: &'a [String],
}

/// Masks every picture in every way, classifies it with every classifier, and prints the means.
///
/// # Errors
/// A model, classifier, device or the data cannot be used; the classes do not fit; no picture could be
/// read; a file cannot be written.
pub fn run(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    for path in arguments.csv.iter().chain(&arguments.plot) {
        check_writable(path)?;
    }
    let set = arguments.pictures.open()?;
    let mut study = Study::new(arguments, &set)?;
    let progress = progress_bar(set.pictures.len());
    let mut problems = set.problems.clone();
    let indices: Vec<usize> = (0..set.pictures.len()).collect();
    for batch in indices.chunks(BATCH) {
        let mut inputs = Vec::new();
        let mut used = Vec::new();
        for &index in batch {
            match set.decode(index) {
                Ok(picture) => {
                    inputs.push(square(&picture, arguments.resize.into(), study.size));
                    used.push(index);
                }
                Err(error) => problems.push(format!("{error:#}")),
            }
        }
        study.add(&inputs, &used, &set)?;
        progress.inc(batch.len() as u64);
    }
    progress.finish_and_clear();
    let confusions = study.tally.confusions();
    ensure!(
        !confusions.is_empty(),
        "no picture could be used: {}",
        problems.first().map_or("there is none", String::as_str)
    );

    if let Some(path) = &arguments.csv {
        write(path, csv(&confusions)?)?;
    }
    if let Some(path) = &arguments.plot {
        write(path, plot(&confusions)?)?;
    }
    let text = if arguments.json {
        let document = Document {
            data: &arguments.pictures.data,
            resize: arguments.resize.into(),
            seed: arguments.seed,
            confusions: &confusions,
            problems: &problems,
        };
        serde_json::to_string_pretty(&document)? + "\n"
    } else {
        table(&confusions)
    };
    let written = std::io::stdout().write_all(text.as_bytes());
    written.context("standard output cannot be written")?;
    Ok(report(&problems))
}

fn csv(confusions: &[Confusion]) -> anyhow::Result<Vec<u8>> {
    let mut writer = csv::Writer::from_writer(Vec::new());
    for row in confusions {
        writer.serialize(row)?;
    }
    writer.into_inner().context("the table cannot be finished")
}

fn table(confusions: &[Confusion]) -> String {
    let width = |names: fn(&Confusion) -> &str, heading: &str| {
        let lengths = confusions.iter().map(|row| names(row).chars().count());
        lengths.max().unwrap_or(0).max(heading.len())
    };
    let mask = width(|row| &row.mask, "masks of");
    let classifier = width(|row| &row.classifier, "classifier");
    let mut text = format!(
        "{:<mask$}  {:<classifier$}  {:<10}  pictures  top-1 %  top-5 %    loss  entropy\n",
        "masks of", "classifier", "condition"
    );
    for row in confusions {
        text += &format!(
            "{:<mask$}  {:<classifier$}  {:<10}  {:>8}  {:>7.1}  {:>7.1}  {:>6.3}  {:>7.3}\n",
            row.mask,
            row.classifier,
            row.condition,
            row.pictures,
            100.0 * row.top1,
            100.0 * row.top5,
            row.loss,
            row.entropy
        );
    }
    text
}

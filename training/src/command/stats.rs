//! `casm stats`: what a model's masks look like (section 6.1).

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context;
use casm::Resize;
use casm_training::evaluation::{Options, RunningStatistics, Statistics, evaluate};
use serde::Serialize;

use super::figure::{
    Models, NetworkArguments, PictureArguments, ResizeArgument, progress_bar, report,
};

/// Masks of a batch, in which the released code measures the spread.
const BATCH: usize = 128;

/// Arguments of `casm stats`.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// Checkpoint files or folders of runs; the built-in model if left out.
    #[arg(long, value_name = "FILE", num_args = 1..)]
    model: Vec<PathBuf>,
    #[command(flatten)]
    pictures: PictureArguments,
    /// How pictures become square.
    #[arg(long, value_enum, default_value_t = ResizeArgument::Crop)]
    resize: ResizeArgument,
    /// Print JSON instead of a table.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    network: NetworkArguments,
}

/// Statistics of one model's masks.
#[derive(Debug, Serialize)]
struct Row {
    model: String,
    pictures: usize,
    average: f64,
    /// `None` for a single picture, which has no spread.
    std_batch128: Option<f64>,
    std_global: Option<f64>,
    entropy: f64,
    tv_mean: f64,
    tv_sum: f64,
    problems: Vec<String>,
}

/// Prints the statistics of each model's masks.
///
/// # Errors
/// A model, device or the data cannot be used; no picture could be read.
pub fn run(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    let mut set = arguments.pictures.open()?;
    // As the released code's loader has them, so that a batch holds few classes.
    let names: Vec<String> = set.classes.iter().map(|class| class.name.clone()).collect();
    set.pictures
        .sort_by_key(|picture| picture.class.map(|class| names[class].clone()));
    let mut models = Models::new(arguments.network.options());
    for path in &arguments.model {
        models.open(Some(path))?;
    }
    if models.models.is_empty() {
        models.open(None)?;
    }
    let mut rows = Vec::new();
    for model in &mut models.models {
        model
            .header()
            .require_decoder(&format!("'{}'", model.name))?;
        let options = Options {
            resizes: vec![Resize::from(arguments.resize)],
            rules: Vec::new(),
            ..Options::new(model.header())
        };
        let progress = progress_bar(set.pictures.len());
        let mut predict =
            |batch: usize, pixels: &[u8], output: &mut _| model.run(batch, pixels, output);
        let watch = |pictures: usize| progress.inc(pictures as u64);
        let scores = evaluate(&set, &options, &mut predict, &watch)?;
        progress.finish_and_clear();
        let mut running = RunningStatistics::default();
        let masks: Vec<_> = scores.by_resize[0].iter().map(|score| score.mask).collect();
        for batch in masks.chunks(BATCH) {
            running.add(batch);
        }
        rows.push(Row::new(
            &model.name,
            masks.len(),
            &running.statistics(),
            scores.problems,
        ));
    }
    let text = if arguments.json {
        serde_json::to_string_pretty(&rows)? + "\n"
    } else {
        table(&rows)
    };
    let written = std::io::stdout().write_all(text.as_bytes());
    written.context("standard output cannot be written")?;
    let unread = rows.iter().take(1).flat_map(|row| &row.problems);
    let problems: Vec<String> = set.problems.iter().chain(unread).cloned().collect();
    Ok(report(&problems))
}

impl Row {
    fn new(model: &str, pictures: usize, statistics: &Statistics, problems: Vec<String>) -> Row {
        let finite = |value: f64| value.is_finite().then_some(value);
        Row {
            model: model.to_owned(),
            pictures,
            average: statistics.average,
            std_batch128: finite(statistics.std_batch),
            std_global: finite(statistics.std_global),
            entropy: statistics.entropy,
            tv_mean: statistics.tv_mean,
            tv_sum: statistics.tv_sum,
            problems,
        }
    }
}

fn table(rows: &[Row]) -> String {
    let lengths = rows.iter().map(|row| row.model.chars().count());
    let width = lengths.max().unwrap_or(0).max("model".len());
    let mut text = format!(
        "{:<width$}  pictures  average  std_batch128  std_global  entropy  tv_mean    tv_sum\n",
        "model"
    );
    let optional = |value: Option<f64>| value.map_or("-".to_owned(), |value| format!("{value:.4}"));
    for row in rows {
        text += &format!(
            "{:<width$}  {:>8}  {:>7.4}  {:>12}  {:>10}  {:>7.4}  {:>7.5}  {:>8.1}\n",
            row.model,
            row.pictures,
            row.average,
            optional(row.std_batch128),
            optional(row.std_global),
            row.entropy,
            row.tv_mean,
            row.tv_sum
        );
    }
    text
}

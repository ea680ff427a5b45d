//! `casm confuse`: what masks do to classifiers (Figure 3).

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, ensure};
use casm::Resize;
use casm::mask::BinaryMask;
use casm_training::evaluation::{AnnotatedSet, ClassificationScore};
use casm_training::figure::{Condition, Confusion, Tally, ToyMask, View, masked_versions, plot};
use image::RgbImage;
use serde::Serialize;

use super::figure::{
    Models, NetworkArguments, PictureArguments, ResizeArgument, check_writable, checkpoints_in,
    progress_bar, report, square, write,
};

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

/// Masks, classifiers, and what has come out so far.
struct Study {
    networks: Models,
    /// Which of the networks make masks.
    makers: Vec<usize>,
    toys: Vec<ToyMask>,
    seed: u64,
    judges: Vec<Judge>,
    /// Side of the networks' input.
    size: u32,
    tally: Tally,
}

/// A classifier.
struct Judge {
    /// Which of the networks.
    network: usize,
    /// For each of the data's classes its logit.
    logits: Vec<usize>,
}

impl Study {
    fn new(arguments: &Arguments, set: &AnnotatedSet) -> anyhow::Result<Study> {
        let mut networks = Models::new(arguments.network.options());
        let mut makers = Vec::new();
        for path in &arguments.model {
            makers.push(networks.open(Some(path))?);
        }
        if makers.is_empty() {
            makers.push(networks.open(None)?);
        }
        for &maker in &makers {
            let header = networks.models[maker].header();
            header.require_decoder(&format!("'{}'", networks.models[maker].name))?;
        }
        let mut classifiers = Vec::new();
        for text in &arguments.classifier {
            let files = match text.strip_prefix("dir:") {
                Some(folder) => checkpoints_in(Path::new(folder))?,
                None => vec![PathBuf::from(text)],
            };
            for file in files {
                classifiers.push(networks.open(Some(&file))?);
            }
        }
        if classifiers.is_empty() {
            classifiers.clone_from(&makers);
        }
        let judge = |network: usize| {
            let model = &networks.models[network];
            let header = model.header();
            let logits = set.match_classes(&header.classes, header.network.classes());
            let logits = logits.map_err(anyhow::Error::msg).with_context(|| {
                let data = arguments.pictures.data.display();
                format!(
                    "classifier '{}' cannot judge the pictures of '{data}'",
                    model.name
                )
            })?;
            Ok(Judge { network, logits })
        };
        let mut toys = arguments.toy.clone();
        for list in [&mut makers, &mut classifiers] {
            distinct(list);
        }
        distinct(&mut toys);
        let judges = classifiers.into_iter().map(judge);
        Ok(Study {
            judges: judges.collect::<anyhow::Result<_>>()?,
            size: networks.models[makers[0]].header().input.size,
            networks,
            makers,
            toys,
            seed: arguments.seed,
            tally: Tally::default(),
        })
    }

    /// Takes in pictures at the input's size; `indices` are theirs in the set.
    fn add(
        &mut self,
        pictures: &[RgbImage],
        indices: &[usize],
        set: &AnnotatedSet,
    ) -> anyhow::Result<()> {
        if pictures.is_empty() {
            return Ok(());
        }
        // Every network sees the clean pictures once, for its masks and for its opinion.
        let views = self.networks.models.iter_mut();
        let views = views.map(|model| model.view(pictures));
        let views = views.collect::<anyhow::Result<Vec<_>>>()?;
        for judge in &self.judges {
            let name = &self.networks.models[judge.network].name;
            for (view, &index) in views[judge.network].iter().zip(indices) {
                let score = judge.score(view, index, set)?;
                self.tally.add("", name, Condition::Clean, &score);
            }
        }
        let mut sources = Vec::new();
        for &maker in &self.makers {
            let model = &self.networks.models[maker];
            let masks = views[maker].iter().map(|view| model.binary_mask(view));
            sources.push((model.name.clone(), masks.collect::<anyhow::Result<_>>()?));
        }
        for toy in &self.toys {
            let mask = |&index: &usize| toy.mask(self.size as usize, self.seed, index as u64);
            let masks: Vec<BinaryMask> = indices.iter().map(mask).collect();
            sources.push((toy.to_string(), masks));
        }
        for (name, masks) in sources {
            let mut versions = [Vec::new(), Vec::new(), Vec::new()];
            for (picture, mask) in pictures.iter().zip(&masks) {
                for (list, version) in versions.iter_mut().zip(masked_versions(picture, mask)) {
                    list.push(version);
                }
            }
            let conditions = [
                Condition::MaskedIn,
                Condition::MaskedOut,
                Condition::Inpainted,
            ];
            for (condition, pictures) in conditions.into_iter().zip(&versions) {
                self.judge(&name, condition, pictures, indices, set)?;
            }
        }
        Ok(())
    }

    /// Takes in masked pictures.
    fn judge(
        &mut self,
        mask: &str,
        condition: Condition,
        pictures: &[RgbImage],
        indices: &[usize],
        set: &AnnotatedSet,
    ) -> anyhow::Result<()> {
        for judge in &self.judges {
            let model = &mut self.networks.models[judge.network];
            for (view, &index) in model.view(pictures)?.iter().zip(indices) {
                let score = judge.score(view, index, set)?;
                self.tally.add(mask, &model.name, condition, &score);
            }
        }
        Ok(())
    }
}

impl Judge {
    fn score(
        &self,
        view: &View,
        index: usize,
        set: &AnnotatedSet,
    ) -> anyhow::Result<ClassificationScore> {
        let picture = &set.pictures[index];
        let class = picture
            .class
            .with_context(|| format!("picture '{}' has no class", picture.name))?;
        Ok(ClassificationScore::new(&view.logits, self.logits[class]))
    }
}

/// Leaves out what is there already.
fn distinct<T: PartialEq + Copy>(list: &mut Vec<T>) {
    let mut seen = Vec::new();
    list.retain(|item| {
        let new = !seen.contains(item);
        seen.push(*item);
        new
    });
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

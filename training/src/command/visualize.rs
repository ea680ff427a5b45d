//! `casm visualize`: pictures, what masks keep of them and take from them (Figure 2), and a gallery.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, ensure};
use casm::{Header, Resize};
use casm_training::evaluation::AnnotatedSet;
use casm_training::figure::{Fill, INPAINT_RADIUS, Model, grid, inpaint, masked_in, masked_out};
use casm_training::random::{Stream, generator};
use image::RgbImage;
use rand::seq::SliceRandom;
use serde::Serialize;

use super::drawing::save;
use super::figure::{
    Models, NetworkArguments, PictureArguments, ResizeArgument, check_writable, report, square,
};
use super::gallery;

/// Classes that an error names before it stops.
const LISTED: usize = 5;

/// Arguments of `casm visualize`.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// Checkpoint file or folder of a run; the built-in model if left out.
    #[arg(long, value_name = "FILE")]
    model: Option<PathBuf>,
    /// A second model, whose masks of the same pictures are shown to the right.
    #[arg(long, value_name = "FILE")]
    compare: Option<PathBuf>,
    #[command(flatten)]
    pictures: PictureArguments,
    /// Only pictures of this class: a WordNet id, or a name that the model's classes have.
    #[arg(long, value_name = "CLASS")]
    class: Option<String>,
    /// Folder for what is drawn.
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// Pictures beside each other.
    #[arg(long, value_name = "N", default_value_t = 7)]
    columns: usize,
    /// Number of sheets.
    #[arg(long, value_name = "N", default_value_t = 1)]
    plots: usize,
    /// Seed of the choice of pictures.
    #[arg(long, default_value_t = 931_001)]
    seed: u64,
    /// What masked pixels become: mean, black, or grey=V with V from 0 to 1.
    #[arg(long, default_value_t = Fill::Grey(0.35))]
    fill: Fill,
    /// How the masked-out picture is filled in, in the last row.
    #[arg(long, value_enum, default_value_t = InpaintArgument::Telea)]
    inpaint: InpaintArgument,
    /// How pictures become square.
    #[arg(long, value_enum, default_value_t = ResizeArgument::Crop)]
    resize: ResizeArgument,
    /// Also write index.html with the best and worst cases: by IoU where there are boxes, else by
    /// confidence. Looks at all the pictures.
    #[arg(long)]
    gallery: bool,
    /// Best cases in the gallery, and as many worst.
    #[arg(long, value_name = "N", default_value_t = 12)]
    cases: usize,
    #[command(flatten)]
    network: NetworkArguments,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum InpaintArgument {
    /// By Telea's method, radius 3.
    Telea,
    /// Not at all: there is no such row.
    None,
}

/// What is printed for each file: which pictures it shows, since there is no text in it.
#[derive(Debug, Serialize)]
struct Line<'a> {
    file: &'a Path,
    rows: &'a [&'a str],
    models: Vec<&'a str>,
    pictures: Vec<&'a str>,
}

/// Draws sheets of pictures chosen at random, and the gallery if asked for.
///
/// # Errors
/// A model, device or the data cannot be used; no picture is of the class or could be read; the folder
/// cannot be written.
pub fn run(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    ensure!(
        arguments.columns > 0,
        "--columns is 0, but must be at least 1"
    );
    ensure!(
        arguments.plots > 0 || arguments.gallery,
        "--plots 0 without --gallery leaves nothing to draw"
    );
    ensure!(
        arguments.cases > 0 || !arguments.gallery,
        "--cases is 0, but must be at least 1"
    );
    let mut set = arguments.pictures.open()?;
    let mut models = Models::new(arguments.network.options());
    models.open(arguments.model.as_deref())?;
    if let Some(path) = &arguments.compare {
        models.open(Some(path))?;
    }
    let mut models = models.models;
    for model in &models {
        model
            .header()
            .require_decoder(&format!("'{}'", model.name))?;
    }
    if let Some(class) = &arguments.class {
        keep_class(&mut set, class, models[0].header())?;
    }
    check_writable(&arguments.out.join("index.html"))?;

    let mut problems = set.problems.clone();
    let sheets = draw_sheets(arguments, &set, &mut models, &mut problems)?;
    let mut drawn = sheets > 0;
    if sheets < arguments.plots && drawn {
        eprintln!(
            "casm: the pictures are enough for {sheets} of {} sheets",
            arguments.plots
        );
    }
    if arguments.gallery {
        let gallery = gallery::Gallery {
            folder: &arguments.out,
            resize: Resize::from(arguments.resize),
            cases: arguments.cases,
        };
        drawn |= gallery.write(&set, &mut models[0], &mut problems)?;
    }
    ensure!(
        drawn,
        "no picture could be used: {}",
        problems.first().map_or("there is none", String::as_str)
    );
    Ok(report(&problems))
}

/// Draws sheets until there are enough of them or no more pictures; returns how many.
fn draw_sheets(
    arguments: &Arguments,
    set: &AnnotatedSet,
    models: &mut [Model],
    problems: &mut Vec<String>,
) -> anyhow::Result<usize> {
    let size = models[0].header().input.size;
    let mut order: Vec<usize> = (0..set.pictures.len()).collect();
    order.shuffle(&mut generator(arguments.seed, Stream::Choice, 0, 0));
    let mut order = order.into_iter();
    for sheet in 0..arguments.plots {
        let mut inputs = Vec::new();
        let mut names = Vec::new();
        // The next picture takes the place of one that cannot be read.
        while inputs.len() < arguments.columns {
            let Some(index) = order.next() else { break };
            match set.decode(index) {
                Ok(picture) => {
                    inputs.push(square(&picture, arguments.resize.into(), size));
                    names.push(set.pictures[index].name.as_str());
                }
                Err(error) => problems.push(format!("{error:#}")),
            }
        }
        if inputs.is_empty() {
            return Ok(sheet);
        }
        let blocks = models
            .iter_mut()
            .map(|model| block(model, &inputs, arguments));
        let blocks = blocks.collect::<anyhow::Result<Vec<_>>>()?;
        let stem = PathBuf::from(format!("sheet-{:02}", sheet + 1));
        save(&arguments.out, &stem, |path| grid(&blocks).save(path))?;
        let rows = ["picture", "masked-in", "masked-out", "inpainted"];
        let line = Line {
            file: &arguments.out.join(stem).with_extension("png"),
            rows: &rows[..blocks[0][0].len()],
            models: models.iter().map(|model| model.name.as_str()).collect(),
            pictures: names,
        };
        writeln!(std::io::stdout(), "{}", serde_json::to_string(&line)?)
            .context("standard output cannot be written")?;
    }
    Ok(arguments.plots)
}

/// A column for each picture: itself, masked-in, masked-out, inpainted.
fn block(
    model: &mut Model,
    pictures: &[RgbImage],
    arguments: &Arguments,
) -> anyhow::Result<Vec<Vec<RgbImage>>> {
    let fill = arguments.fill.color(model.header().input.mean);
    let views = model.view(pictures)?;
    let columns = pictures.iter().zip(&views).map(|(picture, view)| {
        let mask = model.binary_mask(view)?;
        let out = masked_out(picture, &mask, fill);
        let mut column = vec![picture.clone(), masked_in(picture, &mask, fill), out];
        if arguments.inpaint == InpaintArgument::Telea {
            column.push(inpaint(&column[2], &mask, INPAINT_RADIUS));
        }
        Ok(column)
    });
    columns.collect()
}

/// Leaves out the pictures that are not of the class called `wanted`.
fn keep_class(set: &mut AnnotatedSet, wanted: &str, header: &Header) -> anyhow::Result<()> {
    let logits = set.match_classes(&header.classes, header.network.classes());
    let known = |class: usize| {
        let logit = logits.as_ref().ok().map(|logits| logits[class]);
        let named = logit.and_then(|logit| header.classes.get(logit));
        std::iter::once(&set.classes[class].name).chain(named)
    };
    let is_wanted = |class: usize| known(class).any(|name| is_called(name, wanted));
    let kept: Vec<bool> = (0..set.classes.len()).map(is_wanted).collect();
    if !kept.contains(&true) {
        let names = set.classes.iter().take(LISTED);
        let names: Vec<_> = names.map(|class| class.name.as_str()).collect();
        anyhow::bail!(
            "the data has no class '{wanted}', but {} others{}{}",
            set.classes.len(),
            if names.is_empty() { "" } else { ", such as " },
            names.join(", ")
        );
    }
    set.pictures
        .retain(|picture| picture.class.is_some_and(|class| kept[class]));
    ensure!(
        !set.pictures.is_empty(),
        "none of the chosen pictures is of class '{wanted}': leave out --limit, or raise it"
    );
    Ok(())
}

/// Whether `name`, as in `n01440764 tench, Tinca tinca`, is or contains `wanted`: the WordNet id, one of
/// the synonyms, or all of it; in upper or lower case.
fn is_called(name: &str, wanted: &str) -> bool {
    let (first, rest) = name.split_once(' ').unwrap_or((name, ""));
    let names = [name, first, rest].into_iter().chain(rest.split(", "));
    let wanted = wanted.trim();
    let mut names = names.filter(|name| !name.is_empty());
    names.any(|name| name.to_lowercase() == wanted.to_lowercase())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_class_is_called_by_id_or_any_of_its_names() {
        let name = "n01440764 tench, Tinca tinca";
        for wanted in [
            "n01440764",
            "tench",
            "tinca TINCA",
            name,
            " tench, Tinca tinca",
        ] {
            assert!(is_called(name, wanted), "{wanted}");
        }
        for wanted in ["", "tin", "n0144076", "Tinca"] {
            assert!(!is_called(name, wanted), "{wanted}");
        }
        assert!(is_called("cat", "Cat") && !is_called("cat", ""));
    }
}

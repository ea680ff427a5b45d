//! `casm localize`: the salient object of pictures.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context;
use casm::frame::{ColorSpace, Plane};
use casm::localizer::LocalizeOptions;
use casm::mask::{Binarization, BinarizationRule};
use casm::overlay::OverlayMode;
use casm::{
    BoundingBox, Checkpoint, Device, EngineKind, EngineOptions, Frame, Geometry, Localization,
    Localizer, PixelFormat, Precision, Resize,
};
use indicatif::{ProgressBar, ProgressStyle};
use serde::Serialize;

use super::drawing::{draw_mask, draw_overlay, save};
use super::pictures::{self, PictureFile};

/// Arguments of `casm localize`.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// Picture files, folders (searched recursively) and glob patterns.
    #[arg(required = true, value_name = "IMAGE")]
    inputs: Vec<String>,
    /// Checkpoint file or run folder; the built-in model if left out.
    #[arg(long, value_name = "FILE")]
    model: Option<PathBuf>,
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
    /// How a picture becomes square: all of it, or its centre.
    #[arg(long, value_enum, default_value_t = ResizeArgument::Stretch)]
    resize: ResizeArgument,
    /// How the mask is made binary; the model's own rule if left out.
    #[arg(long, value_enum)]
    binarize: Option<RuleArgument>,
    /// Quantile: marked share as a multiple of the mask's mean. Mean: threshold as a multiple of it.
    #[arg(long)]
    alpha: Option<f64>,
    /// Smallest object, as a share of what the network saw, 0 to 1.
    #[arg(long, default_value_t = 0.0)]
    min_area: f64,
    /// Write each picture with its result drawn in, as PNG, into this folder.
    #[arg(long, value_name = "DIR")]
    overlay: Option<PathBuf>,
    /// What --overlay draws.
    #[arg(long, value_enum, default_value_t = OverlayArgument::Contour)]
    overlay_mode: OverlayArgument,
    /// Write each mask at the picture's size, as grey PNG (255 = 1.0), into this folder.
    ///
    /// Pictures of one name from several folders get -2, -3 … at the end of it, here and in --overlay.
    #[arg(long, value_name = "DIR")]
    mask: Option<PathBuf>,
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
    Stretch,
    Crop,
}

#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum RuleArgument {
    Quantile,
    Mean,
}

#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum OverlayArgument {
    Box,
    Mask,
    Heatmap,
    Contour,
    Grey,
}

impl From<OverlayArgument> for OverlayMode {
    fn from(argument: OverlayArgument) -> OverlayMode {
        match argument {
            OverlayArgument::Box => OverlayMode::Box,
            OverlayArgument::Mask => OverlayMode::Mask,
            OverlayArgument::Heatmap => OverlayMode::Heatmap,
            OverlayArgument::Contour => OverlayMode::Contour,
            OverlayArgument::Grey => OverlayMode::Grey,
        }
    }
}

/// One line of the output.
#[derive(Debug, Serialize)]
struct Line<'a> {
    image: &'a Path,
    width: u32,
    height: u32,
    #[serde(rename = "box")]
    bounding_box: Option<BoundingBox>,
    confidence: f64,
    mask_mean: f64,
    class: Option<Class<'a>>,
}

#[derive(Debug, Serialize)]
struct Class<'a> {
    index: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<&'a str>,
    probability: f32,
}

/// The line of a picture that could not be used, so that no input is missing from the output.
#[derive(Debug, Serialize)]
struct ErrorLine<'a> {
    image: &'a Path,
    error: String,
}

/// Localises every picture, prints a line for each, and goes on after those that cannot be used.
///
/// # Errors
/// The model or device cannot be used, no pictures were named, or standard output is closed.
pub fn run(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    let files = pictures::find(&arguments.inputs)?;
    let checkpoint = super::checkpoint(arguments.model.as_deref())?;
    let options = localize_options(arguments, checkpoint.header().binarization)?;
    let engine_options = EngineOptions {
        engine: arguments.engine,
        device: arguments.device,
        precision: match arguments.precision {
            PrecisionArgument::Auto => Precision::Auto,
            PrecisionArgument::F32 => Precision::F32,
            PrecisionArgument::Bf16 => Precision::Bf16,
            PrecisionArgument::F16 => Precision::F16,
            PrecisionArgument::Int8 => Precision::Int8,
        },
        threads: arguments.threads,
    };
    let mut localizer = casm::open_localizer(&checkpoint, &engine_options)?;
    let progress = progress_bar(files.len());
    let mut failed = 0usize;
    for file in &files {
        let outcome = localize(file, &mut localizer, &options, arguments);
        let json = match &outcome {
            Ok((size, localization)) => {
                serde_json::to_string(&line(file, *size, localization, &checkpoint))?
            }
            Err(error) => {
                failed += 1;
                progress.suspend(|| eprintln!("casm: {error:#}"));
                serde_json::to_string(&ErrorLine {
                    image: &file.path,
                    error: format!("{error:#}"),
                })?
            }
        };
        progress
            .suspend(|| writeln!(std::io::stdout(), "{json}"))
            .context("standard output cannot be written")?;
        progress.inc(1);
    }
    progress.finish_and_clear();
    if failed > 0 {
        eprintln!(
            "casm: {failed} of {} pictures could not be used",
            files.len()
        );
        return Ok(ExitCode::FAILURE);
    }
    Ok(ExitCode::SUCCESS)
}

fn localize_options(
    arguments: &Arguments,
    default: Binarization,
) -> anyhow::Result<LocalizeOptions> {
    let alpha = arguments.alpha.unwrap_or(default.alpha);
    anyhow::ensure!(
        alpha.is_finite() && alpha > 0.0,
        "--alpha is {alpha}, but must be above zero"
    );
    let min_area = arguments.min_area;
    anyhow::ensure!(
        (0.0..=1.0).contains(&min_area),
        "--min-area is {min_area}, but must be from 0 to 1"
    );
    // The paper's rules have no erosion; a model's own may.
    let (rule, erosion) = match arguments.binarize {
        None => (default.rule, default.erosion),
        Some(RuleArgument::Quantile) => (BinarizationRule::Quantile, 0),
        Some(RuleArgument::Mean) => (BinarizationRule::Mean, 0),
    };
    let resize = match arguments.resize {
        ResizeArgument::Stretch => Resize::Stretch,
        ResizeArgument::Crop => Resize::Crop,
    };
    Ok(LocalizeOptions {
        resize,
        binarization: Binarization {
            rule,
            alpha,
            erosion,
        },
        min_area,
        max_objects: 1,
    })
}

fn localize(
    file: &PictureFile,
    localizer: &mut Localizer,
    options: &LocalizeOptions,
    arguments: &Arguments,
) -> anyhow::Result<((u32, u32), Localization)> {
    let mut picture = pictures::read(&file.path)?;
    let (width, height) = picture.dimensions();
    let named = || format!("picture '{}'", file.path.display());
    let plane = Plane {
        data: picture.as_raw(),
        stride: width as usize * 3,
    };
    let frame = Frame::new(
        PixelFormat::Rgb,
        width,
        height,
        ColorSpace::default(),
        vec![plane],
    )
    .with_context(named)?;
    let localization = localizer.localize(&frame, options).with_context(named)?;
    let geometry = Geometry::new(options.resize, width, height, localizer.header().input.size);
    if let Some(folder) = &arguments.mask {
        let mask = draw_mask((width, height), &localization, &geometry)?;
        save(folder, &file.stem, |path| mask.save(path))?;
    }
    if let Some(folder) = &arguments.overlay {
        draw_overlay(
            &mut picture,
            &localization,
            &geometry,
            arguments.overlay_mode.into(),
        )?;
        save(folder, &file.stem, |path| picture.save(path))?;
    }
    Ok(((width, height), localization))
}

fn line<'a>(
    file: &'a PictureFile,
    (width, height): (u32, u32),
    localization: &Localization,
    checkpoint: &'a Checkpoint,
) -> Line<'a> {
    Line {
        image: &file.path,
        width,
        height,
        bounding_box: localization.bounding_box(),
        confidence: localization.confidence(),
        mask_mean: localization.mask_mean,
        class: localization.top_class.map(|(index, probability)| Class {
            index,
            name: checkpoint.header().classes.get(index).map(String::as_str),
            probability,
        }),
    }
}

/// A bar on the terminal; nothing for one picture or where standard error is not a terminal.
fn progress_bar(pictures: usize) -> ProgressBar {
    if pictures < 2 {
        return ProgressBar::hidden();
    }
    let style =
        ProgressStyle::with_template("{bar:30} {pos}/{len} pictures, {per_sec}, {eta} left");
    ProgressBar::new(pictures as u64)
        .with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
}

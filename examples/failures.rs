//! Where the model is wrong: of many rendered pictures those whose boxes are farthest from the truth, on one sheet.
//!
//! ```text
//! failures docs/failures.jpg [MODEL]
//! ```
//!
//! White: the true box; red: the one that was found; the heat is the mask.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use casm_core::frame::{ColorSpace, Plane, PlaneMut};
use casm_core::localizer::LocalizeOptions;
use casm_core::mask::Binarization;
use casm_core::overlay::{Overlay, OverlayMode, OverlayStyle};
use casm_core::{Checkpoint, EngineOptions, Frame, FrameMut, Geometry, PixelFormat, Resize};
use casm_examples::{Picture, Scene};
use clap::Parser;
use image::RgbImage;

/// Clips that are rendered: three objects in turn, with other colours, light, directions and grounds.
const CLIPS: u32 = 60;
/// Pictures of each clip, evenly spread.
const EACH: u32 = 3;
/// Pictures on the sheet, at most one of each clip.
const SHOWN: usize = 6;
const COLUMNS: u32 = 3;
const GAP: u32 = 6;
const TRUTH: [u8; 3] = [255; 3];
const FOUND: [u8; 3] = [255, 0, 0];

/// Renders pictures, draws those whose boxes are farthest from the truth on one sheet, and prints the mean IoU.
#[derive(Debug, Parser)]
struct Arguments {
    /// The sheet to be written, .jpg or .png.
    sheet: PathBuf,
    /// Checkpoint file; the built-in model if left out.
    model: Option<PathBuf>,
}

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    // A wrong name is told before the pictures are rendered.
    image::ImageFormat::from_path(&arguments.sheet).with_context(|| {
        let path = arguments.sheet.display();
        format!("'{path}' names no picture; end it in .jpg or .png")
    })?;
    let checkpoint = match &arguments.model {
        Some(model) => Checkpoint::open(model)?,
        None => Checkpoint::built_in()?,
    };
    let mut localizer = casm::open_localizer(&checkpoint, &EngineOptions::default())?;
    let options = LocalizeOptions {
        resize: Resize::Stretch,
        binarization: Binarization::default(),
        min_area: 0.0,
        max_objects: 1,
    };
    let (mut worst, mut overlaps) = (Vec::new(), Vec::new());
    for seed in 0..CLIPS {
        let scene = Scene::with_seed(seed);
        let mut of_clip: Option<(f64, RgbImage)> = None;
        for number in 0..EACH {
            let index = scene.frames * number / EACH;
            let mut picture = scene.render(index);
            let found = localizer.localize(&frame(&picture)?, &options)?;
            let overlap = found
                .bounding_box()
                .map_or(0.0, |found| found.iou(&picture.truth));
            overlaps.push(overlap);
            if of_clip.as_ref().is_none_or(|(least, _)| overlap < *least) {
                draw(&mut picture, &found)?;
                let (width, height) = (picture.width, picture.height);
                let picture = RgbImage::from_raw(width, height, picture.pixels);
                of_clip = picture.map(|picture| (overlap, picture));
                println!("clip {seed}, picture {index}: IoU {overlap:.2}");
            }
        }
        worst.extend(of_clip);
    }
    worst.sort_by(|(a, _), (b, _)| a.total_cmp(b));
    worst.truncate(SHOWN);
    let missed = overlaps.iter().filter(|&&overlap| overlap <= 0.5).count();
    let mean = overlaps.iter().sum::<f64>() / overlaps.len() as f64;
    println!(
        "{} pictures: mean IoU {mean:.3}, {missed} at most 0.5; shown: {}",
        overlaps.len(),
        worst
            .iter()
            .map(|(overlap, _)| format!("{overlap:.2}"))
            .collect::<Vec<_>>()
            .join(" ")
    );
    write(&arguments.sheet, &worst)
}

fn frame(picture: &Picture) -> Result<Frame<'_>> {
    let plane = Plane {
        data: &picture.pixels,
        stride: 3 * picture.width as usize,
    };
    let (width, height) = (picture.width, picture.height);
    let colors = ColorSpace::default();
    Ok(Frame::new(
        PixelFormat::Rgb,
        width,
        height,
        colors,
        [plane],
    )?)
}

/// Mask, true box and found box into the picture.
fn draw(picture: &mut Picture, found: &casm_core::Localization) -> Result<()> {
    let (width, height) = (picture.width, picture.height);
    let side = found.mask.width as u32;
    let geometry = Geometry::new(Resize::Stretch, width, height, side);
    let mut truth = found.clone();
    for object in &mut truth.objects {
        object.bounding_box = picture.truth;
    }
    let mut overlay = Overlay::default();
    for (what, mode, color) in [
        (found, OverlayMode::Heatmap, FOUND),
        (&truth, OverlayMode::Box, TRUTH),
        (found, OverlayMode::Box, FOUND),
    ] {
        let plane = PlaneMut {
            data: &mut picture.pixels,
            stride: 3 * width as usize,
        };
        let colors = ColorSpace::default();
        let mut frame = FrameMut::new(PixelFormat::Rgb, width, height, colors, [plane])?;
        let style = OverlayStyle {
            mode,
            color,
            opacity: if mode == OverlayMode::Box { 1.0 } else { 0.4 },
        };
        overlay.draw(&mut frame, what, &geometry, &style)?;
    }
    Ok(())
}

fn write(path: &Path, pictures: &[(f64, RgbImage)]) -> Result<()> {
    let (width, height) = pictures[0].1.dimensions();
    let rows = (pictures.len() as u32).div_ceil(COLUMNS);
    let mut sheet = RgbImage::new(COLUMNS * (width + GAP) - GAP, rows * (height + GAP) - GAP);
    for (cell, (_, picture)) in (0..).zip(pictures) {
        let place = |cell: u32, side: u32| i64::from(cell * (side + GAP));
        let (x, y) = (place(cell % COLUMNS, width), place(cell / COLUMNS, height));
        image::imageops::replace(&mut sheet, picture, x, y);
    }
    sheet
        .save(path)
        .with_context(|| format!("'{}' cannot be written", path.display()))
}

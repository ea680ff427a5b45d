//! `casm sharpen`: a checkpoint whose masks are nearer to yes and no, and as large as asked for.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context;
use casm::checkpoint::NamedTensor;
use casm::engine::Output;
use casm::{EngineOptions, Precision};
use casm_training::evaluation::Location;
use casm_training::sharpening::Sharpening;

use super::figure::progress_bar;
use super::frames::Frames;

/// Pictures that the network sees at a time.
const BATCH: usize = 8;

/// Arguments of `casm sharpen`.
///
/// The decoder's last convolution is scaled and shifted: the order of a mask's pixels stays.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// Folder, .tar or .tar.gz with pictures, or a video, of the kind that the model will see; no annotations
    /// are needed. Again for each further one. Their mean mask is measured.
    #[arg(long, value_name = "PATH", required = true)]
    data: Vec<PathBuf>,
    /// Checkpoint file or run folder; the built-in model if left out.
    #[arg(long, value_name = "FILE")]
    model: Option<PathBuf>,
    /// The checkpoint to be written.
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// How many times farther from 0 what the mask is the sigmoid of shall be.
    #[arg(long, value_name = "FACTOR", default_value_t = 3.0)]
    contrast: f64,
    /// Mean of the masks over the pictures, which is the share of a picture that counts as object.
    #[arg(long, value_name = "SHARE", default_value_t = 0.4)]
    area: f64,
    /// At most so many pictures of each, evenly spread.
    #[arg(long, value_name = "N", default_value = "2000", value_parser = clap::value_parser!(u32).range(1..))]
    limit: u32,
    /// CPU threads; 0 = at most one a core.
    #[arg(long, default_value_t = 0)]
    threads: u32,
    /// Replace an existing output file.
    #[arg(long)]
    force: bool,
}

/// Measures the masks and writes the checkpoint.
///
/// # Errors
/// The checkpoint, an option or all pictures cannot be used; the file cannot be written.
pub fn run(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    super::ensure_new(&arguments.out, arguments.force)?;
    let checkpoint = super::checkpoint(arguments.model.as_deref())?;
    checkpoint.header().require_decoder(checkpoint.origin())?;
    // A wrong number is told before the pictures are looked at.
    Sharpening::new(&[0.5], arguments.contrast, arguments.area)?;
    let options = EngineOptions {
        precision: Precision::F32,
        threads: arguments.threads as usize,
        ..EngineOptions::default()
    };
    let mut engine = casm::open_engine(&checkpoint, &options)?;
    let (mut masks, mut output) = (Vec::new(), Output::default());
    let (mut pictures, mut problems) = (0, 0);
    for data in &arguments.data {
        let mut frames = Frames::open(&Location {
            data: data.clone(),
            ..Location::default()
        })?;
        frames.set.limit(arguments.limit as usize);
        let inputs = frames.inputs(checkpoint.header().input.size)?;
        let progress = progress_bar(inputs.count);
        for batch in inputs.pixels.chunks(BATCH * inputs.picture_bytes()) {
            let count = batch.len() / inputs.picture_bytes();
            engine.run(count, batch, &mut output)?;
            masks.extend_from_slice(&output.masks);
            progress.inc(count as u64);
        }
        progress.finish_and_clear();
        pictures += inputs.count;
        problems += inputs.problems;
    }
    let sharpening = Sharpening::new(&masks, arguments.contrast, arguments.area)?;

    let mut header = checkpoint.header().clone();
    // The scores are those of other masks.
    header.provenance.metrics.clear();
    let done = format!(
        "sharpened: contrast {}, mean mask {} over {pictures} pictures",
        arguments.contrast, arguments.area
    );
    super::note(&mut header, &done);
    let mut tensors: Vec<NamedTensor> = checkpoint.tensors()?.into_values().collect();
    sharpening
        .apply(&mut tensors)
        .with_context(|| format!("{} cannot be sharpened", checkpoint.origin()))?;
    super::write_changed(&checkpoint, &header, &tensors, &arguments.out, "sharpened")?;
    let mean = masks.iter().map(|&mask| f64::from(mask)).sum::<f64>() / masks.len() as f64;
    eprintln!(
        "casm: the mean mask of {pictures} pictures was {mean:.3} and is {} in '{}' (offset {:+.3})",
        arguments.area,
        arguments.out.display(),
        sharpening.offset
    );
    Ok(match problems {
        0 => ExitCode::SUCCESS,
        _ => ExitCode::FAILURE,
    })
}

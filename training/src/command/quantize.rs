//! `casm quantize`: a checkpoint with what int8 needs to know of its activations.

use std::path::PathBuf;
use std::process::ExitCode;

use casm::calibration::calibrate;
use casm::checkpoint::NamedTensor;
use casm_training::evaluation::Location;
use indicatif::{ProgressBar, ProgressStyle};

use super::frames::Frames;

/// Arguments of `casm quantize`.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// Folder, .tar or .tar.gz with pictures, or a video, of the kind that the model will see; no annotations
    /// are needed.
    #[arg(long, value_name = "PATH")]
    calibration: PathBuf,
    /// Checkpoint file or run folder; the built-in model if left out.
    #[arg(long, value_name = "FILE")]
    model: Option<PathBuf>,
    /// The checkpoint to be written. It can be used in every other precision as well.
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// Only this many pictures, evenly spread.
    #[arg(long, value_name = "N", default_value = "300", value_parser = clap::value_parser!(u32).range(1..))]
    limit: u32,
    /// CPU threads; 0 = at most one a core.
    #[arg(long, default_value_t = 0)]
    threads: u32,
    /// Replace an existing output file.
    #[arg(long)]
    force: bool,
}

/// Measures the ranges and writes the checkpoint.
///
/// # Errors
/// The checkpoint or all pictures cannot be used; the file cannot be written.
pub fn run(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    super::ensure_new(&arguments.out, arguments.force)?;
    let checkpoint = super::checkpoint(arguments.model.as_deref())?;
    checkpoint.header().require_decoder(checkpoint.origin())?;
    let mut frames = Frames::open(&Location {
        data: arguments.calibration.clone(),
        ..Location::default()
    })?;
    frames.set.limit(arguments.limit as usize);
    if arguments.threads > 0 {
        tch::set_num_threads(i32::try_from(arguments.threads).unwrap_or(i32::MAX));
    }
    let side = checkpoint.header().input.size;
    let inputs = frames.inputs(side)?;
    let (used, problems) = (inputs.count, inputs.problems);
    let progress = progress_bar(2 * used as u64);
    let watch = |count| progress.inc(count as u64);
    let quantization = calibrate(&checkpoint, &inputs.pixels, &watch)?;
    progress.finish_and_clear();

    let mut header = checkpoint.header().clone();
    let convolutions = quantization.inputs.len();
    header.quantization = Some(quantization);
    let tensors: Vec<NamedTensor> = checkpoint.tensors()?.into_values().collect();
    super::write_changed(&checkpoint, &header, &tensors, &arguments.out, "quantised")?;
    eprintln!(
        "casm: ranges of {convolutions} convolutions over {used} pictures are in '{0}'; measure what int8 costs with \
         `casm evaluate --agreement --model {0} --data PATH`",
        arguments.out.display()
    );
    Ok(match problems {
        0 => ExitCode::SUCCESS,
        _ => ExitCode::FAILURE,
    })
}

/// A bar on the terminal; nothing where standard error is none.
fn progress_bar(pictures: u64) -> ProgressBar {
    let style = ProgressStyle::with_template("{bar:30} {pos}/{len} pictures, twice, {eta} left");
    ProgressBar::new(pictures).with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
}

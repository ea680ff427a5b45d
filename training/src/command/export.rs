//! `casm export`: a checkpoint's network as a file for other programs.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context;
use casm_training::snapshot::write_atomically;

/// Arguments of `casm export`.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// Write an ONNX file: pictures of RGB values from 0 to 255, [N, 3, S, S] → mask and logits.
    #[arg(long, value_name = "FILE")]
    onnx: PathBuf,
    /// Write the layers as they are described, batch norms and all, for pictures that are normalised already: to
    /// measure other programs with.
    #[arg(long)]
    unfolded: bool,
    /// Checkpoint file or run folder; the built-in model if left out.
    #[arg(long, value_name = "FILE")]
    model: Option<PathBuf>,
    /// Replace an existing output file.
    #[arg(long)]
    force: bool,
}

/// Writes the file.
///
/// # Errors
/// The checkpoint cannot be used, or the file not be written.
pub fn run(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    super::ensure_new(&arguments.onnx, arguments.force)?;
    let checkpoint = super::checkpoint(arguments.model.as_deref())?;
    let bytes = match arguments.unfolded {
        true => casm::export::onnx_unfolded(&checkpoint)?,
        false => casm::export::onnx(&checkpoint)?,
    };
    write_atomically(&arguments.onnx, |file| file.write_all(&bytes))
        .with_context(|| format!("{} was not exported", checkpoint.origin()))?;
    let (size, megabytes) = (checkpoint.header().input.size, bytes.len() as f64 / 1e6);
    eprintln!(
        "casm: {} is in '{}' ({megabytes:.1} MB, pictures of {size} by {size})",
        checkpoint.origin(),
        arguments.onnx.display()
    );
    Ok(ExitCode::SUCCESS)
}

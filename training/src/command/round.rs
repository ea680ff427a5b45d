//! `casm round`: a checkpoint whose weights are numbers of bf16.

use std::path::PathBuf;
use std::process::ExitCode;

use casm::checkpoint::NamedTensor;
use casm::network::round_to_bf16;

/// Arguments of `casm round`.
///
/// For models that will run in bf16: its numbers are rounded once, for every precision, and engines have no weights left to round (but OpenVINO
/// those of the decoder's last convolution). The first convolution, MobileNetV2's first block and the decoder's last convolution stay as they
/// are. After training, `distill` and `sharpen`, and before `quantize`. Measure what it costs with `casm evaluate`, and what bf16 differs by with
/// `casm evaluate --agreement`.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// Checkpoint file or run folder. (The built-in model is rounded.)
    #[arg(long, value_name = "FILE")]
    model: PathBuf,
    /// The checkpoint to be written.
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// Replace an existing output file.
    #[arg(long)]
    force: bool,
}

/// Rounds the weights and writes the checkpoint.
///
/// # Errors
/// The checkpoint cannot be used; the file cannot be written.
pub fn run(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    super::ensure_new(&arguments.out, arguments.force)?;
    let checkpoint = super::checkpoint(Some(&arguments.model))?;
    let mut header = checkpoint.header().clone();
    let mut tensors = checkpoint.tensors()?;
    let count = round_to_bf16(&header.network, &header.input, &mut tensors)?;
    // The scores and ranges are those of other weights.
    header.provenance.metrics.clear();
    let had_ranges = header.quantization.take().is_some();
    super::note(&mut header, "weights rounded to numbers of bf16");
    let tensors: Vec<NamedTensor> = tensors.into_values().collect();
    super::write_changed(&checkpoint, &header, &tensors, &arguments.out, "rounded")?;
    let out = arguments.out.display();
    eprintln!("casm: {count} layers in '{out}' have numbers of bf16");
    if header.network.decoder.is_some() {
        eprintln!(
            "casm: what bf16 differs by: `casm evaluate --agreement --model {out} --data PATH`"
        );
    }
    if had_ranges {
        eprintln!(
            "casm: the ranges for int8 were those of the weights before; `casm quantize` measures them again"
        );
    }
    Ok(ExitCode::SUCCESS)
}

//! `casm round`: a checkpoint whose weights are numbers of bf16.

use std::path::PathBuf;
use std::process::ExitCode;

use casm::checkpoint::NamedTensor;
use casm::network::round_stored;

/// Arguments of `casm round`.
///
/// Weights have sixteen bits then in every precision, rounded once, and bf16 differs from f32 by its activations alone. To be done last:
/// batch norms go into the convolutions before them. Measure what it costs with `casm evaluate`, what bf16 differs by with
/// `casm evaluate --agreement`.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// Checkpoint file or run folder; the built-in model if left out.
    #[arg(long, value_name = "FILE")]
    model: Option<PathBuf>,
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
    let checkpoint = super::checkpoint(arguments.model.as_deref())?;
    let mut header = checkpoint.header().clone();
    let mut tensors = checkpoint.tensors()?;
    let count = round_stored(&header.network, &header.input, &mut tensors)?;
    header.provenance.metrics.clear();
    super::note(&mut header, "weights rounded to numbers of bf16");
    let tensors: Vec<NamedTensor> = tensors.into_values().collect();
    super::write_changed(&checkpoint, &header, &tensors, &arguments.out, "rounded")?;
    eprintln!(
        "casm: {count} layers in '{0}' are rounded; measure it with `casm evaluate --agreement --model {0} --data PATH`",
        arguments.out.display()
    );
    Ok(ExitCode::SUCCESS)
}

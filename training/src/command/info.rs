//! `casm info`: what is inside a checkpoint.

use std::path::PathBuf;
use std::process::ExitCode;

use casm::Checkpoint;
use casm::checkpoint::Storage;
use casm::network::EncoderConfig;

/// Arguments of `casm info`.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// Checkpoint file; the built-in model if left out.
    #[arg(default_value = "")]
    model: PathBuf,
    /// Print the header as JSON.
    #[arg(long)]
    json: bool,
    /// List every tensor with its shape.
    #[arg(long)]
    tensors: bool,
}

/// Prints the header in words or as JSON.
///
/// # Errors
/// Those of reading the checkpoint.
pub fn run(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    let checkpoint = Checkpoint::open_or_built_in(&arguments.model)?;
    let header = checkpoint.header();
    if arguments.json {
        println!("{}", serde_json::to_string_pretty(header)?);
        return Ok(ExitCode::SUCCESS);
    }
    let parameters = header.network.network().parameters();
    let values: usize = parameters
        .iter()
        .map(|parameter| parameter.shape.iter().product::<usize>())
        .sum();
    let storage = match checkpoint.storage() {
        Storage::F32 => "f32",
        Storage::F16 => "f16",
    };
    let megabytes = checkpoint.bytes().len() as f64 / 1e6;
    let line = |name: &str, value: &str| println!("{name:<14} {value}");
    line("checkpoint", checkpoint.origin());
    line(
        "format",
        &format!(
            "{} ({megabytes:.1} MB, values stored as {storage})",
            header.format_version
        ),
    );
    line(
        "encoder",
        &format!(
            "{}, {} classes",
            header.network.encoder.name(),
            header.network.classes()
        ),
    );
    if let EncoderConfig::MobilenetV2(config) = &header.network.encoder {
        let norm = if config.batch_norm {
            "batch norm"
        } else {
            "batch norm folded"
        };
        line(
            "",
            &format!("{norm}, {:?}", config.activation).to_lowercase(),
        );
    }
    match &header.network.decoder {
        Some(decoder) => line(
            "decoder",
            &format!(
                "{} channels a tap, {:?} enlargement of the mask",
                decoder.channels, decoder.upsample
            )
            .to_lowercase(),
        ),
        None => line("decoder", "none: a classifier alone"),
    }
    line(
        "parameters",
        &format!("{values} in {} tensors", parameters.len()),
    );
    line(
        "input",
        &format!(
            "{0} x {0}, mean {1:?}, std {2:?}",
            header.input.size, header.input.mean, header.input.std
        ),
    );
    line(
        "binarization",
        &format!(
            "{:?}, alpha {}",
            header.binarization.rule, header.binarization.alpha
        )
        .to_lowercase(),
    );
    let named = if header.classes.is_empty() {
        "not named"
    } else {
        "named"
    };
    line("classes", named);
    let provenance = &header.provenance;
    for (name, text) in [
        ("created by", &provenance.created_by),
        ("data", &provenance.data),
        ("commit", &provenance.commit),
        ("notes", &provenance.notes),
    ] {
        if !text.is_empty() {
            line(name, text);
        }
    }
    for (name, value) in &provenance.metrics {
        line("metric", &format!("{name} = {value}"));
    }
    if arguments.tensors {
        for parameter in parameters {
            println!("{:<52} {:?}", parameter.name, parameter.shape);
        }
    }
    Ok(ExitCode::SUCCESS)
}

//! `casm info`: what is inside a checkpoint, and what can run it here.

mod engines;

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context;
use casm::Checkpoint;
use casm::network::EncoderConfig;

/// Arguments of `casm info`.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// Checkpoint file or run folder; the built-in model if left out.
    #[arg(value_name = "FILE")]
    model: Option<PathBuf>,
    /// Print the header as JSON.
    #[arg(long)]
    json: bool,
    /// List every tensor with its shape.
    #[arg(long)]
    tensors: bool,
    /// Say instead which engines there are on this machine, and which of them auto takes when.
    #[arg(long, conflicts_with_all = ["model", "json", "tensors"])]
    engines: bool,
}

/// Prints the header in words or as JSON.
///
/// # Errors
/// Those of reading the checkpoint; standard output is closed.
pub fn run(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    let text = if arguments.engines {
        engines::describe()
    } else {
        about_checkpoint(arguments)?
    };
    let written = std::io::stdout().write_all(text.as_bytes());
    written.context("standard output cannot be written")?;
    Ok(ExitCode::SUCCESS)
}

fn about_checkpoint(arguments: &Arguments) -> anyhow::Result<String> {
    let checkpoint = super::checkpoint(arguments.model.as_deref())?;
    let mut text = if arguments.json {
        serde_json::to_string_pretty(checkpoint.header())? + "\n"
    } else {
        let lines = describe(&checkpoint).into_iter();
        lines
            .map(|(name, value)| format!("{name:<14} {value}\n"))
            .collect()
    };
    if arguments.tensors {
        for parameter in checkpoint.header().network.network().parameters() {
            text += &format!("{:<52} {:?}\n", parameter.name, parameter.shape);
        }
    }
    Ok(text)
}

/// The header in words: name and value of each line.
fn describe(checkpoint: &Checkpoint) -> Vec<(&'static str, String)> {
    let header = checkpoint.header();
    let network = &header.network;
    let parameters = network.network().parameters();
    let count = |shape: &Vec<usize>| shape.iter().product::<usize>();
    let values: usize = parameters
        .iter()
        .map(|parameter| count(&parameter.shape))
        .sum();
    let storage = checkpoint.number_formats();
    let megabytes = checkpoint.bytes().len() as f64 / 1e6;
    let format = format!(
        "{} ({megabytes:.1} MB, values stored as {storage})",
        header.format_version
    );
    let encoder = format!("{}, {} classes", network.encoder.name(), network.classes());
    let variant = match &network.encoder {
        EncoderConfig::Resnet(_) => String::new(),
        EncoderConfig::MobilenetV2(config) => {
            let norm = if config.batch_norm {
                "batch norm"
            } else {
                "batch norm folded"
            };
            format!("{norm}, {:?}", config.activation).to_lowercase()
        }
    };
    let decoder = match &network.decoder {
        Some(decoder) => {
            let upsample = format!("{:?}", decoder.upsample).to_lowercase();
            let taps = match &decoder.taps[..] {
                [] => "all taps".to_owned(),
                taps => format!("taps {taps:?}"),
            };
            let first = match decoder.convolve_first {
                true => ", the first through a convolution too",
                false => "",
            };
            let of = match network.separate_encoder {
                true => " of an encoder of its own",
                false => "",
            };
            format!(
                "{taps}{of}{first}, {} channels a tap, {upsample} enlargement of the mask",
                decoder.channels
            )
        }
        None => "none: a classifier alone".to_owned(),
    };
    let input = &header.input;
    let rule = format!("{:?}", header.binarization.rule).to_lowercase();
    let named = if header.classes.is_empty() {
        "not named"
    } else {
        "named"
    };
    let provenance = &header.provenance;
    let mut lines = vec![
        ("checkpoint", checkpoint.origin().to_owned()),
        ("format", format),
        ("encoder", encoder),
        ("", variant),
        ("decoder", decoder),
        (
            "parameters",
            format!("{values} in {} tensors", parameters.len()),
        ),
        (
            "input",
            format!(
                "{0} x {0}, mean {1:?}, std {2:?}",
                input.size, input.mean, input.std
            ),
        ),
        (
            "binarization",
            match header.binarization.erosion {
                0 => format!("{rule}, alpha {}", header.binarization.alpha),
                erosion => format!(
                    "{rule}, alpha {}, {erosion} pixels eroded",
                    header.binarization.alpha
                ),
            },
        ),
        ("classes", named.to_owned()),
        ("created by", provenance.created_by.clone()),
        ("data", provenance.data.clone()),
        ("commit", provenance.commit.clone()),
        ("notes", provenance.notes.clone()),
    ];
    if let Some(quantization) = &header.quantization {
        let count = quantization.inputs.len();
        lines.push(("int8", format!("ranges of {count} convolutions' inputs")));
    }
    lines.retain(|(_, value)| !value.is_empty());
    let metrics = provenance.metrics.iter();
    lines.extend(metrics.map(|(name, value)| ("metric", format!("{name} = {value}"))));
    lines
}

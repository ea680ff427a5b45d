//! `make bench`: frames per second of `casmesaliency` in a pipeline against the same network in a
//! bare loop, and the memory of both.
//!
//! The two run in processes of their own (`contestant`), take turns round by round so that whatever
//! else the machine does meets both, and compute with the same number of threads. The bare loop gets
//! pixels that already have the network's size: what the pipeline needs more is the price of frame
//! conversion, mask to box, metadata and GStreamer.

mod contestant;
mod report;

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, Result};
use casm::Header;
use casm::checkpoint::{Storage, serialize};
use casm::network::{EncoderConfig, NetworkConfig, ResnetConfig};
use casm::parameters::Parameters;
use clap::Parser;

use crate::contestant::{Contestant, Kind};
use crate::report::Report;

/// Compares the element in a pipeline with the bare network.
#[derive(Debug, Clone, Parser)]
struct Arguments {
    /// The checkpoint; without it, the built-in model.
    #[arg(long, value_name = "FILE", conflicts_with = "resnet50")]
    model: Option<PathBuf>,
    /// Use a ResNet-50 with random weights.
    #[arg(long)]
    resnet50: bool,
    /// Where to compute: auto, cpu, cuda, cuda:N.
    #[arg(long, default_value = "auto")]
    device: String,
    /// Threads of the network; 0 = one a core.
    #[arg(long, default_value_t = 0)]
    threads: u32,
    /// Rounds of each.
    #[arg(long, default_value_t = 15, value_parser = clap::value_parser!(u32).range(1..))]
    rounds: u32,
    /// Frames in a round.
    #[arg(long, default_value_t = 30, value_parser = clap::value_parser!(u32).range(1..))]
    frames: u32,
    /// Width of the pipeline's frames.
    #[arg(long, default_value_t = 1280, value_parser = clap::value_parser!(u32).range(16..=8192))]
    width: u32,
    /// Height of the pipeline's frames.
    #[arg(long, default_value_t = 720, value_parser = clap::value_parser!(u32).range(16..=8192))]
    height: u32,
    /// Format of the pipeline's frames, a GStreamer name.
    #[arg(long, default_value = "NV12")]
    format: String,
    /// Print JSON instead of a table.
    #[arg(long)]
    json: bool,
    /// Be one of the two; used by this program itself.
    #[arg(long, hide = true, value_enum)]
    contestant: Option<Kind>,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let outcome = match arguments.contestant {
        Some(Kind::Pipeline) => contestant::pipeline::serve(&arguments),
        Some(Kind::BareLoop) => contestant::bare_loop::serve(&arguments),
        None => compare(arguments),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn compare(mut arguments: Arguments) -> Result<()> {
    // Kept until the end; removed when dropped.
    let mut random_weights = None;
    if arguments.resnet50 {
        let file = write_resnet50()?;
        arguments.model = Some(file.path().to_owned());
        random_weights = Some(file);
    }
    let mut pipeline = Contestant::start(Kind::Pipeline, &arguments)?;
    let mut bare_loop = Contestant::start(Kind::BareLoop, &arguments)?;
    let mut report = Report::new(&arguments, &bare_loop);
    for round in 0..arguments.rounds {
        // A B, B A, A B, ...: neither profits from always being second.
        let (ours, bare) = if round % 2 == 0 {
            let ours = pipeline.round()?;
            (ours, bare_loop.round()?)
        } else {
            let bare = bare_loop.round()?;
            (pipeline.round()?, bare)
        };
        report.add(ours, bare);
        eprintln!(
            "round {} of {}: {}",
            round + 1,
            arguments.rounds,
            report.last_round()
        );
    }
    drop(random_weights);
    if arguments.json {
        println!("{}", serde_json::to_string_pretty(&report.summary())?);
    } else {
        print!("{}", report.table());
    }
    Ok(())
}

/// The size of network that the paper uses; speed does not depend on the values of the weights.
fn write_resnet50() -> Result<tempfile::NamedTempFile> {
    let network = NetworkConfig::new(EncoderConfig::Resnet(ResnetConfig::resnet50(1000)));
    let parameters = Parameters::initialise(&network.network().parameters(), tch::Device::Cpu)?;
    let bytes = serialize(&Header::new(network), &parameters.to_named()?, Storage::F32)?;
    let file = tempfile::Builder::new()
        .suffix(".safetensors")
        .tempfile()
        .context("no temporary file can be made; set TMPDIR to a folder with 120 MB of room")?;
    std::fs::write(file.path(), bytes)
        .with_context(|| format!("{} cannot be written", file.path().display()))?;
    Ok(file)
}

//! `make bench` writes the board (`board`), docs/performance.md. Without `--board`, `make bench-pipeline`: frames
//! per second of `casmesaliency` in a pipeline against the same network in a bare loop, and the memory of both.
//!
//! The two run in processes of their own (`contestant`), take turns round by round so that whatever
//! else the machine does meets both, and compute with the same number of threads. The bare loop gets
//! pixels that already have the network's size: what the pipeline needs more is the price of frame
//! conversion, mask to box, metadata and GStreamer.

mod board;
mod contestant;
mod report;

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, Result};
use casm::checkpoint::{Storage, serialize};
use casm::network::{EncoderConfig, NetworkConfig, ResnetConfig};
use casm::parameters::Parameters;
use casm::{EngineKind, Header, Precision};
use clap::Parser;

use crate::contestant::{Contestant, Kind};
use crate::report::Report;

/// Compares the element in a pipeline with the bare network; or, with --board, engines with each other and with
/// other programs.
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
    /// What runs the network: auto, torch, openvino.
    #[arg(long, default_value_t = EngineKind::Auto)]
    engine: EngineKind,
    /// Number format of the network: auto, f32, bf16, f16, int8.
    #[arg(long, default_value = "auto")]
    precision: String,
    /// Pictures that the bare network sees at once.
    #[arg(long, default_value_t = 1, value_parser = at_least_one)]
    batch: usize,
    /// Cores that everything is bound to, as `taskset -c` takes them; empty: all.
    #[arg(long, default_value = "", value_name = "LIST")]
    cores: String,
    /// Write the board into this file.
    #[arg(long, value_name = "FILE")]
    board: Option<PathBuf>,
    /// With --board: Python interpreters that have torch, onnxruntime or openvino; what none of them has is
    /// left out, and said to be absent.
    #[arg(long, value_name = "FILE")]
    python: Vec<PathBuf>,
    /// With --board: only this network.
    #[arg(long, value_enum)]
    network: Option<board::Network>,
    /// GOMP_SPINCOUNT of libtorch's threads; empty: OpenMP's own default.
    #[arg(long, default_value = "5000", value_name = "N")]
    spin: String,
    /// With --board: the shortest run that shows all tables, for tests; its numbers mean nothing.
    #[arg(long)]
    smoke: bool,
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
    /// Frames that may wait inside of the pipeline's element.
    #[arg(long, default_value_t = 0, value_parser = clap::value_parser!(u32).range(0..=64))]
    async_depth: u32,
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

fn at_least_one(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(number) if number > 0 => Ok(number),
        _ => Err("it must be a whole number from 1 on".to_owned()),
    }
}

impl Arguments {
    fn precision(&self) -> Result<Precision> {
        // The words of the element's property.
        let word = serde_json::Value::String(self.precision.clone());
        serde_json::from_value(word).with_context(|| {
            format!(
                "--precision {} is none of auto, f32, bf16, f16, int8",
                self.precision
            )
        })
    }
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let outcome = match arguments.contestant {
        Some(Kind::Pipeline) => contestant::pipeline::serve(&arguments),
        Some(Kind::BareLoop) => contestant::bare_loop::serve(&arguments),
        Some(Kind::Neighbour) => loop {
            std::hint::spin_loop();
        },
        None => match arguments.board.clone() {
            Some(file) => board::run(&arguments, &file),
            None => compare(arguments),
        },
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
            let ours = pipeline.round(arguments.frames)?;
            (ours, bare_loop.round(arguments.frames)?)
        } else {
            let bare = bare_loop.round(arguments.frames)?;
            (pipeline.round(arguments.frames)?, bare)
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

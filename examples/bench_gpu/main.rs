//! `make bench-gpu`: how fast a GPU computes, written to docs/performance-gpu.md beside the goals.
//!
//! For both networks, in f32 and bf16, with CUDA graphs and without: the time from a 1080p frame in the CPU's memory
//! to its mask there (one frame after the other, so upload, conversion, network and copy back are all in it), frames
//! a second by batch size, and the element in a pipeline. Without a GPU it says so and measures nothing; `--device
//! cpu --smoke` is for tests of this program.

mod measure;
mod page;

use std::path::PathBuf;
use std::process::{Command, ExitCode};

use anyhow::{Context, Result};
use casm::checkpoint::{Storage, serialize};
use casm::network::{EncoderConfig, NetworkConfig, ResnetConfig};
use casm::parameters::Parameters;
use casm::{Checkpoint, Device, Header};
use clap::{Parser, ValueEnum};

use crate::measure::{Case, Effort, Measured};
use crate::page::{Page, Pipeline, Section};

/// Measures the torch engine on a GPU.
#[derive(Debug, Clone, Parser)]
struct Arguments {
    /// Where to compute: cuda, cuda:N; cpu only to try this program.
    #[arg(long, default_value = "cuda")]
    device: String,
    /// Write the page into this file, too.
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Only this network.
    #[arg(long, value_enum)]
    network: Option<Network>,
    /// Seconds for each number.
    #[arg(long, default_value_t = 2.0)]
    seconds: f64,
    /// Let cuDNN try its algorithms and take the fastest, which may give other last digits from run to run.
    #[arg(long)]
    cudnn_benchmark: bool,
    /// The shortest run that shows all tables; its numbers mean nothing.
    #[arg(long)]
    smoke: bool,
}

/// What is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Network {
    /// The built-in model.
    MobilenetV2,
    /// The paper's, with random weights.
    Resnet50,
}

impl Network {
    /// As people call it.
    pub fn title(self) -> &'static str {
        match self {
            Network::MobilenetV2 => "MobileNetV2, the built-in model",
            Network::Resnet50 => "ResNet-50, random weights",
        }
    }

    fn checkpoint(self) -> Result<Checkpoint> {
        if self == Network::MobilenetV2 {
            return Ok(Checkpoint::built_in()?);
        }
        let network = NetworkConfig::new(EncoderConfig::Resnet(ResnetConfig::resnet50(1000)));
        let parameters = network.network().parameters();
        let parameters = Parameters::initialise(&parameters, tch::Device::Cpu)?;
        let named = parameters.to_named()?;
        let bytes = serialize(&Header::new(network), &named, Storage::F32)?;
        Ok(Checkpoint::from_bytes(bytes, "random weights".to_owned())?)
    }
}

/// Exit code for "nothing was done".
const NOTHING: u8 = 2;

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let usable = arguments.device.parse::<Device>();
    let usable = usable.and_then(|device| Ok((device, casm::device::resolve(device)?)));
    let device = match usable {
        Ok((device, found)) if found.is_cuda() || device == Device::Cpu => device,
        Ok(_) => {
            eprintln!("nothing was measured: there is no usable NVIDIA GPU here");
            return ExitCode::from(NOTHING);
        }
        Err(error) => {
            eprintln!("nothing was measured: {error}");
            return ExitCode::from(NOTHING);
        }
    };
    match run(&arguments, device) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &Arguments, device: Device) -> Result<()> {
    let effort = match arguments.smoke {
        true => Effort::smoke(),
        false => Effort::full(arguments.seconds),
    };
    if arguments.cudnn_benchmark && device != Device::Cpu {
        tch::Cuda::cudnn_set_benchmark(true);
    }
    let networks = match arguments.network {
        Some(network) => vec![network],
        None => vec![Network::Resnet50, Network::MobilenetV2],
    };
    let mut page = Page::new(arguments, device);
    for network in networks {
        let checkpoint = network.checkpoint()?;
        let mut rows: Vec<Measured> = Vec::new();
        for case in Case::all(device) {
            eprintln!("{}: {case}", network.title());
            rows.push(measure::measure(&checkpoint, device, case, &effort)?);
        }
        eprintln!("{}: pipeline", network.title());
        let pipeline = pipeline(arguments, network).map_err(|error| format!("{error:#}"));
        page.add(Section {
            network,
            rows,
            pipeline,
        });
    }
    let text = page.text();
    print!("{text}");
    if let Some(out) = &arguments.out {
        if let Some(folder) = out.parent().filter(|folder| !folder.as_os_str().is_empty()) {
            std::fs::create_dir_all(folder)?;
        }
        std::fs::write(out, text)
            .with_context(|| format!("'{}' cannot be written", out.display()))?;
    }
    Ok(())
}

/// The element beside the bare loop, both in processes of their own: the program `bench` beside this one.
fn pipeline(arguments: &Arguments, network: Network) -> Result<Pipeline> {
    let bench = std::env::current_exe()?.with_file_name("bench");
    let mut command = Command::new(&bench);
    command.args(["--json", "--engine", "torch", "--precision", "bf16"]);
    command.args(["--device", &arguments.device]);
    command.args(["--width", "1920", "--height", "1080", "--format", "NV12"]);
    command.args(["--async-depth", "4"]);
    match arguments.smoke {
        true => command.args(["--rounds", "1", "--frames", "2", "--threads", "1"]),
        false => command.args(["--rounds", "9", "--frames", "1000"]),
    };
    if network == Network::Resnet50 {
        command.arg("--resnet50");
    }
    let output = command.output().with_context(|| {
        format!(
            "{} cannot be started; run `make bench-gpu`",
            bench.display()
        )
    })?;
    let said = String::from_utf8_lossy(&output.stderr);
    anyhow::ensure!(output.status.success(), "{}", said.trim());
    let summary: serde_json::Value = serde_json::from_slice(&output.stdout)?;
    let rate = |side: &str| summary[side]["frames_per_second"]["median"].as_f64();
    Ok(Pipeline {
        element: rate("pipeline").context("bench gave no rate of the pipeline")?,
        bare_loop: rate("bare_loop").context("bench gave no rate of the bare loop")?,
    })
}

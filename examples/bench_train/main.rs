//! `make bench-train`: images per second of one alternating step (L100) against the same step written
//! plainly in PyTorch eager, `step_plain.py`.
//!
//! Both run in processes of their own with the same number of threads and take turns step by step, so
//! that whatever else the machine does meets both. Each judges half of its steps with the current
//! classifier and half with a kept one, as L100 does on average.

mod ours;

use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, ExitCode, Stdio};

use anyhow::{Context, Result, bail};
use casm_training::run::TrainingPrecision;
use clap::Parser;
use serde::Serialize;

/// Compares a training step with plain PyTorch.
#[derive(Debug, Clone, Parser)]
pub struct Arguments {
    /// Which network.
    #[arg(long, value_enum, default_value = "mobilenet-v2")]
    network: NetworkArgument,
    /// Our number format; PyTorch's side is f32.
    #[arg(long, value_enum, default_value_t = TrainingPrecision::F32)]
    precision: TrainingPrecision,
    /// Threads of each.
    #[arg(long, default_value_t = 2)]
    threads: u32,
    /// Pictures in a batch.
    #[arg(long, default_value_t = 32)]
    batch: usize,
    /// Side of the pictures.
    #[arg(long, default_value_t = 224)]
    input_size: u32,
    /// Rounds: a step with each judge on each side.
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// A Python with PyTorch 2.11.
    #[arg(long, default_value = "python3")]
    python: PathBuf,
    /// Give PyTorch's side our allocator settings too, by environment variables.
    #[arg(long)]
    same_allocator: bool,
    /// Print JSON instead of a table.
    #[arg(long)]
    json: bool,
    /// Be our side; used by this program itself.
    #[arg(long, hide = true)]
    serve: bool,
}

/// The networks that are compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum NetworkArgument {
    /// ResNet-50.
    Resnet50,
    /// MobileNetV2 with its batch norm folded.
    MobilenetV2,
}

impl NetworkArgument {
    fn name(self) -> &'static str {
        match self {
            NetworkArgument::Resnet50 => "resnet50",
            NetworkArgument::MobilenetV2 => "mobilenet-v2",
        }
    }
}

const JUDGES: [&str; 2] = ["current", "history"];

/// What `keep_freed_memory` sets, as glibc's environment variables.
const ALLOCATOR: [(&str, &str); 4] = [
    ("MALLOC_MMAP_MAX_", "0"),
    ("MALLOC_TRIM_THRESHOLD_", "2147483647"),
    ("MALLOC_TOP_PAD_", "268435456"),
    ("MALLOC_ARENA_MAX", "1"),
];

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let outcome = match arguments.serve {
        true => ours::serve(&arguments),
        false => compare(&arguments),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// A process that makes a step when asked.
struct Side {
    child: Child,
    input: Option<ChildStdin>,
    output: BufReader<std::process::ChildStdout>,
}

impl Side {
    fn start(program: &Path, arguments: &[String], variables: &[(&str, &str)]) -> Result<Side> {
        let mut child = Command::new(program)
            .args(arguments)
            .envs(variables.iter().copied())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .with_context(|| format!("'{}' does not start", program.display()))?;
        let input = child.stdin.take();
        let output = child.stdout.take().context("standard output is a pipe")?;
        Ok(Side {
            child,
            input,
            output: BufReader::new(output),
        })
    }

    fn step(&mut self, judge: &str) -> Result<f64> {
        let input = self.input.as_mut().context("it has ended")?;
        writeln!(input, "{judge}")?;
        input.flush()?;
        self.number()
    }

    fn number(&mut self) -> Result<f64> {
        let mut line = String::new();
        self.output.read_line(&mut line)?;
        if line.is_empty() {
            bail!(
                "a side has ended early; PyTorch's needs --python PATH of a Python with torch 2.11"
            );
        }
        line.trim()
            .parse()
            .with_context(|| format!("'{}' is no number", line.trim()))
    }

    /// Ends the process; its peak memory in MiB.
    fn finish(mut self) -> Result<f64> {
        drop(self.input.take());
        let peak = self.number()?;
        self.child.wait()?;
        Ok(peak)
    }
}

#[derive(Debug, Serialize)]
struct Report {
    network: &'static str,
    precision: TrainingPrecision,
    batch: usize,
    input_size: u32,
    threads: u32,
    rounds: usize,
    /// Whether PyTorch ran with our allocator settings.
    same_allocator: bool,
    /// Median images per second with the current classifier as judge, with a kept one, and over both.
    ours: [f64; 3],
    pytorch: [f64; 3],
    ratio: [f64; 3],
    /// Smallest and largest ratio of a round, over both judges.
    spread: [f64; 2],
    ours_peak_mebibytes: f64,
    pytorch_peak_mebibytes: f64,
}

fn compare(arguments: &Arguments) -> Result<()> {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("bench_train/step_plain.py");
    let own = std::env::current_exe()?;
    let values: [(&str, String); 4] = [
        ("--network", arguments.network.name().to_owned()),
        ("--threads", arguments.threads.to_string()),
        ("--batch", arguments.batch.to_string()),
        ("--input-size", arguments.input_size.to_string()),
    ];
    let shared: Vec<String> = values
        .into_iter()
        .flat_map(|(option, value)| [option.to_owned(), value])
        .chain(["--serve".to_owned()])
        .collect();
    let precision = format!("{:?}", arguments.precision).to_lowercase();
    let ours = [&["--precision".to_owned(), precision], &shared[..]].concat();
    let plain = [&[script.display().to_string()], &shared[..]].concat();
    let variables: &[(&str, &str)] = match arguments.same_allocator {
        true => &ALLOCATOR,
        false => &[],
    };
    let mut ours = Side::start(&own, &ours, &[])?;
    let mut plain = Side::start(&arguments.python, &plain, variables)?;
    // Seconds by judge, then by round.
    let (mut own_seconds, mut plain_seconds) = ([vec![], vec![]], [vec![], vec![]]);
    for round in 0..=arguments.rounds {
        for (index, judge) in JUDGES.into_iter().enumerate() {
            // A B, B A: neither profits from always being second.
            let (a, b) = if round % 2 == 0 {
                let a = ours.step(judge)?;
                (a, plain.step(judge)?)
            } else {
                let b = plain.step(judge)?;
                (ours.step(judge)?, b)
            };
            // The first round is to warm up.
            if round > 0 {
                own_seconds[index].push(a);
                plain_seconds[index].push(b);
                eprintln!(
                    "round {round} of {}, {judge}: ours {a:.2} s, PyTorch {b:.2} s",
                    arguments.rounds
                );
            }
        }
    }
    let ratios = (0..arguments.rounds).map(|round| {
        let total = |seconds: &[Vec<f64>; 2]| seconds[0][round] + seconds[1][round];
        total(&plain_seconds) / total(&own_seconds)
    });
    let ratios: Vec<f64> = ratios.collect();
    let report = Report {
        network: arguments.network.name(),
        precision: arguments.precision,
        batch: arguments.batch,
        input_size: arguments.input_size,
        threads: arguments.threads,
        rounds: arguments.rounds,
        same_allocator: arguments.same_allocator,
        ours: rates(arguments.batch, &own_seconds),
        pytorch: rates(arguments.batch, &plain_seconds),
        ratio: [
            median(&plain_seconds[0]) / median(&own_seconds[0]),
            median(&plain_seconds[1]) / median(&own_seconds[1]),
            median(&ratios),
        ],
        spread: [
            ratios.iter().copied().fold(f64::INFINITY, f64::min),
            ratios.iter().copied().fold(0.0, f64::max),
        ],
        ours_peak_mebibytes: ours.finish()?,
        pytorch_peak_mebibytes: plain.finish()?,
    };
    if arguments.json {
        println!("{}", serde_json::to_string_pretty(&report)?);
    } else {
        table(&report);
    }
    Ok(())
}

/// Images per second with each judge, and with each half of the time steps.
fn rates(batch: usize, seconds: &[Vec<f64>; 2]) -> [f64; 3] {
    let [current, history] = [median(&seconds[0]), median(&seconds[1])];
    [current, history, (current + history) / 2.0].map(|seconds| batch as f64 / seconds)
}

fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let middle = sorted.len() / 2;
    match sorted.len() {
        0 => f64::NAN,
        length if length % 2 == 1 => sorted[middle],
        _ => (sorted[middle - 1] + sorted[middle]) / 2.0,
    }
}

fn table(report: &Report) {
    println!(
        "{}, {:?}, batch {}, {} px, {} threads, medians of {} rounds",
        report.network,
        report.precision,
        report.batch,
        report.input_size,
        report.threads,
        report.rounds
    );
    println!(
        "{:20} {:>12} {:>12} {:>8}",
        "judge", "ours", "PyTorch", "ratio"
    );
    for (index, judge) in ["current", "kept", "half of each"].into_iter().enumerate() {
        println!(
            "{judge:20} {:>8.2} im/s {:>8.2} im/s {:>7.2}x",
            report.ours[index], report.pytorch[index], report.ratio[index]
        );
    }
    println!(
        "ratio of a round {:.2} to {:.2}; peak memory {:.0} and {:.0} MiB",
        report.spread[0],
        report.spread[1],
        report.ours_peak_mebibytes,
        report.pytorch_peak_mebibytes
    );
}

//! One of those that are compared: a child process that runs a round whenever it is told to.
//!
//! The child says `Ready` as a line of JSON, then answers each number of batches on its standard input with
//! a [`Round`].

pub mod bare_loop;
pub mod pipeline;

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::Instant;

use anyhow::{Context, Result};
use clap::ValueEnum;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::Arguments;

/// Frames before the first round: the first ones pay for memory and code that is not there yet.
const WARM_UP: u32 = 10;

/// Settings of glibc's allocator.
const SAME_FOR_BOTH: [(&str, &str); 2] = [
    ("MALLOC_TRIM_THRESHOLD_", "2000000000"),
    ("MALLOC_MMAP_THRESHOLD_", "2000000000"),
];

/// Which of the two.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Kind {
    /// The element in a pipeline.
    Pipeline,
    /// The network alone.
    BareLoop,
    /// A loop that keeps a core busy and answers nothing.
    Neighbour,
}

/// What a child says once it is warm.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Ready {
    /// The network.
    pub network: String,
    /// Engine, device, threads.
    pub engine: String,
}

/// What a child says after a round.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Round {
    /// From the first frame's start to the last one's end.
    pub seconds: f64,
    /// Resident memory now, in KiB.
    pub resident_kib: u64,
    /// The most that it was, in KiB.
    pub peak_kib: u64,
    /// Mean milliseconds of the element's stages, by the names that its property `stats` gives them.
    #[serde(default)]
    pub stages: BTreeMap<String, f64>,
}

/// A child, seen by its parent.
pub struct Contestant {
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
    /// What it runs.
    pub ready: Ready,
}

impl Contestant {
    /// Starts a child and waits until it is warm.
    pub fn start(kind: Kind, arguments: &Arguments) -> Result<Contestant> {
        let name = kind.to_possible_value().context("every kind has a name")?;
        let mut command = own_program(arguments)?;
        // glibc may give memory back to the system after every frame and fetch it again, in one
        // program and not in the other: 30 % of MobileNetV2's speed. So both keep what is freed.
        command.envs(SAME_FOR_BOTH);
        // The plugin would set it for itself, and too late for the bare loop.
        command.env_remove("GOMP_SPINCOUNT");
        if !arguments.spin.is_empty() {
            command.env("GOMP_SPINCOUNT", &arguments.spin);
        }
        command.args(["--contestant", name.get_name()]);
        command.args(["--engine", &arguments.engine.to_string()]);
        command.args(["--precision", &arguments.precision]);
        command.args(["--batch", &arguments.batch.to_string()]);
        if let Some(model) = &arguments.model {
            command.arg("--model").arg(model);
        }
        let frames = arguments.frames.to_string();
        let [threads, width, height] =
            [arguments.threads, arguments.width, arguments.height].map(|number| number.to_string());
        command.args(["--device", &arguments.device, "--threads", &threads]);
        command.args(["--frames", &frames, "--format", &arguments.format]);
        command.args(["--width", &width, "--height", &height]);
        command.args(["--async-depth", &arguments.async_depth.to_string()]);
        Contestant::spawn(command, name.get_name())
    }

    /// Starts a program that speaks as a child does, and waits until it is warm.
    pub fn spawn(mut command: Command, name: &str) -> Result<Contestant> {
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .with_context(|| format!("{:?} cannot be started", command.get_program()))?;
        let input = child.stdin.take().context("standard input is a pipe")?;
        let output = child.stdout.take().context("standard output is a pipe")?;
        let mut output = BufReader::new(output);
        let ready = receive(&mut output).with_context(|| format!("the {name} did not start"));
        if ready.is_err() {
            let _ = child.kill();
            let _ = child.wait();
        }
        Ok(Contestant {
            ready: ready?,
            child,
            input,
            output,
        })
    }

    /// Has it run a round of this many batches.
    pub fn round(&mut self, batches: u32) -> Result<Round> {
        self.input
            .write_all(format!("{batches}\n").as_bytes())
            .context("a contestant ended early")?;
        receive(&mut self.output)
    }
}

impl Drop for Contestant {
    fn drop(&mut self) {
        // Fails if it has ended already, which is as well.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// This program, on the cores that were asked for.
pub fn own_program(arguments: &Arguments) -> Result<Command> {
    Ok(on_cores(
        &arguments.cores,
        std::env::current_exe()?.as_os_str(),
    ))
}

/// A program on these cores; on all where none are named.
pub fn on_cores(cores: &str, program: &OsStr) -> Command {
    if cores.is_empty() {
        return Command::new(program);
    }
    let mut command = Command::new("taskset");
    command.args(["-c", cores]).arg(program);
    command
}

fn receive<T: DeserializeOwned>(output: &mut impl BufRead) -> Result<T> {
    let mut line = String::new();
    output.read_line(&mut line)?;
    serde_json::from_str(&line).context("a contestant ended early; its reason is above")
}

/// The child's side: warms up, then runs rounds until its parent goes away.
fn serve(
    ready: &Ready,
    mut run: impl FnMut(u32) -> Result<()>,
    stages: impl Fn() -> BTreeMap<String, f64>,
) -> Result<()> {
    run(WARM_UP)?;
    send(ready)?;
    for line in std::io::stdin().lines() {
        let batches = line?
            .trim()
            .parse()
            .context("a round is a number of batches")?;
        let begin = Instant::now();
        run(batches)?;
        let seconds = begin.elapsed().as_secs_f64();
        send(&Round {
            seconds,
            resident_kib: memory("VmRSS")?,
            peak_kib: memory("VmHWM")?,
            stages: stages(),
        })?;
    }
    Ok(())
}

fn send(message: &impl Serialize) -> Result<()> {
    let mut output = std::io::stdout().lock();
    serde_json::to_writer(&mut output, message)?;
    output.write_all(b"\n")?;
    output.flush()?;
    Ok(())
}

/// A line of `/proc/self/status`, in KiB.
fn memory(name: &str) -> Result<u64> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    status
        .lines()
        .find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))
        .and_then(|rest| rest.split_whitespace().next()?.parse().ok())
        .with_context(|| format!("/proc/self/status says nothing of {name}"))
}

/// Bytes that are neither constant nor noise, another picture for each `index`.
pub fn pattern(length: usize, index: usize) -> Vec<u8> {
    (0..length)
        .map(|at| ((at / 7 + at / 1280 * 3 + 31 * index) % 223) as u8)
        .collect()
}

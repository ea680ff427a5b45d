//! The numbers as text.

use std::fmt::Write;
use std::process::Command;
use std::time::Instant;

use casm::{Device, Precision};

use crate::measure::{Case, Measured};
use crate::{Arguments, Network};

/// All of one network.
pub struct Section {
    /// Which.
    pub network: Network,
    /// One a way to compute.
    pub rows: Vec<Measured>,
    /// The element; or why it was not measured.
    pub pipeline: Result<Pipeline, String>,
}

/// Frames a second.
pub struct Pipeline {
    /// Of the element.
    pub element: f64,
    /// Of the same network without GStreamer, on prepared pixels.
    pub bare_loop: f64,
}

/// The page.
pub struct Page {
    begin: Instant,
    head: String,
    sections: Vec<Section>,
}

impl Page {
    /// Without numbers yet.
    pub fn new(arguments: &Arguments, device: Device) -> Page {
        let mut head = "# Performance on a GPU\n\n".to_owned();
        if arguments.smoke {
            head += "A smoke test: these numbers mean nothing.\n\n";
        }
        if device == Device::Cpu {
            head += "Computed on the CPU, to try the program: nothing here is of a GPU.\n\n";
        }
        let _ = writeln!(
            head,
            "`make bench-gpu`{} at commit {}, {}; {}; libtorch 2.11{}.\n",
            device_words(arguments),
            commit(),
            output("date", &["-u", "+%F"]),
            gpu(device),
            if arguments.cudnn_benchmark {
                ", cuDNN taking the fastest of its algorithms"
            } else {
                ""
            },
        );
        head += "Times are from a 1920×1080 NV12 frame in the CPU's memory to its mask in the CPU's memory: the copy into pinned \
                 memory, the upload, resizing and conversion on the device, the network, and the copy back; \
                 one frame after the other. Rates are of pictures at the network's size, from the CPU's memory and back, too. \
                 \"Two engines\": at the largest batch, in two threads, where one copies while the other computes.\n\n";
        Page {
            begin: Instant::now(),
            head,
            sections: Vec::new(),
        }
    }

    /// Adds a network.
    pub fn add(&mut self, section: Section) {
        self.sections.push(section);
    }

    /// All of it.
    pub fn text(&self) -> String {
        let mut text = self.head.clone();
        for section in &self.sections {
            text += &table(section);
        }
        text += &goals(&self.sections);
        let _ = writeln!(
            text,
            "\nMeasured in {:.0} minutes.",
            self.begin.elapsed().as_secs_f64() / 60.0
        );
        text
    }
}

fn table(section: &Section) -> String {
    let mut text = format!("## {}\n\n", section.network.title());
    let batches = section.rows.first().map(|row| &row.rates[..]);
    let batches = batches.unwrap_or_default();
    text += "| | frame p50 | p90 | p99 ms | picture p50 | p90 | p99 ms |";
    batches
        .iter()
        .for_each(|(batch, _)| _ = write!(text, " batch {batch}, frames/s |"));
    text += " two engines |\n|---|---|---|---|---|---|---|";
    text += &"---|".repeat(batches.len() + 1);
    text.push('\n');
    for row in &section.rows {
        let missing = row.case.graphs && !row.replayed;
        let note = if missing {
            " (no graph was recorded)"
        } else {
            ""
        };
        let _ = write!(text, "| {}{note} |", row.case);
        for latency in [row.frame, row.picture] {
            let times = [latency.p50, latency.p90, latency.p99];
            times.iter().for_each(|ms| _ = write!(text, " {ms:.3} |"));
        }
        let rates = row.rates.iter().map(|(_, rate)| rate);
        rates.for_each(|rate| _ = write!(text, " {rate:.0} |"));
        let _ = writeln!(text, " {:.0} |", row.pair);
    }
    match &section.pipeline {
        Ok(Pipeline { element, bare_loop }) => {
            let _ = writeln!(
                text,
                "\nElement in a pipeline, 1920×1080 NV12, bf16, `async-depth=4`: {element:.0} frames/s; the network alone, batch 1, \
                 prepared pictures: {bare_loop:.0}.\n"
            );
        }
        Err(reason) => _ = writeln!(text, "\nElement in a pipeline: not measured: {reason}\n"),
    }
    text
}

fn goals(sections: &[Section]) -> String {
    let best = |network: Network| {
        let section = sections.iter().find(|section| section.network == network)?;
        let wanted = |row: &&Measured| {
            let Case { precision, graphs } = row.case;
            precision == Precision::Bf16 && graphs
        };
        section.rows.iter().find(wanted)
    };
    let rate = |network| {
        let at_64 = |row: &Measured| row.rates.iter().find(|(batch, _)| *batch == 64).copied();
        Some(best(network).and_then(at_64)?.1)
    };
    let p50 = best(Network::Resnet50).map(|row| row.frame.p50);
    let mut text = "## Goals\n\nIn bf16 with graphs, on an H200.\n\n| what | goal | measured | kept |\n|---|---|---|---|\n".to_owned();
    let mut line = |what: &str, goal: &str, measured: Option<String>, kept: Option<bool>| {
        let measured = measured.unwrap_or_else(|| "not measured".to_owned());
        let kept = kept.map_or("", |kept| if kept { "yes" } else { "no" });
        let _ = writeln!(text, "| {what} | {goal} | {measured} | {kept} |");
    };
    line(
        "ResNet-50, a frame at a time, p50",
        "< 1.0 ms",
        p50.map(|ms| format!("{ms:.3} ms")),
        p50.map(|ms| ms < 1.0),
    );
    for (network, name, goal) in [
        (Network::Resnet50, "ResNet-50", 12_000.0),
        (Network::MobilenetV2, "MobileNetV2", 25_000.0),
    ] {
        let found = rate(network);
        line(
            &format!("{name}, batch 64"),
            &format!("≥ {goal:.0} frames/s"),
            found.map(|rate| format!("{rate:.0}")),
            found.map(|rate| rate >= goal),
        );
    }
    text
}

fn device_words(arguments: &Arguments) -> String {
    match arguments.device.as_str() {
        "cuda" => String::new(),
        other => format!(" on {other}"),
    }
}

fn gpu(device: Device) -> String {
    let Device::Cuda(index) = device else {
        return "no GPU".to_owned();
    };
    let index = index.to_string();
    let query = "--query-gpu=name,driver_version,clocks.max.sm,power.limit";
    let found = output(
        "nvidia-smi",
        &["-i", &index, query, "--format=csv,noheader"],
    );
    match found.is_empty() {
        true => "a GPU that nvidia-smi does not name".to_owned(),
        false => found,
    }
}

fn commit() -> String {
    // Of programs that were built on another machine.
    if let Ok(commit) = std::env::var("CASM_COMMIT") {
        return commit;
    }
    let commit = output("git", &["rev-parse", "--short", "HEAD"]);
    match output("git", &["status", "--porcelain", "--untracked-files=no"]).is_empty() {
        true => commit,
        false => format!("{commit} with changes"),
    }
}

/// What a program prints; nothing if it fails.
fn output(program: &str, arguments: &[&str]) -> String {
    let mut command = Command::new(program);
    command
        .args(arguments)
        .current_dir(env!("CARGO_MANIFEST_DIR"));
    let output = command.output().map(|output| output.stdout);
    let output = output.unwrap_or_default();
    String::from_utf8_lossy(&output).trim().to_owned()
}

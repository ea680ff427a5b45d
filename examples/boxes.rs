//! `gst-launch-1.0` that prints a line of JSON for every frame that leaves `casmesaliency`:
//!
//! ```text
//! boxes filesrc location=a.mp4 ! decodebin ! videoconvert ! casmesaliency ! fakesink
//! ```
//!
//! It shows what an application does to read the boxes: a probe on the element's src pad.

// One frame's line is the same as in `make demo`.
#[path = "demo/box_line.rs"]
mod box_line;

use std::io::Write;
use std::process::ExitCode;
use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::{Context, Result, bail};
use gst::prelude::*;
use gst::{MessageView, PadProbeReturn, PadProbeType};

use crate::box_line::BoxLine;

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    match run(&words) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(words: &[String]) -> Result<()> {
    if words.iter().any(|word| word == "--help" || word == "-h") {
        println!(
            "boxes PIPELINE: runs a pipeline with casmesaliency in it, in the words of gst-launch-1.0, and prints \
             a JSON object for every frame\n\n    boxes filesrc location=a.mp4 ! decodebin ! casmesaliency ! fakesink"
        );
        return Ok(());
    }
    if words.first().is_none_or(|word| word.starts_with('-')) {
        bail!(
            "give a pipeline with casmesaliency in it, in the words of gst-launch-1.0: \
             boxes filesrc location=a.mp4 ! decodebin ! casmesaliency ! fakesink"
        );
    }
    gst::init()?;
    if gst::ElementFactory::find("casmesaliency").is_none() {
        bail!(
            "GStreamer does not find casmesaliency; run `make build`, then this with \
             GST_PLUGIN_PATH=target/release/gstreamer-1.0"
        );
    }
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let pipeline =
        gst::parse::launchv(&words).context("this is not a pipeline that can be made")?;
    let pipeline = pipeline
        .downcast::<gst::Pipeline>()
        .ok()
        .context("a pipeline needs a source, casmesaliency and a sink")?;
    let element = find_element(&pipeline)?;
    let pad = element
        .static_pad("src")
        .context("casmesaliency has no src pad")?;
    let frame = AtomicU64::new(0);
    pad.add_probe(PadProbeType::BUFFER, move |_, info| {
        let Some(buffer) = info.buffer() else {
            return PadProbeReturn::Ok;
        };
        let line = BoxLine::read(frame.fetch_add(1, Ordering::Relaxed), buffer);
        match print(&line) {
            Ok(()) => PadProbeReturn::Ok,
            // The reader went away, as `head` does.
            Err(_) => {
                info.flow_res = Err(gst::FlowError::Eos);
                PadProbeReturn::Handled
            }
        }
    });
    let outcome = play(&pipeline);
    pipeline.set_state(gst::State::Null)?;
    outcome
}

fn find_element(pipeline: &gst::Pipeline) -> Result<gst::Element> {
    let is_ours = |element: &gst::Element| {
        element
            .factory()
            .is_some_and(|factory| factory.name() == "casmesaliency")
    };
    let mut found: Vec<gst::Element> = pipeline
        .iterate_recurse()
        .into_iter()
        .flatten()
        .filter(is_ours)
        .collect();
    let count = found.len();
    found
        .pop()
        .filter(|_| count == 1)
        .with_context(|| format!("there must be one casmesaliency in the pipeline, not {count}"))
}

fn print(line: &BoxLine) -> Result<()> {
    let mut output = std::io::stdout().lock();
    serde_json::to_writer(&mut output, line)?;
    output.write_all(b"\n")?;
    output.flush()?;
    Ok(())
}

fn play(pipeline: &gst::Pipeline) -> Result<()> {
    let bus = pipeline.bus().context("a pipeline has a bus")?;
    // A failure to start is told on the bus, with its reason.
    let started = pipeline.set_state(gst::State::Playing);
    for message in bus.iter_timed(gst::ClockTime::NONE) {
        match message.view() {
            MessageView::Eos(_) => return Ok(()),
            MessageView::Error(error) => {
                let element = error
                    .src()
                    .map_or_else(String::new, |source| source.name().into());
                bail!("{element}: {}", error.error().message());
            }
            _ => {}
        }
    }
    started.map(drop).context("the pipeline does not start")
}

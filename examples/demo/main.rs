//! `make demo`: plays a video, a camera or the project's own clip through `casmesaliency` and
//! leaves a video with the overlay, the boxes of every frame, and a contact sheet.
//!
//! | module | part |
//! |---|---|
//! | `source` | what `--input` means, and the elements that give its frames |
//! | `pipeline` | source → `casmesaliency` → VP8 in WebM; where it is cut off |
//! | `recorder` | what leaves the element, frame by frame: boxes, times, pictures |
//! | `box_line` | one frame's line of `boxes.jsonl` |
//! | `contact_sheet` | a few frames, evenly spaced, on one picture |
//! | `playback` | running the pipeline to its end, or to its error |
//! | `explanation` | what an error means and what to do about it |
//! | `outputs` | the files, which get their names only when they are complete |
//! | `progress` | how far it is |

mod box_line;
mod contact_sheet;
mod explanation;
mod outputs;
mod pipeline;
mod playback;
mod progress;
mod recorder;
mod source;

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Result;
use clap::Parser;
use gst::prelude::*;

use crate::outputs::Outputs;
use crate::pipeline::{Demo, ElementOptions};
use crate::recorder::Recording;
use crate::source::Source;

/// Outlines the main object of a video.
///
/// Writes DIR/overlay.webm, DIR/boxes.jsonl (one line a frame) and DIR/contact-sheet.png.
#[derive(Debug, Parser)]
struct Arguments {
    /// A video file, a URI, or a camera such as /dev/video0; nothing = a clip that is drawn now.
    #[arg(long, default_value = "", hide_default_value = true)]
    input: String,
    /// The folder to write into.
    #[arg(long, value_name = "DIR", default_value = "demo-out")]
    out: PathBuf,
    /// Stop after this many frames; without it, a live source stops after 300.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    max_frames: Option<u64>,
    #[command(flatten)]
    element: ElementOptions,
}

fn main() -> ExitCode {
    match run(&Arguments::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &Arguments) -> Result<()> {
    gst::init()?;
    pipeline::check_element()?;
    let source = Source::open(&arguments.input, arguments.max_frames)?;
    let outputs = Outputs::create(&arguments.out)?;
    let demo = Demo::build(&source, &outputs, &arguments.element, arguments.max_frames)?;
    let end = playback::play(&demo)?;
    let recording = demo.taps.recorder().finish(&outputs)?;
    outputs.publish()?;
    report(&demo, &recording, &outputs);
    // After the report: what was recorded before the input broke off is there, and worth knowing.
    end.into_result()
}

fn report(demo: &Demo, recording: &Recording, outputs: &Outputs) {
    let Recording {
        frames,
        frames_with_box,
        rate,
        ..
    } = recording;
    println!("{frames} frames, {frames_with_box} with a box, at {rate:.1} frames/s");
    let stats = demo.element.property::<gst::Structure>("stats");
    let text = |field: &str| stats.get::<String>(field).unwrap_or_default();
    if let Ok(milliseconds) = stats.get::<f64>("mean-inference-ms") {
        println!(
            "inference: {milliseconds:.1} ms a frame, {:.1} frames/s, {} on {}",
            1000.0 / milliseconds,
            text("engine"),
            text("device"),
        );
    }
    if let Some(mean) = recording.mean_iou {
        println!("mean IoU with the true boxes: {mean:.3}");
    }
    if let Some(mean) = recording.stability {
        println!("mean IoU with the box of the frame before: {mean:.3}");
    }
    for path in outputs.paths() {
        println!("{}", path.display());
    }
}

//! Plays a clip through a pipeline, again and again, and says how long each time took: what `make bench-upstream`
//! compares `casmesaliency` and `onnxinference` with.
//!
//! ```text
//! echo 1 | player filesrc location=a.mp4 ! decodebin ! casmesaliency ! fakesink name=sink
//! ```
//!
//! For each line on its standard input it rewinds and plays to the end, then prints `{"frames": …, "seconds": …}`. The
//! first frame is inside before the clock starts, and is not counted. With `CASM_PLAYER_MASKS=FILE` the tensor
//! `casm-mask` of each frame, float32, is appended to the file. Nothing of casm is linked here: what a pipeline loads is
//! the pipeline's own.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::process::ExitCode;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::time::Instant;

use anyhow::{Context, Result, bail};
use gst::prelude::*;
use gst::{MessageView, PadProbeReturn, PadProbeType, SeekFlags, State};
use gst_analytics::TensorMeta;

/// Id of the mask in the tensors of both elements.
const TENSOR_ID: &str = "casm-mask";

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
    gst::init()?;
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let pipeline = gst::parse::launchv(&words)
        .context("this is not a pipeline that can be made")?
        .downcast::<gst::Pipeline>()
        .ok()
        .context("a pipeline needs a source and a sink")?;
    let pad = pipeline
        .by_name("sink")
        .and_then(|sink| sink.static_pad("sink"))
        .context("the pipeline's sink must have the name 'sink'")?;
    let masks = match std::env::var_os("CASM_PLAYER_MASKS") {
        Some(file) => {
            let made = File::create(&file)
                .with_context(|| format!("'{}' cannot be written", file.display()))?;
            Some(Mutex::new(BufWriter::new(made)))
        }
        None => None,
    };
    let frames = Arc::new(AtomicU64::new(0));
    let counter = frames.clone();
    pad.add_probe(PadProbeType::BUFFER, move |_, info| {
        counter.fetch_add(1, Relaxed);
        match (info.buffer(), &masks) {
            (Some(buffer), Some(masks)) => match append(buffer, masks) {
                Ok(()) => PadProbeReturn::Ok,
                Err(error) => {
                    eprintln!("error: {error:#}");
                    info.flow_res = Err(gst::FlowError::Error);
                    PadProbeReturn::Handled
                }
            },
            _ => PadProbeReturn::Ok,
        }
    });
    let outcome = serve(&pipeline, &frames);
    pipeline.set_state(State::Null)?;
    outcome
}

fn serve(pipeline: &gst::Pipeline, frames: &AtomicU64) -> Result<()> {
    pause(pipeline)?;
    for (round, line) in std::io::stdin().lines().enumerate() {
        line?;
        if round > 0 {
            pause(pipeline)?;
            frames.store(0, Relaxed);
            pipeline
                .seek_simple(SeekFlags::FLUSH, gst::ClockTime::ZERO)
                .context("the clip cannot be rewound")?;
            wait(pipeline, |view| matches!(view, MessageView::AsyncDone(_)))?;
        }
        let inside = frames.load(Relaxed);
        let begin = Instant::now();
        pipeline.set_state(State::Playing)?;
        wait(pipeline, |view| matches!(view, MessageView::Eos(_)))?;
        let seconds = begin.elapsed().as_secs_f64();
        let played = frames.load(Relaxed) - inside;
        let mut output = std::io::stdout().lock();
        writeln!(output, "{{\"frames\": {played}, \"seconds\": {seconds}}}")?;
        output.flush()?;
    }
    Ok(())
}

/// Until the first frame is at the sink. A failure is told on the bus, with its reason.
fn pause(pipeline: &gst::Pipeline) -> Result<()> {
    match pipeline.set_state(State::Paused) {
        Ok(gst::StateChangeSuccess::Async) => {
            wait(pipeline, |view| matches!(view, MessageView::AsyncDone(_)))
        }
        Ok(_) => Ok(()),
        Err(_) => wait(pipeline, |_| false),
    }
}

/// Until a message of this kind.
fn wait(pipeline: &gst::Pipeline, wanted: impl Fn(&MessageView) -> bool) -> Result<()> {
    let bus = pipeline.bus().context("a pipeline has a bus")?;
    for message in bus.iter_timed(gst::ClockTime::from_seconds(600)) {
        let view = message.view();
        if let MessageView::Error(error) = &view {
            bail!(
                "{}: {} {}",
                error
                    .src()
                    .map_or_else(String::new, |source| source.name().into()),
                error.error().message(),
                error.debug().unwrap_or_default()
            );
        }
        if wanted(&view) {
            return Ok(());
        }
    }
    bail!("nothing happened for ten minutes")
}

fn append(buffer: &gst::BufferRef, masks: &Mutex<BufWriter<File>>) -> Result<()> {
    let id = gst::glib::Quark::from_str(TENSOR_ID);
    let meta = buffer
        .meta::<TensorMeta>()
        .context("the frame has no tensors")?;
    let index = usize::try_from(meta.index_from_id(id))
        .ok()
        .with_context(|| format!("the frame has no tensor '{TENSOR_ID}'"))?;
    let tensor = meta.as_slice().get(index).context("the index is valid")?;
    let bytes = tensor.data().map_readable()?;
    let mut file = match masks.lock() {
        Ok(file) => file,
        Err(poisoned) => poisoned.into_inner(),
    };
    file.write_all(&bytes)?;
    file.flush()?;
    Ok(())
}

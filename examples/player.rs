//! Plays a clip through a pipeline, again and again, and says how long each time took: what `make bench-upstream`
//! compares `casmesaliency` and `onnxinference` with.
//!
//! ```text
//! echo 8 | player filesrc location=a.mp4 ! decodebin ! casmesaliency ! fakesink name=sink
//! ```
//!
//! For each line on its standard input, a number of seconds, it plays so much of the clip from its beginning, then prints
//! `{"frames": …, "seconds": …}`. The first frame is inside before the clock starts, and is not counted. With
//! `CASM_PLAYER_MASKS=FILE` the tensor `casm-mask` of each of these frames, float32, is left in the file. Nothing of casm
//! is linked here: what a pipeline loads is the pipeline's own.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard};
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
    let played = Arc::new(Played::default());
    let seen = played.clone();
    let with_masks = std::env::var_os("CASM_PLAYER_MASKS").map(PathBuf::from);
    let reads = with_masks.is_some();
    pad.add_probe(PadProbeType::BUFFER, move |_, info| {
        seen.frames.fetch_add(1, Relaxed);
        match info
            .buffer()
            .filter(|_| reads)
            .map(|buffer| seen.read(buffer))
        {
            Some(Err(error)) => {
                eprintln!("error: {error:#}");
                info.flow_res = Err(gst::FlowError::Error);
                PadProbeReturn::Handled
            }
            _ => PadProbeReturn::Ok,
        }
    });
    let outcome = serve(&pipeline, &played, with_masks.as_deref());
    pipeline.set_state(State::Null)?;
    outcome
}

/// What came to the sink since the last rewinding.
#[derive(Default)]
struct Played {
    frames: AtomicU64,
    masks: Mutex<Vec<u8>>,
}

impl Played {
    fn forget(&self) {
        self.frames.store(0, Relaxed);
        self.masks().clear();
    }

    fn masks(&self) -> MutexGuard<'_, Vec<u8>> {
        match self.masks.lock() {
            Ok(masks) => masks,
            Err(poisoned) => poisoned.into_inner(),
        }
    }

    fn read(&self, buffer: &gst::BufferRef) -> Result<()> {
        let id = gst::glib::Quark::from_str(TENSOR_ID);
        let meta = buffer
            .meta::<TensorMeta>()
            .context("the frame has no tensors")?;
        let index = usize::try_from(meta.index_from_id(id))
            .ok()
            .with_context(|| format!("the frame has no tensor '{TENSOR_ID}'"))?;
        let tensor = meta.as_slice().get(index).context("the index is valid")?;
        self.masks()
            .extend_from_slice(&tensor.data().map_readable()?);
        Ok(())
    }
}

fn serve(pipeline: &gst::Pipeline, played: &Played, masks: Option<&Path>) -> Result<()> {
    for line in std::io::stdin().lines() {
        let seconds: f64 = line?
            .trim()
            .parse()
            .context("a line is a number of seconds")?;
        let stop = gst::ClockTime::try_from_seconds_f64(seconds)
            .context("a line is a number of seconds from 0 on")?;
        pause(pipeline)?;
        played.forget();
        pipeline
            .seek(
                1.0,
                SeekFlags::FLUSH | SeekFlags::ACCURATE,
                gst::SeekType::Set,
                gst::ClockTime::ZERO,
                gst::SeekType::Set,
                stop,
            )
            .context("the clip cannot be rewound")?;
        wait(pipeline, |view| matches!(view, MessageView::AsyncDone(_)))?;
        let inside = played.frames.load(Relaxed);
        let begin = Instant::now();
        pipeline.set_state(State::Playing)?;
        wait(pipeline, |view| matches!(view, MessageView::Eos(_)))?;
        let seconds = begin.elapsed().as_secs_f64();
        let frames = played.frames.load(Relaxed) - inside;
        if let Some(file) = masks {
            std::fs::write(file, &*played.masks())
                .with_context(|| format!("'{}' cannot be written", file.display()))?;
        }
        let mut output = std::io::stdout().lock();
        writeln!(output, "{{\"frames\": {frames}, \"seconds\": {seconds}}}")?;
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

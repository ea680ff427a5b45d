//! Runs the pipeline to its end, to Ctrl-C, or to its error.

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use anyhow::{Result, anyhow, bail};
use gst::prelude::*;
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

use crate::explanation::Explainer;
use crate::pipeline::Demo;
use crate::progress::Progress;

/// Frames of a live source, unless the user says otherwise.
const LIVE_FRAMES: u64 = 300;
/// How long a stream that is told to end may take to do so.
const PATIENCE: Duration = Duration::from_secs(10);

/// How it ended, with at least one frame recorded.
pub struct End {
    failure: Option<anyhow::Error>,
}

impl End {
    /// The error, if the input broke off.
    pub fn into_result(self) -> Result<()> {
        self.failure.map_or(Ok(()), Err)
    }
}

/// Plays until the files are complete. Fails if there is nothing worth keeping.
pub fn play(demo: &Demo) -> Result<End> {
    let mut signals = Signals::new([SIGINT, SIGTERM])?;
    let mut interrupts = 0;
    let _stopped_at_the_end = Stop(&demo.pipeline);
    let mut explainer = Explainer::new(&demo.input);
    start(demo, &mut explainer)?;
    let mut watch = Watch {
        demo,
        explainer,
        failure: None,
        deadline: None,
    };
    let mut progress = Progress::new("playing");
    loop {
        interrupts += signals.pending().count();
        match interrupts {
            0 => {}
            1 => watch.end_stream(),
            _ => bail!("interrupted twice; nothing was written"),
        }
        if watch.step()? {
            break;
        }
        progress.update(demo.taps.frames(), watch.share());
    }
    if let Some(failure) = demo.taps.take_failure() {
        return Err(failure);
    }
    let frames = demo.taps.frames();
    let failure = watch.failure.map(|error| {
        error.context(format!(
            "{} broke off after {frames} frames; the files hold what came before",
            demo.input
        ))
    });
    if frames == 0 {
        bail!("{} has a video stream without a frame", demo.input);
    }
    Ok(End { failure })
}

/// Starts the pipeline; a live one is told to skip frames rather than to fall behind.
fn start(demo: &Demo, explainer: &mut Explainer) -> Result<()> {
    let paused = demo.pipeline.set_state(gst::State::Paused);
    if paused == Ok(gst::StateChangeSuccess::NoPreroll) {
        demo.queue.set_property_from_str("leaky", "downstream");
        demo.queue.set_property("max-size-buffers", 1u32);
        let limit = &demo.taps.max_frames;
        let _ = limit.compare_exchange(u64::MAX, LIVE_FRAMES, Ordering::Relaxed, Ordering::Relaxed);
        let limit = limit.load(Ordering::Relaxed);
        eprintln!(
            "{} is live: stops after {limit} frames, or at Ctrl-C",
            demo.input
        );
    }
    if paused.is_ok() && demo.pipeline.set_state(gst::State::Playing).is_ok() {
        return Ok(());
    }
    let bus = demo.pipeline.bus();
    while let Some(message) = bus.as_ref().and_then(gst::Bus::pop) {
        if let Some(error) = explainer.read(&message) {
            return Err(error);
        }
    }
    Err(anyhow!("the pipeline does not start and gives no reason"))
}

struct Watch<'a> {
    demo: &'a Demo,
    explainer: Explainer,
    failure: Option<anyhow::Error>,
    /// Set once the stream was told to end.
    deadline: Option<Instant>,
}

impl Watch<'_> {
    /// Waits a moment for a message; true at the end.
    fn step(&mut self) -> Result<bool> {
        let bus = self
            .demo
            .pipeline
            .bus()
            .ok_or_else(|| anyhow!("a pipeline has a bus"))?;
        let moment = gst::ClockTime::from_mseconds(100);
        let Some(message) = bus.timed_pop(moment) else {
            return self.check_patience();
        };
        if let gst::MessageView::Eos(_) = message.view() {
            return Ok(true);
        }
        let Some(error) = self.explainer.read(&message) else {
            return self.check_patience();
        };
        // A failure of the recorder comes back as a meaningless flow error.
        if let Some(failure) = self.demo.taps.take_failure() {
            return Err(failure);
        }
        if self.failure.is_some() {
            // Consequences of the first one.
            return self.check_patience();
        }
        if self.demo.taps.frames() == 0 {
            return Err(error);
        }
        self.failure = Some(error);
        self.end_stream();
        Ok(false)
    }

    /// Once.
    fn end_stream(&mut self) {
        if self.deadline.is_none() {
            self.deadline = Some(Instant::now() + PATIENCE);
            self.demo.end_stream();
        }
    }

    fn check_patience(&mut self) -> Result<bool> {
        if self
            .deadline
            .is_none_or(|deadline| Instant::now() < deadline)
        {
            return Ok(false);
        }
        Err(self
            .failure
            .take()
            .unwrap_or_else(|| anyhow!("{} does not end", self.demo.input))
            .context("the video could not be completed; nothing was written"))
    }

    /// How much is done, by frames or by time.
    fn share(&self) -> Option<f64> {
        let Demo { taps, pipeline, .. } = self.demo;
        let done = taps.frames() as f64;
        let limit = taps.max_frames.load(Ordering::Relaxed);
        let limit = self.demo.frames.unwrap_or(u64::MAX).min(limit);
        let by_frames = (limit < u64::MAX).then(|| done / limit as f64);
        let length = pipeline.query_duration::<gst::ClockTime>();
        let by_time = length
            .filter(|length| !length.is_zero())
            .map(|length| taps.position.load(Ordering::Relaxed) as f64 / length.nseconds() as f64);
        by_frames.into_iter().chain(by_time).reduce(f64::max)
    }
}

/// A pipeline must not be dropped while it runs.
struct Stop<'a>(&'a gst::Pipeline);

impl Drop for Stop<'_> {
    fn drop(&mut self) {
        // Going to NULL cannot fail.
        let _ = self.0.set_state(gst::State::Null);
    }
}

//! The element in live pipelines, under load, with other models, with several streams.
//!
//! | module | what |
//! |---|---|
//! | [`latency`] | what the LATENCY query is told, against what is measured |
//! | [`late`] | frames that come too late |
//! | [`camera`] | sources with few buffers |
//! | [`holding`] | sinks that hold frames back |
//! | [`swap`] | another model while playing |
//! | [`sharing`] | several streams on one model |
//! | [`asynchronous`] | frames that wait inside |
//! | [`stopping`] | the asynchronous task from start to stop |
//! | [`inside`] | what frames inside keep others from |
//! | [`tracer`] | the core's latency tracer on the built plugin |
//!
//! Most use an engine whose speed and faults they choose (`casm_tests::engine`).

mod asynchronous;
mod camera;
mod holding;
mod inside;
mod late;
mod latency;
mod sharing;
mod stopping;
mod swap;
mod tracer;

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use casm::PixelFormat;
use casm_tests::gst::{harness, info, stamp};
use gst::prelude::*;
use gst_check::Harness;

/// Of the frames that [`small`] takes and [`grey`] makes.
pub const SIZE: (u32, u32) = (32, 32);

/// A harness for small grey frames.
pub fn small(properties: &[(&str, &str)]) -> Harness {
    harness(properties, &info(PixelFormat::Gray8, SIZE.0, SIZE.1))
}

/// Frame number `number`, all of this grey.
pub fn grey(number: u64, value: u8) -> gst::Buffer {
    let mut buffer = gst::Buffer::from_mut_slice(vec![value; (SIZE.0 * SIZE.1) as usize]);
    stamp(&mut buffer, number);
    buffer
}

/// When each buffer passed a pad, with its time stamp.
pub type Passed = Arc<Mutex<Vec<(gst::ClockTime, Instant)>>>;

/// Records all buffers on a pad of `element`.
pub fn record(element: &gst::Element, pad: &str) -> Passed {
    let passed = Passed::default();
    let pad = element.static_pad(pad).expect("it has this pad");
    pad.add_probe(gst::PadProbeType::BUFFER, {
        let passed = passed.clone();
        move |_, info| {
            let pts = info.buffer().and_then(|buffer| buffer.pts());
            let now = Instant::now();
            passed
                .lock()
                .expect("no panic")
                .extend(pts.map(|pts| (pts, now)));
            gst::PadProbeReturn::Ok
        }
    });
    passed
}

/// The 95th of 100 durations in order, or so.
pub fn percentile(mut durations: Vec<Duration>, percent: usize) -> Duration {
    durations.sort_unstable();
    durations[(durations.len() - 1) * percent / 100]
}

/// A pipeline that stops when it goes out of scope, because GStreamer's threads do not survive its end in a failed test.
pub struct Playing(pub gst::Pipeline);

impl Drop for Playing {
    fn drop(&mut self) {
        // A failed stop is another test's business.
        let _ = self.0.set_state(gst::State::Null);
    }
}

impl std::ops::Deref for Playing {
    type Target = gst::Pipeline;

    fn deref(&self) -> &gst::Pipeline {
        &self.0
    }
}

/// Waits until `done`, for a time that only a hang takes.
pub fn eventually(what: &str, mut done: impl FnMut() -> bool) {
    let begin = Instant::now();
    while !done() {
        assert!(
            begin.elapsed() < Duration::from_secs(60),
            "{what} does not happen"
        );
        std::thread::sleep(Duration::from_millis(1));
    }
}

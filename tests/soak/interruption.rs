//! Flushes, seeks, pauses and restarts in any order.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use casm_tests::gst::{named, pipeline};
use casm_tests::machine::alone;
use casm_tests::soak::{count, report};
use gst::prelude::*;

use crate::Random;

/// Longest wait for anything, in a loaded machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// Waits for two further frames.
fn flows(frames: &AtomicU64, playing: &gst::Pipeline, after: &str) {
    let (target, begin) = (frames.load(Ordering::SeqCst) + 2, Instant::now());
    while frames.load(Ordering::SeqCst) < target {
        let bus = playing.bus().expect("a pipeline has a bus");
        if let Some(message) = bus.pop_filtered(&[gst::MessageType::Error]) {
            panic!("after {after}: {message:?}");
        }
        assert!(begin.elapsed() < PATIENCE, "no frame after {after}");
        std::thread::sleep(Duration::from_millis(1));
    }
}

fn reach(playing: &gst::Pipeline, state: gst::State, after: &str) {
    playing
        .set_state(state)
        .unwrap_or_else(|error| panic!("{state:?} after {after}: {error}"));
    let patience = gst::ClockTime::try_from(PATIENCE).expect("short");
    let reached = playing.state(patience);
    assert_eq!(reached.1, state, "after {after}: {reached:?}");
}

#[test]
fn frames_flow_again_after_any_interruption() {
    // In the streaming thread, and in a task of the element's own.
    for depth in [0, 3] {
        interrupt(depth);
    }
}

fn interrupt(depth: u32) {
    let _machine = alone();
    let times = count("CASM_SOAK_INTERRUPTIONS", 10);
    let mut random = Random::new(2);
    // As good as endless, but with a length, so that there is somewhere to seek to.
    let playing = pipeline(&format!(
        "videotestsrc num-buffers=100000000 name=s ! video/x-raw,width=64,height=48,framerate=25/1 ! queue ! \
         casmesaliency name=c overlay=contour inference-interval=2 async-depth={depth} ! queue ! \
         fakesink name=sink sync=false",
    ));
    let frames = Arc::new(AtomicU64::new(0));
    let counted = Arc::clone(&frames);
    let element = named(&playing, "c");
    element.static_pad("src").expect("it has one").add_probe(
        gst::PadProbeType::BUFFER,
        move |_, _| {
            counted.fetch_add(1, Ordering::SeqCst);
            gst::PadProbeReturn::Ok
        },
    );
    reach(&playing, gst::State::Playing, "the start");
    flows(&frames, &playing, "the start");
    let (mut steps, mut history) = (0, Vec::new());
    for number in 0..times {
        history.clear();
        for _ in 0..=random.below(4) {
            steps += 1;
            let step = random.below(8);
            let name = match step {
                0 | 1 => {
                    let target = gst::ClockTime::from_mseconds(random.below(3_000_000));
                    let mut flags = gst::SeekFlags::FLUSH;
                    if step == 1 {
                        flags |= gst::SeekFlags::ACCURATE;
                    }
                    playing.seek_simple(flags, target).expect("it seeks");
                    "flushing seek"
                }
                2 => {
                    let sink = element.static_pad("sink").expect("it has one");
                    let source = named(&playing, "s").static_pad("src").expect("it has one");
                    // As a demuxer does that flushes on its own; the source's thread meets flushing pads.
                    source.push_event(gst::event::FlushStart::new());
                    assert!(sink.is_active());
                    source.push_event(gst::event::FlushStop::new(true));
                    // It has stopped its thread then, and begins anew with a seek.
                    playing
                        .seek_simple(gst::SeekFlags::FLUSH, gst::ClockTime::ZERO)
                        .expect("it seeks");
                    "flush from upstream"
                }
                3 => {
                    playing.set_state(gst::State::Paused).expect("it pauses");
                    "pause without waiting"
                }
                4 => {
                    reach(&playing, gst::State::Paused, "a pause");
                    "pause"
                }
                5 if random.below(4) == 0 => {
                    reach(&playing, gst::State::Ready, "a stop");
                    reach(&playing, gst::State::Paused, "a restart");
                    "restart"
                }
                6 => {
                    std::thread::sleep(Duration::from_millis(random.below(20)));
                    "wait"
                }
                _ => {
                    playing.set_state(gst::State::Playing).expect("it plays");
                    "play"
                }
            };
            history.push(name);
        }
        let after = format!("sequence {number}, {history:?}");
        reach(&playing, gst::State::Playing, &after);
        flows(&frames, &playing, &after);
    }
    let begin = Instant::now();
    playing.set_state(gst::State::Null).expect("it stops");
    assert!(begin.elapsed() < PATIENCE, "a slow stop");
    report(
        &format!("flush, seek, pause and restart sequences, async-depth={depth}"),
        times,
        &format!("{steps} steps; frames flow after each sequence"),
    );
}

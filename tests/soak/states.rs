//! Starts and stops, and the memory meanwhile.

use casm_tests::gst::{pipeline, resident};
use casm_tests::machine::alone;
use gst::prelude::*;

#[test]
fn two_hundred_state_changes_do_not_grow() {
    let _machine = alone();
    let playing = pipeline(
        "videotestsrc ! video/x-raw,width=64,height=48 ! casmesaliency ! fakesink sync=true",
    );
    let cycle = |target: gst::State| {
        playing.set_state(target).expect("it starts");
        playing
            .state(gst::ClockTime::from_seconds(60))
            .0
            .expect("it has started");
        playing.set_state(gst::State::Null).expect("it stops");
    };
    let cycles = |count: usize| {
        for number in 0..count {
            cycle(if number % 2 == 0 {
                gst::State::Paused
            } else {
                gst::State::Playing
            });
        }
    };
    // Until allocators and thread pools have what they keep. Losing a model (10 MB) a cycle would take 750 MB.
    cycles(25);
    let before = resident();
    cycles(75);
    let grown = resident().saturating_sub(before);
    println!("resident memory: {before} KiB, {grown} KiB more after 150 further state changes");
    assert!(grown < 30 * 1024, "{grown} KiB more");
}

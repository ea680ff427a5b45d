//! Starts and stops, and the memory meanwhile.

use casm_tests::gst::{occupied, pipeline};
use casm_tests::machine::alone;
use casm_tests::soak::heap;
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
    // Until thread pools have what they keep.
    cycles(25);
    let (used, before) = (heap(), occupied());
    cycles(75);
    let (kept, grown) = (
        heap().saturating_sub(used) / 1024,
        occupied().saturating_sub(before),
    );
    println!(
        "after 150 further state changes {kept} KiB more in use, of {before} KiB occupied {grown} more"
    );
    // 0 to 47 KiB were measured; losing a model (10 MB) a cycle would take 750 MB.
    assert!(kept < 1024, "{kept} KiB more in use");
    // What was not asked of the allocator as well.
    assert!(grown < 30 * 1024, "{grown} KiB more occupied");
}

//! Sinks that hold frames back, without a queue before them: what frames wait there is not the element's doing.

use std::time::Duration;

use casm_tests::engine::register;
use casm_tests::gst::{count, named, pipeline, stats};
use casm_tests::machine::alone;
use gst::prelude::*;

use crate::{Playing, record};

/// 50 frames a second, each held for 300 ms more than its time, with up to `depth` of them inside of the element.
fn held(name: &str, depth: u32) -> (Playing, gst::Element) {
    let playing = Playing(pipeline(&format!(
        "videotestsrc is-live=true ! video/x-raw,format=GRAY8,width=32,height=32,framerate=50/1 \
         ! casmesaliency name=c model-instance-id={name} async-depth={depth} \
         ! fakesink sync=true ts-offset=300000000"
    )));
    let element = named(&playing, "c");
    (playing, element)
}

/// Four frames are inside, but none of them waits for the network: by hand, 15 ms and 20 allowed for the next one, and
/// five inferences would take 75 of the 40 that a frame may be late.
#[test]
fn frames_that_are_held_after_their_inference_are_not_inferences_ahead() {
    let _machine = alone();
    let (_shared, _) = register("held", 15, 1, Duration::ZERO);
    let (playing, element) = held("held", 4);
    let left = record(&element, "src");
    playing.set_state(gst::State::Playing).expect("it starts");
    // A second to see that it is not the element that frames wait for, and what the start takes.
    std::thread::sleep(Duration::from_millis(2_500));
    let counts = || ["frames", "inferred"].map(|field| count(&element, field));
    let [frames, inferred] = counts();
    std::thread::sleep(Duration::from_secs(2));
    let [frames, inferred] = {
        let now = counts();
        [now[0] - frames, now[1] - inferred]
    };
    println!("{inferred} of {frames} frames inferred");
    assert!(left.lock().expect("no panic").len() > 50 && frames > 50);
    assert!(inferred * 10 >= frames * 9, "{inferred} of {frames}");
    playing.set_state(gst::State::Null).expect("it stops");
}

#[test]
fn the_latency_that_is_told_is_that_of_the_network_not_of_the_sink() {
    let _machine = alone();
    let (_shared, _) = register("told", 10, 1, Duration::ZERO);
    let (playing, element) = held("told", 8);
    playing.set_state(gst::State::Playing).expect("it starts");
    std::thread::sleep(Duration::from_secs(3));
    let inferred = count(&element, "inferred");
    let told: f64 = stats(&element).get("latency-ms").expect("a number");
    println!("{inferred} inferences of 10 ms, {told} ms told, frames held for 300 ms");
    // Two inferences, where one frame came while another was computed; a frame waits for seven others at the sink.
    assert!(inferred > 20, "{inferred}");
    assert!((10.0..40.0).contains(&told), "{told}");
    playing.set_state(gst::State::Null).expect("it stops");
}

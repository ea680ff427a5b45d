//! What the LATENCY query is told, against what is measured.

use std::time::Duration;

use casm_tests::engine::register;
use casm_tests::gst::{named, pipeline, stats};
use casm_tests::machine::{alone, beside};
use gst::prelude::*;

use crate::{Passed, Playing, eventually, grey, percentile, record, small};

/// What `element` adds to the minimum latency.
fn claimed(element: &gst::Element) -> Duration {
    let minimum = |pad: &str| {
        let pad = element.static_pad(pad).expect("it has both");
        let mut query = gst::query::Latency::new();
        let answered = match pad.direction() {
            gst::PadDirection::Sink => pad.peer_query(&mut query),
            _ => pad.query(&mut query),
        };
        assert!(answered);
        query.result().1
    };
    Duration::from(minimum("src") - minimum("sink"))
}

/// How long the last 64 frames were inside.
fn measured(arrived: &Passed, left: &Passed) -> Vec<Duration> {
    let (arrived, left) = (
        arrived.lock().expect("no panic"),
        left.lock().expect("no panic"),
    );
    let inside = left.iter().rev().take(64).map(|(pts, at)| {
        let (_, came) = arrived
            .iter()
            .rev()
            .find(|(other, _)| other == pts)
            .expect("it came");
        at.duration_since(*came)
    });
    inside.collect()
}

fn within_a_fifth(claimed: Duration, measured: Duration) -> bool {
    claimed.abs_diff(measured) <= measured.mul_f64(0.2)
}

#[test]
fn what_is_claimed_is_what_is_measured_and_changes_are_told() {
    let _machine = alone();
    let (_shared, behaviour) = register("latency", 40, 1, Duration::ZERO);
    let playing = Playing(pipeline(
        "videotestsrc is-live=true ! video/x-raw,format=GRAY8,width=32,height=32,framerate=10/1 \
         ! casmesaliency name=c model-instance-id=latency ! queue ! fakesink sync=true",
    ));
    let element = named(&playing, "c");
    let (arrived, left) = (record(&element, "sink"), record(&element, "src"));
    playing.set_state(gst::State::Playing).expect("it starts");
    let seen = |count: usize| {
        eventually("the next frame", || {
            left.lock().expect("no panic").len() >= count
        });
    };
    // Before there are enough inferences: what was measured at the start.
    seen(1);
    assert!(within_a_fifth(claimed(&element), Duration::from_millis(40)));
    seen(20);
    let before = percentile(measured(&arrived, &left), 95);
    assert!(
        within_a_fifth(claimed(&element), before),
        "{:?}, {before:?}",
        claimed(&element)
    );
    let bus = playing.bus().expect("a pipeline has a bus");
    let told = || {
        let messages = std::iter::from_fn(|| bus.pop_filtered(&[gst::MessageType::Latency]));
        messages
            .filter(|message| message.src() == Some(element.upcast_ref()))
            .count()
    };
    // The sink's own messages come at the start.
    assert_eq!(told(), 0, "nothing has changed");
    behaviour.take(80);
    eventually("a LATENCY message", || told() > 0);
    let now = measured(&arrived, &left)[0];
    assert!(
        within_a_fifth(claimed(&element), now),
        "{:?}, {now:?}",
        claimed(&element)
    );
    let stated: f64 = stats(&element).get("latency-ms").expect("a number");
    assert!(
        (stated - claimed(&element).as_secs_f64() * 1e3).abs() < 10.0,
        "{stated}"
    );
    playing.set_state(gst::State::Null).expect("it stops");
}

#[test]
fn without_a_live_source_nothing_is_claimed_and_nothing_told() {
    let _machine = beside();
    let (_shared, behaviour) = register("not live", 1, 1, Duration::ZERO);
    let playing = Playing(pipeline(
        "videotestsrc num-buffers=60 ! video/x-raw,format=GRAY8,width=32,height=32 \
         ! casmesaliency name=c model-instance-id=\"not live\" ! fakesink sync=false",
    ));
    let element = named(&playing, "c");
    let left = record(&element, "src");
    playing.set_state(gst::State::Playing).expect("it starts");
    eventually("frame 20", || left.lock().expect("no panic").len() >= 20);
    behaviour.take(20);
    casm_tests::gst::wait(&playing, |message| {
        let ours = message.src() == Some(element.upcast_ref());
        assert!(!ours || message.type_() != gst::MessageType::Latency);
    })
    .expect("it ends");
    assert_eq!(claimed(&element), Duration::ZERO);
    playing.set_state(gst::State::Null).expect("it stops");
}

/// What the sinks are configured with is what was last told, so asking in between must not make the element believe
/// that the pipeline knows: by small steps the latency could grow to anything.
#[test]
fn asking_is_not_telling() {
    let _machine = alone();
    let (_shared, behaviour) = register("asked", 20, 1, Duration::ZERO);
    // A harness says of itself that it is live.
    let mut harness = small(&[("model-instance-id", "asked"), ("late-policy", "block")]);
    let element = harness.element().expect("it has one");
    let bus = gst::Bus::new();
    element.set_bus(Some(&bus));
    let told = || std::iter::from_fn(|| bus.pop_filtered(&[gst::MessageType::Latency])).count();
    let ask = || {
        let pad = element.static_pad("src").expect("it has one");
        let mut query = gst::query::Latency::new();
        assert!(pad.query(&mut query));
        assert!(query.result().0, "live");
        query.result().1
    };
    let mut number = 0;
    let mut frames = |count: usize| {
        for _ in 0..count {
            harness.push_and_pull(grey(number, 50)).expect("a frame");
            number += 1;
            ask();
        }
    };
    frames(24);
    // On a loaded machine they may have taken longer than the first measurement said.
    told();
    let before = ask();
    for _ in 0..500 {
        ask();
    }
    assert_eq!(told(), 0, "nothing has changed");
    // Each step is a tenth, which is not material; all of them are more than half.
    for milliseconds in [22, 24, 27, 30, 33] {
        behaviour.take(milliseconds);
        frames(8);
    }
    let after = ask();
    assert!(after > before, "{before}, {after}");
    assert!(told() > 0, "the latency has grown from {before} to {after}");
    // The pipeline's answer is an event; from then on that is known.
    element.send_event(gst::event::Latency::new(after));
    frames(24);
    assert_eq!(told(), 0);
}

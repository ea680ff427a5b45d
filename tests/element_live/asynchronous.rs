//! Frames that wait inside while upstream goes on.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use casm::PixelFormat;
use casm_tests::engine::{POISON, register};
use casm_tests::gst::{caps, info, mask, named, pipeline, resident, said, stamp};
use casm_tests::machine::{alone, beside};
use gst::prelude::*;
use gst_check::Harness;

use crate::{Playing, SIZE, eventually, grey, small};

fn inside(id: &str, depth: &str) -> Harness {
    small(&[("model-instance-id", id), ("async-depth", depth)])
}

/// A segment event, as a source sends after a flush.
fn segment() -> gst::Event {
    gst::event::Segment::new(&gst::FormattedSegment::<gst::ClockTime>::new())
}

fn marker(name: &str) -> gst::Event {
    gst::event::CustomDownstream::new(gst::Structure::new_empty(name))
}

/// Everything that comes out, in order: the numbers of frames, the names of events.
fn order(harness: &Harness) -> Arc<Mutex<Vec<String>>> {
    let order: Arc<Mutex<Vec<String>>> = Arc::default();
    let pad = harness.sinkpad().expect("it has one");
    let mask = gst::PadProbeType::BUFFER | gst::PadProbeType::EVENT_DOWNSTREAM;
    pad.add_probe(mask, {
        let order = order.clone();
        move |_, info| {
            let what = match (info.buffer(), info.event()) {
                (Some(buffer), _) => {
                    let pts = buffer.pts().expect("a time stamp");
                    (pts.mseconds() / 40).to_string()
                }
                (_, Some(event)) => match event.structure() {
                    Some(own) if event.type_() == gst::EventType::CustomDownstream => {
                        own.name().to_string()
                    }
                    _ => event.type_().name().to_string(),
                },
                _ => return gst::PadProbeReturn::Ok,
            };
            order.lock().expect("no panic").push(what);
            gst::PadProbeReturn::Ok
        }
    });
    order
}

#[test]
fn frames_keep_their_order_events_their_place_and_eos_comes_last() {
    let _machine = alone();
    let (_shared, _) = register("order", 5, 2, Duration::ZERO);
    let mut harness = inside("order", "4");
    let order = order(&harness);
    let mut expected: Vec<String> = Vec::new();
    for number in 0..20 {
        let mut frame = grey(number, 10 * number as u8 + 20);
        if number % 7 == 3 {
            // What is passed on without a look keeps its place as well.
            frame.make_mut().set_flags(gst::BufferFlags::GAP);
        }
        harness.push(frame).expect("it is taken in");
        expected.push(number.to_string());
        if number % 5 == 4 {
            let name = format!("after-{number}");
            assert!(harness.push_event(marker(&name)));
            expected.push(name);
        }
    }
    assert!(harness.push_event(gst::event::Eos::new()));
    expected.push("eos".to_owned());
    // EOS waited for all frames, so they are there.
    let mut came = order.lock().expect("no panic").clone();
    came.retain(|what| !["stream-start", "caps", "segment"].contains(&what.as_str()));
    assert_eq!(came, expected);
    for number in 0..20 {
        let frame = harness.pull().expect("a frame");
        if number % 7 == 3 {
            assert!(frame.flags().contains(gst::BufferFlags::GAP));
            continue;
        }
        let value = f64::from(10 * number + 20) / 255.0;
        let found = mask(&frame);
        assert!(
            (found.mask_mean - value).abs() < 1e-4,
            "frame {number} has its own result"
        );
        assert_eq!((found.age, found.inference_pts), (0, frame.pts()));
    }
}

#[test]
fn upstream_goes_on_while_frames_wait_but_no_further_than_said() {
    let _machine = beside();
    let (_shared, behaviour) = register("bounded", 0, 1, Duration::ZERO);
    let mut harness = inside("bounded", "3");
    harness.push(grey(0, 50)).expect("it is taken in");
    harness.pull().expect("it comes out");
    behaviour.hang(true);
    // Without waiting, although nothing is answered.
    for number in 1..=3 {
        harness.push(grey(number, 50)).expect("it is taken in");
    }
    let pushed = Arc::new(Mutex::new(false));
    std::thread::scope(|scope| {
        let fourth = scope.spawn(|| {
            let taken = harness.push(grey(4, 50));
            *pushed.lock().expect("no panic") = true;
            taken
        });
        std::thread::sleep(Duration::from_millis(100));
        assert!(!*pushed.lock().expect("no panic"), "a fourth has to wait");
        behaviour.hang(false);
        fourth
            .join()
            .expect("no panic")
            .expect("then it is taken in");
    });
    for number in 1..=4 {
        let frame = harness.pull().expect("it comes out");
        assert_eq!(
            frame.pts(),
            Some(gst::ClockTime::from_mseconds(40 * number))
        );
    }
}

#[test]
fn a_flush_discards_what_waits_at_once() {
    let _machine = beside();
    let (_shared, behaviour) = register("flush", 0, 1, Duration::ZERO);
    let mut harness = inside("flush", "8");
    harness.push(grey(0, 50)).expect("it is taken in");
    harness.pull().expect("it comes out");
    for round in 1..=20 {
        behaviour.hang(true);
        for number in 0..5 {
            harness
                .push(grey(10 * round + number, 50))
                .expect("it is taken in");
        }
        let begin = Instant::now();
        assert!(harness.push_event(gst::event::FlushStart::new()));
        assert_eq!(harness.push(grey(99, 50)), Err(gst::FlowError::Flushing));
        assert!(harness.push_event(gst::event::FlushStop::new(true)));
        assert!(
            begin.elapsed() < Duration::from_secs(2),
            "{:?}",
            begin.elapsed()
        );
        assert!(harness.push_event(segment()));
        behaviour.hang(false);
        harness
            .push(grey(10 * round + 9, 90))
            .expect("it is taken in");
        let frame = harness.pull().expect("it comes out");
        let pts = gst::ClockTime::from_mseconds(40) * (10 * round + 9);
        assert_eq!(frame.pts(), Some(pts), "none of those before");
        assert_eq!(mask(&frame).age, 0);
    }
    // Those that waited were not computed: one was at work, and one came after it, in each round.
    assert!(
        behaviour.batches().len() <= 1 + 20 * 2,
        "{}",
        behaviour.batches().len()
    );
}

#[test]
fn without_depth_a_flush_wakes_the_streaming_thread_too() {
    let _machine = beside();
    let (_shared, behaviour) = register("flush0", 0, 1, Duration::ZERO);
    let mut harness = small(&[("model-instance-id", "flush0")]);
    harness.push_and_pull(grey(0, 50)).expect("a frame");
    behaviour.hang(true);
    let pad = harness
        .element()
        .expect("it has one")
        .static_pad("sink")
        .expect("a pad");
    std::thread::scope(|scope| {
        let pushed = scope.spawn(|| harness.push(grey(1, 50)));
        std::thread::sleep(Duration::from_millis(100));
        assert!(!pushed.is_finished());
        pad.send_event(gst::event::FlushStart::new());
        assert_eq!(
            pushed.join().expect("no panic"),
            Err(gst::FlowError::Flushing)
        );
    });
    behaviour.hang(false);
}

#[test]
fn new_caps_wait_for_the_frames_of_the_old_ones() {
    let _machine = beside();
    let (_shared, _) = register("caps", 5, 1, Duration::ZERO);
    let mut harness = inside("caps", "8");
    for number in 0..5 {
        harness.push(grey(number, 100)).expect("it is taken in");
    }
    let wide = info(PixelFormat::Gray8, 64, 32);
    harness.set_src_caps(caps(&wide));
    assert_eq!(harness.buffers_in_queue(), 5, "all have left");
    let mut frame = gst::Buffer::from_mut_slice(vec![100; 64 * 32]);
    stamp(&mut frame, 5);
    harness.push(frame).expect("it is taken in");
    let widths: Vec<u32> = (0..6)
        .map(|_| mask(&harness.pull().expect("it comes out")).reference_width)
        .collect();
    assert_eq!(widths, [SIZE.0, SIZE.0, SIZE.0, SIZE.0, SIZE.0, 64]);
}

#[test]
fn an_inference_that_fails_ends_the_stream_and_what_downstream_says_goes_up() {
    let _machine = beside();
    let (_shared, _) = register("failing", 1, 1, Duration::ZERO);
    let mut harness = inside("failing", "4");
    let bus = gst::Bus::new();
    harness.element().expect("it has one").set_bus(Some(&bus));
    harness.push(grey(0, 50)).expect("it is taken in");
    harness.push(grey(1, POISON)).expect("it is taken in");
    let refused = |harness: &mut Harness, number: &mut u64| {
        *number += 1;
        harness.push(grey(*number, 50)).err()
    };
    let (mut number, mut error) = (1, None);
    eventually("an error", || {
        error = refused(&mut harness, &mut number);
        error.is_some()
    });
    assert_eq!(error, Some(gst::FlowError::Error));
    let message = said(bus.pop_filtered(&[gst::MessageType::Error]));
    assert!(message.message().contains("poison"), "{message}");

    let mut harness = inside("failing", "4");
    harness.push(grey(0, 50)).expect("it is taken in");
    harness.pull().expect("it comes out");
    // As a sink that has had enough.
    let pad = harness.sinkpad().expect("it has one");
    pad.add_probe(gst::PadProbeType::BUFFER, |_, info| {
        info.flow_res = Err(gst::FlowError::Eos);
        gst::PadProbeReturn::Handled
    });
    let (mut number, mut error) = (1, None);
    eventually("the end", || {
        error = refused(&mut harness, &mut number);
        error.is_some()
    });
    assert_eq!(error, Some(gst::FlowError::Eos));
}

#[test]
fn a_stop_returns_although_the_device_hangs_and_says_so() {
    let _machine = alone();
    for depth in ["0", "4"] {
        let id = format!("hanging{depth}");
        let (shared, behaviour) = register(&id, 0, 1, Duration::ZERO);
        let mut harness = inside(&id, depth);
        let element = harness.element().expect("it has one");
        let bus = gst::Bus::new();
        element.set_bus(Some(&bus));
        harness.push(grey(0, 50)).expect("it is taken in");
        harness.pull().expect("it comes out");
        // The element is now the last who uses it.
        drop(shared);
        behaviour.hang(true);
        let begin = std::thread::scope(|scope| {
            let pushed = scope.spawn(|| harness.push(grey(1, 50)));
            std::thread::sleep(Duration::from_millis(100));
            let begin = Instant::now();
            element.set_state(gst::State::Null).expect("it stops");
            let _ = pushed.join().expect("no panic");
            begin
        });
        // 5 s of patience.
        let elapsed = begin.elapsed();
        assert!(
            elapsed > Duration::from_secs(4) && elapsed < Duration::from_secs(15),
            "{elapsed:?}"
        );
        let error = said(bus.pop_filtered(&[gst::MessageType::Error]));
        assert!(error.message().contains("has not answered"), "{error}");
        behaviour.hang(false);
    }
}

#[test]
fn seeks_in_a_playing_pipeline_leave_nothing_of_the_former_place() {
    let _machine = beside();
    let (_shared, _) = register("seeks", 1, 2, Duration::ZERO);
    let playing = Playing(pipeline(
        "videotestsrc num-buffers=100000 ! video/x-raw,format=GRAY8,width=32,height=32,framerate=25/1 \
         ! casmesaliency model-instance-id=seeks async-depth=4 ! appsink name=sink sync=false max-buffers=2",
    ));
    let sink: gst_app::AppSink = named(&playing, "sink").downcast().expect("an appsink");
    playing.set_state(gst::State::Playing).expect("it starts");
    for round in 0..30 {
        // There and back, by other steps each time.
        let target = gst::ClockTime::from_seconds(round * 7919 % 1000);
        playing
            .seek_simple(gst::SeekFlags::FLUSH | gst::SeekFlags::ACCURATE, target)
            .expect("it seeks");
        let mut expected = Some(target);
        for _ in 0..3 {
            let sample = sink.pull_sample().expect("a frame");
            let pts = sample.buffer().and_then(gst::BufferRef::pts);
            assert_eq!(pts, expected, "round {round}");
            expected = pts.map(|pts| pts + casm_tests::gst::FRAME_TIME);
        }
    }
    playing.set_state(gst::State::Null).expect("it stops");
}

#[test]
fn states_change_at_any_moment() {
    let _machine = beside();
    let (_shared, behaviour) = register("states", 1, 1, Duration::ZERO);
    let playing = Playing(pipeline(
        "videotestsrc ! video/x-raw,format=GRAY8,width=32,height=32,framerate=200/1 \
         ! casmesaliency name=c model-instance-id=states async-depth=4 ! fakesink sync=true",
    ));
    use gst::State::{Null, Paused, Ready};
    const PLAYING: gst::State = gst::State::Playing;
    for round in 0..60 {
        behaviour.take(round % 7);
        for state in [Paused, PLAYING, Paused, PLAYING, Ready, PLAYING, Null]
            .into_iter()
            .skip(round as usize % 5)
        {
            playing.set_state(state).expect("it changes");
            std::thread::sleep(Duration::from_millis(round * 5 % 13));
        }
    }
    // And works.
    playing.set_state(PLAYING).expect("it starts");
    let element = named(&playing, "c");
    eventually("a frame", || casm_tests::gst::count(&element, "frames") > 2);
    playing.set_state(Null).expect("it stops");
}

#[test]
fn ten_thousand_frames_leave_no_memory() {
    let _machine = alone();
    let (_shared, _) = register("memory", 0, 1, Duration::ZERO);
    let mut harness = small(&[
        ("model-instance-id", "memory"),
        ("async-depth", "4"),
        ("inference-interval", "4"),
    ]);
    let mut number = 0;
    let mut frames = |count: usize| {
        for _ in 0..count {
            harness.push(grey(number, 100)).expect("it is taken in");
            drop(harness.pull().expect("it comes out"));
            number += 1;
        }
    };
    frames(2_000);
    let before = resident();
    frames(10_000);
    let grown = resident().saturating_sub(before);
    println!("resident memory: {before} KiB, {grown} KiB more after 10000 frames");
    // A mask a frame would be 500 MB.
    assert!(grown < 20 * 1024, "{grown} KiB more");
}

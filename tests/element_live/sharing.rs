//! Several streams on one model.

use std::time::{Duration, Instant};

use casm_tests::engine::{Behaviour, POISON, register, register_for_frames};
use casm_tests::gst::{count, mask, named, occupied, pipeline, said, stats};
use casm_tests::machine::{alone, beside};
use gst::prelude::*;
use gst_video::VideoRegionOfInterestMeta;

use crate::{Playing, eventually, grey, small};

/// A pipeline that plays as fast as its model answers.
fn stream(id: &str, properties: &str) -> (Playing, gst::Element) {
    let playing = Playing(pipeline(&format!(
        "videotestsrc ! video/x-raw,format=GRAY8,width=32,height=32 \
         ! casmesaliency name=c model-instance-id={id} {properties} ! fakesink sync=false"
    )));
    let element = named(&playing, "c");
    (playing, element)
}

/// Plays so many streams of one model for a second; frames of each.
fn together(id: &str, streams: usize, properties: &str) -> Vec<u64> {
    let streams: Vec<_> = (0..streams).map(|_| stream(id, properties)).collect();
    for (playing, _) in &streams {
        playing.set_state(gst::State::Playing).expect("it starts");
    }
    for (_, element) in &streams {
        eventually("a first frame", || count(element, "frames") > 0);
    }
    let counts = || -> Vec<u64> {
        let counts = streams.iter().map(|(_, element)| count(element, "frames"));
        counts.collect()
    };
    let before = counts();
    std::thread::sleep(Duration::from_secs(1));
    let after = counts();
    for (playing, _) in &streams {
        playing.set_state(gst::State::Null).expect("it stops");
    }
    after
        .iter()
        .zip(before)
        .map(|(after, before)| after - before)
        .collect()
}

#[test]
fn streams_get_equal_shares_and_together_no_less_than_one() {
    let _machine = alone();
    let (_shared, behaviour) = register("fair", 5, 1, Duration::ZERO);
    let alone = together("fair", 1, "")[0];
    for streams in [2, 4, 8] {
        let frames = together("fair", streams, "");
        let sum: u64 = frames.iter().sum();
        println!("{streams} streams: {frames:?}, alone {alone}");
        assert!(sum as f64 > 0.9 * alone as f64, "{frames:?}, alone {alone}");
        let (least, most) = (frames.iter().min(), frames.iter().max());
        assert!(
            least
                .zip(most)
                .is_some_and(|(least, most)| most - least <= 2),
            "{frames:?}"
        );
    }
    // One that has more frames waiting does not get more turns.
    let greedy = stream("fair", "async-depth=16");
    let modest = stream("fair", "");
    for (playing, _) in [&greedy, &modest] {
        playing.set_state(gst::State::Playing).expect("it starts");
    }
    eventually("frame 50", || count(&modest.1, "frames") >= 50);
    let [many, few] = [&greedy.1, &modest.1].map(|element| count(element, "inferred"));
    for (playing, _) in [&greedy, &modest] {
        playing.set_state(gst::State::Null).expect("it stops");
    }
    assert!(many < few + 25, "{many}, {few}");
    assert!(behaviour.batches().iter().all(|batch| *batch == 1));
}

#[test]
fn waiting_frames_of_several_streams_are_one_batch_and_each_has_its_own_result() {
    let _machine = alone();
    let patience = Duration::from_millis(500);
    let (_shared, behaviour) = register("batches", 2, 4, patience);
    share_batches("batches", &behaviour);
    assert_eq!(behaviour.frames(), 0);
    let (_shared, behaviour) = register_for_frames("batches-of-frames", 2, 4, patience);
    share_batches("batches-of-frames", &behaviour);
    assert_eq!(behaviour.frames(), 40);
}

fn share_batches(id: &'static str, behaviour: &Behaviour) {
    let threads = [40_u8, 80, 120, 200].map(|value| {
        std::thread::spawn(move || {
            let mut harness = small(&[("model-instance-id", id)]);
            for number in 0..10 {
                let result = harness.push_and_pull(grey(number, value)).expect("a frame");
                let mean = mask(&result).mask_mean;
                assert!(
                    (mean - f64::from(value) / 255.0).abs() < 1e-4,
                    "{value}: {mean}"
                );
            }
        })
    });
    for thread in threads {
        thread.join().expect("all have their own results");
    }
    let batches = behaviour.batches();
    assert_eq!(batches.iter().sum::<usize>(), 40);
    // They wait for each other, so nearly all are whole.
    let whole = batches.iter().filter(|batch| **batch == 4).count();
    assert!(whole >= 7, "{batches:?}");
}

#[test]
fn a_stream_that_fails_or_stops_leaves_the_others_alone() {
    let _machine = beside();
    let patience = Duration::from_millis(20);
    let (_shared, behaviour) = register("faults", 2, 4, patience);
    fail_and_stop("faults", &behaviour);
    let (_shared, behaviour) = register_for_frames("faults-of-frames", 2, 4, patience);
    fail_and_stop("faults-of-frames", &behaviour);
}

fn fail_and_stop(id: &str, behaviour: &Behaviour) {
    let others: Vec<_> = (0..2).map(|_| stream(id, "")).collect();
    for (playing, _) in &others {
        playing.set_state(gst::State::Playing).expect("it starts");
    }
    // In a batch with the others' pictures, one that cannot be computed.
    for _ in 0..5 {
        let mut harness = small(&[("model-instance-id", id)]);
        let bus = gst::Bus::new();
        harness.element().expect("it has one").set_bus(Some(&bus));
        assert!(harness.push_and_pull(grey(0, 100)).is_ok());
        assert_eq!(harness.push(grey(1, POISON)), Err(gst::FlowError::Error));
        let error = said(bus.pop_filtered(&[gst::MessageType::Error]));
        assert!(error.message().contains("poison"), "{error}");
    }
    // Streams that come and go.
    for _ in 0..5 {
        let (playing, element) = stream(id, "async-depth=4");
        playing.set_state(gst::State::Playing).expect("it starts");
        eventually("a frame", || count(&element, "frames") > 0);
        playing.set_state(gst::State::Null).expect("it stops");
    }
    for (playing, element) in &others {
        let now = count(element, "frames");
        eventually("going on", || count(element, "frames") > now + 5);
        let bus = playing.bus().expect("a pipeline has a bus");
        assert!(bus.pop_filtered(&[gst::MessageType::Error]).is_none());
        playing.set_state(gst::State::Null).expect("it stops");
    }
    assert!(behaviour.batches().iter().any(|batch| *batch > 1));
}

#[test]
fn an_engine_for_frames_has_regions_as_pixels_and_both_in_runs_of_their_own() {
    let _machine = beside();
    let (_shared, behaviour) = register_for_frames("kinds", 0, 3, Duration::from_millis(200));
    let mut whole = small(&[("model-instance-id", "kinds"), ("overlay", "box")]);
    let parts = [("roi-mode", "upstream"), ("max-objects", "2")];
    let parts = [&parts[..], &[("model-instance-id", "kinds")]].concat();
    let mut parts = small(&parts);
    for number in 0..4 {
        let mut input = grey(number, 90);
        for x in [0, 16] {
            let region = (x, 0, 16, 32);
            VideoRegionOfInterestMeta::add(input.make_mut(), "half", region);
        }
        // Three pictures that wait for each other: one run, if they were of one kind.
        let other = std::thread::spawn(move || {
            let result = parts.push_and_pull(input).expect("a frame");
            (mask(&result), parts)
        });
        let input = grey(number, 200);
        let memory = |buffer: &gst::BufferRef| {
            let map = buffer.map_readable().expect("it can be read");
            map.as_slice().as_ptr() as usize
        };
        let lies_at = memory(&input);
        let result = whole.push_and_pull(input).expect("a frame");
        let found = mask(&result);
        assert!((found.mask_mean - 200.0 / 255.0).abs() < 1e-4);
        // The worker has given the buffer back: the box is drawn without a copy.
        assert_eq!(memory(&result), lies_at);
        let (found, back) = other.join().expect("no panic");
        assert!((found.mask_mean - 90.0 / 255.0).abs() < 1e-4);
        parts = back;
    }
    let batches = behaviour.batches();
    assert_eq!(batches.iter().sum::<usize>(), 12);
    // Where the frame's turn is between those of the regions, all three are alone.
    assert!(batches.iter().all(|batch| *batch < 3), "{batches:?}");
    assert!(batches.contains(&2), "{batches:?}");
    assert_eq!(behaviour.frames(), 4);
}

/// Or the first frame would wait for what the engine has to prepare for frames.
#[test]
fn an_engine_is_prepared_with_what_it_will_be_given() {
    let _machine = beside();
    let (_shared, pictures) = register("prepared", 0, 1, Duration::ZERO);
    let (_shared_too, frames) = register_for_frames("prepared frames", 0, 1, Duration::ZERO);
    assert_eq!((pictures.prepared_with(), frames.prepared_with()), (0, 2));
}

#[test]
fn the_model_is_there_once_and_goes_with_the_last_who_uses_it() {
    let _machine = beside();
    let (shared, behaviour) = register("once", 0, 1, Duration::ZERO);
    let streams: Vec<_> = (0..8)
        .map(|_| small(&[("model-instance-id", "once")]))
        .collect();
    assert_eq!(behaviour.batches().len(), 0);
    drop(shared);
    let mut streams = streams.into_iter();
    let last = streams.next();
    drop(streams);
    assert!(!behaviour.is_dropped());
    drop(last);
    eventually("the end of the engine", || behaviour.is_dropped());
}

#[test]
fn a_loaded_model_is_shared_and_the_first_settles_how_it_runs() {
    let _machine = alone();
    let properties = [("model-instance-id", "loaded"), ("device", "cpu")];
    let mut first = small(&properties);
    assert!(first.push_and_pull(grey(0, 100)).is_ok());
    let (before, begin) = (occupied(), Instant::now());
    let mut others: Vec<_> = (0..7).map(|_| small(&properties)).collect();
    for other in &mut others {
        assert!(other.push_and_pull(grey(0, 100)).is_ok());
    }
    let grown = occupied().saturating_sub(before);
    println!("7 further streams: {grown} KiB more, {:?}", begin.elapsed());
    // A model of their own each would be 7 times 10 MB in weights alone.
    assert!(grown < 20 * 1024, "{grown} KiB more");

    // What another asks for is not what it gets, and it is told so.
    let element = casm_tests::gst::element(&[("model-instance-id", "loaded"), ("model", "/other")]);
    let bus = gst::Bus::new();
    element.set_bus(Some(&bus));
    element
        .set_state(gst::State::Paused)
        .expect("it starts all the same");
    let warning = said(bus.pop_filtered(&[gst::MessageType::Warning]));
    assert!(warning.message().contains("/other"), "{warning}");
    assert_eq!(stats(&element).get("model"), Ok("the built-in model"));
    element.set_state(gst::State::Null).expect("it stops");
}

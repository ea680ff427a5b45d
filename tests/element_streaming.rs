//! The element in streams: intervals, messages, counters, events, renegotiation, what metadata survives.

use casm::PixelFormat;
use casm_tests::gst::{
    FRAME_TIME, ball, buffer, bytes, caps, centred_ball, count, element, harness, info, mask,
    named, pipeline, play, play_and_collect, roi, rois, stats, wait,
};
use gst::prelude::*;
use gst_check::Harness;
use gst_video::{VideoCropMeta, VideoMeta};
use gstcasm::MaskMeta;

const SIZE: (u32, u32) = (160, 120);

/// A harness for small RGB frames.
fn small(properties: &[(&str, &str)]) -> Harness {
    harness(properties, &info(PixelFormat::Rgb, SIZE.0, SIZE.1))
}

/// Small RGB frame number `number`, whose ball moves from left to right.
fn frame(number: u64) -> gst::Buffer {
    let at = (0.3 + 0.05 * number as f64, 0.5);
    buffer(&ball(SIZE.0, SIZE.1, at), SIZE.0, SIZE.1, number)
}

fn push_and_pull(harness: &mut Harness, number: u64) -> gst::Buffer {
    harness
        .push_and_pull(frame(number))
        .expect("a frame in, a frame out")
}

fn ages(harness: &mut Harness, numbers: std::ops::Range<u64>) -> Vec<u32> {
    numbers
        .map(|number| mask(&push_and_pull(harness, number)).age)
        .collect()
}

#[test]
fn between_inferences_the_last_result_is_carried_with_its_age() {
    let mut harness = small(&[("inference-interval", "3")]);
    let results: Vec<gst::Buffer> = (0..7)
        .map(|number| push_and_pull(&mut harness, number))
        .collect();
    for (number, result) in results.iter().enumerate() {
        let age = number % 3;
        let inferred = &results[number - age];
        let (roi, mask) = (roi(result), mask(result));
        assert_eq!(mask.age as usize, age);
        assert_eq!(roi.params.get::<u32>("age"), Ok(mask.age));
        assert_eq!(mask.inference_pts, inferred.pts());
        assert_eq!(
            roi.params.get::<Option<gst::ClockTime>>("inference-pts"),
            Ok(inferred.pts())
        );
        assert_eq!(Some(roi.bounding_box), mask.bounding_box);
        assert!(mask.values == casm_tests::gst::mask(inferred).values);
    }
    assert_ne!(
        roi(&results[0]).bounding_box,
        roi(&results[3]).bounding_box,
        "the ball has moved"
    );
    let element = harness.element().expect("it has one");
    let counts =
        ["frames", "inferred", "reused", "gaps", "drawn"].map(|field| count(&element, field));
    assert_eq!(counts, [7, 3, 4, 0, 0]);
}

#[test]
fn the_interval_can_change_while_playing() {
    let mut harness = small(&[("inference-interval", "100")]);
    assert_eq!(ages(&mut harness, 0..3), [0, 1, 2]);
    harness
        .element()
        .expect("it has one")
        .set_property("inference-interval", 1_u32);
    assert_eq!(ages(&mut harness, 3..5), [0, 0]);
}

#[test]
fn no_result_crosses_a_flush_a_segment_or_a_change_of_caps() {
    let mut harness = small(&[("inference-interval", "100")]);
    assert_eq!(ages(&mut harness, 0..2), [0, 1]);

    harness.push_event(gst::event::FlushStart::new());
    harness.push_event(gst::event::FlushStop::new(true));
    let segment = gst::FormattedSegment::<gst::ClockTime>::new();
    harness.push_event(gst::event::Segment::new(&segment));
    assert_eq!(ages(&mut harness, 2..4), [0, 1]);

    harness.push_event(gst::event::Segment::new(&segment));
    assert_eq!(ages(&mut harness, 4..6), [0, 1]);

    // Half the size: a box of the former size would lie outside.
    let (width, height) = (SIZE.0 / 2, SIZE.1 / 2);
    harness.set_src_caps(caps(&info(PixelFormat::Rgb, width, height)));
    let result = harness
        .push_and_pull(buffer(&centred_ball(width, height), width, height, 6))
        .expect("a frame in, a frame out");
    assert_eq!(
        (mask(&result).age, mask(&result).reference_width),
        (0, width)
    );
}

#[test]
fn gap_and_empty_buffers_pass_without_a_look() {
    let mut harness = small(&[("inference-interval", "100"), ("overlay", "mask")]);
    assert_eq!(ages(&mut harness, 0..1), [0]);
    let mut gap = frame(1);
    gap.make_mut().set_flags(gst::BufferFlags::GAP);
    let before = bytes(&gap);
    let mut empty = gst::Buffer::new();
    casm_tests::gst::stamp(&mut empty, 2);
    for passed in [gap, empty] {
        let flags = passed.flags();
        let result = harness
            .push_and_pull(passed)
            .expect("a buffer in, a buffer out");
        assert!(result.flags().contains(flags), "the GAP flag stays");
        assert!(rois(&result).is_empty() && MaskMeta::from_buffer(&result).is_none());
        assert!(result.size() == 0 || bytes(&result) == before);
    }
    // They are not frames: the next one follows the first.
    assert_eq!(ages(&mut harness, 3..4), [1]);
    let element = harness.element().expect("it has one");
    assert_eq!(
        ["frames", "gaps", "drawn"].map(|field| count(&element, field)),
        [2, 2, 2]
    );
}

#[test]
fn frames_without_time_stamps_and_of_variable_rate_are_served() {
    let element = element(&[("post-messages", "true")]);
    let bus = gst::Bus::new();
    element.set_bus(Some(&bus));
    let mut harness = Harness::with_element(&element, Some("sink"), Some("src"));
    harness.set_src_caps_str(&format!(
        "video/x-raw,format=RGB,width={},height={},framerate=0/1",
        SIZE.0, SIZE.1
    ));
    let mut untimed = frame(0);
    untimed.make_mut().set_pts(gst::ClockTime::NONE);
    assert_eq!(
        mask(&harness.push_and_pull(untimed).expect("a frame")).inference_pts,
        None
    );
    let message = bus
        .pop_filtered(&[gst::MessageType::Element])
        .expect("a message");
    let structure = message.structure().expect("element messages have one");
    for time in ["pts", "running-time", "stream-time"] {
        assert_eq!(structure.get::<u64>(time), Ok(u64::MAX), "{time}");
    }
    for milliseconds in [10, 500, 501] {
        let mut late = frame(1);
        let pts = gst::ClockTime::from_mseconds(milliseconds);
        late.make_mut().set_pts(pts);
        assert_eq!(
            mask(&harness.push_and_pull(late).expect("a frame")).inference_pts,
            Some(pts)
        );
    }
}

#[test]
fn messages_have_typed_fields_and_are_off_by_default() {
    let silent = pipeline("videotestsrc num-buffers=2 ! casmesaliency ! fakesink");
    silent.set_state(gst::State::Playing).expect("it starts");
    wait(&silent, |message| {
        assert_ne!(message.type_(), gst::MessageType::Element)
    })
    .expect("it ends");
    silent.set_state(gst::State::Null).expect("it stops");

    let mut harness = Harness::with_element(
        &element(&[("post-messages", "true"), ("inference-interval", "2")]),
        Some("sink"),
        Some("src"),
    );
    let bus = gst::Bus::new();
    harness.element().expect("it has one").set_bus(Some(&bus));
    harness.set_src_caps(caps(&info(PixelFormat::Rgb, SIZE.0, SIZE.1)));
    // A segment that starts at 1 s of the media and is placed 5 s into the pipeline's time.
    let mut segment = gst::FormattedSegment::<gst::ClockTime>::new();
    segment.set_start(gst::ClockTime::from_seconds(1));
    segment.set_time(gst::ClockTime::from_seconds(1));
    segment.set_base(gst::ClockTime::from_seconds(5));
    harness.push_event(gst::event::Segment::new(&segment));
    for number in 0..2 {
        let pts = gst::ClockTime::from_seconds(2) + FRAME_TIME * number;
        let mut input = frame(number);
        input.make_mut().set_pts(pts);
        let result = harness
            .push_and_pull(input)
            .expect("a frame in, a frame out");
        let message = bus
            .pop_filtered(&[gst::MessageType::Element])
            .expect("a message a frame");
        let structure = message.structure().expect("element messages have one");
        let (roi, mask) = (roi(&result).bounding_box, mask(&result));
        assert_eq!(structure.name(), gstcasm::MESSAGE_NAME);
        assert_eq!(structure.get("frame"), Ok(number));
        assert_eq!(structure.get("pts"), Ok(pts.nseconds()));
        assert_eq!(
            structure.get("running-time"),
            Ok((pts + gst::ClockTime::from_seconds(4)).nseconds())
        );
        assert_eq!(structure.get("stream-time"), Ok(pts.nseconds()));
        assert_eq!(structure.get("has-object"), Ok(true));
        let sides =
            ["x", "y", "width", "height"].map(|side| structure.get::<i32>(side).expect("an int"));
        assert_eq!(
            sides,
            [roi.x, roi.y, roi.width, roi.height].map(|side| side as i32)
        );
        assert_eq!(structure.get("frame-width"), Ok(SIZE.0 as i32));
        assert_eq!(structure.get("frame-height"), Ok(SIZE.1 as i32));
        assert_eq!(structure.get("confidence"), Ok(mask.confidence));
        assert_eq!(structure.get("mask-mean"), Ok(mask.mask_mean));
        assert_eq!(structure.get("component-area"), Ok(mask.component_area));
        assert_eq!(
            structure.get("inference-pts"),
            Ok(gst::ClockTime::from_seconds(2).nseconds())
        );
        assert_eq!(structure.get("age"), Ok(number as u32));
        assert!(structure.has_field_with_type("top-class", i32::static_type()));
    }
}

#[test]
fn the_statistics_say_what_runs_and_start_anew() {
    let playing = pipeline(
        "videotestsrc num-buffers=5 ! casmesaliency name=c overlay=box threads=1 ! fakesink",
    );
    let element = named(&playing, "c");
    for _ in 0..2 {
        play(&playing).expect("it plays");
        let stats = stats(&element);
        assert_eq!(
            ["frames", "inferred", "drawn"].map(|field| count(&element, field)),
            [5, 5, 5]
        );
        let text = |field: &str| stats.get::<String>(field).expect("a text");
        assert!(text("engine").starts_with("torch"), "{stats}");
        assert_eq!(
            (text("precision"), text("model")),
            ("f32".to_owned(), "the built-in model".to_owned())
        );
        assert!(
            ["cpu", "cuda:0"].contains(&text("device").as_str()),
            "{stats}"
        );
        assert!(stats.get::<u32>("threads").expect("a number") >= 1);
        let time = |field: &str| stats.get::<f64>(field).expect("a number");
        assert!(
            time("last-inference-ms") > 0.0 && time("mean-inference-ms") > 0.0,
            "{stats}"
        );
    }
}

#[test]
fn caps_may_change_in_the_middle_of_a_stream() {
    let mut harness = small(&[("overlay", "contour")]);
    for (format, width, height) in [
        (PixelFormat::Rgb, 160, 120),
        (PixelFormat::Nv12, 320, 180),
        (PixelFormat::Gray8, 33, 65),
        (PixelFormat::Rgb, 160, 120),
    ] {
        let info = info(format, width, height);
        harness.set_src_caps(caps(&info));
        for number in 0..2 {
            let rgb = buffer(&centred_ball(width, height), width, height, number);
            let input = casm_tests::gst::converted(&rgb, format, width, height);
            let result = harness
                .push_and_pull(input)
                .expect("a frame in, a frame out");
            assert_eq!(result.size(), info.size());
            assert_eq!(
                (
                    mask(&result).reference_width,
                    mask(&result).reference_height
                ),
                (width, height)
            );
        }
    }
    // The same in a pipeline whose source is told to change.
    let playing = pipeline(
        "videotestsrc num-buffers=6 ! capsfilter name=f caps=video/x-raw,width=160,height=120 ! casmesaliency name=c \
         ! appsink name=sink",
    );
    let filter = named(&playing, "f");
    let pad = named(&playing, "c")
        .static_pad("src")
        .expect("a source pad");
    pad.add_probe(gst::PadProbeType::BUFFER, move |_, info| {
        if info.buffer().and_then(|buffer| buffer.pts()) > Some(gst::ClockTime::from_mseconds(60)) {
            let wide: gst::Caps = "video/x-raw,width=320,height=90"
                .parse()
                .expect("valid caps");
            filter.set_property("caps", wide);
            return gst::PadProbeReturn::Remove;
        }
        gst::PadProbeReturn::Ok
    });
    let widths: Vec<u32> = play_and_collect(&playing)
        .iter()
        .map(|buffer| mask(buffer).reference_width)
        .collect();
    assert_eq!(
        (widths.len(), widths[0], widths[5]),
        (6, 160, 320),
        "{widths:?}"
    );
}

#[test]
fn eos_goes_through_after_all_frames() {
    let playing = pipeline("videotestsrc num-buffers=7 ! casmesaliency ! appsink name=sink");
    let buffers = play_and_collect(&playing);
    assert_eq!(buffers.len(), 7);
    assert!(buffers.windows(2).all(|pair| pair[0].pts() < pair[1].pts()));
    let mut harness = small(&[]);
    push_and_pull(&mut harness, 0);
    assert!(harness.push_event(gst::event::Eos::new()));
    assert_eq!(harness.push(frame(1)), Err(gst::FlowError::Eos));
}

#[test]
fn after_a_seek_results_are_of_the_new_place() {
    let playing = pipeline(
        "videotestsrc num-buffers=2000 ! video/x-raw,width=64,height=48,framerate=25/1 \
         ! casmesaliency inference-interval=1000 ! appsink name=sink sync=false max-buffers=2",
    );
    let sink: gst_app::AppSink = named(&playing, "sink").downcast().expect("an appsink");
    playing.set_state(gst::State::Playing).expect("it starts");
    let pull = || {
        sink.pull_sample()
            .expect("a frame")
            .buffer_owned()
            .expect("with a buffer")
    };
    for age in 0..3 {
        assert_eq!(mask(&pull()).age, age);
    }
    let target = gst::ClockTime::from_seconds(40);
    playing
        .seek_simple(gst::SeekFlags::FLUSH | gst::SeekFlags::ACCURATE, target)
        .expect("it seeks");
    let first = pull();
    assert!(first.pts() >= Some(target), "{:?}", first.pts());
    assert_eq!(
        (mask(&first).age, mask(&first).inference_pts),
        (0, first.pts())
    );
    assert_eq!(mask(&pull()).age, 1);
    playing.set_state(gst::State::Null).expect("it stops");
}

#[test]
fn both_branches_of_a_tee_have_metadata_and_drawing_stays_in_its_branch() {
    let playing = pipeline(
        "videotestsrc num-buffers=4 pattern=ball ! video/x-raw,format=RGB,width=160,height=120 ! tee name=t \
         t. ! queue ! casmesaliency overlay=heatmap ! tee name=u \
         u. ! queue ! appsink name=sink sync=false u. ! queue ! appsink name=other sync=false \
         t. ! queue ! appsink name=plain sync=false",
    );
    let collect = |name: &str| {
        let sink: gst_app::AppSink = named(&playing, name).downcast().expect("an appsink");
        std::thread::spawn(move || {
            let mut buffers = Vec::new();
            while let Ok(sample) = sink.pull_sample() {
                buffers.push(sample.buffer_owned().expect("a sample has a buffer"));
            }
            buffers
        })
    };
    playing.set_state(gst::State::Playing).expect("it starts");
    let [sink, other, plain] = ["sink", "other", "plain"]
        .map(collect)
        .map(|thread| thread.join().expect("no panic"));
    playing.set_state(gst::State::Null).expect("it stops");
    assert_eq!([sink.len(), other.len(), plain.len()], [4; 3]);
    for ((sink, other), plain) in sink.iter().zip(&other).zip(&plain) {
        assert_eq!(mask(sink), mask(other));
        assert_eq!(rois(sink).len(), rois(other).len());
        assert!(bytes(sink) == bytes(other));
        assert!(bytes(sink) != bytes(plain), "the overlay is drawn");
        assert!(rois(plain).is_empty() && MaskMeta::from_buffer(plain).is_none());
    }
    // What was never drawn on is the source's own picture.
    let source = pipeline(
        "videotestsrc num-buffers=4 pattern=ball ! video/x-raw,format=RGB,width=160,height=120 ! appsink name=sink",
    );
    let source = play_and_collect(&source);
    assert!(
        source
            .iter()
            .zip(&plain)
            .all(|(source, plain)| bytes(source) == bytes(plain))
    );
}

/// Buffers of the element after it and `downstream`, with the size of their frames.
fn after(downstream: &str) -> Vec<gst::Buffer> {
    play_and_collect(&pipeline(&format!(
        "videotestsrc num-buffers=2 pattern=ball ! video/x-raw,format=I420,width=320,height=240,pixel-aspect-ratio=1/1 \
         ! casmesaliency ! {downstream} ! appsink name=sink"
    )))
}

#[test]
fn metadata_survives_what_copies_and_converts() {
    let expected: Vec<_> = after("identity")
        .iter()
        .map(|buffer| (roi(buffer).bounding_box, mask(buffer)))
        .collect();
    for downstream in [
        "queue",
        "tee",
        "videoconvert ! video/x-raw,format=RGB",
        "videorate",
        "videobalance hue=0.5",
    ] {
        let found: Vec<_> = after(downstream)
            .iter()
            .map(|buffer| (roi(buffer).bounding_box, mask(buffer)))
            .collect();
        assert!(found == expected, "after {downstream}");
    }
    // A copy of pixels and all.
    let buffer = &after("identity")[0];
    assert_eq!(mask(&buffer.copy_deep().expect("memory")), expected[0].1);
    // Part of a frame is not a frame.
    let part = buffer
        .copy_region(gst::BufferCopyFlags::all(), 100..200)
        .expect("within the buffer");
    assert_eq!(MaskMeta::from_buffer(&part), None);
}

#[test]
fn metadata_is_scaled_with_the_frame() {
    let expected: Vec<_> = after("identity").iter().map(mask_of).collect();
    for (width, height, par) in [(160, 120, "1/1"), (641, 480, "640/641"), (300, 300, "4/3")] {
        let scaled = after(&format!(
            "videoscale ! video/x-raw,width={width},height={height},pixel-aspect-ratio={par}"
        ));
        for (buffer, expected) in scaled.iter().zip(&expected) {
            let (roi, mask) = (roi(buffer), mask(buffer));
            assert_eq!(&mask, expected, "mask and reference do not change");
            let reference = |name: &str| roi.params.get::<u32>(name).expect("a number");
            assert_eq!(
                (reference("reference-width"), reference("reference-height")),
                (320, 240)
            );
            // GStreamer rounds down, twice; the mask's box is rounded to the nearest.
            let (region, box_) = (
                roi.bounding_box,
                mask.box_in(width, height).expect("there is a ball"),
            );
            for (a, b) in [
                (region.x, box_.x),
                (region.y, box_.y),
                (region.right(), box_.right()),
                (region.bottom(), box_.bottom()),
            ] {
                assert!(a.abs_diff(b) <= 2, "{width}x{height}: {region:?}, {box_:?}");
            }
        }
    }
}

fn mask_of(buffer: &gst::Buffer) -> gstcasm::SaliencyMask {
    mask(buffer)
}

#[test]
fn the_mask_is_dropped_where_it_would_be_wrong() {
    for downstream in [
        // The picture gets borders.
        "videoscale ! video/x-raw,width=300,height=300,pixel-aspect-ratio=1/1",
        "videoflip method=clockwise",
        "videoflip method=horizontal-flip",
        "videocrop left=100",
        "videobox left=-20",
        "compositor",
    ] {
        for buffer in after(downstream) {
            assert_eq!(MaskMeta::from_buffer(&buffer), None, "after {downstream}");
        }
    }
}

#[test]
fn upstream_is_offered_what_downstream_offers() {
    // Whether padded rows and cropping are offered, where downstream offers these.
    let offered = |padding: bool, crop: bool| {
        let mut harness = small(&[]);
        let downstream = harness.sinkpad().expect("it has one");
        downstream.add_probe(gst::PadProbeType::QUERY_DOWNSTREAM, move |_, info| {
            let Some(gst::QueryViewMut::Allocation(query)) =
                info.query_mut().map(|query| query.view_mut())
            else {
                return gst::PadProbeReturn::Ok;
            };
            if padding {
                query.add_allocation_meta::<VideoMeta>(None);
            }
            if crop {
                query.add_allocation_meta::<VideoCropMeta>(None);
            }
            gst::PadProbeReturn::Handled
        });
        // Negotiates, so that the query can be answered.
        push_and_pull(&mut harness, 0);
        let caps = caps(&info(PixelFormat::Rgb, SIZE.0, SIZE.1));
        let mut query = gst::query::Allocation::new(Some(&caps), true);
        assert!(harness.srcpad().expect("it has one").peer_query(&mut query));
        let has = |index: Option<u32>| index.is_some();
        (
            has(query.find_allocation_meta::<VideoMeta>()),
            has(query.find_allocation_meta::<VideoCropMeta>()),
        )
    };
    assert_eq!(
        offered(false, false),
        (false, false),
        "padding would confuse what knows none"
    );
    assert_eq!(offered(true, false), (true, false));
    assert_eq!(
        offered(true, true),
        (true, false),
        "a crop would shift the box"
    );
}

/// Resident memory of this process in KiB.
fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("Linux");
    let line = status
        .lines()
        .find(|line| line.starts_with("VmRSS:"))
        .expect("a line on resident memory");
    line.split_whitespace()
        .nth(1)
        .and_then(|number| number.parse().ok())
        .expect("a number")
}

#[test]
fn two_hundred_state_changes_do_not_grow() {
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
    // Until allocators and thread pools have what they keep. Other tests of this file run at the
    // same time and allocate too, so the tolerance has room for a few models (10 MB each); losing
    // one a cycle would take 750 MB, losing one mask a cycle 15 MB.
    cycles(25);
    let before = resident();
    cycles(75);
    let grown = resident().saturating_sub(before);
    println!("resident memory: {before} KiB, {grown} KiB more after 150 further state changes");
    assert!(grown < 60 * 1024, "{grown} KiB more");
}

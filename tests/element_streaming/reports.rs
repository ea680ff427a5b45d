//! Messages and counters.

use casm::PixelFormat;
use casm_tests::gst::{
    FRAME_TIME, caps, count, element, info, mask, named, pipeline, play, roi, stats, wait,
};
use gst::prelude::*;
use gst_check::Harness;

use crate::{SIZE, frame};

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
    // Without an object there is a message all the same.
    let element = harness.element().expect("it has one");
    element.set_property("min-area", 1.0);
    harness
        .push_and_pull(frame(2))
        .expect("a frame in, a frame out");
    let message = bus
        .pop_filtered(&[gst::MessageType::Element])
        .expect("a message a frame");
    let structure = message.structure().expect("element messages have one");
    assert_eq!(structure.get("has-object"), Ok(false));
    let sides =
        ["x", "y", "width", "height"].map(|side| structure.get::<i32>(side).expect("an int"));
    assert_eq!(sides, [0; 4]);
    assert_eq!(
        (structure.get("confidence"), structure.get("age")),
        (Ok(0.0), Ok(0_u32))
    );
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
        let engine = text("engine");
        let known = casm::engine::names().any(|name| engine.starts_with(name));
        assert!(known, "{stats}");
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
        let parts = ["input", "network", "postprocessing"];
        let parts = parts.map(|stage| time(&format!("mean-{stage}-ms")));
        let whole = time("mean-inference-ms");
        assert!(parts.iter().all(|part| *part > 0.0), "{stats}");
        assert!((parts.iter().sum::<f64>() - whole).abs() < 1e-6, "{stats}");
        // All frames are drawn on, and none of that takes as long as the network.
        for stage in ["mean-overlay-ms", "mean-metadata-ms"] {
            assert!(time(stage) > 0.0 && time(stage) < whole, "{stats}");
        }
    }
}

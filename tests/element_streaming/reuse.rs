//! Results carried from frame to frame, and what ends that.

use casm::PixelFormat;
use casm_tests::gst::{buffer, bytes, caps, centred_ball, count, info, mask, params, roi, rois};
use gst::prelude::*;
use gstcasm::MaskMeta;

use crate::{SIZE, ages, frame, push_and_pull, small};

#[test]
fn between_inferences_the_last_result_is_carried_with_its_age() {
    let mut harness = small(&[("inference-interval", "3")]);
    let results: Vec<gst::Buffer> = (0..7)
        .map(|number| push_and_pull(&mut harness, number))
        .collect();
    for (number, result) in results.iter().enumerate() {
        let age = number % 3;
        let inferred = &results[number - age];
        let (found, params, mask) = (roi(result).bounding_box, params(result), mask(result));
        assert_eq!(mask.age as usize, age);
        assert_eq!(params.get::<u32>("age"), Ok(mask.age));
        assert_eq!(mask.inference_pts, inferred.pts());
        assert_eq!(
            params.get::<Option<gst::ClockTime>>("inference-pts"),
            Ok(inferred.pts())
        );
        assert_eq!(Some(found), mask.bounding_box);
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

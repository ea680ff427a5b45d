//! Several objects, masks smoothed over time, boxes held still, numbers that stay.

use casm::BoundingBox;
use casm_tests::gst::{mask, params, roi, rois};

use crate::{frame, push_and_pull, small};

/// The same ball for every number: what changes comes from the element.
fn still(harness: &mut gst_check::Harness, at: u64) -> gst::Buffer {
    harness
        .push_and_pull(frame(at))
        .expect("a frame in, a frame out")
}

#[test]
fn a_box_is_held_while_the_new_one_overlaps_enough() {
    let free: Vec<BoundingBox> = {
        let mut harness = small(&[]);
        (0..4)
            .map(|number| roi(&push_and_pull(&mut harness, number)).bounding_box)
            .collect()
    };
    assert!(
        free.windows(2).any(|pair| pair[0] != pair[1]),
        "the ball moves: {free:?}"
    );
    let least = free
        .iter()
        .map(|found| found.iou(&free[0]))
        .fold(1.0, f64::min);
    let held = format!("{}", least.max(0.31) - 0.01);
    let mut harness = small(&[("box-hysteresis", &held)]);
    for number in 0..4 {
        let result = push_and_pull(&mut harness, number);
        assert_eq!(roi(&result).bounding_box, free[0]);
        assert_eq!(mask(&result).bounding_box, Some(free[0]));
    }
}

#[test]
fn an_object_keeps_its_number_until_the_stream_begins_anew() {
    let mut harness = small(&[("tracking", "true")]);
    let id = |buffer: &gst::Buffer| params(buffer).get::<u64>("track-id");
    let first = still(&mut harness, 0);
    assert_eq!((id(&first), mask(&first).track_id), (Ok(1), Some(1)));
    assert_eq!(id(&still(&mut harness, 1)), Ok(1));
    harness.push_event(gst::event::FlushStart::new());
    harness.push_event(gst::event::FlushStop::new(true));
    let segment = gst::FormattedSegment::<gst::ClockTime>::new();
    harness.push_event(gst::event::Segment::new(&segment));
    assert_eq!(id(&still(&mut harness, 2)), Ok(2));
    // Without the property there is no number.
    let mut plain = small(&[]);
    let result = still(&mut plain, 0);
    assert!(id(&result).is_err() && mask(&result).track_id.is_none());
}

/// By hand: s of the first mask and 1 - s of the second, as long as the two do not differ by more than 0.3.
#[test]
fn masks_are_averaged_from_inference_to_inference() {
    let single = |number: u64| mask(&push_and_pull(&mut small(&[]), number)).values;
    let (first, second) = (single(0), single(1));
    let mut harness = small(&[("mask-smoothing", "0.75")]);
    assert!(mask(&push_and_pull(&mut harness, 0)).values == first);
    let smoothed = mask(&push_and_pull(&mut harness, 1)).values;
    let expected = first.iter().zip(&second).map(|(a, b)| 0.75 * a + 0.25 * b);
    let off = smoothed
        .iter()
        .zip(expected)
        .map(|(a, b)| (a - b).abs())
        .fold(0.0, f32::max);
    assert!(first != second && off < 1e-5, "{off}");
}

#[test]
fn several_objects_come_the_largest_first_and_the_first_is_the_single_one() {
    let one = rois(&push_and_pull(&mut small(&[]), 3));
    // A high threshold breaks the mask into parts.
    let many = [("max-objects", "8"), ("threshold", "1.4")];
    let found = rois(&push_and_pull(&mut small(&many), 3));
    let alone = rois(&push_and_pull(&mut small(&many[1..]), 3));
    assert_eq!((one.len(), alone.len()), (1, 1));
    assert!(!found.is_empty() && found.len() <= 8);
    assert_eq!(found[0].bounding_box, alone[0].bounding_box);
}

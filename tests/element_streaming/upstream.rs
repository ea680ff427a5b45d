//! `roi-mode=upstream` from frame to frame and from element to element: types and numbers, frames without a region, boxes
//! that another `casmesaliency` refined.

use casm_tests::gst::{count, mask, rois};
use gst_check::Harness;

use crate::regions::{detect, frame, refining, seen, truth};

/// Where the ball is.
const PLACE: (u32, u32) = (240, 180);

/// Frame number `number`, with the ball as a region of this type unless there is none.
fn detected(number: u64, kind: Option<&str>) -> gst::Buffer {
    let mut input = frame(&[PLACE], number);
    if let Some(kind) = kind {
        detect(&mut input, kind, truth(PLACE.0, PLACE.1), 9);
    }
    input
}

fn counts<const N: usize>(harness: &Harness, fields: [&str; N]) -> [u64; N] {
    let element = harness.element().expect("it has one");
    fields.map(|field| count(&element, field))
}

#[test]
fn a_number_stays_with_the_type_of_its_region() {
    let mut harness = refining(&[("tracking", "true"), ("box-hysteresis", "0.5")]);
    let mut track = |number, kind| {
        let result = harness
            .push_and_pull(detected(number, Some(kind)))
            .expect("a frame");
        let found = mask(&result);
        let [object] = &found.objects[..] else {
            panic!("one region, one object: {:?}", found.objects)
        };
        assert_eq!(object.region_type.as_deref(), Some(kind));
        object.track_id
    };
    // All at one place: only what they are said to be tells them apart.
    let kinds = ["cat", "dog", "dog", "cat"];
    let tracks = [0, 1, 2, 3].map(|number| track(number as u64, kinds[number]));
    assert_eq!(tracks, [1, 2, 2, 1].map(Some));
}

#[test]
fn a_frame_without_a_region_is_no_inference_and_carries_no_box() {
    let mut harness = refining(&[("inference-interval", "3")]);
    // By hand: the result of frame 2 is carried by frame 3 alone, that of frame 0 by none.
    let with_region = [true, false, true, true, false];
    let ages = [0, 0, 0, 1, 0];
    for (number, (with, age)) in with_region.into_iter().zip(ages).enumerate() {
        let input = detected(number as u64, with.then_some("ball"));
        let result = harness.push_and_pull(input).expect("a frame");
        let found = mask(&result);
        assert_eq!(
            (found.bounding_box.is_some(), found.age),
            (with, age),
            "frame {number}"
        );
        assert_eq!(seen(&result).iter().any(|region| region.ours), with);
        assert!(with || found.values.iter().all(|value| *value == 0.0));
    }
    let counts = counts(
        &harness,
        ["frames", "inferred", "reused", "without-region", "regions"],
    );
    assert_eq!(counts, [5, 2, 1, 2, 2]);
}

/// The clock is ten seconds on when frames 1 and 2 come, 40 ms after the first by their own time.
#[test]
fn a_frame_without_a_region_is_never_late() {
    for policy in ["skip-inference", "drop-frame"] {
        let mut harness = refining(&[("late-policy", policy)]);
        harness.use_testclock();
        harness
            .push_and_pull(detected(0, Some("ball")))
            .expect("a frame");
        harness
            .set_time(gst::ClockTime::from_seconds(10))
            .expect("a clock of the test's");
        let result = harness.push_and_pull(detected(1, None)).expect("a frame");
        let found = mask(&result);
        assert_eq!((found.bounding_box, found.age), (None, 0), "{policy}");
        assert!(rois(&result).is_empty());
        let judged = ["inferred", "without-region", "skipped", "dropped"];
        assert_eq!(counts(&harness, judged), [1, 1, 0, 0], "{policy}");
        // One with a region is, and what it carries is the last frame's, not a box of the one before.
        harness
            .push(detected(2, Some("ball")))
            .expect("it is taken");
        let result = harness.try_pull();
        let carried = result.map(|result| (mask(&result).bounding_box, mask(&result).age));
        let (expected, late) = match policy {
            "drop-frame" => (None, [1, 1, 0, 1]),
            _ => (Some((None, 1)), [1, 1, 1, 0]),
        };
        assert_eq!(carried, expected, "{policy}");
        assert_eq!(counts(&harness, judged), late, "{policy}");
    }
}

/// One element after the other, as in a pipeline.
fn chain(input: gst::Buffer) -> (gst::Buffer, Harness) {
    let mut first = refining(&[("max-objects", "8")]);
    let mut second = refining(&[("max-objects", "8")]);
    let refined = first.push_and_pull(input).expect("a frame");
    let result = second.push_and_pull(refined).expect("a frame");
    (result, second)
}

#[test]
fn what_another_element_refined_is_not_refined_again() {
    let (result, second) = chain(detected(0, Some("ball")));
    assert_eq!(counts(&second, ["inferred", "regions"]), [1, 1]);
    let (ours, given): (Vec<_>, Vec<_>) = seen(&result).into_iter().partition(|region| region.ours);
    assert_eq!(
        (ours.len(), given.len()),
        (1, 1),
        "that of the first is replaced"
    );
    assert_eq!((ours[0].kind.as_str(), ours[0].parent), ("ball", 9));
    assert_eq!(given[0].bounding_box, truth(PLACE.0, PLACE.1));
}

/// Detectors of GStreamer 1.24 and later, which attach no regions of interest.
#[cfg(feature = "v1_24")]
mod detections {
    use gst_analytics::prelude::*;
    use gst_analytics::{AnalyticsODMtd, AnalyticsRelationMeta, RelTypes};

    use super::*;

    /// A frame with the ball as a detection alone.
    fn input() -> gst::Buffer {
        let mut input = detected(0, None);
        let found = truth(PLACE.0, PLACE.1);
        let [x, y, width, height] =
            [found.x, found.y, found.width, found.height].map(|side| side as i32);
        let mut meta = AnalyticsRelationMeta::add(input.make_mut());
        let kind = gst::glib::Quark::from_str("ball");
        meta.add_od_mtd(kind, x, y, width, height, 0.9)
            .expect("there is room");
        input
    }

    /// Type of each detection on a buffer, and whether it is part of the first.
    fn related(buffer: &gst::BufferRef) -> Vec<(String, bool)> {
        let meta = buffer.meta::<AnalyticsRelationMeta>().expect("detections");
        let first = meta
            .iter::<AnalyticsODMtd>()
            .next()
            .expect("the given one")
            .id();
        let all = meta.iter::<AnalyticsODMtd>().map(|detection| {
            let kind = detection.obj_type().expect("a type");
            let relation = meta.relation(detection.id(), first);
            (kind.as_str().to_string(), relation == RelTypes::IS_PART_OF)
        });
        all.collect()
    }

    #[test]
    fn a_detection_has_no_number_but_a_relation() {
        let result = refining(&[]).push_and_pull(input()).expect("a frame");
        let seen = seen(&result);
        let [refined] = &seen[..] else {
            panic!("no region but ours: {seen:?}")
        };
        assert!(refined.ours);
        assert_eq!((refined.kind.as_str(), refined.parent), ("ball", 0));
        let found = mask(&result);
        assert_eq!(found.objects[0].region_type.as_deref(), Some("ball"));
        assert_eq!(found.objects[0].parent_id, None);
        let ball = "ball".to_owned();
        assert_eq!(related(&result), [(ball.clone(), false), (ball, true)]);
    }

    #[test]
    fn refined_detections_are_not_refined_again() {
        let (result, second) = chain(input());
        assert_eq!(counts(&second, ["inferred", "regions"]), [1, 1]);
        assert_eq!(seen(&result).len(), 1, "that of the first is replaced");
        // The detections of both are there, since nothing can be taken out; both are of the detector's.
        let parts: Vec<bool> = related(&result).into_iter().map(|(_, part)| part).collect();
        assert_eq!(parts, [false, true, true]);
    }
}

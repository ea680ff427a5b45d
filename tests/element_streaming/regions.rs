//! `roi-mode=upstream`: boxes of detectors upstream, refined. The detector is the test, which knows where the balls are.

use std::time::Duration;

use casm::PixelFormat;
use casm_tests::gst::{ball, buffer, bytes, caps, converted, count, harness, info, mask, rois};
use gst_check::Harness;
use gst_video::VideoRegionOfInterestMeta;
use gstcasm::{BoundingBox, PARAMS_NAME};

const SIZE: (u32, u32) = (480, 360);
/// Of a ball: a fifth of the shorter side.
const RADIUS: u32 = 72;

/// The tightest box of a ball with its centre here.
pub fn truth(x: u32, y: u32) -> BoundingBox {
    BoundingBox {
        x: x - RADIUS,
        y: y - RADIUS,
        width: 2 * RADIUS,
        height: 2 * RADIUS,
    }
}

/// What a poor detector says of it: a box of `scale` times its size, whose centre is `shift` of half its size away.
fn given(found: BoundingBox, scale: f64, shift: f64) -> BoundingBox {
    let (side, truth) = (f64::from(found.width) * scale, f64::from(found.width));
    let start =
        |first: u32, by: f64| (f64::from(first) + truth / 2.0 * (1.0 + by) - side / 2.0) as u32;
    BoundingBox {
        x: start(found.x, shift),
        y: start(found.y, -shift),
        width: side as u32,
        height: side as u32,
    }
}

/// RGB pixels with balls at these places.
fn balls(places: &[(u32, u32)]) -> Vec<u8> {
    let share = |(x, y): (u32, u32)| {
        (
            f64::from(x) / f64::from(SIZE.0),
            f64::from(y) / f64::from(SIZE.1),
        )
    };
    let mut pixels = ball(SIZE.0, SIZE.1, share(places[0]));
    for &place in &places[1..] {
        let found = truth(place.0, place.1);
        let other = ball(SIZE.0, SIZE.1, share(place));
        for y in found.y..found.bottom() {
            let row =
                ((y * SIZE.0 + found.x) * 3) as usize..((y * SIZE.0 + found.right()) * 3) as usize;
            pixels[row.clone()].copy_from_slice(&other[row]);
        }
    }
    pixels
}

/// Frame number `number` in RGB.
pub fn frame(places: &[(u32, u32)], number: u64) -> gst::Buffer {
    buffer(&balls(places), SIZE.0, SIZE.1, number)
}

/// Attaches a region of interest as a detector does.
pub fn detect(buffer: &mut gst::Buffer, kind: &str, found: BoundingBox, id: i32) {
    let rectangle = (found.x, found.y, found.width, found.height);
    let mut region = VideoRegionOfInterestMeta::add(buffer.make_mut(), kind, rectangle);
    region.set_id(id);
}

/// A region of interest on a buffer: type, number, number of its parent, box, and whether it is the element's.
#[derive(Debug, Clone, PartialEq)]
pub struct Seen {
    pub kind: String,
    pub id: i32,
    pub parent: i32,
    pub bounding_box: BoundingBox,
    pub ours: bool,
}

pub fn seen(buffer: &gst::BufferRef) -> Vec<Seen> {
    let regions = buffer.iter_meta::<VideoRegionOfInterestMeta>();
    let seen = regions.map(|region| {
        let (x, y, width, height) = region.rect();
        Seen {
            kind: region.roi_type().to_owned(),
            id: region.id(),
            parent: region.parent_id(),
            bounding_box: BoundingBox {
                x,
                y,
                width,
                height,
            },
            ours: region.param(PARAMS_NAME).is_some(),
        }
    });
    seen.collect()
}

pub fn refining(properties: &[(&str, &str)]) -> Harness {
    let mut all = vec![("roi-mode", "upstream")];
    all.extend_from_slice(properties);
    harness(&all, &info(PixelFormat::Rgb, SIZE.0, SIZE.1))
}

#[test]
fn a_refined_box_is_nearer_to_the_truth_than_the_given_one() {
    let places = [(130, 140), (240, 180), (300, 220), (350, 150), (150, 240)];
    // Detectors that cut the object off, miss its place, and take in what is around it.
    let detectors = [(0.75, 0.2), (0.9, 0.1), (1.0, 0.2), (1.2, 0.15), (1.5, 0.2)];
    let runs = [PixelFormat::Rgb, PixelFormat::Nv12, PixelFormat::Yuy2]
        .into_iter()
        .flat_map(|format| detectors.map(|detector| (format, detector)));
    for (format, (scale, shift)) in runs {
        let mut harness = refining(&[]);
        harness.set_src_caps(caps(&info(format, SIZE.0, SIZE.1)));
        let (mut before, mut after) = (0.0, 0.0);
        for (number, &(x, y)) in places.iter().enumerate() {
            let rgb = frame(&[(x, y)], number as u64);
            let mut input = converted(&rgb, format, SIZE.0, SIZE.1);
            let truth = truth(x, y);
            let given = given(truth, scale, shift);
            detect(&mut input, "ball", given, 7);
            let result = harness.push_and_pull(input).expect("a frame");
            let seen = seen(&result);
            let [parent, refined] = &seen[..] else {
                panic!("{format}: the given region and ours: {seen:?}")
            };
            assert_eq!(
                (parent.bounding_box, parent.ours, parent.id),
                (given, false, 7)
            );
            assert_eq!((refined.kind.as_str(), refined.parent), ("ball", 7));
            assert!(refined.ours);
            let [was, is] = [given, refined.bounding_box].map(|found| found.iou(&truth));
            assert!(is > was, "{format} {x},{y}: {was} {is} {refined:?}");
            before += was / places.len() as f64;
            after += is / places.len() as f64;
            let mask = mask(&result);
            assert_eq!(mask.bounding_box, Some(refined.bounding_box));
            let object = &mask.objects[0];
            assert_eq!(
                (object.region_type.as_deref(), object.parent_id),
                (Some("ball"), Some(7))
            );
        }
        println!(
            "{format}, a box of {scale} times the size: mean IoU with the truth {before:.3} as given, {after:.3} refined"
        );
        assert!(after > before + 0.05, "{before} {after}");
    }
}

#[test]
fn the_largest_regions_are_refined_and_each_object_names_its_own() {
    let places = [(110, 120), (340, 230)];
    let input = |number| {
        let mut input = frame(&places, number);
        let [first, second] = places.map(|(x, y)| truth(x, y));
        let larger = BoundingBox {
            width: second.width + 20,
            ..second
        };
        detect(&mut input, "left", first, 0);
        detect(&mut input, "right", larger, 0);
        // Outside of the frame.
        detect(&mut input, "nowhere", BoundingBox { x: 5000, ..first }, 3);
        input
    };
    let mut harness = refining(&[("max-objects", "8"), ("overlay", "contour")]);
    let result = harness.push_and_pull(input(0)).expect("a frame");
    let seen = seen(&result);
    let (ours, given): (Vec<_>, Vec<_>) = seen.into_iter().partition(|region| region.ours);
    assert_eq!((ours.len(), given.len()), (2, 3));
    for object in &ours {
        let parent = given.iter().find(|region| region.id == object.parent);
        let parent = parent.expect("a number that was none is given");
        assert!(parent.id != 0 && parent.kind == object.kind, "{parent:?}");
        assert!(
            object.bounding_box.iou(&parent.bounding_box) > 0.5,
            "{object:?}"
        );
    }
    // Nothing is marked far from both.
    let mask = mask(&result);
    let at = |x: u32, y: u32| {
        let column = x as usize * mask.width / SIZE.0 as usize;
        mask.values[y as usize * mask.height / SIZE.1 as usize * mask.width + column]
    };
    assert_eq!((at(470, 10), at(10, 350)), (0.0, 0.0));
    assert!(at(110, 120) > 0.3 && at(340, 230) > 0.3);
    assert_ne!(bytes(&result), bytes(&input(0)), "both are outlined");
    let element = harness.element().expect("it has one");
    assert_eq!(count(&element, "regions"), 2);

    let mut one = refining(&[]);
    let result = one.push_and_pull(input(0)).expect("a frame");
    let mask = casm_tests::gst::mask(&result);
    let types: Vec<_> = mask
        .objects
        .iter()
        .map(|object| object.region_type.as_deref())
        .collect();
    assert_eq!(types, [Some("right")], "max-objects=1: the largest region");
}

#[test]
fn a_frame_without_a_region_has_nothing_marked_and_costs_no_inference() {
    let (_shared, behaviour) = casm_tests::engine::register("no region", 0, 1, Duration::ZERO);
    let mut harness = refining(&[("model-instance-id", "no region")]);
    let result = harness
        .push_and_pull(frame(&[(240, 180)], 0))
        .expect("a frame");
    let mask = mask(&result);
    assert_eq!(
        (mask.bounding_box, mask.mask_mean, mask.age),
        (None, 0.0, 0)
    );
    assert!(mask.values.iter().all(|value| *value == 0.0));
    assert!(seen(&result).is_empty());
    assert_eq!(behaviour.batches().len(), 0);
    // Our own of another element is no detector's: it is replaced by nothing.
    let mut input = frame(&[(240, 180)], 1);
    detect(&mut input, gstcasm::ROI_TYPE, truth(240, 180), 1);
    let result = harness.push_and_pull(input).expect("a frame");
    assert!(rois(&result).is_empty() && behaviour.batches().is_empty());
    let element = harness.element().expect("it has one");
    assert_eq!(
        (count(&element, "frames"), count(&element, "inferred")),
        (2, 0)
    );
}

#[test]
fn regions_of_a_frame_are_one_batch() {
    let (_shared, behaviour) = casm_tests::engine::register("batch", 0, 4, Duration::ZERO);
    let mut harness = refining(&[("model-instance-id", "batch"), ("max-objects", "6")]);
    let mut input = frame(&[(240, 180)], 0);
    for column in 0..6 {
        let found = BoundingBox {
            x: 70 * column,
            y: 100,
            width: 60,
            height: 60 + column,
        };
        detect(&mut input, "tile", found, 1 + column as i32);
    }
    harness.push_and_pull(input).expect("a frame");
    assert_eq!(behaviour.batches(), [4, 2]);
    let element = harness.element().expect("it has one");
    assert_eq!(count(&element, "regions"), 6);
}

#[test]
fn a_carried_result_keeps_type_and_box_but_no_parent() {
    let mut harness = refining(&[("inference-interval", "2")]);
    let place = (240, 180);
    let mut results = (0..2).map(|number| {
        let mut input = frame(&[place], number);
        detect(
            &mut input,
            "ball",
            truth(place.0, place.1),
            40 + number as i32,
        );
        let result = harness.push_and_pull(input).expect("a frame");
        let ours = seen(&result).into_iter().find(|region| region.ours);
        (
            ours.expect("one of ours"),
            mask(&result).objects[0].parent_id,
        )
    });
    let (first, parent) = results.next().expect("two frames");
    assert_eq!((first.parent, parent), (40, Some(40)));
    let (second, parent) = results.next().expect("two frames");
    assert_eq!((second.parent, parent), (0, None));
    assert_eq!(
        (second.kind, second.bounding_box),
        (first.kind, first.bounding_box)
    );
}

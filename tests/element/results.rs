//! What is found, and how properties change it.

use casm::PixelFormat;
use casm_tests::gst::{
    ball, buffer, caps, centred_ball, harness, info, localize, mask, params, roi, rois,
};
use gst::prelude::*;
use gstcasm::BoundingBox;

use crate::process;

#[test]
fn the_object_is_where_it_was_put() {
    for at in [(0.3, 0.4), (0.7, 0.6)] {
        let (width, height) = (640, 360);
        let found = roi(&process(
            &[],
            PixelFormat::Rgb,
            (width, height),
            buffer(&ball(width, height, at), width, height, 0),
        ));
        // Radius 72 pixels.
        let truth = BoundingBox {
            x: (at.0 * 640.0) as u32 - 72,
            y: (at.1 * 360.0) as u32 - 72,
            width: 144,
            height: 144,
        };
        // A white disc is no class of ImageNet, and the mask reaches around it (0.499 and more). The whole frame
        // has an IoU of 0.09 with it, the box of the other place 0.05 at most.
        assert!(
            found.bounding_box.iou(&truth) > 0.45,
            "{:?}, {truth:?}",
            found.bounding_box
        );
    }
}

#[test]
fn metadata_has_all_fields_with_their_types() {
    let (width, height) = (640, 360);
    let pixels = centred_ball(width, height);
    let expected = localize(&pixels, width, height);
    let result = process(
        &[],
        PixelFormat::Rgb,
        (width, height),
        buffer(&pixels, width, height, 3),
    );
    let (found, params) = (roi(&result).bounding_box, params(&result));
    let mask = mask(&result);
    let object = expected.largest().expect("there is a ball");
    let area = object.component.area as f64 / (224.0 * 224.0);
    let pts = gst::ClockTime::from_mseconds(120);

    assert_eq!(Some(found), expected.bounding_box());
    assert_eq!(params.get::<f64>("confidence"), Ok(object.confidence));
    assert_eq!(params.get::<f64>("mask-mean"), Ok(expected.mask_mean));
    assert_eq!(params.get::<f64>("component-area"), Ok(area));
    assert_eq!(params.get::<u64>("inference-pts"), Ok(pts.nseconds()));
    assert_eq!(params.get::<u32>("age"), Ok(0));
    assert_eq!(params.get::<u32>("reference-width"), Ok(width));
    assert_eq!(params.get::<u32>("reference-height"), Ok(height));
    let (class, probability) = expected.top_class.expect("the model has classes");
    assert_eq!(mask.top_class, Some((class as u32, f64::from(probability))));
    assert_eq!(params.get::<i32>("top-class"), Ok(class as i32));
    assert_eq!(
        params.get::<f64>("top-class-probability"),
        Ok(f64::from(probability))
    );

    assert_eq!((mask.width, mask.height), (224, 224));
    assert!(mask.values == expected.mask.values);
    assert_eq!(
        (mask.reference_width, mask.reference_height),
        (width, height)
    );
    assert_eq!(mask.bounding_box, expected.bounding_box());
    assert_eq!(
        (mask.confidence, mask.mask_mean),
        (object.confidence, expected.mask_mean)
    );
    assert_eq!(
        (mask.component_area, mask.inference_pts, mask.age),
        (area, Some(pts), 0)
    );
}

#[test]
fn an_object_below_min_area_has_a_mask_but_no_region() {
    let (width, height) = (320, 240);
    let frame = buffer(&centred_ball(width, height), width, height, 0);
    let found = mask(&process(
        &[],
        PixelFormat::Rgb,
        (width, height),
        frame.clone(),
    ));
    assert!(
        found.component_area > 0.0 && found.component_area < 0.9,
        "{}",
        found.component_area
    );

    let limited = |share: f64| {
        process(
            &[("min-area", &share.to_string())],
            PixelFormat::Rgb,
            (width, height),
            frame.clone(),
        )
    };
    assert_eq!(rois(&limited(found.component_area - 0.001)).len(), 1);
    let nothing = limited(found.component_area + 0.001);
    assert!(rois(&nothing).is_empty());
    let mask = mask(&nothing);
    assert!(mask.values == found.values);
    assert_eq!(
        (mask.bounding_box, mask.confidence, mask.component_area),
        (None, 0.0, 0.0)
    );
    assert_eq!(mask.box_in(100, 100), None);
}

/// By hand: a frame of half the width and three quarters of the height has boxes likewise.
#[test]
fn an_application_asks_for_boxes_in_pixels_of_a_scaled_frame() {
    let (width, height) = (640, 360);
    let frame = buffer(&centred_ball(width, height), width, height, 0);
    let element = casm_tests::gst::element(&[]);
    let boxes = |frame: &gst::Buffer, width: u32, height: u32| {
        element.emit_by_name::<Option<gst::Structure>>("casm-boxes", &[frame, &width, &height])
    };
    assert_eq!(boxes(&frame, width, height), None);

    let result = process(&[], PixelFormat::Rgb, (width, height), frame);
    let found = boxes(&result, 320, 270).expect("it carries boxes");
    assert_eq!(
        (found.name().as_str(), found.get("age")),
        ("casm-boxes", Ok(0u32))
    );
    let objects = found.get::<gst::Array>("objects").expect("a list");
    let [object] = &objects[..] else {
        panic!("one ball: {found}");
    };
    let object = object.get::<gst::Structure>().expect("a structure");
    let truth = roi(&result).bounding_box;
    let side = |name: &str| f64::from(object.get::<i32>(name).expect("a number"));
    for (name, expected) in [
        ("x", f64::from(truth.x) / 2.0),
        ("y", f64::from(truth.y) * 0.75),
        ("width", f64::from(truth.width) / 2.0),
        ("height", f64::from(truth.height) * 0.75),
    ] {
        assert!(
            (side(name) - expected).abs() <= 1.0,
            "{name}: {found}, {truth:?}"
        );
    }
    assert_eq!(
        object.get::<f64>("confidence"),
        params(&result).get::<f64>("confidence")
    );
    // No size is none: sides of 0 are taken as 1.
    assert!(boxes(&result, 0, 0).is_some());
}

#[test]
fn threshold_and_binarization_change_how_much_is_marked() {
    let (width, height) = (320, 240);
    let frame = buffer(&centred_ball(width, height), width, height, 0);
    let area = |properties: &[(&str, &str)]| {
        mask(&process(
            properties,
            PixelFormat::Rgb,
            (width, height),
            frame.clone(),
        ))
        .component_area
    };
    let of_model = area(&[]);
    // The built-in model uses the paper's rule and factor.
    assert_eq!(
        area(&[("binarization", "quantile"), ("threshold", "1")]),
        of_model
    );
    assert!(area(&[("threshold", "0.5")]) < of_model);
    assert!(area(&[("binarization", "mean")]) > of_model);
    assert!(
        area(&[("binarization", "mean"), ("threshold", "3")]) < area(&[("binarization", "mean")])
    );
}

#[test]
fn a_second_element_replaces_the_mask() {
    let (width, height) = (320, 240);
    let info = info(PixelFormat::Rgb, width, height);
    let first = process(
        &[],
        PixelFormat::Rgb,
        (width, height),
        buffer(&centred_ball(width, height), width, height, 0),
    );
    let mut second = harness(&[("min-area", "1")], &info);
    let result = second
        .push_and_pull(first)
        .expect("a frame in, a frame out");
    assert_eq!(mask(&result).bounding_box, None);
    assert_eq!(
        caps(&info),
        second
            .sinkpad()
            .and_then(|pad| pad.current_caps())
            .expect("negotiated")
    );
}

//! The element on single frames: formats, sizes, memory layouts, results, metadata, overlays.

use casm::PixelFormat;
use casm_tests::gst::{
    ball, buffer, bytes, caps, centred_ball, converted, element, harness, info, localize, mask,
    roi, rois,
};
use gst::prelude::*;
use gst_video::{VideoFrameFlags, VideoMeta};
use gstcasm::BoundingBox;

/// Neither side is even, a multiple of 4, or the other.
const ODD: (u32, u32) = (323, 241);

/// One frame through the element.
fn process(
    properties: &[(&str, &str)],
    format: PixelFormat,
    size: (u32, u32),
    frame: gst::Buffer,
) -> gst::Buffer {
    harness(properties, &info(format, size.0, size.1))
        .push_and_pull(frame)
        .expect("a frame in, a frame out")
}

#[test]
fn the_properties_have_ranges_blurbs_and_the_right_mutability() {
    let ready = ["model", "device", "threads", "precision"];
    let playing = [
        "overlay",
        "overlay-opacity",
        "overlay-color",
        "binarization",
        "threshold",
        "min-area",
        "inference-interval",
        "post-messages",
    ];
    let element = element(&[]);
    let mut names = Vec::new();
    for pspec in element
        .list_properties()
        .iter()
        .filter(|pspec| pspec.owner_type() == element.type_())
    {
        let name = pspec.name();
        names.push(name);
        assert!(
            !pspec.nick().is_empty() && pspec.nick() != name,
            "{name} has no nick"
        );
        assert!(
            pspec.blurb().is_some_and(|blurb| blurb.len() > 20),
            "{name} has no blurb"
        );
        let has = |flag: gst::glib::ParamFlags| pspec.flags().contains(flag);
        assert_eq!(
            has(gst::PARAM_FLAG_MUTABLE_READY),
            ready.contains(&name),
            "{name}"
        );
        assert_eq!(
            has(gst::PARAM_FLAG_MUTABLE_PLAYING),
            playing.contains(&name),
            "{name}"
        );
        assert_eq!(
            has(gst::PARAM_FLAG_CONTROLLABLE),
            ["overlay-opacity", "threshold"].contains(&name),
            "{name}"
        );
        assert_eq!(
            has(gst::glib::ParamFlags::WRITABLE),
            name != "stats",
            "{name}"
        );
        if name != "stats" {
            let value = element.property_value(name);
            let default = pspec.default_value();
            assert_eq!(
                value.compare(default),
                Some(std::cmp::Ordering::Equal),
                "{name}: {value:?}, {default:?}"
            );
        }
    }
    names.sort_unstable();
    let mut expected = [ready.as_slice(), playing.as_slice(), &["stats"]].concat();
    expected.sort_unstable();
    assert_eq!(names, expected);
}

#[test]
fn the_factory_says_what_the_element_is() {
    let factory = element(&[]).factory().expect("made by a factory");
    assert_eq!(factory.metadata("klass"), Some("Filter/Analyzer/Video"));
    assert_eq!(element(&[]).type_().name(), "GstCasmeSaliency");
    assert_eq!(
        factory.plugin().expect("part of a plugin").plugin_name(),
        "casm"
    );
}

#[test]
fn every_format_finds_the_same_box_as_the_library() {
    let (width, height) = ODD;
    let pixels = ball(width, height, (0.4, 0.55));
    let expected = localize(&pixels, width, height);
    let expected_box = expected.bounding_box.expect("there is a ball");
    let rgb = buffer(&pixels, width, height, 7);
    for format in PixelFormat::ALL {
        let frame = if format == PixelFormat::Rgb {
            rgb.clone()
        } else {
            converted(&rgb, format, width, height)
        };
        let result = process(&[], format, ODD, frame);
        let found = roi(&result).bounding_box;
        let mask = mask(&result);
        match format {
            // The same pixels: the same numbers, to the last bit.
            _ if format.packed_rgb().is_some() => {
                assert_eq!(found, expected_box, "{format}");
                assert!(mask.values == expected.mask.values, "{format}");
            }
            // Colours are gone, so the network sees another picture of the same object.
            PixelFormat::Gray8 => assert!(
                found.iou(&expected_box) > 0.7,
                "{format}: {found:?}, {expected_box:?}"
            ),
            // Limited range and shared chroma cost a little.
            _ => assert!(
                found.iou(&expected_box) > 0.9,
                "{format}: {found:?}, {expected_box:?}"
            ),
        }
    }
}

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
        assert!(
            found.bounding_box.iou(&truth) > 0.5,
            "{:?}, {truth:?}",
            found.bounding_box
        );
    }
}

#[test]
fn odd_sizes_from_16_to_8192_are_accepted() {
    // Every format at its smallest and at odd sizes; large frames in the formats that keep this fast.
    let small = [(16, 16), (17, 33), (33, 17)];
    let large = [(8192, 16), (16, 8191), (4097, 2161)];
    for format in PixelFormat::ALL {
        let sizes = small.iter().chain(if format == PixelFormat::I420 {
            &large[..]
        } else {
            &[]
        });
        for &(width, height) in sizes {
            let info = info(format, width, height);
            let frame = gst::Buffer::from_mut_slice(vec![128; info.size()]);
            let result = harness(&[], &info)
                .push_and_pull(frame)
                .expect("the frame comes through");
            let mask = mask(&result);
            assert_eq!(
                (mask.reference_width, mask.reference_height),
                (width, height),
                "{format}"
            );
            for roi in rois(&result) {
                assert!(
                    roi.bounding_box.right() <= width && roi.bounding_box.bottom() <= height,
                    "{format}"
                );
            }
        }
    }
}

#[test]
fn sizes_beyond_and_foreign_formats_are_not_negotiated() {
    let sink = element(&[]).static_pad("sink").expect("it has a sink pad");
    let accepts = |caps: &str| sink.query_accept_caps(&caps.parse().expect("valid caps"));
    assert!(accepts(
        "video/x-raw,format=RGB,width=16,height=8192,framerate=0/1"
    ));
    assert!(accepts(
        "video/x-raw,format=NV12,width=1920,height=1080,framerate=30/1,interlace-mode=progressive"
    ));
    assert!(accepts(
        "video/x-raw,format=NV12,width=720,height=576,framerate=25/1,pixel-aspect-ratio=16/15"
    ));
    for refused in [
        "video/x-raw,format=RGB,width=15,height=16,framerate=25/1",
        "video/x-raw,format=RGB,width=16,height=8193,framerate=25/1",
        "video/x-raw,format=P010_10LE,width=64,height=64,framerate=25/1",
        "video/x-raw(memory:DMABuf),format=NV12,width=64,height=64,framerate=25/1",
        "image/jpeg,width=64,height=64",
    ] {
        assert!(!accepts(refused), "{refused}");
    }
}

#[test]
fn fields_in_one_picture_are_accepted_and_fields_apart_are_not() {
    let interlaced = |mode: &str| {
        let element = element(&[]);
        let bus = gst::Bus::new();
        element.set_bus(Some(&bus));
        let mut harness = gst_check::Harness::with_element(&element, Some("sink"), Some("src"));
        let size = info(PixelFormat::I420, 64, 64).size();
        harness.set_src_caps_str(&format!(
            "video/x-raw,format=I420,width=64,height=64,framerate=25/1,interlace-mode={mode}"
        ));
        (
            harness.push(gst::Buffer::from_mut_slice(vec![128; size])),
            bus,
        )
    };
    assert!(interlaced("interleaved").0.is_ok());
    assert!(interlaced("mixed").0.is_ok());
    let (pushed, bus) = interlaced("fields");
    assert_eq!(pushed, Err(gst::FlowError::NotNegotiated));
    let message = bus
        .pop_filtered(&[gst::MessageType::Error])
        .expect("an error on the bus");
    let gst::MessageView::Error(error) = message.view() else {
        unreachable!("filtered")
    };
    assert!(error.error().matches(gst::StreamError::Format));
    assert!(
        error.error().message().contains("deinterlace"),
        "{}",
        error.error()
    );
}

/// The buffer's frame in memory with padded rows, gaps between planes and junk in both.
fn padded(frame: &gst::Buffer, format: PixelFormat, size: (u32, u32), junk: u8) -> gst::Buffer {
    let tight = info(format, size.0, size.1);
    let from = bytes(frame);
    let mut to = vec![junk; 11];
    let (mut offsets, mut strides) = (Vec::new(), Vec::new());
    for plane in 0..format.plane_count() {
        let extent = format.plane_size(plane, size.0, size.1);
        let stride = extent.row_bytes() + 13 + plane;
        offsets.push(to.len());
        strides.push(stride as i32);
        for row in 0..extent.rows as usize {
            let start = tight.offset()[plane] + row * tight.stride()[plane] as usize;
            let end = to.len() + stride;
            to.extend(&from[start..start + extent.row_bytes()]);
            // The last row of the last plane ends with its last pixel.
            if plane + 1 < format.plane_count() || row + 1 < extent.rows as usize {
                to.resize(end, junk);
            }
        }
    }
    let mut buffer = gst::Buffer::from_mut_slice(to);
    buffer.make_mut().set_pts(frame.pts());
    VideoMeta::add_full(
        buffer.make_mut(),
        VideoFrameFlags::empty(),
        tight.format(),
        size.0,
        size.1,
        &offsets,
        &strides,
    )
    .expect("a valid layout");
    buffer
}

#[test]
fn padded_rows_and_offsets_of_a_video_meta_are_respected() {
    let (width, height) = ODD;
    let rgb = buffer(&centred_ball(width, height), width, height, 0);
    for format in PixelFormat::ALL {
        let tight = converted(&rgb, format, width, height);
        let expected = mask(&process(&[], format, ODD, tight.clone()));
        let padded = padded(&tight, format, ODD, 0xa5);
        assert_eq!(
            mask(&process(&[], format, ODD, padded)),
            expected,
            "{format}"
        );
    }
}

#[test]
fn without_overlay_the_memory_is_neither_copied_nor_written() {
    let (width, height) = ODD;
    let rgb = buffer(&centred_ball(width, height), width, height, 0);
    for format in PixelFormat::ALL {
        let frame = padded(&converted(&rgb, format, width, height), format, ODD, 0x5a);
        let before = bytes(&frame);
        let address = frame.map_readable().expect("system memory").as_ptr();
        // A second reference: the metadata goes onto a copy of the buffer, the memory stays one.
        let result = process(&[], format, ODD, frame.clone());
        assert_eq!(
            result.map_readable().expect("system memory").as_ptr(),
            address,
            "{format}"
        );
        assert!(bytes(&result) == before, "{format}");
        assert!(
            rois(&frame).is_empty(),
            "the other reference has no metadata"
        );
    }
}

#[test]
fn overlays_change_the_picture_and_nothing_around_it() {
    let (width, height) = ODD;
    let rgb = buffer(&centred_ball(width, height), width, height, 0);
    for format in PixelFormat::ALL {
        let frame = padded(&converted(&rgb, format, width, height), format, ODD, 0x5a);
        let before = bytes(&frame);
        let meta = frame.meta::<VideoMeta>().expect("just added");
        let picture: Vec<bool> = picture_bytes(format, meta.offset(), meta.stride(), before.len());
        for overlay in ["box", "mask", "heatmap", "contour"] {
            let result = process(&[("overlay", overlay)], format, ODD, frame.clone());
            let after = bytes(&result);
            let changed: Vec<usize> = (0..before.len())
                .filter(|&at| before[at] != after[at])
                .collect();
            assert!(
                changed.len() > 100,
                "{format}, {overlay}: {} bytes changed",
                changed.len()
            );
            assert!(
                changed.iter().all(|&at| picture[at]),
                "{format}, {overlay}: padding, x or alpha changed"
            );
            assert_eq!(
                bytes(&frame),
                before,
                "the memory of the other reference was written"
            );
            // The drawing does not change what was found.
            assert_eq!(
                mask(&result),
                mask(&process(&[], format, ODD, frame.clone())),
                "{format}, {overlay}"
            );
        }
        let invisible = process(
            &[("overlay", "mask"), ("overlay-opacity", "0")],
            format,
            ODD,
            frame.clone(),
        );
        assert_eq!(bytes(&invisible), before, "{format}: opacity 0 is visible");
    }
}

/// For every byte of a buffer, whether it holds colours of the picture.
fn picture_bytes(
    format: PixelFormat,
    offsets: &[usize],
    strides: &[i32],
    length: usize,
) -> Vec<bool> {
    let mut picture = vec![false; length];
    for plane in 0..format.plane_count() {
        let extent = format.plane_size(plane, ODD.0, ODD.1);
        for row in 0..extent.rows as usize {
            let start = offsets[plane] + row * strides[plane] as usize;
            picture[start..start + extent.row_bytes()].fill(true);
            if let Some(packed) = format.packed_rgb().filter(|packed| packed.bytes == 4) {
                let unused = (0..4)
                    .find(|byte| !packed.offsets.contains(byte))
                    .expect("one of four is no colour");
                (0..extent.columns as usize)
                    .for_each(|column| picture[start + column * 4 + unused] = false);
            }
        }
    }
    picture
}

#[test]
fn a_box_overlay_stays_at_the_rim_of_the_box() {
    let (width, height) = (640, 360);
    let frame = buffer(&centred_ball(width, height), width, height, 0);
    let before = bytes(&frame);
    let properties = [
        ("overlay", "box"),
        ("overlay-color", "0x00ff00"),
        ("overlay-opacity", "1"),
    ];
    let result = process(&properties, PixelFormat::Rgb, (width, height), frame);
    let (after, found) = (bytes(&result), roi(&result).bounding_box);
    // Thick enough to be seen, thin enough to be a line.
    let thickness = 12;
    let mut drawn = 0;
    for y in 0..height {
        for x in 0..width {
            let at = ((y * width + x) * 3) as usize;
            if before[at..at + 3] == after[at..at + 3] {
                continue;
            }
            drawn += 1;
            assert_eq!(after[at..at + 3], [0, 255, 0], "{x}, {y}");
            let near = |value: u32, edge: u32| value.abs_diff(edge) <= thickness;
            let beside = near(x, found.x) || near(x, found.right());
            let above = near(y, found.y) || near(y, found.bottom());
            let within = x + thickness >= found.x && x <= found.right() + thickness;
            let between = y + thickness >= found.y && y <= found.bottom() + thickness;
            assert!(
                beside && between || above && within,
                "{x}, {y} is not at the rim of {found:?}"
            );
        }
    }
    assert!(
        drawn >= 2 * (found.width + found.height) - 4,
        "{drawn} pixels do not go round {found:?}"
    );
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
    let roi = roi(&result);
    let mask = mask(&result);
    let component = expected.component.as_ref().expect("there is a ball");
    let area = component.area as f64 / (224.0 * 224.0);
    let pts = gst::ClockTime::from_mseconds(120);

    assert_eq!(Some(roi.bounding_box), expected.bounding_box);
    assert_eq!(roi.params.get::<f64>("confidence"), Ok(expected.confidence));
    assert_eq!(roi.params.get::<f64>("mask-mean"), Ok(expected.mask_mean));
    assert_eq!(roi.params.get::<f64>("component-area"), Ok(area));
    assert_eq!(roi.params.get::<u64>("inference-pts"), Ok(pts.nseconds()));
    assert_eq!(roi.params.get::<u32>("age"), Ok(0));
    assert_eq!(roi.params.get::<u32>("reference-width"), Ok(width));
    assert_eq!(roi.params.get::<u32>("reference-height"), Ok(height));
    let (class, probability) = expected.top_class.expect("the model has classes");
    assert_eq!(roi.params.get::<i32>("top-class"), Ok(class as i32));
    assert_eq!(
        roi.params.get::<f64>("top-class-probability"),
        Ok(f64::from(probability))
    );

    assert_eq!((mask.width, mask.height), (224, 224));
    assert!(mask.values == expected.mask.values);
    assert_eq!(
        (mask.reference_width, mask.reference_height),
        (width, height)
    );
    assert_eq!(mask.bounding_box, expected.bounding_box);
    assert_eq!(
        (mask.confidence, mask.mask_mean),
        (expected.confidence, expected.mask_mean)
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

#[test]
fn a_buffer_that_does_not_hold_its_frame_is_an_error_not_a_crash() {
    let info = info(PixelFormat::Nv12, 64, 64);
    let mut short = gst::Buffer::from_mut_slice(vec![0; info.size() - 1]);
    let mut lying = gst::Buffer::from_mut_slice(vec![0; info.size()]);
    VideoMeta::add_full(
        lying.make_mut(),
        VideoFrameFlags::empty(),
        info.format(),
        64,
        64,
        &[0, 64 * 64],
        // The chroma rows would end far behind the buffer.
        &[64, 6400],
    )
    .expect("GStreamer does not check this");
    short.make_mut().set_pts(gst::ClockTime::ZERO);
    for frame in [short, lying] {
        let element = element(&[]);
        let bus = gst::Bus::new();
        element.set_bus(Some(&bus));
        let mut harness = gst_check::Harness::with_element(&element, Some("sink"), Some("src"));
        harness.set_src_caps(caps(&info));
        assert_eq!(harness.push(frame), Err(gst::FlowError::Error));
        let message = bus
            .pop_filtered(&[gst::MessageType::Error])
            .expect("an error on the bus");
        let gst::MessageView::Error(error) = message.view() else {
            unreachable!("filtered")
        };
        assert!(error.error().matches(gst::StreamError::Format), "{error:?}");
        assert!(
            error.error().message().contains("64x64"),
            "{}",
            error.error()
        );
    }
}

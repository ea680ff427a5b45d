//! Formats, sizes, strides.

use casm::PixelFormat;
use casm_tests::gst::{
    ball, buffer, bytes, caps, centred_ball, converted, element, harness, info, localize, mask,
    roi, rois,
};
use gst::prelude::*;
use gst_video::{VideoFrameFlags, VideoMeta};

use crate::{ODD, padded, process};

#[test]
fn every_format_finds_the_same_box_as_the_library() {
    let (width, height) = ODD;
    let pixels = ball(width, height, (0.4, 0.55));
    let expected = localize(&pixels, width, height);
    let expected_box = expected.bounding_box().expect("there is a ball");
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

/// With more than one thread, the worker makes a part of the input of such a frame. Sums may then be in another order:
/// 1e-5, as for any number of threads (src/packed/tests.rs); a strip of eight rows at a wrong place makes more than 1e-2.
#[test]
fn large_frames_find_the_same_mask_as_the_library() {
    let (width, height) = (1283, 961);
    let pixels = ball(width, height, (0.4, 0.55));
    let expected = localize(&pixels, width, height);
    let info = info(PixelFormat::Rgb, width, height);
    let mut harness = harness(&[("threads", "2")], &info);
    for number in 0..4 {
        let frame = buffer(&pixels, width, height, number);
        let result = harness.push_and_pull(frame).expect("a frame out");
        let mask = mask(&result);
        let pairs = mask.values.iter().zip(&expected.mask.values);
        let difference = pairs.map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
        assert!(difference <= 1e-5, "frame {number}: {difference}");
    }
}

#[test]
fn odd_sizes_from_16_to_8192_are_accepted() {
    // Every format at its smallest, at odd sizes, and as wide as may be; large frames in the format that keeps this fast.
    let small = [(16, 16), (17, 33), (33, 17), (8192, 16)];
    let large = [(16, 8191), (4097, 2161)];
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

#[test]
fn planes_may_lie_in_memories_of_their_own() {
    let (width, height) = ODD;
    let rgb = buffer(&centred_ball(width, height), width, height, 0);
    for format in [PixelFormat::Nv12, PixelFormat::I420] {
        let whole = converted(&rgb, format, width, height);
        let info = info(format, width, height);
        let from = bytes(&whole);
        let mut apart = gst::Buffer::new();
        let starts = info.offset();
        let ends = starts[1..].iter().copied().chain([from.len()]);
        for (&start, end) in starts.iter().zip(ends) {
            let memory = gst::Memory::from_mut_slice(from[start..end].to_vec());
            apart.make_mut().append_memory(memory);
        }
        apart.make_mut().set_pts(whole.pts());
        VideoMeta::add_from_info(apart.make_mut(), VideoFrameFlags::empty(), &info)
            .expect("a layout");
        let expected = mask(&process(&[], format, ODD, whole.clone()));
        let result = process(&[("overlay", "heatmap")], format, ODD, apart);
        assert_eq!(mask(&result), expected, "{format}");
        assert_eq!(result.n_memory(), format.plane_count());
        let drawn = process(&[("overlay", "heatmap")], format, ODD, whole);
        assert!(bytes(&result) == bytes(&drawn), "{format}");
    }
}

//! Formats, sizes, layouts in memory and properties that change from frame to frame.

use casm::PixelFormat;
use casm_tests::gst::{bytes, caps, harness, info, mask, rois, stamp};
use casm_tests::machine::alone;
use casm_tests::soak::{count, report};
use gst::prelude::*;
use gst_video::{VideoFrameFlags, VideoInfo, VideoMeta};

use crate::Random;

const OVERLAYS: [&str; 6] = ["none", "box", "mask", "heatmap", "contour", "grey"];

/// A frame of noise, its rows and planes apart by chance.
fn frame(random: &mut Random, info: &VideoInfo, format: PixelFormat) -> gst::Buffer {
    let padded = random.below(2) == 1;
    let gap = |random: &mut Random| if padded { random.below(70) as usize } else { 0 };
    let (mut offsets, mut strides, mut end) = (Vec::new(), Vec::new(), 0);
    for plane in 0..format.plane_count() {
        let size = format.plane_size(plane, info.width(), info.height());
        let stride = if padded {
            size.row_bytes() + gap(random)
        } else {
            info.stride()[plane] as usize
        };
        offsets.push(if padded {
            end + gap(random)
        } else {
            info.offset()[plane]
        });
        strides.push(stride as i32);
        // The last row may end without its padding.
        end = offsets[plane] + stride * (size.rows as usize - 1) + size.row_bytes();
    }
    let length = if padded {
        end + gap(random)
    } else {
        info.size()
    };
    let mut state = random.below(u64::MAX) as u32 | 1;
    let noise = |_| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 24) as u8
    };
    let mut buffer = gst::Buffer::from_mut_slice((0..length).map(noise).collect::<Vec<u8>>());
    if padded {
        VideoMeta::add_full(
            buffer.make_mut(),
            VideoFrameFlags::empty(),
            info.format(),
            info.width(),
            info.height(),
            &offsets,
            &strides,
        )
        .expect("GStreamer does not check this");
    }
    buffer
}

#[test]
fn any_frame_may_be_unlike_the_last_one() {
    let _machine = alone();
    let times = count("CASM_SOAK_RENEGOTIATIONS", 40);
    let mut random = Random::new(1);
    let mut harness = harness(&[], &info(PixelFormat::Rgb, 64, 48));
    let element = harness.element().expect("it has one");
    let (mut drawn, mut largest) = (0, 0);
    for number in 0..times {
        let format = random.of(&PixelFormat::ALL);
        // Small ones mostly; now and then a long strip or a large frame.
        let limit = if random.below(20) == 0 { 2100 } else { 300 };
        let (width, height) = (
            16 + random.below(limit) as u32,
            16 + random.below(limit) as u32,
        );
        let description = format!("frame {number}, {format} {width}x{height}");
        let info = info(format, width, height);
        let overlay = random.of(&OVERLAYS);
        element.set_property_from_str("overlay", overlay);
        element.set_property_from_str("binarization", random.of(&["quantile", "mean"]));
        element.set_property_from_str("tracking", random.of(&["false", "true"]));
        element.set_property_from_str("max-objects", random.of(&["1", "4"]));
        element.set_property("inference-interval", 1 + random.below(3) as u32);
        harness.set_src_caps(caps(&info));
        for again in 0..2 {
            let mut buffer = frame(&mut random, &info, format);
            stamp(&mut buffer, 2 * number + again);
            let before = bytes(&buffer);
            let result = harness.push_and_pull(buffer).unwrap_or_else(|error| {
                panic!("{description}: {error}");
            });
            let mask = mask(&result);
            assert_eq!(
                (mask.reference_width, mask.reference_height),
                (width, height),
                "{description}"
            );
            for roi in rois(&result) {
                let found = roi.bounding_box;
                assert!(
                    found.right() <= width && found.bottom() <= height,
                    "{description}: {found:?}"
                );
            }
            let after = bytes(&result);
            assert_eq!(after.len(), before.len(), "{description}");
            if overlay == "none" {
                assert!(after == before, "{description}: nothing is drawn");
            }
            drawn += u64::from(after != before);
            largest = largest.max(width * height);
        }
    }
    assert!(drawn > 0);
    report(
        "renegotiations (format, size, strides, properties)",
        times,
        &format!(
            "{} frames, {drawn} drawn on, up to {largest} pixels; none lost or wrong",
            2 * times
        ),
    );
}

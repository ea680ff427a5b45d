//! What is drawn, and what is left alone.

use casm::PixelFormat;
use casm_tests::gst::{buffer, bytes, centred_ball, converted, mask, roi, rois};
use gst_video::VideoMeta;

use crate::{ODD, padded, process};

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
        let expected = mask(&process(&[], format, ODD, frame.clone()));
        for overlay in ["box", "mask", "heatmap", "contour", "grey"] {
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
            assert_eq!(mask(&result), expected, "{format}, {overlay}");
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
fn memory_that_may_not_be_written_is_copied() {
    let (width, height) = ODD;
    let writable = buffer(&centred_ball(width, height), width, height, 0);
    let mut constant = gst::Buffer::from_slice(bytes(&writable));
    constant.make_mut().set_pts(writable.pts());
    let before = bytes(&constant);
    let drawn = process(
        &[("overlay", "mask")],
        PixelFormat::Rgb,
        ODD,
        constant.clone(),
    );
    assert!(bytes(&constant) == before, "constant memory was written");
    assert!(
        bytes(&drawn)
            == bytes(&process(
                &[("overlay", "mask")],
                PixelFormat::Rgb,
                ODD,
                writable
            ))
    );
}

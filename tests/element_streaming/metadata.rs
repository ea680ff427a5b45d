//! What survives of the metadata downstream of the element.

use casm_tests::gst::{mask, pipeline, play_and_collect, roi, rois};
use gstcasm::MaskMeta;

/// Buffers of the element after it and `downstream`, with the size of their frames.
fn after(downstream: &str) -> Vec<gst::Buffer> {
    play_and_collect(&pipeline(&format!(
        "videotestsrc num-buffers=2 pattern=ball ! video/x-raw,format=I420,width=320,height=240,pixel-aspect-ratio=1/1 \
         ! casmesaliency ! {downstream} ! appsink name=sink"
    )))
}

#[test]
fn metadata_survives_what_copies_and_converts() {
    let found = |buffer: &gst::Buffer| (roi(buffer).bounding_box, mask(buffer));
    let expected: Vec<_> = after("identity").iter().map(found).collect();
    for copying in ["queue", "tee", "videorate", "videobalance hue=0.5"] {
        let buffers = after(copying);
        let mut expected = expected.clone();
        // videorate of 1.28 ends with the last frame once more, also without us before it.
        if copying == "videorate" && buffers.len() == expected.len() + 1 {
            expected.extend(expected.last().cloned());
        }
        assert!(buffers.iter().map(found).eq(expected), "after {copying}");
        assert!(
            buffers.iter().all(|buffer| roi(buffer).params.is_some()),
            "after {copying}"
        );
    }
    // Here GStreamer 1.22 drops the region's parameters; the mask has the same fields.
    for converting in [
        "videoconvert ! video/x-raw,format=RGB",
        "videoconvertscale ! video/x-raw,format=NV12",
    ] {
        assert!(
            after(converting).iter().map(found).eq(expected.clone()),
            "after {converting}"
        );
    }
    // A copy of pixels and all.
    let buffer = &after("identity")[0];
    assert_eq!(mask(&buffer.copy_deep().expect("memory")), expected[0].1);
    // Part of a frame is not a frame.
    let part = buffer
        .copy_region(gst::BufferCopyFlags::all(), 100..200)
        .expect("within the buffer");
    assert_eq!(MaskMeta::from_buffer(&part), None);
}

#[test]
fn metadata_is_scaled_with_the_frame() {
    let expected: Vec<_> = after("identity")
        .iter()
        .map(|buffer| mask(buffer))
        .collect();
    for (width, height, par) in [(160, 120, "1/1"), (641, 480, "640/641"), (300, 300, "4/3")] {
        let scaled = after(&format!(
            "videoscale ! video/x-raw,width={width},height={height},pixel-aspect-ratio={par}"
        ));
        for (buffer, expected) in scaled.iter().zip(&expected) {
            let (region, mask) = (roi(buffer).bounding_box, mask(buffer));
            assert_eq!(&mask, expected, "mask and reference do not change");
            // GStreamer rounds position and size down; the mask's box has its edges rounded.
            let nearest = mask.box_in(width, height).expect("there is a ball");
            for (theirs, ours) in [
                (region.x, nearest.x),
                (region.y, nearest.y),
                (region.right(), nearest.right()),
                (region.bottom(), nearest.bottom()),
            ] {
                assert!(
                    theirs.abs_diff(ours) <= 2,
                    "{width}x{height}: {region:?}, {nearest:?}"
                );
            }
        }
    }
}

#[test]
fn the_mask_is_dropped_where_it_would_be_wrong() {
    for downstream in [
        // The picture gets borders.
        "videoscale ! video/x-raw,width=300,height=300,pixel-aspect-ratio=1/1",
        // `method` has no effect in GStreamer 1.22.
        "videoflip video-direction=90r",
        "videoflip video-direction=horiz",
        "videocrop left=100",
        "videobox left=-20",
        "compositor",
    ] {
        for buffer in after(downstream) {
            assert_eq!(MaskMeta::from_buffer(&buffer), None, "after {downstream}");
        }
    }
}

#[test]
fn the_last_of_two_elements_in_a_row_is_what_a_frame_tells() {
    let same = |buffer: &gst::Buffer| (roi(buffer).bounding_box, mask(buffer));
    let expected: Vec<_> = after("identity").iter().map(same).collect();
    let twice = after("casmesaliency");
    assert!(twice.iter().map(same).eq(expected));
    // Without an object nothing is left of the first one's.
    for buffer in after("casmesaliency min-area=1") {
        assert!(rois(&buffer).is_empty());
        assert_eq!(mask(&buffer).bounding_box, None);
    }
}

//! The element on single frames.
//!
//! | module | what |
//! |---|---|
//! | [`description`] | properties, factory, caps |
//! | [`layouts`] | formats, sizes, strides |
//! | [`results`] | what is found, and how properties change it |
//! | [`overlays`] | what is drawn, and what is left alone |
//! | [`composition`] | overlays beside the pixels |

mod composition;
mod description;
mod layouts;
mod overlays;
mod results;

use casm::PixelFormat;
use casm_tests::gst::{bytes, harness, info};
use gst_video::{VideoFrameFlags, VideoMeta};

/// Neither side is even, a multiple of 4, or the other.
pub const ODD: (u32, u32) = (323, 241);

/// One frame through the element.
pub fn process(
    properties: &[(&str, &str)],
    format: PixelFormat,
    size: (u32, u32),
    frame: gst::Buffer,
) -> gst::Buffer {
    harness(properties, &info(format, size.0, size.1))
        .push_and_pull(frame)
        .expect("a frame in, a frame out")
}

/// The buffer's frame in memory with padded rows, gaps between planes and junk in both, and a
/// `GstVideoMeta` that tells where it is. As decoders do, that has the size with padding.
pub fn padded(frame: &gst::Buffer, format: PixelFormat, size: (u32, u32), junk: u8) -> gst::Buffer {
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
        size.0 + 13,
        size.1 + 1,
        &offsets,
        &strides,
    )
    .expect("a valid layout");
    buffer
}

//! The element in streams.
//!
//! | module | what |
//! |---|---|
//! | [`reuse`] | results carried from frame to frame, and what ends that |
//! | [`flow`] | time stamps, caps, EOS, seeks, branches, allocation |
//! | [`metadata`] | what survives downstream |
//! | [`stable`] | several objects, smoothing, hysteresis, numbers |
//! | [`regions`] | boxes of detectors upstream, refined |
//! | [`upstream`] | the same from frame to frame and from element to element |
//! | [`streams`] | masks and overlays as streams of their own |
//! | [`reports`] | messages and counters |

mod flow;
mod metadata;
mod regions;
mod reports;
mod reuse;
mod stable;
mod streams;
mod upstream;

use casm::PixelFormat;
use casm_tests::gst::{ball, buffer, harness, info, mask};
use gst_check::Harness;

/// Of the frames that [`small`] takes and [`frame`] makes.
pub const SIZE: (u32, u32) = (160, 120);

/// A harness for small RGB frames.
pub fn small(properties: &[(&str, &str)]) -> Harness {
    harness(properties, &info(PixelFormat::Rgb, SIZE.0, SIZE.1))
}

/// Small RGB frame number `number`, whose ball moves from left to right.
pub fn frame(number: u64) -> gst::Buffer {
    let at = (0.3 + 0.05 * number as f64, 0.5);
    buffer(&ball(SIZE.0, SIZE.1, at), SIZE.0, SIZE.1, number)
}

/// Frame number `number` through the element.
pub fn push_and_pull(harness: &mut Harness, number: u64) -> gst::Buffer {
    harness
        .push_and_pull(frame(number))
        .expect("a frame in, a frame out")
}

/// Ages of the results of these frames.
pub fn ages(harness: &mut Harness, numbers: std::ops::Range<u64>) -> Vec<u32> {
    numbers
        .map(|number| mask(&push_and_pull(harness, number)).age)
        .collect()
}

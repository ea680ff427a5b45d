//! Masks and overlays as streams of their own: the recipe of plugins/README.md.

use casm_tests::gst::{bytes, mask, named, pipeline, play_and_collect, wait};
use gst::prelude::*;

/// Without padding in any format.
const FRAMES: &str = "videotestsrc pattern=ball num-buffers=4 \
                      ! video/x-raw,format=I420,width=160,height=120,framerate=25/1";
const PIXELS: usize = 160 * 120;

/// The samples of an `appsink` of this name.
fn samples(pipeline: &gst::Pipeline, name: &str) -> Vec<gst::Sample> {
    let sink: gst_app::AppSink = named(pipeline, name).downcast().expect("an appsink");
    let patience = gst::ClockTime::from_seconds(120);
    std::iter::from_fn(|| sink.try_pull_sample(patience)).collect()
}

/// Plays the recipe with this before the element, and its properties with what is behind; the samples of frames and of the other stream.
fn both(before: &str, element: &str) -> [Vec<gst::Sample>; 2] {
    let playing = pipeline(&format!(
        "{FRAMES} ! tee name=t \
         t. ! queue ! appsink name=frames sync=false \
         t. ! queue ! {before}casmesaliency {element} ! queue ! appsink name=others sync=false"
    ));
    playing.set_state(gst::State::Playing).expect("it starts");
    let streams = ["frames", "others"].map(|name| samples(&playing, name));
    wait(&playing, |_| ()).expect("it ends");
    playing.set_state(gst::State::Null).expect("it stops");
    let untouched = play_and_collect(&pipeline(&format!("{FRAMES} ! appsink name=sink")));
    let times = |samples: &[gst::Sample]| -> Vec<_> {
        let buffers = samples.iter().map(|sample| sample.buffer());
        buffers
            .map(|buffer| buffer.expect("a frame").pts())
            .collect()
    };
    let expected: Vec<_> = untouched.iter().map(|buffer| buffer.pts()).collect();
    assert_eq!(expected.len(), 4);
    for stream in &streams {
        assert_eq!(times(stream), expected, "{element}");
    }
    for (sample, untouched) in streams[0].iter().zip(&untouched) {
        let frame = sample.buffer().expect("a frame");
        assert!(
            bytes(frame) == bytes(untouched),
            "{element}: a frame has changed"
        );
    }
    streams
}

/// Behind YUV frames the values are those of their brightness, 16 to 235 as a rule: `videoconvert` of 1.22 leaves them so. RGB
/// frames have all 256.
#[test]
fn masks_are_a_grey_stream_in_sync_with_untouched_frames() {
    const GREY: &str = "overlay=grey overlay-opacity=1 ! videoconvert ! video/x-raw,format=GRAY8";
    for (before, black, white) in [
        ("", 16.0, 235.0),
        ("videoconvert ! video/x-raw,format=RGB ! ", 0.0, 255.0),
    ] {
        let [_, masks] = both(before, GREY);
        for sample in masks {
            let buffer = sample.buffer().expect("a frame");
            let (grey, mask) = (bytes(buffer), mask(buffer));
            assert_eq!(grey.len(), PIXELS, "of the frame's size");
            let sum: f64 = grey.iter().map(|&value| f64::from(value)).sum();
            let mean = (sum / PIXELS as f64 - black) / (white - black);
            // The mask is enlarged, which keeps its mean but for the edges, and rounded to bytes twice.
            let expected = mask.mask_mean;
            assert!((mean - expected).abs() < 0.02, "{before}{mean}, {expected}");
            let found = mask.bounding_box.expect("there is a ball");
            let (x, y) = (found.x + found.width / 2, found.y + found.height / 2);
            let (middle, corner) = (grey[(y * 160 + x) as usize], grey[PIXELS - 1]);
            assert!(
                middle > corner,
                "{middle} in the ball, {corner} far from it"
            );
        }
    }
}

#[test]
fn overlays_are_a_stream_in_sync_with_untouched_frames() {
    let [frames, drawn] = both("", "overlay=contour");
    for (frame, drawn) in frames.iter().zip(&drawn) {
        let [frame, drawn] = [frame, drawn].map(|sample| sample.buffer().expect("a frame"));
        assert!(bytes(frame) != bytes(drawn), "nothing is drawn");
    }
}

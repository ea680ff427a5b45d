//! Small clips, made when a test needs them.

use std::path::{Path, PathBuf};

use gst::prelude::*;

/// Odd, so that half-size chroma planes are rounded up.
pub const WIDTH: u32 = 97;
/// See [`WIDTH`].
pub const HEIGHT: u32 = 75;
/// Of [`video`].
pub const FRAMES: u64 = 12;

/// Frames of a moving ball, in a WebM file.
const BALL: &str = "pattern=ball ! video/x-raw,format=I420,width=97,height=75,framerate=25/1 \
                    ! vp8enc deadline=1 ! queue ! mux.";

/// [`FRAMES`] frames with sound, which is not wanted.
pub fn video(folder: &Path) -> PathBuf {
    let path = folder.join("a clip.webm");
    let sound = "audiotestsrc num-buffers=20 ! vorbisenc ! queue ! mux.";
    make(
        &format!("videotestsrc num-buffers={FRAMES} {BALL} {sound} webmmux name=mux"),
        &path,
    );
    path
}

/// A single frame.
pub fn one_frame(folder: &Path) -> PathBuf {
    let path = folder.join("one.webm");
    make(
        &format!("videotestsrc num-buffers=1 {BALL} webmmux name=mux"),
        &path,
    );
    path
}

/// Sound only.
pub fn sound(folder: &Path) -> PathBuf {
    let path = folder.join("sound.ogg");
    make(
        "audiotestsrc num-buffers=20 ! vorbisenc ! oggmux name=mux",
        &path,
    );
    path
}

/// A clip of 96 x 64 pixels that is to be shown turned by a quarter, as telephones record it.
pub fn turned(folder: &Path) -> PathBuf {
    let path = folder.join("turned.mov");
    make(
        "videotestsrc num-buffers=5 ! video/x-raw,format=I420,width=96,height=64,framerate=25/1 \
         ! jpegenc ! qtmux name=mux",
        &path,
    );
    // GStreamer 1.22 cannot write the orientation. It is a matrix of 16.16 numbers, 40 bytes into the
    // body of the track's header.
    let mut bytes = std::fs::read(&path).expect("just written");
    let header = bytes
        .windows(4)
        .position(|name| name == b"tkhd")
        .expect("a QuickTime file has tracks");
    let matrix = header + 4 + 40;
    let one = 0x0001_0000_i32;
    for (place, value) in [0, one, 0, -one, 0].into_iter().enumerate() {
        bytes[matrix + 4 * place..][..4].copy_from_slice(&value.to_be_bytes());
    }
    std::fs::write(&path, bytes).expect("writable");
    path
}

/// Number of frames and their size in a WebM file with VP8.
pub fn frames(path: &Path) -> (u64, (i32, i32)) {
    let description = "filesrc name=file ! matroskademux ! vp8dec ! fakesink name=sink sync=false";
    let pipeline = pipeline(description);
    let file = pipeline.by_name("file").expect("named above");
    file.set_property("location", path.to_str().expect("a plain name"));
    let sink = pipeline.by_name("sink").expect("named above");
    let pad = sink.static_pad("sink").expect("a sink has one");
    let (sender, frames) = std::sync::mpsc::channel();
    pad.add_probe(gst::PadProbeType::BUFFER, move |pad, _| {
        let caps = pad.current_caps().expect("caps come before frames");
        let caps = caps.structure(0).expect("fixed caps");
        let side = |name: &str| caps.get::<i32>(name).expect("video has a size");
        sender
            .send((side("width"), side("height")))
            .expect("the test waits");
        gst::PadProbeReturn::Ok
    });
    run(&pipeline);
    let sizes: Vec<_> = frames.try_iter().collect();
    let last = *sizes.last().expect("at least one frame");
    (sizes.len() as u64, last)
}

/// A pipeline from its description.
pub fn pipeline(description: &str) -> gst::Pipeline {
    gst::init().expect("GStreamer starts");
    gst::parse::launch(description)
        .unwrap_or_else(|error| panic!("{error}: {description}"))
        .downcast()
        .expect("several elements are a pipeline")
}

/// Plays a pipeline to its end.
pub fn run(pipeline: &gst::Pipeline) {
    let bus = pipeline.bus().expect("a pipeline has a bus");
    // A failure is told on the bus, with its reason.
    let _ = pipeline.set_state(gst::State::Playing);
    let patience = gst::ClockTime::from_seconds(120);
    let ends = [gst::MessageType::Eos, gst::MessageType::Error];
    let message = bus
        .timed_pop_filtered(patience, &ends)
        .expect("it ends in time");
    pipeline.set_state(gst::State::Null).expect("it stops");
    if let gst::MessageView::Error(error) = message.view() {
        panic!("{} {:?}", error.error(), error.debug());
    }
}

fn make(description: &str, path: &Path) {
    let pipeline = pipeline(&format!("{description} mux. ! filesink name=file"));
    let file = pipeline.by_name("file").expect("named above");
    file.set_property("location", path.to_str().expect("a plain name"));
    run(&pipeline);
}

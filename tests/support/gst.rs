//! Pictures, pipelines and metadata for the tests of the element.

use std::sync::Once;

use casm::engine::{Device, EngineOptions, Precision};
use casm::frame::{ColorSpace, Plane};
use casm::localizer::LocalizeOptions;
use casm::{Checkpoint, Frame, Localization, Localizer, PixelFormat, Resize};
use gst::prelude::*;
use gst_check::Harness;
use gst_video::{VideoFormat, VideoInfo, VideoRegionOfInterestMeta};
use gstcasm::{BoundingBox, MaskMeta, SaliencyMask};

pub use crate::picture::{ball, centred_ball};

/// Longest time that a pipeline of these tests may take, in a loaded machine.
const PATIENCE: gst::ClockTime = gst::ClockTime::from_seconds(120);
/// Time between the frames that [`buffer`] stamps.
pub const FRAME_TIME: gst::ClockTime = gst::ClockTime::from_mseconds(40);

/// Starts GStreamer with the element registered from this program's own code.
///
/// # Panics
/// If that fails; so do all functions here.
pub fn init() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        gst::init().expect("GStreamer starts");
        gstcasm::plugin_register_static().expect("the plugin registers");
    });
}

/// An element with these properties, as text.
///
/// It computes in one thread of the CPU unless told otherwise: tests run side by side, where more
/// threads would wait for each other, and numbers must be the same to the last bit.
pub fn element(properties: &[(&str, &str)]) -> gst::Element {
    init();
    let mut builder = gst::ElementFactory::make("casmesaliency")
        .property("threads", 1_u32)
        .property("device", "cpu");
    for (name, value) in properties {
        builder = builder.property_from_str(name, value);
    }
    builder.build().expect("the element is registered")
}

/// An element with these properties between pads of the test's, with frames of this kind.
pub fn harness(properties: &[(&str, &str)], info: &VideoInfo) -> Harness {
    let mut harness = Harness::with_element(&element(properties), Some("sink"), Some("src"));
    harness.set_src_caps(caps(info));
    harness
}

/// The caps of frames of this kind.
pub fn caps(info: &VideoInfo) -> gst::Caps {
    info.to_caps().expect("a valid description")
}

/// Frames of this kind at 25 frames a second.
pub fn info(format: PixelFormat, width: u32, height: u32) -> VideoInfo {
    init();
    let format: VideoFormat = format.name().parse().expect("GStreamer has the same names");
    VideoInfo::builder(format, width, height)
        .fps(gst::Fraction::new(25, 1))
        .build()
        .expect("a valid size")
}

/// RGB pixels as a buffer of frame number `number`, in GStreamer's own layout: rows of RGB are padded
/// to four bytes.
pub fn buffer(pixels: &[u8], width: u32, height: u32, number: u64) -> gst::Buffer {
    let info = info(PixelFormat::Rgb, width, height);
    let mut bytes = vec![0; info.size()];
    let row = width as usize * 3;
    for (from, to) in pixels
        .chunks_exact(row)
        .zip(bytes.chunks_mut(info.stride()[0] as usize))
    {
        to[..row].copy_from_slice(from);
    }
    let mut buffer = gst::Buffer::from_mut_slice(bytes);
    stamp(&mut buffer, number);
    buffer
}

/// Gives a buffer the time stamp and duration of frame number `number`.
pub fn stamp(buffer: &mut gst::Buffer, number: u64) {
    let buffer = buffer.make_mut();
    buffer.set_pts(FRAME_TIME * number);
    buffer.set_duration(FRAME_TIME);
}

/// An RGB buffer of [`buffer`] in another format, by GStreamer's own converter.
pub fn converted(rgb: &gst::Buffer, format: PixelFormat, width: u32, height: u32) -> gst::Buffer {
    init();
    let mut harness = Harness::new_parse("videoconvert n-threads=1 ! identity");
    harness.set_src_caps(caps(&info(PixelFormat::Rgb, width, height)));
    harness.set_sink_caps(caps(&info(format, width, height)));
    let converted = harness
        .push_and_pull(rgb.clone())
        .expect("it can be converted");
    // From the converter's pool into memory that belongs to the buffer alone.
    let mut copy = gst::Buffer::from_mut_slice(bytes(&converted));
    copy.make_mut().set_pts(rgb.pts());
    copy.make_mut().set_duration(rgb.duration());
    copy
}

/// All bytes of a buffer.
pub fn bytes(buffer: &gst::BufferRef) -> Vec<u8> {
    buffer.map_readable().expect("system memory").to_vec()
}

/// What the library finds with the built-in model in a picture of RGB pixels.
pub fn localize(pixels: &[u8], width: u32, height: u32) -> Localization {
    let checkpoint = Checkpoint::built_in().expect("the built-in model is valid");
    let options = EngineOptions {
        device: Device::Cpu,
        precision: Precision::Auto,
        threads: 1,
        ..EngineOptions::default()
    };
    let mut localizer = Localizer::open(&checkpoint, &options).expect("the engine opens");
    let plane = Plane {
        data: pixels,
        stride: width as usize * 3,
    };
    let frame = Frame::new(
        PixelFormat::Rgb,
        width,
        height,
        ColorSpace::default(),
        vec![plane],
    )
    .expect("a frame");
    let options = LocalizeOptions {
        resize: Resize::Stretch,
        binarization: checkpoint.header().binarization,
        min_area: 0.0,
        max_objects: 1,
    };
    localizer
        .localize(&frame, &options)
        .expect("the network runs")
}

/// A region of interest of the element's.
#[derive(Debug, Clone)]
pub struct Roi {
    /// Its box in pixels of the frame.
    pub bounding_box: BoundingBox,
    /// Its parameters; `None` where GStreamer has dropped them.
    pub params: Option<gst::Structure>,
}

/// The element's regions of interest on a buffer.
pub fn rois(buffer: &gst::BufferRef) -> Vec<Roi> {
    buffer
        .iter_meta::<VideoRegionOfInterestMeta>()
        .filter(|meta| meta.roi_type() == gstcasm::ROI_TYPE)
        .map(|meta| {
            let (x, y, width, height) = meta.rect();
            let params = meta.param(gstcasm::PARAMS_NAME).map(ToOwned::to_owned);
            Roi {
                bounding_box: BoundingBox {
                    x,
                    y,
                    width,
                    height,
                },
                params,
            }
        })
        .collect()
}

/// The only region of interest on a buffer.
pub fn roi(buffer: &gst::BufferRef) -> Roi {
    let mut rois = rois(buffer);
    assert_eq!(rois.len(), 1, "regions of interest");
    rois.remove(0)
}

/// The parameters of the only region of interest on a buffer.
pub fn params(buffer: &gst::BufferRef) -> gst::Structure {
    roi(buffer)
        .params
        .expect("the element gives every region parameters")
}

/// The mask on a buffer.
pub fn mask(buffer: &gst::BufferRef) -> SaliencyMask {
    MaskMeta::from_buffer(buffer).expect("the buffer carries a mask")
}

/// Counters of an element.
pub fn stats(element: &gst::Element) -> gst::Structure {
    element.property::<gst::Structure>("stats")
}

/// One counter of an element.
pub fn count(element: &gst::Element, field: &str) -> u64 {
    stats(element)
        .get(field)
        .unwrap_or_else(|error| panic!("{field}: {error}"))
}

/// A pipeline from text, as `gst-launch-1.0` takes it. Its elements compute as those of [`element`].
pub fn pipeline(description: &str) -> gst::Pipeline {
    init();
    let pipeline: gst::Pipeline = gst::parse::launch(description)
        .unwrap_or_else(|error| panic!("{description}: {error}"))
        .downcast()
        .expect("more than one element makes a pipeline");
    for element in pipeline.iterate_all_by_element_factory_name("casmesaliency") {
        let element = element.expect("nothing changes yet");
        element.set_property("threads", 1_u32);
        element.set_property("device", "cpu");
    }
    pipeline
}

/// The element of a pipeline with this name.
pub fn named(pipeline: &gst::Pipeline, name: &str) -> gst::Element {
    pipeline
        .by_name(name)
        .unwrap_or_else(|| panic!("no {name} in the pipeline"))
}

/// What ended a pipeline.
pub type End = Result<(), gst::glib::Error>;

/// Waits for the end of a pipeline; gives every message before that to `each`.
pub fn wait(pipeline: &gst::Pipeline, mut each: impl FnMut(&gst::Message)) -> End {
    let bus = pipeline.bus().expect("a pipeline has a bus");
    for message in bus.iter_timed(PATIENCE) {
        match message.view() {
            gst::MessageView::Eos(_) => return Ok(()),
            gst::MessageView::Error(error) => return Err(error.error()),
            _ => each(&message),
        }
    }
    panic!("the pipeline has not ended after {PATIENCE}");
}

/// What an error or a warning on the bus says.
pub fn said(message: Option<gst::Message>) -> gst::glib::Error {
    match message.as_ref().map(|message| message.view()) {
        Some(gst::MessageView::Error(error)) => error.error(),
        Some(gst::MessageView::Warning(warning)) => warning.error(),
        _ => panic!("neither error nor warning: {message:?}"),
    }
}

/// Resident memory of this process in KiB.
pub fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("Linux");
    let line = status.lines().find(|line| line.starts_with("VmRSS:"));
    let number = line.and_then(|line| line.split_whitespace().nth(1));
    number
        .and_then(|number| number.parse().ok())
        .expect("a line on resident memory with a number")
}

/// Resident memory in KiB less what the allocator holds free: every new thread may get another of its arenas, and the model
/// that was in that one (14 MB) stays there as free memory.
pub fn occupied() -> u64 {
    // SAFETY: it only reads the allocator's own figures.
    let free = unsafe { libc::mallinfo2() }.fordblks as u64 / 1024;
    resident().saturating_sub(free)
}

/// Plays a pipeline to its end.
pub fn play(pipeline: &gst::Pipeline) -> End {
    // A failed start has an error on the bus as well.
    let _ = pipeline.set_state(gst::State::Playing);
    let end = wait(pipeline, |_| ());
    pipeline
        .set_state(gst::State::Null)
        .expect("any pipeline stops");
    end
}

/// Plays a pipeline with an `appsink name=sink` to its end; all buffers that came out.
pub fn play_and_collect(pipeline: &gst::Pipeline) -> Vec<gst::Buffer> {
    let sink: gst_app::AppSink = named(pipeline, "sink").downcast().expect("an appsink");
    sink.set_sync(false);
    pipeline
        .set_state(gst::State::Playing)
        .expect("the pipeline starts");
    let mut buffers = Vec::new();
    while let Some(sample) = sink.try_pull_sample(PATIENCE) {
        buffers.push(sample.buffer_owned().expect("a sample has a buffer"));
    }
    wait(pipeline, |_| ()).expect("the pipeline plays to its end");
    pipeline
        .set_state(gst::State::Null)
        .expect("any pipeline stops");
    buffers
}

//! The element message of one frame.

use casm_core::Object;

use crate::saliency::result::finding::Finding;

/// Name of the message's structure.
pub const MESSAGE_NAME: &str = "casm-saliency";

/// When a frame is shown, in the three ways that GStreamer counts.
#[derive(Debug, Clone, Copy, Default)]
pub struct FrameTime {
    /// Time stamp of the buffer.
    pub pts: Option<gst::ClockTime>,
    /// Time on the pipeline's clock.
    pub running_time: Option<gst::ClockTime>,
    /// Position in the media.
    pub stream_time: Option<gst::ClockTime>,
}

impl FrameTime {
    /// The times of a buffer in `segment`; those that are not known are `None`.
    pub fn new(segment: &gst::Segment, pts: Option<gst::ClockTime>) -> FrameTime {
        let segment = segment.downcast_ref::<gst::ClockTime>();
        FrameTime {
            pts,
            running_time: segment.and_then(|segment| segment.to_running_time(pts)),
            stream_time: segment.and_then(|segment| segment.to_stream_time(pts)),
        }
    }
}

/// The structure of the message.
///
/// | field | type | meaning |
/// |---|---|---|
/// | `frame` | guint64 | number of the frame since the element was started, from 0; GAP buffers do not count |
/// | `pts`, `running-time`, `stream-time` | guint64 | of the frame in ns; `GST_CLOCK_TIME_NONE` if unknown |
/// | `has-object` | gboolean | false: the box and `confidence` are 0; of several objects they are the largest's |
/// | `x`, `y`, `width`, `height` | gint | the box in pixels of the frame |
/// | `frame-width`, `frame-height` | gint | size of the frame |
/// | `confidence` | gdouble | mean of the mask over the object, in [0, 1] |
/// | `track-id` | guint64 | number of the object in the stream, from 1; with `tracking` or `box-hysteresis` |
/// | `mask-mean` | gdouble | mean of the mask, in [0, 1] |
/// | `component-area` | gdouble | share of the mask that the object covers, in [0, 1] |
/// | `inference-pts` | guint64 | time stamp of the frame that was looked at |
/// | `age` | guint | frames since that one; 0 = this very frame |
/// | `objects` | GstValueArray | a structure `object` for each object, the largest first: `x`, `y`, `width`, `height` (gint), `confidence`, `component-area` (gdouble), with `tracking` or `box-hysteresis` also `track-id` (guint64), with `roi-mode=upstream` also `region-type` (string) and `parent-id` (gint), as in [`PARAMS_NAME`](crate::PARAMS_NAME) |
/// | `top-class` | gint | most probable class, if the model has classes |
/// | `top-class-probability` | gdouble | its probability, with `top-class` |
/// | `top-class-name` | string | its name, if the model names its classes |
pub fn message_structure(finding: &Finding, frame: u64, time: &FrameTime) -> gst::Structure {
    let localization = &finding.localization;
    let bounding_box = localization.bounding_box();
    // Sizes are at most 16384, so none of these is lost.
    let pixels = |value: u32| i32::try_from(value).unwrap_or(i32::MAX);
    let side =
        |of: fn(casm_core::BoundingBox) -> u32| bounding_box.map_or(0, |found| pixels(of(found)));
    let mut structure = gst::Structure::builder(MESSAGE_NAME)
        .field("frame", frame)
        .field("pts", time.pts)
        .field("running-time", time.running_time)
        .field("stream-time", time.stream_time)
        .field("has-object", bounding_box.is_some())
        .field("x", side(|found| found.x))
        .field("y", side(|found| found.y))
        .field("width", side(|found| found.width))
        .field("height", side(|found| found.height))
        .field("frame-width", pixels(finding.geometry.frame_width))
        .field("frame-height", pixels(finding.geometry.frame_height))
        .field("confidence", localization.confidence())
        .field("mask-mean", localization.mask_mean)
        .field("component-area", finding.area(localization.largest()))
        .field("inference-pts", finding.inference_pts)
        .field("age", finding.age)
        .field("objects", objects(finding))
        .build();
    if let Some(id) = localization.largest().and_then(|object| object.id) {
        structure.set("track-id", id);
    }
    set_top_class(&mut structure, finding);
    structure
}

/// A structure `object` for each object, the largest first.
pub fn objects(finding: &Finding) -> gst::Array {
    let pixels = |value: u32| i32::try_from(value).unwrap_or(i32::MAX);
    gst::Array::new(finding.localization.objects.iter().map(|object| {
        let found = object.bounding_box;
        let mut structure = gst::Structure::builder("object")
            .field("x", pixels(found.x))
            .field("y", pixels(found.y))
            .field("width", pixels(found.width))
            .field("height", pixels(found.height))
            .field("confidence", object.confidence)
            .field("component-area", finding.area(Some(object)))
            .build();
        if let Some(id) = object.id {
            structure.set("track-id", id);
        }
        set_region(&mut structure, finding, object);
        structure
    }))
}

/// Adds the fields `region-type` and `parent-id` of an object that was found in a region of interest.
pub fn set_region(structure: &mut gst::StructureRef, finding: &Finding, object: &Object) {
    if let Some(region) = finding.region(object) {
        structure.set("region-type", region.kind.as_str());
        // Numbers are of this very frame.
        if region.id != 0 && finding.age == 0 {
            structure.set("parent-id", region.id);
        }
    }
}

/// Adds the fields `top-class`, `top-class-probability` and `top-class-name`, as far as they are known.
pub fn set_top_class(structure: &mut gst::StructureRef, finding: &Finding) {
    let Some((class, probability)) = finding.localization.top_class else {
        return;
    };
    structure.set("top-class", i32::try_from(class).unwrap_or(i32::MAX));
    structure.set("top-class-probability", f64::from(probability));
    if let Some(name) = finding.class_name() {
        structure.set("top-class-name", name);
    }
}

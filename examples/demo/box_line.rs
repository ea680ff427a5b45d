//! One frame's line of JSON: where the element says the object is.

use casm_core::mask::BoundingBox;
use gstcasm::MaskMeta;
use serde::Serialize;

/// The schema is documented in `pipelines/README.md`.
#[derive(Debug, Clone, Serialize)]
pub struct BoxLine {
    /// Number of the frame, from 0.
    pub frame: u64,
    /// Presentation time in nanoseconds.
    pub pts: Option<u64>,
    /// In pixels of the frame.
    #[serde(rename = "box")]
    pub bounding_box: Option<BoundingBox>,
    /// Mean of the mask over the object, in [0, 1]; 0 without a box.
    pub confidence: f64,
    /// Mean of the mask over the frame, in [0, 1]; `None` if the element did not look at the frame.
    pub mask_mean: Option<f64>,
    /// Frames since the inference that the box is from.
    pub age: Option<u32>,
    /// The true box, where it is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub truth: Option<BoundingBox>,
    /// Intersection over union of both boxes; 0 without a box.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub iou: Option<f64>,
}

impl BoxLine {
    /// What `casmesaliency` attached to the frame with this number.
    ///
    /// From the mask's meta, because that is there without an object as well. The box alone is also in
    /// the frame's `GstVideoRegionOfInterestMeta` of the type `salient-object`.
    pub fn read(frame: u64, buffer: &gst::BufferRef) -> BoxLine {
        let mask = MaskMeta::from_buffer(buffer);
        BoxLine {
            frame,
            pts: buffer.pts().map(gst::ClockTime::nseconds),
            bounding_box: mask.as_ref().and_then(|mask| mask.bounding_box),
            confidence: mask.as_ref().map_or(0.0, |mask| rounded(mask.confidence)),
            mask_mean: mask.as_ref().map(|mask| rounded(mask.mask_mean)),
            age: mask.as_ref().map(|mask| mask.age),
            truth: None,
            iou: None,
        }
    }
}

/// To four decimals: the mask itself is no more exact.
fn rounded(share: f64) -> f64 {
    (share * 1e4).round() / 1e4
}

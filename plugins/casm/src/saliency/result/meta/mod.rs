//! The metadata on a buffer: a region of interest, the soft mask, and GStreamer's own analytics metadata in
//! builds for versions that have it.

#[cfg(feature = "v1_24")]
mod analytics;
mod mask;
mod transform;

use std::ffi::CStr;
use std::ops::ControlFlow;

use casm_core::Object;
use gst::buffer::BufferMetaForeachAction::{Keep, Remove};
use gst::glib;
use gst::glib::translate::TryFromGlib;
use gst::meta::CustomMeta;
use gst_video::VideoRegionOfInterestMeta;

use crate::saliency::frame::regions;
use crate::saliency::result::finding::Finding;
use crate::saliency::result::message::{objects, set_region, set_top_class};
#[cfg(feature = "v1_26")]
pub use analytics::TENSOR_ID;
#[cfg(feature = "v1_24")]
pub use analytics::add_detections;
pub use mask::{MaskMeta, SaliencyMask, SaliencyObject};

/// Type of the `GstVideoRegionOfInterestMeta`; with `roi-mode=upstream` it has the type of the region that the object was
/// found in.
pub const ROI_TYPE: &str = "salient-object";

/// Name of the parameter structure of the `GstVideoRegionOfInterestMeta`.
///
/// | field | type | meaning |
/// |---|---|---|
/// | `confidence` | gdouble | mean of the mask over the object, in [0, 1] |
/// | `track-id` | guint64 | number of the object in the stream, from 1; with `tracking` or `box-hysteresis` |
/// | `mask-mean` | gdouble | mean of the mask: the share of the frame that is relevant, in [0, 1] |
/// | `component-area` | gdouble | share of the mask that the object covers, in [0, 1] |
/// | `inference-pts` | guint64 | time stamp of the frame that was looked at; `GST_CLOCK_TIME_NONE` if it had none |
/// | `age` | guint | frames since that one; 0 = this very frame |
/// | `reference-width`, `reference-height` | guint | size of the frame to which the box belonged |
/// | `region-type` | string | with `roi-mode=upstream`: type of the region of interest that the object was found in |
/// | `parent-id` | gint | with `region-type`: its `id`, which is the `parent_id` of this region; not in frames that carry an earlier result, nor where it is only a detection of GstAnalytics, which has no such number: `parent_id` is 0 there, and our detection has the relation `IS_PART_OF` to that one |
/// | `top-class` | gint | most probable class of the frame, if the model has classes |
/// | `top-class-probability` | gdouble | its probability, with `top-class` |
/// | `top-class-name` | string | its name, if the model names its classes |
pub const PARAMS_NAME: &str = "casm-saliency";

/// Attaches findings to frames.
#[derive(Debug, Default)]
pub struct Attacher {
    #[cfg(feature = "v1_24")]
    analytics: analytics::Analytics,
}

impl Attacher {
    /// The next frame does not continue the last one.
    pub fn forget(&mut self) {
        #[cfg(feature = "v1_24")]
        self.analytics.forget();
    }

    /// Attaches what was found to its frame, or to one that re-uses it.
    ///
    /// What an earlier `casmesaliency` attached is replaced, since readers take the first of a name, and
    /// all metas are to tell the same; but not in the analytics metadata, from which nothing can be taken.
    pub fn attach(&mut self, buffer: &mut gst::BufferRef, finding: &mut Finding) {
        if finding.age == 0 {
            regions::number(buffer, &mut finding.regions);
        }
        attach(buffer, finding);
        #[cfg(feature = "v1_24")]
        if let Err(error) = self.analytics.attach(buffer, finding) {
            gst::warning!(
                gst::CAT_DEFAULT,
                "Analytics metadata is not complete: {error}"
            );
        }
    }
}

/// The type of a region of interest; that of "" where it has none, or none that is text. GStreamer allows both,
/// and its bindings' `roi_type` must not be asked then.
pub fn kind(region: &VideoRegionOfInterestMeta) -> glib::Quark {
    let region: *const VideoRegionOfInterestMeta = region;
    // SAFETY: the wrapper is transparent over the C structure, and a quark that is not 0 has a text for ever.
    let kind = unsafe {
        let region = &*region.cast::<gst_video::ffi::GstVideoRegionOfInterestMeta>();
        glib::Quark::try_from_glib(region.roi_type)
            .ok()
            .filter(|_| {
                let text = glib::ffi::g_quark_to_string(region.roi_type);
                !text.is_null() && CStr::from_ptr(text).to_str().is_ok()
            })
    };
    kind.unwrap_or_else(|| glib::Quark::from_str(""))
}

/// Whether a region of interest comes from an element of this kind.
pub fn is_ours(region: &VideoRegionOfInterestMeta) -> bool {
    kind(region).as_str() == ROI_TYPE || region.param(PARAMS_NAME).is_some()
}

fn attach(buffer: &mut gst::BufferRef, finding: &Finding) {
    buffer.foreach_meta_mut(|mut meta| {
        let ours = meta
            .downcast_ref::<VideoRegionOfInterestMeta>()
            .is_some_and(|region| is_ours(region));
        ControlFlow::Continue(if ours { Remove } else { Keep })
    });
    for object in &finding.localization.objects {
        let found = object.bounding_box;
        let rectangle = (found.x, found.y, found.width, found.height);
        let region = finding.region(object);
        let kind = region.map_or(ROI_TYPE, |region| region.kind.as_str().as_str());
        let mut meta = VideoRegionOfInterestMeta::add(buffer, kind, rectangle);
        if let Some(region) = region.filter(|_| finding.age == 0) {
            meta.set_parent_id(region.id);
        }
        let mut params = gst::Structure::new_empty(PARAMS_NAME);
        set_common(&mut params, finding, Some(object));
        set_region(&mut params, finding, object);
        meta.add_param(params);
    }
    if CustomMeta::from_buffer(buffer, MaskMeta::NAME).is_err()
        && CustomMeta::add(buffer, MaskMeta::NAME).is_err()
    {
        // Only if another plugin had registered the name for something else.
        return;
    }
    if let Ok(mut meta) = CustomMeta::from_mut_buffer(buffer, MaskMeta::NAME) {
        let fields = meta.mut_structure();
        // Not all fields are always there.
        fields.remove_all_fields();
        let mask = &finding.localization.mask;
        fields.set("width", mask.width as u32);
        fields.set("height", mask.height as u32);
        fields.set("values", &finding.values);
        let found = finding.localization.bounding_box();
        fields.set("has-object", found.is_some());
        fields.set("box-x", found.map_or(0, |found| found.x));
        fields.set("box-y", found.map_or(0, |found| found.y));
        fields.set("box-width", found.map_or(0, |found| found.width));
        fields.set("box-height", found.map_or(0, |found| found.height));
        fields.set("objects", objects(finding));
        set_common(fields, finding, finding.localization.largest());
    }
}

/// The fields that both metas have.
fn set_common(fields: &mut gst::StructureRef, finding: &Finding, object: Option<&Object>) {
    fields.set("confidence", object.map_or(0.0, |object| object.confidence));
    if let Some(id) = object.and_then(|object| object.id) {
        fields.set("track-id", id);
    }
    fields.set("mask-mean", finding.localization.mask_mean);
    fields.set("component-area", finding.area(object));
    fields.set("inference-pts", finding.inference_pts);
    fields.set("age", finding.age);
    fields.set("reference-width", finding.geometry.frame_width);
    fields.set("reference-height", finding.geometry.frame_height);
    set_top_class(fields, finding);
}

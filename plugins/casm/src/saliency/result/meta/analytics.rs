//! GStreamer's own analytics metadata, which stock elements read: builds with `v1_24` and later.
//!
//! | version | what goes on a frame | read by |
//! |---|---|---|
//! | 1.24 | an object detection for each object, a tracking for each that is followed, related to it | `objectdetectionoverlay`, `ioutracker`, `onvif…` |
//! | 1.26 | a segmentation: the objects' pixels as a label image, 0 = background, 1 = the largest | `segmentationoverlay` (1.28) |
//! | 1.26 | a `GstTensorMeta` with the soft mask, `[height, width]`, float32, id [`TENSOR_ID`] | tensor decoders, applications |

use std::collections::HashMap;

use casm_core::BoundingBox;
use gst_analytics::prelude::*;
use gst_analytics::{AnalyticsODMtd, AnalyticsRelationMeta, RelTypes};
use gst_video::VideoRegionOfInterestMeta;

use super::ROI_TYPE;
use crate::saliency::frame::regions::Region;
use crate::saliency::result::finding::Finding;

/// Id of the soft mask in the `GstTensorMeta`.
#[cfg(feature = "v1_26")]
pub const TENSOR_ID: &str = "casm-mask";

/// Adds the detections on a buffer that are not our own and not already among `regions`, as far as they are inside of
/// `frame`. With detectors that attach both kinds of metadata each object is found once.
pub fn add_detections(buffer: &gst::BufferRef, frame: &BoundingBox, regions: &mut Vec<Region>) {
    let Some(meta) = buffer.meta::<AnalyticsRelationMeta>() else {
        return;
    };
    let ours = glib::Quark::from_str(ROI_TYPE);
    for detection in meta.iter::<AnalyticsODMtd>() {
        let (Some(kind), Ok(location)) = (detection.obj_type(), detection.location()) else {
            continue;
        };
        // Boxes may begin outside of the frame.
        let side = |start: i32, length: i32| {
            let end = i64::from(start) + i64::from(length.max(0));
            let first = u32::try_from(start).unwrap_or(0);
            (first, u32::try_from(end).unwrap_or(0).saturating_sub(first))
        };
        let (x, width) = side(location.x, location.w);
        let (y, height) = side(location.y, location.h);
        let found = BoundingBox {
            x,
            y,
            width,
            height,
        };
        let Some(bounding_box) = found.intersection(frame) else {
            continue;
        };
        let known = |region: &Region| region.kind == kind && region.bounding_box == bounding_box;
        // What another element of this kind refined has the type of its region, and its region of interest beside it.
        let rectangle = (found.x, found.y, found.width, found.height);
        let mut metas = buffer.iter_meta::<VideoRegionOfInterestMeta>();
        let refined = metas.any(|meta| {
            meta.rect() == rectangle && super::kind(&meta) == kind && super::is_ours(&meta)
        });
        if kind == ours || refined {
            continue;
        }
        if let Some(region) = regions.iter_mut().find(|region| known(region)) {
            region.detection = Some(detection.id());
            continue;
        }
        regions.push(Region {
            kind,
            id: 0,
            detection: Some(detection.id()),
            bounding_box,
        });
    }
}

/// Attaches the metadata; remembers since when objects are followed.
#[derive(Debug, Default)]
pub struct Analytics {
    seen: HashMap<u64, Seen>,
}

/// What is remembered of an object that is followed.
#[derive(Debug, Clone, Copy)]
struct Seen {
    first: gst::ClockTime,
    /// Frames since it was seen last.
    absent: u32,
}

/// Frames for which an object that is gone is remembered: longer than its number can come back.
const REMEMBERED: u32 = 300;

impl Analytics {
    /// Objects of other frames are not those of the next.
    pub fn forget(&mut self) {
        self.seen.clear();
    }

    /// Attaches what was found to its frame, beside what other elements know of it.
    ///
    /// # Errors
    /// The meta has no room for more.
    pub fn attach(
        &mut self,
        buffer: &mut gst::BufferRef,
        finding: &Finding,
    ) -> Result<(), glib::BoolError> {
        #[cfg(feature = "v1_26")]
        attach_mask(buffer, finding);
        // Objects that a frame carries were seen in an earlier one.
        let time = finding.inference_pts.or(buffer.pts()).unwrap_or_default();
        self.seen.retain(|_, seen| {
            seen.absent += 1;
            seen.absent <= REMEMBERED
        });

        let kind = glib::Quark::from_str(ROI_TYPE);
        let mut meta = match buffer.meta_mut::<AnalyticsRelationMeta>() {
            Some(meta) => meta,
            None => AnalyticsRelationMeta::add(buffer),
        };
        // Sizes are at most 16384.
        let pixels = |value: u32| i32::try_from(value).unwrap_or(i32::MAX);
        let mut detections = Vec::with_capacity(finding.localization.objects.len());
        for object in &finding.localization.objects {
            let found = object.bounding_box;
            let detection = meta
                .add_od_mtd(
                    finding.region(object).map_or(kind, |region| region.kind),
                    pixels(found.x),
                    pixels(found.y),
                    pixels(found.width),
                    pixels(found.height),
                    object.confidence as f32,
                )?
                .id();
            detections.push(detection);
            // Numbers are of this very frame.
            let parent = finding.region(object).filter(|_| finding.age == 0);
            if let Some(parent) = parent.and_then(|region| region.detection) {
                meta.set_relation(RelTypes::IS_PART_OF, detection, parent)?;
            }
            if let Some(id) = object.id {
                let seen = self.seen.entry(id).or_insert(Seen {
                    first: time,
                    absent: 0,
                });
                seen.absent = 0;
                let tracking = meta.add_tracking_mtd(id, seen.first)?.id();
                set_last_seen(&mut meta, tracking, time);
                meta.set_relation(RelTypes::RELATE_TO, detection, tracking)?;
            }
        }
        #[cfg(feature = "v1_26")]
        add_segmentation(&mut meta, finding, &detections)?;
        Ok(())
    }
}

/// When the object of the tracking `id` was seen last; an added one says what it says of the first time. The bindings can
/// change one tracking only, and lend the meta for good to do so.
fn set_last_seen(
    meta: &mut gst::MetaRefMut<'_, AnalyticsRelationMeta, gst::meta::Standalone>,
    id: u32,
    time: gst::ClockTime,
) {
    use glib::translate::{IntoGlib, from_glib};
    use gst_analytics::ffi;

    let mut tracking = std::mem::MaybeUninit::uninit();
    // SAFETY: the meta is borrowed mutably; `tracking` is written where true is returned, and points into the meta, which
    // nothing else changes until here.
    unsafe {
        let is_there: bool = from_glib(ffi::gst_analytics_relation_meta_get_tracking_mtd(
            meta.as_mut_ptr(),
            id,
            tracking.as_mut_ptr(),
        ));
        if is_there {
            ffi::gst_analytics_tracking_mtd_update_last_seen(
                tracking.as_mut_ptr(),
                time.into_glib(),
            );
        }
    }
}

/// The soft mask, as 1.26 carries tensors. An earlier one of ours is replaced.
#[cfg(feature = "v1_26")]
fn attach_mask(buffer: &mut gst::BufferRef, finding: &Finding) {
    use std::ops::ControlFlow;

    use gst::buffer::BufferMetaForeachAction::{Keep, Remove};
    use gst_analytics::{Tensor, TensorDataType, TensorDimOrder, TensorMeta};

    let id = glib::Quark::from_str(TENSOR_ID);
    buffer.foreach_meta_mut(|mut meta| {
        let ours = meta
            .downcast_ref::<TensorMeta>()
            .is_some_and(|tensors| tensors.index_from_id(id) >= 0);
        ControlFlow::Continue(if ours { Remove } else { Keep })
    });
    let mask = &finding.localization.mask;
    // Shared with the other metas: nothing is copied.
    let data = gst::Buffer::from_slice(finding.values.clone());
    let tensor = Tensor::new_simple(
        id,
        TensorDataType::Float32,
        data,
        TensorDimOrder::RowMajor,
        &[mask.height, mask.width],
    );
    TensorMeta::add(buffer).set([tensor].into());
}

/// The objects' pixels as a label image over the whole frame, each related to its detection.
#[cfg(feature = "v1_26")]
fn add_segmentation(
    meta: &mut gst::MetaRefMut<'_, AnalyticsRelationMeta, gst::meta::Standalone>,
    finding: &Finding,
    detections: &[u32],
) -> Result<(), glib::BoolError> {
    use glib::translate::{IntoGlibPtr, from_glib};
    use gst_analytics::ffi;

    let (width, height) = (
        finding.localization.mask.width,
        finding.localization.mask.height,
    );
    let mut labels = vec![0u8; width * height];
    // A byte has room for 255 objects beside the background; `max-objects` allows fewer.
    for (label, object) in (1..=u8::MAX).zip(&finding.localization.objects) {
        for (pixel, &marked) in labels.iter_mut().zip(&object.component.pixels.values) {
            if marked {
                *pixel = label;
            }
        }
    }
    let mut image = gst::Buffer::from_mut_slice(labels);
    gst_video::VideoMeta::add(
        image.make_mut(),
        gst_video::VideoFrameFlags::empty(),
        gst_video::VideoFormat::Gray8,
        width as u32,
        height as u32,
    )?;
    let objects = finding.localization.objects.len().min(255) as u32;
    let mut regions: Vec<u32> = (0..=objects).collect();
    let mut segmentation = std::mem::MaybeUninit::uninit();
    // SAFETY: the bindings have no function for it. `meta` is writable; the callee takes the image, copies
    // the numbers, and fills `segmentation` if it returns true.
    let segmentation = unsafe {
        let added: bool = from_glib(ffi::gst_analytics_relation_meta_add_segmentation_mtd(
            meta.as_mut_ptr(),
            image.into_glib_ptr(),
            ffi::GST_SEGMENTATION_TYPE_INSTANCE,
            regions.len(),
            regions.as_mut_ptr(),
            0,
            0,
            finding.geometry.frame_width,
            finding.geometry.frame_height,
            segmentation.as_mut_ptr(),
        ));
        if !added {
            return Err(glib::bool_error!("no room for a segmentation"));
        }
        segmentation.assume_init().id
    };
    for &detection in detections {
        meta.set_relation(RelTypes::RELATE_TO, segmentation, detection)?;
    }
    Ok(())
}

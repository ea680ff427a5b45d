//! What detectors upstream have found: the regions of interest that `roi-mode=upstream` looks into.

use std::cmp::Reverse;

use casm_core::BoundingBox;
use gst_video::VideoRegionOfInterestMeta;

use crate::saliency::result::meta;

/// Where the network looks: the values of the property `roi-mode`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, glib::Enum)]
#[enum_type(name = "GstCasmeSaliencyRoiMode")]
pub enum RoiMode {
    /// At all of the frame.
    #[default]
    #[enum_value(name = "At the whole frame", nick = "full")]
    Full,
    /// At each region of interest.
    #[enum_value(
        name = "At each region of interest that a detector upstream has attached, and at nothing else",
        nick = "upstream"
    )]
    Upstream,
}

/// So much of a region's width and height is looked at beside it, on each side: detectors cut objects off, and the
/// network tells an object by what is around it. With more, boxes of the built-in model grow: over six detectors from tight
/// to loose the mean IoU with the truth is 0.82, 0.84, 0.80, 0.80 and 0.76 with margins of 5, 10, 15, 20 and 30 % (painted
/// balls, as in `tests/element_streaming/regions.rs`; as given, 0.70).
const MARGIN: f64 = 0.1;

/// A region of interest that somebody else has attached to a frame.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Region {
    /// What the detector calls the object.
    pub kind: glib::Quark,
    /// Its number; 0 if it has none.
    pub id: i32,
    /// Number of its `GstAnalyticsODMtd` in the frame's analytics metadata, if it is one.
    pub detection: Option<u32>,
    /// Where, in pixels of the frame, inside of it.
    pub bounding_box: BoundingBox,
}

impl Region {
    /// The region with its margin; may reach out of the frame.
    pub fn area(&self) -> BoundingBox {
        let found = self.bounding_box;
        let margin = |side: u32| (f64::from(side) * MARGIN).ceil() as u32;
        let (across, down) = (margin(found.width), margin(found.height));
        let (x, y) = (found.x.saturating_sub(across), found.y.saturating_sub(down));
        BoundingBox {
            x,
            y,
            width: (found.right() + across) - x,
            height: (found.bottom() + down) - y,
        }
    }
}

/// The at most `most` regions on a buffer with a frame of `size` that are not our own, the largest first.
pub fn find(buffer: &gst::BufferRef, size: (u32, u32), most: usize, regions: &mut Vec<Region>) {
    let frame = BoundingBox {
        x: 0,
        y: 0,
        width: size.0,
        height: size.1,
    };
    regions.clear();
    for region in buffer.iter_meta::<VideoRegionOfInterestMeta>() {
        let (x, y, width, height) = region.rect();
        let found = BoundingBox {
            x,
            y,
            width,
            height,
        };
        if let Some(bounding_box) = found.intersection(&frame)
            && !meta::is_ours(&region)
        {
            regions.push(Region {
                kind: meta::kind(&region),
                id: region.id(),
                detection: None,
                bounding_box,
            });
        }
    }
    #[cfg(feature = "v1_24")]
    meta::add_detections(buffer, &frame, regions);
    regions.sort_by_key(|region| Reverse(region.bounding_box.area()));
    regions.truncate(most);
}

/// Gives a number to those regions on the buffer that have none, so that one can refer to them.
pub fn number(buffer: &mut gst::BufferRef, regions: &mut [Region]) {
    for region in regions.iter_mut().filter(|region| region.id == 0) {
        let mut metas = buffer.iter_meta_mut::<VideoRegionOfInterestMeta>();
        let numberless = metas.find(|meta| {
            meta.id() == 0
                && meta::kind(meta) == region.kind
                && !meta::is_ours(meta)
                && covers(meta, region)
        });
        if let Some(mut meta) = numberless {
            // SAFETY: it takes nothing and gives a number.
            let number = unsafe { gst::ffi::gst_util_seqnum_next() };
            // Numbers are signed here, and 0 is none.
            region.id = ((number & 0x7fff_ffff) as i32).max(1);
            meta.set_id(region.id);
        }
    }
}

/// Whether this is the region's meta, which the frame may have clipped.
fn covers(meta: &VideoRegionOfInterestMeta, region: &Region) -> bool {
    let (x, y, width, height) = meta.rect();
    let found = region.bounding_box;
    (x, y) == (found.x, found.y) && width >= found.width && height >= found.height
}

#[cfg(test)]
mod tests {
    use super::*;

    fn region(x: u32, y: u32, width: u32, height: u32) -> Region {
        Region {
            kind: glib::Quark::from_str("person"),
            id: 0,
            detection: None,
            bounding_box: BoundingBox {
                x,
                y,
                width,
                height,
            },
        }
    }

    /// By hand: a tenth of 50 and of 30 on each side, not beyond the frame's beginning.
    #[test]
    fn a_margin_is_looked_at_on_each_side() {
        let area = region(100, 2, 50, 30).area();
        assert_eq!(
            (area.x, area.right(), area.y, area.bottom()),
            (95, 155, 0, 35)
        );
    }

    #[test]
    fn the_largest_regions_of_others_are_found() {
        gst::init().expect("GStreamer starts");
        let mut buffer = gst::Buffer::new();
        let writable = buffer.make_mut();
        for (kind, rectangle) in [
            ("person", (0, 0, 10, 10)),
            (meta::ROI_TYPE, (0, 0, 90, 90)),
            ("car", (50, 50, 900, 20)),
            ("person", (200, 0, 10, 10)),
            ("dog", (5, 5, 20, 20)),
        ] {
            VideoRegionOfInterestMeta::add(writable, kind, rectangle);
        }
        // Of a class that somebody refined before, as it leaves this element.
        let mut refined = VideoRegionOfInterestMeta::add(writable, "person", (0, 0, 80, 80));
        refined.add_param(gst::Structure::new_empty(meta::PARAMS_NAME));
        let mut regions = Vec::new();
        find(&buffer, (100, 100), 2, &mut regions);
        let found: Vec<_> = regions
            .iter()
            .map(|region| (region.kind.as_str().as_str(), region.bounding_box.area()))
            .collect();
        assert_eq!(found, [("car", 1000), ("dog", 400)]);
        number(buffer.make_mut(), &mut regions);
        assert!(regions[0].id != 0 && regions[0].id != regions[1].id);
        let car = buffer
            .iter_meta::<VideoRegionOfInterestMeta>()
            .find(|meta| meta.roi_type() == "car")
            .map(|meta| meta.id());
        assert_eq!(car, Some(regions[0].id));
    }

    #[test]
    fn a_region_need_not_have_a_type() {
        gst::init().expect("GStreamer starts");
        let mut buffer = gst::Buffer::new();
        // SAFETY: the buffer is ours alone; 0 is how a missing type is written.
        let added = unsafe {
            gst_video::ffi::gst_buffer_add_video_region_of_interest_meta_id(
                buffer.make_mut().as_mut_ptr(),
                0,
                1,
                2,
                30,
                40,
            )
        };
        assert!(!added.is_null());
        let mut regions = Vec::new();
        find(&buffer, (100, 100), 2, &mut regions);
        assert_eq!(regions.len(), 1);
        assert_eq!(regions[0].kind.as_str(), "");
        number(buffer.make_mut(), &mut regions);
        assert!(regions[0].id != 0);
    }
}

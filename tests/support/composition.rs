//! Overlays that come beside the pixels.

use gst::prelude::*;
use gst_check::Harness;
use gst_video::{VideoOverlayComposition, VideoOverlayCompositionMeta};

/// Makes the sink of a harness say that it shows overlays which come beside the pixels.
///
/// # Panics
/// If the harness has no sink pad.
pub fn show_overlays(harness: &Harness) {
    let pad = harness.sinkpad().expect("it has a sink pad");
    pad.add_probe(gst::PadProbeType::QUERY_DOWNSTREAM, |_, info| {
        if let Some(query) = info.query_mut()
            && let gst::QueryViewMut::Allocation(allocation) = query.view_mut()
        {
            allocation.add_allocation_meta::<VideoOverlayCompositionMeta>(None);
        }
        gst::PadProbeReturn::Ok
    });
}

/// The overlays beside the pixels of a frame.
pub fn composition(buffer: &gst::BufferRef) -> Option<VideoOverlayComposition> {
    let meta = buffer.meta::<VideoOverlayCompositionMeta>();
    meta.map(|meta| meta.overlay_owned())
}

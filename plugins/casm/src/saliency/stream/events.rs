//! Events and queries: what ends a stream, empties it, or asks how long it takes.

use std::sync::atomic::Ordering;

use gst::prelude::*;
use gst::subclass::prelude::*;
use gst_base::prelude::*;
use gst_base::subclass::prelude::*;

use crate::saliency::imp::{CAT, CasmeSaliency, lock};

impl CasmeSaliency {
    /// An event from upstream.
    pub(in crate::saliency) fn handle_sink_event(&self, event: gst::Event) -> bool {
        use gst::EventView;
        match event.view() {
            EventView::FlushStart(_) => {
                self.discard();
                return self.parent_sink_event(event);
            }
            EventView::FlushStop(_) => {
                // The pads are still closed, so the frame at the door comes back soon.
                self.queue.open();
                self.interrupt.lower();
                // It may have cut off the question where overlays go.
                self.undecided.store(true, Ordering::Relaxed);
            }
            EventView::Eos(_) => self.drain_for_eos(),
            _ if event.is_serialized() => {
                // Fails where the next frame fails, too.
                let _ = self.drain();
            }
            _ => {}
        }
        // All three are serialised, so no inference is under way.
        if matches!(
            event.view(),
            EventView::FlushStop(_) | EventView::Segment(_) | EventView::StreamStart(_)
        ) {
            gst::debug!(
                CAT,
                imp = self,
                "No result is carried over {:?}",
                event.type_()
            );
            self.forget();
        }
        // A stop closes the source pad before the sink pad. An event that is refused in between would be an error upstream,
        // which a frame that comes then is not.
        self.parent_sink_event(event) || self.queue.is_ended()
    }

    /// An event from downstream.
    pub(in crate::saliency) fn handle_src_event(&self, event: gst::Event) -> bool {
        if let gst::EventView::Qos(qos) = event.view() {
            let (_, _, diff, timestamp) = qos.get();
            let earliest = timestamp.and_then(|time| time.nseconds().checked_add_signed(diff));
            // What is early says nothing of frames to come.
            lock(&self.lateness).heed(earliest.filter(|_| diff > 0));
        }
        match event.view() {
            // What the sinks are configured with now includes what the last query was answered.
            gst::EventView::Latency(_) => lock(&self.latency).claim(),
            // Downstream may be linked again.
            gst::EventView::Reconfigure(_) => {
                self.queue.relinked();
                self.undecided.store(true, Ordering::Relaxed);
            }
            _ => {}
        }
        self.parent_src_event(event)
    }

    /// A query from either side.
    pub(in crate::saliency) fn handle_query(
        &self,
        direction: gst::PadDirection,
        query: &mut gst::QueryRef,
    ) -> bool {
        if direction == gst::PadDirection::Sink && query.is_serialized() {
            let _ = self.drain();
        }
        if !BaseTransformImplExt::parent_query(self, direction, query) {
            return false;
        }
        if direction == gst::PadDirection::Src
            && let gst::QueryViewMut::Latency(latency) = query.view_mut()
        {
            let (live, min, max) = latency.result();
            self.live.store(live, Ordering::Relaxed);
            if live {
                let own = lock(&self.latency).answer();
                let own = gst::ClockTime::try_from(own).unwrap_or(gst::ClockTime::MAX);
                gst::debug!(CAT, imp = self, "Latency {own} on top of {min}");
                let add = |time: gst::ClockTime| time.saturating_add(own);
                latency.set(live, add(min), max.map(add));
            }
        }
        true
    }

    /// Finds out whether the source is live, where the pipeline has not asked yet.
    pub(in crate::saliency) fn ask_liveness(&self) {
        let mut query = gst::query::Latency::new();
        if self.obj().sink_pad().peer_query(&mut query) {
            let (live, ..) = query.result();
            self.live.store(live, Ordering::Relaxed);
        }
    }

    /// No result and no measure of lateness crosses this point.
    pub(in crate::saliency) fn forget(&self) {
        if let Some(intake) = lock(&self.intake).as_mut() {
            intake.forget();
        }
        lock(&self.outlet).forget();
        self.queue.restart();
        lock(&self.lateness).forget();
        self.asked.store(false, Ordering::Relaxed);
    }

    /// Lets go of all frames inside and wakes whoever waits.
    pub(in crate::saliency) fn discard(&self) {
        self.interrupt.raise();
        self.queue.close();
    }
}

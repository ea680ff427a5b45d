//! What the pipeline is told, and tells, about time: late frames, and the latency.

use std::sync::atomic::Ordering;
use std::time::Duration;

use gst::prelude::*;
use gst::subclass::prelude::*;

use crate::saliency::imp::{CAT, CasmeSaliency, lock};
use crate::saliency::result::message::FrameTime;
use crate::saliency::time::late::Arrival;

impl CasmeSaliency {
    /// By how much an inference would make the frame late.
    pub(in crate::saliency) fn lateness(
        &self,
        buffer: &gst::Buffer,
        time: &FrameTime,
    ) -> Option<u64> {
        let element = self.obj();
        let live = self.live.load(Ordering::Relaxed);
        let now = live.then(|| element.current_running_time()).flatten();
        let (layout, ahead) = match lock(&self.intake).as_ref() {
            Some(intake) => (intake.layout(), intake.open()),
            None => (None, 0),
        };
        let inference = lock(&self.latency).inference();
        let frame_time = buffer
            .duration()
            .filter(|duration| !duration.is_zero())
            .map(gst::ClockTime::nseconds)
            .or_else(|| layout.and_then(|layout| layout.frame_time()))
            // 30 a second, where nobody says.
            .unwrap_or(33_333_333);
        let arrival = Arrival {
            running_time: time.running_time?.nseconds(),
            now: now.map(gst::ClockTime::nseconds),
            frame_time,
            inference: nanoseconds(inference),
            ahead: ahead as u64,
        };
        lock(&self.lateness).of(&arrival)
    }

    /// Tells the application that a frame was too late, as the base classes do for those that they drop.
    pub(in crate::saliency) fn post_qos(&self, buffer: &gst::Buffer, time: &FrameTime, late: u64) {
        let (inferred, skipped, dropped) = lock(&self.stats).qos();
        let quality = inferred.saturating_mul(1_000_000) / (inferred + skipped).max(1);
        let live = self.live.load(Ordering::Relaxed);
        let message = gst::message::Qos::builder(live)
            .running_time(time.running_time)
            .stream_time(time.stream_time)
            .timestamp(buffer.pts())
            .duration(buffer.duration())
            .values(
                i64::try_from(late).unwrap_or(i64::MAX),
                1.0,
                i32::try_from(quality).unwrap_or(1_000_000),
            )
            .stats(
                gst::format::Buffers::from_u64(inferred),
                gst::format::Buffers::from_u64(dropped),
            )
            .src(&*self.obj())
            .build();
        let _ = self.obj().post_message(message);
    }

    /// Takes over how long a frame with an inference has been inside; tells the pipeline if that is news.
    pub(in crate::saliency) fn count_latency(&self, inside: Duration, inference: Duration) {
        let changed = lock(&self.latency).add(inside, inference);
        if changed && self.live.load(Ordering::Relaxed) {
            gst::debug!(CAT, imp = self, "The latency has changed");
            let message = gst::message::Latency::builder().src(&*self.obj()).build();
            let _ = self.obj().post_message(message);
        }
    }
}

fn nanoseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

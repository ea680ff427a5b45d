//! Caps and allocation: what comes in, and whether overlays go into the pixels or beside them.
//!
//! Overlays go beside the pixels, as `GstVideoOverlayCompositionMeta`, if downstream says that it shows them: in its
//! answer to the ALLOCATION query, and by taking caps with the feature `meta:GstVideoOverlayComposition`. So do those of
//! frames that come with the feature, and where downstream takes no other caps. All else gets them drawn in, without a
//! sign of the question.

use std::sync::atomic::Ordering;

use gst::PadDirection;
use gst::prelude::*;
use gst::query::Allocation;
use gst::subclass::prelude::*;
use gst_base::prelude::*;
use gst_video::{
    CAPS_FEATURE_META_GST_VIDEO_OVERLAY_COMPOSITION as FEATURE, VideoCropMeta, VideoInfo,
    VideoOverlayCompositionMeta,
};

use crate::saliency::Overlay;
use crate::saliency::frame::{self, FrameLayout};
use crate::saliency::imp::{CAT, CasmeSaliency, lock};

/// What the pads accept: frames with overlays beside them, or without.
pub fn caps() -> gst::Caps {
    let mut caps = frame::caps();
    caps.merge(marked(&caps, true));
    caps
}

/// The same caps with the feature, or without it.
fn marked(caps: &gst::Caps, beside: bool) -> gst::Caps {
    let mut caps = caps.clone();
    for (_, features) in caps.make_mut().iter_with_features_mut() {
        match beside {
            true if !features.contains(FEATURE) => features.add(FEATURE),
            false => features.remove(FEATURE),
            true => {}
        }
    }
    caps
}

fn is_marked(caps: &gst::CapsRef) -> bool {
    caps.features(0)
        .is_some_and(|features| !features.is_any() && features.contains(FEATURE))
}

/// `caps` with the feature, or without it, as the first of `chosen` are.
pub fn like(caps: &gst::Caps, chosen: &gst::Caps) -> gst::Caps {
    marked(caps, is_marked(chosen))
}

/// The caps on the other side of the element. What comes with overlays leaves with them; what comes without may leave
/// with ours. Those without are first, so that nobody takes the others by chance.
pub fn transformed(
    direction: PadDirection,
    caps: &gst::Caps,
    filter: Option<&gst::Caps>,
) -> gst::Caps {
    let mut other = [gst::Caps::new_empty(), gst::Caps::new_empty()];
    for index in 0..caps.size() {
        let mut one = gst::Caps::new_empty();
        let structure = caps.structure(index).map(ToOwned::to_owned);
        let features = caps.features(index).map(ToOwned::to_owned);
        let any = features.as_ref().is_some_and(|features| features.is_any());
        if let Some(structure) = structure {
            let features = features.filter(|_| !any);
            one.make_mut().append_structure_full(structure, features);
        }
        let outward = direction == PadDirection::Sink;
        let with = is_marked(&one);
        if any || !with || !outward {
            other[0].merge(marked(&one, false));
        }
        if any || with || outward {
            other[1].merge(marked(&one, true));
        }
    }
    let [mut other, with] = other;
    other.merge(with);
    match filter {
        Some(filter) => filter.intersect_with_mode(&other, gst::CapsIntersectMode::First),
        None => other,
    }
}

/// Of caps to choose from, those with overlays beside the frames, or without, where there are such.
pub fn preferred(caps: &gst::Caps, beside: bool) -> gst::Caps {
    let mut chosen = gst::Caps::new_empty();
    for (structure, features) in caps.iter_with_features() {
        let mut one = gst::Caps::new_empty();
        one.make_mut()
            .append_structure_full(structure.to_owned(), Some(features.to_owned()));
        if is_marked(&one) == beside {
            chosen.merge(one);
        }
    }
    if chosen.is_empty() {
        return caps.clone();
    }
    chosen
}

impl CasmeSaliency {
    /// Frames of these caps are to come.
    pub(in crate::saliency) fn take_caps(
        &self,
        caps: &gst::Caps,
    ) -> Result<(), gst::LoggableError> {
        let layout = VideoInfo::from_caps(caps)
            .map_err(|_| "not a description of raw video".to_owned())
            .and_then(FrameLayout::new)
            .map_err(|reason| {
                // The base class would say no more than "not negotiated".
                gst::element_imp_error!(
                    self,
                    gst::StreamError::Format,
                    ("{caps} cannot be used: {reason}")
                );
                gst::loggable_error!(CAT, "{caps} cannot be used: {reason}")
            })?;
        gst::debug!(CAT, imp = self, "Caps {caps}");
        // Frames of the former layout leave first.
        let _ = self.drain();
        self.undecided.store(true, Ordering::Relaxed);
        let before = lock(&self.taken).replace(caps.clone());
        if before.as_ref() == Some(caps) {
            // Only downstream has changed: the stream goes on, with its results.
            return Ok(());
        }
        if let Some(intake) = lock(&self.intake).as_mut() {
            intake.set_layout(layout);
        }
        lock(&self.outlet).forget();
        Ok(())
    }

    /// Answers what upstream asks before it allocates.
    pub(in crate::saliency) fn propose(&self, query: &mut Allocation) {
        // Buffers go on as they come, so upstream may do what downstream understands: padded rows
        // (GstVideoMeta) and its pools, but no more.
        if !self.obj().src_pad().peer_query(query) {
            gst::debug!(CAT, imp = self, "Downstream proposes nothing");
        }
        // A cropped frame would have its box in pixels of the whole.
        while let Some(index) = query.find_allocation_meta::<VideoCropMeta>() {
            query.remove_nth_allocation_meta(index);
        }
        self.ask_for_buffers(query);
    }

    /// With `async-depth`, asks for as many buffers more as wait inside and at the door: a camera has few, and needs
    /// some of them to go on.
    fn ask_for_buffers(&self, query: &mut Allocation) {
        let held = match self.depth.load(Ordering::Relaxed) {
            0 => return,
            depth => depth + 1,
        };
        let pools: Vec<_> = query.allocation_pools().collect();
        for (index, (pool, size, min, max)) in (0..).zip(&pools) {
            let more = min.saturating_add(held);
            // A pool that cannot grow is used as far as it goes.
            let min = if *max == 0 { more } else { more.min(*max) };
            query.set_nth_allocation_pool(index, pool.as_ref(), *size, min, *max);
        }
        if !pools.is_empty() {
            return;
        }
        let size = match query.get() {
            (Some(caps), true) => VideoInfo::from_caps(caps).map(|info| info.size()),
            _ => return,
        };
        if let Ok(Ok(size)) = size.map(u32::try_from) {
            query.add_allocation_pool(gst::BufferPool::NONE, size, held, 0);
        }
    }

    /// Finds out where overlays go from the next frame on, if something has changed since that was known. In the streaming
    /// thread, after the caps.
    pub(in crate::saliency) fn decide(&self) {
        if !self.undecided.swap(false, Ordering::Relaxed) {
            return;
        }
        let element = self.obj();
        let (source, sink) = (element.src_pad(), element.sink_pad());
        let (Some(from), Some(to)) = (sink.current_caps(), source.current_caps()) else {
            return;
        };
        let now = is_marked(&to);
        let draws = lock(&self.settings).overlay != Overlay::None;
        // A sink that pulls has its caps for good.
        let fixed = is_marked(&from) || !draws || source.mode() != gst::PadMode::Push;
        let beside = if fixed {
            now
        } else {
            let wanted = match self.shows_overlays(&to) {
                Some(wanted) => wanted,
                // A queue that fills itself answers nothing for now; what was known still holds.
                None if now && source.peer_query_accept_caps(&to) => {
                    self.undecided.store(true, Ordering::Relaxed);
                    true
                }
                None => false,
            };
            let other = marked(&to, wanted);
            // Downstream may take overlays without saying that it shows them.
            let changes = wanted != now && !source.peer_query_caps(Some(&other)).is_empty();
            now != (changes && self.change_caps(&to, &other))
        };
        gst::debug!(CAT, imp = self, "Overlays beside the pixels: {beside}");
        lock(&self.outlet).lay_beside(beside);
    }

    /// Whether downstream says that it shows overlays which come beside the pixels; `None` if it does not answer.
    fn shows_overlays(&self, caps: &gst::Caps) -> Option<bool> {
        let mut query = Allocation::new(Some(caps), false);
        let answered = self.obj().src_pad().peer_query(&mut query);
        let shows = || query.find_allocation_meta::<VideoOverlayCompositionMeta>();
        answered.then(|| shows().is_some())
    }

    /// Sends downstream `new` caps after the last frame of the `old` ones; false if it refuses them.
    fn change_caps(&self, old: &gst::Caps, new: &gst::Caps) -> bool {
        let element = self.obj();
        if self.drain().is_err() {
            // Flushed: asked again after that.
            return false;
        }
        if element.update_src_caps(new).is_ok() {
            return true;
        }
        if !element
            .src_pad()
            .pad_flags()
            .contains(gst::PadFlags::FLUSHING)
        {
            gst::warning!(
                CAT,
                imp = self,
                "Downstream said that it takes {new}, but does not"
            );
        }
        let _ = element.update_src_caps(old);
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The features of each structure: whether overlays come beside the frames.
    fn marks(caps: &gst::Caps) -> Vec<bool> {
        let marks = caps.iter_with_features();
        marks
            .map(|(_, features)| features.contains(FEATURE))
            .collect()
    }

    #[test]
    fn frames_without_overlays_may_leave_with_them_and_not_the_other_way_round() {
        gst::init().expect("GStreamer starts");
        let plain: gst::Caps = "video/x-raw,format=RGB".parse().expect("valid");
        let with = marked(&plain, true);
        let to = |caps| marks(&transformed(PadDirection::Sink, caps, None));
        let from = |caps| marks(&transformed(PadDirection::Src, caps, None));
        assert_eq!((to(&plain), to(&with)), (vec![false, true], vec![true]));
        assert_eq!(
            (from(&plain), from(&with)),
            (vec![false], vec![false, true])
        );
        let mut both = with.clone();
        both.merge(plain.clone());
        assert_eq!(from(&both), [false, true], "those without are first");
        let any = "video/x-raw(ANY),format=RGB".parse().expect("valid");
        assert_eq!(
            (to(&any), from(&any)),
            (vec![false, true], vec![false, true])
        );
        let filtered = transformed(PadDirection::Sink, &plain, Some(&with));
        assert_eq!(marks(&filtered), [true]);
        assert_eq!(marks(&preferred(&both, false)), [false]);
        assert_eq!(marks(&preferred(&both, true)), [true]);
        assert_eq!(
            marks(&preferred(&with, false)),
            [true],
            "nothing else there"
        );
        assert_eq!(marked(&with, false), plain);
    }
}

//! SECTION:element-casmesaliency
//!
//! `casmesaliency` finds the salient object of every video frame: what a classifier would look at,
//! whatever its class. It attaches
//!
//! * a `GstVideoRegionOfInterestMeta` of type `salient-object` with the object's box in pixels of the
//!   frame and a parameter structure `casm-saliency`; not if there is no object, or it is smaller than
//!   `min-area`;
//! * a `GstCasmMaskMeta` with the soft mask, on every frame;
//!
//! and, when asked to, draws (`overlay`), beside the pixels where downstream shows a
//! `GstVideoOverlayCompositionMeta` and else into them, and posts an element message `casm-saliency`
//! on the bus (`post-messages`).
//!
//! Frames of any size from 16x16 to 8192x8192 are taken as decoders and cameras give them; they are
//! resized and normalised inside. Pixels count as square. GAP and empty buffers are passed on without
//! a result.
//!
//! ## Live sources
//!
//! The LATENCY query is answered with what inferences take, and a LATENCY message says when that changes. Frames that
//! would leave the element more than two frame times late, or one and an inference where that takes longer, carry the
//! last result and its age (`late-policy`); so do those that a sink says are late, live or not. Put a `queue` after
//! the element: it holds frames until the sink shows them, which otherwise the source would have to wait for.
//! `async-depth` lets upstream go on while frames wait for their results, in their order.
//!
//! ## Example launch line
//! ```bash
//! gst-launch-1.0 videotestsrc pattern=ball num-buffers=100 ! casmesaliency overlay=contour ! videoconvert ! autovideosink
//! ```
//! ```bash
//! gst-launch-1.0 -m filesrc location=clip.mp4 ! decodebin ! casmesaliency post-messages=true ! fakesink
//! ```
//! ```bash
//! gst-launch-1.0 v4l2src ! videoconvert ! casmesaliency overlay=box ! queue ! videoconvert ! autovideosink
//! ```
//!
//! ## Metadata downstream
//!
//! Both metas survive what copies buffers (`queue`, `tee`, `videorate`), and `videoconvert` and
//! `videoscale`, which scale the box. Flipping, rotating, cropping and compositing drop both in
//! GStreamer 1.22: put `casmesaliency` after them. Two traps of 1.22 concern the region of interest
//! alone, so prefer the `GstCasmMaskMeta`, which has the same box and fields:
//!
//! * `videoconvert` and `videoscale` drop the parameter structure;
//! * where `videoscale` adds borders, the box is wrong; there the mask meta is dropped.

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, LazyLock, Mutex, MutexGuard, OnceLock};

use glib::prelude::*;
use gst::prelude::*;
use gst::subclass::prelude::*;
use gst_base::prelude::*;
use gst_base::subclass::base_transform::GenerateOutputSuccess;
use gst_base::subclass::prelude::*;

use crate::saliency::frame::intake::Intake;
use crate::saliency::frame::negotiation;
use crate::saliency::result::boxes;
use crate::saliency::result::outlet::Outlet;
use crate::saliency::settings::{READ_AT_START, STATS, Settings};
use crate::saliency::stats::Stats;
use crate::saliency::stream::FrameQueue;
use crate::saliency::stream::Waiting;
use crate::saliency::time::late::Lateness;
use crate::saliency::time::latency::LatencyEstimate;
use crate::saliency::worker::interrupt::Interrupt;
use crate::saliency::worker::shared::Instance;

pub(super) static CAT: LazyLock<gst::DebugCategory> = LazyLock::new(|| {
    gst::DebugCategory::new(
        "casmesaliency",
        gst::DebugColorFlags::empty(),
        Some("Salient object localisation"),
    )
});

/// The element. At most one of its own locks is held at a time, and none while the network runs, a frame is pushed or a
/// message posted. Locks of what it uses are taken inside: with that of `intake` those of instance, lane and worker, with
/// that of `outlet` that of the bytes that buffers share. They are held shortly and take no others.
#[derive(Default)]
pub struct CasmeSaliency {
    /// Shared with frames on their way, copied when it changes.
    pub(super) settings: Mutex<Arc<Settings>>,
    /// The model; exists between start and stop.
    pub(super) instance: Mutex<Option<Arc<Instance>>>,
    /// Frames on their way to the network; exists between start and stop.
    pub(super) intake: Mutex<Option<Intake>>,
    /// Frames on their way out.
    pub(super) outlet: Mutex<Outlet>,
    /// Frames between the two, with `async-depth`.
    pub(super) queue: FrameQueue<Waiting>,
    /// `async-depth` as it was at the start: frames would overtake others if it changed.
    pub(super) depth: AtomicU32,
    /// Wakes who waits for the network.
    pub(super) interrupt: Interrupt,
    pub(super) lateness: Mutex<Lateness>,
    pub(super) latency: Mutex<LatencyEstimate>,
    /// Whether the source is live, as it has last said.
    pub(super) live: AtomicBool,
    /// Whether it has been asked in this segment.
    pub(super) asked: AtomicBool,
    /// Whether a frame before the next one was dropped.
    pub(super) discont: AtomicBool,
    /// Whether it is to be found out if overlays go beside the pixels.
    pub(super) undecided: AtomicBool,
    /// The base class's `qos` is on because of `late-policy`.
    pub(super) sets_qos: AtomicBool,
    /// The caps of the frames that come.
    pub(super) taken: Mutex<Option<gst::Caps>>,
    pub(super) stats: Mutex<Stats>,
}

/// A panic in a thread that held the lock is reported there; it leaves nothing half done that
/// would hurt here.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex
        .lock()
        .unwrap_or_else(|poisoned| poisoned.into_inner())
}

#[glib::object_subclass]
impl ObjectSubclass for CasmeSaliency {
    const NAME: &'static str = "GstCasmeSaliency";
    type Type = super::CasmeSaliency;
    type ParentType = gst_base::BaseTransform;
}

impl ObjectImpl for CasmeSaliency {
    fn properties() -> &'static [glib::ParamSpec] {
        static PROPERTIES: OnceLock<Vec<glib::ParamSpec>> = OnceLock::new();
        PROPERTIES.get_or_init(Settings::specifications)
    }

    fn signals() -> &'static [glib::subclass::Signal] {
        static SIGNALS: OnceLock<[glib::subclass::Signal; 1]> = OnceLock::new();
        SIGNALS.get_or_init(|| [boxes::signal()])
    }

    fn set_property(&self, _id: usize, value: &glib::Value, pspec: &glib::ParamSpec) {
        let name = pspec.name();
        gst::info!(CAT, imp = self, "Setting {name} to {value:?}");
        Arc::make_mut(&mut lock(&self.settings)).set(name, value);
        self.take_effect(name);
        if READ_AT_START.contains(&name) && self.obj().current_state() > gst::State::Ready {
            gst::warning!(
                CAT,
                imp = self,
                "{name} takes effect when the element is started again"
            );
        }
    }

    fn property(&self, _id: usize, pspec: &glib::ParamSpec) -> glib::Value {
        match pspec.name() {
            STATS => {
                let latency = lock(&self.latency).current();
                lock(&self.stats).to_structure(latency).to_value()
            }
            name => lock(&self.settings).get(name),
        }
    }

    fn constructed(&self) {
        self.parent_constructed();
        // Without this the base class takes the GAP flag off.
        self.obj().set_gap_aware(true);
    }
}

impl GstObjectImpl for CasmeSaliency {}

impl ElementImpl for CasmeSaliency {
    fn metadata() -> Option<&'static gst::subclass::ElementMetadata> {
        static METADATA: LazyLock<gst::subclass::ElementMetadata> = LazyLock::new(|| {
            gst::subclass::ElementMetadata::new(
                "Salient object localiser",
                "Filter/Analyzer/Video",
                "Finds the salient object of every frame: box, soft mask, overlay (classifier-agnostic saliency maps)",
                "The casm developers",
            )
        });
        Some(&METADATA)
    }

    fn pad_templates() -> &'static [gst::PadTemplate] {
        static TEMPLATES: LazyLock<Vec<gst::PadTemplate>> = LazyLock::new(|| {
            let caps = negotiation::caps();
            [
                ("sink", gst::PadDirection::Sink),
                ("src", gst::PadDirection::Src),
            ]
            .map(|(name, direction)| {
                gst::PadTemplate::new(name, direction, gst::PadPresence::Always, &caps)
                    .expect("names and caps are constant")
            })
            .into()
        });
        &TEMPLATES
    }

    fn change_state(
        &self,
        transition: gst::StateChange,
    ) -> Result<gst::StateChangeSuccess, gst::StateChangeError> {
        if transition == gst::StateChange::PausedToReady {
            // Before the pads are closed, which waits for those who wait here.
            self.discard();
            self.stop_task();
        }
        self.parent_change_state(transition)
    }
}

impl BaseTransformImpl for CasmeSaliency {
    const MODE: gst_base::subclass::BaseTransformMode =
        gst_base::subclass::BaseTransformMode::AlwaysInPlace;
    const PASSTHROUGH_ON_SAME_CAPS: bool = false;
    const TRANSFORM_IP_ON_PASSTHROUGH: bool = false;

    fn start(&self) -> Result<(), gst::ErrorMessage> {
        self.begin()
    }

    fn stop(&self) -> Result<(), gst::ErrorMessage> {
        self.end();
        Ok(())
    }

    fn transform_caps(
        &self,
        direction: gst::PadDirection,
        caps: &gst::Caps,
        filter: Option<&gst::Caps>,
    ) -> Option<gst::Caps> {
        Some(negotiation::transformed(direction, caps, filter))
    }

    fn fixate_caps(
        &self,
        direction: gst::PadDirection,
        caps: &gst::Caps,
        othercaps: gst::Caps,
    ) -> gst::Caps {
        let beside = lock(&self.outlet).lays_beside();
        let chosen = negotiation::preferred(&othercaps, beside);
        match direction {
            // Frames leave as they have come: nothing that downstream would like is added to their description.
            gst::PadDirection::Sink if !chosen.is_empty() => negotiation::like(caps, &chosen),
            _ => self.parent_fixate_caps(direction, caps, chosen),
        }
    }

    fn set_caps(&self, incaps: &gst::Caps, _outcaps: &gst::Caps) -> Result<(), gst::LoggableError> {
        self.take_caps(incaps)
    }

    fn propose_allocation(
        &self,
        _decide_query: Option<&gst::query::Allocation>,
        query: &mut gst::query::Allocation,
    ) -> Result<(), gst::LoggableError> {
        self.propose(query);
        Ok(())
    }

    fn sink_event(&self, event: gst::Event) -> bool {
        self.handle_sink_event(event)
    }

    fn src_event(&self, event: gst::Event) -> bool {
        self.handle_src_event(event)
    }

    fn query(&self, direction: gst::PadDirection, query: &mut gst::QueryRef) -> bool {
        self.handle_query(direction, query)
    }

    fn submit_input_buffer(
        &self,
        is_discont: bool,
        buffer: gst::Buffer,
    ) -> Result<gst::FlowSuccess, gst::FlowError> {
        if !self.asked.swap(true, Ordering::Relaxed) {
            self.ask_liveness();
        }
        if self.obj().src_pad().needs_reconfigure() {
            let _ = self.drain();
        }
        let submitted = self.parent_submit_input_buffer(is_discont, buffer)?;
        if submitted == gst_base::BASE_TRANSFORM_FLOW_DROPPED {
            lock(&self.stats).count_dropped();
            self.discont.store(true, Ordering::Relaxed);
        }
        self.decide();
        Ok(submitted)
    }

    // In place of the base class's, which calls `transform_ip` and pushes in this thread.
    fn generate_output(&self) -> Result<GenerateOutputSuccess, gst::FlowError> {
        match self.take_queued_buffer() {
            Some(buffer) => self.generate(buffer),
            None => Ok(GenerateOutputSuccess::NoOutput),
        }
    }
}

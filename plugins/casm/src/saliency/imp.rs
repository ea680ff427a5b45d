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
//! and, when asked to, draws into the frame (`overlay`) and posts an element message `casm-saliency`
//! on the bus (`post-messages`).
//!
//! Frames of any size from 16x16 to 8192x8192 are taken as decoders and cameras give them; they are
//! resized and normalised inside. Pixels count as square. GAP and empty buffers are passed on without
//! a result.
//!
//! ## Example launch line
//! ```bash
//! gst-launch-1.0 videotestsrc pattern=ball num-buffers=100 ! casmesaliency overlay=contour ! videoconvert ! autovideosink
//! ```
//! ```bash
//! gst-launch-1.0 -m filesrc location=clip.mp4 ! decodebin ! casmesaliency post-messages=true ! fakesink
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

use std::sync::{LazyLock, Mutex, MutexGuard, OnceLock};
use std::time::Duration;

use glib::prelude::*;
use gst::prelude::*;
use gst::subclass::prelude::*;
use gst_base::prelude::*;
use gst_base::subclass::prelude::*;
use gst_video::{VideoCropMeta, VideoInfo};

use super::analysis::{Analysis, Outcome};
use super::error::error_message;
use super::frame::{self, FrameLayout};
use super::message::{FrameTime, message_structure};
use super::settings::{READ_AT_START, STATS, Settings};
use super::stats::Stats;

static CAT: LazyLock<gst::DebugCategory> = LazyLock::new(|| {
    gst::DebugCategory::new(
        "casmesaliency",
        gst::DebugColorFlags::empty(),
        Some("Salient object localisation"),
    )
});

/// The element. At most one of the three locks is held at a time.
#[derive(Default)]
pub struct CasmeSaliency {
    settings: Mutex<Settings>,
    /// Exists between start and stop. Held during inference: only the streaming thread and what
    /// excludes it (start, stop, serialised events) want it.
    analysis: Mutex<Option<Analysis>>,
    stats: Mutex<Stats>,
}

/// A panic in a thread that held the lock is reported there; it leaves nothing half done that
/// would hurt here.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
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

    fn set_property(&self, _id: usize, value: &glib::Value, pspec: &glib::ParamSpec) {
        let name = pspec.name();
        gst::info!(CAT, imp = self, "Setting {name} to {value:?}");
        lock(&self.settings).set(name, value);
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
            STATS => lock(&self.stats).to_structure().to_value(),
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
            let caps = frame::caps();
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
}

impl BaseTransformImpl for CasmeSaliency {
    const MODE: gst_base::subclass::BaseTransformMode =
        gst_base::subclass::BaseTransformMode::AlwaysInPlace;
    const PASSTHROUGH_ON_SAME_CAPS: bool = false;
    const TRANSFORM_IP_ON_PASSTHROUGH: bool = false;

    fn start(&self) -> Result<(), gst::ErrorMessage> {
        let settings = lock(&self.settings).clone();
        let (analysis, stats) = Analysis::open(&settings).map_err(|error| {
            gst::error!(CAT, imp = self, "Cannot start: {error}");
            error_message(&error)
        })?;
        gst::info!(CAT, imp = self, "Started: {stats:?}");
        *lock(&self.analysis) = Some(analysis);
        *lock(&self.stats) = stats;
        Ok(())
    }

    fn stop(&self) -> Result<(), gst::ErrorMessage> {
        *lock(&self.analysis) = None;
        gst::info!(CAT, imp = self, "Stopped");
        Ok(())
    }

    fn set_caps(&self, incaps: &gst::Caps, _outcaps: &gst::Caps) -> Result<(), gst::LoggableError> {
        let layout = VideoInfo::from_caps(incaps)
            .map_err(|_| "not a description of raw video".to_owned())
            .and_then(FrameLayout::new)
            .map_err(|reason| {
                // The base class would say no more than "not negotiated".
                gst::element_imp_error!(
                    self,
                    gst::StreamError::Format,
                    ("{incaps} cannot be used: {reason}")
                );
                gst::loggable_error!(CAT, "{incaps} cannot be used: {reason}")
            })?;
        gst::debug!(CAT, imp = self, "Caps {incaps}");
        if let Some(analysis) = lock(&self.analysis).as_mut() {
            analysis.set_layout(layout);
        }
        Ok(())
    }

    fn propose_allocation(
        &self,
        _decide_query: Option<&gst::query::Allocation>,
        query: &mut gst::query::Allocation,
    ) -> Result<(), gst::LoggableError> {
        // Buffers go on as they come, so upstream may do what downstream understands: padded rows
        // (GstVideoMeta) and its pools, but no more.
        if !self.obj().src_pad().peer_query(query) {
            gst::debug!(CAT, imp = self, "Downstream proposes nothing");
        }
        // A cropped frame would have its box in pixels of the whole.
        while let Some(index) = query.find_allocation_meta::<VideoCropMeta>() {
            query.remove_nth_allocation_meta(index);
        }
        Ok(())
    }

    fn sink_event(&self, event: gst::Event) -> bool {
        use gst::EventView;
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
            if let Some(analysis) = lock(&self.analysis).as_mut() {
                analysis.forget();
            }
        }
        self.parent_sink_event(event)
    }

    fn transform_ip(
        &self,
        buffer: &mut gst::BufferRef,
    ) -> Result<gst::FlowSuccess, gst::FlowError> {
        if buffer.flags().contains(gst::BufferFlags::GAP) || buffer.size() == 0 {
            gst::log!(CAT, imp = self, "Passing on {buffer:?} without a look");
            lock(&self.stats).count_gap();
            return Ok(gst::FlowSuccess::Ok);
        }
        self.sync_controlled_properties(buffer.pts());
        // A copy: the lock is not held while the network runs.
        let settings = lock(&self.settings).clone();
        let Processed {
            inference,
            drawn,
            message,
        } = self.process(buffer, &settings)?;
        lock(&self.stats).count_frame(inference, drawn);
        if let Some(message) = message {
            // May fail if nobody listens.
            let _ = self.obj().post_message(message);
        }
        Ok(gst::FlowSuccess::Ok)
    }
}

/// What is left to do after a frame.
struct Processed {
    inference: Option<Duration>,
    drawn: bool,
    message: Option<gst::Message>,
}

impl CasmeSaliency {
    fn process(
        &self,
        buffer: &mut gst::BufferRef,
        settings: &Settings,
    ) -> Result<Processed, gst::FlowError> {
        let processed = match lock(&self.analysis).as_mut() {
            Some(analysis) => analysis.process(buffer, settings).map(|outcome| {
                let Outcome {
                    finding,
                    inference,
                    drawn,
                    frame,
                } = outcome?;
                let found = finding.localization.bounding_box();
                gst::log!(
                    CAT,
                    imp = self,
                    "Frame {frame}: {found:?}, age {}, {inference:?}",
                    finding.age
                );
                let message = settings.post_messages.then(|| {
                    let time = FrameTime::new(&self.obj().segment(), buffer.pts());
                    gst::message::Element::builder(message_structure(finding, frame, &time))
                        .src(&*self.obj())
                        .build()
                });
                Some(Processed {
                    inference,
                    drawn,
                    message,
                })
            }),
            None => return Err(gst::FlowError::Flushing),
        };
        // Without a lock, since who gets the message may ask for properties.
        match processed {
            Ok(processed) => processed.ok_or(gst::FlowError::NotNegotiated),
            Err(error) => {
                gst::error!(CAT, imp = self, "{error}");
                self.post_error_message(error_message(&error));
                Err(gst::FlowError::Error)
            }
        }
    }

    /// Lets control bindings set the controllable properties for this frame.
    fn sync_controlled_properties(&self, pts: Option<gst::ClockTime>) {
        let element = self.obj();
        if !element.has_active_control_bindings() {
            return;
        }
        if let Some(time) = FrameTime::new(&element.segment(), pts).stream_time
            && element.sync_values(time).is_err()
        {
            gst::warning!(
                CAT,
                imp = self,
                "Cannot sync the controlled properties to {time}"
            );
        }
    }
}

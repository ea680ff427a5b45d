//! Frames on their way to the network: which of them go there.

use std::sync::Arc;

use crate::saliency::frame::FrameLayout;
use crate::saliency::frame::regions::{self, RoiMode};
use crate::saliency::settings::Settings;
use crate::saliency::worker::inquiry::{Desk, Draft, Inquiry, Part};
use crate::saliency::worker::lane::Lane;
use crate::saliency::worker::model::Model;
use crate::saliency::worker::shared::Instance;

/// The worker helps with the input of frames of so many pixels or more; it wakes up in the time that smaller ones take.
const LARGE: u64 = 1 << 20;

/// What a stream has between start and stop, as far as the arriving frames need it.
pub struct Intake {
    instance: Arc<Instance>,
    lane: Lane,
    /// Of the last inquiry.
    model: Arc<Model>,
    layout: Option<Arc<FrameLayout>>,
    carried: Carried,
    /// Except while an inquiry is prepared.
    desk: Desk,
    /// Those of inquiries that have ended, for the memory.
    parts: Vec<Vec<Part>>,
}

/// What the next frame may carry on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Carried {
    /// Nothing.
    Nothing,
    /// The result of an inference so many frames ago.
    Inferred(u32),
    /// That there was no region of interest to look into.
    NoRegion,
}

/// What is known of a frame before anything is done with it.
pub struct Prospect {
    /// How it lies in memory.
    pub layout: Arc<FrameLayout>,
    /// Whether it is to have a result of its own, as far as properties say.
    pub due: bool,
    /// Whether the network has nothing to do for that: there is no region of interest.
    pub bare: bool,
    /// Whether there is a result that it could carry instead.
    pub carries: bool,
}

impl Intake {
    /// A stream of `instance`.
    pub fn new(instance: Arc<Instance>) -> Intake {
        Intake {
            lane: instance.add_stream(),
            model: instance.model(),
            instance,
            layout: None,
            carried: Carried::Nothing,
            desk: Desk::default(),
            parts: Vec::new(),
        }
    }

    /// From now on, frames have this layout. The last result does not hold for them.
    pub fn set_layout(&mut self, layout: FrameLayout) {
        self.layout = Some(Arc::new(layout));
        self.forget();
    }

    /// How frames lie in memory; `None` if that is not known yet.
    pub fn layout(&self) -> Option<Arc<FrameLayout>> {
        self.layout.clone()
    }

    /// The next frame does not continue the last one: no result is carried over to it.
    pub fn forget(&mut self) {
        self.carried = Carried::Nothing;
    }

    /// How many frames of this stream are still to be computed.
    pub fn open(&self) -> usize {
        self.lane.open()
    }

    /// What the next frame, in `buffer`, asks for; `None` if its layout is not known yet.
    ///
    /// A frame without a region of interest is always due: what was found in others' regions does not hold for it, and
    /// it costs nothing. So is the first with one after it, which has nothing to carry on.
    pub fn look(&mut self, buffer: &gst::BufferRef, settings: &Settings) -> Option<Prospect> {
        let layout = self.layout.clone()?;
        let regions = &mut self.desk.regions;
        regions.clear();
        let bare = settings.roi_mode == RoiMode::Upstream && {
            let size = (layout.width(), layout.height());
            regions::find(buffer, size, settings.max_objects as usize, regions);
            regions.is_empty()
        };
        let due = match self.carried {
            _ if bare => true,
            Carried::Inferred(age) => {
                age.saturating_add(1) >= settings.inference_interval
                    || !Arc::ptr_eq(&self.model, &self.instance.model())
            }
            Carried::Nothing | Carried::NoRegion => true,
        };
        Some(Prospect {
            layout,
            due,
            bare,
            carries: self.carried != Carried::Nothing,
        })
    }

    /// The frame carries the last result.
    pub fn reuse(&mut self) {
        if let Carried::Inferred(age) = &mut self.carried {
            *age = age.saturating_add(1);
        }
    }

    /// Begins an inquiry about the frame that was looked at, to be prepared without the stream's lock and then given
    /// to [`submit`](Self::submit), and its desk back; `None` if its layout is not known yet.
    pub fn draft(&mut self, settings: &Settings) -> Option<Draft> {
        let layout = self.layout.clone()?;
        self.model = self.instance.model();
        let (lane, desk) = (self.lane.clone(), std::mem::take(&mut self.desk));
        let parts = self.parts.pop().unwrap_or_default();
        let engine = self.model.description();
        let made_here = settings.roi_mode == RoiMode::Full && !engine.prepares_input;
        // Who gives the engine one thread gives this stream no second one either.
        let worth_it = made_here && layout.pixels() >= LARGE && engine.threads != 1;
        let helped = worth_it && self.instance.claim_help();
        let model = self.model.clone();
        Some(Draft::new(lane, model, layout, desk, parts, helped))
    }

    /// Gives the network what was prepared, and is on `desk`.
    pub fn submit(&mut self, inquiry: &Inquiry, desk: &mut Desk) {
        self.carried = if inquiry.parts.is_empty() {
            Carried::NoRegion
        } else {
            Carried::Inferred(0)
        };
        self.instance.submit(&mut desk.jobs);
    }

    /// Takes back the desk, for its memory.
    pub fn put_back(&mut self, desk: Desk) {
        self.desk = desk;
    }

    /// Takes back what is left of an inquiry.
    pub fn recycle(&mut self, mut parts: Vec<Part>) {
        for answer in parts.drain(..).filter_map(|part| part.answer) {
            self.lane.recycle(answer.picture);
        }
        self.parts.push(parts);
    }
}

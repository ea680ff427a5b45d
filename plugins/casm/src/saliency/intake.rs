//! Frames on their way to the network: which of them go there, and as what pixels.

use std::sync::Arc;
use std::time::{Duration, Instant};

use casm_core::input::InputBuilder;
use casm_core::localizer::LocalizeOptions;
use casm_core::{BoundingBox, Frame, Geometry, Resize, Result};

use super::frame::FrameLayout;
use super::lane::{Answer, Job, LaidBuffer, Lane, Picture, Ticket};
use super::model::Model;
use super::regions::{self, Region, RoiMode};
use super::settings::Settings;
use super::shared::Instance;

/// What a stream has between start and stop, as far as the arriving frames need it.
pub struct Intake {
    instance: Arc<Instance>,
    lane: Lane,
    /// Of the last inference.
    model: Arc<Model>,
    input: InputBuilder,
    layout: Option<Arc<FrameLayout>>,
    /// Frames since the last inference whose result may be carried on; `None` without one.
    age: Option<u32>,
    /// Those of a frame, on their way; kept for the memory, as are the next two.
    jobs: Vec<Job>,
    regions: Vec<Region>,
    parts: Vec<Vec<Part>>,
}

/// What the network has been given of a frame.
pub struct Inquiry {
    /// Pictures, and what they show: one of the whole frame, or one of each region of interest.
    pub parts: Vec<Part>,
    /// Where the network looks.
    pub mode: RoiMode,
    /// Whose answer that will be.
    pub model: Arc<Model>,
    /// How the frame lies on a mask.
    pub geometry: Geometry,
    /// What is done with the masks.
    pub options: LocalizeOptions,
    /// What it took to prepare the pictures.
    pub prepared: Duration,
}

/// A picture that the network has been given.
pub struct Part {
    /// For the answer.
    pub ticket: Ticket,
    /// When it is there.
    pub answer: Option<Answer>,
    /// What it shows of the frame.
    pub area: BoundingBox,
    /// How that lies on the network's square.
    pub geometry: Geometry,
    /// The region of interest that it was taken for.
    pub region: Option<Region>,
}

impl Intake {
    /// A stream of `instance`.
    pub fn new(instance: Arc<Instance>) -> Intake {
        Intake {
            lane: instance.add_stream(),
            model: instance.model(),
            instance,
            input: InputBuilder::default(),
            layout: None,
            age: None,
            jobs: Vec::new(),
            regions: Vec::new(),
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
        self.age = None;
    }

    /// Whether the next frame is to have an inference, as far as properties say.
    pub fn due(&self, settings: &Settings) -> bool {
        let carried = self.age.map(|age| age.saturating_add(1));
        carried.is_none_or(|age| age >= settings.inference_interval)
            || !Arc::ptr_eq(&self.model, &self.instance.model())
    }

    /// Whether there is a result that a frame could carry instead.
    pub fn has_result(&self) -> bool {
        self.age.is_some()
    }

    /// How many frames of this stream are still to be computed.
    pub fn open(&self) -> usize {
        self.lane.open()
    }

    /// The next frame carries the last result.
    pub fn reuse(&mut self) {
        self.age = self.age.map(|age| age.saturating_add(1));
    }

    /// Gives the network the frame in `buffer`, or its regions of interest; `None` if its layout is not known yet.
    ///
    /// # Errors
    /// [`casm_core::Error::Frame`] if the buffer does not hold the frame that was announced.
    pub fn inquire(
        &mut self,
        buffer: &gst::Buffer,
        settings: &Settings,
    ) -> Result<Option<Inquiry>> {
        let Some(layout) = self.layout.clone() else {
            return Ok(None);
        };
        let begin = Instant::now();
        self.model = self.instance.model();
        let size = (layout.width(), layout.height());
        let whole = BoundingBox {
            x: 0,
            y: 0,
            width: size.0,
            height: size.1,
        };
        let mut parts = self.parts.pop().unwrap_or_default();
        let mode = settings.roi_mode;
        let taken = match mode {
            RoiMode::Full if self.model.description().prepares_input => {
                self.take_as_is(buffer, &layout, whole, &mut parts);
                Ok(())
            }
            RoiMode::Full => layout.read(buffer, |frame| {
                self.take(frame, whole, None, true, &mut parts)
            }),
            RoiMode::Upstream => {
                let mut regions = std::mem::take(&mut self.regions);
                regions::find(buffer, size, settings.max_objects as usize, &mut regions);
                let taken = self.take_regions(buffer, &layout, &regions, &mut parts);
                self.regions = regions;
                taken
            }
        };
        if let Err(error) = taken {
            self.jobs.clear();
            self.recycle(parts);
            return Err(error);
        }
        let header = self.model.header();
        let inquiry = Inquiry {
            parts,
            mode,
            model: self.model.clone(),
            geometry: Geometry::new(Resize::Stretch, size.0, size.1, header.input.size),
            options: settings.localize_options(header),
            prepared: begin.elapsed(),
        };
        self.age = Some(0);
        self.instance.submit(&mut self.jobs);
        Ok(Some(inquiry))
    }

    /// The frame itself, for an engine that prepares its input. Regions, which share a frame, are prepared here for
    /// such an engine too.
    fn take_as_is(
        &mut self,
        buffer: &gst::Buffer,
        layout: &Arc<FrameLayout>,
        whole: BoundingBox,
        parts: &mut Vec<Part>,
    ) {
        let side = self.model.header().input.size;
        let geometry = Geometry::new(Resize::Stretch, whole.width, whole.height, side);
        let mut picture = self.lane.picture();
        picture.frame = Some(LaidBuffer {
            buffer: buffer.clone(),
            layout: layout.clone(),
            geometry,
        });
        parts.push(self.part(picture, whole, geometry, None, true));
    }

    /// A picture of each region.
    fn take_regions(
        &mut self,
        buffer: &gst::BufferRef,
        layout: &FrameLayout,
        regions: &[Region],
        parts: &mut Vec<Part>,
    ) -> Result<()> {
        if regions.is_empty() {
            return Ok(());
        }
        layout.read(buffer, |frame| {
            let mut regions = regions.iter().peekable();
            while let Some(region) = regions.next() {
                let last = regions.peek().is_none();
                self.take(frame, region.area(), Some(*region), last, parts)?;
            }
            Ok(())
        })
    }

    /// A picture of what `area` covers of the frame.
    fn take(
        &mut self,
        frame: &Frame<'_>,
        area: BoundingBox,
        region: Option<Region>,
        last: bool,
        parts: &mut Vec<Part>,
    ) -> Result<()> {
        let Some((frame, area)) = frame.part(area) else {
            return Ok(());
        };
        let side = self.model.header().input.size;
        let geometry = Geometry::new(Resize::Stretch, area.width, area.height, side);
        let mut picture = self.lane.picture();
        self.input.build(&frame, &geometry, &mut picture.pixels)?;
        parts.push(self.part(picture, area, geometry, region, last));
        Ok(())
    }

    /// Makes a job of a picture; its part of the inquiry.
    fn part(
        &mut self,
        picture: Picture,
        area: BoundingBox,
        geometry: Geometry,
        region: Option<Region>,
        last: bool,
    ) -> Part {
        let (job, ticket) = self.lane.job(self.model.clone(), picture, last);
        self.jobs.push(job);
        Part {
            ticket,
            answer: None,
            area,
            geometry,
            region,
        }
    }

    /// Takes back what is left of an inquiry.
    pub fn recycle(&mut self, mut parts: Vec<Part>) {
        for answer in parts.drain(..).filter_map(|part| part.answer) {
            self.lane.recycle(answer.picture);
        }
        self.parts.push(parts);
    }
}

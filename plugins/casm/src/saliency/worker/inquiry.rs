//! What the network is asked about one frame: pictures of it, or the frame itself.

use std::sync::Arc;
use std::time::Instant;

use casm_core::input::InputBuilder;
use casm_core::localizer::LocalizeOptions;
use casm_core::{BoundingBox, Frame, Geometry, Resize, Result};

use crate::saliency::frame::FrameLayout;
use crate::saliency::frame::held::{LaidBuffer, MappedFrame};
use crate::saliency::frame::regions::{Region, RoiMode};
use crate::saliency::settings::Settings;
use crate::saliency::worker::lane::{Job, Lane, Ticket};
use crate::saliency::worker::model::Model;
use crate::saliency::worker::picture::{Answer, Content, Picture};

/// What the network has been given of a frame.
pub struct Inquiry {
    /// Pictures, and what they show: one of the whole frame, or one of each region of interest. None where there is no
    /// region: then there is nothing to wait for, and nothing is found.
    pub parts: Vec<Part>,
    /// Where the network looks.
    pub mode: RoiMode,
    /// Whose answer that will be.
    pub model: Arc<Model>,
    /// How the frame lies on a mask.
    pub geometry: Geometry,
    /// What is done with the masks.
    pub options: LocalizeOptions,
    /// When its pictures were begun with.
    pub begun: Instant,
    /// When they were ready for the worker, but for what is left to it.
    pub submitted: Instant,
}

impl Inquiry {
    /// Makes what was left to the worker too, which has it by now, together with it.
    ///
    /// # Errors
    /// As [`Draft::prepare`].
    pub fn make_strips(&mut self, desk: &mut Desk) -> Result<()> {
        for part in &mut self.parts {
            // Let go of at the end: the stream may draw in its buffer when the answer is there.
            if let (Some(mapped), Some(strips)) = (part.mapped.take(), part.ticket.strips()) {
                strips.make(&mut desk.input, &mapped.frame()?)?;
            }
        }
        Ok(())
    }
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
    /// The frame, while both this thread and the worker make its picture.
    pub mapped: Option<Arc<MappedFrame>>,
}

/// What pictures are made with, kept for its memory from frame to frame.
#[derive(Default)]
pub struct Desk {
    input: InputBuilder,
    /// The frame's regions of interest.
    pub regions: Vec<Region>,
    /// On their way to the worker.
    pub jobs: Vec<Job>,
}

/// An inquiry that is being prepared. That takes as long as a resize, so the stream's locks are not held meanwhile.
pub struct Draft {
    /// Before the jobs, whose tickets these have: dropped, they are given up.
    parts: Vec<Part>,
    desk: Desk,
    lane: Lane,
    model: Arc<Model>,
    layout: Arc<FrameLayout>,
    /// Whether the worker helps with a whole frame.
    helped: bool,
}

impl Draft {
    /// Of a frame with this layout, in memory of earlier ones, for a network; `lane` leads there. `parts` are none.
    /// `helped`: the worker does nothing else, and helps with a whole frame.
    pub fn new(
        lane: Lane,
        model: Arc<Model>,
        layout: Arc<FrameLayout>,
        desk: Desk,
        parts: Vec<Part>,
        helped: bool,
    ) -> Draft {
        Draft {
            parts,
            desk,
            lane,
            model,
            layout,
            helped,
        }
    }

    /// Prepares the frame in `buffer`, or its regions of interest; the jobs are then on the desk.
    ///
    /// # Errors
    /// [`casm_core::Error::Frame`] if the buffer does not hold the frame that was announced.
    pub fn prepare(mut self, buffer: &gst::Buffer, settings: &Settings) -> Result<(Inquiry, Desk)> {
        let begun = Instant::now();
        let layout = self.layout.clone();
        let (width, height) = (layout.width(), layout.height());
        let whole = BoundingBox {
            x: 0,
            y: 0,
            width,
            height,
        };
        match settings.roi_mode {
            RoiMode::Full if self.model.description().prepares_input => {
                self.take_as_is(buffer, whole);
            }
            RoiMode::Full if self.helped => self.take_in_strips(buffer, whole)?,
            RoiMode::Full => {
                layout.read(buffer, |frame| self.take(frame, whole, None, true))?;
            }
            RoiMode::Upstream => self.take_regions(buffer)?,
        }
        let header = self.model.header();
        let inquiry = Inquiry {
            parts: self.parts,
            mode: settings.roi_mode,
            geometry: Geometry::new(Resize::Stretch, width, height, header.input.size),
            options: settings.localize_options(header),
            model: self.model,
            begun,
            submitted: Instant::now(),
        };
        Ok((inquiry, self.desk))
    }

    /// The frame itself, for an engine that prepares its input. Regions, which share a frame, are prepared here for
    /// such an engine too.
    fn take_as_is(&mut self, buffer: &gst::Buffer, whole: BoundingBox) {
        let frame = LaidBuffer {
            buffer: buffer.clone(),
            layout: self.layout.clone(),
            geometry: self.geometry(whole),
        };
        let picture = self.lane.picture();
        self.add(picture, Content::Frame(frame), whole, None, true);
    }

    /// The frame, for the worker and this thread to make a picture of it together.
    fn take_in_strips(&mut self, buffer: &gst::Buffer, whole: BoundingBox) -> Result<()> {
        let geometry = self.geometry(whole);
        let mapped = MappedFrame::new(buffer, self.layout.clone(), geometry)?;
        let mapped = Arc::new(mapped);
        let picture = self.lane.picture();
        self.add(picture, Content::Strips(mapped.clone()), whole, None, true);
        if let Some(part) = self.parts.last_mut() {
            part.mapped = Some(mapped);
        }
        Ok(())
    }

    /// A picture of each region.
    fn take_regions(&mut self, buffer: &gst::BufferRef) -> Result<()> {
        let regions = std::mem::take(&mut self.desk.regions);
        let taken = match regions.len().checked_sub(1) {
            // Not even mapped.
            None => Ok(()),
            Some(last) => self.layout.clone().read(buffer, |frame| {
                let mut regions = regions.iter().enumerate();
                regions.try_for_each(|(index, region)| {
                    self.take(frame, region.area(), Some(*region), index == last)
                })
            }),
        };
        self.desk.regions = regions;
        taken
    }

    /// A picture of what `area` covers of the frame.
    fn take(
        &mut self,
        frame: &Frame<'_>,
        area: BoundingBox,
        region: Option<Region>,
        last: bool,
    ) -> Result<()> {
        let Some((frame, area)) = frame.part(area) else {
            return Ok(());
        };
        let mut picture = self.lane.picture();
        let geometry = self.geometry(area);
        self.desk
            .input
            .build(&frame, &geometry, &mut picture.pixels)?;
        self.add(picture, Content::Pixels, area, region, last);
        Ok(())
    }

    /// Makes a job of a picture, or of the frame in its place.
    fn add(
        &mut self,
        picture: Picture,
        content: Content,
        area: BoundingBox,
        region: Option<Region>,
        last: bool,
    ) {
        let (job, ticket) = self.lane.job(self.model.clone(), picture, content, last);
        self.desk.jobs.push(job);
        self.parts.push(Part {
            ticket,
            answer: None,
            area,
            geometry: self.geometry(area),
            region,
            mapped: None,
        });
    }

    /// How what `area` covers lies on the network's square.
    fn geometry(&self, area: BoundingBox) -> Geometry {
        let side = self.model.header().input.size;
        Geometry::new(Resize::Stretch, area.width, area.height, side)
    }
}

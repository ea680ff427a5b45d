//! Frames on their way to the network: which of them go there, and as what pixels.

use std::sync::Arc;
use std::time::{Duration, Instant};

use casm_core::input::InputBuilder;
use casm_core::localizer::LocalizeOptions;
use casm_core::{Geometry, Resize, Result};

use super::frame::FrameLayout;
use super::model::Model;
use super::settings::Settings;
use super::shared::Instance;
use super::worker::{Picture, Ticket};

/// What a stream has between start and stop, as far as the arriving frames need it.
pub struct Intake {
    instance: Arc<Instance>,
    stream: u64,
    /// Of the last inference.
    model: Arc<Model>,
    input: InputBuilder,
    layout: Option<Arc<FrameLayout>>,
    /// Frames since the last inference whose result may be carried on; `None` without one.
    age: Option<u32>,
}

/// A picture that the network has been given.
pub struct Inquiry {
    /// For the answer.
    pub ticket: Ticket,
    /// Whose answer that will be.
    pub model: Arc<Model>,
    /// How the frame lies on the network's square.
    pub geometry: Geometry,
    /// What is done with the mask.
    pub options: LocalizeOptions,
    /// What it took to prepare the picture.
    pub prepared: Duration,
}

impl Intake {
    /// A stream of `instance`.
    pub fn new(instance: Arc<Instance>) -> Intake {
        Intake {
            stream: instance.add_stream(),
            model: instance.model(),
            instance,
            input: InputBuilder::default(),
            layout: None,
            age: None,
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

    /// The next frame carries the last result.
    pub fn reuse(&mut self) {
        self.age = self.age.map(|age| age.saturating_add(1));
    }

    /// Gives the network the frame in `buffer`; `None` if its layout is not known yet.
    ///
    /// # Errors
    /// [`casm_core::Error::Frame`] if the buffer does not hold the frame that was announced.
    pub fn inquire(
        &mut self,
        buffer: &gst::Buffer,
        settings: &Settings,
    ) -> Result<Option<Inquiry>> {
        let Some(layout) = &self.layout else {
            return Ok(None);
        };
        let begin = Instant::now();
        self.model = self.instance.model();
        let header = self.model.header();
        let geometry = Geometry::new(
            Resize::Stretch,
            layout.width(),
            layout.height(),
            header.input.size,
        );
        let picture = if self.model.description().prepares_input {
            Picture::Frame {
                buffer: buffer.clone(),
                layout: layout.clone(),
                geometry,
            }
        } else {
            let mut pixels = Vec::new();
            layout.read(buffer, |frame| {
                self.input.build(frame, &geometry, &mut pixels)
            })?;
            Picture::Pixels(pixels)
        };
        let options = settings.localize_options(header);
        let prepared = begin.elapsed();
        self.age = Some(0);
        Ok(Some(Inquiry {
            ticket: self
                .instance
                .submit(self.stream, self.model.clone(), picture),
            model: self.model.clone(),
            geometry,
            options,
            prepared,
        }))
    }
}

//! Frames on their way out: the network's answer, or the last one again, as metadata and overlay.

use std::sync::Arc;

use casm_core::Result;
use casm_core::engine::Output;
use casm_core::localizer::Postprocessing;
use casm_core::overlay::{Overlay, OverlayMode};
use casm_core::track::{MaskAverage, Tracker};

use super::finding::Finding;
use super::frame::FrameLayout;
use super::intake::Inquiry;
use super::meta;
use super::model::Model;
use super::settings::Settings;

/// What a stream remembers of its results. Frames come here in their order, in whatever thread pushes them.
#[derive(Default)]
pub struct Outlet {
    postprocessing: Postprocessing,
    overlay: Overlay,
    last: Option<Finding>,
    /// That of the last result: averages and tracks do not go on from one model to another.
    model: Option<Arc<Model>>,
    average: MaskAverage,
    tracker: Tracker,
    attacher: meta::Attacher,
    frames: u64,
}

/// What was done with one frame.
pub struct Outcome<'a> {
    /// What goes with the frame.
    pub finding: &'a Finding,
    /// Whether something was drawn.
    pub drawn: bool,
    /// Number of the frame since the start.
    pub frame: u64,
}

impl Outlet {
    /// The next frame does not continue the last one: no result is carried over to it.
    pub fn forget(&mut self) {
        self.last = None;
        self.average.forget();
        self.tracker.forget();
        self.attacher.forget();
    }

    /// Takes in what the network has answered for the frame with this time stamp. True if it is the first answer of
    /// its model.
    ///
    /// # Errors
    /// [`casm_core::Error::Engine`] if it is not a mask.
    pub fn add(
        &mut self,
        inquiry: &Inquiry,
        output: &Output,
        settings: &Settings,
        pts: Option<gst::ClockTime>,
    ) -> Result<bool> {
        let model = &inquiry.model;
        let first = !self
            .model
            .as_ref()
            .is_some_and(|last| Arc::ptr_eq(last, model));
        if first {
            self.forget();
            self.model = Some(model.clone());
        }
        let smooth = |mask| self.average.add(mask, settings.mask_smoothing);
        // Its memory is used again.
        let last = self.last.take().map(|last| last.localization);
        let mut localization = last.unwrap_or_default();
        self.postprocessing.complete(
            model.header(),
            model.description(),
            output,
            &inquiry.geometry,
            &inquiry.options,
            smooth,
            &mut localization,
        )?;
        if self.average.was_cut() {
            self.tracker.forget();
        }
        match settings.track_options() {
            Some(options) => self.tracker.follow(&mut localization.objects, &options),
            None => self.tracker.forget(),
        }
        let classes = &model.header().classes;
        self.last = Some(Finding::new(localization, inquiry.geometry, classes, pts));
        Ok(first)
    }

    /// The next frame has the last result, one frame older.
    pub fn reuse(&mut self) {
        if let Some(last) = &mut self.last {
            last.age = last.age.saturating_add(1);
        }
    }

    /// Attaches the metadata to the frame in `buffer` and draws the overlay; `None` if there is no result.
    ///
    /// # Errors
    /// [`casm_core::Error::Frame`] if the buffer does not hold the frame that was announced.
    pub fn dress(
        &mut self,
        buffer: &mut gst::BufferRef,
        layout: &FrameLayout,
        settings: &Settings,
    ) -> Result<Option<Outcome<'_>>> {
        let Some(finding) = &self.last else {
            return Ok(None);
        };
        self.attacher.attach(buffer, finding);
        let style = settings.overlay_style();
        let drawn = style.mode != OverlayMode::None;
        if drawn {
            layout.write(buffer, |frame| {
                self.overlay
                    .draw(frame, &finding.localization, &finding.geometry, &style)
            })?;
        }
        let frame = self.frames;
        self.frames += 1;
        Ok(Some(Outcome {
            finding,
            drawn,
            frame,
        }))
    }
}

//! Frames on their way out: the network's answer, or the last one again, as metadata and overlay.

use std::sync::Arc;
use std::time::{Duration, Instant};

use casm_core::localizer::{Composition, LocalizeOptions, Postprocessing};
use casm_core::overlay::{Overlay, OverlayMode};
use casm_core::track::{MaskAverage, Tracker};
use casm_core::{Error, Localization, Object, Result};
use glib::translate::IntoGlib;

use crate::saliency::frame::FrameLayout;
use crate::saliency::frame::regions::{Region, RoiMode};
use crate::saliency::result::composition::Composer;
use crate::saliency::result::finding::{Finding, SharedBytes};
use crate::saliency::result::meta;
use crate::saliency::settings::Settings;
use crate::saliency::worker::inquiry::{Inquiry, Part};
use crate::saliency::worker::model::Model;

/// What a stream remembers of its results. Frames come here in their order, in whatever thread pushes them.
#[derive(Default)]
pub struct Outlet {
    postprocessing: Postprocessing,
    composition: Composition,
    /// Of one region.
    part: Localization,
    overlay: Overlay,
    composer: Composer,
    /// Overlays go beside the pixels.
    beside: bool,
    last: Option<Finding>,
    /// Memory of a finding that was forgotten or could not be completed.
    spare: (Localization, Vec<Region>),
    /// That of the last result: averages and tracks do not go on from one model to another.
    model: Option<Arc<Model>>,
    average: MaskAverage,
    tracker: Tracker,
    attacher: meta::Attacher,
    bytes: SharedBytes,
    frames: u64,
}

/// What was done with one frame.
pub struct Outcome<'a> {
    /// What goes with the frame.
    pub finding: &'a Finding,
    /// What the metadata took.
    pub metadata: Duration,
    /// What the overlay took, if there is one.
    pub overlay: Option<Duration>,
    /// Number of the frame since the start.
    pub frame: u64,
}

impl Outlet {
    /// From now on overlays go beside the pixels, or into them.
    pub fn lay_beside(&mut self, beside: bool) {
        self.beside = beside;
    }

    /// Whether overlays go beside the pixels.
    pub fn lays_beside(&self) -> bool {
        self.beside
    }

    /// The next frame does not continue the last one: no result is carried over to it.
    pub fn forget(&mut self) {
        self.keep_memory();
        self.average.forget();
        self.tracker.forget();
        self.attacher.forget();
    }

    /// Takes in what the network has answered for the frame with this time stamp; every part has its answer. True if it
    /// is the first answer of its model.
    ///
    /// # Errors
    /// Those of the network; [`casm_core::Error::Engine`] if an answer is not a mask.
    pub fn add(
        &mut self,
        inquiry: &mut Inquiry,
        settings: &Settings,
        pts: Option<gst::ClockTime>,
    ) -> Result<bool> {
        let model = inquiry.model.clone();
        let first = !self
            .model
            .as_ref()
            .is_some_and(|last| Arc::ptr_eq(last, &model));
        if first {
            self.forget();
            self.model = Some(model.clone());
        }
        self.keep_memory();
        let (mut localization, mut regions) = std::mem::take(&mut self.spare);
        regions.clear();
        regions.extend(inquiry.parts.iter().filter_map(|part| part.region));
        let completed = match inquiry.mode {
            RoiMode::Full => self.complete_frame(inquiry, settings, &mut localization),
            RoiMode::Upstream => self.compose_regions(inquiry, &mut localization),
        };
        if let Err(error) = completed {
            self.spare = (localization, regions);
            return Err(error);
        }
        match settings.track_options() {
            Some(options) => {
                // Two detections of different types are two objects, though they be at one place.
                let kind = |object: &Object| {
                    let region = object.region.and_then(|region| regions.get(region));
                    region.map_or(0, |region| region.kind.into_glib())
                };
                self.tracker
                    .follow(&mut localization.objects, kind, &options);
            }
            None => self.tracker.forget(),
        }
        self.last = Some(Finding {
            values: self.bytes.share(localization.mask.bytes()),
            localization,
            geometry: inquiry.geometry,
            regions,
            model,
            inference_pts: pts,
            age: 0,
        });
        Ok(first)
    }

    fn complete_frame(
        &mut self,
        inquiry: &mut Inquiry,
        settings: &Settings,
        localization: &mut Localization,
    ) -> Result<()> {
        let Some(part) = inquiry.parts.first_mut() else {
            return Err(no_answer(&inquiry.model));
        };
        let average = &mut self.average;
        complete(
            &mut self.postprocessing,
            part,
            &inquiry.model,
            &inquiry.options,
            |mask| average.add(mask, settings.mask_smoothing),
            localization,
        )?;
        if self.average.was_cut() {
            self.tracker.forget();
        }
        Ok(())
    }

    /// Masks of different parts are not averaged: their parts move from frame to frame.
    fn compose_regions(
        &mut self,
        inquiry: &mut Inquiry,
        localization: &mut Localization,
    ) -> Result<()> {
        self.average.forget();
        let geometry = &inquiry.geometry;
        let frame = (geometry.frame_width, geometry.frame_height);
        self.composition
            .begin(geometry.input_size as usize, localization);
        for (index, part) in inquiry.parts.iter_mut().enumerate() {
            // `min-area` is a share of the frame.
            let share = f64::from(frame.0) * f64::from(frame.1) / part.area.area() as f64;
            let options = LocalizeOptions {
                min_area: inquiry.options.min_area * share,
                max_objects: 1,
                ..inquiry.options
            };
            let (model, found) = (&inquiry.model, &mut self.part);
            complete(
                &mut self.postprocessing,
                part,
                model,
                &options,
                |mask| mask,
                found,
            )?;
            self.composition
                .add(found, part.area, index, frame, localization);
        }
        self.composition.end(localization);
        Ok(())
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
        let Some(finding) = &mut self.last else {
            return Ok(None);
        };
        let begin = Instant::now();
        self.attacher.attach(buffer, finding);
        let metadata = begin.elapsed();
        let style = settings.overlay_style();
        let mut overlay = None;
        if style.mode != OverlayMode::None {
            let begin = Instant::now();
            if self.beside {
                self.composer
                    .attach(buffer, &mut self.overlay, finding, &style)?;
            } else {
                layout.write(buffer, |frame| {
                    self.overlay
                        .draw(frame, &finding.localization, &finding.geometry, &style)
                })?;
            }
            overlay = Some(begin.elapsed());
        }
        let frame = self.frames;
        self.frames += 1;
        Ok(Some(Outcome {
            finding,
            metadata,
            overlay,
            frame,
        }))
    }

    fn keep_memory(&mut self) {
        self.composer.forget();
        if let Some(last) = self.last.take() {
            self.spare = (last.localization, last.regions);
        }
    }
}

/// The stages after the network, for one picture.
fn complete(
    postprocessing: &mut Postprocessing,
    part: &mut Part,
    model: &Model,
    options: &LocalizeOptions,
    smooth: impl FnOnce(casm_core::Mask) -> casm_core::Mask,
    localization: &mut Localization,
) -> Result<()> {
    let Some(answer) = &mut part.answer else {
        return Err(no_answer(model));
    };
    std::mem::replace(&mut answer.result, Ok(()))?;
    postprocessing.complete(
        model.header(),
        model.description(),
        &answer.picture.output,
        &part.geometry,
        options,
        smooth,
        localization,
    )
}

fn no_answer(model: &Model) -> Error {
    Error::Engine {
        engine: model.description().engine.clone(),
        reason: "a picture was not computed".to_owned(),
    }
}

//! What exists between start and stop: the model, the frames' layout, the last result.

use std::time::{Duration, Instant};

use casm_core::overlay::{Overlay, OverlayMode};
use casm_core::track::{MaskAverage, Tracker};
use casm_core::{Checkpoint, Geometry, Localizer, Result};

use super::finding::Finding;
use super::frame::FrameLayout;
use super::meta;
use super::settings::Settings;
use super::stats::Stats;

/// The model at work on a stream.
pub struct Analysis {
    localizer: Localizer,
    overlay: Overlay,
    layout: Option<FrameLayout>,
    last: Option<Finding>,
    average: MaskAverage,
    tracker: Tracker,
    attacher: meta::Attacher,
    frames: u64,
}

/// What was done with one frame.
pub struct Outcome<'a> {
    /// What goes with the frame.
    pub finding: &'a Finding,
    /// How long the inference took; `None` if the last result was used again.
    pub inference: Option<Duration>,
    /// Whether something was drawn.
    pub drawn: bool,
    /// Number of the frame since the start.
    pub frame: u64,
}

impl Analysis {
    /// Loads model and engine; also gives counters that know both.
    ///
    /// # Errors
    /// Those of [`Checkpoint::open_or_built_in`] and [`Localizer::open`].
    pub fn open(settings: &Settings) -> Result<(Analysis, Stats)> {
        // Before the model, which takes longer to find fault with.
        let options = settings.engine_options()?;
        let checkpoint = Checkpoint::open_or_built_in(settings.model.as_ref())?;
        let localizer = Localizer::open(&checkpoint, &options)?;
        let stats = Stats::new(checkpoint.origin(), localizer.engine().description());
        Ok((
            Analysis {
                localizer,
                overlay: Overlay::default(),
                layout: None,
                last: None,
                average: MaskAverage::default(),
                tracker: Tracker::default(),
                attacher: meta::Attacher::default(),
                frames: 0,
            },
            stats,
        ))
    }

    /// From now on, frames have this layout. The last result does not hold for them.
    pub fn set_layout(&mut self, layout: FrameLayout) {
        self.layout = Some(layout);
        self.forget();
    }

    /// The next frame does not continue the last one: no result is carried over to it.
    pub fn forget(&mut self) {
        self.last = None;
        self.average.forget();
        self.tracker.forget();
        self.attacher.forget();
    }

    /// Finds the object of the frame in `buffer`, by inference or from the last result; attaches the
    /// metadata and draws the overlay. `None` if the frames' layout is not known yet.
    ///
    /// # Errors
    /// [`casm_core::Error::Frame`] if the buffer does not hold the frame that was announced,
    /// [`casm_core::Error::Engine`] if the network fails.
    pub fn process(
        &mut self,
        buffer: &mut gst::BufferRef,
        settings: &Settings,
    ) -> Result<Option<Outcome<'_>>> {
        let Some(layout) = &self.layout else {
            return Ok(None);
        };
        let reused = self
            .last
            .take()
            .filter(|last| last.age + 1 < settings.inference_interval);
        let (finding, inference) = match reused {
            Some(last) => (
                Finding {
                    age: last.age + 1,
                    ..last
                },
                None,
            ),
            None => {
                let begin = Instant::now();
                let options = settings.localize_options(self.localizer.header());
                let smooth = |mask| self.average.add(mask, settings.mask_smoothing);
                let mut localization = layout.read(buffer, |frame| {
                    self.localizer.localize_smoothed(frame, &options, smooth)
                })?;
                if self.average.was_cut() {
                    self.tracker.forget();
                }
                match settings.track_options() {
                    Some(options) => self.tracker.follow(&mut localization.objects, &options),
                    None => self.tracker.forget(),
                }
                let duration = begin.elapsed();
                let header = self.localizer.header();
                let geometry = Geometry::new(
                    options.resize,
                    layout.width(),
                    layout.height(),
                    header.input.size,
                );
                (
                    Finding::new(localization, geometry, &header.classes, buffer.pts()),
                    Some(duration),
                )
            }
        };
        self.attacher.attach(buffer, &finding);
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
        let finding = self.last.insert(finding);
        Ok(Some(Outcome {
            finding,
            inference,
            drawn,
            frame,
        }))
    }
}

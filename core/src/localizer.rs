//! Frame → localization: every stage in one call.

use crate::checkpoint::Checkpoint;
use crate::engine::{self, Engine, EngineOptions, LaidFrame, Output};
use crate::error::Result;
use crate::frame::Frame;
use crate::geometry::{Geometry, Resize};
use crate::header::Header;
use crate::input::InputBuilder;
use crate::mask::{Binarization, BoundingBox, Component, Mask};
pub use composition::Composition;
pub use postprocessing::Postprocessing;

mod composition;
mod postprocessing;

/// What is done with the mask after the network, and how the frame is laid before it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct LocalizeOptions {
    /// How the frame becomes square.
    pub resize: Resize,
    /// How the mask is made binary.
    pub binarization: Binarization,
    /// Components smaller than this share of what the network saw give no box; in [0, 1].
    pub min_area: f64,
    /// At most so many components give a box, the largest first; 1 in the paper.
    pub max_objects: usize,
}

/// A salient object: a component of the binary mask.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Object {
    /// Its pixels in the mask.
    pub component: Component,
    /// Its tightest box in frame pixels.
    pub bounding_box: BoundingBox,
    /// Mean of the mask over the component, in [0, 1].
    pub confidence: f64,
    /// Its number in a stream, where it is followed ([`crate::track`]).
    pub id: Option<u64>,
    /// Index of the part of the frame that it was found in, where parts were looked at ([`Composition`]).
    pub region: Option<usize>,
}

/// Where the salient objects of one frame are.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Localization {
    /// The mask over the network's input, `[S, S]`.
    pub mask: Mask,
    /// Mean of the mask, the share of the picture that is relevant; in [0, 1].
    pub mask_mean: f64,
    /// The largest components of the binary mask, the largest first; none if nothing is marked, or all of it is
    /// smaller than `min_area`.
    pub objects: Vec<Object>,
    /// Most probable class of the frame and its probability.
    pub top_class: Option<(usize, f32)>,
}

/// Turns frames into [`Localization`]s with one engine.
pub struct Localizer {
    header: Header,
    engine: Box<dyn Engine>,
    input: InputBuilder,
    pixels: Vec<u8>,
    output: Output,
    postprocessing: Postprocessing,
}

impl Localizer {
    /// Opens the engine for `checkpoint`.
    ///
    /// # Errors
    /// Those of [`engine::open`].
    pub fn open(checkpoint: &Checkpoint, options: &EngineOptions) -> Result<Localizer> {
        Ok(Localizer::new(
            checkpoint.header().clone(),
            engine::open(checkpoint, options)?,
        ))
    }

    /// Uses an engine that is already open for the checkpoint with this `header`.
    pub fn new(header: Header, engine: Box<dyn Engine>) -> Localizer {
        Localizer {
            header,
            engine,
            input: InputBuilder::default(),
            pixels: Vec::new(),
            output: Output::default(),
            postprocessing: Postprocessing::default(),
        }
    }

    /// The checkpoint's header.
    pub fn header(&self) -> &Header {
        &self.header
    }

    /// The engine, for its description.
    pub fn engine(&self) -> &dyn Engine {
        self.engine.as_ref()
    }

    /// Finds the salient objects of `frame`.
    ///
    /// # Errors
    /// [`crate::Error::Engine`] if the network fails.
    pub fn localize(
        &mut self,
        frame: &Frame<'_>,
        options: &LocalizeOptions,
    ) -> Result<Localization> {
        self.localize_smoothed(frame, options, |mask| mask)
    }

    /// [`localize`](Localizer::localize) on what `smooth` makes of the mask.
    ///
    /// # Errors
    /// As there.
    pub fn localize_smoothed(
        &mut self,
        frame: &Frame<'_>,
        options: &LocalizeOptions,
        smooth: impl FnOnce(Mask) -> Mask,
    ) -> Result<Localization> {
        let mut localization = Localization::default();
        self.localize_into(frame, options, smooth, &mut localization)?;
        Ok(localization)
    }

    /// [`localize_smoothed`](Localizer::localize_smoothed) into a localization whose memory is used again: with the
    /// same one from frame to frame, nothing is allocated beside the network. After an error it holds anything.
    ///
    /// # Errors
    /// As there.
    pub fn localize_into(
        &mut self,
        frame: &Frame<'_>,
        options: &LocalizeOptions,
        smooth: impl FnOnce(Mask) -> Mask,
        localization: &mut Localization,
    ) -> Result<()> {
        let size = self.header.input.size;
        let geometry = Geometry::new(options.resize, frame.width(), frame.height(), size);
        if self.engine.description().prepares_input {
            let frame = frame.clone();
            self.engine
                .run_frames(&[LaidFrame { frame, geometry }], &mut self.output)?;
        } else {
            self.input.build(frame, &geometry, &mut self.pixels)?;
            self.engine.run(1, &self.pixels, &mut self.output)?;
        }
        self.postprocessing.complete(
            &self.header,
            self.engine.description(),
            &self.output,
            &geometry,
            options,
            smooth,
            localization,
        )
    }
}

impl Localization {
    /// The stages after the network: mask → binary mask → components → boxes in frame pixels.
    ///
    /// `logits` are those of one picture, `[classes]`; may be empty.
    pub fn from_mask(
        mask: Mask,
        logits: &[f32],
        geometry: &Geometry,
        options: &LocalizeOptions,
    ) -> Localization {
        let mut localization = Localization {
            mask,
            ..Localization::default()
        };
        Postprocessing::default().localize(logits, geometry, options, &mut localization);
        localization
    }

    /// The largest object, the paper's.
    pub fn largest(&self) -> Option<&Object> {
        self.objects.first()
    }

    /// Box of the largest object.
    pub fn bounding_box(&self) -> Option<BoundingBox> {
        Some(self.largest()?.bounding_box)
    }

    /// Confidence of the largest object; 0 without one.
    pub fn confidence(&self) -> f64 {
        self.largest().map_or(0.0, |object| object.confidence)
    }
}

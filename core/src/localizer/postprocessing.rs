//! The stages after the network.

use crate::engine::{EngineDescription, Output};
use crate::error::{Error, Result};
use crate::geometry::Geometry;
use crate::header::Header;
use crate::mask::{BinaryMask, Components, Erosion, Mask, Selection, Upsampling};
use crate::network::Upsample;

use super::{Localization, LocalizeOptions, Object};

/// What the network gives → a [`Localization`]; keeps its buffers from frame to frame.
#[derive(Debug, Default)]
pub struct Postprocessing {
    upsampling: Upsampling,
    selection: Selection,
    erosion: Erosion,
    binary_mask: BinaryMask,
    components: Components,
    /// Objects that the last frames had and this one has not, for the memory that they hold.
    spare: Vec<Object>,
}

impl Postprocessing {
    /// All stages after the engine: `output` is that of one picture, `smooth` what is done with its mask. The memory of
    /// `localization` is used again; after an error it holds anything.
    ///
    /// # Errors
    /// [`Error::Engine`], naming the `engine`, if numbers are missing or not finite.
    #[allow(clippy::too_many_arguments)] // Each is another thing, and all are at hand where this is called.
    pub fn complete(
        &mut self,
        header: &Header,
        engine: &EngineDescription,
        output: &Output,
        geometry: &Geometry,
        options: &LocalizeOptions,
        smooth: impl FnOnce(Mask) -> Mask,
        localization: &mut Localization,
    ) -> Result<()> {
        let failure = |reason: &str| Error::Engine {
            engine: engine.engine.clone(),
            reason: reason.to_owned(),
        };
        let side = header.mask_size();
        if output.masks.len() != side * side {
            return Err(failure(
                "the mask has not the size that the model announces",
            ));
        }
        let mut values = output.masks.iter().chain(&output.logits);
        if !values.all(|value| value.is_finite()) {
            return Err(failure(
                "mask or logits are not numbers; the model's weights are damaged, or its \
                 precision is too low: use precision=f32",
            ));
        }
        let decoder = header.network.decoder.as_ref();
        let mode = decoder.map(|decoder| decoder.upsample).unwrap_or_default();
        let factor = header.input.size as usize / side;
        let mask = &mut localization.mask;
        self.upsample(&output.masks, (side, side), factor, mode, mask);
        *mask = smooth(std::mem::take(mask));
        self.localize(&output.logits, geometry, options, localization);
        Ok(())
    }

    /// Enlarges the decoder's `values`, a mask of `size` (width, height), as [`Mask::upsample`] does.
    pub fn upsample(
        &mut self,
        values: &[f32],
        size: (usize, usize),
        factor: usize,
        mode: Upsample,
        mask: &mut Mask,
    ) {
        self.upsampling.upsample(values, size, factor, mode, mask);
    }

    /// Completes a localization of which only the mask is there: mask → binary mask → components → boxes in frame
    /// pixels.
    ///
    /// `logits` are those of one picture, `[classes]`; may be empty.
    pub fn localize(
        &mut self,
        logits: &[f32],
        geometry: &Geometry,
        options: &LocalizeOptions,
        localization: &mut Localization,
    ) {
        let Localization {
            mask,
            mask_mean,
            objects,
            top_class,
        } = localization;
        *mask_mean = mask.mean();
        mask.binarize_into(
            &options.binarization,
            *mask_mean,
            &mut self.selection,
            &mut self.erosion,
            &mut self.binary_mask,
        );
        self.components.find(&self.binary_mask);
        self.components.largest(options.max_objects);
        self.spare.append(objects);
        // As a share, so that a share that was reported can be asked for again.
        let pixels = (mask.width * mask.height) as f64;
        for &root in self.components.roots() {
            if (self.components.area(root) as f64 / pixels) < options.min_area {
                continue;
            }
            let mut object = self.spare.pop().unwrap_or_default();
            let component = &mut object.component;
            self.components.describe(root, &self.binary_mask, component);
            object.bounding_box =
                geometry.box_to_frame(component.bounding_box, mask.width, mask.height);
            object.confidence = mask.mean_over(&component.pixels);
            object.id = None;
            object.region = None;
            objects.push(object);
        }
        *top_class = most_probable(logits);
    }
}

/// Index and softmax probability of the largest logit.
fn most_probable(logits: &[f32]) -> Option<(usize, f32)> {
    let (class, &largest) = logits
        .iter()
        .enumerate()
        .max_by(|a, b| a.1.total_cmp(b.1))?;
    let sum: f32 = logits.iter().map(|logit| (logit - largest).exp()).sum();
    Some((class, 1.0 / sum))
}

//! A checkpoint at work: pictures at its input's size → masks and logits.

use anyhow::{Context, ensure};
use casm::engine::Output;
use casm::mask::BinaryMask;
use casm::network::Upsample;
use casm::{Checkpoint, Engine, EngineOptions, Header, Mask};
use image::RgbImage;

/// Pictures that go through a network at once; more are divided.
const BATCH: usize = 16;

/// A model or classifier, opened.
pub struct Model {
    /// What tables and plots call it.
    pub name: String,
    header: Header,
    upsample: Upsample,
    engine: Box<dyn Engine>,
    output: Output,
}

/// What a model says of one picture.
#[derive(Debug, Clone, PartialEq)]
pub struct View {
    /// The mask at the input's size, `[S, S]`; `None` from a classifier without a decoder.
    pub mask: Option<Mask>,
    /// `[classes]`.
    pub logits: Vec<f32>,
}

impl Model {
    /// Opens the engine for `checkpoint`.
    ///
    /// # Errors
    /// Those of [`casm::open_classifier`].
    pub fn open(
        checkpoint: &Checkpoint,
        name: String,
        options: &EngineOptions,
    ) -> casm::Result<Model> {
        let header = checkpoint.header().clone();
        let decoder = header.network.decoder.as_ref();
        Ok(Model {
            name,
            upsample: decoder.map(|decoder| decoder.upsample).unwrap_or_default(),
            engine: casm::open_classifier(checkpoint, options)?,
            header,
            output: Output::default(),
        })
    }

    /// The checkpoint's header.
    pub fn header(&self) -> &Header {
        &self.header
    }

    /// [`Engine::run`], for who has pixels already.
    ///
    /// # Errors
    /// Those of [`Engine::run`].
    pub fn run(&mut self, batch: usize, pixels: &[u8], output: &mut Output) -> casm::Result<()> {
        self.engine.run(batch, pixels, output)
    }

    /// Shows `pictures`, all `[S, S]`, to the network.
    ///
    /// # Errors
    /// A picture of another size; the engine fails; a mask or logit is not a number.
    pub fn view(&mut self, pictures: &[RgbImage]) -> anyhow::Result<Vec<View>> {
        let size = self.header.input.size;
        let classes = self.header.network.classes();
        let has_masks = self.header.network.decoder.is_some();
        let side = self.header.mask_size();
        let mut views = Vec::with_capacity(pictures.len());
        let mut pixels = Vec::new();
        for batch in pictures.chunks(BATCH) {
            pixels.clear();
            for picture in batch {
                ensure!(
                    picture.dimensions() == (size, size),
                    "'{}' looks at {size}x{size} pixels, not at {:?}",
                    self.name,
                    picture.dimensions()
                );
                pixels.extend_from_slice(picture);
            }
            let output = &mut self.output;
            self.engine
                .run(batch.len(), &pixels, output)
                .with_context(|| format!("'{}' failed", self.name))?;
            let mut values = output.masks.iter().chain(&output.logits);
            ensure!(
                values.all(|value| value.is_finite()),
                "mask or logits of '{}' are not numbers; its weights are damaged, or its precision is too \
                 low: use --precision f32",
                self.name
            );
            for index in 0..batch.len() {
                let mask = has_masks.then(|| {
                    let coarse = Mask {
                        width: side,
                        height: side,
                        values: output.masks[index * side * side..][..side * side].to_vec(),
                    };
                    coarse.upsample(size as usize / side, self.upsample)
                });
                let logits = output.logits[index * classes..][..classes].to_vec();
                views.push(View { mask, logits });
            }
        }
        Ok(views)
    }

    /// A view's binary mask by the checkpoint's own rule (Eq. 9), all components.
    ///
    /// # Errors
    /// The model makes no masks.
    pub fn binary_mask(&self, view: &View) -> anyhow::Result<BinaryMask> {
        let mask = view
            .mask
            .as_ref()
            .with_context(|| format!("'{}' is a classifier and makes no masks", self.name))?;
        Ok(mask.binarize(&self.header.binarization))
    }
}

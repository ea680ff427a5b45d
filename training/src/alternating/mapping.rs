//! The mapping m: the half of the alternation that learns to mark what classifiers use.

use casm::Result;
use casm::module::{Mode, Module};
use casm::network::{Network, Upsample};
use casm::parameters::Parameters;
use casm::torch_error;
use tch::{Kind, TchError, Tensor};

use crate::optimizer::{Adam, Trained};

/// The mapping with its optimiser: the decoder, and its own encoder if it has one.
#[derive(Debug)]
pub struct Mapping {
    /// Weights and running statistics.
    pub parameters: Parameters,
    /// Adam's state.
    pub adam: Adam,
    encoder: Option<Module>,
    decoder: Module,
    upsample: Upsample,
    trained: Trained,
}

/// The masks of a batch.
#[derive(Debug)]
pub struct Masks {
    /// At the pictures' size, `[N, 1, S, S]`, in [0, 1].
    pub full: Tensor,
    /// Their means, `[N]`.
    pub mean: Tensor,
}

impl Mapping {
    /// Binds decoder and separate encoder of `network` to `parameters`.
    ///
    /// # Errors
    /// A tensor is missing; the network is a classifier alone.
    pub fn new(
        network: &Network,
        upsample: Upsample,
        parameters: Parameters,
        adam: Adam,
    ) -> Result<Mapping> {
        let missing = || torch_error(TchError::Torch("the network has no decoder".to_owned()));
        let decoder = network.decoder.as_ref().ok_or_else(missing)?;
        let encoder = network.separate_encoder.as_ref();
        let mut wanted = decoder.parameters();
        wanted.extend(
            encoder
                .iter()
                .flat_map(|encoder| encoder.graph.parameters()),
        );
        Ok(Mapping {
            encoder: encoder
                .map(|encoder| Module::new(&encoder.graph, &parameters))
                .transpose()?,
            decoder: Module::new(decoder, &parameters)?,
            trained: Trained::new(&parameters, &wanted)?,
            upsample,
            parameters,
            adam,
        })
    }

    /// m(x) for pictures `[N, 3, S, S]` whose classifier layers are `taps`: these are detached, so that
    /// the mapping's loss never trains a shared encoder.
    ///
    /// # Errors
    /// libtorch's.
    pub fn masks(&self, pictures: &Tensor, taps: &[Tensor]) -> Result<Masks> {
        let taps = match &self.encoder {
            Some(encoder) => encoder.forward(&[pictures.shallow_clone()], Mode::Train)?,
            None => {
                let detached = taps.iter().map(Tensor::f_detach);
                detached
                    .collect::<std::result::Result<_, _>>()
                    .map_err(torch_error)?
            }
        };
        let mut outputs = self.decoder.forward(&taps, Mode::Train)?;
        let mask = outputs.pop().expect("a decoder has one output");
        self.enlarge(&mask, pictures).map_err(torch_error)
    }

    fn enlarge(&self, mask: &Tensor, pictures: &Tensor) -> std::result::Result<Masks, TchError> {
        let (_, _, height, width) = pictures.size4()?;
        let full = match self.upsample {
            Upsample::Nearest => mask.f_upsample_nearest2d([height, width], None, None)?,
            Upsample::Bilinear => mask.f_upsample_bilinear2d([height, width], false, None, None)?,
        };
        // Each value of a nearest enlargement appears equally often, so its mean is that of the mask.
        let averaged = match self.upsample {
            Upsample::Nearest => mask,
            Upsample::Bilinear => &full,
        };
        let mean = averaged.f_mean_dim(&[1i64, 2, 3][..], false, None::<Kind>)?;
        Ok(Masks { full, mean })
    }

    /// Gradients of `loss`.
    ///
    /// # Errors
    /// libtorch's.
    pub fn gradients(&self, loss: &Tensor) -> Result<Vec<Tensor>> {
        self.trained.gradients(loss, false).map_err(torch_error)
    }

    /// Eq. 6: one step against `gradients` of the loss, that is along those of the score.
    ///
    /// # Errors
    /// libtorch's.
    pub fn update(&mut self, gradients: &[Tensor], rate: f64) -> Result<()> {
        self.adam
            .step(&self.trained, gradients, rate)
            .map_err(torch_error)
    }

    /// The trained tensors' names, in the order of the gradients.
    pub fn trained_names(&self) -> Vec<&str> {
        let tensors = self.trained.tensors.iter();
        tensors.map(|(name, _)| name.as_str()).collect()
    }
}

//! Encoder and decoder together.

use casm_core::Result;
use casm_core::network::NetworkConfig;
use tch::Tensor;

use crate::module::{Mode, Module};
use crate::parameters::Parameters;

/// The network of a checkpoint: picture → encoder → decoder → mask.
#[derive(Debug)]
pub struct SaliencyNetwork {
    /// Pictures → taps, fine to coarse, and then logits.
    pub encoder: Module,
    /// Pictures → taps, where the decoder does not read the classifier's.
    pub separate_encoder: Option<Module>,
    /// Taps → mask; absent for a classifier alone.
    pub decoder: Option<Module>,
}

/// What the network says of a batch.
#[derive(Debug)]
pub struct Saliency {
    /// `[N, 1, S/4, S/4]`, values in [0, 1], 1 = relevant to some classifier; absent without a decoder.
    pub mask: Option<Tensor>,
    /// `[N, classes]`, before the softmax.
    pub logits: Tensor,
}

impl SaliencyNetwork {
    /// Binds the network that `config` describes to `parameters`.
    ///
    /// # Errors
    /// [`casm_core::Error::Engine`] if a tensor is missing.
    pub fn new(config: &NetworkConfig, parameters: &Parameters) -> Result<SaliencyNetwork> {
        let network = config.network();
        Ok(SaliencyNetwork {
            encoder: Module::new(&network.encoder.graph, parameters)?,
            separate_encoder: network
                .separate_encoder
                .map(|encoder| Module::new(&encoder.graph, parameters))
                .transpose()?,
            decoder: network
                .decoder
                .map(|graph| Module::new(&graph, parameters))
                .transpose()?,
        })
    }

    /// Masks and logits of normalised pictures `[N, 3, S, S]`.
    ///
    /// # Errors
    /// [`casm_core::Error::Engine`] with libtorch's message.
    pub fn forward(&self, pictures: &Tensor, mode: Mode) -> Result<Saliency> {
        let mut features = self.encoder.forward(&[pictures.shallow_clone()], mode)?;
        let logits = features
            .pop()
            .expect("an encoder's last output is its logits");
        if let Some(separate) = &self.separate_encoder {
            features = separate.forward(&[pictures.shallow_clone()], mode)?;
        }
        let masks = self
            .decoder
            .as_ref()
            .map(|decoder| decoder.forward(&features, mode))
            .transpose()?;
        let mask = masks.and_then(|mut outputs| outputs.pop());
        Ok(Saliency { mask, logits })
    }
}

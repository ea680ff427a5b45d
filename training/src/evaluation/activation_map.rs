//! Class-activation maps of the same encoder: what a mask must beat.
//!
//! B. Zhou, A. Khosla, A. Lapedriza, A. Oliva, A. Torralba, *Learning Deep Features for Discriminative
//! Localization*, CVPR 2016: the last features, weighted by the last layer's weights of one class, here the
//! predicted one. No bias, no ReLU.

use casm::device;
use casm::engine::Output;
use casm::module::{Mode, Module};
use casm::network::{Network, Operation};
use casm::parameters::Parameters;
use casm::pixels::{Normalisation, copy_values};
use casm::{Checkpoint, Device, Error, torch_error};
use tch::{Kind, TchError, Tensor};

/// A checkpoint's encoder with its class-activation map in place of the decoder's mask.
#[derive(Debug)]
pub struct ActivationMap {
    encoder: Module,
    /// `[classes, C]`, of the last layer.
    weight: Tensor,
    normalisation: Normalisation,
}

impl ActivationMap {
    /// Puts the encoder on `device`, in f32.
    ///
    /// # Errors
    /// [`Error::Device`], [`Error::Engine`]; an encoder that does not end in a linear layer after its last
    /// tap's mean.
    pub fn open(checkpoint: &Checkpoint, device: Device) -> casm::Result<ActivationMap> {
        let device = device::resolve(device)?;
        let header = checkpoint.header();
        let network = header.network.network();
        let parameters = Parameters::from_named(checkpoint.tensors()?, device)?;
        let name = last_weight(&network).ok_or_else(|| Error::Engine {
            engine: "torch".to_owned(),
            reason: "class-activation maps need an encoder that ends in a linear layer".to_owned(),
        })?;
        Ok(ActivationMap {
            encoder: Module::new(&network.encoder.graph, &parameters)?,
            weight: parameters.get(&name)?,
            normalisation: Normalisation::new(&header.input, device)?,
        })
    }

    /// Maps `[batch, S/32, S/32]` of the predicted class, of any range, and logits `[batch, classes]`, for
    /// `pixels` `[batch, S, S, 3]`.
    ///
    /// # Errors
    /// [`Error::Engine`] with libtorch's message.
    pub fn run(&self, batch: usize, pixels: &[u8], output: &mut Output) -> casm::Result<()> {
        let _no_gradients = tch::no_grad_guard();
        let pictures = self.normalisation.pictures(batch, pixels, Kind::Float)?;
        let values = self.encoder.forward(&[pictures], Mode::Evaluate)?;
        let [.., features, logits] = &values[..] else {
            return Err(torch_error(TchError::Torch(
                "the encoder has no taps".to_owned(),
            )));
        };
        let maps = || -> Result<Tensor, TchError> {
            let predicted = logits.f_argmax(1, false)?;
            let weights = self.weight.f_index_select(0, &predicted)?;
            let weights = weights.f_unsqueeze(-1)?.f_unsqueeze(-1)?;
            (features.f_mul(&weights)?).f_sum_dim_intlist(&[1i64][..], false, Kind::Float)
        };
        let maps = maps().map_err(torch_error)?;
        copy_values(&maps, &mut output.masks)?;
        copy_values(logits, &mut output.logits)
    }
}

/// Name of the weights between the last tap's mean and the logits.
fn last_weight(network: &Network) -> Option<String> {
    let graph = &network.encoder.graph;
    let last = graph.layers().len().checked_sub(1)?;
    let is_linear = matches!(graph.layers()[last].operation, Operation::Linear { .. });
    let parameter = graph.layer_parameters(last).into_iter().next()?;
    is_linear.then_some(parameter.name)
}

//! Class-activation maps of the same encoder: what a mask must beat.
//!
//! B. Zhou, A. Khosla, A. Lapedriza, A. Oliva, A. Torralba, *Learning Deep Features for Discriminative
//! Localization*, CVPR 2016: the last features, weighted by the last layer's weights of one class, here the
//! predicted one. No bias, no ReLU.

use casm::device;
use casm::engine::Output;
use casm::header::InputConfig;
use casm::module::{Mode, Module};
use casm::network::{Network, Operation};
use casm::parameters::Parameters;
use casm::{Checkpoint, Device, Error};
use tch::{Kind, TchError, Tensor};

/// A checkpoint's encoder with its class-activation map in place of the decoder's mask.
#[derive(Debug)]
pub struct ActivationMap {
    encoder: Module,
    /// `[classes, C]`, of the last layer.
    weight: Tensor,
    device: tch::Device,
    input_size: usize,
    /// `[1, 3, 1, 1]` each, of the normalisation.
    mean: Tensor,
    std: Tensor,
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
        let (mean, std) = normalisation(&header.input, device).map_err(failure)?;
        Ok(ActivationMap {
            encoder: Module::new(&network.encoder.graph, &parameters)?,
            weight: parameters.get(&name)?,
            device,
            input_size: header.input.size as usize,
            mean,
            std,
        })
    }

    /// Maps `[batch, S/32, S/32]` of the predicted class, of any range, and logits `[batch, classes]`, for
    /// `pixels` `[batch, S, S, 3]`.
    ///
    /// # Errors
    /// [`Error::Engine`] with libtorch's message.
    pub fn run(&self, batch: usize, pixels: &[u8], output: &mut Output) -> casm::Result<()> {
        let _no_gradients = tch::no_grad_guard();
        let pictures = self.normalise(batch, pixels).map_err(failure)?;
        let values = self.encoder.forward(&[pictures], Mode::Evaluate)?;
        let [.., features, logits] = &values[..] else {
            return Err(failure(TchError::Torch(
                "the encoder has no taps".to_owned(),
            )));
        };
        let maps = || -> Result<Tensor, TchError> {
            let predicted = logits.f_argmax(1, false)?;
            let weights = self.weight.f_index_select(0, &predicted)?;
            let weights = weights.f_unsqueeze(-1)?.f_unsqueeze(-1)?;
            (features.f_mul(&weights)?).f_sum_dim_intlist(&[1i64][..], false, Kind::Float)
        };
        let maps = maps().map_err(failure)?;
        copy_out(&maps, &mut output.masks).map_err(failure)?;
        copy_out(logits, &mut output.logits).map_err(failure)
    }

    /// `[N, S, S, 3]` bytes → `[N, 3, S, S]` normalised numbers.
    fn normalise(&self, batch: usize, pixels: &[u8]) -> Result<Tensor, TchError> {
        let side = self.input_size as i64;
        Tensor::f_from_slice(pixels)?
            .f_reshape([batch as i64, side, side, 3])?
            .f_to_device(self.device)?
            .f_permute([0, 3, 1, 2])?
            .f_to_kind(Kind::Float)?
            .f_div_scalar(255.0)?
            .f_sub(&self.mean)?
            .f_div(&self.std)
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

fn normalisation(input: &InputConfig, device: tch::Device) -> Result<(Tensor, Tensor), TchError> {
    let per_channel = |values: &[f32; 3]| {
        Tensor::f_from_slice(values)?
            .f_reshape([1, 3, 1, 1])?
            .f_to_device(device)
    };
    Ok((per_channel(&input.mean)?, per_channel(&input.std)?))
}

fn copy_out(tensor: &Tensor, values: &mut Vec<f32>) -> Result<(), TchError> {
    let flat = tensor.f_to_device(tch::Device::Cpu)?.f_contiguous()?;
    values.resize(flat.numel(), 0.0);
    let length = values.len();
    flat.f_copy_data(values, length)
}

fn failure(error: TchError) -> Error {
    Error::Engine {
        engine: "torch".to_owned(),
        reason: error.to_string(),
    }
}

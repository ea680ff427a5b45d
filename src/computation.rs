//! The network at work on a device: what the engine's thread does.

use std::collections::BTreeMap;

use casm_core::checkpoint::NamedTensor;
use casm_core::engine::{EngineDescription, EngineOptions, Output, Precision};
use casm_core::header::InputConfig;
use casm_core::{Header, Result};
use tch::{Kind, TchError, Tensor};

use crate::device;
use crate::module::Mode;
use crate::parameters::Parameters;
use crate::saliency_network::{Saliency, SaliencyNetwork};
use crate::torch_engine::NAME;
use crate::torch_error;

/// A network with its weights on a device.
pub(crate) struct Computation {
    network: SaliencyNetwork,
    device: tch::Device,
    kind: Kind,
    input_size: usize,
    /// `[1, 3, 1, 1]`: a byte times this plus `offset` is the normalised value.
    scale: Tensor,
    offset: Tensor,
}

impl Computation {
    /// Puts the weights on the device; also says what was opened.
    pub(crate) fn open(
        header: &Header,
        tensors: BTreeMap<String, NamedTensor>,
        options: &EngineOptions,
    ) -> Result<(Computation, EngineDescription)> {
        let device = device::resolve(options.device)?;
        let (precision, kind) = match options.precision {
            Precision::Auto | Precision::F32 => (Precision::F32, Kind::Float),
            Precision::Bf16 => (Precision::Bf16, Kind::BFloat16),
            Precision::F16 => (Precision::F16, Kind::Half),
        };
        let parameters = Parameters::from_named(tensors, device)?.to_kind(kind)?;
        let (scale, offset) = normalisation(&header.input, device).map_err(torch_error)?;
        let computation = Computation {
            network: SaliencyNetwork::new(&header.network, &parameters)?,
            device,
            kind,
            input_size: header.input.size as usize,
            scale,
            offset,
        };
        let description = EngineDescription {
            engine: NAME.to_owned(),
            device: device::name(device),
            precision,
            threads: usize::try_from(tch::get_num_threads()).unwrap_or(1),
        };
        Ok((computation, description))
    }

    /// Pixels `[batch, S, S, 3]` → masks and logits. The caller has checked the number of bytes.
    pub(crate) fn run(&self, batch: usize, pixels: &[u8], output: &mut Output) -> Result<()> {
        let _no_gradients = tch::no_grad_guard();
        let pictures = self.normalise(batch, pixels).map_err(torch_error)?;
        let saliency = self.network.forward(&pictures, Mode::Evaluate)?;
        copy_out(&saliency, output).map_err(torch_error)
    }

    /// `[N, S, S, 3]` bytes → `[N, 3, S, S]` normalised numbers.
    ///
    /// The memory keeps the order rows, columns, channels, which libtorch's convolutions prefer.
    fn normalise(&self, batch: usize, pixels: &[u8]) -> std::result::Result<Tensor, TchError> {
        let side = self.input_size as i64;
        Tensor::f_from_slice(pixels)?
            .f_reshape([batch as i64, side, side, 3])?
            .f_to_device(self.device)?
            .f_permute([0, 3, 1, 2])?
            .f_to_kind(Kind::Float)?
            .f_mul(&self.scale)?
            .f_add(&self.offset)?
            .f_to_kind(self.kind)
    }
}

fn copy_out(saliency: &Saliency, output: &mut Output) -> std::result::Result<(), TchError> {
    let mask = saliency.mask.as_ref();
    let logits = Some(&saliency.logits);
    for (tensor, values) in [(mask, &mut output.masks), (logits, &mut output.logits)] {
        let Some(tensor) = tensor else {
            values.clear();
            continue;
        };
        let flat = tensor
            .f_to_kind(Kind::Float)?
            .f_to_device(tch::Device::Cpu)?
            .f_contiguous()?;
        values.resize(flat.numel(), 0.0);
        let length = values.len();
        flat.f_copy_data(values, length)?;
    }
    Ok(())
}

/// `(byte / 255 - mean) / std` as one factor and one term per channel.
fn normalisation(
    input: &InputConfig,
    device: tch::Device,
) -> std::result::Result<(Tensor, Tensor), TchError> {
    let per_channel = |values: [f32; 3]| {
        Tensor::f_from_slice(&values)?
            .f_reshape([1, 3, 1, 1])?
            .f_to_device(device)
    };
    let scale = [0, 1, 2].map(|c| 1.0 / (255.0 * input.std[c]));
    let offset = [0, 1, 2].map(|c| -input.mean[c] / input.std[c]);
    Ok((per_channel(scale)?, per_channel(offset)?))
}

//! The libtorch engine: pixels → mask and logits, without tensors at the border.

use casm_core::checkpoint::Checkpoint;
use casm_core::engine::{Engine, EngineDescription, EngineOptions, Output, Precision};
use casm_core::header::InputConfig;
use casm_core::{Error, Result};
use tch::{Kind, TchError, Tensor};

use crate::device;
use crate::module::Mode;
use crate::parameters::Parameters;
use crate::saliency_network::{Saliency, SaliencyNetwork};
use crate::torch_error;

/// The version that tch is made for.
const NAME: &str = "torch 2.11";

/// One checkpoint on one device.
#[derive(Debug)]
pub struct TorchEngine {
    network: SaliencyNetwork,
    description: EngineDescription,
    device: tch::Device,
    kind: Kind,
    input_size: usize,
    /// `[1, 3, 1, 1]`: a byte times this plus `offset` is the normalised value.
    scale: Tensor,
    offset: Tensor,
}

impl TorchEngine {
    /// Puts the checkpoint's weights on the device.
    ///
    /// The number of threads holds for the whole process: libtorch has one pool.
    ///
    /// # Errors
    /// [`Error::Device`], [`Error::Engine`].
    pub fn open(checkpoint: &Checkpoint, options: &EngineOptions) -> Result<TorchEngine> {
        let device = device::resolve(options.device)?;
        if options.threads > 0 {
            tch::set_num_threads(i32::try_from(options.threads).unwrap_or(i32::MAX));
        }
        let (precision, kind) = match options.precision {
            Precision::Auto | Precision::F32 => (Precision::F32, Kind::Float),
            Precision::Bf16 => (Precision::Bf16, Kind::BFloat16),
            Precision::F16 => (Precision::F16, Kind::Half),
        };
        let header = checkpoint.header();
        header.require_decoder(checkpoint.origin())?;
        let parameters = Parameters::from_checkpoint(checkpoint, device)?.to_kind(kind)?;
        let (scale, offset) = normalisation(&header.input, device).map_err(torch_error)?;
        Ok(TorchEngine {
            network: SaliencyNetwork::new(&header.network, &parameters)?,
            description: EngineDescription {
                engine: NAME.to_owned(),
                device: device::name(device),
                precision,
                threads: usize::try_from(tch::get_num_threads()).unwrap_or(1),
            },
            device,
            kind,
            input_size: header.input.size as usize,
            scale,
            offset,
        })
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

    fn copy_out(saliency: &Saliency, output: &mut Output) -> std::result::Result<(), TchError> {
        let mask = saliency.mask.as_ref();
        for (tensor, values) in [
            (mask, &mut output.masks),
            (Some(&saliency.logits), &mut output.logits),
        ] {
            let Some(tensor) = tensor else { continue };
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
}

impl Engine for TorchEngine {
    fn description(&self) -> &EngineDescription {
        &self.description
    }

    fn run(&mut self, batch: usize, pixels: &[u8], output: &mut Output) -> Result<()> {
        let expected = batch * self.input_size * self.input_size * 3;
        if batch == 0 || pixels.len() != expected {
            return Err(Error::Engine {
                engine: NAME.to_owned(),
                reason: format!(
                    "{batch} pictures need {expected} bytes, not {}",
                    pixels.len()
                ),
            });
        }
        let _no_gradients = tch::no_grad_guard();
        let pictures = self.normalise(batch, pixels).map_err(torch_error)?;
        let saliency = self.network.forward(&pictures, Mode::Evaluate)?;
        Self::copy_out(&saliency, output).map_err(torch_error)
    }
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

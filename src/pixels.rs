//! Pixels → the normalised tensor that networks see; tensor → plain numbers.

use casm_core::Result;
use casm_core::header::InputConfig;
use tch::{Device, Kind, TchError, Tensor};

use crate::torch_error;

/// `(byte / 255 - mean) / std` as one factor and one term per channel, on a device.
#[derive(Debug)]
pub struct Normalisation {
    side: i64,
    /// `[1, 3, 1, 1]`.
    scale: Tensor,
    /// `[1, 3, 1, 1]`.
    offset: Tensor,
}

impl Normalisation {
    /// For pictures of `input`'s size.
    ///
    /// # Errors
    /// libtorch's.
    pub fn new(input: &InputConfig, device: Device) -> Result<Normalisation> {
        let scale = [0, 1, 2].map(|c| 1.0 / (255.0 * input.std[c]));
        let offset = [0, 1, 2].map(|c| -input.mean[c] / input.std[c]);
        Ok(Normalisation {
            side: i64::from(input.size),
            scale: per_channel(scale, device).map_err(torch_error)?,
            offset: per_channel(offset, device).map_err(torch_error)?,
        })
    }

    /// Bytes `[count, S, S, 3]` → `[count, 3, S, S]` in the format `kind`. The memory keeps the order rows,
    /// columns, channels, which libtorch's convolutions prefer ("channels last").
    ///
    /// # Errors
    /// The number of bytes does not fit; no memory.
    pub fn pictures(&self, count: usize, pixels: &[u8], kind: Kind) -> Result<Tensor> {
        let normalise = || {
            Tensor::f_from_slice(pixels)?
                .f_reshape([count as i64, self.side, self.side, 3])?
                .f_to_device(self.scale.device())?
                .f_permute([0, 3, 1, 2])?
                .f_to_kind(Kind::Float)?
                .f_mul(&self.scale)?
                .f_add(&self.offset)?
                .f_to_kind(kind)
        };
        normalise().map_err(torch_error)
    }
}

/// One number a channel, `[1, 3, 1, 1]`.
///
/// # Errors
/// libtorch's.
pub fn per_channel(values: [f32; 3], device: Device) -> std::result::Result<Tensor, TchError> {
    Tensor::f_from_slice(&values)?
        .f_reshape([1, 3, 1, 1])?
        .f_to_device(device)
}

/// Makes `values` the tensor's numbers, in the order of its dimensions.
///
/// # Errors
/// libtorch's.
pub fn copy_values(tensor: &Tensor, values: &mut Vec<f32>) -> Result<()> {
    values.clear();
    append_values(tensor, values)
}

/// Puts the tensor's numbers behind `values`, in the order of its dimensions.
///
/// # Errors
/// libtorch's.
pub(crate) fn append_values(tensor: &Tensor, values: &mut Vec<f32>) -> Result<()> {
    let mut copy = || {
        let flat = tensor
            .f_to_kind(Kind::Float)?
            .f_to_device(Device::Cpu)?
            .f_contiguous()?;
        let (before, count) = (values.len(), flat.numel());
        values.resize(before + count, 0.0);
        flat.f_copy_data(&mut values[before..], count)
    };
    copy().map_err(torch_error)
}

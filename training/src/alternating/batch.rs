//! A batch on the device, and pictures with masks applied.

use casm::Result;
use casm::header::InputConfig;
use casm::pixels::{Normalisation, per_channel};
use casm::torch_error;
use tch::{Device, Kind, TchError, Tensor};

use crate::loader::Origin;

/// Pictures and their classes.
#[derive(Debug)]
pub struct Batch {
    /// Normalised, `[N, 3, S, S]`.
    pub pictures: Tensor,
    /// True classes, `[N]`, i64.
    pub classes: Tensor,
    /// Where the pictures come from, `[N]`; empty if nobody asks.
    pub origins: Vec<Origin>,
}

impl Batch {
    /// From bytes `[N, S, S, 3]` as the loader makes them.
    ///
    /// # Errors
    /// The number of bytes does not fit; no memory.
    pub fn from_pixels(
        pixels: &[u8],
        classes: &[i64],
        input: &InputConfig,
        kind: Kind,
        device: Device,
    ) -> Result<Batch> {
        let pictures = Normalisation::new(input, device)?.pictures(classes.len(), pixels, kind)?;
        let classes = Tensor::f_from_slice(classes).and_then(|classes| classes.f_to_device(device));
        Ok(Batch {
            pictures,
            classes: classes.map_err(torch_error)?,
            origins: Vec::new(),
        })
    }

    /// Number of pictures.
    pub fn len(&self) -> usize {
        self.classes.numel()
    }

    /// True without pictures.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// `x · (1 - m)`, and `m` of the fill colour: the masked-out pictures, in the format of x.
    ///
    /// # Errors
    /// libtorch's.
    pub fn masked_out(&self, mask: &Tensor, fill: [f32; 3]) -> Result<Tensor> {
        let apply = || {
            let kept = mask.f_neg()?.f_add_scalar(1.0)?;
            self.blend(&kept, mask, fill)
        };
        apply().map_err(torch_error)
    }

    /// `x · m`, and `1 - m` of the fill colour: the masked-in pictures, in the format of x.
    ///
    /// # Errors
    /// libtorch's.
    pub fn masked_in(&self, mask: &Tensor, fill: [f32; 3]) -> Result<Tensor> {
        let apply = || {
            let hidden = mask.f_neg()?.f_add_scalar(1.0)?;
            self.blend(mask, &hidden, fill)
        };
        apply().map_err(torch_error)
    }

    fn blend(
        &self,
        kept: &Tensor,
        hidden: &Tensor,
        fill: [f32; 3],
    ) -> std::result::Result<Tensor, TchError> {
        let mut blend = self.pictures.f_mul(kept)?;
        if fill != [0.0; 3] {
            let color = per_channel(fill, hidden.device())?.f_to_kind(hidden.f_kind()?)?;
            blend = blend.f_add(&hidden.f_mul(&color)?)?;
        }
        blend.f_to_kind(self.pictures.f_kind()?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mask_divides_a_picture_into_two() {
        let input = InputConfig {
            size: 1,
            mean: [0.0; 3],
            std: [1.0; 3],
        };
        let pixels = [255, 0, 51];
        let batch = Batch::from_pixels(&pixels, &[4], &input, Kind::Float, Device::Cpu).unwrap();
        let mask = Tensor::from_slice(&[0.25f32]).reshape([1, 1, 1, 1]);
        let values = |tensor: Tensor| Vec::<f32>::try_from(tensor.reshape([-1])).unwrap();
        let close = |a: Vec<f32>, b: [f32; 3]| a.iter().zip(b).all(|(a, b)| (a - b).abs() < 1e-6);
        let grey = [0.4; 3];
        assert!(close(
            values(batch.masked_out(&mask, [0.0; 3]).unwrap()),
            [0.75, 0.0, 0.15]
        ));
        assert!(close(
            values(batch.masked_out(&mask, grey).unwrap()),
            [0.85, 0.1, 0.25]
        ));
        assert!(close(
            values(batch.masked_in(&mask, grey).unwrap()),
            [0.55, 0.3, 0.35]
        ));
    }
}

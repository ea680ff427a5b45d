//! Pictures → what a teacher says of close-ups of their main objects.

use casm::header::{Header, InputConfig};
use casm::mask::{Binarization, BoundingBox, Mask};
use casm::module::Mode;
use casm::parameters::Parameters;
use casm::pixels::copy_values;
use casm::{Result, SaliencyNetwork, torch_error};
use tch::{Kind, TchError, Tensor};

use super::close_up::close_up;

/// A trained mapping that no longer learns.
#[derive(Debug)]
pub struct Teacher {
    /// The teacher's network.
    network: SaliencyNetwork,
    input: InputConfig,
    binarization: Binarization,
    /// Whose classes the student learns, if not the teacher's.
    classifier: Option<SaliencyNetwork>,
    zooms: Vec<f64>,
    sharpness: f64,
}

impl Teacher {
    /// From a checkpoint's header and weights, and those of another `classifier` if classes are to be
    /// learnt from that. `zooms`: sizes of close-ups relative to the object's box. `sharpness`: see
    /// [`Teacher::masks`].
    ///
    /// # Errors
    /// A tensor is missing.
    pub fn new(
        (header, parameters): (&Header, &Parameters),
        classifier: Option<(&Header, &Parameters)>,
        zooms: &[f64],
        sharpness: f64,
    ) -> Result<Teacher> {
        let classifier = classifier
            .map(|(header, parameters)| SaliencyNetwork::new(&header.network, parameters))
            .transpose()?;
        Ok(Teacher {
            network: SaliencyNetwork::new(&header.network, parameters)?,
            input: header.input.clone(),
            binarization: header.binarization,
            classifier,
            zooms: zooms.to_vec(),
            sharpness,
        })
    }

    /// The rule that its boxes come from.
    pub fn binarization(&self) -> Binarization {
        self.binarization
    }

    /// How pictures come to [`Teacher::masks`]: half as large again as the teacher's input, so that close-ups
    /// show more than the whole did.
    pub fn input(&self) -> InputConfig {
        InputConfig {
            size: self.input.size + self.input.size / 2,
            ..self.input.clone()
        }
    }

    /// Targets `[N, 1, M, M]`, f32, in [0, 1], for normalised pictures of the size of [`Teacher::input`].
    ///
    /// The teacher marks the main object of a picture, looks at a close-up of its box for every zoom, each
    /// with its mirror image, and the target t is the mean of the masks it gives of these, put back where
    /// they belong; outside of them nothing is marked. With a sharpness k above 0 the target is
    /// σ(k (t - 1/2)): the larger k, the nearer to yes and no.
    ///
    /// # Errors
    /// libtorch's; the teacher has no decoder.
    pub fn masks(&self, pictures: &Tensor) -> Result<Tensor> {
        let _no_gradients = tch::no_grad_guard();
        let side = i64::from(self.input.size);
        let whole = resized(pictures, side).map_err(torch_error)?;
        let seen = self.look(&whole)?;
        let boxes = self.boxes(&seen)?;
        let mut sums = seen.f_zeros_like().map_err(torch_error)?;
        for &zoom in &self.zooms {
            self.look_closer(pictures, &boxes, zoom, &mut sums)?;
        }
        let finish = || {
            let mean = sums.f_div_scalar(self.zooms.len() as f64)?;
            let masks = match self.sharpness {
                0.0 => mean,
                k => mean.f_sub_scalar(0.5)?.f_mul_scalar(k)?.f_sigmoid()?,
            };
            masks.f_clamp(0.0, 1.0)
        };
        finish().map_err(torch_error)
    }

    /// Classes `[N, classes]`, before the softmax, for normalised pictures `[N, 3, S, S]`.
    ///
    /// # Errors
    /// libtorch's.
    pub fn logits(&self, pictures: &Tensor) -> Result<Tensor> {
        let _no_gradients = tch::no_grad_guard();
        let network = self.classifier.as_ref().unwrap_or(&self.network);
        let mut outputs = network
            .encoder
            .forward(&[pictures.shallow_clone()], Mode::Evaluate)?;
        let logits = outputs
            .pop()
            .expect("an encoder's last output is its logits");
        logits.f_to_kind(Kind::Float).map_err(torch_error)
    }

    /// Mean of the masks of pictures `[N, 3, S, S]` and of their mirror images.
    fn look(&self, pictures: &Tensor) -> Result<Tensor> {
        let mirror = |tensor: &Tensor| tensor.f_flip([3i64]).map_err(torch_error);
        let seen = decoded(self.network.forward(pictures, Mode::Evaluate)?.mask)?;
        let mirrored = self.network.forward(&mirror(pictures)?, Mode::Evaluate)?;
        let mirrored = mirror(&decoded(mirrored.mask)?)?;
        seen.f_add(&mirrored)
            .and_then(|sum| sum.f_div_scalar(2.0))
            .map_err(torch_error)
    }

    /// The box of the largest component of every mask `[N, 1, M, M]`; the whole mask where nothing is
    /// marked.
    fn boxes(&self, masks: &Tensor) -> Result<Vec<BoundingBox>> {
        let (_, _, height, width) = masks.size4().map_err(torch_error)?;
        let (height, width) = (height as usize, width as usize);
        let mut values = Vec::new();
        copy_values(masks, &mut values)?;
        let boxes = values.chunks_exact(height * width).map(|values| {
            let mask = Mask {
                width,
                height,
                values: values.to_vec(),
            };
            let component = mask.binarize(&self.binarization).largest_component();
            component.map_or(whole(width, height), |component| component.bounding_box)
        });
        Ok(boxes.collect())
    }

    /// Adds the masks of close-ups to `sums`.
    fn look_closer(
        &self,
        pictures: &Tensor,
        boxes: &[BoundingBox],
        zoom: f64,
        sums: &mut Tensor,
    ) -> Result<()> {
        let side = sums.size4().map_err(torch_error)?.3;
        let regions: Vec<BoundingBox> = boxes
            .iter()
            .map(|&object| close_up(object, zoom, side as u32))
            .collect();
        let size = i64::from(self.input.size);
        let enlarged = enlarge(pictures, &regions, side, size).map_err(torch_error)?;
        put_back(&self.look(&enlarged)?, &regions, sums).map_err(torch_error)
    }
}

/// The mask of a network that has one.
fn decoded(mask: Option<Tensor>) -> Result<Tensor> {
    let missing = || TchError::Torch("the teacher has no decoder".to_owned());
    mask.ok_or_else(missing)
        .and_then(|mask| mask.f_to_kind(Kind::Float))
        .map_err(torch_error)
}

fn whole(width: usize, height: usize) -> BoundingBox {
    BoundingBox {
        x: 0,
        y: 0,
        width: width as u32,
        height: height as u32,
    }
}

/// `regions`, one a picture in pixels of a mask with `side` rows, cut out of `pictures` `[N, 3, B, B]` and
/// resized to `size` × `size`.
fn enlarge(
    pictures: &Tensor,
    regions: &[BoundingBox],
    side: i64,
    size: i64,
) -> std::result::Result<Tensor, TchError> {
    let scale = pictures.size4()?.2 / side;
    let cut = |(index, region): (usize, &BoundingBox)| {
        let picture = pictures.f_narrow(0, index as i64, 1)?;
        resized(&window(&picture, region, scale)?, size)
    };
    let parts = regions.iter().enumerate().map(cut);
    Tensor::f_cat(&parts.collect::<std::result::Result<Vec<_>, _>>()?, 0)
}

/// `[N, 3, H, W]` → `[N, 3, size, size]`, bilinear and antialiased, in the same format.
fn resized(pictures: &Tensor, size: i64) -> std::result::Result<Tensor, TchError> {
    // Rounding of half precision would show in the resized picture.
    pictures
        .f_to_kind(Kind::Float)?
        .f_internal_upsample_bilinear2d_aa([size, size], false, None, None)?
        .f_to_kind(pictures.f_kind()?)?
        // Rows, columns, channels in memory, which convolutions prefer.
        .f_permute([0, 2, 3, 1])?
        .f_contiguous()?
        .f_permute([0, 3, 1, 2])
}

/// Adds `masks` `[N, 1, M, M]`, made smaller, to the `regions` of `sums`.
fn put_back(
    masks: &Tensor,
    regions: &[BoundingBox],
    sums: &mut Tensor,
) -> std::result::Result<(), TchError> {
    for (index, region) in regions.iter().enumerate() {
        let size = [i64::from(region.height), i64::from(region.width)];
        let mask = masks
            .f_narrow(0, index as i64, 1)?
            .f_internal_upsample_bilinear2d_aa(size, false, None, None)?;
        let _ = window(&sums.f_narrow(0, index as i64, 1)?, region, 1)?.f_add_(&mask)?;
    }
    Ok(())
}

/// A view of `region`, each of whose pixels is `scale` × `scale` pixels of `tensor`.
fn window(
    tensor: &Tensor,
    region: &BoundingBox,
    scale: i64,
) -> std::result::Result<Tensor, TchError> {
    tensor
        .f_narrow(
            2,
            i64::from(region.y) * scale,
            i64::from(region.height) * scale,
        )?
        .f_narrow(
            3,
            i64::from(region.x) * scale,
            i64::from(region.width) * scale,
        )
}

#[cfg(test)]
mod tests;

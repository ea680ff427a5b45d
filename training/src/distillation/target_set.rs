//! Target masks of all pictures, made once → those of a batch's crops.

use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, ensure};
use casm::pixels::{Normalisation, copy_values};
use casm::torch_error;
use safetensors::tensor::{Dtype, TensorView};
use safetensors::{SafeTensors, serialize};
use tch::{Device, Kind, TchError, Tensor};

use super::teacher::Teacher;
use crate::dataset::{Mixture, Place};
use crate::loader::{Loader, LoaderConfig, Origin, Transform, View};
use crate::snapshot::write_atomically;

/// The masks' name in the file.
const NAME: &str = "targets";

/// The name of the tensor that says which pictures the teacher saw.
const SEEN: &str = "seen";

/// Pictures that the teacher sees at a time.
const BATCH: usize = 8;

/// What a teacher says of every picture of a mixture, in bytes: 3 KB a picture for masks of 56 × 56.
#[derive(Debug, PartialEq, Eq)]
pub struct TargetSet {
    /// Side of a mask.
    side: usize,
    /// Number of the first picture of each source.
    firsts: Vec<usize>,
    /// Masks one after the other, 255 = marked.
    values: Vec<u8>,
    /// 1 for each picture that could be read, else 0: nothing is learnt from its mask then.
    seen: Vec<u8>,
}

impl TargetSet {
    /// Asks the teacher about every picture of `data`, whole; squashed to `squash` pixels a side before, if that
    /// is given, so that it sees them as coarse as the student does. `precision`: number format of the passes.
    /// `after`: called after every batch with the number of pictures so far; an error from it ends all.
    /// Pictures that cannot be read are given with the reason.
    ///
    /// # Errors
    /// No picture can be read; libtorch's; that of `after`.
    pub fn new(
        teacher: &Teacher,
        data: &Arc<Mixture>,
        squash: Option<u32>,
        workers: usize,
        (precision, device): (Kind, Device),
        after: &mut dyn FnMut(usize) -> anyhow::Result<()>,
    ) -> anyhow::Result<(TargetSet, Vec<(String, String)>)> {
        let input = teacher.input();
        let config = LoaderConfig {
            batch: BATCH,
            size: input.size,
            transform: Transform::Train {
                scale: (1.0, 1.0),
                ratio: (1.0, 1.0),
                whole: 1.0,
                squash,
                flip: false,
                jitter: 0.0,
            },
            workers,
            prefetch: 2,
            seed: 0,
            epoch_iterations: 1,
        };
        let normalisation = Normalisation::new(&input, device)?;
        let firsts = firsts(data);
        let (mut side, mut values) = (0, Vec::new());
        let mut seen = vec![0; data.pictures()];
        let mut masks = Vec::new();
        let mut done = 0;
        let mut loader = Loader::in_turn(data.clone(), config)?;
        for batch in loader.by_ref() {
            let batch = batch?;
            let count = batch.classes.len();
            let pictures = normalisation.pictures(count, &batch.pixels, precision)?;
            let targets = teacher.masks(&pictures)?;
            if side == 0 {
                side = targets.size4().map_err(torch_error)?.3 as usize;
                values = vec![0; data.pictures() * side * side];
            }
            copy_values(&targets, &mut masks)?;
            for (origin, mask) in batch.origins.iter().zip(masks.chunks_exact(side * side)) {
                let number = number(&firsts, origin.picture);
                seen[number] = 1;
                for (byte, value) in values[number * side * side..].iter_mut().zip(mask) {
                    *byte = (value * 255.0).round() as u8;
                }
            }
            done += count;
            after(done)?;
        }
        let targets = TargetSet {
            side,
            firsts,
            values,
            seen,
        };
        Ok((targets, loader.rejected()))
    }

    /// Writes it to `path`.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn save(&self, path: &Path) -> anyhow::Result<()> {
        let pictures = self.seen.len();
        let shape = vec![pictures, self.side, self.side];
        let masks = TensorView::new(Dtype::U8, shape, &self.values)?;
        let seen = TensorView::new(Dtype::U8, vec![pictures], &self.seen)?;
        let bytes = serialize([(NAME, masks), (SEEN, seen)], None)?;
        write_atomically(path, |file| file.write_all(&bytes))
            .with_context(|| format!("cannot write '{}'", path.display()))
    }

    /// Reads that of `data` from `path`.
    ///
    /// # Errors
    /// The file cannot be read or is of other pictures.
    pub fn open(path: &Path, data: &Mixture) -> anyhow::Result<TargetSet> {
        let read = || -> anyhow::Result<TargetSet> {
            let bytes = std::fs::read(path)?;
            let tensors = SafeTensors::deserialize(&bytes)?;
            let tensor = tensors.tensor(NAME)?;
            let pictures = data.pictures();
            let side = match *tensor.shape() {
                [count, height, width] if count == pictures && height == width => width,
                _ => anyhow::bail!(
                    "it has the shape {:?} for {pictures} pictures",
                    tensor.shape()
                ),
            };
            let seen = tensors.tensor(SEEN)?;
            ensure!(
                [tensor.dtype(), seen.dtype()] == [Dtype::U8; 2] && *seen.shape() == [pictures],
                "it has no bytes, or not one a picture"
            );
            Ok(TargetSet {
                seen: seen.data().to_vec(),
                side,
                firsts: firsts(data),
                values: tensor.data().to_vec(),
            })
        };
        read().with_context(|| {
            let path = path.display();
            format!("the targets '{path}' cannot be used; start the run again")
        })
    }

    /// The masks of what inputs show, `[N, 1, M, M]`, f32, in [0, 1], bilinear in between, and their weights
    /// `[N, 1, 1, 1]`: 0 for pictures that the teacher could not see.
    ///
    /// # Errors
    /// libtorch's.
    pub fn of(&self, origins: &[Origin], device: Device) -> casm::Result<(Tensor, Tensor)> {
        let length = self.side * self.side;
        let mut bytes = Vec::with_capacity(origins.len() * length);
        let mut places = Vec::with_capacity(origins.len() * 6);
        let mut weights = Vec::with_capacity(origins.len());
        for origin in origins {
            let number = number(&self.firsts, origin.picture);
            bytes.extend_from_slice(&self.values[number * length..(number + 1) * length]);
            weights.push(f32::from(self.seen[number]));
            places.extend(affine(origin.view));
        }
        let (count, side) = (origins.len() as i64, self.side as i64);
        let cut = || -> Result<(Tensor, Tensor), TchError> {
            let masks = Tensor::f_from_slice(&bytes)?
                .f_reshape([count, 1, side, side])?
                .f_to_device(device)?
                .f_to_kind(Kind::Float)?
                .f_div_scalar(255.0)?;
            let places = Tensor::f_from_slice(&places)?
                .f_reshape([count, 2, 3])?
                .f_to_device(device)?;
            let grid = Tensor::f_affine_grid_generator(&places, [count, 1, side, side], false)?;
            // 0: bilinear; 1: beyond the edge, what is at the edge.
            let weights = Tensor::f_from_slice(&weights)?
                .f_reshape([count, 1, 1, 1])?
                .f_to_device(device)?;
            Ok((masks.f_grid_sampler(&grid, 0, 1, false)?, weights))
        };
        cut().map_err(torch_error)
    }
}

/// Where each point of a crop lies in its picture, in coordinates of -1 to 1: `[2, 3]`.
fn affine(view: View) -> [f32; 6] {
    let mirror = if view.mirrored { -1.0 } else { 1.0 };
    let center = |first: f32, length: f32| 2.0 * first + length - 1.0;
    [
        mirror * view.width,
        0.0,
        center(view.left, view.width),
        0.0,
        view.height,
        center(view.top, view.height),
    ]
}

fn firsts(data: &Mixture) -> Vec<usize> {
    let mut next = 0;
    let sources = data.sources().iter();
    sources
        .map(|source| {
            let first = next;
            next += source.dataset.samples().len();
            first
        })
        .collect()
}

fn number(firsts: &[usize], place: Place) -> usize {
    firsts[place.source] + place.sample
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_crop_of_the_picture_gets_the_crop_of_its_mask() {
        // Two pictures with masks of 4 × 4; the second's columns are 0, 85, 170, 255.
        let ramp: Vec<u8> = (0..16).map(|index| 85 * (index % 4)).collect();
        let set = TargetSet {
            side: 4,
            firsts: vec![0, 1],
            values: [vec![0; 16], ramp].concat(),
            seen: vec![0, 1],
        };
        let row = |view: View, source| {
            let picture = Place { source, sample: 0 };
            let (masks, weights) = set
                .of(&[Origin { picture, view }], Device::Cpu)
                .expect("masks");
            assert_eq!(masks.size(), [1, 1, 4, 4]);
            // The teacher could not see the first picture.
            assert_eq!(weights.double_value(&[0, 0, 0, 0]), source as f64);
            [0, 1, 2, 3].map(|column| (masks.double_value(&[0, 0, 2, column]) * 255.0).round())
        };
        assert_eq!(row(View::WHOLE, 0), [0.0; 4]);
        assert_eq!(row(View::WHOLE, 1), [0.0, 85.0, 170.0, 255.0]);
        let mirrored = View {
            mirrored: true,
            ..View::WHOLE
        };
        assert_eq!(row(mirrored, 1), [255.0, 170.0, 85.0, 0.0]);
        // The right half, of columns 2 and 3: centres at 1.75, 2.25, 2.75, 3.25 of columns 0 to 3.
        let half = View {
            left: 0.5,
            width: 0.5,
            ..View::WHOLE
        };
        assert_eq!(row(half, 1), [149.0, 191.0, 234.0, 255.0]);
    }
}

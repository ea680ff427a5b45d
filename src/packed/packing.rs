//! Weights in the order that libtorch's operations want, which for fused convolutions depends on how many threads
//! compute: with another number they would be brought into another order in every run, at several times the cost of the run.

use std::sync::Arc;

use casm_core::network::{Conv2d, Folded, Operation};
use casm_core::{Error, Result};
use tch::{TchError, Tensor};

use super::arithmetic::Formats;
use super::plan::{Step, Work};
use crate::torch_error;

/// Numbers of threads that weights are kept for, the last ones that computed.
const KEPT: usize = 3;

/// What a step computes with, beside its inputs.
pub enum Constants {
    /// Nothing.
    None,
    /// What a convolution or linear layer needs.
    Weights(Weights),
    /// `[3]`, in f32.
    Mean(Tensor),
}

/// A convolution's or linear layer's.
pub struct Weights {
    /// In the operations' own order.
    pub weight: Tensor,
    /// In f32: one that is rounded is wrong in the same way in every pixel. Fused sums take none but one of the weight's
    /// kind; what it loses is made up for behind it, if no activation comes first ([`Folded::for_bf16`]).
    pub bias: Tensor,
}

/// The constants of a network's steps, for one or several numbers of threads.
pub struct Packing {
    /// For numbers of threads that may come; `None` if this one stays.
    values: Option<Values>,
    /// Of numbers of threads, the one that computes first.
    sets: Vec<(usize, Vec<Constants>)>,
}

/// What weights are packed from.
struct Values {
    /// Rounded where the number format wants it.
    folded: Arc<Folded>,
    /// Layers whose convolution takes a sum along.
    summed: Vec<bool>,
    /// Height and width of every value.
    sides: Vec<usize>,
}

impl Packing {
    /// For the number of threads that compute now, and pictures of `side` by `side` pixels.
    pub fn new(
        folded: Arc<Folded>,
        summed: Vec<bool>,
        side: usize,
        steps: &[Step],
        formats: &Formats,
    ) -> Result<Packing> {
        let sides = sides(&folded, side);
        let values = Values {
            folded,
            summed,
            sides,
        };
        Ok(Packing {
            sets: vec![(computing(), values.constants(steps, formats)?)],
            values: Some(values),
        })
    }

    /// Of each step.
    pub fn constants(&self) -> &[Constants] {
        self.sets.first().map_or(&[], |(_, constants)| constants)
    }

    /// No other number of threads will come.
    pub fn settle(&mut self) {
        self.values = None;
    }

    /// Has so many threads compute from now on, in this thread.
    pub fn use_threads(&mut self, threads: usize, steps: &[Step], formats: &Formats) -> Result<()> {
        let Some(values) = &self.values else {
            return Ok(());
        };
        tch::set_num_threads(i32::try_from(threads).unwrap_or(i32::MAX));
        // Ordinary operations want them in the same order always.
        if formats.arithmetic.functions.is_none() {
            return Ok(());
        }
        match self.sets.iter().position(|(of, _)| *of == threads) {
            Some(at) => self.sets[..=at].rotate_right(1),
            None => {
                self.sets.truncate(KEPT - 1);
                let constants = values.constants(steps, formats)?;
                self.sets.insert(0, (threads, constants));
            }
        }
        Ok(())
    }
}

/// The number of threads that compute in this thread.
fn computing() -> usize {
    usize::try_from(tch::get_num_threads()).unwrap_or(1)
}

impl Values {
    fn constants(&self, steps: &[Step], formats: &Formats) -> Result<Vec<Constants>> {
        let constants = steps.iter().map(|step| {
            let layer = match &step.work {
                Work::Picture { mean } => {
                    let mean = Tensor::f_from_slice(mean);
                    let mean = mean.and_then(|mean| mean.f_to_device(formats.device));
                    return Ok(Constants::Mean(mean.map_err(torch_error)?));
                }
                Work::Convolution { layer, .. } => *layer,
                Work::Layer(Operation::Linear { .. }) => step.result,
                Work::Layer(_) => return Ok(Constants::None),
            };
            Ok(Constants::Weights(self.weights(layer, formats)?))
        });
        constants.collect()
    }

    fn weights(&self, layer: usize, formats: &Formats) -> Result<Weights> {
        let folded = &self.folded;
        let [weight, bias] = folded.layer_values(layer)[..] else {
            return Err(Error::Engine {
                engine: "torch".to_owned(),
                reason: "a weight is missing from the folded network".to_owned(),
            });
        };
        let input = folded.graph.layers()[layer].inputs[0];
        let kind = formats.kind_of(layer);
        let bias_kind = match self.summed[layer] {
            true => kind,
            false => tch::Kind::Float,
        };
        let pack = || {
            let tensor = |values: &[f32]| Tensor::f_from_slice(values)?.f_to_device(formats.device);
            let mut shape: Vec<i64> = weight.shape.iter().map(|&size| size as i64).collect();
            // A linear layer is a convolution of a single pixel.
            shape.resize(4, 1);
            let values = formats.rounded(tensor(&weight.values)?, layer)?;
            let values = values.f_to_kind(kind)?.f_reshape(&shape)?;
            let weight = match &folded.graph.layers()[layer].operation {
                operation if formats.arithmetic.functions.is_some() => {
                    let conv = convolution(operation);
                    let side = self.sides[input.index()] as i64;
                    values.f_to_mkldnn(kind)?.f_mkldnn_reorder_conv2d_weight(
                        [conv.padding as i64; 2],
                        [conv.stride as i64; 2],
                        [1, 1],
                        conv.groups as i64,
                        &[1, folded.graph.channels(input) as i64, side, side][..],
                    )?
                }
                _ => channels_last(&values)?,
            };
            Ok(Weights {
                weight,
                bias: tensor(&bias.values)?.f_to_kind(bias_kind)?,
            })
        };
        pack().map_err(torch_error)
    }
}

/// The convolution that a linear layer is; a convolution itself.
pub fn convolution(operation: &Operation) -> Conv2d {
    match operation {
        Operation::Conv2d(conv) => conv.clone(),
        Operation::Linear { name, out_features } => Conv2d::new(name.clone(), *out_features, 1),
        _ => Conv2d::new("", 0, 1),
    }
}

fn channels_last(tensor: &Tensor) -> std::result::Result<Tensor, TchError> {
    let rows_first = tensor.f_permute([0, 2, 3, 1])?.f_contiguous()?;
    rows_first.f_permute([0, 3, 1, 2])
}

/// Height and width of every value, for pictures of this size.
fn sides(folded: &Folded, side: usize) -> Vec<usize> {
    let mut sides: Vec<usize> = Vec::new();
    for layer in folded.graph.layers() {
        let input = layer
            .inputs
            .first()
            .map_or(side, |value| sides[value.index()]);
        let window = |kernel: usize, stride: usize, padding: usize| {
            (input + 2 * padding).saturating_sub(kernel) / stride.max(1) + 1
        };
        sides.push(match &layer.operation {
            Operation::Conv2d(conv) => window(conv.kernel, conv.stride, conv.padding),
            Operation::MaxPool {
                kernel,
                stride,
                padding,
            } => window(*kernel, *stride, *padding),
            Operation::GlobalAveragePool => 1,
            Operation::UpsampleBilinear { factor } => input * factor,
            _ => input,
        });
    }
    sides
}

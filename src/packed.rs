//! A folded network with its weights as libtorch's fastest operations want them.
//!
//! On the CPU, convolutions take bias, addition and activation along ([`native`]), their weights are brought
//! into oneDNN's own order once, and activations keep the order rows, columns, channels ("channels last").
//! On a GPU, and with a libtorch that lacks those functions, the same steps are ordinary operations.
//!
//! A CPU that does not multiply numbers of 16 bits computes in f32 and rounds ([`arithmetic`]).

mod arithmetic;
mod native;
mod packing;
mod picture;
mod plan;

use std::sync::Arc;

use casm_core::Result;
use casm_core::network::{Activation, Conv2d, Folded, Operation, values_in_f32};
use tch::{Device, Kind, TchError, Tensor};

use crate::torch_error;
use arithmetic::{Arithmetic, Formats};
use packing::{Constants, Packing, Weights, convolution};
use plan::{Step, Work, steps};

/// A network that can be run.
pub struct Packed {
    steps: Vec<Step>,
    packing: Packing,
    outputs: Vec<usize>,
    formats: Formats,
}

/// Pictures `[N, S, S, 3]`, where they are.
enum Pictures<'a> {
    /// The number, and the bytes in ordinary memory.
    Bytes(usize, &'a [u8]),
    /// A tensor of bytes on the network's device.
    Tensor(&'a Tensor),
}

impl Packed {
    /// Brings `folded`, for pictures of `side` by `side` pixels, to the device.
    ///
    /// # Errors
    /// [`Error::Engine`](casm_core::Error::Engine): no memory.
    pub fn new(folded: &Arc<Folded>, side: usize, kind: Kind, device: Device) -> Result<Packed> {
        if let Some(native) = Arithmetic::native(kind, device) {
            let packed = Packed::with(folded, side, native, device);
            if kind == Kind::Float || native.functions.is_none() {
                return packed;
            }
            // Biases in f32 beside bf16 are not part of what the fused convolutions promise, so they are tried.
            if let Ok(packed) = packed
                && packed.run(1, &vec![0; side * side * 3]).is_ok()
            {
                return Ok(packed);
            }
        }
        Packed::with(folded, side, Arithmetic::rounding(kind), device)
    }

    fn with(
        folded: &Arc<Folded>,
        side: usize,
        arithmetic: Arithmetic,
        device: Device,
    ) -> Result<Packed> {
        let graph = &folded.graph;
        let wide = match arithmetic.kind {
            Kind::Float => vec![true; graph.layers().len()],
            _ => values_in_f32(graph),
        };
        let plan = steps(graph, &wide);
        let mut summed = vec![false; graph.layers().len()];
        for step in plan.iter().filter(|step| step.inputs.len() > 1) {
            if let Work::Convolution { layer, .. } = step.work {
                summed[layer] = arithmetic.functions.is_some();
            }
        }
        let values = match arithmetic.kind {
            Kind::BFloat16 => {
                let folded = Folded::clone(folded);
                Arc::new(folded.for_bf16(|layer| !wide[layer], |layer| summed[layer]))
            }
            _ => folded.clone(),
        };
        let outputs = graph.outputs().iter().map(|value| value.index());
        let formats = Formats {
            arithmetic,
            wide,
            device,
        };
        Ok(Packed {
            packing: Packing::new(values, summed, side, &plan, &formats)?,
            outputs: outputs.collect(),
            steps: plan,
            formats,
        })
    }

    /// Has so many threads compute from now on, in this thread.
    ///
    /// # Errors
    /// [`Error::Engine`](casm_core::Error::Engine): no memory.
    pub fn use_threads(&mut self, threads: usize) -> Result<()> {
        self.packing
            .use_threads(threads, &self.steps, &self.formats)
    }

    /// The number of threads stays from now on, and what others would need is not kept.
    pub fn settle(&mut self) {
        self.packing.settle();
    }

    /// How many pictures are best given to one [`run`](Self::run).
    ///
    /// Weights are in the order for one. Where several threads compute in f32, oneDNN wants another for more of them, and
    /// would bring them into it in every run (2.2 times the time of a picture in a run of two, 1.6 in one of eight); one
    /// thread is fastest with two to four (0.8), and slower again with eight (1.2), when results are in no cache any more.
    /// MobileNetV2 on two cores of a Zen 3; of ResNet-50 only that eight are slower than one with two threads (1.3).
    pub fn at_once(&self) -> usize {
        let Arithmetic {
            computed,
            functions,
            ..
        } = self.formats.arithmetic;
        match (functions, computed) {
            (Some(_), Kind::Float) if tch::get_num_threads() > 1 => 1,
            (Some(_), Kind::Float) => 4,
            _ => usize::MAX,
        }
    }

    /// Outputs of the graph for bytes `[count, S, S, 3]`.
    ///
    /// # Errors
    /// [`Error::Engine`](casm_core::Error::Engine) with libtorch's message.
    pub fn run(&self, count: usize, pixels: &[u8]) -> Result<Vec<Tensor>> {
        self.compute(Pictures::Bytes(count, pixels))
            .map_err(torch_error)
    }

    /// [`Packed::run`] for bytes that are a tensor on the network's device, `[N, S, S, 3]`. Copies nothing from the
    /// CPU's memory, so that a CUDA graph can record it.
    ///
    /// # Errors
    /// libtorch's.
    pub fn run_tensor(&self, pictures: &Tensor) -> std::result::Result<Vec<Tensor>, TchError> {
        self.compute(Pictures::Tensor(pictures))
    }

    fn compute(&self, pictures: Pictures<'_>) -> std::result::Result<Vec<Tensor>, TchError> {
        let unknown = || TchError::Torch("a value is used before it is computed".to_owned());
        let formats = &self.formats;
        let mut values: Vec<Option<Tensor>> = formats.wide.iter().map(|_| None).collect();
        for (step, constants) in self.steps.iter().zip(self.packing.constants()) {
            let inputs = step.inputs.iter().map(|&input| values[input].as_ref());
            let inputs: Vec<&Tensor> = inputs.collect::<Option<_>>().ok_or_else(unknown)?;
            let result = match (&step.work, constants) {
                (Work::Picture { mean }, Constants::Mean(on_device)) => match pictures {
                    Pictures::Bytes(count, pixels) if formats.device == Device::Cpu => {
                        picture::picture(count, pixels, mean)?
                    }
                    Pictures::Bytes(count, pixels) => {
                        let side = (pixels.len() / (3 * count.max(1))).isqrt() as i64;
                        let bytes = Tensor::f_from_slice(pixels)?.f_to_device(formats.device)?;
                        let bytes = bytes.f_reshape([count as i64, side, side, 3])?;
                        picture::picture_of(&bytes, on_device)?
                    }
                    Pictures::Tensor(bytes) => picture::picture_of(bytes, on_device)?,
                },
                (
                    Work::Convolution {
                        conv,
                        activation,
                        in_place,
                        layer,
                    },
                    Constants::Weights(weights),
                ) => {
                    let inputs = inputs.iter().zip(&step.inputs);
                    let inputs = inputs.map(|(x, &input)| formats.operand(x, input, *layer));
                    let inputs: Vec<Tensor> = inputs.collect::<Result<_, _>>()?;
                    let inputs: Vec<&Tensor> = inputs.iter().collect();
                    self.convolve(conv, &inputs, weights, *activation, *in_place)?
                }
                (
                    Work::Layer(operation @ Operation::Linear { .. }),
                    Constants::Weights(weights),
                ) => {
                    let pixel = formats.operand(inputs[0], step.inputs[0], step.result)?;
                    let pixel = pixel.f_unsqueeze(-1)?.f_unsqueeze(-1)?;
                    let conv = convolution(operation);
                    let result = self.convolve(&conv, &[&pixel], weights, None, false)?;
                    result.f_flatten(1, -1)?
                }
                (Work::Layer(operation @ Operation::Add), _) => {
                    let sum = self.layer(operation, &inputs)?;
                    sum.f_to_kind(formats.kind_of(step.result))?
                }
                (Work::Layer(operation), _) => self.layer(operation, &inputs)?,
                _ => return Err(unknown()),
            };
            values[step.result] = Some(formats.rounded(result, step.result)?);
            step.last.iter().for_each(|&value| values[value] = None);
        }
        let outputs = self.outputs.iter().map(|&output| values[output].take());
        outputs.collect::<Option<_>>().ok_or_else(unknown)
    }

    fn convolve(
        &self,
        conv: &Conv2d,
        inputs: &[&Tensor],
        weights: &Weights,
        activation: Option<Activation>,
        in_place: bool,
    ) -> std::result::Result<Tensor, TchError> {
        let Weights { weight, bias } = weights;
        let x = inputs[0];
        match (self.formats.arithmetic.functions, inputs.get(1)) {
            (Some(functions), None) => functions.convolve(conv, x, weight, bias, activation),
            (Some(functions), Some(added)) => {
                let relu = activation == Some(Activation::Relu);
                functions.convolve_and_add(conv, x, weight, bias, added, in_place, relu)
            }
            (None, added) => {
                let square = |side: usize| [side as i64, side as i64];
                let (stride, padding) = (square(conv.stride), square(conv.padding));
                let groups = conv.groups as i64;
                let convolved = |bias| x.f_conv2d(weight, bias, stride, padding, [1, 1], groups);
                let mut y = match weight.f_kind()? {
                    Kind::Float => convolved(Some(bias))?,
                    // It takes no bias of another kind than the weight's.
                    _ => convolved(None::<&Tensor>)?.f_add_(&bias.f_reshape([-1, 1, 1])?)?,
                };
                if let Some(added) = added {
                    y = y.f_add_(added)?;
                }
                match activation {
                    None => Ok(y),
                    Some(Activation::Relu) => y.f_relu_(),
                    Some(Activation::Relu6) => y.f_clamp_(0.0, 6.0),
                }
            }
        }
    }

    fn layer(
        &self,
        operation: &Operation,
        inputs: &[&Tensor],
    ) -> std::result::Result<Tensor, TchError> {
        let x = inputs[0];
        let square = |side: usize| [side as i64, side as i64];
        match operation {
            Operation::Relu => x.f_relu(),
            Operation::Relu6 => x.f_clamp(0.0, 6.0),
            Operation::MaxPool {
                kernel,
                stride,
                padding,
            } => x.f_max_pool2d(
                square(*kernel),
                square(*stride),
                square(*padding),
                square(1),
                false,
            ),
            Operation::Add => x.f_add(inputs[1]),
            Operation::GlobalAveragePool => x.f_mean_dim(&[2i64, 3][..], false, None::<Kind>),
            Operation::UpsampleBilinear { factor } => {
                let (_, _, height, width) = x.size4()?;
                let factor = *factor as i64;
                let x = x.f_to_kind(Kind::Float)?;
                x.f_upsample_bilinear2d([height * factor, width * factor], false, None, None)
            }
            Operation::Concat => Tensor::f_cat(inputs, 1),
            Operation::Sigmoid => x.f_to_kind(Kind::Float)?.f_sigmoid(),
            Operation::Subtract { values } => {
                let values = Tensor::f_from_slice(values)?.f_reshape([1, -1, 1, 1])?;
                x.f_sub(&values.f_to_device(x.device())?.f_to_kind(x.f_kind()?)?)
            }
            // Those that have weights are handled where these are; batch norms are folded away.
            _ => Err(TchError::Torch(format!("{operation:?} has no weights"))),
        }
    }
}

#[cfg(test)]
mod tests;

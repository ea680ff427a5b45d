//! A folded network with its weights as libtorch's fastest operations want them.
//!
//! On the CPU, convolutions take bias, addition and activation along ([`native`]), their weights are brought
//! into oneDNN's own order once, and activations keep the order rows, columns, channels ("channels last").
//! On a GPU, and with a libtorch that lacks those functions, the same steps are ordinary operations.
//!
//! A CPU that does not multiply numbers of 16 bits computes in f32 and rounds ([`arithmetic`]).

mod arithmetic;
mod native;
mod picture;
mod plan;

use casm_core::network::{Activation, Conv2d, Folded, Operation, values_in_f32};
use casm_core::{Error, Result};
use tch::{Device, Kind, TchError, Tensor};

use crate::torch_error;
use arithmetic::Arithmetic;
use plan::{Step, Work, steps};

/// A network that can be run.
pub struct Packed {
    steps: Vec<(Step, Constants)>,
    outputs: Vec<usize>,
    values: usize,
    arithmetic: Arithmetic,
    /// Values that are in f32 in any case.
    wide: Vec<bool>,
    device: Device,
}

/// What a step computes with, beside its inputs.
enum Constants {
    None,
    Weights(Weights),
    /// `[3]`, in f32.
    Mean(Tensor),
}

/// Pictures `[N, S, S, 3]`, where they are.
enum Pictures<'a> {
    /// The number, and the bytes in ordinary memory.
    Bytes(usize, &'a [u8]),
    /// A tensor of bytes on the network's device.
    Tensor(&'a Tensor),
}

/// A convolution's or linear layer's.
struct Weights {
    weight: Tensor,
    /// In f32: one that is rounded is wrong in the same way in every pixel. Fused sums take none but one of the weight's
    /// kind; what it loses is made up for behind it, if no activation comes first ([`Folded::for_bf16`]).
    bias: Tensor,
}

impl Packed {
    /// Brings `folded`, for pictures of `side` by `side` pixels, to the device.
    ///
    /// # Errors
    /// [`Error::Engine`]: no memory.
    pub fn new(folded: &Folded, side: usize, kind: Kind, device: Device) -> Result<Packed> {
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
        folded: &Folded,
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
        let rounded = (arithmetic.kind == Kind::BFloat16).then(|| {
            let folded = folded.clone();
            folded.for_bf16(|layer| !wide[layer], |layer| summed[layer])
        });
        let folded = rounded.as_ref().unwrap_or(folded);
        let mut packed = Packed {
            steps: Vec::new(),
            outputs: graph.outputs().iter().map(|value| value.index()).collect(),
            values: graph.layers().len(),
            arithmetic,
            wide,
            device,
        };
        let sides = sides(folded, side);
        for step in plan {
            let layer = match &step.work {
                Work::Convolution { layer, .. } => Some(*layer),
                Work::Layer(Operation::Linear { .. }) => Some(step.result),
                _ => None,
            };
            let constants = match (&step.work, layer) {
                (Work::Picture { mean }, _) => {
                    let mean = Tensor::f_from_slice(mean).and_then(|mean| mean.f_to_device(device));
                    Constants::Mean(mean.map_err(torch_error)?)
                }
                (_, Some(layer)) => {
                    let bias = match summed[layer] {
                        true => packed.kind_of(layer),
                        false => Kind::Float,
                    };
                    Constants::Weights(packed.weights(folded, layer, bias, &sides)?)
                }
                (_, None) => Constants::None,
            };
            packed.steps.push((step, constants));
        }
        Ok(packed)
    }

    /// Outputs of the graph for bytes `[count, S, S, 3]`.
    ///
    /// # Errors
    /// [`Error::Engine`] with libtorch's message.
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

    fn weights(
        &self,
        folded: &Folded,
        layer: usize,
        bias_kind: Kind,
        sides: &[usize],
    ) -> Result<Weights> {
        let [weight, bias] = folded.layer_values(layer)[..] else {
            return Err(missing("a weight"));
        };
        let input = folded.graph.layers()[layer].inputs[0];
        let kind = self.kind_of(layer);
        let pack = || {
            let tensor = |values: &[f32]| Tensor::f_from_slice(values)?.f_to_device(self.device);
            let mut shape: Vec<i64> = weight.shape.iter().map(|&size| size as i64).collect();
            // A linear layer is a convolution of a single pixel.
            shape.resize(4, 1);
            let values = self.rounded(tensor(&weight.values)?, layer)?;
            let values = values.f_to_kind(kind)?.f_reshape(&shape)?;
            let weight = match &folded.graph.layers()[layer].operation {
                operation if self.arithmetic.functions.is_some() => {
                    let conv = convolution(operation);
                    let side = sides[input.index()] as i64;
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

    /// What a value is computed in.
    fn kind_of(&self, value: usize) -> Kind {
        match self.wide[value] {
            true => Kind::Float,
            false => self.arithmetic.computed,
        }
    }

    /// `tensor` with the digits of this value's number format, if its own has more.
    fn rounded(&self, tensor: Tensor, value: usize) -> std::result::Result<Tensor, TchError> {
        let Arithmetic { kind, computed, .. } = self.arithmetic;
        match self.arithmetic.rounds() && !self.wide[value] {
            true => tensor.f_to_kind(kind)?.f_to_kind(computed),
            false => Ok(tensor),
        }
    }

    /// The value `input` as `layer` reads it.
    fn operand(
        &self,
        tensor: &Tensor,
        input: usize,
        layer: usize,
    ) -> std::result::Result<Tensor, TchError> {
        let tensor = tensor.f_to_kind(self.kind_of(layer))?;
        match self.wide[input] {
            true => self.rounded(tensor, layer),
            // Rounded when it was computed.
            false => Ok(tensor),
        }
    }

    fn compute(&self, pictures: Pictures<'_>) -> std::result::Result<Vec<Tensor>, TchError> {
        let unknown = || TchError::Torch("a value is used before it is computed".to_owned());
        let mut values: Vec<Option<Tensor>> = (0..self.values).map(|_| None).collect();
        for (step, constants) in &self.steps {
            let inputs = step.inputs.iter().map(|&input| values[input].as_ref());
            let inputs: Vec<&Tensor> = inputs.collect::<Option<_>>().ok_or_else(unknown)?;
            let result = match (&step.work, constants) {
                (Work::Picture { mean }, Constants::Mean(on_device)) => match pictures {
                    Pictures::Bytes(count, pixels) if self.device == Device::Cpu => {
                        picture::picture(count, pixels, mean)?
                    }
                    Pictures::Bytes(count, pixels) => {
                        let side = (pixels.len() / (3 * count.max(1))).isqrt() as i64;
                        let bytes = Tensor::f_from_slice(pixels)?.f_to_device(self.device)?;
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
                    let inputs = inputs.map(|(x, &input)| self.operand(x, input, *layer));
                    let inputs: Vec<Tensor> = inputs.collect::<Result<_, _>>()?;
                    let inputs: Vec<&Tensor> = inputs.iter().collect();
                    self.convolve(conv, &inputs, weights, *activation, *in_place)?
                }
                (
                    Work::Layer(operation @ Operation::Linear { .. }),
                    Constants::Weights(weights),
                ) => {
                    let pixel = self.operand(inputs[0], step.inputs[0], step.result)?;
                    let pixel = pixel.f_unsqueeze(-1)?.f_unsqueeze(-1)?;
                    let conv = convolution(operation);
                    let result = self.convolve(&conv, &[&pixel], weights, None, false)?;
                    result.f_flatten(1, -1)?
                }
                (Work::Layer(operation @ Operation::Add), _) => {
                    let sum = self.layer(operation, &inputs)?;
                    sum.f_to_kind(self.kind_of(step.result))?
                }
                (Work::Layer(operation), _) => self.layer(operation, &inputs)?,
                _ => return Err(unknown()),
            };
            values[step.result] = Some(self.rounded(result, step.result)?);
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
        match (self.arithmetic.functions, inputs.get(1)) {
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

/// The convolution that a linear layer is; a convolution itself.
fn convolution(operation: &Operation) -> Conv2d {
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

fn missing(what: &str) -> Error {
    Error::Engine {
        engine: "torch".to_owned(),
        reason: format!("{what} is missing from the folded network"),
    }
}

#[cfg(test)]
mod tests;

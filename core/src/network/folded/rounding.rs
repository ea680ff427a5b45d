//! Weights for bf16, whose eight binary digits change a network by its weights more than by its activations: those are
//! rounded up as often as down, a weight always the same way.
//!
//! So what a channel gets on average is kept, by two means that cost nothing later. Of a window of pixels, which are much alike, the sum of
//! the weights is kept, by rounding a few of them the other way. What is left of the error on average, of channels'
//! means ([`super::means`]), is taken off the bias. The latter: M. Nagel et al., *Data-Free Quantization Through Weight Equalization and
//! Bias Correction*, 2019, section 4.2; here without the batch norms' statistics, which a folded network has not.

mod lost;
mod stored;

pub use stored::round_to_bf16;

use super::Folded;
use super::means::channel_means;
use crate::network::{Graph, Operation};
use crate::quantization::FEWEST_CHANNELS;

/// Binary digits of an f32 that bf16 has not.
const LOST: u32 = 16;

/// At most so many channels, in and out, behind nothing but others in f32: MobileNetV2's first block, which takes little time; what is rounded there is rounded at the largest
/// size and seen by all that follows.
const SMALL: usize = 32;

/// Which values of a folded graph are in f32 even where weights and activations have 16 bits: the picture, the results of
/// convolutions that stay in f32, and what is made of these without another convolution. From the decoder's enlargements on
/// all values are small, and rounded no more.
///
/// Such convolutions are those of few channels, which int8 leaves out as well (the encoder's first, whose picture has more
/// steps than bf16, and the decoder's last, level by level), and MobileNetV2's first block.
pub fn values_in_f32(graph: &Graph) -> Vec<bool> {
    let mut wide: Vec<bool> = Vec::with_capacity(graph.layers().len());
    for layer in graph.layers() {
        wide.push(match &layer.operation {
            Operation::Input | Operation::UpsampleBilinear { .. } | Operation::Sigmoid => true,
            Operation::Conv2d(conv) => {
                let (inputs, outputs) = (graph.channels(layer.inputs[0]), conv.out_channels);
                let first = wide[layer.inputs[0].index()] && inputs.max(outputs) <= SMALL;
                first || inputs.min(outputs) < FEWEST_CHANNELS
            }
            Operation::Linear { .. } => false,
            // A shortcut from the stem: the blocks go on in 16 bits.
            Operation::Add => layer.inputs.iter().all(|value| wide[value.index()]),
            _ => layer.inputs.iter().any(|value| wide[value.index()]),
        });
    }
    wide
}

impl Folded {
    /// The same network for convolutions and linear layers in bf16, those for which `in_bf16` is true of the layer's position: with weights
    /// that bf16 can hold, and biases that make up for it.
    ///
    /// Biases stay in f32 but for those of which `bias_in_bf16` is true as well. What these lose is made up for behind, as far as
    /// no activation comes first (`rounding/lost.rs`).
    pub fn for_bf16(
        mut self,
        in_bf16: impl Fn(usize) -> bool,
        bias_in_bf16: impl Fn(usize) -> bool,
    ) -> Folded {
        let means = channel_means(&self);
        let mut lacks: Vec<Vec<f64>> = Vec::new();
        for index in 0..self.graph.layers().len() {
            let layer = &self.graph.layers()[index];
            lacks.push(lost::passed_on(layer, &self.graph, &lacks));
            let (window, groups) = match &layer.operation {
                Operation::Conv2d(conv) => (conv.kernel * conv.kernel, conv.groups),
                Operation::Linear { .. } => (1, 1),
                _ => continue,
            };
            let read = layer.inputs[0].index();
            let (means, lacking) = (&means[read], &lacks[read]);
            let channels = layer.channels;
            let parameters = self.graph.layer_parameters(index);
            let [weight, bias] = &parameters[..] else {
                continue;
            };
            let Some(weight) = self.tensors.get_mut(&weight.name) else {
                continue;
            };
            let inputs = means.len() / groups;
            let mut errors = vec![0.0; channels];
            for (at, kernel) in weight.values.chunks_exact_mut(window).enumerate() {
                let (output, within) = (at / inputs, at % inputs);
                let channel = output / (channels / groups) * inputs + within;
                if in_bf16(index) {
                    let error = f64::from(means[channel]) * round(kernel);
                    // A network that overflows on these pictures may be fine on others.
                    errors[output] += if error.is_finite() { error } else { 0.0 };
                }
                if let Some(lacking) = lacking.get(channel) {
                    errors[output] -= lacking * kernel.iter().copied().map(f64::from).sum::<f64>();
                }
            }
            let Some(bias) = self.tensors.get_mut(&bias.name) else {
                continue;
            };
            for (bias, error) in bias.values.iter_mut().zip(errors) {
                *bias = (f64::from(*bias) - error) as f32;
            }
            if in_bf16(index) && bias_in_bf16(index) {
                lacks[index] = lost::round_biases(&mut bias.values);
            }
        }
        self
    }
}

/// Of each layer, whether it is a convolution whose result no activation reads.
pub fn without_activation(graph: &Graph) -> Vec<bool> {
    let layers = graph.layers().iter();
    let mut without: Vec<bool> = layers
        .map(|layer| matches!(layer.operation, Operation::Conv2d(_)))
        .collect();
    for layer in graph.layers() {
        if let Operation::Relu | Operation::Relu6 | Operation::Sigmoid = layer.operation {
            without[layer.inputs[0].index()] = false;
        }
    }
    // Nobody behind an output makes up for anything.
    for output in graph.outputs() {
        without[output.index()] = false;
    }
    without
}

/// Rounds the weights of a window so that their sum is kept as well as may be; by how much it has grown.
fn round(kernel: &mut [f32]) -> f64 {
    let exact: Vec<f32> = kernel.to_vec();
    let mut grown = 0.0;
    for (rounded, &exact) in kernel.iter_mut().zip(&exact) {
        *rounded = nearest(exact);
        grown += f64::from(*rounded) - f64::from(exact);
    }
    if kernel.len() == 1 {
        return grown;
    }
    // The cheapest first: those that lie nearest to the middle between two numbers of bf16.
    let mut others: Vec<(f64, usize)> = exact
        .iter()
        .enumerate()
        .map(|(at, &exact)| {
            let distance = |number: f32| (f64::from(number) - f64::from(exact)).abs();
            (distance(other(exact)) - distance(kernel[at]), at)
        })
        .collect();
    others.sort_by(|a, b| a.0.total_cmp(&b.0));
    for (_, at) in others {
        let turned = f64::from(other(exact[at])) - f64::from(kernel[at]);
        if (grown + turned).abs() < grown.abs() {
            kernel[at] = other(exact[at]);
            grown += turned;
        }
    }
    grown
}

/// The number of bf16 next to this one; of two, the even one.
fn nearest(value: f32) -> f32 {
    if !value.is_finite() {
        return value;
    }
    let bits = value.to_bits();
    let half = (1 << (LOST - 1)) - 1 + (bits >> LOST & 1);
    truncated(bits.wrapping_add(half))
}

/// The number of bf16 on the other side of it than [`nearest`]; itself if it is one.
fn other(value: f32) -> f32 {
    let (below, nearest) = (truncated(value.to_bits()), nearest(value));
    if below == value {
        value
    } else if nearest == below {
        // Away from zero, of a number of either sign.
        truncated(value.to_bits().wrapping_add(1 << LOST))
    } else {
        below
    }
}

/// Without the digits that bf16 has not.
fn truncated(bits: u32) -> f32 {
    f32::from_bits(bits >> LOST << LOST)
}

#[cfg(test)]
mod tests;

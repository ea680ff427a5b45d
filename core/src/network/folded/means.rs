//! What each channel of a network is on average, without a picture at hand.
//!
//! The network is run once, by plain loops, on pictures that are like photographs only in that neighbours are alike and
//! colours are faint: random values on grids from coarse to fine. For what this is used, [`super::rounding`], such means are as good as
//! those of photographs.

use crate::checkpoint::NamedTensor;
use crate::network::{Conv2d, Folded, Layer, Operation};
use crate::vector::wide;

/// Side of the pictures: what every stride divides, with room for the last layers to be more than a border.
const SIDE: usize = 96;
/// How many pictures.
pub(super) const PICTURES: u32 = 2;

/// Of every value of the graph, the mean of each channel.
pub(super) fn channel_means(folded: &Folded) -> Vec<Vec<f32>> {
    let layers = folded.graph.layers();
    let mut means: Vec<Vec<f32>> = layers
        .iter()
        .map(|layer| vec![0.0; layer.channels])
        .collect();
    for number in 0..PICTURES {
        for (mean, field) in means.iter_mut().zip(fields(folded, &picture(number))) {
            let share = 1.0 / (field.pixels().len() as f32 * PICTURES as f32);
            for pixel in field.pixels() {
                for (mean, value) in mean.iter_mut().zip(pixel) {
                    *mean += value * share;
                }
            }
        }
    }
    means
}

/// A value of the graph for one picture, `[side, side, channels]`; the side of what has no place is 1.
#[derive(Debug, Clone)]
pub(super) struct Field {
    pub(super) side: usize,
    pub(super) channels: usize,
    pub(super) values: Vec<f32>,
}

impl Field {
    fn pixels(&self) -> std::slice::ChunksExact<'_, f32> {
        self.values.chunks_exact(self.channels.max(1))
    }

    /// The pixel, or `None` outside.
    fn pixel(&self, y: isize, x: isize) -> Option<&[f32]> {
        let side = self.side as isize;
        let inside = (0..side).contains(&y) && (0..side).contains(&x);
        inside.then(|| &self.values[(y * side + x) as usize * self.channels..][..self.channels])
    }

    fn map(&self, value: impl Fn(f32) -> f32) -> Field {
        Field {
            values: self.values.iter().map(|&x| value(x)).collect(),
            ..*self
        }
    }
}

/// Random values on grids of 3 x 3 points, 6 x 6 and so on to single pixels, the finer the fainter, the same in all channels but for a
/// third; in the levels of a photograph.
pub(super) fn picture(number: u32) -> Field {
    let mut state = 0x9e37_79b9 ^ number;
    let mut random = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 8) as f32 / (1 << 23) as f32 - 1.0
    };
    let mut values = vec![118.0; SIDE * SIDE * 3];
    let mut strength = 60.0;
    let mut points = 3;
    while points <= SIDE {
        let grid: Vec<[f32; 4]> = (0..points * points)
            .map(|_| std::array::from_fn(|_| random()))
            .collect();
        for (at, pixel) in values.chunks_exact_mut(3).enumerate() {
            let place = |at: usize| {
                let at = (at as f32 + 0.5) * points as f32 / SIDE as f32 - 0.5;
                let low = at.max(0.0) as usize;
                (low, (low + 1).min(points - 1), (at - low as f32).max(0.0))
            };
            let ((top, bottom, v), (left, right, h)) = (place(at / SIDE), place(at % SIDE));
            for (channel, value) in pixel.iter_mut().enumerate() {
                let level = |y: usize, x: usize| {
                    let point = &grid[y * points + x];
                    point[3] + point[channel] / 3.0
                };
                let blend = |low: f32, high: f32, share: f32| low + (high - low) * share;
                let upper = blend(level(top, left), level(top, right), h);
                let lower = blend(level(bottom, left), level(bottom, right), h);
                *value += strength * blend(upper, lower, v);
            }
        }
        strength *= 0.7;
        points *= 2;
    }
    let level = |value: &f32| value.round().clamp(0.0, 255.0);
    Field {
        side: SIDE,
        channels: 3,
        values: values.iter().map(level).collect(),
    }
}

/// All values of the graph.
pub(super) fn fields(folded: &Folded, picture: &Field) -> Vec<Field> {
    let mut fields: Vec<Field> = Vec::new();
    for (index, layer) in folded.graph.layers().iter().enumerate() {
        let inputs: Vec<&Field> = layer.inputs.iter().map(|v| &fields[v.index()]).collect();
        let field = match inputs.first() {
            Some(x) => field(layer, x, &inputs, &folded.layer_values(index)),
            None => picture.clone(),
        };
        fields.push(field);
    }
    fields
}

fn field(layer: &Layer, x: &Field, inputs: &[&Field], tensors: &[&NamedTensor]) -> Field {
    match (&layer.operation, tensors) {
        (Operation::Subtract { values }, _) => {
            let differences = x.pixels().flat_map(|pixel| pixel.iter().zip(values));
            Field {
                values: differences.map(|(x, value)| x - value).collect(),
                ..*x
            }
        }
        (Operation::Conv2d(conv), [weight, bias]) => {
            convolve(conv, x, &weight.values, &bias.values)
        }
        (Operation::Linear { name, out_features }, [weight, bias]) => {
            let conv = Conv2d::new(name.clone(), *out_features, 1);
            convolve(&conv, x, &weight.values, &bias.values)
        }
        (Operation::Relu, _) => x.map(|x| x.max(0.0)),
        (Operation::Relu6, _) => x.map(|x| x.clamp(0.0, 6.0)),
        (Operation::Sigmoid, _) => x.map(|x| 1.0 / (1.0 + (-x).exp())),
        (Operation::Add, _) => {
            let pairs = x
                .values
                .iter()
                .zip(inputs.iter().skip(1).flat_map(|y| &y.values));
            Field {
                values: pairs.map(|(x, y)| x + y).collect(),
                ..*x
            }
        }
        (
            Operation::MaxPool {
                kernel,
                stride,
                padding,
            },
            _,
        ) => pool(x, (*kernel, *stride, *padding)),
        (Operation::GlobalAveragePool, _) => {
            let mut values = vec![0.0; x.channels];
            let share = 1.0 / x.pixels().len() as f32;
            for pixel in x.pixels() {
                for (mean, value) in values.iter_mut().zip(pixel) {
                    *mean += value * share;
                }
            }
            Field {
                side: 1,
                channels: x.channels,
                values,
            }
        }
        // Means are the same however a field is enlarged, up to its border.
        (Operation::UpsampleBilinear { factor }, _) => {
            let side = x.side * factor;
            let rows = (0..side).flat_map(|y| (0..side).map(move |i| (y / factor, i / factor)));
            let pixels = rows.filter_map(|(y, i)| x.pixel(y as isize, i as isize));
            Field {
                side,
                channels: x.channels,
                values: pixels.flatten().copied().collect(),
            }
        }
        (Operation::Concat, _) => {
            let places = 0..x.side * x.side;
            let pixels =
                places.flat_map(|at| inputs.iter().filter_map(move |x| x.pixels().nth(at)));
            Field {
                side: x.side,
                channels: layer.channels,
                values: pixels.flatten().copied().collect(),
            }
        }
        // An input, or what a folded network has none of.
        _ => x.clone(),
    }
}

/// The pixels that an output pixel of a window is made of, row by row; `None` beside the field.
fn window(
    x: &Field,
    (kernel, stride, padding): (usize, usize, usize),
    at: (usize, usize),
) -> impl Iterator<Item = Option<&[f32]>> {
    let from = move |at: usize, step: usize| (at * stride + step) as isize - padding as isize;
    let steps = (0..kernel).flat_map(move |y| (0..kernel).map(move |x| (y, x)));
    steps.map(move |(dy, dx)| x.pixel(from(at.0, dy), from(at.1, dx)))
}

fn outputs(x: &Field, (kernel, stride, padding): (usize, usize, usize)) -> usize {
    (x.side + 2 * padding).saturating_sub(kernel) / stride.max(1) + 1
}

fn pool(x: &Field, shape: (usize, usize, usize)) -> Field {
    let side = outputs(x, shape);
    let mut values = vec![f32::NEG_INFINITY; side * side * x.channels];
    for (at, pixel) in values.chunks_exact_mut(x.channels).enumerate() {
        for other in window(x, shape, (at / side, at % side)).flatten() {
            for (most, &value) in pixel.iter_mut().zip(other) {
                *most = most.max(value);
            }
        }
    }
    Field {
        side,
        channels: x.channels,
        values,
    }
}

/// Weights as in files, `[outputs, inputs / groups, kernel, kernel]`.
fn convolve(conv: &Conv2d, x: &Field, weight: &[f32], bias: &[f32]) -> Field {
    let shape = (conv.kernel, conv.stride, conv.padding);
    let (side, area) = (outputs(x, shape), conv.kernel * conv.kernel);
    let (groups, channels) = (conv.groups, conv.out_channels);
    let (inputs, each) = (x.channels / groups, channels / groups);
    // Pixels side by side in the weights too: [outputs, kernel, kernel, inputs].
    let turned = |at: usize| {
        let (output, at) = (at / (area * inputs), at % (area * inputs));
        weight[(output * inputs + at % inputs) * area + at / inputs]
    };
    let turned: Vec<f32> = (0..weight.len()).map(turned).collect();
    let mut values = vec![0.0; side * side * channels];
    let mut seen = vec![0.0; area * inputs];
    for (at, pixel) in values.chunks_exact_mut(channels).enumerate() {
        for group in 0..groups {
            let window = window(x, shape, (at / side, at % side));
            for (seen, other) in seen.chunks_exact_mut(inputs).zip(window) {
                match other {
                    Some(other) => seen.copy_from_slice(&other[group * inputs..][..inputs]),
                    None => seen.fill(0.0),
                }
            }
            let weights = turned[group * each * area * inputs..].chunks_exact(area * inputs);
            for (at, weights) in (group * each..(group + 1) * each).zip(weights) {
                pixel[at] = product(weights, &seen) + bias.get(at).copied().unwrap_or(0.0);
            }
        }
    }
    Field {
        side,
        channels,
        values,
    }
}

wide! {
    /// Sums side by side, the same on every machine.
    fn product(a: &[f32], b: &[f32]) -> f32 {
        const LANES: usize = 16;
        let mut lanes = [0.0; LANES];
        let ((a, rest_a), (b, rest_b)) = (a.as_chunks::<LANES>(), b.as_chunks::<LANES>());
        for (a, b) in a.iter().zip(b) {
            for ((lane, a), b) in lanes.iter_mut().zip(a).zip(b) {
                *lane += a * b;
            }
        }
        let rest = rest_a.iter().zip(rest_b).map(|(a, b)| a * b);
        lanes.iter().sum::<f32>() + rest.sum::<f32>()
    }
}

#[cfg(test)]
mod tests;

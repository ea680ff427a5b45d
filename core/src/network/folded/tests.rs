//! The folded network against the unfolded one, both computed by the loops below.

use super::*;
use crate::network::{
    Activation, BATCH_NORM_EPSILON, Block, DecoderConfig, EncoderConfig, MobilenetV2Config,
    Parameter, ResnetConfig, Role,
};

/// Side of the pictures: the smallest that every stride divides.
pub const SIDE: usize = 32;

/// A value of a graph: channels, side, and the numbers; the side of `[N, C]` is 1.
#[derive(Clone)]
pub struct Plane {
    pub channels: usize,
    pub side: usize,
    pub values: Vec<f64>,
}

impl Plane {
    fn at(&self, channel: usize, y: isize, x: isize) -> Option<f64> {
        let side = self.side as isize;
        let inside = (0..side).contains(&y) && (0..side).contains(&x);
        inside.then(|| self.values[(channel * self.side + y as usize) * self.side + x as usize])
    }

    fn new(channels: usize, side: usize, value: impl Fn(usize, usize, usize) -> f64) -> Plane {
        let mut values = Vec::with_capacity(channels * side * side);
        for channel in 0..channels {
            for y in 0..side {
                values.extend((0..side).map(|x| value(channel, y, x)));
            }
        }
        Plane {
            channels,
            side,
            values,
        }
    }

    fn map(&self, value: impl Fn(f64) -> f64) -> Plane {
        Plane {
            values: self.values.iter().map(|&x| value(x)).collect(),
            ..self.clone()
        }
    }
}

/// Outputs of `graph` for one picture's values.
fn evaluate(
    graph: &Graph,
    tensors: &BTreeMap<String, NamedTensor>,
    inputs: &[Plane],
) -> Vec<Plane> {
    let values = all_values(graph, tensors, inputs);
    let outputs = graph.outputs().iter();
    outputs.map(|value| values[value.index()].clone()).collect()
}

/// Computes all values of `graph`, with the operations as their documentation defines them.
pub fn all_values(
    graph: &Graph,
    tensors: &BTreeMap<String, NamedTensor>,
    inputs: &[Plane],
) -> Vec<Plane> {
    let mut inputs = inputs.iter();
    let mut values: Vec<Plane> = Vec::new();
    for (index, layer) in graph.layers().iter().enumerate() {
        let parameters: Vec<&Vec<f32>> = graph
            .layer_parameters(index)
            .iter()
            .map(|parameter| &tensors[&parameter.name].values)
            .collect();
        let number = |parameter: usize, at: usize| f64::from(parameters[parameter][at]);
        let x = layer.inputs.first().map(|value| &values[value.index()]);
        let x = x.or_else(|| inputs.next()).expect("an input");
        let value = match &layer.operation {
            Operation::Input => x.clone(),
            Operation::Subtract { values } => Plane::new(x.channels, x.side, |c, y, i| {
                x.at(c, y as isize, i as isize).expect("inside") - f64::from(values[c])
            }),
            Operation::Conv2d(conv) => {
                let group_in = x.channels / conv.groups;
                let group_out = conv.out_channels / conv.groups;
                let side = (x.side + 2 * conv.padding - conv.kernel) / conv.stride + 1;
                Plane::new(conv.out_channels, side, |out, y, i| {
                    let first = out / group_out * group_in;
                    let mut sum = if conv.bias { number(1, out) } else { 0.0 };
                    for c in 0..group_in {
                        for dy in 0..conv.kernel {
                            for dx in 0..conv.kernel {
                                let from = |at: usize, d: usize| {
                                    (at * conv.stride + d) as isize - conv.padding as isize
                                };
                                let weight =
                                    ((out * group_in + c) * conv.kernel + dy) * conv.kernel + dx;
                                if let Some(x) = x.at(first + c, from(y, dy), from(i, dx)) {
                                    sum += x * number(0, weight);
                                }
                            }
                        }
                    }
                    sum
                })
            }
            Operation::BatchNorm { .. } => Plane::new(x.channels, x.side, |c, y, i| {
                let x = x.at(c, y as isize, i as isize).expect("inside");
                let deviation = (number(3, c) + BATCH_NORM_EPSILON).sqrt();
                number(0, c) * (x - number(2, c)) / deviation + number(1, c)
            }),
            Operation::Relu => x.map(|x| x.max(0.0)),
            Operation::Relu6 => x.map(|x| x.clamp(0.0, 6.0)),
            Operation::Sigmoid => x.map(|x| 1.0 / (1.0 + (-x).exp())),
            Operation::MaxPool {
                kernel,
                stride,
                padding,
            } => {
                let side = (x.side + 2 * padding - kernel) / stride + 1;
                Plane::new(x.channels, side, |c, y, i| {
                    let from = |at: usize, d| (at * stride + d) as isize - *padding as isize;
                    let window = (0..*kernel).flat_map(|dy| (0..*kernel).map(move |dx| (dy, dx)));
                    window
                        .filter_map(|(dy, dx)| x.at(c, from(y, dy), from(i, dx)))
                        .fold(f64::NEG_INFINITY, f64::max)
                })
            }
            Operation::Add => {
                let other = &values[layer.inputs[1].index()];
                let sums = x.values.iter().zip(&other.values).map(|(a, b)| a + b);
                Plane {
                    values: sums.collect(),
                    ..x.clone()
                }
            }
            Operation::GlobalAveragePool => Plane::new(x.channels, 1, |c, _, _| {
                let area = x.side * x.side;
                x.values[c * area..(c + 1) * area].iter().sum::<f64>() / area as f64
            }),
            Operation::Linear { out_features, .. } => Plane::new(*out_features, 1, |out, _, _| {
                let row = out * x.values.len();
                let products = x.values.iter().enumerate();
                products.map(|(c, x)| x * number(0, row + c)).sum::<f64>() + number(1, out)
            }),
            Operation::UpsampleBilinear { factor } => {
                Plane::new(x.channels, x.side * factor, |c, y, i| {
                    // The centre of an output pixel in input pixels, and its two neighbours' shares.
                    let place = |at: usize| {
                        let at = ((at as f64 + 0.5) / *factor as f64 - 0.5).max(0.0);
                        let low = at.floor() as isize;
                        (low, (low + 1).min(x.side as isize - 1), at.fract())
                    };
                    let ((top, bottom, v), (left, right, h)) = (place(y), place(i));
                    let x = |y, i| x.at(c, y, i).expect("inside");
                    (1.0 - v) * ((1.0 - h) * x(top, left) + h * x(top, right))
                        + v * ((1.0 - h) * x(bottom, left) + h * x(bottom, right))
                })
            }
            Operation::Concat => {
                let all = layer.inputs.iter().map(|value| &values[value.index()]);
                Plane {
                    channels: layer.channels,
                    side: x.side,
                    values: all.flat_map(|plane| plane.values.clone()).collect(),
                }
            }
        };
        values.push(value);
    }
    values
}

/// A number in [-1, 1) for a name and an index.
pub fn noise(name: &str, index: usize) -> f32 {
    let seed = name.bytes().fold(index as u64 + 1, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    let mixed = (seed ^ (seed >> 29)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    (mixed >> 40) as f32 / 8_388_608.0 - 1.0
}

/// Values that keep a signal's size from layer to layer.
fn values(parameter: &Parameter) -> NamedTensor {
    let inputs: usize = parameter.shape[1..].iter().product();
    let (centre, width) = match parameter.role {
        Role::Weight => (0.0, (6.0 / inputs as f32).sqrt()),
        Role::Scale | Role::RunningVariance => (1.0, 0.5),
        Role::Bias | Role::Shift | Role::RunningMean => (0.1, 0.3),
    };
    let count = parameter.shape.iter().product();
    let number = |index| centre + width * noise(&parameter.name, index);
    NamedTensor {
        name: parameter.name.clone(),
        shape: parameter.shape.clone(),
        values: (0..count).map(number).collect(),
    }
}

/// Made-up values for all of these.
pub fn tensors(parameters: Vec<Parameter>) -> BTreeMap<String, NamedTensor> {
    let tensors = parameters.iter().map(values);
    tensors
        .map(|tensor| (tensor.name.clone(), tensor))
        .collect()
}

/// The folded network of a description, with made-up values.
pub fn folded(config: &NetworkConfig) -> Folded {
    let tensors = tensors(config.network().parameters());
    Folded::new(config, &InputConfig::default(), &tensors).expect("complete")
}

/// A picture of noise.
pub fn bytes() -> Plane {
    Plane::new(3, SIDE, |c, y, x| {
        let index = (c * SIDE + y) * SIDE + x;
        f64::from(((noise("picture", index) + 1.0) * 127.9).floor())
    })
}

/// The largest difference, as a share of the largest value or of 1.
pub fn difference(ours: &Plane, reference: &Plane) -> f64 {
    assert_eq!(ours.values.len(), reference.values.len());
    assert!(ours.values.iter().all(|value| value.is_finite()));
    let largest = |values: &mut dyn Iterator<Item = f64>| values.fold(0.0, f64::max);
    let scale = largest(&mut reference.values.iter().map(|value| value.abs()));
    let pairs = ours.values.iter().zip(&reference.values);
    largest(&mut pairs.map(|(a, b)| (a - b).abs())) / scale.max(1.0)
}

/// Mask and logits of the folded network equal those of the network as described, to 1e-5: all that is
/// lost is the rounding of folded weights to f32. Gives the folded network.
fn assert_folds(config: &NetworkConfig) -> Folded {
    let input = InputConfig::default();
    let network = config.network();
    let tensors = tensors(network.parameters());
    let bytes = bytes();
    let normalised = Plane::new(3, SIDE, |c, y, x| {
        let byte = bytes.at(c, y as isize, x as isize).expect("inside");
        (byte / 255.0 - f64::from(input.mean[c])) / f64::from(input.std[c])
    });
    let picture = std::slice::from_ref(&normalised);
    let mut taps = evaluate(&network.encoder.graph, &tensors, picture);
    let logits = taps.pop().expect("the logits");
    if let Some(separate) = &network.separate_encoder {
        taps = evaluate(&separate.graph, &tensors, picture);
    }
    let mut expected = match &network.decoder {
        Some(decoder) => evaluate(decoder, &tensors, &taps),
        None => Vec::new(),
    };
    expected.push(logits);

    let folded = Folded::new(config, &input, &tensors).expect("complete");
    let found = evaluate(&folded.graph, &folded.tensors, &[bytes]);
    assert_eq!(found.len(), expected.len());
    for (found, expected) in found.iter().zip(&expected) {
        let difference = difference(found, expected);
        assert!(difference < 1e-5, "{difference}");
        // A constant would be equal however wrong its inputs are.
        let first = expected.values[0];
        assert!(
            expected
                .values
                .iter()
                .any(|value| (value - first).abs() > 1e-3)
        );
    }
    let layers = folded.graph.layers().iter();
    let norms = layers.filter(|layer| matches!(layer.operation, Operation::BatchNorm { .. }));
    assert_eq!(norms.count(), 0);
    folded
}

pub fn resnet(block: Block) -> NetworkConfig {
    NetworkConfig::new(EncoderConfig::Resnet(ResnetConfig {
        blocks: [1, 1, 1, 1],
        block,
        classes: 3,
    }))
}

fn concatenations(folded: &Folded) -> usize {
    let layers = folded.graph.layers().iter();
    layers
        .filter(|layer| layer.operation == Operation::Concat)
        .count()
}

#[test]
fn resnets_fold() {
    for block in [Block::Basic, Block::Bottleneck] {
        let folded = assert_folds(&resnet(block));
        assert_eq!(concatenations(&folded), 0);
    }
}

#[test]
fn mobilenets_fold_with_and_without_batch_norm() {
    for (batch_norm, activation) in [(true, Activation::Relu6), (false, Activation::Relu)] {
        assert_folds(&NetworkConfig::new(EncoderConfig::MobilenetV2(
            MobilenetV2Config {
                classes: 3,
                batch_norm,
                activation,
            },
        )));
    }
}

#[test]
fn decoders_of_other_taps_fold() {
    for (convolve_first, taps) in [(true, vec![]), (false, vec![0, 3]), (false, vec![3, 4])] {
        let mut config = resnet(Block::Basic);
        config.decoder = Some(DecoderConfig {
            convolve_first,
            taps,
            ..DecoderConfig::default()
        });
        assert_folds(&config);
    }
}

/// Nine products of eight channels are no saving.
#[test]
fn a_decoder_of_few_channels_keeps_its_concatenation() {
    let mut config = resnet(Block::Basic);
    config.decoder = Some(DecoderConfig {
        channels: 8,
        ..DecoderConfig::default()
    });
    assert_eq!(concatenations(&assert_folds(&config)), 1);
}

#[test]
fn an_encoder_of_the_decoders_own_folds_and_loses_what_nobody_reads() {
    let config = NetworkConfig {
        separate_encoder: true,
        decoder: Some(DecoderConfig {
            taps: vec![0, 1],
            ..DecoderConfig::default()
        }),
        ..resnet(Block::Basic)
    };
    let folded = assert_folds(&config);
    assert!(folded.tensors.contains_key("encoder.layer1.0.conv1.weight"));
    assert!(!folded.tensors.contains_key("encoder.layer2.0.conv1.weight"));
    assert!(
        folded
            .tensors
            .contains_key("classifier.layer4.0.conv1.weight")
    );
}

#[test]
fn a_classifier_alone_has_logits_alone() {
    let EncoderConfig::Resnet(encoder) = resnet(Block::Basic).encoder else {
        unreachable!("just made")
    };
    let folded = assert_folds(&NetworkConfig::classifier(EncoderConfig::Resnet(encoder)));
    assert_eq!(folded.graph.outputs().len(), 1);
}

/// No network of ours has these: a norm of a sum, and of a value that is also read unnormalised; a picture
/// that a pooling, a norm and a convolution by groups read.
#[test]
fn batch_norms_and_scales_that_fit_no_convolution_become_one() {
    let mut graph = Graph::new("odd");
    let picture = graph.input(3);
    let normed = graph.batch_norm("first", picture);
    let pooled = graph.max_pool(3, 1, 1, picture);
    let grouped = graph.conv2d(Conv2d::new("grouped", 3, 3).groups(3), picture);
    let again = graph.batch_norm("again", grouped);
    let mut sum = normed;
    for value in [pooled, grouped, again] {
        sum = graph.add(sum, value);
    }
    let output = graph.batch_norm("last", sum);
    graph.set_outputs(vec![output]);
    let tensors = tensors(graph.parameters());

    let input = InputConfig::default();
    let bytes = Plane::new(3, 5, |c, y, x| (c * 70 + y * 20 + x * 9) as f64);
    let normalised = Plane::new(3, 5, |c, y, x| {
        let byte = bytes.at(c, y as isize, x as isize).expect("inside");
        (byte / 255.0 - f64::from(input.mean[c])) / f64::from(input.std[c])
    });
    let expected = evaluate(&graph, &tensors, &[normalised]);
    let mut folding = Folding::new(&input, &tensors);
    let picture = folding.picture;
    let outputs = folding.append(&graph, &[picture]).expect("complete");
    let folded = folding.finish(&outputs);
    let found = evaluate(&folded.graph, &folded.tensors, &[bytes]);
    assert!(difference(&found[0], &expected[0]) < 1e-5);
}

#[test]
fn a_missing_tensor_is_named() {
    let config = resnet(Block::Basic);
    let mut tensors = tensors(config.network().parameters());
    tensors.remove("classifier.layer2.0.bn1.running_mean");
    let error = Folded::new(&config, &InputConfig::default(), &tensors).expect_err("incomplete");
    assert!(error.to_string().contains("layer2.0.bn1.running_mean"));
}

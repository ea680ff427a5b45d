//! A checkpoint's tensors → the same with numbers that bf16 can hold, so that engines have nothing to round.

use std::collections::BTreeMap;

use super::super::{Folded, full_name, takes_in, uses};
use super::{nearest, values_in_f32};
use crate::checkpoint::NamedTensor;
use crate::error::Result;
use crate::header::InputConfig;
use crate::network::{BATCH_NORM_EPSILON, Graph, NetworkConfig, Operation};

type Tensors = BTreeMap<String, NamedTensor>;

/// Digits after the first one of a batch norm's deviation: half precision holds its square.
const DEVIATION_DIGITS: i32 = 4;
/// The smallest deviation, whose square is far above [`BATCH_NORM_EPSILON`].
const SMALLEST_DEVIATION: f64 = 1.0 / 16.0;

/// Rounds the weights and biases of `tensors`, those of the network that `config` describes, as [`Folded::for_bf16`] does for an
/// engine; how many layers are in bf16 then. [`values_in_f32`] are left alone.
///
/// What is rounded is the folded network: a batch norm's factors go into its convolution. The norm stays, does nothing in inference,
/// and in training, with a batch's statistics, what it did before.
///
/// # Errors
/// [`Error::Checkpoint`](crate::Error::Checkpoint) if a tensor is missing or misshapen.
pub fn round_to_bf16(
    config: &NetworkConfig,
    input: &InputConfig,
    tensors: &mut Tensors,
) -> Result<usize> {
    let exact = Folded::new(config, input, tensors)?;
    let wide = values_in_f32(&exact.graph);
    let rounded = exact.clone().for_bf16(|layer| !wide[layer], |_| true);
    let norms = batch_norms(config);
    let mut count = 0;
    for (index, wide) in wide.into_iter().enumerate() {
        let [weight, bias] = rounded.layer_values(index)[..] else {
            continue;
        };
        let Some(name) = weight.name.strip_suffix(".weight") else {
            continue;
        };
        // A level of the decoder, or a batch norm that is a convolution when folded, has no tensor like this.
        let stored = tensors.get_mut(&weight.name);
        let Some(stored) = stored.filter(|stored| stored.shape == weight.shape) else {
            continue;
        };
        let norm = norms.get(name);
        let exact = &exact.tensors[&bias.name].values;
        if wide {
            // What the layers before it lack.
            let grown = bias.values.iter().zip(exact).map(|(new, old)| new - old);
            let place = norm.map_or_else(|| bias.name.clone(), |norm| format!("{norm}.bias"));
            if let Some(stored) = tensors.get_mut(&place) {
                let pairs = stored.values.iter_mut().zip(grown);
                pairs.for_each(|(value, grown)| *value += grown);
            }
            continue;
        }
        stored.values.clone_from(&weight.values);
        if let Some(stored) = tensors.get_mut(&bias.name) {
            match norm {
                Some(_) => stored.values.fill(0.0),
                None => stored.values.clone_from(&bias.values),
            }
        }
        if let Some(norm) = norm {
            neutralise(norm, &bias.values, exact, tensors);
        }
        count += 1;
    }
    Ok(count)
}

/// Makes a batch norm, whose factors are in its convolution's weights now, one that adds `rounded` to that and nothing else; `exact` is what
/// it added when it was folded.
///
/// Of all that do, the one that trains on as before: the convolution's deviation is |γ| by now, so that the norm's factor is as much, and
/// its shift stays beside what `rounded` asks for.
fn neutralise(norm: &str, rounded: &[f32], exact: &[f32], tensors: &mut Tensors) {
    let tensor = |part: &str| format!("{norm}.{part}");
    // Folding has found them all.
    let gammas = tensors[&tensor("weight")].values.iter();
    let deviations =
        gammas.map(|&gamma| few_digits(f64::from(gamma.abs()).max(SMALLEST_DEVIATION)));
    let deviations: Vec<f64> = deviations.collect();
    let betas = tensors[&tensor("bias")].values.iter();
    let means: Vec<f32> = betas
        .zip(exact)
        .map(|(beta, exact)| nearest(beta - exact))
        .collect();
    let shifts = rounded
        .iter()
        .zip(&means)
        .map(|(rounded, mean)| rounded + mean);
    let variances = deviations
        .iter()
        .map(|deviation| deviation * deviation - BATCH_NORM_EPSILON);
    for (part, values) in [
        ("bias", shifts.collect()),
        ("running_mean", means.clone()),
        (
            "running_var",
            variances.map(|variance| variance as f32).collect(),
        ),
        (
            "weight",
            deviations
                .iter()
                .map(|&deviation| deviation as f32)
                .collect(),
        ),
    ] {
        if let Some(stored) = tensors.get_mut(&tensor(part)) {
            stored.values = values;
        }
    }
}

/// The number with [`DEVIATION_DIGITS`] binary digits after the first that is nearest to this one, above 0.
fn few_digits(value: f64) -> f64 {
    let unit = (value.log2().floor() - f64::from(DEVIATION_DIGITS)).exp2();
    (value / unit).round() * unit
}

/// Full names of convolutions, and of the batch norms that are folded into them.
fn batch_norms(config: &NetworkConfig) -> BTreeMap<String, String> {
    let network = config.network();
    let encoders = [Some(network.encoder), network.separate_encoder];
    let graphs = encoders.into_iter().flatten().map(|encoder| encoder.graph);
    graphs
        .chain(network.decoder)
        .flat_map(|graph| names(&graph))
        .collect()
}

fn names(graph: &Graph) -> Vec<(String, String)> {
    let uses = uses(graph);
    let layers = graph.layers().iter().enumerate();
    let pairs = layers.filter_map(|(index, layer)| {
        let Operation::BatchNorm { name } = &layer.operation else {
            return None;
        };
        let conv = takes_in(graph, index, &uses)?;
        Some((full_name(graph, &conv.name), full_name(graph, name)))
    });
    pairs.collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checkpoint::Checkpoint;
    use crate::network::folded::tests::{resnet, tensors};
    use crate::network::{Activation, Block, DecoderConfig, EncoderConfig, MobilenetV2Config};

    fn mobilenet(batch_norm: bool) -> NetworkConfig {
        NetworkConfig::new(EncoderConfig::MobilenetV2(MobilenetV2Config {
            classes: 3,
            batch_norm,
            activation: Activation::Relu,
        }))
    }

    /// The largest difference.
    fn apart(a: &NamedTensor, b: &NamedTensor) -> f32 {
        assert_eq!(a.shape, b.shape);
        let pairs = a.values.iter().zip(&b.values);
        pairs.map(|(a, b)| (a - b).abs()).fold(0.0, f32::max)
    }

    /// With batch norms and without, the folded network becomes what an engine would have made of it, and nothing is left to round. Of
    /// few channels the decoder's convolutions stay in f32, and take in what the layers before them lack.
    #[test]
    fn what_is_stored_folds_to_numbers_of_bf16() {
        let separate = NetworkConfig {
            separate_encoder: true,
            ..resnet(Block::Basic)
        };
        let few = NetworkConfig {
            decoder: Some(DecoderConfig {
                channels: 8,
                ..DecoderConfig::default()
            }),
            ..mobilenet(false)
        };
        for config in [mobilenet(true), mobilenet(false), separate, few] {
            let input = InputConfig::default();
            let before = tensors(config.network().parameters());
            let mut after = before.clone();
            let count = round_to_bf16(&config, &input, &mut after).expect("complete");

            let folded = Folded::new(&config, &input, &before).expect("complete");
            let wide = values_in_f32(&folded.graph);
            let expected = folded.clone().for_bf16(|layer| !wide[layer], |_| true);
            let found = Folded::new(&config, &input, &after).expect("complete");
            assert_eq!(found.tensors.len(), expected.tensors.len());
            let mut rounded = 0;
            for (index, wide) in wide.iter().enumerate() {
                let [weight, bias] = expected.layer_values(index)[..] else {
                    continue;
                };
                assert_eq!(&found.tensors[&weight.name], weight);
                // A batch norm subtracts a number that was added before.
                let off = apart(&found.tensors[&bias.name], bias);
                assert!(off < 1e-5, "{}: {off}", bias.name);
                if *wide {
                    assert_eq!(weight, &folded.tensors[&weight.name]);
                } else {
                    for tensor in [weight, bias] {
                        assert!(tensor.values.iter().all(|&value| nearest(value) == value));
                    }
                    rounded += 1;
                }
            }
            assert_eq!(count, rounded);
            let mut again = after.clone();
            round_to_bf16(&config, &input, &mut again).expect("complete");
            for (name, tensor) in &after {
                assert!(apart(tensor, &again[name]) < 1e-5, "{name}");
            }
        }
    }

    /// By hand: 0.97 is 31.04 thirty-seconds, 1.04 is 16.64 sixteenths.
    #[test]
    fn deviations_have_five_digits() {
        for (value, expected) in [(0.97, 31.0 / 32.0), (1.04, 17.0 / 16.0), (0.0625, 0.0625)] {
            assert_eq!(few_digits(value), expected);
            let square = (expected * expected) as f32;
            assert_eq!(half::f16::from_f32(square).to_f32(), square);
        }
    }

    /// `casm round` was the last step of its making.
    #[test]
    fn the_built_in_model_has_numbers_of_bf16() {
        let model = Checkpoint::built_in().expect("valid");
        let folded = Folded::from_checkpoint(&model).expect("valid");
        let wide = values_in_f32(&folded.graph);
        for index in (0..wide.len()).filter(|&index| !wide[index]) {
            for (tensor, of_norms) in folded.layer_values(index).into_iter().zip([2e-5, 1e-3]) {
                // Half precision makes weights behind batch norms smaller by ε / 2 of their variance, and rounds what biases
                // are sums with, both at about 1.
                let share = if tensor.name.starts_with("decoder.") {
                    of_norms
                } else {
                    0.0
                };
                for &value in &tensor.values {
                    let off = share * value.abs().max(share)
                        + f32::from(half::f16::MIN_POSITIVE_SUBNORMAL);
                    let found = (nearest(value) - value).abs();
                    assert!(found <= off, "{}: {value}", tensor.name);
                }
            }
        }
    }

    #[test]
    fn a_missing_tensor_is_named() {
        let config = mobilenet(true);
        let mut tensors = tensors(config.network().parameters());
        tensors.remove("decoder.conv1x1_1.1.running_var");
        let error = round_to_bf16(&config, &InputConfig::default(), &mut tensors);
        let error = error.expect_err("incomplete");
        assert!(error.to_string().contains("conv1x1_1.1.running_var"));
    }
}

//! A checkpoint's tensors → the same with numbers that bf16 can hold, so that bf16 changes activations alone.

use std::collections::BTreeMap;

use super::super::{Folded, full_name, uses};
use super::values_in_f32;
use crate::checkpoint::NamedTensor;
use crate::error::Result;
use crate::header::InputConfig;
use crate::network::{BATCH_NORM_EPSILON, Graph, NetworkConfig, Operation};

/// Rounds the weights and biases of `tensors`, those of the network that `config` describes, as [`Folded::for_bf16`] does for an
/// engine, where that computes in bf16 ([`values_in_f32`] are left alone); how many layers it has rounded.
///
/// What is rounded is the folded network: a batch norm goes into its convolution, and stays as one that does nothing.
///
/// # Errors
/// [`Error::Checkpoint`](crate::Error::Checkpoint) if a tensor is missing or misshapen.
pub fn round_stored(
    config: &NetworkConfig,
    input: &InputConfig,
    tensors: &mut BTreeMap<String, NamedTensor>,
) -> Result<usize> {
    let folded = Folded::new(config, input, tensors)?;
    let wide = values_in_f32(&folded.graph);
    let rounded = folded.for_bf16(|layer| !wide[layer], |_| true);
    let norms = batch_norms(config);
    let mut count = 0;
    for (index, layer) in rounded.graph.layers().iter().enumerate() {
        let (Operation::Conv2d(_) | Operation::Linear { .. }, false) =
            (&layer.operation, wide[index])
        else {
            continue;
        };
        let [weight, bias] = rounded.layer_values(index)[..] else {
            continue;
        };
        let name = weight.name.trim_end_matches(".weight");
        // A batch norm that is a convolution of its own when folded has other tensors.
        match tensors.get_mut(&weight.name) {
            Some(stored) if stored.shape == weight.shape => stored.values = weight.values.clone(),
            _ => continue,
        }
        let norm = norms.get(name);
        if let Some(norm) = norm {
            // Half precision makes 1 of it, and weights a two hundred thousandth smaller, which rounding does not notice.
            let variance = (1.0 - BATCH_NORM_EPSILON) as f32;
            for (part, value) in [
                ("weight", 1.0),
                ("running_mean", 0.0),
                ("running_var", variance),
            ] {
                if let Some(stored) = tensors.get_mut(&format!("{norm}.{part}")) {
                    stored.values.fill(value);
                }
            }
            if let Some(stored) = tensors.get_mut(&bias.name) {
                stored.values.fill(0.0);
            }
        }
        let name = norm.map_or_else(|| bias.name.clone(), |norm| format!("{norm}.bias"));
        if let Some(stored) = tensors.get_mut(&name) {
            stored.values.clone_from(&bias.values);
        }
        count += 1;
    }
    Ok(count)
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
    let layers = graph.layers().iter();
    let pairs = layers.filter_map(|layer| {
        let Operation::BatchNorm { name } = &layer.operation else {
            return None;
        };
        let input = layer.inputs.first()?.index();
        match &graph.layers()[input].operation {
            Operation::Conv2d(conv) if uses[input] == 1 => {
                Some((full_name(graph, &conv.name), full_name(graph, name)))
            }
            _ => None,
        }
    });
    pairs.collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checkpoint::Checkpoint;
    use crate::network::folded::rounding::nearest;
    use crate::network::folded::tests::{resnet, tensors};
    use crate::network::{Activation, Block, EncoderConfig, MobilenetV2Config};

    fn mobilenet(batch_norm: bool) -> NetworkConfig {
        NetworkConfig::new(EncoderConfig::MobilenetV2(MobilenetV2Config {
            classes: 3,
            batch_norm,
            activation: Activation::Relu,
        }))
    }

    /// With batch norms and without, the folded network becomes what an engine would have made of it, and nothing is left to round.
    #[test]
    fn what_is_stored_folds_to_numbers_of_bf16() {
        let separate = NetworkConfig {
            separate_encoder: true,
            ..resnet(Block::Basic)
        };
        for config in [mobilenet(true), mobilenet(false), separate] {
            let input = InputConfig::default();
            let before = tensors(config.network().parameters());
            let mut after = before.clone();
            let count = round_stored(&config, &input, &mut after).expect("complete");

            let folded = Folded::new(&config, &input, &before).expect("complete");
            let wide = values_in_f32(&folded.graph);
            let expected = folded.clone().for_bf16(|layer| !wide[layer], |_| true);
            let found = Folded::new(&config, &input, &after).expect("complete");
            assert_eq!(found.tensors.len(), expected.tensors.len());
            let mut rounded = 0;
            for (index, wide) in wide.iter().enumerate() {
                let values = expected.layer_values(index);
                for tensor in &values {
                    assert_eq!(&found.tensors[&tensor.name], *tensor);
                    let exact = tensor.values.iter().all(|&value| nearest(value) == value);
                    assert!(exact || *wide, "{}", tensor.name);
                }
                if let (Some(weight), true) = (values.first(), *wide) {
                    assert_eq!(*weight, &folded.tensors[&weight.name]);
                }
                rounded += usize::from(!wide && !values.is_empty());
            }
            assert_eq!(count, rounded);
            assert_ne!(before, after);
            let once = after.clone();
            round_stored(&config, &input, &mut after).expect("complete");
            assert_eq!(after, once);
        }
    }

    /// `casm round` was the last step of its making.
    #[test]
    fn the_built_in_model_has_numbers_of_bf16() {
        let model = Checkpoint::built_in().expect("valid");
        let folded = Folded::from_checkpoint(&model).expect("valid");
        let wide = values_in_f32(&folded.graph);
        for index in (0..wide.len()).filter(|&index| !wide[index]) {
            for tensor in folded.layer_values(index) {
                for &value in &tensor.values {
                    // What the batch norms of half precision are off by, and the smallest numbers of that.
                    let off = 1e-5 * value.abs() + f32::from(half::f16::MIN_POSITIVE_SUBNORMAL);
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
        let error = round_stored(&config, &InputConfig::default(), &mut tensors);
        let error = error.expect_err("incomplete");
        assert!(error.to_string().contains("conv1x1_1.1.running_var"));
    }
}

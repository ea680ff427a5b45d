//! Which layers belong together, by count.

use super::*;
use casm_core::Checkpoint;
use casm_core::network::{EncoderConfig, Folded, NetworkConfig, ResnetConfig, values_in_f32};

fn count(steps: &[Step], of: impl Fn(&Work) -> bool) -> usize {
    steps.iter().filter(|step| of(&step.work)).count()
}

fn folded(config: NetworkConfig) -> Folded {
    let parameters = config.network().parameters();
    let tensors = parameters.into_iter().map(|parameter| {
        let values = vec![1.0; parameter.shape.iter().product()];
        let tensor = casm_core::checkpoint::NamedTensor {
            name: parameter.name.clone(),
            shape: parameter.shape,
            values,
        };
        (parameter.name, tensor)
    });
    let input = casm_core::header::InputConfig::default();
    Folded::new(&config, &input, &tensors.collect()).expect("complete")
}

fn steps_in_f32(graph: &Graph) -> Vec<Step> {
    steps(graph, &vec![true; graph.layers().len()])
}

/// Sixteen blocks add their shortcuts, four of which are convolved; each sum takes the place of the
/// shortcut, except where the decoder goes on to read it.
#[test]
fn a_resnet_is_convolutions_with_everything_else_in_them() {
    let config = EncoderConfig::Resnet(ResnetConfig::resnet50(10));
    let steps = steps_in_f32(&folded(NetworkConfig::new(config)).graph);
    let added = |in_place: bool| {
        count(
            &steps,
            |work| matches!(work, Work::Convolution { in_place: is, activation: Some(Activation::Relu), .. } if *is == in_place),
        )
    };
    let sums = steps
        .iter()
        .filter(|step| matches!(step.work, Work::Convolution { .. }) && step.inputs.len() == 2);
    // And the decoder's two finest levels.
    assert_eq!(sums.count(), 16 + 1);
    assert_eq!(added(true), 16);
    let lonely = |work: &Work| {
        matches!(
            work,
            Work::Layer(Operation::Relu | Operation::Conv2d(_) | Operation::BatchNorm { .. })
        )
    };
    assert_eq!(count(&steps, lonely), 0);
    assert_eq!(
        count(&steps, |work| matches!(work, Work::Picture { .. })),
        1
    );
    // 53 of the encoder, one for each of the decoder's five levels and four sides, and the last one.
    let convolutions = |work: &Work| matches!(work, Work::Convolution { .. });
    assert_eq!(count(&steps, convolutions), 53 + 4 + 5 + 1);
}

/// Where the stem's pooling is a shortcut, it is in f32 and the sum is not: eight sums of ResNet-18, each with its activation, and
/// one of the decoder, in every number format.
#[test]
fn sums_of_two_formats_are_fused_as_well() {
    let config = EncoderConfig::Resnet(ResnetConfig::resnet18(10));
    let graph = folded(NetworkConfig::new(config)).graph;
    for steps in [steps_in_f32(&graph), steps(&graph, &values_in_f32(&graph))] {
        let sums = steps
            .iter()
            .filter(|step| matches!(step.work, Work::Convolution { .. }) && step.inputs.len() == 2);
        assert_eq!(sums.count(), 8 + 1);
        let lonely = |work: &Work| matches!(work, Work::Layer(Operation::Relu));
        assert_eq!(count(&steps, lonely), 0);
    }
}

#[test]
fn values_are_freed_once_and_not_before_their_last_use() {
    let checkpoint = Checkpoint::built_in().expect("valid");
    let folded = Folded::from_checkpoint(&checkpoint).expect("valid");
    let steps = steps_in_f32(&folded.graph);
    let mut alive = std::collections::BTreeSet::new();
    for step in &steps {
        for input in &step.inputs {
            assert!(alive.contains(input), "{step:?}");
        }
        for freed in &step.last {
            assert!(alive.remove(freed), "{step:?}");
        }
        alive.insert(step.result);
    }
    let outputs = folded.graph.outputs().iter().map(|value| value.index());
    assert_eq!(alive, outputs.collect());
}

use super::*;
use crate::checkpoint::Checkpoint;
use crate::network::folded::means::{PICTURES, fields, picture};
use crate::network::folded::tests::{folded, noise};
use crate::network::{Block, EncoderConfig, NetworkConfig, ResnetConfig};

/// By hand: bf16 has seven digits after the point, so between 1 and 2 its numbers are 1/128 apart.
#[test]
fn numbers_are_rounded_to_one_of_their_two_neighbours() {
    let step = 1.0 / 128.0;
    for (value, next, further) in [
        (1.0, 1.0, 1.0),
        (1.0 + 0.25 * step, 1.0, 1.0 + step),
        (1.0 + 0.75 * step, 1.0 + step, 1.0),
        // In the middle: the even one.
        (1.0 + 0.5 * step, 1.0, 1.0 + step),
        (1.0 + 1.5 * step, 1.0 + 2.0 * step, 1.0 + step),
        // Beyond 2 they are further apart.
        (2.0 - 0.25 * step, 2.0, 2.0 - step),
    ] {
        assert_eq!((nearest(value), other(value)), (next, further));
        assert_eq!((nearest(-value), other(-value)), (-next, -further));
    }
}

/// By hand: three times a quarter of a step upwards is more than half a step, so one weight goes up.
#[test]
fn the_sum_of_a_window_is_kept() {
    let step = 1.0 / 128.0;
    let mut kernel = [1.0 + 0.25 * step, 1.0 + 0.26 * step, 1.0 + 0.25 * step];
    let grown = round(&mut kernel);
    assert_eq!(kernel, [1.0, 1.0 + step, 1.0]);
    assert!((grown - 0.24 * f64::from(step)).abs() < 1e-6);
    // One alone goes to the next number, whatever it costs.
    let mut alone = [1.0 + 0.4 * step];
    assert!((round(&mut alone) + 0.4 * f64::from(step)).abs() < 1e-6);
    assert_eq!(alone, [1.0]);
}

#[test]
fn few_channels_and_the_first_block_stay_in_f32() {
    let mobilenet = Folded::from_checkpoint(&Checkpoint::built_in().expect("valid"));
    let mobilenet = mobilenet.expect("valid");
    let resnet = NetworkConfig::new(EncoderConfig::Resnet(ResnetConfig {
        blocks: [1, 1, 1, 1],
        block: Block::Basic,
        classes: 3,
    }));
    let names = |folded: &Folded| -> Vec<String> {
        let layers = folded.graph.layers().iter();
        let kept = layers
            .zip(values_in_f32(&folded.graph))
            .filter(|(_, wide)| *wide);
        kept.filter_map(|(layer, _)| match &layer.operation {
            Operation::Conv2d(conv) => Some(conv.name.clone()),
            _ => None,
        })
        .collect()
    };
    let [encoder @ .., _, _, _, _, _] = &names(&mobilenet)[..] else {
        panic!("a decoder has a convolution a level and one of their sum");
    };
    assert_eq!(
        encoder,
        [
            "classifier.features.0.0",
            "classifier.features.1.conv.0.0",
            "classifier.features.1.conv.1",
        ]
    );
    assert_eq!(names(&folded(&resnet))[0], "classifier.conv1");
    // Five levels.
    assert_eq!(names(&folded(&resnet)).len(), 1 + 5 + 1);

    let graph = mobilenet.graph;
    let wide = values_in_f32(&graph);
    let outputs = graph.outputs().iter().map(|value| wide[value.index()]);
    assert_eq!(
        outputs.collect::<Vec<_>>(),
        [true, false],
        "mask and logits"
    );
    // What the second block reads is still in f32, and its first result no more.
    let layers = graph.layers().iter().zip(&wide);
    let mut rounded = layers.filter(|(layer, wide)| match &layer.operation {
        Operation::Conv2d(_) => !**wide,
        _ => false,
    });
    let (second, _) = rounded.next().expect("most are");
    assert!(wide[second.inputs[0].index()]);
}

/// The built-in model, whose weights are numbers of bf16, as something that has to be rounded: weights moved by up to a 256th of themselves.
fn unrounded() -> Folded {
    let model = Checkpoint::built_in().expect("valid");
    let mut folded = Folded::from_checkpoint(&model).expect("valid");
    for (name, tensor) in &mut folded.tensors {
        for (index, value) in tensor.values.iter_mut().enumerate() {
            *value *= 1.0 + noise(name, index) / 256.0;
        }
    }
    folded
}

/// Weights are numbers of bf16, others are as they were; and on a picture that the means are not of, the built-in model's
/// classes are off by a fraction of what plain rounding makes.
#[test]
fn outputs_stay_nearer_than_with_plain_rounding() {
    let exact = unrounded();
    let kept = values_in_f32(&exact.graph);
    let ours = exact.clone().for_bf16(|index| !kept[index], |_| false);
    let mut plain = exact.clone();
    for (index, kept) in kept.iter().enumerate() {
        let Some(weight) = exact.layer_values(index).first().copied() else {
            continue;
        };
        let rounded = &ours.tensors[&weight.name].values;
        if *kept {
            assert_eq!(rounded, &weight.values);
            continue;
        }
        for (&rounded, &exact) in rounded.iter().zip(&weight.values) {
            assert!(rounded == nearest(exact) || rounded == other(exact));
            assert_eq!(rounded, truncated(rounded.to_bits()));
        }
        let values = weight.values.iter().map(|&value| nearest(value)).collect();
        plain
            .tensors
            .get_mut(&weight.name)
            .expect("it is there")
            .values = values;
    }
    let unseen = picture(PICTURES);
    let logits = |folded: &Folded| {
        let logits = folded.graph.outputs()[1];
        fields(folded, &unseen).swap_remove(logits.index()).values
    };
    let reference = logits(&exact);
    let error = |folded: &Folded| {
        let logits = logits(folded);
        let pairs = logits.iter().zip(&reference);
        pairs.map(|(a, b)| (a - b).abs()).sum::<f32>() / reference.len() as f32
    };
    let (ours, plain) = (error(&ours), error(&plain));
    println!("{ours} instead of {plain}");
    assert!(ours < 0.5 * plain, "{ours} instead of {plain}");
}

/// The built-in model with weights that bf16 can hold: what biases lose is all that changes. Behind the ends of MobileNetV2's blocks are
/// windows of one pixel and sums alone, so that nothing is lost for good.
#[test]
fn what_biases_lose_is_made_up_for_behind() {
    let exact = unrounded();
    let kept = values_in_f32(&exact.graph);
    let linear = without_activation(&exact.graph);
    let rounded = exact
        .clone()
        .for_bf16(|index| !kept[index], |index| linear[index]);
    // Of MobileNetV2's seventeen blocks the first is in f32.
    let count = (0..kept.len())
        .filter(|&at| linear[at] && !kept[at])
        .count();
    assert_eq!(count, 16);
    // There is nothing left to round.
    let again = rounded
        .clone()
        .for_bf16(|index| !kept[index], |index| linear[index]);
    let mut spoilt = rounded.clone();
    for index in (0..kept.len()).filter(|&index| linear[index] && !kept[index]) {
        let name = rounded.layer_values(index)[1].name.clone();
        for bias in &rounded.tensors[&name].values {
            assert_eq!(*bias, nearest(*bias));
        }
        // Not to a number of bf16.
        let biases = &mut spoilt.tensors.get_mut(&name).expect("it is there").values;
        for (at, bias) in biases.iter_mut().enumerate() {
            let share = if at % 2 == 0 { 0.3 } else { -0.4 };
            *bias += bias.abs().max(0.01) * share / 128.0;
        }
    }
    let mended = spoilt
        .clone()
        .for_bf16(|index| !kept[index], |index| linear[index]);
    let picture = picture(PICTURES);
    let outputs = |folded: &Folded| {
        let outputs = folded.graph.outputs();
        let fields = fields(folded, &picture);
        [0, 1].map(|output: usize| fields[outputs[output].index()].values.clone())
    };
    let apart = |a: &[Vec<f32>; 2], b: &[Vec<f32>; 2]| -> [f32; 2] {
        std::array::from_fn(|output| {
            let pairs = a[output].iter().zip(&b[output]);
            pairs.map(|(a, b)| (a - b).abs()).fold(0.0, f32::max)
        })
    };
    assert_eq!(outputs(&again), outputs(&rounded));
    let plain = outputs(&spoilt);
    // What the biases were changed by is seen; what is lost of that by rounding is not.
    let seen = apart(&plain, &outputs(&rounded));
    let left = apart(&outputs(&mended), &plain);
    println!("{left:?} of {seen:?}");
    assert!(seen[0] > 1e-5 && seen[1] > 1e-2, "{seen:?}");
    // f32's own precision: a hundredth is left.
    assert!(
        left[0] < 0.01 * seen[0] && left[1] < 0.01 * seen[1],
        "{left:?}"
    );
}

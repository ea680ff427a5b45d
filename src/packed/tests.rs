//! Fused and ordinary steps against the network as described, and against each other.

use super::*;
use crate::module::Mode;
use crate::parameters::Parameters;
use crate::pixels::Normalisation;
use crate::saliency_network::SaliencyNetwork;
use casm_core::network::{
    Block, DecoderConfig, EncoderConfig, MobilenetV2Config, NetworkConfig, Parameter, ResnetConfig,
    Role,
};
use casm_core::{Checkpoint, Header};

const SIDE: usize = 64;

fn pixels(count: usize) -> Vec<u8> {
    let values = 0..count * SIDE * SIDE * 3;
    values
        .map(|at| ((at * 31 + at / 192 * 7) % 251) as u8)
        .collect()
}

fn largest(a: &Tensor, b: &Tensor) -> f64 {
    assert_eq!(a.size(), b.size());
    let scale = b.abs().max().double_value(&[]).max(1.0);
    (a.to_kind(Kind::Double) - b.to_kind(Kind::Double))
        .abs()
        .max()
        .double_value(&[])
        / scale
}

/// Values that keep a signal's size from layer to layer: a sigmoid of hundreds would hide differences, or
/// show nothing else.
fn values(parameter: &Parameter) -> Vec<f32> {
    let inputs: usize = parameter.shape[1..].iter().product();
    let (centre, width) = match parameter.role {
        Role::Weight => (0.0, (3.0 / inputs as f32).sqrt()),
        Role::Scale | Role::RunningVariance => (1.0, 0.3),
        Role::Bias | Role::Shift | Role::RunningMean => (0.05, 0.2),
    };
    let seed = parameter.name.bytes().fold(7u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    let count = parameter.shape.iter().product::<usize>() as u64;
    let noise = (0..count).map(|index| {
        let mixed = (seed ^ index).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 31)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed >> 40) as f32 / 8_388_608.0 - 1.0
    });
    noise.map(|noise| centre + width * noise).collect()
}

/// The network as described, step by step; and folded and packed, with and without fused convolutions.
fn assert_packs(config: NetworkConfig) {
    let header = Header::new(config.clone());
    let parameters = config.network().parameters();
    let parameters = Parameters::from_values(&parameters, Device::Cpu, values).expect("memory");
    let pixels = pixels(2);
    let normalisation = Normalisation::new(
        &casm_core::header::InputConfig {
            size: SIDE as u32,
            ..header.input.clone()
        },
        Device::Cpu,
    );
    let pictures = normalisation
        .and_then(|n| n.pictures(2, &pixels, Kind::Float))
        .expect("fits");
    let network = SaliencyNetwork::new(&config, &parameters).expect("complete");
    let expected = tch::no_grad(|| network.forward(&pictures, Mode::Evaluate)).expect("runs");

    let mask = expected.mask.as_ref().expect("there is a decoder");
    let differences = |outputs: &[Tensor]| {
        [
            largest(&outputs[0], mask),
            largest(&outputs[1], &expected.logits),
        ]
    };

    let named = parameters.to_named().expect("on the CPU");
    let named = named
        .into_iter()
        .map(|tensor| (tensor.name.clone(), tensor))
        .collect();
    let folded = Arc::new(Folded::new(&config, &header.input, &named).expect("complete"));
    for functions in [native::functions(), None] {
        let arithmetic = ordinary(Kind::Float, functions);
        let packed = Packed::with(&folded, SIDE, arithmetic, Device::Cpu);
        let packed = packed.expect("complete");
        // Twice: what is computed in place must not be a weight or another's value.
        for _ in 0..2 {
            let outputs = packed.run(2, &pixels).expect("runs");
            let differences = differences(&outputs);
            let fused = functions.is_some();
            assert!(
                differences.iter().all(|&d| d < 1e-5),
                "{differences:?}, fused: {fused}"
            );
            // A constant would be equal however wrong its inputs are.
            assert!(mask.std(false).double_value(&[]) > 1e-3);
        }
    }
    // Twice what plain rounding of weights was seen to make.
    for (kind, bound) in [(Kind::BFloat16, 0.02), (Kind::Half, 0.003)] {
        let here = Packed::new(&folded, SIDE, kind, Device::Cpu).expect("complete");
        let rounding = Packed::with(&folded, SIDE, Arithmetic::rounding(kind), Device::Cpu);
        let rounding = rounding.expect("complete");
        let on_gpus = Packed::with(&folded, SIDE, ordinary(kind, None), Device::Cpu);
        let on_gpus = on_gpus.expect("complete");
        let formats: Vec<Kind> = on_gpus
            .packing
            .constants()
            .iter()
            .filter_map(|constants| match constants {
                Constants::Weights(weights) => Some(weights.weight.kind()),
                _ => None,
            })
            .collect();
        assert_eq!(formats[0], Kind::Float, "the first convolution's");
        let rounded = formats.iter().filter(|&&format| format == kind).count();
        assert!(
            rounded > formats.len() / 2,
            "{rounded} of {}",
            formats.len()
        );
        // libtorch takes no other biases along with a sum.
        let mut sums = 0;
        let (formats, constants) = (&rounding.formats, rounding.packing.constants());
        for (step, constants) in rounding.steps.iter().zip(constants) {
            if let (Work::Convolution { layer, .. }, Constants::Weights(weights)) =
                (&step.work, constants)
                && (kind, step.inputs.len(), formats.wide[*layer]) == (Kind::BFloat16, 2, false)
            {
                let bias = weights.bias.to_kind(kind).to_kind(Kind::Float);
                assert_eq!(largest(&bias, &weights.bias), 0.0, "{:?}", step.work);
                sums += 1;
            }
        }
        assert!(sums > 0 || kind != Kind::BFloat16);
        for (packed, name) in [(here, "here"), (rounding, "f32"), (on_gpus, "ordinary")] {
            for _ in 0..2 {
                let outputs = packed.run(2, &pixels).expect("runs");
                let differences = differences(&outputs);
                assert!(
                    differences.iter().all(|&d| d > 1e-6 && d < bound),
                    "{differences:?} in {kind:?}, {name}"
                );
                // The last layer's are rounded, whatever they are computed in.
                let logits = &outputs[1];
                let rounded = logits.to_kind(kind).to_kind(Kind::Float);
                assert_eq!(
                    largest(&rounded, &logits.to_kind(Kind::Float)),
                    0.0,
                    "{name}"
                );
            }
        }
    }
}

/// Steps in a number format as they are on a GPU, unless there are `functions`.
fn ordinary(kind: Kind, functions: Option<&'static native::Functions>) -> Arithmetic {
    Arithmetic {
        kind,
        computed: kind,
        functions,
    }
}

#[test]
fn resnets_pack() {
    for block in [Block::Basic, Block::Bottleneck] {
        assert_packs(NetworkConfig::new(EncoderConfig::Resnet(ResnetConfig {
            blocks: [2, 1, 2, 1],
            block,
            classes: 7,
        })));
    }
}

#[test]
fn mobilenets_pack() {
    for config in [
        MobilenetV2Config::default(),
        MobilenetV2Config {
            batch_norm: true,
            activation: Activation::Relu6,
            ..MobilenetV2Config::default()
        },
    ] {
        assert_packs(NetworkConfig::new(EncoderConfig::MobilenetV2(config)));
    }
}

#[test]
fn decoders_with_a_concatenation_pack() {
    let mut config = NetworkConfig::new(EncoderConfig::Resnet(ResnetConfig::resnet18(5)));
    config.decoder = Some(DecoderConfig {
        channels: 8,
        convolve_first: true,
        ..DecoderConfig::default()
    });
    assert_packs(config);
}

/// Some fifty layers round to eight bits, of a picture that is like none; a wrong sum or activation is far
/// beyond this.
#[test]
fn half_precision_stays_near() {
    let checkpoint = Checkpoint::built_in().expect("valid");
    let folded = Arc::new(Folded::from_checkpoint(&checkpoint).expect("valid"));
    let pixels = pixels(1);
    let run = |kind: Kind| {
        let packed = Packed::new(&folded, SIDE, kind, Device::Cpu).expect("complete");
        packed.run(1, &pixels).expect("runs").swap_remove(0)
    };
    let exact = run(Kind::Float);
    for kind in [Kind::BFloat16, Kind::Half] {
        let half = run(kind);
        assert_eq!(
            half.kind(),
            Kind::Float,
            "masks are compared with thresholds"
        );
        let mean = (&half - &exact).abs().mean(Kind::Float).double_value(&[]);
        assert!(mean < 0.025, "{kind:?}: {mean}");
    }
}

/// Weights lie in another order for another number of threads, and the numbers stay.
#[test]
fn any_number_of_threads_computes_the_same() {
    let folded = Folded::from_checkpoint(&Checkpoint::built_in().expect("valid"));
    let folded = Arc::new(folded.expect("valid"));
    let before = tch::get_num_threads();
    let mut packed = Packed::new(&folded, SIDE, Kind::Float, Device::Cpu).expect("memory");
    let outputs = |packed: &Packed| packed.run(2, &pixels(2)).expect("runs");
    let expected = outputs(&packed);
    for threads in [1, 2, 3, 4, 1, 3] {
        packed.use_threads(threads).expect("memory");
        assert_eq!(tch::get_num_threads(), threads as i32);
        for (found, expected) in outputs(&packed).iter().zip(&expected) {
            assert!(largest(found, expected) < 1e-5);
        }
    }
    packed.settle();
    packed.use_threads(2).expect("nothing to do");
    assert_eq!(tch::get_num_threads(), 3);
    tch::set_num_threads(before);
}

//! Two iterations of Algorithm 1 beside the released code's own, in five scenarios. Numbers and
//! tolerances: `data/golden/README.md`, section 4.

use std::collections::BTreeMap;

use crate::golden::{self, rule};
use casm::header::{IMAGENET_MEAN, IMAGENET_STD};
use casm::network::{
    Block, EncoderConfig, Network, NetworkConfig, Parameter, ResnetConfig, Upsample,
};
use casm::parameters::Parameters;
use casm_training::alternating::{
    Alternation, Batch, Classifier, Half, Judgement, Mapping, MappingGradient, MappingLoss, Masks,
    Observer, Rates, Score, StepOptions,
};
use casm_training::optimizer::{Adam, Sgd};
use casm_training::run::{LossScale, TrainingPrecision};
use casm_training::thinning::{History, HistoryStart, Place, ThinningPolicy};
use serde::Deserialize;
use tch::{Device, Kind, Tensor};

#[derive(Debug, Deserialize)]
struct Reference {
    scenarios: BTreeMap<String, Scenario>,
}

#[derive(Debug, Deserialize)]
struct Scenario {
    fixed: bool,
    use_confuser: bool,
    adversarial: bool,
    lam: f64,
    bias: String,
    target: Vec<i64>,
    f64_clean: Vec<Iteration>,
    f64_legacy: Option<Vec<Iteration>>,
}

#[derive(Debug, Deserialize)]
struct Iteration {
    loss_classifier_clean: f64,
    loss_classifier_masked: f64,
    regulariser_term: f64,
    main_term: f64,
    loss_casme_total: f64,
    argmax_clean: Vec<i64>,
    argmax_masked: Vec<i64>,
    mask_mean: Vec<f64>,
    nontrivially_confused: Vec<f64>,
    entropy_per_image: Vec<f64>,
    grad_norm_classifier_clean: Option<f64>,
    grad_norms_classifier_clean: Option<BTreeMap<String, f64>>,
    grad_norm_classifier_masked: Option<f64>,
    grad_norms_classifier_masked: Option<BTreeMap<String, f64>>,
    grad_norm_decoder: f64,
    grad_norms_decoder: BTreeMap<String, f64>,
    clip_coef: f64,
    decoder_update_norm: f64,
    after: BTreeMap<String, serde_json::Value>,
}

/// A ResNet with one bottleneck block a stage and 10 classes, with the usual decoder.
fn network() -> Network {
    NetworkConfig::new(EncoderConfig::Resnet(ResnetConfig {
        blocks: [1, 1, 1, 1],
        block: Block::Bottleneck,
        classes: 10,
    }))
    .network()
}

/// `prefix`: under which name the values are drawn; `gain`: of the last layer's weights.
fn weights(
    parameters: &[Parameter],
    prefix: &str,
    gain: f32,
    bias: &str,
    kind: Kind,
    device: Device,
) -> Parameters {
    let values = |parameter: &Parameter| {
        let (_, name) = parameter.name.split_once('.').expect("a prefix");
        match name {
            "fc.bias" => golden::npy_f32(&format!("step_tiny_fc_bias_{bias}.npy")).1,
            _ => {
                let mut values = rule::fill(&format!("{prefix}.{name}"), &parameter.shape);
                if name == "fc.weight" {
                    values.iter_mut().for_each(|value| *value *= gain);
                }
                values
            }
        }
    };
    Parameters::from_values(parameters, device, values)
        .and_then(|parameters| parameters.to_kind(kind))
        .expect("the rule fits every shape")
}

/// Pictures 0 to 3 of the rule, normalised in f32.
fn batch(target: &[i64], kind: Kind, device: Device) -> Batch {
    let mut values = Vec::with_capacity(4 * 3 * 224 * 224);
    for picture in 0..4u64 {
        for channel in 0..3u64 {
            for (y, x) in (0..224u64).flat_map(|y| (0..224u64).map(move |x| (y, x))) {
                let plane = picture * 3 + channel;
                let block = rule::u8("golden.image.block", (plane * 14 + y / 16) * 14 + x / 16);
                let fine = rule::u8("golden.image.fine", (plane * 224 + y) * 224 + x);
                let byte = (3 * u32::from(block) + u32::from(fine)) >> 2;
                let channel = channel as usize;
                values.push((byte as f32 / 255.0 - IMAGENET_MEAN[channel]) / IMAGENET_STD[channel]);
            }
        }
    }
    Batch {
        pictures: Tensor::from_slice(&values)
            .reshape([4, 3, 224, 224])
            .to_kind(kind)
            .to_device(device),
        classes: Tensor::from_slice(target).to_device(device),
        origins: Vec::new(),
    }
}

fn alternation(
    scenario: &Scenario,
    gradient: MappingGradient,
    kind: Kind,
    device: Device,
) -> Alternation {
    let network = network();
    let gain = if scenario.bias == "train" { 2.0 } else { 1.0 };
    let encoder = network.encoder.graph.parameters();
    let classifier = weights(&encoder, "classifier", gain, &scenario.bias, kind, device);
    let decoder = network.decoder.as_ref().expect("a decoder").parameters();
    let mapping = weights(&decoder, "decoder", 1.0, "", kind, device);
    let score = if scenario.adversarial {
        Score::Classification
    } else {
        Score::Entropy
    };
    let mut history = History::new(network.encoder.graph.clone(), device, device);
    if scenario.use_confuser {
        let confuser = weights(&encoder, "confuser", 2.0, "confuser", kind, device);
        history.keep(0, 0, &confuser).expect("memory for a copy");
    }
    Alternation {
        classifier: Classifier::new(
            &network.encoder,
            classifier,
            !scenario.fixed,
            Sgd::new(0.9, 1e-4),
        )
        .expect("all tensors are there"),
        mapping: Mapping::new(&network, Upsample::Nearest, mapping, Adam::new(1e-4))
            .expect("all tensors are there"),
        history,
        // The confuser, where there is one, judges every step, and no other comes in.
        policy: ThinningPolicy {
            probability: if scenario.use_confuser { 1.0 } else { 0.0 },
            every: 10_000_000,
            size: 30,
            start: HistoryStart::Stepped,
        },
        options: StepOptions {
            train_classifier: !scenario.fixed,
            mapping_gradient: gradient,
            ..StepOptions::new(score)
        },
        fill: [0.0; 3],
        seed: 0,
        loss_scale: LossScale::new(TrainingPrecision::F32),
    }
}

/// What a step let us see.
#[derive(Default)]
struct Seen {
    norms: BTreeMap<String, BTreeMap<String, f64>>,
    argmax_clean: Vec<i64>,
    argmax_masked: Vec<i64>,
    mask_mean: Vec<f64>,
    confused: Vec<f64>,
    entropy: Vec<f64>,
}

fn numbers(tensor: &Tensor) -> Vec<f64> {
    let flat = tensor
        .to_kind(Kind::Double)
        .to_device(Device::Cpu)
        .reshape([-1]);
    Vec::try_from(flat).expect("a CPU tensor of f64")
}

fn classes(tensor: &Tensor) -> Vec<i64> {
    Vec::try_from(tensor.to_device(Device::Cpu)).expect("a CPU tensor of i64")
}

impl Observer for Seen {
    fn gradients(&mut self, half: Half, names: &[&str], gradients: &[Tensor]) {
        let norms = names.iter().zip(gradients).map(|(name, gradient)| {
            let (_, name) = name.split_once('.').expect("a prefix");
            let norm = gradient.to_kind(Kind::Double).norm().double_value(&[]);
            (name.to_owned(), norm)
        });
        self.norms.insert(format!("{half:?}"), norms.collect());
    }

    fn judged(&mut self, clean: &Judgement, masked: &Judgement, masks: &Masks, loss: &MappingLoss) {
        self.argmax_clean = classes(&clean.predicted);
        self.argmax_masked = classes(&masked.predicted);
        self.mask_mean = numbers(&masks.mean);
        self.confused = numbers(&loss.confused);
        self.entropy = numbers(&loss.entropy);
    }
}

/// Collects what is off, so that one run shows everything.
struct Comparison {
    place: String,
    tolerance: f64,
    wrong: Vec<String>,
}

impl Comparison {
    fn close(&mut self, what: &str, actual: f64, expected: f64) {
        let limit = self.tolerance * expected.abs().max(1e-3);
        // NaN is not near anything.
        let near = (actual - expected).abs() <= limit;
        if !near {
            let place = &self.place;
            self.wrong
                .push(format!("{place} {what}: {actual}, expected {expected}"));
        }
    }

    fn all_close(&mut self, what: &str, actual: &[f64], expected: &[f64]) {
        assert_eq!(actual.len(), expected.len(), "{what}");
        for (actual, expected) in actual.iter().zip(expected) {
            self.close(what, *actual, *expected);
        }
    }

    fn norms(
        &mut self,
        what: &str,
        actual: Option<&BTreeMap<String, f64>>,
        total: Option<f64>,
        expected: Option<&BTreeMap<String, f64>>,
    ) {
        let (Some(total), Some(expected)) = (total, expected) else {
            assert!(actual.is_none(), "{what}: no gradient was expected");
            return;
        };
        let actual = actual.unwrap_or_else(|| panic!("{what}: no gradient"));
        let sum: f64 = actual.values().map(|norm| norm * norm).sum();
        self.close(what, sum.sqrt(), total);
        for (name, expected) in expected {
            self.close(&format!("{what} {name}"), actual[name], *expected);
        }
    }
}

fn copies(parameters: &Parameters) -> Parameters {
    parameters.copied(Device::Cpu).expect("memory for a copy")
}

/// Both iterations of a scenario. `tolerances` of each: losses and values, gradient norms.
fn compare(
    name: &str,
    scenario: &Scenario,
    expected: &[Iteration],
    gradient: MappingGradient,
    (kind, device): (Kind, Device),
    tolerances: [[f64; 2]; 2],
) {
    let mut alternation = alternation(scenario, gradient, kind, device);
    let batches = [batch(&scenario.target, kind, device)];
    let rates = Rates {
        classifier: 1e-3,
        mapping: 1e-3,
        lambda: scenario.lam,
    };
    let mut wrong = Vec::new();
    for (step, expected) in expected.iter().enumerate() {
        let place = Place {
            step: step as u64,
            epoch: 0,
            iteration: step as u64,
        };
        let before = copies(&alternation.mapping.parameters);
        let mut seen = Seen::default();
        let report = alternation
            .iterate(&batches, place, rates, &mut seen)
            .expect("a step");
        let mut comparison = Comparison {
            place: format!("{name} {gradient:?} {kind:?}, iteration {}", step + 1),
            tolerance: tolerances[step][0],
            wrong: Vec::new(),
        };
        let c = &mut comparison;
        c.close(
            "clean loss",
            report.clean_loss,
            expected.loss_classifier_clean,
        );
        c.close(
            "masked loss",
            report.masked_loss,
            expected.loss_classifier_masked,
        );
        c.close("regulariser", report.regulariser, expected.regulariser_term);
        c.close("main", report.main, expected.main_term);
        c.close("total", report.mapping_loss, expected.loss_casme_total);
        c.all_close("mask means", &seen.mask_mean, &expected.mask_mean);
        c.all_close("entropies", &seen.entropy, &expected.entropy_per_image);
        assert_eq!(seen.argmax_clean, expected.argmax_clean, "{name} {step}");
        assert_eq!(seen.argmax_masked, expected.argmax_masked, "{name} {step}");
        assert_eq!(
            seen.confused, expected.nontrivially_confused,
            "{name} {step}"
        );
        after(c, &alternation, &expected.after);
        let update: f64 = before
            .iter()
            .map(|(name, old)| {
                let new = alternation
                    .mapping
                    .parameters
                    .get(name)
                    .expect("the same names");
                let new = new.to_device(Device::Cpu);
                let trained = !name.contains("running");
                if trained {
                    numbers(&(new - old)).iter().map(|d| d * d).sum()
                } else {
                    0.0
                }
            })
            .sum();
        c.tolerance = tolerances[step][1];
        c.close("update", update.sqrt(), expected.decoder_update_norm);
        let factor = (10.0 / (report.gradient_norm + 1e-6)).min(1.0);
        c.close("clip", factor, expected.clip_coef);
        c.close("norm", report.gradient_norm, expected.grad_norm_decoder);
        let norms = |half: Half| seen.norms.get(&format!("{half:?}"));
        c.norms(
            "clean gradient",
            norms(Half::Clean),
            expected.grad_norm_classifier_clean,
            expected.grad_norms_classifier_clean.as_ref(),
        );
        c.norms(
            "masked gradient",
            norms(Half::Masked),
            expected.grad_norm_classifier_masked,
            expected.grad_norms_classifier_masked.as_ref(),
        );
        c.norms(
            "mapping gradient",
            norms(Half::Mapping),
            Some(expected.grad_norm_decoder),
            Some(&expected.grad_norms_decoder),
        );
        wrong.extend(comparison.wrong);
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Parameters and running statistics at the end of the iteration: "tensor.first5": values.
fn after(
    comparison: &mut Comparison,
    alternation: &Alternation,
    expected: &BTreeMap<String, serde_json::Value>,
) {
    let mut compared = 0;
    for (key, expected) in expected {
        // Not kept: it counts train-mode forward passes, which the running statistics show too.
        if key.ends_with("num_batches_tracked") {
            continue;
        }
        let name = key.trim_end_matches(".first3").trim_end_matches(".first5");
        let parameters = match name.starts_with("decoder") {
            true => &alternation.mapping.parameters,
            false => &alternation.classifier.parameters,
        };
        let actual = numbers(&parameters.get(name).expect("the tensor is ours too"));
        let expected: Vec<f64> = match expected {
            serde_json::Value::Array(values) => values.iter().filter_map(|v| v.as_f64()).collect(),
            value => value.as_f64().into_iter().collect(),
        };
        comparison.all_close(key, &actual[..expected.len()], &expected);
        compared += expected.len();
    }
    assert!(compared > 20, "only {compared} values were compared");
}

fn scenario(name: &str) -> Scenario {
    let mut reference: Reference = golden::json("step_tiny.json");
    reference.scenarios.remove(name).expect("a scenario")
}

/// Scenario `name` in f64 and f32, in both orders of gradients that there are for it. In f64 the
/// arithmetic is the reference's but for the order of sums.
///
/// # Panics
/// If a number is off; all that are off are named.
pub fn check(name: &str, device: Device) {
    let scenario = scenario(name);
    let orders = [
        (MappingGradient::Exact, Some(&scenario.f64_clean)),
        (MappingGradient::Legacy, scenario.f64_legacy.as_ref()),
    ];
    for (order, expected) in orders {
        let Some(expected) = expected else { continue };
        let double = (Kind::Double, device);
        compare(name, &scenario, expected, order, double, [[1e-7; 2]; 2]);
        let late = if name.starts_with("L_") {
            [0.1; 2]
        } else {
            [1e-3, 5e-3]
        };
        let single = (Kind::Float, device);
        compare(
            name,
            &scenario,
            expected,
            order,
            single,
            [[1e-4, 5e-3], late],
        );
    }
}

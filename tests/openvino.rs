//! The OpenVINO engine against the reference numbers and against libtorch; what happens without it.
//!
//! Where OpenVINO is not installed (`make setup-openvino`) the tests that need it report themselves skipped.

use std::path::Path;
use std::process::{Command, Output as Finished};

use casm::checkpoint::{NamedTensor, Storage, serialize};
use casm::engine::Output;
use casm::network::{
    Activation, Block, DecoderConfig, EncoderConfig, MobilenetV2Config, NetworkConfig, Parameter,
    ResnetConfig, Role,
};
use casm::{Checkpoint, Device, Engine, EngineOptions, Error, Header, Precision};
use casm_tests::golden::{self, rule};
use tempfile::TempDir;

/// As in `golden_forward.rs`.
const TOLERANCE: f32 = 1e-4;

fn options(engine: &str, precision: Precision) -> EngineOptions {
    EngineOptions {
        engine: engine.parse().expect("there is one"),
        device: Device::Cpu,
        precision,
        threads: 1,
    }
}

/// The engine, or `None` where its library is not installed.
fn openvino(checkpoint: &Checkpoint, precision: Precision) -> Option<Box<dyn Engine>> {
    match casm::open_engine(checkpoint, &options("openvino", precision)) {
        Ok(engine) => {
            let name = &engine.description().engine;
            assert!(name.starts_with("openvino 20"), "{name}");
            Some(engine)
        }
        Err(Error::EngineLibrary { reason, .. }) if reason.contains("there is no") => {
            println!("skipped: {reason}");
            None
        }
        Err(error) => panic!("{error}"),
    }
}

fn built_in() -> Checkpoint {
    Checkpoint::built_in().expect("valid")
}

fn run(engine: &mut dyn Engine, batch: usize, pixels: &[u8]) -> Output {
    let mut output = Output::default();
    engine.run(batch, pixels, &mut output).expect("runs");
    output
}

/// Largest difference, as a share of the reference's largest value or of 1.
fn difference(ours: &[f32], reference: &[f32]) -> f32 {
    assert_eq!(ours.len(), reference.len());
    assert!(ours.iter().all(|value| value.is_finite()));
    let scale = reference
        .iter()
        .fold(1f32, |most, value| most.max(value.abs()));
    let pairs = ours.iter().zip(reference);
    pairs.map(|(a, b)| (a - b).abs()).fold(0.0, f32::max) / scale
}

#[test]
fn the_built_in_model_computes_the_reference_masks_and_logits() {
    let Some(mut engine) = openvino(&built_in(), Precision::F32) else {
        return;
    };
    assert_eq!(engine.description().precision, Precision::F32);
    assert_eq!(engine.description().threads, 1);
    let output = run(engine.as_mut(), 2, &golden::forward_pictures());
    let masks = difference(&output.masks, &golden::npy_f32("built_in_mask56_f32.npy").1);
    let logits = difference(
        &output.logits,
        &golden::npy_f32("built_in_logits_f32.npy").1,
    );
    println!("masks differ by {masks}, logits by {logits}");
    assert!(masks < TOLERANCE && logits < TOLERANCE, "{masks}, {logits}");
}

#[test]
fn the_papers_network_computes_the_reference_masks_and_logits() {
    let config = NetworkConfig::new(EncoderConfig::Resnet(ResnetConfig::resnet50(1000)));
    let rule_made = |parameter: &Parameter| NamedTensor {
        name: parameter.name.clone(),
        shape: parameter.shape.clone(),
        values: rule::fill(&parameter.name, &parameter.shape),
    };
    let tensors: Vec<NamedTensor> = config
        .network()
        .parameters()
        .iter()
        .map(rule_made)
        .collect();
    let bytes = serialize(&Header::new(config), &tensors, Storage::F32).expect("complete");
    let checkpoint = Checkpoint::from_bytes(bytes, "rule-made".to_owned()).expect("just written");
    let Some(mut engine) = openvino(&checkpoint, Precision::F32) else {
        return;
    };
    let output = run(engine.as_mut(), 2, &golden::forward_pictures());
    let masks = difference(&output.masks, &golden::npy_f32("forward_mask56_f32.npy").1);
    let logits = difference(&output.logits, &golden::npy_f32("forward_logits_f32.npy").1);
    println!("masks differ by {masks}, logits by {logits}");
    assert!(masks < TOLERANCE && logits < TOLERANCE, "{masks}, {logits}");
}

#[test]
fn half_precision_stays_near_the_reference() {
    // Half the least fraction of a bf16 number is 0.002, and some fifty layers round.
    let Some(mut engine) = openvino(&built_in(), Precision::Bf16) else {
        return;
    };
    let output = run(engine.as_mut(), 2, &golden::forward_pictures());
    let (_, reference) = golden::npy_f32("built_in_mask56_f32.npy");
    let pairs = output.masks.iter().zip(&reference);
    let mean = pairs.map(|(a, b)| (a - b).abs()).sum::<f32>() / reference.len() as f32;
    let worst = difference(&output.masks, &reference);
    println!("masks differ by {worst} at most, {mean} on average");
    assert!(mean < 0.01, "{mean} on average");
    // A sigmoid in bf16 would leave no more than 256 values above a half.
    let mut values: Vec<u32> = output.masks.iter().map(|value| value.to_bits()).collect();
    values.sort_unstable();
    values.dedup();
    assert!(values.len() > 3000, "{} values", values.len());
}

#[test]
fn every_batch_gives_each_picture_what_it_gets_alone() {
    let Some(mut engine) = openvino(&built_in(), Precision::F32) else {
        return;
    };
    let pixels = golden::forward_pictures();
    let (first, second) = pixels.split_at(pixels.len() / 2);
    let alone = [first, second].map(|picture| run(engine.as_mut(), 1, picture));
    let three = run(engine.as_mut(), 3, &[second, first, second].concat());
    // A fourth batch size, and the first again, after its place was taken.
    run(engine.as_mut(), 2, &pixels);
    let again = run(engine.as_mut(), 1, first);
    assert_eq!(again, alone[0]);
    let (masks, logits) = (three.masks.len() / 3, three.logits.len() / 3);
    for (position, picture) in [1, 0, 1].into_iter().enumerate() {
        let ours = &three.masks[position * masks..][..masks];
        assert!(difference(ours, &alone[picture].masks) < 1e-5);
        let ours = &three.logits[position * logits..][..logits];
        assert!(difference(ours, &alone[picture].logits) < 1e-5);
    }
}

#[test]
fn a_wrong_number_of_pixels_is_an_error_and_the_engine_goes_on() {
    let Some(mut engine) = openvino(&built_in(), Precision::Auto) else {
        return;
    };
    let mut output = Output::default();
    assert!(engine.run(1, &[0; 7], &mut output).is_err());
    assert!(engine.run(0, &[], &mut output).is_err());
    assert!(engine.run(usize::MAX, &[0; 7], &mut output).is_err());
    run(engine.as_mut(), 2, &golden::forward_pictures());
}

/// A checkpoint of pictures of 64 by 64, with values that keep a signal's size.
fn small(network: NetworkConfig) -> Checkpoint {
    let mut header = Header::new(network);
    header.input.size = 64;
    let tensor = |parameter: Parameter| {
        let inputs: usize = parameter.shape[1..].iter().product();
        let (centre, width) = match parameter.role {
            Role::Weight => (0.0, (6.0 / inputs as f64).sqrt()),
            Role::Scale | Role::RunningVariance => (1.0, 0.5),
            Role::Bias | Role::Shift | Role::RunningMean => (0.1, 0.3),
        };
        let value = |index| (centre + width * rule::sym(&parameter.name, index)) as f32;
        let count = parameter.shape.iter().product::<usize>() as u64;
        NamedTensor {
            values: (0..count).map(value).collect(),
            name: parameter.name,
            shape: parameter.shape,
        }
    };
    let parameters = header.network.network().parameters().into_iter();
    let tensors: Vec<NamedTensor> = parameters.map(tensor).collect();
    let bytes = serialize(&header, &tensors, Storage::F32).expect("complete");
    Checkpoint::from_bytes(bytes, "small".to_owned()).expect("just written")
}

/// Every kind of layer and decoder: what libtorch computes without folding.
#[test]
fn every_variant_of_a_network_computes_what_libtorch_computes() {
    let resnet = |block| {
        NetworkConfig::new(EncoderConfig::Resnet(ResnetConfig {
            blocks: [1, 1, 1, 1],
            block,
            classes: 5,
        }))
    };
    let mobilenet = NetworkConfig::new(EncoderConfig::MobilenetV2(MobilenetV2Config {
        classes: 5,
        batch_norm: true,
        activation: Activation::Relu6,
    }));
    let decoder = |change: fn(&mut DecoderConfig)| {
        let mut network = resnet(Block::Basic);
        change(network.decoder.as_mut().expect("there is one"));
        network
    };
    let separate = NetworkConfig {
        separate_encoder: true,
        ..resnet(Block::Bottleneck)
    };
    let few_channels = decoder(|decoder| decoder.channels = 8);
    let two_taps = decoder(|decoder| decoder.taps = vec![3, 4]);
    let first_too = decoder(|decoder| decoder.convolve_first = true);
    for network in [mobilenet, separate, few_channels, two_taps, first_too] {
        let checkpoint = small(network);
        let Some(mut ours) = openvino(&checkpoint, Precision::F32) else {
            return;
        };
        let torch = options("torch", Precision::F32);
        let mut torch = casm::open_engine(&checkpoint, &torch).expect("opens");
        let pixels: Vec<u8> = (0..2 * 64 * 64 * 3).map(|i| rule::u8("small", i)).collect();
        let (ours, torch) = (
            run(ours.as_mut(), 2, &pixels),
            run(torch.as_mut(), 2, &pixels),
        );
        let masks = difference(&ours.masks, &torch.masks);
        let logits = difference(&ours.logits, &torch.logits);
        let network = &checkpoint.header().network;
        assert!(
            masks < TOLERANCE && logits < TOLERANCE,
            "{network:?}: {masks}, {logits}"
        );
    }
}

#[test]
fn what_it_cannot_do_is_said() {
    let open = |device, precision| {
        let options = EngineOptions {
            device,
            ..options("openvino", precision)
        };
        let error = casm::open_engine(&built_in(), &options)
            .err()
            .expect("refused");
        error.to_string()
    };
    let gpu = open(Device::Cuda(0), Precision::Auto);
    assert!(
        gpu.contains("'cuda:0'") && gpu.contains("engine=torch"),
        "{gpu}"
    );
    let f16 = open(Device::Cpu, Precision::F16);
    assert!(
        f16.contains("f16") && f16.contains("precision=bf16"),
        "{f16}"
    );
}

#[test]
fn auto_takes_openvino_for_the_cpu_where_it_is_there() {
    if openvino(&built_in(), Precision::Auto).is_none() {
        return;
    }
    let open = |precision| {
        let engine = casm::open_engine(&built_in(), &options("auto", precision)).expect("opens");
        engine.description().clone()
    };
    let taken = open(Precision::Auto);
    assert!(taken.engine.starts_with("openvino"), "{taken:?}");
    assert_eq!(taken.precision, Precision::F32);
    let taken = open(Precision::F16);
    assert!(taken.engine.starts_with("torch"), "{taken:?}");
    assert!(
        taken
            .choice
            .contains("not openvino: it does not compute in f16"),
        "{taken:?}"
    );
}

/// The command on a machine without OpenVINO.
fn without_openvino(arguments: &[&str]) -> (Finished, String) {
    with_openvino_in("/nowhere".as_ref(), arguments)
}

/// The command with OpenVINO in this folder or nowhere; how it ended, and what it said.
fn with_openvino_in(folder: &Path, arguments: &[&str]) -> (Finished, String) {
    let finished = Command::new(casm_tests::program("casm"))
        .args(arguments)
        .env("CASM_OPENVINO_DIR", folder)
        .output()
        .expect("it runs");
    let said = [&finished.stdout[..], &finished.stderr].concat();
    (finished, String::from_utf8_lossy(&said).into_owned())
}

/// The path of a small picture in this folder.
fn picture(folder: &TempDir) -> String {
    let path = folder.path().join("green.png");
    let green = image::RgbImage::from_pixel(64, 48, image::Rgb([90, 120, 70]));
    green.save(&path).expect("written");
    path.to_str().expect("UTF-8").to_owned()
}

#[test]
fn a_damaged_library_is_named_and_auto_goes_on_without_it() {
    let folder = tempfile::tempdir().expect("a folder for temporary files");
    let picture = picture(&folder);
    let library = folder.path().join("libopenvino_c.so.2641");
    std::fs::write(&library, "half a download").expect("written");
    let localize =
        |engine| with_openvino_in(folder.path(), &["localize", &picture, "--engine", engine]);
    let (finished, said) = localize("openvino");
    assert_eq!(finished.status.code(), Some(2), "{said}");
    assert!(said.contains(library.to_str().expect("UTF-8")), "{said}");
    let (finished, said) = localize("auto");
    assert!(finished.status.success(), "{said}");
}

#[test]
fn without_the_library_auto_takes_torch_and_the_remedy_is_named() {
    let folder = tempfile::tempdir().expect("a folder for temporary files");
    let picture = &picture(&folder);

    let (finished, said) = without_openvino(&["localize", picture, "--engine", "openvino"]);
    assert_eq!(finished.status.code(), Some(2), "{said}");
    assert!(said.contains("CASM_OPENVINO_DIR=/nowhere"), "{said}");
    assert!(said.contains("make setup-openvino"), "{said}");

    let (finished, said) = without_openvino(&["localize", picture, "--engine", "auto"]);
    assert!(finished.status.success(), "{said}");

    let (finished, said) = without_openvino(&["localize", picture, "--engine", "onnx"]);
    assert_eq!(finished.status.code(), Some(2), "{said}");
    assert!(said.contains("auto, openvino or torch"), "{said}");
}

#[test]
fn info_says_which_engines_there_are_and_which_is_taken() {
    let (finished, said) = without_openvino(&["info", "--engines"]);
    assert!(finished.status.success(), "{said}");
    assert!(
        said.contains("missing: ") && said.contains("make setup-openvino"),
        "{said}"
    );
    let taken = said
        .lines()
        .find(|line| line.trim_start().starts_with("cpu "));
    let taken = taken.expect("a line for the CPU");
    assert!(
        taken.contains("torch") && taken.contains("not openvino"),
        "{taken}"
    );
    assert!(said.contains("libcasm.so"), "{said}");
}

/// A program that PATH found is told its name alone.
#[test]
fn libraries_beside_the_program_are_found_through_path() {
    let program = casm_tests::program("casm");
    let folder = program.parent().expect("it lies in a folder");
    let folder = folder.canonicalize().expect("it is there");
    let shell = Command::new("sh")
        .args(["-c", "casm info --engines"])
        .env("PATH", format!("{}:/usr/bin:/bin", folder.display()))
        .env_remove("CASM_ENGINE_DIR")
        .output()
        .expect("it runs");
    let said = String::from_utf8_lossy(&shell.stdout);
    let library = folder.join("libcasm.so");
    assert!(said.contains(&*library.to_string_lossy()), "{said}");
}

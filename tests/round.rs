//! `casm round` as a user meets it, on a model with weights that bf16 cannot hold.

use std::path::Path;

use casm::checkpoint::{NamedTensor, Storage, serialize};
use casm::engine::Output;
use casm::module::Mode;
use casm::network::NetworkConfig;
use casm::parameters::Parameters;
use casm::pixels::Normalisation;
use casm::{Checkpoint, EngineOptions, Precision, SaliencyNetwork};
use casm_tests::run::{casm, refused, succeeded, text};
use tch::{Device, Kind};

/// The built-in model with every weight moved by up to a 256th of itself, as far as rounding to bf16 moves weights.
fn unrounded(path: &Path, storage: Storage) {
    let model = Checkpoint::built_in().expect("built in");
    let mut tensors: Vec<NamedTensor> = model.tensors().expect("valid").into_values().collect();
    let mut state = 1_u32;
    for tensor in &mut tensors {
        for value in &mut tensor.values {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            *value *= 1.0 + (state as f32 / 2_147_483_648.0 - 1.0) / 256.0;
        }
    }
    let bytes = serialize(model.header(), &tensors, storage).expect("as before");
    std::fs::write(path, bytes).expect("writable");
}

/// What the command says, which succeeds.
fn round(model: &Path, out: &Path) -> String {
    let mut command = casm(&["round", "--model"]);
    command.arg(model).arg("--out").arg(out);
    let output = command.output().expect("the program starts");
    succeeded(&output);
    text(&output)
}

/// A picture of soft shapes, 224×224.
fn pixels() -> Vec<u8> {
    let pixels = (0..224 * 224).flat_map(|pixel| {
        let (x, y) = (f64::from(pixel % 224), f64::from(pixel / 224));
        let inside = (x - 90.0).hypot(y - 120.0) < 60.0;
        let wave = 40.0 * (x / 9.0).sin() + 40.0 * (y / 17.0).cos();
        let [red, green, blue] = if inside {
            [190.0, 90.0, 40.0]
        } else {
            [90.0, 120.0, 130.0]
        };
        [red + wave, green - wave, blue + wave / 2.0].map(|value: f64| value as u8)
    });
    pixels.collect()
}

/// What the model says of it.
fn output(model: &Checkpoint, precision: Precision) -> Output {
    let options = EngineOptions {
        engine: "torch".parse().expect("an engine"),
        precision,
        threads: 1,
        ..EngineOptions::default()
    };
    let mut engine = casm::open_engine(model, &options).expect("a model");
    let mut output = Output::default();
    engine.run(1, &pixels(), &mut output).expect("it computes");
    output
}

/// Mean differences of masks and of logits.
fn apart(a: &Output, b: &Output) -> [f64; 2] {
    [(&a.masks, &b.masks), (&a.logits, &b.logits)].map(|(a, b)| {
        let sum: f64 = a.iter().zip(b).map(|(a, b)| f64::from((a - b).abs())).sum();
        sum / a.len() as f64
    })
}

#[test]
fn bf16_comes_nearer_to_f32() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let [exact, rounded] = ["exact", "rounded"].map(|name| folder.path().join(name));
    for storage in [Storage::F32, Storage::F16] {
        unrounded(&exact, storage);
        let _ = std::fs::remove_file(&rounded);
        // Of MobileNetV2's 52 convolutions all but the first block's three; its linear layer; the decoder's four before the last.
        assert!(round(&exact, &rounded).contains("54 layers"));
        let [exact, rounded] = [&exact, &rounded].map(|path| Checkpoint::open(path).expect("one"));
        assert_eq!(rounded.number_formats(), exact.number_formats());
        let notes = &exact.header().provenance.notes;
        assert_eq!(
            rounded.header().provenance.notes,
            format!("{notes}; weights rounded to numbers of bf16")
        );
        // The scores in the header were those of other weights.
        assert!(!exact.header().provenance.metrics.is_empty());
        assert!(rounded.header().provenance.metrics.is_empty());

        let [before, after] = [&exact, &rounded].map(|model| {
            [Precision::F32, Precision::Bf16].map(|precision| output(model, precision))
        });
        let were = apart(&before[0], &before[1]);
        let are = apart(&after[0], &after[1]);
        let moved = apart(&before[0], &after[0]);
        println!("{storage:?}: bf16 off by {were:?}, then {are:?}; f32 moved by {moved:?}");
        for (are, were) in are.into_iter().zip(were) {
            assert!(0.0 < are && are < 0.8 * were, "{are} of {were}");
        }
        // f32 moves by what engines would have made of its weights in bf16.
        for (moved, were) in moved.into_iter().zip(were) {
            assert!(0.0 < moved && moved < 1.5 * were, "{moved} of {were}");
        }
    }
}

/// With a batch's own statistics the network finds what it found before: without its batch norms' factors the masks would be others.
#[test]
fn training_goes_on_as_from_the_model_before() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let [exact, rounded] = ["exact", "rounded"].map(|name| folder.path().join(name));
    unrounded(&exact, Storage::F32);
    round(&exact, &rounded);
    let masks = [exact, rounded].map(|path| {
        let model = Checkpoint::open(path).expect("a checkpoint");
        let parameters = Parameters::from_named(model.tensors().expect("valid"), Device::Cpu);
        let config: &NetworkConfig = &model.header().network;
        let network = SaliencyNetwork::new(config, &parameters.expect("valid")).expect("complete");
        let pictures = Normalisation::new(&model.header().input, Device::Cpu)
            .and_then(|normalisation| normalisation.pictures(1, &pixels(), Kind::Float))
            .expect("a picture");
        let saliency = network.forward(&pictures, Mode::Train).expect("computes");
        saliency.mask.expect("a decoder")
    });
    let mean = (&masks[0] - &masks[1])
        .abs()
        .mean(Kind::Float)
        .double_value(&[]);
    let spread = masks[0].std(false).double_value(&[]);
    println!("masks of training differ by {mean}, their spread is {spread}");
    assert!(mean < 0.02 && spread > 0.1, "{mean}, {spread}");
}

#[test]
fn ranges_for_int8_and_files_in_the_way_are_told_of() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let [model, out] = ["model", "out"].map(|name| folder.path().join(name));
    let built_in = Checkpoint::built_in().expect("built in");
    let mut header = built_in.header().clone();
    header.quantization = Some(Default::default());
    let tensors: Vec<NamedTensor> = built_in.tensors().expect("valid").into_values().collect();
    let bytes = serialize(&header, &tensors, Storage::F16).expect("as before");
    std::fs::write(&model, bytes).expect("writable");
    assert!(round(&model, &out).contains("casm quantize"));
    let rounded = Checkpoint::open(&out).expect("a checkpoint");
    assert!(rounded.header().quantization.is_none());

    let [model, out] = [&model, &out].map(|path| path.to_str().expect("a plain name"));
    let round = |more: &[&str]| {
        let mut command = casm(&["round"]);
        command.args(more).output().expect("it starts")
    };
    refused(
        &round(&["--out", "/tmp/none", "--model", "/nowhere"]),
        &["/nowhere"],
    );
    refused(&round(&["--model", model]), &["--out"]);
    std::fs::write(out, "what was there").expect("writable");
    let again = ["--model", model, "--out", out];
    refused(&round(&again), &["exists; --force replaces it"]);
    assert_eq!(std::fs::read(out).expect("readable"), b"what was there");
    succeeded(&round(&[&again[..], &["--force"]].concat()));
    assert!(Checkpoint::open(out).is_ok());
}

//! `casm round` as a user meets it, on a model with weights that bf16 cannot hold.

use std::path::Path;

use casm::checkpoint::{NamedTensor, Storage, serialize};
use casm::engine::Output;
use casm::{Checkpoint, EngineOptions, Precision};
use casm_tests::run::{casm, refused, succeeded, text};

/// The built-in model with every weight moved by up to a 256th of itself, as far as rounding to bf16 moves weights.
fn unrounded(path: &Path) {
    let model = Checkpoint::built_in().expect("built in");
    let mut tensors: Vec<NamedTensor> = model.tensors().expect("valid").into_values().collect();
    let mut state = 1_u32;
    for tensor in &mut tensors {
        for value in &mut tensor.values {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            *value *= 1.0 + (state as f32 / 2_147_483_648.0 - 1.0) / 256.0;
        }
    }
    let bytes = serialize(model.header(), &tensors, Storage::F32).expect("as before");
    std::fs::write(path, bytes).expect("writable");
}

/// What the model says of a picture of soft shapes: the mask, 56×56, and the logits.
fn output(model: &Checkpoint, precision: Precision) -> Output {
    let options = EngineOptions {
        engine: "torch".parse().expect("an engine"),
        precision,
        threads: 1,
        ..EngineOptions::default()
    };
    let mut engine = casm::open_engine(model, &options).expect("a model");
    let pixels: Vec<u8> = (0..224 * 224)
        .flat_map(|pixel| {
            let (x, y) = (f64::from(pixel % 224), f64::from(pixel / 224));
            let inside = (x - 90.0).hypot(y - 120.0) < 60.0;
            let wave = 40.0 * (x / 9.0).sin() + 40.0 * (y / 17.0).cos();
            let [red, green, blue] = if inside {
                [190.0, 90.0, 40.0]
            } else {
                [90.0, 120.0, 130.0]
            };
            [red + wave, green - wave, blue + wave / 2.0].map(|value: f64| value as u8)
        })
        .collect();
    let mut output = Output::default();
    engine.run(1, &pixels, &mut output).expect("it computes");
    output
}

fn difference(a: &Output, b: &Output) -> f64 {
    let pairs = a.logits.iter().zip(&b.logits);
    let sum: f64 = pairs.map(|(a, b)| f64::from((a - b).abs())).sum();
    sum / a.logits.len() as f64
}

#[test]
fn bf16_comes_nearer_to_f32_and_f32_hardly_moves() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let [exact, rounded, again] =
        ["exact", "rounded", "again"].map(|name| folder.path().join(format!("{name}.safetensors")));
    unrounded(&exact);
    for (model, out) in [(&exact, &rounded), (&rounded, &again)] {
        let mut command = casm(&["round", "--model"]);
        command.arg(model).arg("--out").arg(out);
        let output = command.output().expect("the program starts");
        succeeded(&output);
        // Of MobileNetV2's 52 convolutions all but the first block's three, its linear layer, the decoder's four to its channels.
        assert!(text(&output).contains("54 layers"), "{}", text(&output));
    }
    let [exact, rounded, again] =
        [exact, rounded, again].map(|path| Checkpoint::open(path).expect("a checkpoint"));
    assert_eq!(
        rounded.tensors().expect("valid"),
        again.tensors().expect("valid")
    );
    assert_eq!(rounded.number_formats(), "F32");
    let provenance = &rounded.header().provenance;
    assert!(provenance.notes.ends_with("numbers of bf16"));
    // The scores in the header were those of other weights.
    assert!(!exact.header().provenance.metrics.is_empty());
    assert!(provenance.metrics.is_empty());

    let before = [Precision::F32, Precision::Bf16].map(|precision| output(&exact, precision));
    let after = [Precision::F32, Precision::Bf16].map(|precision| output(&rounded, precision));
    let [apart, still_apart] = [&before, &after].map(|[f32, bf16]| difference(f32, bf16));
    let moved = difference(&before[0], &after[0]);
    println!("bf16 off by {apart}, then {still_apart}; f32 moved by {moved}");
    assert!(still_apart < 0.8 * apart, "{still_apart} of {apart}");
    assert!(0.0 < moved && moved < 1.5 * apart, "{moved} of {apart}");
}

#[test]
fn bad_input_is_refused() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("rounded.safetensors");
    let round = |more: &[&str]| {
        let mut command = casm(&["round"]);
        command.args(more).output().expect("it starts")
    };
    let out = path.to_str().expect("a plain name");
    refused(
        &round(&["--out", out, "--model", "/nowhere"]),
        &["/nowhere"],
    );
    refused(&round(&[]), &["--out"]);
    std::fs::write(&path, "what was there").expect("writable");
    refused(&round(&["--out", out]), &["exists; --force replaces it"]);
    assert_eq!(std::fs::read(&path).expect("readable"), b"what was there");
}

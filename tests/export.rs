//! `casm export --onnx`: what ONNX Runtime computes from the file, where it is installed.

use std::path::Path;
use std::process::Command;

use casm::engine::Output;
use casm::{Checkpoint, Device, EngineOptions, Precision};
use casm_tests::{golden, run};

/// Runs the file on both pictures at once and on each alone, and writes masks and logits as they are in memory.
const PROGRAM: &str = r#"
import sys
import numpy as np
import onnxruntime
folder = sys.argv[1]
session = onnxruntime.InferenceSession(folder + "/model.onnx", providers=["CPUExecutionProvider"])
pictures = np.fromfile(folder + "/pictures", np.uint8).reshape(2, 224, 224, 3)
pixels = np.ascontiguousarray(pictures.transpose(0, 3, 1, 2)).astype(np.float32)
both = session.run(["mask", "logits"], {"pixels": pixels})
for index in range(2):
    alone = session.run(["mask", "logits"], {"pixels": pixels[index:index + 1]})
    for one, all in zip(alone, both):
        assert np.abs(one[0] - all[index]).max() < 1e-4 * max(1, np.abs(all).max()), "another batch, other numbers"
both[0].tofile(folder + "/masks")
both[1].tofile(folder + "/logits")
print(onnxruntime.__version__)
"#;

/// A Python that has it: `CASM_ONNXRUNTIME_PYTHON`, else `python3`.
fn python() -> Option<String> {
    let named = std::env::var("CASM_ONNXRUNTIME_PYTHON").unwrap_or_else(|_| "python3".to_owned());
    let has = Command::new(&named)
        .args(["-c", "import numpy, onnxruntime"])
        .output();
    has.is_ok_and(|output| output.status.success())
        .then_some(named)
}

fn numbers(path: &Path) -> Vec<f32> {
    let bytes = std::fs::read(path).expect("it was written");
    let numbers = bytes.as_chunks::<4>().0.iter();
    numbers.map(|bytes| f32::from_le_bytes(*bytes)).collect()
}

/// Largest difference, relative to the largest number if that is above 1.
fn difference(found: &[f32], expected: &[f32]) -> f32 {
    assert_eq!(found.len(), expected.len());
    assert!(found.iter().all(|number| number.is_finite()));
    let scale = expected
        .iter()
        .fold(1.0f32, |largest, number| largest.max(number.abs()));
    let pairs = found.iter().zip(expected);
    pairs.map(|(a, b)| (a - b).abs()).fold(0.0, f32::max) / scale
}

#[test]
fn onnx_runtime_computes_the_same_masks_and_logits() {
    let Some(python) = python() else {
        eprintln!("skipped: no Python with onnxruntime; CASM_ONNXRUNTIME_PYTHON names one");
        return;
    };
    let folder = tempfile::tempdir().expect("a temporary folder");
    let at = |name: &str| folder.path().join(name);
    let output = run::casm(&["export", "--onnx"])
        .arg(at("model.onnx"))
        .output();
    run::succeeded(&output.expect("it starts"));
    std::fs::write(at("pictures"), golden::forward_pictures()).expect("writable");
    let output = Command::new(python)
        .args(["-c", PROGRAM])
        .arg(folder.path())
        .output();
    run::succeeded(&output.expect("it starts"));

    let options = EngineOptions {
        engine: "torch".parse().expect("there is one"),
        device: Device::Cpu,
        precision: Precision::F32,
        threads: 0,
    };
    let checkpoint = Checkpoint::built_in().expect("valid");
    let mut engine = casm::open_engine(&checkpoint, &options).expect("opens");
    let mut expected = Output::default();
    engine
        .run(2, &golden::forward_pictures(), &mut expected)
        .expect("runs");
    let masks = difference(&numbers(&at("masks")), &expected.masks);
    let logits = difference(&numbers(&at("logits")), &expected.logits);
    println!("masks differ by {masks:e}, logits by {logits:e} of the largest");
    assert!(
        masks < 1e-4 && logits < 1e-4,
        "masks {masks}, logits {logits}"
    );
}

//! Runs of `casm train` and its sisters as a user starts them, and what they leave.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use casm::Checkpoint;
use image::RgbImage;

use crate::golden::rule;

/// An ImageFolder of three classes: blocks of a class's colour on noise.
pub fn pictures(folder: &Path) -> PathBuf {
    let root = folder.join("pictures");
    for (class, color) in [("blue", 2), ("green", 1), ("red", 0)] {
        let folder = root.join("train").join(class);
        std::fs::create_dir_all(&folder).expect("a temporary folder");
        for number in 0..6u64 {
            let picture = RgbImage::from_fn(80, 72, |x, y| {
                let index = (number * 80 + u64::from(x)) * 72 + u64::from(y);
                let mut pixel = [0, 1, 2].map(|c| rule::u8(&format!("{class}{c}"), index) / 2);
                if (20..50).contains(&x) && (15..55).contains(&y) {
                    pixel[color] = 255;
                }
                image::Rgb(pixel)
            });
            let path = folder.join(format!("{number}.png"));
            picture.save(path).expect("a temporary file");
        }
    }
    root
}

/// A run small enough for a test: ResNet-18 from random weights at 64 pixels.
pub const SMALL: [&str; 12] = [
    "--architecture",
    "resnet18",
    "--input-size",
    "64",
    "--batch",
    "5",
    "--epoch-share",
    "1",
    "--threads",
    "1",
    "--workers",
    "2",
];

/// The command, with nothing to read.
pub fn casm(arguments: &[&str]) -> Command {
    let mut command = Command::new(crate::program("casm"));
    command.args(arguments).stdin(Stdio::null());
    command
}

/// What it said.
pub fn text(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// Fails with what it said, if it failed.
pub fn succeeded(output: &Output) {
    assert!(
        output.status.success(),
        "{:?}: {}",
        output.status,
        text(output)
    );
}

/// Fails, says each of `words`, and does not panic.
pub fn refused(output: &Output, words: &[&str]) {
    let said = text(output);
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert!(!said.contains("panicked"), "{said}");
    for word in words {
        assert!(said.contains(word), "'{word}' is not in: {said}");
    }
}

/// Bits of the run's model.
pub fn tensors(run: &Path) -> BTreeMap<String, Vec<u32>> {
    let checkpoint = Checkpoint::open(run.join("model.safetensors")).expect("a checkpoint");
    let tensors = checkpoint.tensors().expect("tensors").into_iter();
    let bits = |values: Vec<f32>| values.into_iter().map(f32::to_bits).collect();
    tensors
        .map(|(name, tensor)| (name, bits(tensor.values)))
        .collect()
}

/// The numbers of the steps, without those that depend on time.
pub fn steps(run: &Path) -> Vec<String> {
    let csv = std::fs::read_to_string(run.join("steps.csv")).expect("a log");
    let columns = |line: &str| -> String {
        let columns = line.split(',').enumerate();
        let kept = columns.filter(|(index, _)| ![3, 4].contains(index));
        kept.map(|(_, column)| column).collect::<Vec<_>>().join(",")
    };
    csv.lines().map(columns).collect()
}

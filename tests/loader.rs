//! The loader on the real archives.

use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use casm_tests::data;
use casm_training::dataset::{Dataset, Mixture, Selection, SourceOptions, Split};
use casm_training::loader::{Batch, Loader, LoaderConfig, Transform};
use image::RgbImage;

const ONE_PER_CLASS: &str = "imagenet-one-per-class.tar";
const TINY: &str = "tiny-imagenet-200.tar.gz";

fn config(workers: usize) -> LoaderConfig {
    LoaderConfig {
        batch: 16,
        size: 224,
        transform: Transform::TRAIN,
        workers,
        prefetch: 2,
        seed: 3,
        epoch_iterations: 4,
    }
}

/// A third Tiny ImageNet, in larger crops, and two thirds full-size pictures.
fn mixture() -> Option<Arc<Mixture>> {
    let source = |path, weight, scale| SourceOptions {
        path,
        weight: Some(weight),
        scale,
    };
    let sources = [
        source(data::file(TINY)?, 1.0, Some((0.5, 1.0))),
        source(data::file(ONE_PER_CLASS)?, 2.0, None),
    ];
    let mixture = Mixture::open(&sources, Split::Train, &Selection::default(), &[]);
    Some(Arc::new(
        mixture.unwrap_or_else(|error| panic!("{error:#}")),
    ))
}

fn batches(loader: anyhow::Result<Loader>) -> Vec<Batch> {
    let loader = loader.unwrap_or_else(|error| panic!("{error:#}"));
    loader
        .map(|batch| batch.unwrap_or_else(|error| panic!("{error:#}")))
        .collect()
}

#[test]
fn batches_are_the_same_for_any_workers_and_any_start() {
    let Some(data) = mixture() else {
        return;
    };
    // Tiny ImageNet's classes are among the thousand.
    assert_eq!(data.classes().len(), 1000);
    let stream = batches(Loader::start(data.clone(), config(1), 0, 0..6));
    assert_eq!(stream.len(), 6);
    for batch in &stream {
        assert_eq!(batch.pixels.len(), 16 * 224 * 224 * 3);
        let tiny = batch
            .samples
            .iter()
            .filter(|name| name.contains(TINY))
            .count();
        assert!((5..=6).contains(&tiny), "{tiny} of 16");
        for (name, &class) in batch.samples.iter().zip(&batch.classes) {
            assert!(
                name.contains(&format!("/{}/", data.classes()[class as usize])),
                "{name}"
            );
        }
    }
    assert!(batches(Loader::start(data.clone(), config(3), 0, 0..6)) == stream);
    assert!(batches(Loader::start(data, config(2), 1, 0..2)) == stream[4..]);
}

#[test]
fn validation_goes_through_all_pictures_once() {
    let Some(path) = data::file(TINY) else {
        return;
    };
    let dataset = Dataset::open(&path, Split::Validation).expect("readable");
    let mixture = Arc::new(Mixture::single(dataset).expect("not empty"));
    let config = LoaderConfig {
        batch: 64,
        size: 32,
        transform: Transform::Crop { short: 36 },
        ..config(0)
    };
    let mut loader = Loader::in_turn(mixture, config).expect("threads");
    let mut classes = Vec::new();
    let mut last = 0;
    for batch in loader.by_ref() {
        let batch = batch.expect("readable");
        last = batch.classes.len();
        classes.extend(batch.classes);
    }
    // 5,000 = 78 * 64 + 8, 25 of each class one after the other.
    assert_eq!((classes.len(), last), (5000, 8));
    assert!(
        classes
            .iter()
            .enumerate()
            .all(|(index, &class)| class == index as i64 / 25)
    );
    assert!(loader.rejected().is_empty());
}

#[test]
fn strange_pictures_are_used_and_broken_ones_named() {
    let made = Path::new(env!("CARGO_MANIFEST_DIR")).join("data/picture");
    let plain = std::fs::read(made.join("plain.jpg")).expect("the repository has it");
    let folder = tempfile::tempdir().expect("a temporary folder");
    let at = |name: &str| folder.path().join(name);
    for class in ["empty", "good", "one", "broken"] {
        std::fs::create_dir_all(at(&format!("train/{class}"))).expect("writable");
    }
    for name in ["cmyk.jpg", "grey16.png", "palette.png", "lossy.webp"] {
        std::fs::copy(made.join(name), at(&format!("train/good/{name}"))).expect("writable");
    }
    for (name, width, height) in [("pixel", 1, 1), ("wide", 20_000, 1), ("high", 1, 20_000)] {
        let picture = RgbImage::new(width, height);
        picture
            .save(at(&format!("train/good/{name}.png")))
            .expect("writable");
    }
    // A JPEG's content decides, not its name.
    std::fs::write(at("train/one/jpeg.png"), &plain).expect("writable");
    std::fs::write(at("train/broken/cut.jpg"), &plain[..400]).expect("writable");
    std::fs::write(at("train/broken/nothing.jpg"), b"").expect("writable");
    std::fs::write(at("train/broken/page.png"), b"<html>").expect("writable");
    std::fs::write(at("train/broken/notes.txt"), b"no picture").expect("writable");

    let error = Dataset::open(folder.path(), Split::Train).expect_err("a class without pictures");
    assert!(error.to_string().contains("empty"), "{error}");
    std::fs::remove_dir(at("train/empty")).expect("just made");
    let dataset = Dataset::open(folder.path(), Split::Train).expect("readable");
    assert_eq!(dataset.classes(), ["broken", "good", "one"]);
    let mixture = Arc::new(Mixture::single(dataset).expect("not empty"));
    let config = LoaderConfig {
        epoch_iterations: 1,
        ..config(2)
    };
    // A batch of 16 of 11 pictures: each once, and five of the next pass.
    let mut loader = Loader::start(mixture.clone(), config.clone(), 0, 0..1).expect("threads");
    let batch = loader
        .next()
        .expect("one batch")
        .expect("with good pictures");
    assert!(
        (8..=13).contains(&batch.classes.len()),
        "{:?}",
        batch.samples
    );
    assert_eq!(batch.pixels.len(), batch.classes.len() * 224 * 224 * 3);
    assert!(batch.classes.iter().all(|&class| class > 0));

    let mut loader = Loader::in_turn(mixture, config).expect("threads");
    let batch = loader
        .next()
        .expect("one batch")
        .expect("with good pictures");
    assert_eq!(batch.classes, [1, 1, 1, 1, 1, 1, 1, 2]);
    let rejected = loader.rejected();
    let expected = [
        ("cut.jpg", "truncated"),
        ("nothing.jpg", "empty"),
        ("page.png", "neither"),
    ];
    assert_eq!(rejected.len(), expected.len());
    for ((name, reason), (expected_name, expected_reason)) in rejected.iter().zip(expected) {
        assert!(name.ends_with(expected_name), "{name}");
        assert!(reason.contains(expected_reason), "{reason}");
    }
}

/// Pictures a second; nothing is expected of it, as it depends on the machine:
/// `cargo test --release --workspace --test loader -- --ignored --nocapture`.
#[test]
#[ignore = "a measurement"]
fn throughput() {
    let Some(path) = data::file(ONE_PER_CLASS) else {
        return;
    };
    let dataset = Dataset::open(&path, Split::Train).expect("readable");
    let mixture = Arc::new(Mixture::single(dataset).expect("not empty"));
    for (workers, transform) in [
        (1, Transform::TRAIN),
        (2, Transform::TRAIN),
        (1, Transform::Crop { short: 256 }),
    ] {
        let config = LoaderConfig {
            transform,
            ..config(workers)
        };
        let started = Instant::now();
        let pictures: usize = batches(Loader::start(mixture.clone(), config, 0, 0..60))
            .iter()
            .map(|batch| batch.classes.len())
            .sum();
        let rate = pictures as f64 / started.elapsed().as_secs_f64();
        println!("{workers} workers, {transform:?}: {rate:.0} pictures/s");
    }
}

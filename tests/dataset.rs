//! The real archives; their counts are those of the README beside them.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::Command;

use casm::Checkpoint;
use casm_tests::{data, program};
use casm_training::dataset::{
    Archive, ClassMap, Dataset, Mixture, Selection, SourceOptions, Split,
};
use casm_training::picture;

const ONE_PER_CLASS: &str = "imagenet-one-per-class.tar";
const NIPS: &str = "nips2017-cc-by.tar";
const TINY: &str = "tiny-imagenet-200.tar.gz";
const EVALUATION: &str = "ilsvrc-val-650-dev.tar";

/// The default model's classes: ILSVRC's, in its order, as `n01440764 tench, Tinca tinca`.
fn model_classes() -> Vec<String> {
    let path =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../models/casm-mobilenet-v2.safetensors");
    let checkpoint = Checkpoint::open(&path).expect("the repository has it");
    checkpoint.header().classes.clone()
}

fn open(name: &str, split: Split) -> Option<Dataset> {
    let path = data::file(name)?;
    Some(Dataset::open(&path, split).unwrap_or_else(|error| panic!("{error:#}")))
}

/// How many pictures each class has.
fn counts(dataset: &Dataset) -> BTreeMap<usize, usize> {
    let mut counts = BTreeMap::new();
    for sample in dataset.samples() {
        *counts.entry(sample.class).or_default() += 1;
    }
    counts
}

#[test]
fn one_picture_of_each_class() {
    let Some(mut dataset) = open(ONE_PER_CLASS, Split::Train) else {
        return;
    };
    assert_eq!(dataset.samples().len(), 1000);
    assert_eq!(dataset.classes().len(), 1000);
    assert!(counts(&dataset).values().all(|&count| count == 1));
    assert!(
        dataset
            .split(Split::Validation)
            .expect("readable")
            .is_none()
    );

    // All of ILSVRC's classes, whose order is that of their WordNet ids.
    let model = model_classes();
    dataset.label(&model).expect("the model has all classes");
    for (index, sample) in dataset.samples().iter().enumerate() {
        assert_eq!(sample.class, index);
        let id = model[index].split_whitespace().next().expect("an id");
        assert!(
            dataset.name(sample).contains(&format!("/train/{id}/")),
            "{id}"
        );
    }
    let first = picture::decode(&dataset.read(&dataset.samples()[0]).expect("readable"));
    let (width, height) = first.expect("a good picture").dimensions();
    assert_eq!(width.min(height), 300);
}

#[test]
fn pictures_with_credits() {
    let Some(mut dataset) = open(NIPS, Split::Train) else {
        return;
    };
    // 1,000 pictures, and credits.csv, which is none.
    assert_eq!(dataset.samples().len(), 1000);
    dataset
        .label(&model_classes())
        .expect("the model has all classes");
    let archive = Archive::open(dataset.path()).expect("readable");
    assert_eq!(
        archive
            .names()
            .filter(|name| name.ends_with(".csv"))
            .count(),
        1
    );
}

#[test]
fn tiny_imagenet_as_shipped() {
    let Some(mut train) = open(TINY, Split::Train) else {
        return;
    };
    assert_eq!(train.samples().len(), 40_000);
    assert!(counts(&train).values().all(|&count| count == 200));
    let mut validation = train
        .split(Split::Validation)
        .expect("readable")
        .expect("it has one");
    assert_eq!(validation.samples().len(), 5000);
    assert_eq!(validation.classes(), train.classes());
    assert_eq!(validation.classes().len(), 200);
    assert!(counts(&validation).values().all(|&count| count == 25));

    // By hand from val_annotations.txt: val_0.JPEG is n03444034.
    let sample = |dataset: &Dataset, name: &str| {
        let mut samples = dataset.samples().iter();
        let sample = samples.find(|sample| dataset.name(sample).ends_with(name));
        sample.cloned().expect("it is there")
    };
    let first = sample(&validation, "/val_0.JPEG");
    assert_eq!(validation.classes()[first.class], "n03444034");

    let model = model_classes();
    for dataset in [&mut train, &mut validation] {
        dataset.label(&model).expect("all are ILSVRC's classes");
    }
    let first = sample(&validation, "/val_0.JPEG");
    assert!(model[first.class].starts_with("n03444034 "));
    // Go-kart is ILSVRC's class 573.
    assert_eq!(first.class, 573);
    let (_, size) = {
        let bytes = validation.read(&first).expect("readable");
        (
            bytes.len(),
            picture::decode(&bytes)
                .expect("a good picture")
                .dimensions(),
        )
    };
    assert_eq!(size, (64, 64));
}

#[test]
fn the_evaluation_set_is_not_for_training() {
    let Some(path) = data::file(EVALUATION) else {
        return;
    };
    let error = Dataset::open(&path, Split::Train).expect_err("it has no classes' folders");
    let message = format!("{error:#}");
    assert!(
        message.contains(EVALUATION) && message.contains("casm evaluate"),
        "{message}"
    );
}

#[test]
fn sources_are_mixed_under_the_models_classes() {
    let (Some(one), Some(nips)) = (data::file(ONE_PER_CLASS), data::file(NIPS)) else {
        return;
    };
    let sources = [(one, 0.25), (nips, 0.75)].map(|(path, weight)| SourceOptions {
        path,
        weight: Some(weight),
        scale: None,
    });
    let selection = Selection::read(None, Some("n02510455,n03447447")).expect("two names");
    let mixture = Mixture::open(&sources, Split::Train, &selection, &model_classes());
    let mixture = mixture.expect("both have these classes");
    assert_eq!(mixture.classes().len(), 1000);
    for source in mixture.sources() {
        let classes: BTreeSet<_> = counts(&source.dataset).into_keys().collect();
        // Giant panda and gondola.
        assert_eq!(classes, BTreeSet::from([388, 576]));
    }
    let wrong = Selection::read(None, Some("n01440764,n99999999,zebra")).expect("three names");
    let error = Mixture::open(&sources, Split::Train, &wrong, &model_classes());
    let message = format!("{:#}", error.expect_err("two are absent"));
    assert!(message.contains("'n99999999', 'zebra'"), "{message}");
}

#[test]
fn a_model_of_other_classes_is_refused() {
    let Some(dataset) = open(NIPS, Split::Train) else {
        return;
    };
    let error = ClassMap::new(dataset.classes(), &model_classes()[..500]);
    let message = format!("{:#}", error.expect_err("half of them are absent"));
    assert!(
        message.contains("not among the model's") && message.contains("more"),
        "{message}"
    );
}

#[test]
fn split_classes_writes_what_classes_reads() {
    let Some(path) = data::file(ONE_PER_CLASS) else {
        return;
    };
    let folder = tempfile::tempdir().expect("a temporary folder");
    let split = folder.path().join("split.json");
    let run = Command::new(program("casm"))
        .arg("split-classes")
        .arg(&path)
        .args(["--seed", "1", "--output"])
        .arg(&split)
        .output()
        .expect("casm is built");
    assert!(
        run.status.success(),
        "{}",
        String::from_utf8_lossy(&run.stderr)
    );
    let subsets = casm_training::dataset::read_subsets(&split).expect("just written");
    // The sizes of the paper's Table 3.
    let sizes: Vec<_> = subsets.values().map(Vec::len).collect();
    assert_eq!(sizes, [50, 50, 100, 300, 300, 200]);

    let choice = format!("{}:C,F", split.display());
    let selection = Selection::read(None, Some(&choice)).expect("two subsets");
    let sources = [SourceOptions {
        path,
        weight: None,
        scale: None,
    }];
    let mixture = Mixture::open(&sources, Split::Train, &selection, &[]).expect("a good choice");
    assert_eq!(mixture.pictures(), 300);
    let mut wanted: Vec<_> = [&subsets["C"][..], &subsets["F"]].concat();
    wanted.sort();
    assert_eq!(mixture.classes(), wanted);

    let too_many = Command::new(program("casm"))
        .args(["split-classes", "--class-list", "/dev/null", "--output"])
        .arg(&split)
        .output()
        .expect("casm is built");
    assert_eq!(too_many.status.code(), Some(2));
}

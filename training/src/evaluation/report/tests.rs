use casm::mask::Binarization;
use casm::network::Upsample;
use casm::{Checkpoint, Resize};

use super::super::annotated::{Class, Layout};
use super::super::max_box::{LevelSet, MaxBoxScore};
use super::super::{AnnotatedPicture, ClassificationScore, MaskStatistics};
use super::*;
use crate::dataset::Archive;

/// A set of pictures with these classes; none is ever read.
fn set(classes: &[usize]) -> AnnotatedSet {
    let folder = tempfile::tempdir().unwrap();
    let picture = |&class: &usize| AnnotatedPicture {
        name: String::new(),
        original: None,
        annotations: Vec::new(),
        class: Some(class),
    };
    let class = |index: usize| Class {
        name: format!("class {index}"),
        label: None,
    };
    AnnotatedSet {
        archive: Archive::open(folder.path()).unwrap(),
        layout: Layout::Metadata,
        pictures: classes.iter().map(picture).collect(),
        classes: (0..3).map(class).collect(),
        problems: Vec::new(),
        notes: Vec::new(),
    }
}

fn options() -> Options {
    Options {
        upsample: Upsample::Nearest,
        rules: vec![
            Rule::Binarization(Binarization::default()),
            Rule::Threshold(0.5),
        ],
        resizes: vec![Resize::Stretch],
        ..Options::new(Checkpoint::built_in().unwrap().header())
    }
}

fn score(found: [bool; 2], rank: Option<usize>, mean: f64) -> PictureScore {
    PictureScore {
        mask: MaskStatistics {
            mean,
            entropy: 0.0,
            tv_mean: 0.0,
            tv_sum: 0.0,
        },
        f1: mean,
        f1_average: mean / 2.0,
        found: found.to_vec(),
        class: rank.map(|rank| ClassificationScore {
            loss: 0.0,
            rank,
            top1: rank < 1,
            top5: rank < 5,
            entropy: 0.0,
        }),
        max_box: None,
        toys: Vec::new(),
    }
}

fn report(set: &AnnotatedSet, scores: Vec<PictureScore>, top: usize) -> Report {
    let scores = Scores {
        pictures: (0..scores.len()).collect(),
        by_resize: vec![scores],
        problems: Vec::new(),
        square: true,
    };
    let bootstrap = Bootstrap::new(scores.pictures.len(), 100, 0);
    Report::new(set, &scores, &options(), top, &bootstrap)
}

fn value(report: &Report, rule: Option<&str>, measure: Measure) -> Option<f64> {
    let number = report.find(Method::Model, "stretch", rule, measure)?;
    Some(number.estimate.value)
}

fn three() -> Vec<PictureScore> {
    vec![
        score([true, false], Some(0), 0.2),
        score([false, false], Some(0), 0.4),
        score([true, true], Some(3), 0.6),
    ]
}

/// By hand: found are the first and third, and only the third; right classes the first two, with four
/// guesses all.
#[test]
fn numbers_are_means_over_the_pictures() {
    let set = set(&[0, 1, 2]);
    let report = report(&set, three(), 1);
    let third = |count: f64| Some(count / 3.0);
    let close = |value: Option<f64>, expected: Option<f64>| {
        let (value, expected) = (value.unwrap(), expected.unwrap());
        assert!((value - expected).abs() < 1e-12, "{value}, not {expected}");
    };
    let quantile = Some("quantile");
    close(
        value(&report, quantile, Measure::LocalizationError),
        third(1.0),
    );
    close(
        value(&report, Some("value>0.5"), Measure::LocalizationError),
        third(2.0),
    );
    close(
        value(&report, quantile, Measure::OfficialMetric),
        third(2.0),
    );
    close(value(&report, None, Measure::Top1), third(2.0));
    close(value(&report, None, Measure::Top5), third(3.0));
    close(value(&report, None, Measure::F1), Some(0.4));
    close(value(&report, None, Measure::F1Average), Some(0.2));
    close(value(&report, None, Measure::MaskMean), Some(0.4));
    // Unbiased, of 0.2, 0.4 and 0.6.
    close(value(&report, None, Measure::StdGlobal), Some(0.2));
    close(value(&report, None, Measure::StdBatch128), Some(0.2));
    assert_eq!(value(&report, None, Measure::MaxBoxAcc), None);
    let generous = self::report(&set, three(), 4);
    close(
        value(&generous, quantile, Measure::OfficialMetric),
        third(1.0),
    );
}

#[test]
fn without_classes_there_are_no_class_scores() {
    let mut scores = three();
    scores[1].class = None;
    let report = report(&set(&[0, 1, 2]), scores, 1);
    for measure in [Measure::OfficialMetric, Measure::Top1, Measure::Top5] {
        assert_eq!(value(&report, None, measure), None, "{measure:?}");
    }
    assert!(value(&report, None, Measure::LocalizationError).is_some());
}

/// By hand: 128 pictures of class 0 with a mean of 0.2 and 128 of class 1 with 0.8, taken in turns. Sorted by
/// class no batch has any spread; over all it is 0.3 · √(256 / 255).
#[test]
fn the_spread_within_batches_is_that_of_the_class_sorted_pictures() {
    let classes: Vec<usize> = (0..256).map(|index| index % 2).collect();
    let scores = classes.iter().map(|&class| {
        let mean = if class == 0 { 0.2 } else { 0.8 };
        score([true, true], None, mean)
    });
    let report = report(&set(&classes), scores.collect(), 1);
    let spread = |measure| value(&report, None, measure).unwrap();
    assert!(spread(Measure::StdBatch128) < 1e-6);
    let expected = 0.3 * (256.0f64 / 255.0).sqrt();
    assert!((spread(Measure::StdGlobal) - expected).abs() < 1e-9);
}

/// By hand: at level 0 the first two pictures are found, at 200 the last alone; V2 adds 3, 2 and 1 of three.
#[test]
fn max_box_accuracies_are_those_of_the_best_thresholds() {
    let mut scores = three();
    let sets = |at: [bool; 4]| {
        let set = |found: bool| {
            if found {
                LevelSet::at(0)
            } else {
                LevelSet::at(200)
            }
        };
        let [largest, any @ ..] = at.map(set);
        Some(MaxBoxScore { largest, any })
    };
    scores[0].max_box = sets([true, true, true, true]);
    scores[1].max_box = sets([true, true, true, false]);
    scores[2].max_box = sets([false, true, false, false]);
    let report = report(&set(&[0, 1, 2]), scores, 1);
    let close = |measure, expected: f64| {
        let number = value(&report, None, measure).unwrap();
        assert!((number - expected).abs() < 1e-12, "{measure:?}: {number}");
    };
    close(Measure::MaxBoxAcc, 2.0 / 3.0);
    close(Measure::MaxBoxAccV2Iou30, 1.0);
    close(Measure::MaxBoxAccV2Iou50, 2.0 / 3.0);
    close(Measure::MaxBoxAccV2Iou70, 2.0 / 3.0);
    close(Measure::MaxBoxAccV2, 7.0 / 9.0);
    let chosen = |measure| {
        let number = report
            .find(Method::Model, "stretch", None, measure)
            .unwrap();
        number.chosen_threshold
    };
    assert_eq!(chosen(Measure::MaxBoxAccV2Iou30), Some(0.0));
    assert_eq!(chosen(Measure::MaxBoxAccV2Iou70), Some(200.0 / 255.0));
    assert_eq!(chosen(Measure::MaxBoxAccV2), None);
}

#[test]
fn a_difference_is_taken_picture_by_picture() {
    let set = set(&[0, 1, 2]);
    let first = report(&set, three(), 1);
    let mut scores = three();
    scores[1].found = vec![true, false];
    let second = report(&set, scores, 1);
    let bootstrap = Bootstrap::new(3, 100, 0);
    let difference = first.difference(&second, &bootstrap).unwrap();
    let errors = &difference[0];
    assert_eq!(errors.measure, Measure::LocalizationError);
    assert_eq!(errors.values, [0.0, -1.0, 0.0]);
    // Another model can only be as good or better on these: the interval has no other side.
    assert!(errors.estimate.low >= -1.0 && errors.estimate.high <= 0.0);
    // Spreads are no means over pictures.
    assert!(
        difference
            .iter()
            .all(|number| number.measure != Measure::StdGlobal)
    );
    let fewer = report(&set, three()[..2].to_vec(), 1);
    assert_eq!(first.difference(&fewer, &bootstrap), None);
}

/// By hand: of the first and third picture none is missed by the first rule, and one class is right.
#[test]
fn a_part_has_the_numbers_of_its_pictures() {
    let report = report(&set(&[0, 1, 0]), three(), 1);
    let bootstrap = Bootstrap::new(3, 100, 0);
    let part = report.part("class 0", &bootstrap, |place| place != 1);
    assert_eq!((part.name.as_str(), part.pictures), ("class 0", 2));
    assert_eq!(part.numbers[&Measure::LocalizationError].value, 0.0);
    assert_eq!(part.numbers[&Measure::Top1].value, 0.5);
    let nothing = report.part("none", &bootstrap, |_| false);
    assert_eq!(nothing.pictures, 0);
    assert!(nothing.numbers[&Measure::F1].value.is_nan());
}

#[test]
fn activation_maps_have_a_sweep_and_its_best() {
    let set = set(&[0, 1, 2]);
    let mut report = report(&set, three(), 1);
    let options = Options {
        rules: vec![Rule::Threshold(0.25), Rule::Threshold(0.5)],
        ..options()
    };
    let scores = Scores {
        pictures: vec![0, 1, 2],
        by_resize: vec![three()],
        problems: Vec::new(),
        square: true,
    };
    let before = report.numbers.len();
    report.add_activation_maps(&scores, &options, 1, &Bootstrap::new(3, 100, 0));
    let errors: Vec<(Option<&str>, Option<f64>, f64)> = report.numbers[before..]
        .iter()
        .filter(|number| number.measure == Measure::LocalizationError)
        .map(|number| {
            let rounded = (number.estimate.value * 3.0).round();
            (number.rule.as_deref(), number.chosen_threshold, rounded)
        })
        .collect();
    assert_eq!(
        errors,
        [
            (Some("value>0.25"), None, 1.0),
            (Some("value>0.5"), None, 2.0),
            (None, Some(0.25), 1.0)
        ]
    );
    let of_maps = &report.numbers[before..];
    assert!(
        of_maps
            .iter()
            .all(|number| number.method == Method::ClassActivationMap)
    );
}

#[test]
fn numbers_are_flat_in_json() {
    let report = report(&set(&[0, 1, 2]), three(), 1);
    let json = serde_json::to_value(&report.numbers[0]).unwrap();
    for (field, expected) in [
        ("method", "model"),
        ("resize", "stretch"),
        ("rule", "quantile"),
        ("measure", "localization_error"),
    ] {
        assert_eq!(json[field], expected);
    }
    assert!(json["low"].as_f64() <= json["value"].as_f64());
    assert!(json["value"].as_f64() <= json["high"].as_f64());
}

//! Evaluation against the authors' functions: localization scores, mask statistics, classification.
//! Origin of all numbers: `data/golden/README.md`.

use casm::geometry::Resize;
use casm::mask::{Binarization, BoundingBox};
use casm_tests::golden::{self, InclusiveBox, rule};
use casm_training::evaluation::score::box_scores;
use casm_training::evaluation::{
    Annotation, Average, ClassificationScore, LocalizationScore, MaskStatistics, RunningStatistics,
    Statistics,
};
use serde::Deserialize;

const INPUT_SIZE: u32 = 224;

fn annotation([xmin, ymin, xmax, ymax]: [i32; 4]) -> Annotation {
    Annotation {
        xmin,
        ymin,
        xmax,
        ymax,
    }
}

#[track_caller]
fn assert_close(what: &str, ours: f64, theirs: f64, relative: f64) {
    assert!(
        (ours - theirs).abs() <= relative * theirs.abs(),
        "{what}: {ours}, not {theirs}"
    );
}

/// 300 boxes, by both ways of resizing, exact.
#[test]
fn annotations_reach_the_input_as_the_authors_carry_them() {
    #[derive(Deserialize)]
    struct Case {
        raw: [i32; 4],
        width: u32,
        height: u32,
        crop: [i32; 4],
        break_ratio: [i32; 4],
    }
    let cases: Vec<Case> = golden::json("resize_pos.json");
    assert_eq!(cases.len(), 300);
    for case in cases {
        let resized =
            |resize| annotation(case.raw).to_input(resize, case.width, case.height, INPUT_SIZE);
        assert_eq!(
            resized(Resize::Crop),
            annotation(case.crop),
            "{:?}",
            case.raw
        );
        assert_eq!(
            resized(Resize::Stretch),
            annotation(case.break_ratio),
            "{:?}",
            case.raw
        );
    }
}

/// 201 masks with four annotations each. Boxes and hits exact, F1 and IoU to 1e-5 (the authors sum in
/// f32).
#[test]
fn localization_scores_equal_those_of_the_authors() {
    #[derive(Deserialize)]
    struct Image {
        name: String,
        scores: Vec<Score>,
        #[serde(rename = "F1")]
        f1: f64,
        #[serde(rename = "F1a")]
        f1_average: f64,
        #[serde(rename = "LE")]
        localization_error: f64,
        #[serde(rename = "box")]
        bounding_box: Option<InclusiveBox>,
    }
    #[derive(Deserialize)]
    struct Score {
        raw: [i32; 4],
        width: u32,
        height: u32,
        break_ratio: bool,
        resized: [i32; 4],
        gt_size: i64,
        f1: f64,
        iou: f64,
        hit: u8,
    }
    let images: Vec<Image> = golden::json("masks.json");
    let mut scored = 0;
    for (image, mask) in images.iter().zip(golden::masks()) {
        let name = &image.name;
        let resized = |expected: &Score| {
            let raw = annotation(expected.raw);
            let resize = if expected.break_ratio {
                Resize::Stretch
            } else {
                Resize::Crop
            };
            raw.to_input(resize, expected.width, expected.height, INPUT_SIZE)
        };
        let annotations: Vec<Annotation> = image.scores.iter().map(resized).collect();
        // Their box where the exact mean gives another one (the mask `steps`, see golden_mask.rs).
        let predicted = image.bounding_box.map(BoundingBox::from);
        if name != "steps" {
            let component = mask.binarize(&Binarization::default()).largest_component();
            assert_eq!(
                component.map(|component| component.bounding_box),
                predicted,
                "{name}"
            );
        }

        let scores = box_scores(&mask, predicted.as_ref(), &annotations);
        for ((ours, annotation), expected) in scores.iter().zip(&annotations).zip(&image.scores) {
            assert_eq!(*annotation, self::annotation(expected.resized), "{name}");
            assert_eq!(annotation.area(), expected.gt_size, "{name}");
            assert_eq!(ours.hit, expected.hit == 1, "{name}");
            assert_close(name, ours.iou, expected.iou, 1e-5);
            assert_close(name, ours.f1, expected.f1, 1e-5);
        }
        scored += scores.len();

        let ours = LocalizationScore::new(&scores, true);
        assert_close(name, ours.f1, image.f1, 1e-5);
        assert_close(name, ours.f1_average, image.f1_average, 1e-5);
        assert_eq!(ours.localization_error, image.localization_error, "{name}");
        // With a right class the official metric is the localization error.
        assert_eq!(ours.official_metric, image.localization_error, "{name}");
    }
    assert_eq!(scored, 804);
}

/// To 1e-6, since the authors add up in f32; the spread to 1e-3, since they take it from means that are
/// off by up to 2.9e-4. From their means, which `masks.json` has, ours is the same to 1e-6.
#[test]
fn mask_statistics_equal_those_of_the_authors() {
    #[derive(Deserialize)]
    struct Expected {
        batches: Vec<Batch>,
        extra_global_std_unbiased_all_masks: f64,
    }
    #[derive(Deserialize)]
    struct Batch {
        start: usize,
        count: usize,
        avg: f64,
        std: f64,
        entropy: f64,
        tv: f64,
        running_avg: f64,
        running_std: f64,
        running_entropy: f64,
        running_tv: f64,
        extra_tv_sum_sq_per_image_mean: f64,
    }
    #[derive(Deserialize)]
    struct Image {
        avg_f32: f64,
    }
    let expected: Expected = golden::json("stats.json");
    let masks: Vec<MaskStatistics> = golden::masks().iter().map(MaskStatistics::new).collect();
    let images: Vec<Image> = golden::json("masks.json");
    let with_their_mean = masks
        .iter()
        .zip(&images)
        .map(|(&mask, image)| MaskStatistics {
            mean: image.avg_f32,
            ..mask
        });
    let with_their_mean: Vec<MaskStatistics> = with_their_mean.collect();

    let mut running = RunningStatistics::default();
    let mut running_with_their_mean = RunningStatistics::default();
    for batch in &expected.batches {
        let range = batch.start..batch.start + batch.count;
        running.add(&masks[range.clone()]);
        running_with_their_mean.add(&with_their_mean[range.clone()]);
        let alone = statistics(&masks[range.clone()]);
        let so_far = running.statistics();
        let with_their_mean = statistics(&with_their_mean[range]).std_batch;
        assert_close("average", alone.average, batch.avg, 1e-6);
        assert_close("entropy", alone.entropy, batch.entropy, 1e-6);
        assert_close("tv", alone.tv_mean, batch.tv, 1e-6);
        assert_close(
            "tv_sum",
            alone.tv_sum,
            batch.extra_tv_sum_sq_per_image_mean,
            1e-6,
        );
        assert_close("std", alone.std_batch, batch.std, 1e-3);
        assert_close("std of their means", with_their_mean, batch.std, 1e-6);
        let with_their_mean = running_with_their_mean.statistics().std_batch;
        assert_close("running average", so_far.average, batch.running_avg, 1e-6);
        assert_close(
            "running entropy",
            so_far.entropy,
            batch.running_entropy,
            1e-6,
        );
        assert_close("running tv", so_far.tv_mean, batch.running_tv, 1e-6);
        assert_close("running std", so_far.std_batch, batch.running_std, 1e-3);
        assert_close(
            "running std of their means",
            with_their_mean,
            batch.running_std,
            1e-6,
        );
    }
    let theirs = expected.extra_global_std_unbiased_all_masks;
    assert_close("std over all", statistics(&masks).std_global, theirs, 1e-9);
}

/// Of one batch.
fn statistics(masks: &[MaskStatistics]) -> Statistics {
    let mut running = RunningStatistics::default();
    running.add(masks);
    running.statistics()
}

/// 40 rows of 50 logits made by rule, all at once and in two batches; the authors add up in f32.
#[test]
fn classification_scores_equal_those_of_the_authors() {
    const CLASSES: usize = 50;
    #[derive(Deserialize)]
    struct Expected {
        target: Vec<usize>,
        all: Scores,
        batch_25_then_15: [Scores; 2],
    }
    /// Shares in percent.
    #[derive(Deserialize)]
    struct Scores {
        l: f64,
        t1: f64,
        t5: f64,
        e: f64,
    }
    let expected: Expected = golden::json("eval_scores.json");
    let score = |row: usize| {
        let logit =
            |class| (6.0 * rule::sym("golden.eval.logits", (row * CLASSES + class) as u64)) as f32;
        let mut logits: Vec<f32> = (0..CLASSES).map(logit).collect();
        let target = (rule::bits("golden.eval.target", row as u64) % CLASSES as u64) as usize;
        assert_eq!(target, expected.target[row]);
        if row.is_multiple_of(2) {
            logits[target] += 5.0;
        }
        ClassificationScore::new(&logits, target)
    };
    let scores: Vec<ClassificationScore> = (0..40).map(score).collect();
    let [first, second] = &expected.batch_25_then_15;
    for (rows, expected) in [(0..40, &expected.all), (0..25, first), (25..40, second)] {
        let average = |value: fn(&ClassificationScore) -> f64| {
            let mut average = Average::default();
            scores[rows.clone()]
                .iter()
                .for_each(|score| average.add(value(score), 1.0));
            average.value()
        };
        let share = |value| 100.0 * average(value);
        assert_close("loss", average(|score| score.loss), expected.l, 1e-6);
        assert_close("entropy", average(|score| score.entropy), expected.e, 1e-6);
        assert_close(
            "top-1",
            share(|score| f64::from(score.top1)),
            expected.t1,
            1e-6,
        );
        assert_close(
            "top-5",
            share(|score| f64::from(score.top5)),
            expected.t5,
            1e-6,
        );
    }
}

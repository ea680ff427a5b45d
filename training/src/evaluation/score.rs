//! Scores of one picture: localization (the paper's LE, OM and F1) and classification.

use casm::mask::{BoundingBox, Mask};

use super::Annotation;

/// A box finds an object if their intersection over union is above this.
pub const IOU_THRESHOLD: f64 = 0.5;

/// Keeps F1's quotients finite where nothing is marked or met; the released code's value.
const EPSILON: f64 = 1e-6;

/// How well a mask and its box fit one annotation.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct BoxScore {
    /// Intersection over union of the predicted box and the annotation, in [0, 1].
    pub iou: f64,
    /// True if `iou` is above [`IOU_THRESHOLD`].
    pub hit: bool,
    /// Harmonic mean of the soft mask's precision and recall (Eq. 10), in [0, 1].
    pub f1: f64,
}

/// Intersection over union, in [0, 1], of a predicted box and an annotation in an input of `width` x
/// `height` pixels.
///
/// An annotation counts with its whole area, but can only be met inside the input. Without a predicted
/// box, or for an annotation with no visible part, the intersection is empty.
pub fn iou(
    predicted: Option<&BoundingBox>,
    annotation: &Annotation,
    width: usize,
    height: usize,
) -> f64 {
    let both = predicted.zip(annotation.visible(width, height));
    let Some((predicted, visible)) = both else {
        return 0.0;
    };
    let shared = predicted
        .intersection(&visible)
        .map_or(0, |shared| shared.area()) as f64;
    // A visible part means that the whole has positive sides.
    shared / (predicted.area() as f64 + annotation.area() as f64 - shared)
}

/// Scores against each annotation. Mask, predicted box and annotations are all in pixels of the
/// network's input; the mask has its size. [`iou`] says how annotations beyond the input count.
pub fn box_scores(
    mask: &Mask,
    predicted: Option<&BoundingBox>,
    annotations: &[Annotation],
) -> Vec<BoxScore> {
    let mask_sum = mask.mean() * mask.values.len() as f64;
    let score = |annotation: &Annotation| {
        let iou = iou(predicted, annotation, mask.width, mask.height);
        let visible = annotation.visible(mask.width, mask.height);
        let f1 = visible.map_or(0.0, |visible| {
            let inside = sum_inside(mask, &visible);
            let area = annotation.area() as f64;
            let (precision, recall) = (inside / (mask_sum + EPSILON), inside / area);
            2.0 * precision * recall / (precision + recall + EPSILON)
        });
        BoxScore {
            iou,
            hit: iou > IOU_THRESHOLD,
            f1,
        }
    };
    annotations.iter().map(score).collect()
}

/// Sum of the mask over a box that lies within it.
fn sum_inside(mask: &Mask, bounding_box: &BoundingBox) -> f64 {
    let columns = bounding_box.x as usize..bounding_box.right() as usize;
    (bounding_box.y as usize..bounding_box.bottom() as usize)
        .flat_map(|row| &mask.values[row * mask.width..][columns.clone()])
        .map(|&value| f64::from(value))
        .sum()
}

/// Localization scores of one picture. The paper's are averages over pictures.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct LocalizationScore {
    /// F1: of the annotation that the mask fits best.
    pub f1: f64,
    /// F1a: mean over the annotations.
    pub f1_average: f64,
    /// LE, localization error: 0 if the box finds any annotated object, else 1.
    pub localization_error: f64,
    /// OM, official metric: 0 if it does and the classifier is right too, else 1.
    pub official_metric: f64,
}

impl LocalizationScore {
    /// From the scores against all annotations of the picture; `class_correct`: the classifier's first
    /// guess on the same input is right. Without annotations nothing is found: such pictures are not
    /// to be scored.
    pub fn new(box_scores: &[BoxScore], class_correct: bool) -> LocalizationScore {
        let found = box_scores.iter().any(|score| score.hit);
        let f1_sum: f64 = box_scores.iter().map(|score| score.f1).sum();
        LocalizationScore {
            f1: box_scores.iter().map(|score| score.f1).fold(0.0, f64::max),
            f1_average: f1_sum / box_scores.len().max(1) as f64,
            localization_error: if found { 0.0 } else { 1.0 },
            official_metric: if found && class_correct { 0.0 } else { 1.0 },
        }
    }
}

/// Classification of one picture, clean or masked (Figure 3).
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ClassificationScore {
    /// Cross-entropy with the true class, in nats.
    pub loss: f64,
    /// Number of classes with a larger logit than the true one: 0 if the first guess is right.
    pub rank: usize,
    /// True if there is none.
    pub top1: bool,
    /// True if there are fewer than five.
    pub top5: bool,
    /// Entropy of the softmax, in nats: 0 is certain, ln(classes) knows nothing.
    pub entropy: f64,
}

impl ClassificationScore {
    /// From one picture's `logits`, `[classes]`, and its true class.
    ///
    /// # Panics
    /// If there is no logit for `target`.
    pub fn new(logits: &[f32], target: usize) -> ClassificationScore {
        let of_target = f64::from(logits[target]);
        let logits = || logits.iter().map(|&logit| f64::from(logit));
        // Largest first taken off, so that no exponential overflows.
        let largest = logits().fold(f64::NEG_INFINITY, f64::max);
        let log_sum = largest
            + logits()
                .map(|logit| (logit - largest).exp())
                .sum::<f64>()
                .ln();
        let entropy = logits()
            .map(|logit| ((logit - log_sum).exp(), log_sum - logit))
            // An impossible class adds nothing, but 0 times infinity would.
            .filter(|&(probability, _)| probability != 0.0)
            .map(|(probability, surprise)| probability * surprise)
            .sum();
        // Counted by what is not ahead: next to a NaN no guess is right.
        let ahead = logits().len() - logits().filter(|&logit| logit <= of_target).count();
        ClassificationScore {
            loss: log_sum - of_target,
            rank: ahead,
            top1: ahead < 1,
            top5: ahead < 5,
            entropy,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn annotation([xmin, ymin, xmax, ymax]: [i32; 4]) -> Annotation {
        Annotation {
            xmin,
            ymin,
            xmax,
            ymax,
        }
    }

    /// By hand: half of the marked pixels inside, all of the box marked: P = ½, R = 1, F1 = ⅔.
    #[test]
    fn f1_is_the_harmonic_mean_of_precision_and_recall() {
        let mask = Mask {
            width: 4,
            height: 1,
            values: vec![1.0, 1.0, 0.0, 0.0],
        };
        let predicted = BoundingBox {
            x: 0,
            y: 0,
            width: 2,
            height: 1,
        };
        let score = box_scores(&mask, Some(&predicted), &[annotation([0, 0, 1, 1])])[0];
        assert!((score.f1 - 2.0 / 3.0).abs() < 2e-6, "{}", score.f1);
        // Half is not more than half.
        assert_eq!((score.iou, score.hit), (0.5, false));
    }

    #[test]
    fn what_lies_beyond_the_input_counts_against_the_box() {
        let mask = Mask {
            width: 2,
            height: 1,
            values: vec![1.0, 1.0],
        };
        let everything = BoundingBox {
            x: 0,
            y: 0,
            width: 2,
            height: 1,
        };
        let score = box_scores(&mask, Some(&everything), &[annotation([-6, 0, 2, 1])])[0];
        assert_eq!(score.iou, 0.25);
        assert!(
            (score.f1 - 0.4).abs() < 2e-6,
            "P = 1, R = ¼, F1 = {}",
            score.f1
        );
    }

    #[test]
    fn no_box_or_no_visible_object_scores_nothing() {
        let mask = Mask {
            width: 2,
            height: 1,
            values: vec![0.0, 0.0],
        };
        let nothing = BoxScore {
            iou: 0.0,
            hit: false,
            f1: 0.0,
        };
        let annotations = [annotation([0, 0, 2, 1]), annotation([5, 0, 9, 1])];
        assert_eq!(box_scores(&mask, None, &annotations), [nothing; 2]);
        let score = LocalizationScore::new(&[nothing; 2], true);
        assert_eq!(
            (score.localization_error, score.official_metric),
            (1.0, 1.0)
        );
        assert_eq!(LocalizationScore::new(&[], true).localization_error, 1.0);
    }

    #[test]
    fn one_object_found_is_enough_but_the_official_metric_wants_the_class_too() {
        let found = BoxScore {
            iou: 0.75,
            hit: true,
            f1: 0.5,
        };
        let missed = BoxScore {
            iou: 0.0,
            hit: false,
            f1: 0.0,
        };
        let score = LocalizationScore::new(&[missed, found], true);
        assert_eq!((score.f1, score.f1_average), (0.5, 0.25));
        assert_eq!(
            (score.localization_error, score.official_metric),
            (0.0, 0.0)
        );
        let wrong_class = LocalizationScore::new(&[missed, found], false);
        assert_eq!(
            (wrong_class.localization_error, wrong_class.official_metric),
            (0.0, 1.0)
        );
    }

    #[test]
    fn equal_logits_know_nothing() {
        let score = ClassificationScore::new(&[7.0; 8], 3);
        assert!((score.loss - 8.0_f64.ln()).abs() < 1e-12);
        assert!((score.entropy - 8.0_f64.ln()).abs() < 1e-12);
    }

    #[test]
    fn the_rank_of_the_true_class_decides_top_1_and_top_5() {
        let logits = [6.0, 5.0, 4.0, 3.0, 2.0, 1.0];
        let ranks = |target| {
            let score = ClassificationScore::new(&logits, target);
            (score.top1, score.top5)
        };
        assert_eq!(
            (ranks(0), ranks(1), ranks(4), ranks(5)),
            ((true, true), (false, true), (false, true), (false, false))
        );
    }

    #[test]
    fn extreme_and_broken_logits_are_no_success() {
        let certain = ClassificationScore::new(&[1e30, f32::NEG_INFINITY], 0);
        assert_eq!(
            (certain.loss, certain.entropy, certain.top1),
            (0.0, 0.0, true)
        );
        let broken = ClassificationScore::new(&[f32::NAN; 6], 0);
        assert_eq!((broken.top1, broken.top5), (false, false));
        assert!(broken.loss.is_nan());
    }
}

//! Scores of all pictures, and their means.

use serde::Serialize;

use super::{Average, ClassificationScore, PictureScore};

/// Scores of all pictures that could be used.
#[derive(Debug, Clone, PartialEq)]
pub struct Scores {
    /// Their indices in the set.
    pub pictures: Vec<usize>,
    /// For each of [`Options::resizes`](super::Options::resizes) a score a picture.
    pub by_resize: Vec<Vec<PictureScore>>,
    /// Pictures that could not be read, and why.
    pub problems: Vec<String>,
    /// Whether all pictures are stored as squares, so that cropping and stretching are the same.
    pub square: bool,
}

/// What a trainer watches; shares are in [0, 1].
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Summary {
    /// LE by the first rule.
    pub localization_error: f64,
    /// OM by the first rule; absent without classes, as the two below.
    pub official_metric: Option<f64>,
    /// Share of right first guesses.
    pub top1: Option<f64>,
    /// Share of pictures whose class is among the first five.
    pub top5: Option<f64>,
    /// F1 of the soft masks.
    pub f1: f64,
    /// Mean of the masks.
    pub mask_mean: f64,
}

impl Scores {
    /// The means over the pictures in the first way of resizing.
    pub fn summary(&self) -> Summary {
        let found = |score: &PictureScore| score.found.first().is_some_and(|&found| found);
        let of_class = |right: &dyn Fn(&PictureScore, &ClassificationScore) -> bool| {
            self.mean(|score| Some(share(right(score, score.class.as_ref()?))))
        };
        let mean = |number: fn(&PictureScore) -> f64| {
            self.mean(|score| Some(number(score))).unwrap_or(f64::NAN)
        };
        Summary {
            localization_error: 1.0 - self.mean(|score| Some(share(found(score)))).unwrap_or(0.0),
            official_metric: of_class(&|score, class| found(score) && class.top1)
                .map(|right| 1.0 - right),
            top1: of_class(&|_, class| class.top1),
            top5: of_class(&|_, class| class.top5),
            f1: mean(|score| score.f1),
            mask_mean: mean(|score| score.mask.mean),
        }
    }

    /// The mean of a number that all pictures have.
    fn mean(&self, number: impl Fn(&PictureScore) -> Option<f64>) -> Option<f64> {
        let mut average = Average::default();
        for score in self.by_resize.first()? {
            average.add(number(score)?, 1.0);
        }
        Some(average.value())
    }
}

fn share(right: bool) -> f64 {
    f64::from(u8::from(right))
}

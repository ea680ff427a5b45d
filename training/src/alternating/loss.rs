//! Eq. 3, 7 and 8 of the paper as the released code computes them, and the terms of Phang et al.
//!
//! Everything is a mean over the N pictures of the batch, in nats, in the number format of the logits
//! but at least f32.

use tch::{Kind, Reduction, TchError, Tensor};

use super::options::{RegulariseOn, Score, ScoreOn, StepOptions};

type Result<T> = std::result::Result<T, TchError>;

/// What a classifier says of a batch.
#[derive(Debug)]
pub struct Judgement {
    /// Log of the softmax, `[N, classes]`.
    pub log_probabilities: Tensor,
    /// The most probable class, `[N]`, i64.
    pub predicted: Tensor,
    /// Cross-entropy with the true class, `[]` (Eq. 3).
    pub cross_entropy: Tensor,
}

impl Judgement {
    /// From logits `[N, classes]` and the true classes `[N]`, i64.
    ///
    /// # Errors
    /// A class that has no logit.
    pub fn new(logits: &Tensor, classes: &Tensor) -> Result<Judgement> {
        let kind = match logits.f_kind()? {
            Kind::Double => Kind::Double,
            _ => Kind::Float,
        };
        let log_probabilities = logits.f_log_softmax(-1, kind)?;
        let cross_entropy =
            log_probabilities.f_nll_loss(classes, None::<Tensor>, Reduction::Mean, -100)?;
        let predicted = log_probabilities.f_argmax(-1, false)?;
        Ok(Judgement {
            log_probabilities,
            predicted,
            cross_entropy,
        })
    }

    /// Entropy of the softmax, `[N]`.
    ///
    /// # Errors
    /// libtorch's.
    pub fn entropy(&self) -> Result<Tensor> {
        let probabilities = self.log_probabilities.f_exp()?;
        let kind = self.log_probabilities.f_kind()?;
        probabilities
            .f_mul(&self.log_probabilities)?
            .f_sum_dim_intlist(&[-1i64][..], false, kind)?
            .f_neg()
    }

    /// 1 where the prediction is `classes`, else 0, `[N]`.
    ///
    /// # Errors
    /// libtorch's.
    pub fn correct(&self, classes: &Tensor) -> Result<Tensor> {
        let kind = self.log_probabilities.f_kind()?;
        self.predicted.f_eq_tensor(classes)?.f_to_kind(kind)
    }
}

/// The mapping's loss on masked-out pictures; Eq. 7 with the sign changed, so that it is minimised.
#[derive(Debug)]
pub struct MappingLoss {
    /// `regulariser + main`, and the terms of Phang et al. where they are on; `[]`.
    pub total: Tensor,
    /// `-λ/N Σ relu(q - mean m)`, q being 1 on the pictures that are regularised; `[]`.
    pub regulariser: Tensor,
    /// `-1/N Σ c H` (entropy) or `-1/N Σ l` (classification); `[]`.
    pub main: Tensor,
    /// q, `[N]`.
    pub regularised: Tensor,
    /// Right when clean and wrong when masked out, `[N]`.
    pub confused: Tensor,
    /// Entropy of the judge's softmax, `[N]`.
    pub entropy: Tensor,
}

/// Eq. 7 for `mean`, the masks' means `[N]`, and the judge's word on the masked-out pictures.
///
/// # Errors
/// libtorch's.
pub fn mapping_loss(
    options: &StepOptions,
    lambda: f64,
    mean: &Tensor,
    clean: &Judgement,
    masked: &Judgement,
    classes: &Tensor,
) -> Result<MappingLoss> {
    let kind = masked.log_probabilities.f_kind()?;
    let correct = clean.correct(classes)?;
    let mistaken = masked.predicted.f_ne_tensor(classes)?.f_to_kind(kind)?;
    let confused = correct.f_mul(&mistaken)?;
    let regularised = match options.regularise_on {
        RegulariseOn::Confused => confused.shallow_clone(),
        RegulariseOn::Disagreement => {
            let differ = masked.predicted.f_ne_tensor(&clean.predicted)?;
            differ.f_to_kind(kind)?
        }
        RegulariseOn::All => correct.f_ones_like()?,
    };
    let regulariser = reward_of_smallness(&regularised, mean, lambda)?;
    let entropy = masked.entropy()?;
    let main = match (options.score, options.score_on) {
        (Score::Entropy, ScoreOn::Correct) => entropy.f_mul(&correct)?.f_mean(kind)?,
        (Score::Entropy, ScoreOn::All) => entropy.f_mean(kind)?,
        (Score::Classification, ScoreOn::All) => masked.cross_entropy.shallow_clone(),
        (Score::Classification, ScoreOn::Correct) => {
            let of_class = masked
                .log_probabilities
                .f_gather(1, &classes.f_unsqueeze(1)?, false)?
                .f_squeeze_dim(1)?;
            of_class.f_mul(&correct)?.f_mean(kind)?.f_neg()?
        }
    };
    let main = main.f_neg()?;
    Ok(MappingLoss {
        total: regulariser.f_add(&main)?,
        regulariser,
        main,
        regularised,
        confused,
        entropy: entropy.f_detach()?,
    })
}

/// Phang et al.: masked-in pictures should be recognised, `weight · (l + regulariser)`, the regulariser
/// being that of Eq. 7 on the pictures that are right when masked in.
///
/// # Errors
/// libtorch's.
pub fn masked_in_loss(
    options: &StepOptions,
    mean: &Tensor,
    masked_in: &Judgement,
    classes: &Tensor,
) -> Result<Tensor> {
    let correct = masked_in.correct(classes)?;
    let regulariser = reward_of_smallness(&correct, mean, options.masked_in_lambda)?;
    masked_in
        .cross_entropy
        .f_add(&regulariser)?
        .f_mul_scalar(options.masked_in)
}

/// Phang et al.: `(Σ dx² + Σ dy² + 0.3 Σ border²) / 2N` of masks `[N, 1, S, S]`; `[]`.
///
/// # Errors
/// libtorch's.
pub fn total_variation(mask: &Tensor) -> Result<Tensor> {
    let (pictures, _, height, width) = mask.size4()?;
    let kind = mask.f_kind()?;
    let differences = |dimension: i64, length: i64| -> Result<Tensor> {
        let ahead = mask.f_narrow(dimension, 1, length - 1)?;
        let behind = mask.f_narrow(dimension, 0, length - 1)?;
        ahead.f_sub(&behind)?.f_square()?.f_sum(kind)
    };
    let border = |dimension: i64, at: i64| -> Result<Tensor> {
        mask.f_select(dimension, at)?.f_square()?.f_sum(kind)
    };
    let inner = differences(2, height)?.f_add(&differences(3, width)?)?;
    let outer = border(2, 0)?
        .f_add(&border(2, height - 1)?)?
        .f_add(&border(3, 0)?)?
        .f_add(&border(3, width - 1)?)?;
    inner
        .f_add(&outer.f_mul_scalar(0.3)?)?
        .f_div_scalar(2.0 * pictures as f64)
}

/// `-λ/N Σ relu(q - mean m)`: zero where q is 0, and else the smaller the mask the lower.
fn reward_of_smallness(flags: &Tensor, mean: &Tensor, lambda: f64) -> Result<Tensor> {
    let kind = flags.f_kind()?;
    flags
        .f_sub(mean)?
        .f_relu()?
        .f_mean(kind)?
        .f_mul_scalar(-lambda)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn logits(rows: &[[f64; 2]]) -> Tensor {
        Tensor::from_slice2(rows)
    }

    /// Three pictures by hand: confused, wrong from the start, right throughout.
    #[test]
    fn only_confused_pictures_are_regularised() {
        let classes = Tensor::from_slice(&[0i64, 0, 1]);
        let clean = logits(&[[1.0, 0.0], [0.0, 1.0], [0.0, 1.0]]);
        let clean = Judgement::new(&clean, &classes).unwrap();
        let masked = logits(&[[0.0, 1.0], [0.0, 1.0], [0.0, 0.0001]]);
        let masked = Judgement::new(&masked, &classes).unwrap();
        let mean = Tensor::from_slice(&[0.25f64, 0.5, 0.75]);
        let mut options = StepOptions::new(Score::Entropy);
        let loss = mapping_loss(&options, 10.0, &mean, &clean, &masked, &classes).unwrap();
        assert_eq!(
            Vec::<f64>::try_from(&loss.confused).unwrap(),
            [1.0, 0.0, 0.0]
        );
        // -10/3 · (1 - 0.25).
        assert!((loss.regulariser.double_value(&[]) + 2.5).abs() < 1e-12);
        // H(softmax(0, 1)) = 0.582203 nats, and ln 2 for the third; the second was not right.
        let expected = -(0.582_203_1 + 2.0f64.ln()) / 3.0;
        assert!((loss.main.double_value(&[]) - expected).abs() < 1e-6);

        options.regularise_on = RegulariseOn::Disagreement;
        let loss = mapping_loss(&options, 10.0, &mean, &clean, &masked, &classes).unwrap();
        assert_eq!(
            Vec::<f64>::try_from(&loss.regularised).unwrap(),
            [1.0, 0.0, 0.0]
        );
        options.regularise_on = RegulariseOn::All;
        let loss = mapping_loss(&options, 12.0, &mean, &clean, &masked, &classes).unwrap();
        // -12/3 · (0.75 + 0.5 + 0.25).
        assert!((loss.regulariser.double_value(&[]) + 6.0).abs() < 1e-12);
    }

    #[test]
    fn the_classification_score_counts_all_pictures_unless_told_otherwise() {
        let classes = Tensor::from_slice(&[0i64, 0]);
        let clean = Judgement::new(&logits(&[[1.0, 0.0], [0.0, 1.0]]), &classes).unwrap();
        let masked = Judgement::new(&logits(&[[0.0, 0.0], [0.0, 1.0]]), &classes).unwrap();
        let mean = Tensor::from_slice(&[0.5f64, 0.5]);
        let mut options = StepOptions::new(Score::Classification);
        let main = |options: &StepOptions| {
            let loss = mapping_loss(options, 1.0, &mean, &clean, &masked, &classes).unwrap();
            loss.main.double_value(&[])
        };
        // Cross-entropies: ln 2 and ln(1 + e) = 1.313262.
        assert!((main(&options) + (2.0f64.ln() + 1.313_261_7) / 2.0).abs() < 1e-6);
        options.score_on = ScoreOn::Correct;
        assert!((main(&options) + 2.0f64.ln() / 2.0).abs() < 1e-6);
    }

    #[test]
    fn total_variation_by_hand() {
        // 0 1 / 0 1 twice: dx² = 2, dy² = 0, border² = 1 + 1 (rows) + 0 + 2 (columns).
        let mask = Tensor::from_slice(&[0.0f64, 1.0, 0.0, 1.0, 0.0, 1.0, 0.0, 1.0]);
        let value = total_variation(&mask.reshape([2, 1, 2, 2])).unwrap();
        assert!((value.double_value(&[]) - (2.0 + 0.3 * 4.0) / 2.0).abs() < 1e-12);
    }
}

//! The numbers of a step.

use casm::Result;
use casm::torch_error;
use tch::{Kind, TchError, Tensor};

use super::{Batch, Judgement, MappingLoss, Masks};
use crate::thinning::Judge;

/// What a step computed, for the log. Means over the pictures of the batch.
#[derive(Debug, Clone, PartialEq)]
pub struct StepReport {
    /// Number of pictures.
    pub pictures: usize,
    /// Cross-entropy on clean pictures, nats (Eq. 3).
    pub clean_loss: f64,
    /// Cross-entropy of the judge on masked-out pictures, nats.
    pub masked_loss: f64,
    /// Share of clean pictures that are recognised.
    pub clean_accuracy: f64,
    /// Share of masked-out pictures that the judge still recognises.
    pub masked_accuracy: f64,
    /// The mapping's loss.
    pub mapping_loss: f64,
    /// Its score part, with the sign changed.
    pub main: f64,
    /// Its area part as the released code prints it: `-λ/N Σ relu(q - mean m)`.
    pub regulariser: f64,
    /// Its area part as the paper writes it: `λ · mean m` over all pictures.
    pub regulariser_of_paper: f64,
    /// Masked-in term of Phang et al., if on.
    pub masked_in: Option<f64>,
    /// Total variation of Phang et al., if on.
    pub total_variation: Option<f64>,
    /// Mean of the masks, 0 to 1.
    pub mask_mean: f64,
    /// Share of pictures that are right when clean and wrong when masked out.
    pub confused: f64,
    /// L2 norm of the mapping's gradient before clipping.
    pub gradient_norm: f64,
    /// Who judged.
    pub judge: Judge,
    /// λ of this step.
    pub lambda: f64,
    /// Whether gradients of scaled losses overflowed (f16), so that an update was left out.
    pub overflowed: bool,
}

impl StepReport {
    /// True if all numbers are numbers.
    pub fn is_finite(&self) -> bool {
        [
            self.clean_loss,
            self.masked_loss,
            self.mapping_loss,
            self.mask_mean,
            self.gradient_norm,
        ]
        .iter()
        .all(|number| number.is_finite())
    }
}

/// Gathers numbers on the device, so that they cross to the CPU once a step.
#[derive(Debug, Default)]
pub(super) struct Tally {
    clean: Vec<Tensor>,
    masked: Vec<Tensor>,
    masked_in: Vec<Tensor>,
    total_variation: Vec<Tensor>,
}

impl Tally {
    pub(super) fn clean(&mut self, judgement: &Judgement, batch: &Batch, share: f64) -> Result<()> {
        let numbers = || {
            let accuracy = judgement.correct(&batch.classes)?.f_mean(Kind::Float)?;
            weighted(&[&judgement.cross_entropy, &accuracy], share)
        };
        self.clean.push(numbers().map_err(torch_error)?);
        Ok(())
    }

    pub(super) fn masked(
        &mut self,
        judgement: &Judgement,
        masks: &Masks,
        loss: &MappingLoss,
        batch: &Batch,
        share: f64,
    ) -> Result<()> {
        let numbers = || {
            let mean = |tensor: &Tensor| tensor.f_detach()?.f_mean(Kind::Float);
            weighted(
                &[
                    &judgement.cross_entropy,
                    &mean(&judgement.correct(&batch.classes)?)?,
                    &loss.total,
                    &loss.main,
                    &loss.regulariser,
                    &mean(&masks.mean)?,
                    &mean(&loss.confused)?,
                ],
                share,
            )
        };
        self.masked.push(numbers().map_err(torch_error)?);
        Ok(())
    }

    pub(super) fn masked_in(&mut self, term: &Tensor, share: f64) -> Result<()> {
        let number = weighted(&[term], share).map_err(torch_error)?;
        self.masked_in.push(number);
        Ok(())
    }

    pub(super) fn total_variation(&mut self, term: &Tensor, share: f64) -> Result<()> {
        let number = weighted(&[term], share).map_err(torch_error)?;
        self.total_variation.push(number);
        Ok(())
    }

    /// Sums over the batches, all copied at once.
    pub(super) fn report(
        self,
        pictures: usize,
        judge: Judge,
        lambda: f64,
        overflowed: bool,
        norm: &Tensor,
    ) -> Result<StepReport> {
        let sum = |parts: &[Tensor]| match parts {
            [] => Ok(None),
            _ => Tensor::f_stack(parts, 0)?
                .f_sum_dim_intlist(&[0i64][..], false, Kind::Double)
                .map(Some),
        };
        let copy = || {
            let optional = [sum(&self.masked_in)?, sum(&self.total_variation)?];
            let mut all: Vec<Tensor> = [sum(&self.clean)?, sum(&self.masked)?]
                .into_iter()
                .flatten()
                .collect();
            all.push(norm.f_to_kind(Kind::Double)?.f_reshape([1])?);
            let present = optional.each_ref().map(Option::is_some);
            all.extend(optional.into_iter().flatten());
            let numbers = Tensor::f_cat(&all, 0)?.f_to_device(tch::Device::Cpu)?;
            Ok((Vec::<f64>::try_from(&numbers)?, present))
        };
        let (numbers, present): (Vec<f64>, [bool; 2]) = copy().map_err(torch_error)?;
        let mut numbers = numbers.into_iter();
        let mut next = || numbers.next().unwrap_or(f64::NAN);
        let [clean_loss, clean_accuracy] = [next(), next()];
        let [masked_loss, masked_accuracy, mapping_loss, main] = [next(), next(), next(), next()];
        let [regulariser, mask_mean, confused, gradient_norm] = [next(), next(), next(), next()];
        Ok(StepReport {
            pictures,
            clean_loss,
            masked_loss,
            clean_accuracy,
            masked_accuracy,
            mapping_loss,
            main,
            regulariser,
            regulariser_of_paper: lambda * mask_mean,
            masked_in: present[0].then(&mut next),
            total_variation: present[1].then(&mut next),
            mask_mean,
            confused,
            gradient_norm,
            judge,
            lambda,
            overflowed,
        })
    }
}

/// `[numbers]` in f64, times the batch's share of all pictures.
fn weighted(numbers: &[&Tensor], share: f64) -> std::result::Result<Tensor, TchError> {
    let numbers = numbers
        .iter()
        .map(|number| number.f_detach()?.f_to_kind(Kind::Double))
        .collect::<std::result::Result<Vec<_>, _>>()?;
    Tensor::f_stack(&numbers, 0)?.f_mul_scalar(share)
}

//! Algorithm 1: the alternating step.
//!
//! One step of [`Alternation::iterate`] has two halves of the same build. Each looks at the pictures
//! with a classifier, has a loss, and takes its gradient:
//!
//! | half | looks at | with | loss | learns |
//! |---|---|---|---|---|
//! | classifier (Eq. 5, 8) | clean pictures | the classifier | cross-entropy | classifier, by SGD |
//! | mapping (Eq. 6, 7) | masked-out pictures | a judge drawn from F | −score + λ·area | mapping, by Adam |
//!
//! Between them the classifier may enter the thinning set F. When the judge is the classifier itself, it
//! learns from the masked-out pictures too.

mod area;
mod batch;
mod classifier;
mod loss;
mod mapping;
mod observer;
mod options;
mod report;
mod sum;

use casm::Result;
use casm::module::Mode;
use casm::torch_error;
use tch::Tensor;

pub use area::AreaController;
pub use batch::Batch;
pub use classifier::{Classifier, Look};
pub use loss::{Judgement, MappingLoss, mapping_loss, masked_in_loss, total_variation};
pub use mapping::{Mapping, Masks};
pub use observer::{Half, Observer};
pub use options::{
    ClassifierStep, Fill, MappingGradient, MaskedStep, RegulariseOn, Score, ScoreOn, StepOptions,
};
pub use report::StepReport;

use crate::optimizer;
use crate::run::LossScale;
use crate::thinning::{History, Judge, Place, ThinningPolicy};
use report::Tally;
pub(crate) use sum::Sum;

/// Classifier, mapping and thinning set, and how they are trained.
#[derive(Debug)]
pub struct Alternation {
    /// f.
    pub classifier: Classifier,
    /// m.
    pub mapping: Mapping,
    /// F.
    pub history: History,
    /// How F is filled and drawn from.
    pub policy: ThinningPolicy,
    /// The choices within a step.
    pub options: StepOptions,
    /// Colour of masked pixels, normalised.
    pub fill: [f32; 3],
    /// Of all draws.
    pub seed: u64,
    /// Factor of losses before their gradients are taken, and its inverse after: for f16, whose smallest
    /// numbers gradients fall below.
    pub loss_scale: LossScale,
}

/// What changes from step to step.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Rates {
    /// η_f, the classifier's learning rate.
    pub classifier: f64,
    /// η_m, the mapping's learning rate.
    pub mapping: f64,
    /// λ, the price of mask area.
    pub lambda: f64,
}

impl Alternation {
    /// One step of Algorithm 1 on `batches`, which together make the batch: each is held in memory
    /// alone, and gradients are summed over them (gradient accumulation).
    ///
    /// # Errors
    /// libtorch's: no memory, a class that the classifier does not have.
    pub fn iterate(
        &mut self,
        batches: &[Batch],
        place: Place,
        rates: Rates,
        observer: &mut dyn Observer,
    ) -> Result<StepReport> {
        let pictures: usize = batches.iter().map(Batch::len).sum();
        let share = |batch: &Batch| batch.len() as f64 / pictures as f64;
        let mut tally = Tally::default();

        // The classifier half: clean pictures.
        let mut clean_gradients = Sum::default();
        let mut clean = Vec::with_capacity(batches.len());
        for batch in batches {
            let look = self.classifier.look(&batch.pictures, batch)?;
            let loss = &look.judgement.cross_entropy;
            let gradients = self.classifier.gradients(&self.scaled(loss)?, false)?;
            clean_gradients.add(gradients, share(batch))?;
            tally.clean(&look.judgement, batch, share(batch))?;
            // Without the graph: the mapping's half sees what was computed, not how.
            clean.push(look.detached()?);
        }
        let mut overflowed = clean_gradients.unscale(self.loss_scale)?;
        if let Some(gradients) = &clean_gradients.total {
            let names = self.classifier.trained_names();
            observer.gradients(Half::Clean, &names, gradients);
            if self.options.classifier_step == ClassifierStep::Sequential {
                self.classifier.update(gradients, rates.classifier, false)?;
            }
        }

        // The thinning set, and the judge drawn from it.
        if let Some(slot) = self.policy.slot(self.seed, place, self.history.len()) {
            let parameters = &self.classifier.parameters;
            // The step has begun: its clean half is done.
            self.history.keep(slot, place.step + 1, parameters)?;
        }
        let judge = self.policy.judge(self.seed, place, self.history.len());

        // The mapping half: masked-out pictures.
        let mut masked_gradients = Sum::default();
        let mut mapping_gradients = Sum::default();
        for (batch, clean) in batches.iter().zip(&clean) {
            let masks = self.mapping.masks(&batch.pictures, &clean.taps)?;
            let masked_out = batch.masked_out(&masks.full, self.fill)?;
            let judged = self.judge(judge, &masked_out, batch)?;
            let mut loss = mapping_loss(
                &self.options,
                rates.lambda,
                &masks.mean,
                &clean.judgement,
                &judged.judgement,
                &batch.classes,
            )
            .map_err(torch_error)?;
            let masked_in =
                self.add_terms(&mut loss, judge, &masks, batch, share(batch), &mut tally)?;

            if let Some(loss) =
                self.classifier_loss(judge, &judged, masked_in, &masks, &masked_out, batch)?
            {
                let gradients = self.classifier.gradients(&self.scaled(&loss)?, true)?;
                masked_gradients.add(gradients, share(batch))?;
            }
            if self.options.mapping_gradient == MappingGradient::Legacy
                && let Some(gradients) = masked_gradients.total.take()
            {
                let names = self.classifier.trained_names();
                observer.gradients(Half::Masked, &names, &gradients);
                self.classifier.update(&gradients, rates.classifier, true)?;
            }
            let gradients = self.mapping.gradients(&self.scaled(&loss.total)?)?;
            mapping_gradients.add(Some(gradients), share(batch))?;
            tally.masked(&judged.judgement, &masks, &loss, batch, share(batch))?;
            observer.judged(&clean.judgement, &judged.judgement, &masks, &loss);
        }
        overflowed |= masked_gradients.unscale(self.loss_scale)?;
        overflowed |= mapping_gradients.unscale(self.loss_scale)?;
        if let Some(gradients) = &masked_gradients.total {
            let names = self.classifier.trained_names();
            observer.gradients(Half::Masked, &names, gradients);
        }
        self.update_classifier(
            clean_gradients,
            masked_gradients,
            rates.classifier,
            overflowed,
        )?;
        // Empty after an overflow.
        let mut gradients = mapping_gradients.total.unwrap_or_default();
        observer.gradients(Half::Mapping, &self.mapping.trained_names(), &gradients);
        let norm =
            optimizer::clip(&mut gradients, self.options.clip_gradient).map_err(torch_error)?;
        if !gradients.is_empty() {
            self.mapping.update(&gradients, rates.mapping)?;
        }
        tally.report(pictures, judge, rates.lambda, overflowed, &norm)
    }

    /// The judge's word on pictures of `batch`.
    fn judge(&self, judge: Judge, pictures: &Tensor, batch: &Batch) -> Result<Look> {
        match judge {
            Judge::Current => self.classifier.look(pictures, batch),
            // With its own running statistics.
            Judge::Kept(slot) => self.history.with(slot, |module| {
                Look::new(module, pictures, batch, Mode::Evaluate)
            }),
        }
    }

    /// Adds the terms of Phang et al. that are on; returns the masked-in cross-entropy.
    fn add_terms(
        &self,
        loss: &mut MappingLoss,
        judge: Judge,
        masks: &Masks,
        batch: &Batch,
        share: f64,
        tally: &mut Tally,
    ) -> Result<Option<Tensor>> {
        let options = &self.options;
        let mut masked_in_cross_entropy = None;
        let mut criteria = 1.0;
        if options.masked_in != 0.0 {
            let masked_in = batch.masked_in(&masks.full, self.fill)?;
            let judged = self.judge(judge, &masked_in, batch)?.judgement;
            let term = masked_in_loss(options, &masks.mean, &judged, &batch.classes)
                .map_err(torch_error)?;
            loss.total = loss.total.f_add(&term).map_err(torch_error)?;
            tally.masked_in(&term, share)?;
            masked_in_cross_entropy = Some(judged.cross_entropy);
            criteria += 1.0;
        }
        if options.total_variation != 0.0 {
            // Once for each criterion, as in their code.
            let term = total_variation(&masks.full)
                .and_then(|tv| tv.f_mul_scalar(criteria * options.total_variation))
                .map_err(torch_error)?;
            loss.total = loss.total.f_add(&term).map_err(torch_error)?;
            tally.total_variation(&term, share)?;
        }
        Ok(masked_in_cross_entropy)
    }

    /// What the classifier learns from masked pictures; nothing where a kept classifier judged them,
    /// unless asked for.
    fn classifier_loss(
        &self,
        judge: Judge,
        judged: &Look,
        masked_in: Option<Tensor>,
        masks: &Masks,
        masked_out: &Tensor,
        batch: &Batch,
    ) -> Result<Option<Tensor>> {
        let own_look = |pictures: &Tensor| {
            let pictures = pictures.f_detach().map_err(torch_error)?;
            let judgement = self.classifier.look(&pictures, batch)?.judgement;
            Ok::<_, casm::Error>(judgement.cross_entropy)
        };
        let masked_in = masked_in.filter(|_| self.options.train_on_masked_in);
        let (out, masked_in) = match (judge, self.options.masked_step) {
            _ if !self.classifier.is_trained() => return Ok(None),
            (Judge::Current, _) => {
                let out = judged.judgement.cross_entropy.shallow_clone();
                (out, masked_in)
            }
            (Judge::Kept(_), MaskedStep::Skip) => return Ok(None),
            (Judge::Kept(_), MaskedStep::Always) => {
                let own_in = masked_in
                    .map(|_| own_look(&batch.masked_in(&masks.full, self.fill)?))
                    .transpose()?;
                (own_look(masked_out)?, own_in)
            }
        };
        match masked_in {
            Some(masked_in) => Ok(Some(out.f_add(&masked_in).map_err(torch_error)?)),
            None => Ok(Some(out)),
        }
    }

    /// The classifier's step at the end: on masked pictures, or (joint) on both losses, each of half
    /// weight (Eq. 8). A joint step of which a part overflowed is left out.
    fn update_classifier(
        &mut self,
        clean: Sum,
        masked: Sum,
        rate: f64,
        overflowed: bool,
    ) -> Result<()> {
        let mut step = Sum::default();
        match self.options.classifier_step {
            ClassifierStep::Sequential => step = masked,
            ClassifierStep::Joint if overflowed => {}
            ClassifierStep::Joint => {
                step.add(clean.total, 0.5)?;
                step.add(masked.total, 0.5)?;
            }
        }
        match step.total {
            Some(gradients) => self.classifier.update(&gradients, rate, false),
            None => Ok(()),
        }
    }

    fn scaled(&self, loss: &Tensor) -> Result<Tensor> {
        if self.loss_scale.factor == 1.0 {
            return Ok(loss.shallow_clone());
        }
        loss.f_mul_scalar(self.loss_scale.factor)
            .map_err(torch_error)
    }
}

//! Scores, snapshots and checkpoints of a run, and the refusal to keep what has diverged.

use std::collections::BTreeSet;

use casm::checkpoint::{self, Storage};
use casm::network::Network;
use casm::torch_error;
use tch::{Kind, Tensor};

use super::{Meta, Trainer};
use crate::log::{ScoreRecord, StepRecord};
use crate::run::learner::Learner;
use crate::snapshot::{Snapshot, write_atomically};

impl<L: Learner> Trainer<L> {
    pub(super) fn check(&self, record: &StepRecord) -> anyhow::Result<()> {
        let numbers = [
            record.classifier_clean_loss,
            record.classifier_masked_loss,
            record.mapping_loss,
            record.gradient_norm,
        ];
        match numbers.into_iter().flatten().all(f64::is_finite) {
            true => Ok(()),
            false => Err(self.diverged("a loss")),
        }
    }

    pub(super) fn diverged(&self, what: &str) -> anyhow::Error {
        let last = match &self.saved {
            Some((step, path)) => format!(
                "the last good snapshot, after step {step}, is '{}'",
                path.display()
            ),
            None => "there is no snapshot yet".to_owned(),
        };
        anyhow::anyhow!(
            "training has diverged: at step {} {what} is not a number any more; {last}; \
             start again with lower learning rates",
            self.place.step + 1
        )
    }

    /// [`evaluate`](Trainer::evaluate); should it fail, the steps so far are not lost.
    pub(super) fn evaluate_or_save(&mut self) -> anyhow::Result<Option<ScoreRecord>> {
        let score = self.evaluate();
        if score.is_err() {
            self.save()?;
        }
        score
    }

    /// Scores the model on the pictures that were named for it, if any; keeps the best one.
    pub(super) fn evaluate(&mut self) -> anyhow::Result<Option<ScoreRecord>> {
        let model = self.learner.model();
        let score = match (&self.scorer, &self.validator) {
            (Some(scorer), _) => scorer.score(&model, self.place, self.device)?,
            (None, Some(validator)) => validator.score(&model, self.place, self.device)?,
            (None, None) => return Ok(None),
        };
        let error = score
            .localization_error
            .or(score.top1.map(|right| 1.0 - right));
        if let Some(error) = error
            && self.best.is_none_or(|best| error < best)
        {
            self.best = Some(error);
            self.write_model(&self.folder.best())?;
        }
        Ok(Some(score))
    }

    /// Saves the run's state and its model.
    pub(super) fn save(&mut self) -> anyhow::Result<()> {
        if self
            .saved
            .as_ref()
            .is_some_and(|(step, _)| *step == self.place.step)
        {
            return Ok(());
        }
        let state = self.learner.state()?;
        // What is ruined must not take the place of what is good.
        if !all_finite(state.tensors.values())? {
            return Err(self.diverged("a weight"));
        }
        let path = self.store.save(&Snapshot {
            step: self.place.step,
            meta: Meta {
                place: self.place,
                best: self.best,
                learner: state.meta,
            },
            tensors: state.tensors,
            history: state.history,
        })?;
        self.saved = Some((self.place.step, path));
        self.write_model(&self.folder.model())
    }

    pub(super) fn write_model(&self, path: &std::path::Path) -> anyhow::Result<()> {
        let mut header = self.header.clone();
        let data = &self.course.data;
        header.provenance.notes = format!(
            "{} steps of {} pictures, seed {}, from {}",
            self.place.step,
            data.batch * data.accumulate,
            self.course.seed,
            self.course.start
        );
        let network: Network = header.network.network();
        let wanted: BTreeSet<String> = network.parameters().into_iter().map(|p| p.name).collect();
        let parameters = self.learner.model().filtered(|name| wanted.contains(name));
        let bytes = checkpoint::serialize(&header, &parameters.to_named()?, Storage::F32)?;
        write_atomically(path, |file| file.write_all(&bytes))?;
        Ok(())
    }
}

/// Whether all numbers of all tensors are numbers.
fn all_finite<'a>(tensors: impl Iterator<Item = &'a Tensor>) -> anyhow::Result<bool> {
    let sums = tensors
        .map(|tensor| tensor.f_abs()?.f_max()?.f_to_kind(Kind::Float))
        .collect::<Result<Vec<_>, _>>();
    let finite = |sums: &[Tensor]| {
        Tensor::f_stack(sums, 0)?
            .f_isfinite()?
            .f_all()?
            .f_int64_value(&[])
    };
    let finite = sums.and_then(|sums| finite(&sums)).map_err(torch_error)?;
    Ok(finite != 0)
}

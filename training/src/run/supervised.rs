//! Ordinary supervised training of a classifier: f(0) made here.

use casm::network::Parameter;
use casm::parameters::Parameters;
use casm::torch_error;
use serde::{Deserialize, Serialize};
use tch::{Device, Kind, Tensor};

use super::alternation::{copy_group, take_group};
use super::config::ClassifierConfig;
use super::ema::Ema;
use super::learner::{Learner, State};
use super::precision::LossScale;
use crate::alternating::{Batch, Classifier};
use crate::log::StepRecord;
use crate::optimizer::Sgd;
use crate::snapshot::Tensors;
use crate::thinning::Place;

/// A classifier that learns from clean pictures (Eq. 3 with an empty mask).
#[derive(Debug)]
pub struct SupervisedLearner {
    classifier: Classifier,
    config: ClassifierConfig,
    loss_scale: LossScale,
    ema: Option<Ema>,
}

/// Numbers of its state.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SupervisedMeta {
    loss_scale: LossScale,
}

impl SupervisedLearner {
    /// At the beginning of a run, with `parameters` on `device`.
    ///
    /// # Errors
    /// Tensors are missing; no memory.
    pub fn new(
        config: &ClassifierConfig,
        parameters: &Parameters,
        device: Device,
    ) -> anyhow::Result<SupervisedLearner> {
        let network = config.course.network.network();
        let wanted: Vec<Parameter> = network.encoder.graph.parameters();
        let own = parameters.filtered(|name| wanted.iter().any(|p| p.name == name));
        let ema = config.course.ema.map(|decay| Ema::new(decay, &own, device));
        let sgd = Sgd::new(config.momentum, config.weight_decay);
        Ok(SupervisedLearner {
            classifier: Classifier::new(&network.encoder, own, true, sgd)?,
            loss_scale: LossScale::new(config.course.precision),
            ema: ema.transpose()?,
            config: config.clone(),
        })
    }
}

impl Learner for SupervisedLearner {
    type Meta = SupervisedMeta;

    fn step(&mut self, batches: &[Batch], place: Place, progress: f64) -> casm::Result<StepRecord> {
        let rate = self.config.rate * self.config.course.schedule.factor(place.epoch, progress);
        let pictures: usize = batches.iter().map(Batch::len).sum();
        let mut sum: Option<Vec<Tensor>> = None;
        let (mut loss, mut accuracy) = (0.0, 0.0);
        for batch in batches {
            let share = batch.len() as f64 / pictures as f64;
            let judgement = self.classifier.look(&batch.pictures, batch)?.judgement;
            let scaled = judgement
                .cross_entropy
                .f_mul_scalar(share * self.loss_scale.factor)
                .map_err(torch_error)?;
            let gradients = self
                .classifier
                .gradients(&scaled, false)?
                .unwrap_or_default();
            match &mut sum {
                None => sum = Some(gradients),
                Some(sum) => {
                    for (sum, gradient) in sum.iter_mut().zip(&gradients) {
                        let _ = sum.f_add_(gradient).map_err(torch_error)?;
                    }
                }
            }
            let number = |tensor: &Tensor| tensor.f_double_value(&[]).map_err(torch_error);
            let correct = judgement.correct(&batch.classes).map_err(torch_error)?;
            loss += share * number(&judgement.cross_entropy)?;
            accuracy += share * number(&correct.f_mean(Kind::Float).map_err(torch_error)?)?;
        }
        let mut gradients = sum.unwrap_or_default();
        let overflowed = self
            .loss_scale
            .unscale(&mut gradients)
            .map_err(torch_error)?;
        self.loss_scale.update(overflowed);
        if !overflowed {
            self.classifier.update(&gradients, rate, false)?;
        }
        if let Some(ema) = &mut self.ema {
            ema.update(&self.classifier.parameters, place.step)?;
        }
        Ok(StepRecord {
            step: place.step + 1,
            epoch: place.epoch,
            iteration: place.iteration,
            classifier_clean_loss: Some(loss),
            accuracy_clean: Some(accuracy),
            classifier_rate: Some(rate),
            overflowed,
            ..StepRecord::default()
        })
    }

    fn state(&self) -> casm::Result<State<SupervisedMeta>> {
        let mut tensors = Tensors::new();
        let groups = [
            ("parameters", self.classifier.parameters.iter().collect()),
            (
                "sgd",
                self.classifier
                    .sgd
                    .state
                    .iter()
                    .map(|(name, tensor)| (name.as_str(), tensor))
                    .collect(),
            ),
            (
                "ema",
                self.ema
                    .iter()
                    .flat_map(|ema| ema.average.iter())
                    .collect::<Vec<_>>(),
            ),
        ];
        for (group, pairs) in groups {
            for (name, tensor) in pairs {
                tensors.insert(format!("{group}/{name}"), tensor.detach());
            }
        }
        Ok(State {
            meta: SupervisedMeta {
                loss_scale: self.loss_scale,
            },
            tensors,
            history: Vec::new(),
        })
    }

    fn restore(&mut self, state: State<SupervisedMeta>) -> anyhow::Result<()> {
        let mut tensors = state.tensors;
        copy_group(&mut tensors, "parameters", &self.classifier.parameters)?;
        if let Some(ema) = &self.ema {
            copy_group(&mut tensors, "ema", &ema.average)?;
        }
        self.classifier.sgd.state = take_group(&mut tensors, "sgd");
        let surplus = tensors.keys().next();
        surplus.map_or(Ok(()), |name| {
            Err(anyhow::anyhow!(
                "it holds the tensor {name} of another configuration"
            ))
        })?;
        self.loss_scale = state.meta.loss_scale;
        Ok(())
    }

    fn model(&self) -> Parameters {
        match &self.ema {
            Some(ema) => ema.average.filtered(|_| true),
            None => self.classifier.parameters.filtered(|_| true),
        }
    }
}

//! Algorithm 1 as a learner: rates, λ, the average of the weights, and its state.

use anyhow::Context;
use casm::network::Network;
use casm::parameters::Parameters;
use casm::torch_error;
use serde::{Deserialize, Serialize};
use tch::{Device, Tensor};

use super::config::RunConfig;
use super::ema::Ema;
use super::learner::{Learner, State};
use super::precision::LossScale;
use crate::alternating::{
    Alternation, AreaController, Batch, Classifier, Mapping, Rates, StepReport,
};
use crate::log::StepRecord;
use crate::optimizer::{Adam, Sgd};
use crate::snapshot::{Member, Tensors, shapes};
use crate::thinning::{History, HistoryStart, Judge, Place};

/// The alternation with what surrounds its steps.
#[derive(Debug)]
pub struct AlternationLearner {
    alternation: Alternation,
    config: RunConfig,
    lambda: f64,
    area: Option<AreaController>,
    ema: Option<Ema>,
}

/// Numbers of its state.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AlternationMeta {
    lambda: f64,
    area: Option<AreaController>,
    loss_scale: LossScale,
    adam_steps: u64,
}

impl AlternationLearner {
    /// At the beginning of a run, with `parameters` on `device`.
    ///
    /// # Errors
    /// Tensors are missing; no memory.
    pub fn new(
        config: &RunConfig,
        parameters: &Parameters,
        device: Device,
        history_device: Device,
    ) -> anyhow::Result<AlternationLearner> {
        let network: Network = config.course.network.network();
        let decoder = config.course.network.decoder.as_ref();
        let upsample = decoder.context("the network has no decoder")?.upsample;
        let rates = &config.optimizer;
        let classifier = parameters.filtered(|name| name.starts_with("classifier."));
        let mapping = parameters.filtered(|name| !name.starts_with("classifier."));
        let mut history = History::new(network.encoder.graph.clone(), history_device, device);
        let policy = &config.thinning;
        if policy.start == HistoryStart::Pretrained && policy.probability > 0.0 && policy.size > 0 {
            history.keep(0, 0, &classifier)?;
        }
        let ema = config
            .course
            .ema
            .map(|decay| Ema::new(decay, parameters, device));
        let sgd = Sgd::new(rates.momentum, rates.weight_decay);
        let trains = config.step.train_classifier;
        Ok(AlternationLearner {
            alternation: Alternation {
                classifier: Classifier::new(&network.encoder, classifier, trains, sgd)?,
                mapping: Mapping::new(&network, upsample, mapping, Adam::new(rates.weight_decay))?,
                history,
                policy: policy.clone(),
                options: config.step.clone(),
                fill: config.step.fill.color(&config.course.input),
                seed: config.course.seed,
                loss_scale: LossScale::new(config.course.precision),
            },
            lambda: config.lambda,
            area: config
                .target_area
                .map(|target| AreaController::new(target, config.lambda)),
            ema: ema.transpose()?,
            config: config.clone(),
        })
    }

    /// The alternation itself.
    pub fn alternation(&mut self) -> &mut Alternation {
        &mut self.alternation
    }

    fn parameters(&self) -> Parameters {
        let mut all = self.alternation.classifier.parameters.filtered(|_| true);
        for (name, tensor) in self.alternation.mapping.parameters.iter() {
            all.insert(name, tensor.shallow_clone());
        }
        all
    }
}

impl Learner for AlternationLearner {
    type Meta = AlternationMeta;

    fn step(&mut self, batches: &[Batch], place: Place, progress: f64) -> casm::Result<StepRecord> {
        let factor = self.config.course.schedule.factor(place.epoch, progress);
        let rates = Rates {
            classifier: self.config.optimizer.classifier_rate * factor,
            mapping: self.config.optimizer.mapping_rate * factor,
            lambda: self.lambda,
        };
        let report = self.alternation.iterate(batches, place, rates, &mut ())?;
        self.alternation.loss_scale.update(report.overflowed);
        if let Some(area) = &mut self.area {
            self.lambda = area.next(report.mask_mean, self.config.lambda);
        }
        if self.ema.is_some() {
            let parameters = self.parameters();
            if let Some(ema) = &mut self.ema {
                ema.update(&parameters, place.step)?;
            }
        }
        Ok(record(&report, place, rates))
    }

    fn state(&self) -> casm::Result<State<AlternationMeta>> {
        let Alternation {
            classifier,
            mapping,
            history,
            ..
        } = &self.alternation;
        let mut tensors = Tensors::new();
        let mut store = |group: &str, name: &str, tensor: &Tensor| {
            tensors.insert(format!("{group}/{name}"), tensor.detach());
        };
        for (name, tensor) in self.parameters().iter() {
            store("parameters", name, tensor);
        }
        for (name, tensor) in &classifier.sgd.state {
            store("sgd", name, tensor);
        }
        for (name, tensor) in &mapping.adam.state {
            store("adam", name, tensor);
        }
        for (name, tensor) in self.ema.iter().flat_map(|ema| ema.average.iter()) {
            store("ema", name, tensor);
        }
        let member = |(step, parameters): (u64, &Parameters)| Member {
            step,
            tensors: parameters
                .iter()
                .map(|(name, tensor)| (name.to_owned(), tensor.shallow_clone()))
                .collect(),
        };
        Ok(State {
            meta: AlternationMeta {
                lambda: self.lambda,
                area: self.area,
                loss_scale: self.alternation.loss_scale,
                adam_steps: mapping.adam.steps,
            },
            tensors,
            history: history.members().map(member).collect(),
        })
    }

    fn restore(&mut self, state: State<AlternationMeta>) -> anyhow::Result<()> {
        let mut tensors = state.tensors;
        let parameters = self.parameters();
        copy_group(&mut tensors, "parameters", &parameters)?;
        if let Some(ema) = &self.ema {
            copy_group(&mut tensors, "ema", &ema.average)?;
        }
        let classifier_tensors = self.alternation.classifier.parameters.filtered(|_| true);
        let Alternation {
            classifier,
            mapping,
            history,
            ..
        } = &mut self.alternation;
        classifier.sgd.state = take_group(&mut tensors, "sgd");
        mapping.adam.state = take_group(&mut tensors, "adam");
        mapping.adam.steps = state.meta.adam_steps;
        anyhow::ensure!(
            tensors.is_empty(),
            "it holds tensors of another configuration: {}",
            tensors
                .keys()
                .take(5)
                .cloned()
                .collect::<Vec<_>>()
                .join(", ")
        );
        let needed: Tensors = named(&classifier_tensors);
        history.clear();
        for (slot, member) in state.history.into_iter().enumerate() {
            anyhow::ensure!(
                shapes(&member.tensors) == shapes(&needed),
                "the kept classifier of step {} is of another architecture",
                member.step
            );
            let mut parameters = Parameters::default();
            for (name, tensor) in member.tensors {
                parameters.insert(name, tensor);
            }
            history.keep(slot, member.step, &parameters)?;
        }
        self.lambda = state.meta.lambda;
        self.area = state.meta.area;
        self.alternation.loss_scale = state.meta.loss_scale;
        Ok(())
    }

    fn model(&self) -> Parameters {
        match &self.ema {
            Some(ema) => ema.average.filtered(|_| true),
            None => self.parameters(),
        }
    }
}

fn named(parameters: &Parameters) -> Tensors {
    let pairs = parameters.iter();
    pairs
        .map(|(name, tensor)| (name.to_owned(), tensor.shallow_clone()))
        .collect()
}

/// Copies the tensors `group/NAME` into those of `target`, which keep their memory and its order.
pub(super) fn copy_group(
    tensors: &mut Tensors,
    group: &str,
    target: &Parameters,
) -> anyhow::Result<()> {
    let _no_gradients = tch::no_grad_guard();
    for (name, tensor) in target.iter() {
        let stored = tensors
            .remove(&format!("{group}/{name}"))
            .with_context(|| format!("it holds no tensor {group}/{name}"))?;
        anyhow::ensure!(
            stored.size() == tensor.size(),
            "its tensor {group}/{name} is {:?}, but {:?} is needed",
            stored.size(),
            tensor.size()
        );
        tensor
            .shallow_clone()
            .f_copy_(&stored)
            .map_err(torch_error)?;
    }
    Ok(())
}

/// Takes the tensors `group/NAME` out, as NAME.
pub(super) fn take_group(tensors: &mut Tensors, group: &str) -> Tensors {
    let prefix = format!("{group}/");
    let names: Vec<String> = tensors
        .keys()
        .filter(|name| name.starts_with(&prefix))
        .cloned()
        .collect();
    names
        .into_iter()
        .filter_map(|name| Some((name[prefix.len()..].to_owned(), tensors.remove(&name)?)))
        .collect()
}

fn record(report: &StepReport, place: Place, rates: Rates) -> StepRecord {
    StepRecord {
        step: place.step + 1,
        epoch: place.epoch,
        iteration: place.iteration,
        classifier_clean_loss: Some(report.clean_loss),
        classifier_masked_loss: Some(report.masked_loss),
        mapping_loss: Some(report.mapping_loss),
        main_term: Some(report.main),
        regulariser_term: Some(report.regulariser),
        regulariser_of_paper: Some(report.regulariser_of_paper),
        total_variation_term: report.total_variation,
        masked_in_term: report.masked_in,
        mask_mean: Some(report.mask_mean),
        confused_rate: Some(report.confused),
        accuracy_clean: Some(report.clean_accuracy),
        accuracy_masked: Some(report.masked_accuracy),
        judge: match report.judge {
            Judge::Current => None,
            Judge::Kept(slot) => Some(slot as u64),
        },
        lambda: Some(report.lambda),
        // After an overflow there is none.
        gradient_norm: Some(report.gradient_norm).filter(|_| !report.overflowed),
        overflowed: report.overflowed,
        classifier_rate: Some(rates.classifier),
        mapping_rate: Some(rates.mapping),
        ..StepRecord::default()
    }
}

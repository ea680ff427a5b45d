//! A student and its teacher as a learner: rates, the average of the weights, and its state.

mod config;

use casm::parameters::Parameters;
use casm::torch_error;
use serde::{Deserialize, Serialize};
use tch::{Device, Kind, Tensor};

pub use config::{DistillationConfig, TeacherConfig};

use super::alternation::{copy_group, take_group};
use super::ema::Ema;
use super::learner::{Learner, State};
use super::precision::LossScale;
use crate::alternating::{Batch, Sum};
use crate::distillation::{Lesson, Student, StudentRates, TargetSet, Targets, Teacher};
use crate::log::StepRecord;
use crate::snapshot::Tensors;
use crate::thinning::Place;

/// Steps in which the rates grow to their full size: Adam knows nothing of the gradients at first, and
/// would walk away from the weights that the student starts with.
const WARM_UP: f64 = 20.0;

/// A network that learns from a teacher's close-ups.
#[derive(Debug)]
pub struct DistillationLearner {
    student: Student,
    teacher: Teacher,
    targets: TargetSet,
    device: Device,
    config: DistillationConfig,
    loss_scale: LossScale,
    ema: Option<Ema>,
}

/// Numbers of its state.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DistillationMeta {
    loss_scale: LossScale,
    classifier_steps: u64,
    mapping_steps: u64,
}

impl DistillationLearner {
    /// At the beginning of a run, with the student's `parameters` on `device`, and what the teacher says of
    /// the run's pictures.
    ///
    /// # Errors
    /// Tensors are missing; no memory.
    pub fn new(
        config: &DistillationConfig,
        parameters: &Parameters,
        teacher: Teacher,
        targets: TargetSet,
        device: Device,
    ) -> anyhow::Result<DistillationLearner> {
        let ema = config.course.ema;
        let ema = ema.map(|decay| Ema::new(decay, parameters, device));
        Ok(DistillationLearner {
            student: Student::new(
                &config.course.network,
                parameters.filtered(|_| true),
                config.weight_decay,
            )?,
            teacher,
            targets,
            device,
            loss_scale: LossScale::new(config.course.precision),
            ema: ema.transpose()?,
            config: config.clone(),
        })
    }
}

impl Learner for DistillationLearner {
    type Meta = DistillationMeta;

    fn step(&mut self, batches: &[Batch], place: Place, progress: f64) -> casm::Result<StepRecord> {
        let config = &self.config;
        let factor = config.course.schedule.factor(place.epoch, progress)
            * ((place.step + 1) as f64 / WARM_UP).min(1.0);
        let rates = StudentRates {
            classifier: config.classifier_rate * factor,
            mapping: config.mapping_rate * factor,
        };
        let pictures: usize = batches.iter().map(Batch::len).sum();
        let mut sum = Sum::default();
        let [mut mask_loss, mut class_loss, mut mask_mean, mut accuracy] = [0.0; 4];
        for batch in batches {
            let share = batch.len() as f64 / pictures as f64;
            let (masks, weights) = self.targets.of(&batch.origins, self.device)?;
            let targets = Targets {
                masks,
                weights,
                logits: self.teacher.logits(&batch.pictures)?,
            };
            let lesson = self
                .student
                .learn(&batch.pictures, &targets, config.class_weight)?;
            let scaled = lesson.loss.f_mul_scalar(share * self.loss_scale.factor);
            let gradients = self.student.gradients(&scaled.map_err(torch_error)?)?;
            sum.add(Some(gradients), 1.0)?;
            let number = |tensor: &Tensor| tensor.f_double_value(&[]).map_err(torch_error);
            mask_loss += share * number(&lesson.mask_loss)?;
            class_loss += share * number(&lesson.class_loss)?;
            mask_mean += share * number(&lesson.mask_mean)?;
            accuracy += share * right(&lesson, batch)?;
        }
        let overflowed = sum.unscale(self.loss_scale)?;
        self.loss_scale.update(overflowed);
        let mut norm = None;
        if let Some(gradients) = &mut sum.total {
            let length = self
                .student
                .update(gradients, rates, config.clip_gradient)?;
            norm = Some(length.f_double_value(&[]).map_err(torch_error)?);
        }
        if let Some(ema) = &mut self.ema {
            ema.update(&self.student.parameters, place.step)?;
        }
        Ok(StepRecord {
            step: place.step + 1,
            epoch: place.epoch,
            iteration: place.iteration,
            classifier_clean_loss: Some(class_loss),
            mapping_loss: Some(mask_loss),
            mask_mean: Some(mask_mean),
            accuracy_clean: Some(accuracy),
            gradient_norm: norm,
            classifier_rate: Some(rates.classifier),
            mapping_rate: Some(rates.mapping),
            overflowed,
            ..StepRecord::default()
        })
    }

    fn state(&self) -> casm::Result<State<DistillationMeta>> {
        let mut tensors = Tensors::new();
        let mut store = |group: &str, name: &str, tensor: &Tensor| {
            tensors.insert(format!("{group}/{name}"), tensor.detach());
        };
        for (name, tensor) in self.student.parameters.iter() {
            store("parameters", name, tensor);
        }
        for (name, tensor) in &self.student.classifier.state {
            store("classifier", name, tensor);
        }
        for (name, tensor) in &self.student.mapping.state {
            store("mapping", name, tensor);
        }
        for (name, tensor) in self.ema.iter().flat_map(|ema| ema.average.iter()) {
            store("ema", name, tensor);
        }
        Ok(State {
            meta: DistillationMeta {
                loss_scale: self.loss_scale,
                classifier_steps: self.student.classifier.steps,
                mapping_steps: self.student.mapping.steps,
            },
            tensors,
            history: Vec::new(),
        })
    }

    fn restore(&mut self, state: State<DistillationMeta>) -> anyhow::Result<()> {
        let mut tensors = state.tensors;
        copy_group(&mut tensors, "parameters", &self.student.parameters)?;
        if let Some(ema) = &self.ema {
            copy_group(&mut tensors, "ema", &ema.average)?;
        }
        self.student.classifier.state = take_group(&mut tensors, "classifier");
        self.student.mapping.state = take_group(&mut tensors, "mapping");
        self.student.classifier.steps = state.meta.classifier_steps;
        self.student.mapping.steps = state.meta.mapping_steps;
        if let Some(name) = tensors.keys().next() {
            anyhow::bail!("it holds the tensor {name} of another configuration");
        }
        self.loss_scale = state.meta.loss_scale;
        Ok(())
    }

    fn model(&self) -> Parameters {
        match &self.ema {
            Some(ema) => ema.average.filtered(|_| true),
            None => self.student.parameters.filtered(|_| true),
        }
    }
}

/// Share of the batch that the student recognises.
fn right(lesson: &Lesson, batch: &Batch) -> casm::Result<f64> {
    let equal = lesson.predicted.f_eq_tensor(&batch.classes);
    let share = equal.and_then(|equal| equal.f_mean(Kind::Float));
    share
        .and_then(|share| share.f_double_value(&[]))
        .map_err(torch_error)
}

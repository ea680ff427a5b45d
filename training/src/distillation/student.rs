//! Pictures and targets → gradients → weights.

use casm::module::Mode;
use casm::network::{NetworkConfig, Parameter};
use casm::parameters::Parameters;
use casm::{Result, SaliencyNetwork, torch_error};
use tch::{Kind, Reduction, TchError, Tensor};

use crate::optimizer::{Adam, Trained, clip};

/// A network all of which learns, with its optimisers.
#[derive(Debug)]
pub struct Student {
    /// Weights and running statistics.
    pub parameters: Parameters,
    /// Of the classifier, whose layers the decoder reads.
    pub classifier: Adam,
    /// Of the decoder, and of an encoder of its own.
    pub mapping: Adam,
    network: SaliencyNetwork,
    /// The classifier's tensors, then the mapping's.
    trained: Trained,
    own: Trained,
    others: Trained,
}

/// Learning rates of a step.
#[derive(Debug, Clone, Copy)]
pub struct StudentRates {
    /// Of the classifier.
    pub classifier: f64,
    /// Of the mapping.
    pub mapping: f64,
}

/// What a student is to say of a batch.
#[derive(Debug)]
pub struct Targets {
    /// `[N, 1, M, M]`, f32, in [0, 1].
    pub masks: Tensor,
    /// `[N, 1, 1, 1]`, f32: 1, or 0 for pictures that the teacher could not see.
    pub weights: Tensor,
    /// `[N, classes]`, f32, before the softmax.
    pub logits: Tensor,
}

/// Losses of a batch and what its masks are like.
#[derive(Debug)]
pub struct Lesson {
    /// What is minimised, `[]`: the mask's loss and the weighted one of the classes.
    pub loss: Tensor,
    /// Mean binary cross-entropy between masks and targets in nats, `[]`.
    pub mask_loss: Tensor,
    /// Kullback-Leibler divergence of the classes from the teacher's in nats, `[]`.
    pub class_loss: Tensor,
    /// Mean of the masks, `[]`.
    pub mask_mean: Tensor,
    /// Most probable classes, `[N]`.
    pub predicted: Tensor,
}

impl Student {
    /// Binds the network of `config` to `parameters`.
    ///
    /// # Errors
    /// A tensor is missing.
    pub fn new(
        config: &NetworkConfig,
        parameters: Parameters,
        weight_decay: f64,
    ) -> Result<Student> {
        let is_own = |parameter: &Parameter| parameter.name.starts_with("classifier.");
        let (own, others): (Vec<_>, Vec<_>) =
            config.network().parameters().into_iter().partition(is_own);
        Ok(Student {
            network: SaliencyNetwork::new(config, &parameters)?,
            own: Trained::new(&parameters, &own)?,
            others: Trained::new(&parameters, &others)?,
            trained: Trained::new(&parameters, &[own, others].concat())?,
            classifier: Adam::new(weight_decay),
            mapping: Adam::new(weight_decay),
            parameters,
        })
    }

    /// Losses on normalised pictures `[N, 3, S, S]`: binary cross-entropy of the masks, and
    /// `class_weight` times the divergence of the classes.
    ///
    /// # Errors
    /// libtorch's; the network has no decoder.
    pub fn learn(&self, pictures: &Tensor, targets: &Targets, class_weight: f64) -> Result<Lesson> {
        let saliency = self.network.forward(pictures, Mode::Train)?;
        let lesson = || -> std::result::Result<Lesson, TchError> {
            let missing = || TchError::Torch("the student has no decoder".to_owned());
            let masks = saliency.mask.as_ref().ok_or_else(missing)?;
            let masks = masks.f_to_kind(Kind::Float)?;
            let (_, _, height, width) = masks.size4()?;
            let wanted = match targets.masks.size4()? {
                (_, _, h, w) if (h, w) == (height, width) => targets.masks.shallow_clone(),
                _ => targets.masks.f_internal_upsample_bilinear2d_aa(
                    [height, width],
                    false,
                    None,
                    None,
                )?,
            };
            let weights = targets.weights.f_expand_as(&masks)?;
            let mask_loss =
                masks.f_binary_cross_entropy(&wanted, Some(&weights), Reduction::Mean)?;
            let own = saliency
                .logits
                .f_to_kind(Kind::Float)?
                .f_log_softmax(1, Kind::Float)?;
            let theirs = targets.logits.f_log_softmax(1, Kind::Float)?;
            let class_loss = own
                .f_kl_div(&theirs, Reduction::Sum, true)?
                .f_div_scalar(own.size()[0] as f64)?;
            Ok(Lesson {
                loss: mask_loss.f_add(&class_loss.f_mul_scalar(class_weight)?)?,
                mask_loss: mask_loss.f_detach()?,
                class_loss: class_loss.f_detach()?,
                mask_mean: masks.f_detach()?.f_mean(Kind::Float)?,
                predicted: own.f_argmax(1, false)?,
            })
        };
        lesson().map_err(torch_error)
    }

    /// Gradients of `loss`.
    ///
    /// # Errors
    /// libtorch's.
    pub fn gradients(&self, loss: &Tensor) -> Result<Vec<Tensor>> {
        self.trained.gradients(loss, false).map_err(torch_error)
    }

    /// One step against `gradients`, which all together are made no longer than `largest` before that.
    /// Returns their length, `[]`.
    ///
    /// # Errors
    /// libtorch's.
    pub fn update(
        &mut self,
        gradients: &mut [Tensor],
        rates: StudentRates,
        largest: f64,
    ) -> Result<Tensor> {
        let mut update = || {
            let norm = clip(gradients, largest)?;
            let (own, others) = gradients.split_at(self.own.tensors.len());
            self.classifier.step(&self.own, own, rates.classifier)?;
            self.mapping.step(&self.others, others, rates.mapping)?;
            Ok(norm)
        };
        update().map_err(torch_error)
    }
}

//! Looking into a step without changing it: tests against reference numbers, and diagnoses.

use tch::Tensor;

use super::{Judgement, MappingLoss, Masks};

/// Which gradients.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Half {
    /// The classifier's, on clean pictures.
    Clean,
    /// The classifier's, on masked pictures.
    Masked,
    /// The mapping's, before clipping.
    Mapping,
}

/// Is told what a step computes. Does nothing unless overridden; `()` observes nothing.
pub trait Observer {
    /// Gradients before weight decay, with the names of their tensors.
    fn gradients(&mut self, half: Half, names: &[&str], gradients: &[Tensor]) {
        let _ = (half, names, gradients);
    }

    /// What the mapping's half found in one batch.
    fn judged(&mut self, clean: &Judgement, masked: &Judgement, masks: &Masks, loss: &MappingLoss) {
        let _ = (clean, masked, masks, loss);
    }
}

impl Observer for () {}

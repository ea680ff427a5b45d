//! The classifier f: the half of the alternation that learns to recognise what is left of a picture.

use casm::Result;
use casm::module::{Mode, Module};
use casm::network::{Encoder, Parameter};
use casm::parameters::Parameters;
use casm::torch_error;
use tch::Tensor;

use super::batch::Batch;
use super::loss::Judgement;
use crate::optimizer::{Sgd, Trained};

/// The classifier with its optimiser.
#[derive(Debug)]
pub struct Classifier {
    /// Weights and running statistics.
    pub parameters: Parameters,
    /// SGD's state.
    pub sgd: Sgd,
    module: Module,
    /// Absent for a fixed classifier (strategy F).
    trained: Option<Trained>,
}

/// What a classifier sees in a batch.
#[derive(Debug)]
pub struct Look {
    /// The encoder's taps, fine to coarse.
    pub taps: Vec<Tensor>,
    /// What it says.
    pub judgement: Judgement,
}

impl Look {
    /// Of `pictures` `[N, 3, S, S]`, through an encoder's module.
    ///
    /// # Errors
    /// libtorch's.
    pub fn new(module: &Module, pictures: &Tensor, batch: &Batch, mode: Mode) -> Result<Look> {
        let mut taps = module.forward(&[pictures.shallow_clone()], mode)?;
        let logits = taps.pop().expect("an encoder's last output is its logits");
        Ok(Look {
            taps,
            judgement: Judgement::new(&logits, &batch.classes).map_err(torch_error)?,
        })
    }

    /// The same numbers without the computation that made them, whose memory is free then.
    ///
    /// # Errors
    /// libtorch's.
    pub fn detached(&self) -> Result<Look> {
        let detach = || {
            let Judgement {
                log_probabilities,
                predicted,
                cross_entropy,
            } = &self.judgement;
            Ok(Look {
                taps: self
                    .taps
                    .iter()
                    .map(Tensor::f_detach)
                    .collect::<std::result::Result<_, _>>()?,
                judgement: Judgement {
                    log_probabilities: log_probabilities.f_detach()?,
                    predicted: predicted.shallow_clone(),
                    cross_entropy: cross_entropy.f_detach()?,
                },
            })
        };
        detach().map_err(torch_error)
    }
}

impl Classifier {
    /// Binds `encoder` to `parameters`. `train`: whether it learns.
    ///
    /// # Errors
    /// A tensor is missing.
    pub fn new(
        encoder: &Encoder,
        parameters: Parameters,
        train: bool,
        sgd: Sgd,
    ) -> Result<Classifier> {
        let wanted: Vec<Parameter> = encoder.graph.parameters();
        let trained = train.then(|| Trained::new(&parameters, &wanted));
        Ok(Classifier {
            module: Module::new(&encoder.graph, &parameters)?,
            trained: trained.transpose()?,
            parameters,
            sgd,
        })
    }

    /// Whether it learns.
    pub fn is_trained(&self) -> bool {
        self.trained.is_some()
    }

    /// What it sees in pictures of `batch`. One that learns uses the statistics of the batch.
    ///
    /// # Errors
    /// libtorch's.
    pub fn look(&self, pictures: &Tensor, batch: &Batch) -> Result<Look> {
        let mode = match self.trained {
            Some(_) => Mode::Train,
            None => Mode::Evaluate,
        };
        Look::new(&self.module, pictures, batch, mode)
    }

    /// Gradients of `loss`; none for a fixed classifier. `keep_graph` as for [`Trained::gradients`].
    ///
    /// # Errors
    /// libtorch's.
    pub fn gradients(&self, loss: &Tensor, keep_graph: bool) -> Result<Option<Vec<Tensor>>> {
        let gradients = |trained: &Trained| trained.gradients(loss, keep_graph);
        let gradients = self.trained.as_ref().map(gradients).transpose();
        gradients.map_err(torch_error)
    }

    /// Eq. 5: one step against `gradients`.
    ///
    /// # Errors
    /// libtorch's.
    pub fn update(&mut self, gradients: &[Tensor], rate: f64, behind_autograd: bool) -> Result<()> {
        let Some(trained) = &self.trained else {
            return Ok(());
        };
        self.sgd
            .step(trained, gradients, rate, behind_autograd)
            .map_err(torch_error)
    }

    /// The trained tensors' names, in the order of the gradients.
    pub fn trained_names(&self) -> Vec<&str> {
        let tensors = self.trained.iter().flat_map(|trained| &trained.tensors);
        tensors.map(|(name, _)| name.as_str()).collect()
    }
}

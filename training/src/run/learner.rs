//! What learns in a run, as the loop around it sees it.

use casm::parameters::Parameters;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::alternating::Batch;
use crate::log::StepRecord;
use crate::snapshot::{Member, Tensors};
use crate::thinning::Place;

/// All of a learner's state.
#[derive(Debug)]
pub struct State<M> {
    /// Numbers.
    pub meta: M,
    /// Parameters, running statistics, optimiser state, averages. They may share the learner's memory.
    pub tensors: Tensors,
    /// The thinning set in the order of its slots.
    pub history: Vec<Member>,
}

/// Something that learns from batches.
pub trait Learner {
    /// The numbers of its state.
    type Meta: Serialize + DeserializeOwned;

    /// Learns from `batches`, which together make a batch. `progress`: share of the run that is over,
    /// 0 to 1. The record's fields about time are left to the caller.
    ///
    /// # Errors
    /// libtorch's.
    fn step(&mut self, batches: &[Batch], place: Place, progress: f64) -> casm::Result<StepRecord>;

    /// Its state.
    ///
    /// # Errors
    /// libtorch's.
    fn state(&self) -> casm::Result<State<Self::Meta>>;

    /// Goes on from `state`.
    ///
    /// # Errors
    /// Tensors are missing or have other shapes.
    fn restore(&mut self, state: State<Self::Meta>) -> anyhow::Result<()>;

    /// The tensors of the checkpoint: the average, where one is kept, else the weights as they are.
    fn model(&self) -> Parameters;
}

//! All of a run's state on disk, so that a run killed at any moment goes on as if nothing had happened.
//!
//! # The run folder
//!
//! | file | what |
//! |---|---|
//! | `snapshots/step-000012345.safetensors` | a [`Snapshot`]: the tensors and the trainer's own data after that many steps |
//! | `history/step-000012300.safetensors` | a [`Member`] of the thinning set, written once and shared by all snapshots that need it |
//! | `config.json`, `model.safetensors`, `best.safetensors` | the trainer's: options as resolved, the latest and the best checkpoint |
//! | `steps.csv`, `scores.csv`, `tensorboard/` | the trainer's: [logs](crate::log) |
//! | `lock` | locked while a process trains here |
//! | `*.partial` | left behind by a killed process; removed at the next start |
//!
//! Every file but the logs is written beside its place, synced and renamed ([`write_atomically`]), so it
//! is either whole or not there; logs are cut back to the snapshot when a run goes on. Members are written before the snapshot that names them, and deleted after the
//! last one that did. Each file carries a checksum, and each snapshot the checksums of its members; so a
//! damaged or exchanged file is noticed, and [`SnapshotStore::latest`] goes back to the snapshot before.

mod atomic;
mod error;
mod label;
mod retention;
mod store;
mod tensor_file;

use std::collections::BTreeMap;
use std::path::PathBuf;

use casm::error::WeightsProblem;
use tch::Tensor;

pub use atomic::{WriteError, write_atomically};
pub use error::SnapshotError;
pub use retention::superseded;
pub use store::SnapshotStore;

/// Tensors by name, in f32 or i64, on any device. Names are the caller's, such as
/// `parameters/classifier.conv1.weight`, `adam/…`, `ema/…`.
pub type Tensors = BTreeMap<String, Tensor>;

/// Shapes by name.
pub type Shapes = BTreeMap<String, Vec<usize>>;

/// The state of a run after some number of steps.
#[derive(Debug)]
pub struct Snapshot<M> {
    /// Steps done so far.
    pub step: u64,
    /// The trainer's own data: epoch, iteration, λ, best score. It travels as JSON, which knows neither
    /// NaN nor infinity: use `Option` for numbers that are not there yet. Finite numbers stay exact.
    pub meta: M,
    /// Parameters, optimiser state, averages. Values stay exact to the bit; the order of dimensions in
    /// memory (channels last) does not, so copy them into tensors that have it.
    pub tensors: Tensors,
    /// The thinning set in the order of its slots, which the trainer draws by number.
    pub history: Vec<Member>,
}

/// A classifier of the thinning set (the paper, section 3).
#[derive(Debug)]
pub struct Member {
    /// Steps that had been done when it was taken: its name, so unique within a run.
    pub step: u64,
    /// Its parameters and batch-norm statistics.
    pub tensors: Tensors,
}

/// A snapshot as [`SnapshotStore::latest`] found it.
#[derive(Debug)]
pub struct Found<M> {
    /// What was stored.
    pub snapshot: Snapshot<M>,
    /// Its file.
    pub path: PathBuf,
    /// Why newer snapshots could not be used, newest first. The caller is to tell the user: the run
    /// goes on from an earlier step, and the next save removes these files.
    pub passed_over: Vec<SnapshotError>,
}

impl<M> Found<M> {
    /// Makes sure that the tensors are those that the run needs: `state` for the snapshot, `member`
    /// for each classifier of the thinning set.
    ///
    /// # Errors
    /// [`SnapshotError::Weights`], which names missing, surplus and misshapen tensors.
    pub fn check(&self, state: &Shapes, member: &Shapes) -> Result<(), SnapshotError> {
        let members = self.snapshot.history.iter();
        let pairs = members.map(|found| (member, &found.tensors));
        for (needed, found) in std::iter::once((state, &self.snapshot.tensors)).chain(pairs) {
            let problem = compare(needed, shapes(found));
            if !problem.is_empty() {
                return Err(SnapshotError::Weights {
                    path: self.path.clone(),
                    problem,
                });
            }
        }
        Ok(())
    }
}

/// The shapes of tensors, to be compared by [`Found::check`].
pub fn shapes(tensors: &Tensors) -> Shapes {
    let shape = |tensor: &Tensor| tensor.size().iter().map(|&size| size as usize).collect();
    tensors
        .iter()
        .map(|(name, tensor)| (name.clone(), shape(tensor)))
        .collect()
}

fn compare(needed: &Shapes, mut found: Shapes) -> WeightsProblem {
    let mut problem = WeightsProblem::default();
    for (name, needed) in needed {
        match found.remove(name) {
            None => problem.missing.push(name.clone()),
            Some(shape) if shape != *needed => {
                problem
                    .misshapen
                    .push((name.clone(), needed.clone(), shape));
            }
            Some(_) => {}
        }
    }
    problem.surplus = found.into_keys().collect();
    problem
}

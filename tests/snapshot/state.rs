//! A run's state that follows from the number of steps alone, so that a file can be checked by its name.

use std::path::{Path, PathBuf};

use casm_training::snapshot::{Found, Member, Snapshot, SnapshotStore, Tensors};
use serde::{Deserialize, Serialize};
use tch::{Device, Kind, Tensor};

/// Tensors of a kind and numbers in each: enough writes for a kill to come between them.
const LAYERS: u64 = 20;
const LENGTH: u64 = 20_000;
/// Members of the thinning set; one is taken at every other step.
const SLOTS: usize = 4;

#[derive(Debug, PartialEq, Serialize, Deserialize)]
pub struct Meta {
    pub epoch: u64,
    pub lambda: f64,
    pub best: Option<f64>,
}

pub fn open(folder: &Path, keep: usize) -> SnapshotStore {
    SnapshotStore::open(folder, keep).expect("a folder of our own")
}

pub fn latest(store: &mut SnapshotStore) -> Option<Found<Meta>> {
    store.latest(Device::Cpu, Device::Cpu).expect("readable")
}

/// A folder with snapshots of the steps 1 to `last`.
pub fn saved(last: u64, keep: usize) -> (tempfile::TempDir, SnapshotStore) {
    let folder = tempfile::tempdir().expect("writable");
    let mut store = open(folder.path(), keep);
    for step in 1..=last {
        store.save(&expected(step)).expect("writable");
    }
    (folder, store)
}

/// The file of a step, of the kind `snapshots` or `history`.
pub fn file(folder: &Path, kind: &str, step: u64) -> PathBuf {
    folder.join(format!("{kind}/step-{step:09}.safetensors"))
}

/// File names, sorted.
pub fn names(folder: &Path) -> Vec<String> {
    let mut names: Vec<String> = std::fs::read_dir(folder)
        .expect("readable")
        .map(|entry| entry.expect("readable").file_name())
        .map(|name| name.to_string_lossy().into_owned())
        .collect();
    names.sort();
    names
}

/// A tensor's memory.
pub fn bits(tensor: &Tensor) -> Vec<u8> {
    let mut bytes = vec![0; tensor.numel() * tensor.kind().elt_size_in_bytes()];
    tensor.copy_data_u8(&mut bytes, tensor.numel());
    bytes
}

/// `[LENGTH]` with arbitrary bits, NaNs among them.
fn noise(step: u64, number: u64) -> Tensor {
    let bytes: Vec<u8> = (0..LENGTH)
        .map(|index| (step << 40 | number << 32 | index).wrapping_mul(0x9e37_79b9_7f4a_7c15))
        .flat_map(|hash| ((hash >> 32) as u32).to_le_bytes())
        .collect();
    Tensor::from_data_size(&bytes, &[LENGTH as i64], Kind::Float)
}

/// Steps of the members in the order of their slots.
pub fn slots(step: u64) -> Vec<u64> {
    let mut slots = Vec::new();
    for taken in (2..=step).step_by(2) {
        if slots.len() < SLOTS {
            slots.push(taken);
        } else {
            // Any order but that of time.
            slots[(taken / 2 * 3) as usize % SLOTS] = taken;
        }
    }
    slots
}

/// The state after `step` steps.
pub fn expected(step: u64) -> Snapshot<Meta> {
    let layers = |step: u64, kind: &'static str, number: u64| {
        (0..LAYERS).map(move |layer| {
            let name = format!("{kind}classifier.{layer}.weight");
            (name, noise(step, number * LAYERS + layer))
        })
    };
    let mut tensors: Tensors = layers(step, "parameters/", 0)
        .chain(layers(step, "sgd/", 1))
        .collect();
    tensors.insert("adam/steps".to_owned(), Tensor::from(step as i64));
    let member = |&taken: &u64| Member {
        step: taken,
        tensors: layers(taken, "", 2).collect(),
    };
    Snapshot {
        step,
        meta: Meta {
            epoch: step / 10,
            lambda: (0..step).fold(1e-4, |lambda, _| lambda * 1.01),
            best: (step > 5).then(|| 1.0 / step as f64),
        },
        tensors,
        history: slots(step).iter().map(member).collect(),
    }
}

/// # Panics
/// If a bit differs from the state after `step` steps.
pub fn assert_state(found: &Snapshot<Meta>, step: u64) {
    fn assert_tensors(found: &Tensors, expected: &Tensors, what: &str) {
        let names = |tensors: &Tensors| tensors.keys().cloned().collect::<Vec<_>>();
        assert_eq!(names(found), names(expected), "{what}");
        for (name, tensor) in expected {
            assert!(bits(&found[name]) == bits(tensor), "{what}: {name}");
        }
    }
    let expected = expected(step);
    assert_eq!(found.step, step);
    assert_eq!(found.meta, expected.meta);
    assert_tensors(&found.tensors, &expected.tensors, &format!("step {step}"));
    assert_eq!(found.history.len(), expected.history.len());
    for (found, expected) in found.history.iter().zip(&expected.history) {
        assert_eq!(found.step, expected.step);
        let what = format!("member {} at step {step}", found.step);
        assert_tensors(&found.tensors, &expected.tensors, &what);
    }
}

//! Snapshots of a run: exact, whole or absent, kept and deleted as promised.

#[path = "snapshot/damage.rs"]
mod damage;
#[path = "snapshot/processes.rs"]
mod processes;
#[path = "snapshot/state.rs"]
mod state;

use std::collections::BTreeMap;
use std::os::unix::fs::MetadataExt;

use casm_training::snapshot::{Snapshot, SnapshotError, SnapshotStore, shapes};
use state::{Meta, assert_state, bits, expected, file, latest, names, open, saved};
use tch::{Device, Kind, Tensor};

#[test]
fn every_bit_comes_back() {
    let folder = tempfile::tempdir().expect("writable");
    // A quiet NaN with a payload, a signalling one, the smallest denormal, minus zero, an infinity.
    let odd: Vec<u8> = [0x7fc1_2345_u32, 0x7f80_0001, 1, 0x8000_0000, 0xff80_0000]
        .iter()
        .flat_map(|bits| bits.to_le_bytes())
        .collect();
    let odd = Tensor::from_data_size(&odd, &[5], Kind::Float);
    let ramp = Tensor::arange(120, (Kind::Float, Device::Cpu)).reshape([2, 3, 4, 5]);
    let columns = ramp.permute([3, 1, 0, 2]);
    let counts = Tensor::from_slice(&[i64::MIN, -1, i64::MAX]);
    let tensors = BTreeMap::from([
        ("odd".to_owned(), odd),
        ("not contiguous".to_owned(), columns),
        ("trained".to_owned(), ramp.set_requires_grad(true)),
        ("counts".to_owned(), counts),
        ("one number".to_owned(), Tensor::from(0.1_f32)),
        (
            "nothing".to_owned(),
            Tensor::zeros([0, 3], (Kind::Float, Device::Cpu)),
        ),
    ]);
    let snapshot = Snapshot {
        step: 7,
        meta: 0.1 + 0.2,
        tensors,
        history: Vec::new(),
    };
    let path = open(folder.path(), 1).save(&snapshot).expect("writable");
    assert_eq!(path, file(folder.path(), "snapshots", 7));
    let found = open(folder.path(), 1)
        .latest::<f64>(Device::Cpu, Device::Cpu)
        .expect("whole")
        .expect("there");
    assert_eq!(found.snapshot.meta.to_bits(), (0.1_f64 + 0.2).to_bits());
    assert_eq!(shapes(&found.snapshot.tensors), shapes(&snapshot.tensors));
    for (name, tensor) in &snapshot.tensors {
        let back = &found.snapshot.tensors[name];
        assert_eq!(back.kind(), tensor.kind(), "{name}");
        assert_eq!(bits(back), bits(tensor), "{name}");
    }
}

/// The file is plain safetensors, whoever reads it.
#[test]
fn the_safetensors_crate_reads_the_file() {
    let (folder, _store) = saved(3, 1);
    let bytes = std::fs::read(file(folder.path(), "snapshots", 3)).expect("there");
    let tensors = safetensors::SafeTensors::deserialize(&bytes).expect("plain safetensors");
    for (name, tensor) in expected(3).tensors {
        assert_eq!(tensors.tensor(&name).expect("there").data(), bits(&tensor));
    }
}

#[test]
fn the_last_ones_stay_with_what_they_need() {
    let (folder, _store) = saved(23, 2);
    assert_eq!(
        names(&folder.path().join("snapshots")),
        ["step-000000022.safetensors", "step-000000023.safetensors"]
    );
    let mut needed: Vec<u64> = [22, 23]
        .iter()
        .flat_map(|&step| state::slots(step))
        .collect();
    needed.sort_unstable();
    needed.dedup();
    let files: Vec<String> = needed
        .iter()
        .map(|step| format!("step-{step:09}.safetensors"))
        .collect();
    assert_eq!(names(&folder.path().join("history")), files);
}

#[test]
fn members_are_written_once() {
    let (folder, mut store) = saved(8, 1);
    let identity = |step| {
        let metadata = std::fs::metadata(file(folder.path(), "history", step)).expect("there");
        (metadata.ino(), metadata.mtime(), metadata.mtime_nsec())
    };
    let kept = *state::slots(9).first().expect("members");
    assert!(state::slots(8).contains(&kept));
    let before = identity(kept);
    store.save(&expected(9)).expect("writable");
    assert_eq!(identity(kept), before);
    // A resumed run knows what it has read.
    drop(store);
    let mut store = open(folder.path(), 1);
    latest(&mut store);
    store.save(&expected(10)).expect("writable");
    let kept = *state::slots(10)
        .iter()
        .find(|&&step| step == kept)
        .expect("still a member");
    assert_eq!(identity(kept), before);
}

#[test]
fn a_folder_is_one_process_s_and_one_run_s() {
    let (folder, store) = saved(3, 1);
    let error = SnapshotStore::open(folder.path(), 1).expect_err("open already");
    assert!(matches!(error, SnapshotError::Busy { .. }), "{error}");
    drop(store);
    let mut store = open(folder.path(), 1);
    assert_eq!(store.steps().expect("readable"), [3]);
    let error = store.save(&expected(1)).expect_err("not resumed");
    assert!(
        matches!(error, SnapshotError::Occupied { step: 3, .. }),
        "{error}"
    );
    assert_state(&latest(&mut store).expect("untouched").snapshot, 3);
}

#[test]
fn foreign_files_stay_and_half_written_ones_go() {
    let (folder, store) = saved(1, 1);
    drop(store);
    let folder = folder.path().join("snapshots");
    for name in [
        "notes.txt",
        "step-1.safetensors",
        "step-00000000x.safetensors",
        ".casm-a.partial",
    ] {
        std::fs::write(folder.join(name), "").expect("writable");
    }
    let mut store = open(folder.parent().expect("a run folder"), 1);
    assert!(latest(&mut store).expect("whole").passed_over.is_empty());
    store.save(&expected(2)).expect("writable");
    assert_eq!(
        names(&folder),
        [
            "notes.txt",
            "step-000000002.safetensors",
            "step-00000000x.safetensors",
            "step-1.safetensors"
        ]
    );
}

#[test]
fn a_run_of_another_network_is_described() {
    let (_folder, mut store) = saved(8, 1);
    let found = latest(&mut store).expect("whole");
    let state = shapes(&found.snapshot.tensors);
    let member = shapes(&found.snapshot.history[0].tensors);
    found.check(&state, &member).expect("the same");
    let mut other = state.clone();
    other.insert("parameters/wide".to_owned(), vec![1, 2]);
    other.insert("adam/steps".to_owned(), vec![3]);
    other.remove("sgd/classifier.7.weight");
    let message = found
        .check(&other, &member)
        .expect_err("another")
        .to_string();
    for part in [
        "missing tensors: parameters/wide",
        "surplus tensors: sgd/classifier.7.weight",
        "misshapen tensors: adam/steps (needs [3], has [])",
    ] {
        assert!(message.contains(part), "{message}");
    }
    assert!(
        found.check(&state, &state).is_err(),
        "members are checked, too"
    );
}

#[test]
fn what_could_not_come_back_is_not_saved() {
    let (folder, mut store) = saved(6, 1);
    let mut half = expected(7);
    half.tensors.insert(
        "half".to_owned(),
        Tensor::zeros([2], (Kind::Half, Device::Cpu)),
    );
    let mut nan = expected(7);
    nan.meta.lambda = f64::NAN;
    let mut twice = expected(7);
    twice.history[1].step = twice.history[0].step;
    for (snapshot, part) in [
        (half, "tensor half"),
        (nan, "finite"),
        (twice, "two members"),
    ] {
        let error = store.save(&snapshot).expect_err("unfit");
        assert!(
            matches!(error, SnapshotError::Unfit { step: 7, .. }),
            "{error}"
        );
        assert!(error.to_string().contains(part), "{error}");
    }
    assert_eq!(
        names(&folder.path().join("snapshots")),
        ["step-000000006.safetensors"]
    );
}

#[test]
fn a_folder_that_cannot_be_made_is_named() {
    let file = tempfile::NamedTempFile::new().expect("writable");
    let error = SnapshotStore::open(&file.path().join("run"), 1).expect_err("in a file");
    let message = error.to_string();
    assert!(
        message.contains("name a folder that can be written to"),
        "{message}"
    );
}

/// And with nothing to be kept, the last one still is.
#[test]
fn a_fresh_folder_has_no_snapshot() {
    let folder = tempfile::tempdir().expect("writable");
    let run = folder.path().join("runs/first");
    let mut store = open(&run, 0);
    assert!(latest(&mut store).is_none());
    store.save(&expected(1)).expect("writable");
    let found = store.latest::<Meta>(Device::Cpu, Device::Cpu);
    assert_state(&found.expect("readable").expect("one stays").snapshot, 1);
}

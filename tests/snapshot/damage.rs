//! Files that are not what they were.

use std::path::Path;

use casm_training::snapshot::SnapshotError;
use tch::Device;

use crate::state::{Meta, assert_state, expected, file, latest, open, saved};

fn edit(path: &Path, edit: impl FnOnce(&mut Vec<u8>)) {
    let mut bytes = std::fs::read(path).expect("readable");
    edit(&mut bytes);
    std::fs::write(path, bytes).expect("writable");
}

/// Replaces `from` in a file's header by `to`, of the same length.
fn replace(path: &Path, from: &str, to: &str) {
    edit(path, |bytes| {
        let place = bytes
            .windows(from.len())
            .position(|window| window == from.as_bytes())
            .expect("it is there");
        bytes[place..place + from.len()].copy_from_slice(to.as_bytes());
    });
}

#[test]
fn a_damaged_snapshot_is_named_and_the_one_before_is_used() {
    type Damage = fn(&mut Vec<u8>);
    let damages: [(&str, Damage); 8] = [
        ("empty", Vec::clear),
        ("7 bytes", |bytes| bytes.truncate(7)),
        ("half a header", |bytes| bytes.truncate(100)),
        ("one byte short", |bytes| {
            bytes.pop();
        }),
        ("one byte long", |bytes| bytes.push(0)),
        ("garbage", |bytes| bytes.fill(0xa5)),
        ("another header", |bytes| bytes[20] ^= 4),
        ("a flipped bit", |bytes| {
            let last = bytes.len() - 1000;
            bytes[last] ^= 1;
        }),
    ];
    for (name, damage) in damages {
        let (folder, store) = saved(4, 3);
        drop(store);
        let newest = file(folder.path(), "snapshots", 4);
        edit(&newest, damage);
        let mut store = open(folder.path(), 3);
        let found = latest(&mut store).expect("others are whole");
        assert_state(&found.snapshot, 3);
        let [SnapshotError::Damaged { path, .. }] = &found.passed_over[..] else {
            panic!("{name}: {:?}", found.passed_over);
        };
        assert_eq!(*path, newest, "{name}");
    }
}

#[test]
fn a_snapshot_without_its_members_is_passed_over() {
    // Step 8 is the first that needs the member taken then.
    for damage in ["missing", "exchanged"] {
        let (folder, store) = saved(8, 3);
        drop(store);
        let member = file(folder.path(), "history", 8);
        match damage {
            "missing" => std::fs::remove_file(&member).expect("there"),
            _ => edit(&member, |bytes| {
                let end = bytes.len() - 4;
                bytes[end..].fill(7);
            }),
        }
        let mut store = open(folder.path(), 3);
        let found = latest(&mut store).expect("others are whole");
        assert_state(&found.snapshot, 7);
        let message = found.passed_over[0].to_string();
        assert!(message.contains("history/step-000000008"), "{message}");
        // Going on from there writes the member again, and what was passed over is gone.
        store.save(&expected(8)).expect("writable");
        drop(store);
        let found = latest(&mut open(folder.path(), 3)).expect("whole again");
        assert_state(&found.snapshot, 8);
        assert!(found.passed_over.is_empty());
    }
}

#[test]
fn a_future_that_was_given_up_does_not_come_back() {
    let (folder, store) = saved(6, 3);
    drop(store);
    let newest = file(folder.path(), "snapshots", 6);
    let aside = folder.path().join("aside");
    std::fs::rename(&newest, &aside).expect("writable");
    std::fs::write(&newest, "for a while").expect("writable");
    let mut store = open(folder.path(), 3);
    assert_eq!(latest(&mut store).expect("whole").snapshot.step, 5);
    let mut other = expected(5);
    other.meta.epoch = 77;
    store.save(&other).expect("writable");
    assert!(!newest.exists());
    drop(store);
    assert_eq!(
        latest(&mut open(folder.path(), 3))
            .expect("whole")
            .snapshot
            .meta
            .epoch,
        77
    );
}

#[test]
fn without_a_whole_snapshot_there_is_an_error() {
    let (folder, mut store) = saved(2, 2);
    for step in [1, 2] {
        edit(&file(folder.path(), "snapshots", step), |bytes| {
            bytes.truncate(99)
        });
    }
    let error = store
        .latest::<Meta>(Device::Cpu, Device::Cpu)
        .expect_err("damaged");
    let message = error.to_string();
    for part in [
        "none of the 2",
        "step-000000001",
        "step-000000002",
        "another folder",
    ] {
        assert!(message.contains(part), "{message}");
    }
}

#[test]
fn other_versions_are_not_gone_back_behind() {
    let (folder, mut store) = saved(2, 2);
    let error = store
        .latest::<Vec<u8>>(Device::Cpu, Device::Cpu)
        .expect_err("other data");
    assert!(matches!(error, SnapshotError::Version { .. }), "{error}");
    let newest = file(folder.path(), "snapshots", 2);
    replace(&newest, r#"format_version\":1"#, r#"format_version\":2"#);
    let error = store
        .latest::<Meta>(Device::Cpu, Device::Cpu)
        .expect_err("newer");
    assert!(matches!(error, SnapshotError::Version { .. }), "{error}");
    assert!(error.to_string().contains("snapshot format 2"), "{error}");
}

//! The snapshots of one run folder: saving, finding the latest, deleting what nobody needs.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{File, TryLockError};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use serde::Serialize;
use serde::de::DeserializeOwned;
use tch::Device;

use super::atomic::{WriteError, remove, remove_partial};
use super::label::{Label, Reference, exact, open};
use super::retention::superseded;
use super::tensor_file::unreadable;
use super::{Found, Member, Snapshot, SnapshotError};

/// The snapshots of one run folder, which no other process can open meanwhile.
///
/// On file systems that know no locks nothing keeps a second process out.
#[derive(Debug)]
pub struct SnapshotStore {
    folder: PathBuf,
    keep: usize,
    /// Where the run stands: the step last loaded or saved.
    step: Option<u64>,
    /// Members of the thinning set whose files are known to be right, with their checksums. A file that
    /// merely has the right name may be from a course of the run that was given up.
    members: BTreeMap<u64, u32>,
    /// Locked until it is closed, by us or by the death of the process.
    _lock: File,
}

impl SnapshotStore {
    /// Opens a run folder, which is made if need be, and removes what a killed process left half-written.
    /// The last `keep` snapshots stay, at least one.
    ///
    /// # Errors
    /// [`SnapshotError::Write`] if the folder cannot be written, [`SnapshotError::Busy`] if another
    /// process has it open.
    pub fn open(folder: &Path, keep: usize) -> Result<SnapshotStore, SnapshotError> {
        for folder in [snapshots(folder), history(folder)] {
            std::fs::create_dir_all(&folder).map_err(WriteError::of(&folder))?;
        }
        let path = folder.join("lock");
        let lock = File::create(&path).map_err(WriteError::of(&path))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::Error(error)) if error.kind() == ErrorKind::Unsupported => {}
            Err(TryLockError::WouldBlock) => {
                return Err(SnapshotError::Busy {
                    folder: folder.to_owned(),
                });
            }
            Err(TryLockError::Error(error)) => return Err(WriteError::of(&path)(error).into()),
        }
        for folder in [folder.to_owned(), snapshots(folder), history(folder)] {
            remove_partial(&folder)?;
        }
        Ok(SnapshotStore {
            folder: folder.to_owned(),
            keep,
            step: None,
            members: BTreeMap::new(),
            _lock: lock,
        })
    }

    /// The steps of all snapshots, ascending. A new run makes sure that there are none before it starts
    /// its logs, which would overwrite those of the run that is there.
    ///
    /// # Errors
    /// [`SnapshotError::Read`].
    pub fn steps(&self) -> Result<Vec<u64>, SnapshotError> {
        steps(&snapshots(&self.folder))
    }

    /// Saves a snapshot, then deletes older ones and members that no remaining one needs. Gives its file.
    ///
    /// Members that are on disk already are not written again. Should anything fail, the snapshots from
    /// before are still there.
    ///
    /// # Errors
    /// [`SnapshotError::Write`], [`SnapshotError::Occupied`] if the folder holds a run that was not
    /// loaded with [`SnapshotStore::latest`], [`SnapshotError::Unfit`] if what is to be saved could not
    /// be loaded: other tensors than f32 and i64, two members of one step, numbers that are not finite.
    pub fn save<M: Serialize + DeserializeOwned>(
        &mut self,
        snapshot: &Snapshot<M>,
    ) -> Result<PathBuf, SnapshotError> {
        let step = snapshot.step;
        let unfit = |reason: String| SnapshotError::Unfit { step, reason };
        if let (None, Some(&step)) = (self.step, self.steps()?.last()) {
            return Err(SnapshotError::Occupied {
                folder: self.folder.clone(),
                step,
            });
        }
        let meta = exact(&snapshot.meta).map_err(unfit)?;
        let mut slots = BTreeSet::new();
        if let Some(twice) = snapshot
            .history
            .iter()
            .find(|member| !slots.insert(member.step))
        {
            return Err(unfit(format!("two members of step {}", twice.step)));
        }
        let mut references = Vec::with_capacity(snapshot.history.len());
        for member in &snapshot.history {
            references.push(self.save_member(member)?);
        }
        let path = snapshots(&self.folder).join(name(step));
        Label::new(step, references, meta).write(&path, &snapshot.tensors)?;
        self.step = Some(step);
        self.clean(step)?;
        Ok(path)
    }

    fn save_member(&mut self, member: &Member) -> Result<Reference, SnapshotError> {
        let step = member.step;
        let checksum = match self.members.get(&step) {
            Some(&checksum) => checksum,
            None => {
                let path = history(&self.folder).join(name(step));
                Label::of_member(step).write(&path, &member.tensors)?
            }
        };
        self.members.insert(step, checksum);
        Ok(Reference { step, checksum })
    }

    /// Deletes what is superseded by the snapshot of step `written`.
    fn clean(&mut self, written: u64) -> Result<(), SnapshotError> {
        let steps = self.steps()?;
        let superseded = superseded(&steps, written, self.keep);
        for &step in &superseded {
            remove(&snapshots(&self.folder).join(name(step)))?;
        }
        let mut needed = BTreeSet::new();
        for step in steps.iter().filter(|step| !superseded.contains(step)) {
            // While a kept snapshot cannot be read, nobody knows what it needs.
            let Ok((label, _)) = open(&snapshots(&self.folder).join(name(*step)), *step) else {
                return Ok(());
            };
            needed.extend(label.history.iter().map(|reference| reference.step));
        }
        let folder = history(&self.folder);
        for step in self::steps(&folder)? {
            if !needed.contains(&step) {
                remove(&folder.join(name(step)))?;
                self.members.remove(&step);
            }
        }
        Ok(())
    }

    /// The latest snapshot that is whole, with its tensors on `device` and the thinning set on
    /// `history_device`; `None` in a fresh folder.
    ///
    /// # Errors
    /// [`SnapshotError::NoneUsable`] if there are only damaged ones, [`SnapshotError::Version`] if the
    /// latest is from another version of casm, [`SnapshotError::Read`] without permission,
    /// [`SnapshotError::Device`].
    pub fn latest<M: DeserializeOwned>(
        &mut self,
        device: Device,
        history_device: Device,
    ) -> Result<Option<Found<M>>, SnapshotError> {
        let mut passed_over = Vec::new();
        for step in self.steps()?.into_iter().rev() {
            match self.load(step, device, history_device) {
                Ok((snapshot, path)) => {
                    return Ok(Some(Found {
                        snapshot,
                        path,
                        passed_over,
                    }));
                }
                Err(error) if error.is_damage() => passed_over.push(error),
                Err(error) => return Err(error),
            }
        }
        if passed_over.is_empty() {
            return Ok(None);
        }
        Err(SnapshotError::NoneUsable {
            folder: self.folder.clone(),
            reasons: passed_over,
        })
    }

    fn load<M: DeserializeOwned>(
        &mut self,
        step: u64,
        device: Device,
        history_device: Device,
    ) -> Result<(Snapshot<M>, PathBuf), SnapshotError> {
        let path = snapshots(&self.folder).join(name(step));
        let (label, file) = open(&path, step)?;
        let tensors = file.read(&path, device)?;
        // After the checksum, so it is no damage but another version's data.
        let meta = M::deserialize(label.meta).map_err(|error| SnapshotError::Version {
            path: path.clone(),
            reason: format!("its run data is not this version's ({error})"),
        })?;
        let mut members = BTreeMap::new();
        let mut history = Vec::with_capacity(label.history.len());
        for reference in label.history {
            let path = self::history(&self.folder).join(name(reference.step));
            let (_, file) = open(&path, reference.step)?;
            if file.checksum != reference.checksum {
                return Err(SnapshotError::Damaged {
                    path,
                    reason: format!("it is not the file that the snapshot of step {step} needs"),
                });
            }
            history.push(Member {
                step: reference.step,
                tensors: file.read(&path, history_device)?,
            });
            members.insert(reference.step, reference.checksum);
        }
        self.step = Some(step);
        self.members = members;
        let snapshot = Snapshot {
            step,
            meta,
            tensors,
            history,
        };
        Ok((snapshot, path))
    }
}

fn snapshots(folder: &Path) -> PathBuf {
    folder.join("snapshots")
}

fn history(folder: &Path) -> PathBuf {
    folder.join("history")
}

fn name(step: u64) -> String {
    format!("step-{step:09}.safetensors")
}

/// The steps of the files that are named as [`name`] does, ascending.
fn steps(folder: &Path) -> Result<Vec<u64>, SnapshotError> {
    let step = |file: &str| -> Option<u64> {
        let digits = file.strip_prefix("step-")?.strip_suffix(".safetensors")?;
        digits.parse().ok().filter(|&step| name(step) == file)
    };
    let mut steps = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(unreadable(folder))? {
        let entry = entry.map_err(unreadable(folder))?;
        steps.extend(entry.file_name().to_str().and_then(step));
    }
    steps.sort_unstable();
    Ok(steps)
}

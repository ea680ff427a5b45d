//! What can go wrong between a run and its folder.

use std::io;
use std::path::PathBuf;

use casm::error::WeightsProblem;

use super::WriteError;

/// Why a snapshot cannot be written or read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SnapshotError {
    /// No room, no permission, no folder.
    #[error(transparent)]
    Write(#[from] WriteError),
    /// The operating system does not let it be read.
    #[error("'{}' cannot be read: {cause}; check the disk and the permissions", path.display())]
    Read {
        /// The file or folder.
        path: PathBuf,
        /// What the operating system says.
        cause: io::Error,
    },
    /// Another process trains in this folder.
    #[error("another casm process trains in '{}'; wait for its end, or name another folder", folder.display())]
    Busy {
        /// The run folder.
        folder: PathBuf,
    },
    /// The folder holds the snapshots of a run that is not being resumed.
    #[error("'{}' holds a run already, saved after step {step}; resume it, or name another folder", folder.display())]
    Occupied {
        /// The run folder.
        folder: PathBuf,
        /// Its latest step.
        step: u64,
    },
    /// Truncated, damaged, exchanged, or nothing that casm has written.
    #[error("'{}' is not a usable snapshot: {reason}", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// Written by another version of casm.
    #[error("'{}' cannot be understood: {reason}; go on with the version of casm that wrote it, or start in another folder", path.display())]
    Version {
        /// The file.
        path: PathBuf,
        /// What differs.
        reason: String,
    },
    /// There are snapshots, and none of them is usable.
    #[error("none of the {} snapshots of '{}' can be used ({}); start in another folder", reasons.len(), folder.display(), list(reasons))]
    NoneUsable {
        /// The run folder.
        folder: PathBuf,
        /// What is wrong with each, newest first; never empty.
        reasons: Vec<SnapshotError>,
    },
    /// The tensors are not those that the run needs.
    #[error("'{}' does not fit this run: {problem} A run goes on with the network and the options that it began with", path.display())]
    Weights {
        /// The file.
        path: PathBuf,
        /// Every missing, surplus or misshapen tensor by name.
        problem: WeightsProblem,
    },
    /// What is to be saved could not be read again.
    #[error("the snapshot of step {step} cannot be saved: {reason}")]
    Unfit {
        /// The step.
        step: u64,
        /// Why, by the name of the tensor or field.
        reason: String,
    },
    /// libtorch or its device fails.
    #[error("tensor {name} of '{}' cannot be put on the device: {reason}", path.display())]
    Device {
        /// The file.
        path: PathBuf,
        /// The tensor.
        name: String,
        /// libtorch's message.
        reason: String,
    },
}

impl SnapshotError {
    /// True if the file itself is at fault, so that an earlier snapshot may do. Otherwise going back
    /// would only throw work away: permissions can be granted, and a device can be freed.
    pub(super) fn is_damage(&self) -> bool {
        match self {
            SnapshotError::Damaged { .. } => true,
            SnapshotError::Read { cause, .. } => {
                // A bad sector has no kind of its own.
                let lost = [io::ErrorKind::NotFound, io::ErrorKind::IsADirectory];
                lost.contains(&cause.kind()) || cause.raw_os_error() == Some(libc::EIO)
            }
            _ => false,
        }
    }
}

fn list(reasons: &[SnapshotError]) -> String {
    let reasons: Vec<String> = reasons.iter().map(ToString::to_string).collect();
    reasons.join("; ")
}

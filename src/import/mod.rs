//! Reading checkpoints of PyTorch as data: weights of torchvision, and CASMs trained by the authors'
//! code.
//!
//! | function | what it reads |
//! |---|---|
//! | [`read_state_dict`] | any tensors of floating point, under the names of the file |
//! | [`read`] | a ResNet or MobileNetV2, with or without a decoder, under this library's names |
//!
//! The container is recognised by its content: `torch.save`'s zip file, the stream of pickles that
//! it wrote before PyTorch 1.6, or safetensors. Pickles are parsed and never executed, so a file of
//! unknown origin can do no harm: what its [`Limits`] do not allow is an error.

mod architecture;
mod error;
mod names;
mod pickle;
mod safetensors_file;
mod state_dict;
mod tensor;
mod torch_file;
mod view;

use std::fs::File;
use std::io::{Read, Seek};
use std::path::Path;

pub use architecture::Architecture;
pub use error::{ImportError, Problem};
pub use names::Imported;
pub use state_dict::{Group, StateDict};
pub use tensor::Tensor;

/// How much a file may ask for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of all tensors together, as `f32` and as stored; one storage is held beside them.
    pub tensor_bytes: u64,
    /// How many times the size of the file these bytes may be: half precision doubles, views of one
    /// storage and compression add a little.
    pub expansion: u64,
    /// Bytes of the pickle, which describes the tensors.
    pub pickle_bytes: u64,
    /// Values in the pickle; each takes about 50 bytes of memory.
    pub pickle_values: u32,
}

impl Default for Limits {
    /// Twenty times a ResNet-50, and a thousand times its description.
    fn default() -> Self {
        Self {
            tensor_bytes: 2 << 30,
            expansion: 16,
            pickle_bytes: 64 << 20,
            pickle_values: 2_000_000,
        }
    }
}

/// Reads a ResNet or MobileNetV2 and, if there is one, its decoder.
///
/// # Errors
/// An [`ImportError`] that names the file, what is wrong with it and what to do.
pub fn read(path: &Path) -> Result<Imported, ImportError> {
    read_with(path, &Limits::default())
}

/// [`read`], with limits of the caller's.
///
/// # Errors
/// As [`read`].
pub fn read_with(path: &Path, limits: &Limits) -> Result<Imported, ImportError> {
    open(path, limits)
        .and_then(names::import)
        .map_err(|problem| at(path, problem))
}

/// Reads the tensors of a file, whatever network they belong to.
///
/// # Errors
/// An [`ImportError`] that names the file, what is wrong with it and what to do.
pub fn read_state_dict(path: &Path) -> Result<StateDict, ImportError> {
    read_state_dict_with(path, &Limits::default())
}

/// [`read_state_dict`], with limits of the caller's.
///
/// # Errors
/// As [`read_state_dict`].
pub fn read_state_dict_with(path: &Path, limits: &Limits) -> Result<StateDict, ImportError> {
    open(path, limits).map_err(|problem| at(path, problem))
}

fn at(path: &Path, problem: Problem) -> ImportError {
    ImportError {
        path: path.to_owned(),
        problem,
    }
}

/// Recognises the container and reads its tensors.
fn open(path: &Path, limits: &Limits) -> Result<StateDict, Problem> {
    let mut file = File::open(path)?;
    let metadata = file.metadata()?;
    if !metadata.is_file() {
        return Err(Problem::NotACheckpoint("it is no regular file"));
    }
    let expanded = metadata.len().saturating_mul(limits.expansion);
    let limits = &Limits {
        tensor_bytes: limits.tensor_bytes.min(expanded),
        ..*limits
    };
    let mut head = Vec::new();
    file.by_ref().take(512).read_to_end(&mut head)?;
    file.rewind()?;
    match head.as_slice() {
        [b'P', b'K', 3, 4, ..] => torch_file::read_zip(file, limits),
        // The magic number of a legacy file, as pickle protocols from 2, or 1, write it.
        [0x80, 2..=5, ..] | [b'L', b'1', ..] => torch_file::read_legacy(file, limits),
        // A header's length, below 2^40, and the JSON object that it is the length of.
        [_, _, _, _, _, 0, 0, 0, b'{', ..] => safetensors_file::read(file, limits),
        _ => Err(foreign(&head)),
    }
}

/// Names what is often saved in place of a checkpoint.
fn foreign(head: &[u8]) -> Problem {
    let text = head.trim_ascii_start();
    Problem::NotACheckpoint(match head {
        [] => "it is empty",
        // Where tar files have their magic; PyTorch wrote them before its version 0.1.10.
        _ if head.get(257..262) == Some(b"ustar") => {
            return Problem::Unsupported("a tar file, as PyTorch before 0.1.10 wrote them".into());
        }
        _ if text.starts_with(b"<") => "it is a web page; the download went wrong",
        _ if text.starts_with(b"version https://git-lfs") => {
            "it is a pointer of Git LFS; fetch the file itself with 'git lfs pull'"
        }
        _ => "its first bytes belong to no known format",
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_often_saved_instead_is_named() {
        let message = |head: &[u8]| at(Path::new("/x.pth"), foreign(head)).to_string();
        assert!(
            message(b"\n<!DOCTYPE html>").ends_with("it is a web page; the download went wrong")
        );
        assert!(message(b"version https://git-lfs.github.com/spec/v1").contains("git lfs pull"));
        assert!(message(b"").starts_with("'/x.pth' is neither a PyTorch checkpoint nor"));
        let mut tar = vec![0; 512];
        tar[257..262].copy_from_slice(b"ustar");
        assert!(message(&tar).contains("before 0.1.10"));
    }

    #[test]
    fn a_missing_file_is_named() {
        let error = read(Path::new("/nowhere/x.pth")).map(|_| ());
        let message = error.map_err(|error| error.to_string());
        assert!(message.is_err_and(|text| text.starts_with("'/nowhere/x.pth' cannot be read")));
    }
}

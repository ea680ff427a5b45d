//! The verbs of the `casm` command: arguments as typed, and what is done with them.
//!
//! Exit codes: 0 all done; 1 some inputs could not be used, each named; 2 nothing was done.

pub mod confuse;
mod course;
pub mod distill;
mod drawing;
pub mod evaluate;
pub mod export;
mod figure;
mod frames;
mod gallery;
pub mod import;
pub mod info;
pub mod localize;
mod pictures;
pub mod quantize;
pub mod round;
pub mod sharpen;
pub mod split_classes;
pub mod stats;
pub mod train;
pub mod train_classifier;
pub mod visualize;

use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use casm::checkpoint::{NamedTensor, Storage, serialize};
use casm::{Checkpoint, Header};
use casm_training::snapshot::write_atomically;

/// The checkpoint that was named, by its file or its run's folder, or the built-in one.
fn checkpoint(model: Option<&Path>) -> anyhow::Result<Checkpoint> {
    Ok(match model {
        Some(model) => Checkpoint::open(checkpoint_file(model)?)?,
        None => Checkpoint::built_in()?,
    })
}

/// The checkpoint of a run's folder; a file is itself.
fn checkpoint_file(model: &Path) -> anyhow::Result<PathBuf> {
    if !model.is_dir() {
        return Ok(model.to_owned());
    }
    let unlisted = || format!("folder '{}' cannot be listed", model.display());
    let mut files = Vec::new();
    for entry in std::fs::read_dir(model).with_context(unlisted)? {
        let path = entry.with_context(unlisted)?.path();
        if path
            .extension()
            .is_some_and(|ending| ending == "safetensors")
        {
            files.push(path);
        }
    }
    if let Some(model) = files
        .iter()
        .find(|path| path.ends_with("model.safetensors"))
    {
        return Ok(model.clone());
    }
    match &files[..] {
        [file] => Ok(file.clone()),
        [] => bail!("folder '{}' holds no .safetensors file", model.display()),
        _ => bail!(
            "folder '{}' holds {} .safetensors files and none is model.safetensors: name one of them",
            model.display(),
            files.len()
        ),
    }
}

/// Refuses to replace a file unless that was asked for; before the work, not after it.
fn ensure_new(out: &Path, force: bool) -> anyhow::Result<()> {
    anyhow::ensure!(
        force || !out.exists(),
        "'{}' exists; --force replaces it",
        out.display()
    );
    Ok(())
}

/// Adds what was done to the header's notes.
fn note(header: &mut Header, done: &str) {
    let notes = &mut header.provenance.notes;
    let separator = if notes.is_empty() { "" } else { "; " };
    *notes += &format!("{separator}{done}");
}

/// Writes what a checkpoint has become to `out`, in the number format that it had; `done` is what should have happened.
fn write_changed(
    checkpoint: &Checkpoint,
    header: &Header,
    tensors: &[NamedTensor],
    out: &Path,
    done: &str,
) -> anyhow::Result<()> {
    let storage = match checkpoint.number_formats().as_str() {
        "F16" => Storage::F16,
        _ => Storage::F32,
    };
    let bytes = serialize(header, tensors, storage)?;
    write_atomically(out, |file| file.write_all(&bytes))
        .with_context(|| format!("{} was not {done}", checkpoint.origin()))
}

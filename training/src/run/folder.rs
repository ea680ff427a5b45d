//! The files of a run.

use std::path::{Path, PathBuf};

use anyhow::Context;
use serde::{Deserialize, Serialize};

use crate::snapshot::write_atomically;

/// The files of a run beside its snapshots.
#[derive(Debug, Clone)]
pub struct RunFolder {
    path: PathBuf,
}

impl RunFolder {
    /// The folder at `path`, which need not be there yet.
    pub fn new(path: &Path) -> RunFolder {
        RunFolder {
            path: path.to_owned(),
        }
    }

    /// The folder.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The resolved configuration.
    pub fn config(&self) -> PathBuf {
        self.path.join("config.json")
    }

    /// The checkpoint of the latest snapshot, for the element and the other commands.
    pub fn model(&self) -> PathBuf {
        self.path.join("model.safetensors")
    }

    /// The checkpoint with the lowest LE so far.
    pub fn best(&self) -> PathBuf {
        self.path.join("best.safetensors")
    }

    /// Whether there is a snapshot to go on from, or what looks like one.
    pub fn has_snapshot(&self) -> bool {
        let entries = std::fs::read_dir(self.path.join("snapshots"));
        let mut entries = entries.into_iter().flatten().flatten();
        entries.any(|entry| entry.path().extension().is_some_and(|e| e == "safetensors"))
    }

    /// What a teacher says of the run's pictures (`casm distill`).
    pub fn targets(&self) -> PathBuf {
        self.path.join("targets.safetensors")
    }

    /// Numbers of each step.
    pub fn steps(&self) -> PathBuf {
        self.path.join("steps.csv")
    }

    /// Numbers of each evaluation.
    pub fn scores(&self) -> PathBuf {
        self.path.join("scores.csv")
    }

    /// Reads the configuration.
    ///
    /// # Errors
    /// There is none, or it is another version's.
    pub fn read_config<C: for<'a> Deserialize<'a>>(&self) -> anyhow::Result<C> {
        let path = self.config();
        let text = std::fs::read_to_string(&path).with_context(|| {
            format!(
                "'{}' is no run folder: {} cannot be read",
                self.path.display(),
                path.display()
            )
        })?;
        serde_json::from_str(&text).with_context(|| {
            format!(
                "'{}' cannot be understood: it is of another command (casm train, casm train-classifier) or \
                 another version of casm; go on with the one that wrote it",
                path.display()
            )
        })
    }

    /// Writes the configuration.
    ///
    /// # Errors
    /// The folder cannot be written.
    pub fn write_config<C: Serialize>(&self, config: &C) -> anyhow::Result<()> {
        let json = serde_json::to_string_pretty(config)?;
        write_atomically(&self.config(), |file| writeln!(file, "{json}"))?;
        Ok(())
    }
}

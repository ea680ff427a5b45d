//! The three files, which get their names only when they are complete.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

const NAMES: [&str; 3] = ["overlay.webm", "boxes.jsonl", "contact-sheet.png"];

/// The files of one run. Dropped without [`Outputs::publish`], it removes what was written.
#[derive(Debug)]
pub struct Outputs {
    folder: PathBuf,
}

impl Outputs {
    /// Makes the folder if it is not there.
    pub fn create(folder: &Path) -> Result<Outputs> {
        fs::create_dir_all(folder).with_context(|| {
            let folder = folder.display();
            format!("the output folder {folder} cannot be made; choose another with --out (make demo OUT=...)")
        })?;
        Ok(Outputs {
            folder: folder.to_owned(),
        })
    }

    /// Where to write the video.
    pub fn video(&self) -> PathBuf {
        self.unfinished(NAMES[0])
    }

    /// Where to write the boxes.
    pub fn boxes(&self) -> PathBuf {
        self.unfinished(NAMES[1])
    }

    /// Where to write the contact sheet.
    pub fn contact_sheet(&self) -> PathBuf {
        self.unfinished(NAMES[2])
    }

    /// The names that [`Outputs::publish`] gives.
    pub fn paths(&self) -> [PathBuf; 3] {
        NAMES.map(|name| self.folder.join(name))
    }

    /// Replaces the files of an earlier run by those of this one.
    pub fn publish(&self) -> Result<()> {
        for name in NAMES {
            let path = self.folder.join(name);
            fs::rename(self.unfinished(name), &path)
                .with_context(|| format!("{} cannot be written", path.display()))?;
        }
        Ok(())
    }

    fn unfinished(&self, name: &str) -> PathBuf {
        self.folder.join(format!("{name}.unfinished"))
    }
}

impl Drop for Outputs {
    fn drop(&mut self) {
        for name in NAMES {
            // Nothing there is the normal case, and there is nobody left to tell of another.
            let _ = fs::remove_file(self.unfinished(name));
        }
    }
}

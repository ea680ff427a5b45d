//! Which pictures a command line means, and how a picture file becomes a frame.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use casm_training::picture::{self, ENDINGS};
use image::RgbImage;

/// A picture to be read, and the name that its outputs get.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PictureFile {
    /// Where it is.
    pub path: PathBuf,
    /// Path relative to the folder that was named, without its ending.
    pub stem: PathBuf,
}

/// Finds the pictures that `inputs` mean: files, folders (searched recursively), and glob patterns.
///
/// Folders and patterns give sorted names. What does not exist is kept, so that reading it names it.
///
/// # Errors
/// A pattern or folder without pictures, a folder that cannot be listed, a malformed pattern.
pub fn find(inputs: &[String]) -> anyhow::Result<Vec<PictureFile>> {
    let mut files = Vec::new();
    for input in inputs {
        let path = Path::new(input);
        if path.is_dir() {
            let before = files.len();
            list(path, path, &mut files)?;
            if files.len() == before {
                bail!(
                    "folder '{input}' holds no pictures ({})",
                    ENDINGS.join(", ")
                );
            }
        } else if !path.exists() && input.contains(['*', '?', '[']) {
            let matches =
                glob::glob(input).with_context(|| format!("pattern '{input}' is malformed"))?;
            let before = files.len();
            files.extend(
                matches
                    .filter_map(Result::ok)
                    .filter(|path| path.is_file())
                    .map(single),
            );
            if files.len() == before {
                bail!("pattern '{input}' matches no file");
            }
        } else {
            files.push(single(path.to_owned()));
        }
    }
    Ok(distinct(files))
}

fn single(path: PathBuf) -> PictureFile {
    let stem = path.file_stem().map(PathBuf::from).unwrap_or_default();
    PictureFile { path, stem }
}

fn list(root: &Path, folder: &Path, files: &mut Vec<PictureFile>) -> anyhow::Result<()> {
    let unlisted = || format!("folder '{}' cannot be listed", folder.display());
    let mut entries: Vec<PathBuf> = std::fs::read_dir(folder)
        .with_context(unlisted)?
        .map(|entry| entry.map(|entry| entry.path()))
        .collect::<Result<_, _>>()
        .with_context(unlisted)?;
    entries.sort();
    for path in entries {
        let named_so = picture::has_ending(&path.to_string_lossy());
        // A link to a folder is not followed: it may lead back here.
        if path.is_dir() && !path.is_symlink() {
            list(root, &path, files)?;
        } else if named_so && path.is_file() {
            let stem = path.strip_prefix(root).unwrap_or(&path).with_extension("");
            files.push(PictureFile { path, stem });
        }
    }
    Ok(())
}

/// Gives `a.jpg` and `a.png` different output names, so that none overwrites the other.
fn distinct(mut files: Vec<PictureFile>) -> Vec<PictureFile> {
    let mut used = BTreeSet::new();
    for file in &mut files {
        let plain = file.stem.clone();
        let mut number = 2;
        while !used.insert(file.stem.clone()) {
            file.stem = PathBuf::from(format!("{}-{number}", plain.display()));
            number += 1;
        }
    }
    files
}

/// Reads a picture as RGB, turned upright if its EXIF orientation says so.
///
/// # Errors
/// Names the file and what is wrong with it.
pub fn read(path: &Path) -> anyhow::Result<RgbImage> {
    let open = || -> anyhow::Result<RgbImage> {
        if path.is_dir() {
            bail!("it is a folder");
        }
        picture::decode(&std::fs::read(path)?)
    };
    open().with_context(|| format!("picture '{}' cannot be read", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pictures_with_one_stem_get_distinct_output_names() {
        let files = distinct(vec![
            single("x/a.jpg".into()),
            single("y/a.png".into()),
            single("a-2.png".into()),
        ]);
        let stems: Vec<_> = files
            .iter()
            .map(|file| file.stem.display().to_string())
            .collect();
        assert_eq!(stems, ["a", "a-2", "a-2-2"]);
    }
}

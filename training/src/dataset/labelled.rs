//! Pictures with classes.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, ensure};

use super::layout::{self, Member};
use super::{Archive, ClassMap};
use crate::picture;

/// Endings of archives that are looked for in a folder.
const ARCHIVES: [&str; 3] = [".tar", ".tar.gz", ".tgz"];

/// Which part of a data set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Split {
    /// To learn from.
    Train,
    /// To measure on.
    Validation,
}

/// A picture and its class.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sample {
    /// Index of the archive that holds it.
    archive: usize,
    /// Its name there.
    pub(super) name: String,
    /// Index into the classes of its [`Dataset`].
    pub class: usize,
}

/// Labelled pictures of one source: a folder, an archive, or a folder of archives.
#[derive(Debug)]
pub struct Dataset {
    path: PathBuf,
    archives: Arc<Vec<Archive>>,
    /// Whether it has separate folders for training and validation.
    divided: bool,
    classes: Vec<String>,
    samples: Vec<Sample>,
}

impl Dataset {
    /// Lists the pictures of `split` in a folder, a `.tar`, a `.tar.gz` or a folder of such files.
    ///
    /// The layout may be `train/<class>/*` and `val/<class>/*`; `<class>/*`, which then counts as either
    /// split; or Tiny ImageNet's. All may lie within further folders. Archives of a folder are taken
    /// together, and pictures that are in no folder of their archive have the archive's name as class, as
    /// in ILSVRC's `n01440764.tar`. Classes are the sorted names of those folders that hold pictures;
    /// files that are no pictures by their ending are left out.
    ///
    /// # Errors
    /// The archive cannot be read; its layout is another; there are no pictures of `split`.
    pub fn open(path: &Path, split: Split) -> anyhow::Result<Dataset> {
        let archives = open_archives(path)?;
        let dataset = Dataset::list(path, &Arc::new(archives), split)?;
        dataset.with_context(|| {
            let (wanted, other) = match split {
                Split::Train => ("train", "validation"),
                Split::Validation => ("val", "training"),
            };
            let path = path.display();
            format!("data '{path}' has no folder '{wanted}', only {other} pictures")
        })
    }

    /// A part of the same source, `None` if it has no such part or is not divided into parts.
    ///
    /// # Errors
    /// As [`Dataset::open`].
    pub fn split(&self, split: Split) -> anyhow::Result<Option<Dataset>> {
        if !self.divided {
            return Ok(None);
        }
        Dataset::list(&self.path, &self.archives, split)
    }

    fn list(
        path: &Path,
        archives: &Arc<Vec<Archive>>,
        split: Split,
    ) -> anyhow::Result<Option<Dataset>> {
        let several = archives.len() > 1;
        let mut members = Vec::new();
        for (index, archive) in archives.iter().enumerate() {
            let stem = archive.path().file_name().and_then(|name| name.to_str());
            let stem = stem.and_then(|name| name.split('.').next());
            let pictures = pictures(archive);
            let around = layout::around(&pictures);
            ensure!(
                !pictures.is_empty(),
                "'{}' holds no pictures",
                archive.path().display()
            );
            members.extend(archive.names().map(|name| Member {
                archive: index,
                stem: stem.filter(|_| several),
                name,
                around,
            }));
        }
        let read = |member: &Member| archives[member.archive].read(member.name);
        let labelled = layout::label(&members, split, read)
            .with_context(|| format!("data '{}' cannot be used", path.display()))?;
        let Some(mut labelled) = labelled else {
            return Ok(None);
        };
        labelled
            .pictures
            .sort_by(|(one, one_class), (other, other_class)| {
                (one_class, one.name, one.archive).cmp(&(other_class, other.name, other.archive))
            });
        let mut classes: Vec<String> = Vec::new();
        let mut samples = Vec::with_capacity(labelled.pictures.len());
        for (member, class) in labelled.pictures {
            if classes.last() != Some(&class) {
                classes.push(class);
            }
            samples.push(Sample {
                archive: member.archive,
                name: member.name.to_owned(),
                class: classes.len() - 1,
            });
        }
        if split == Split::Train && !several && path.is_dir() {
            let pictures = pictures(&archives[0]);
            let around = pictures[0]
                .get(..layout::around(&pictures))
                .unwrap_or_default();
            let root = path.join(around);
            let empty = empty_classes(&root, &classes);
            ensure!(
                empty.is_empty(),
                "these folders of '{}' are classes without pictures: {}; remove them, or fill them",
                root.display(),
                empty.join(", ")
            );
        }
        Ok(Some(Dataset {
            path: path.to_owned(),
            archives: archives.clone(),
            divided: labelled.divided,
            classes,
            samples,
        }))
    }

    /// What was opened.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Names of the classes; those of the model after [`Dataset::label`].
    pub fn classes(&self) -> &[String] {
        &self.classes
    }

    /// All pictures, sorted by class and name.
    pub fn samples(&self) -> &[Sample] {
        &self.samples
    }

    /// Name of a picture for people: where it is.
    pub fn name(&self, sample: &Sample) -> String {
        let archive = self.archives[sample.archive].path().display();
        format!("{archive}/{}", sample.name)
    }

    /// The picture's file.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn read(&self, sample: &Sample) -> anyhow::Result<Vec<u8>> {
        self.archives[sample.archive].read(&sample.name)
    }

    /// Leaves out the pictures whose class is not in `indices`, and those classes.
    pub(super) fn keep(&mut self, indices: &BTreeSet<usize>) {
        let mut map = vec![None; self.classes.len()];
        let mut classes = Vec::new();
        for (index, class) in self.classes.drain(..).enumerate() {
            if indices.contains(&index) {
                map[index] = Some(classes.len());
                classes.push(class);
            }
        }
        self.classes = classes;
        self.samples.retain_mut(|sample| {
            let class = map[sample.class];
            sample.class = class.unwrap_or_default();
            class.is_some()
        });
    }

    /// Gives the samples a model's class indices.
    ///
    /// # Errors
    /// A class is not among the model's: see [`ClassMap::new`].
    pub fn label(&mut self, model_classes: &[String]) -> anyhow::Result<()> {
        let map = ClassMap::new(&self.classes, model_classes)
            .with_context(|| format!("data '{}' does not fit the model", self.path.display()))?;
        for sample in &mut self.samples {
            sample.class = map.index(sample.class);
        }
        self.classes = model_classes.to_owned();
        Ok(())
    }
}

/// The archive at `path`, or those in that folder.
fn open_archives(path: &Path) -> anyhow::Result<Vec<Archive>> {
    let archive = Archive::open(path)?;
    if !path.is_dir() {
        return Ok(vec![archive]);
    }
    let inside = |name: &&str| {
        let lower = name.to_lowercase();
        !name.contains('/') && ARCHIVES.iter().any(|ending| lower.ends_with(ending))
    };
    let shards: Vec<_> = archive.names().filter(inside).collect();
    if shards.is_empty() {
        return Ok(vec![archive]);
    }
    ensure!(
        !archive.names().any(picture::has_ending),
        "folder '{}' holds archives beside pictures: name one of them",
        path.display()
    );
    let open = |name: &&str| Archive::open(&path.join(name));
    let opened: Result<Vec<_>, _> = shards.iter().map(open).collect();
    // All stay open, and the usual limit is 1024.
    opened.with_context(|| {
        let count = shards.len();
        format!("of {count} archives; raise `ulimit -n` if these are too many open files")
    })
}

fn pictures(archive: &Archive) -> Vec<&str> {
    let names = archive.names();
    names.filter(|name| picture::has_ending(name)).collect()
}

/// Folders for classes in which there are no pictures.
fn empty_classes(root: &Path, classes: &[String]) -> Vec<String> {
    let train = root.join("train");
    let parent = if train.is_dir() { &train } else { root };
    let Ok(entries) = std::fs::read_dir(parent) else {
        return Vec::new();
    };
    let folders = entries.flatten().filter(|entry| entry.path().is_dir());
    let names = folders.map(|entry| entry.file_name().to_string_lossy().into_owned());
    let mut empty: Vec<String> = names
        .filter(|name| !name.starts_with('.') && !classes.contains(name))
        .collect();
    empty.sort();
    empty
}

#[cfg(test)]
mod tests;

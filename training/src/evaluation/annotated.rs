//! Pictures with ground-truth boxes, from folders and archives in the layouts that they come in.
//!
//! | layout | told by | module |
//! |---|---|---|
//! | wsolevaluation's metadata | `image_ids.txt` | `metadata` |
//! | Tiny ImageNet | `val/val_annotations.txt`, `train/<class>/<class>_boxes.txt` | `tiny_imagenet` |
//! | ILSVRC's and VOC's XML files | `*.xml` | `ilsvrc` |
//! | pictures without boxes, for what needs none | none of these | `plain` |

mod class;
mod ilsvrc;
mod lines;
mod metadata;
mod plain;
mod tiny_imagenet;

use std::fmt;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use serde::Serialize;

use super::Annotation;
use crate::dataset::Archive;
use crate::picture;

pub use class::Class;
use class::ClassList;

/// File name endings of pictures, in lower case.
const PICTURES: [&str; 4] = [".jpg", ".jpeg", ".png", ".webp"];

/// A picture and where its objects are.
#[derive(Debug, Clone, PartialEq)]
pub struct AnnotatedPicture {
    /// Name in [`AnnotatedSet::archive`].
    pub name: String,
    /// Width and height in pixels that the boxes refer to; `None`: those of the picture as stored.
    pub original: Option<(u32, u32)>,
    /// At least one box, in pixels of the original picture; none in [`Layout::Plain`].
    pub annotations: Vec<Annotation>,
    /// Index in [`AnnotatedSet::classes`], if the set has classes.
    pub class: Option<usize>,
}

/// Which part of a set that has parts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Split {
    /// The pictures for training.
    Train,
    /// The pictures for validation.
    Val,
}

impl fmt::Display for Split {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Split::Train => "train",
            Split::Val => "val",
        })
    }
}

/// How a set is laid out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Layout {
    /// The text files of wsolevaluation.
    Metadata,
    /// An XML file a picture.
    Ilsvrc,
    /// The text files of Tiny ImageNet.
    TinyImagenet,
    /// Pictures alone.
    Plain,
}

impl fmt::Display for Layout {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Layout::Metadata => "wsolevaluation metadata",
            Layout::Ilsvrc => "XML annotations",
            Layout::TinyImagenet => "Tiny ImageNet",
            Layout::Plain => "pictures without boxes",
        })
    }
}

/// Where annotated pictures are looked for.
#[derive(Debug, Clone, Default)]
pub struct Location {
    /// Folder, `.tar` or `.tar.gz` with the pictures.
    pub data: PathBuf,
    /// The same with the annotations, if they lie elsewhere.
    pub annotations: Option<PathBuf>,
    /// Which part; `None`: the validation part where a set has both, as far as it can be told.
    pub split: Option<Split>,
}

/// Annotated pictures, ready to be read.
#[derive(Debug)]
pub struct AnnotatedSet {
    /// What the pictures are in.
    pub archive: Archive,
    /// How it is laid out.
    pub layout: Layout,
    /// The pictures that can be used, in the order of their list or names.
    pub pictures: Vec<AnnotatedPicture>,
    /// Their classes.
    pub classes: Vec<Class>,
    /// What cannot be used, and why: pictures without boxes, wrong lines with their numbers.
    pub problems: Vec<String>,
    /// What was left out on purpose.
    pub notes: Vec<String>,
}

/// What a layout's reader finds.
#[derive(Default)]
struct Found {
    pictures: Vec<AnnotatedPicture>,
    classes: ClassList,
    problems: Vec<String>,
    notes: Vec<String>,
}

impl AnnotatedSet {
    /// Lists the pictures and boxes at `location`; reads no picture yet.
    ///
    /// # Errors
    /// There is no such folder or archive, it has none of the layouts, a file of its layout is missing, or
    /// nothing in it can be used.
    pub fn open(location: &Location) -> anyhow::Result<AnnotatedSet> {
        AnnotatedSet::list(location, true)
    }

    /// [`AnnotatedSet::open`] for who needs no boxes: where there are no annotations, all pictures are
    /// taken, each with the folder that it lies in as its class.
    ///
    /// # Errors
    /// There is no such folder or archive, or nothing in it can be used.
    pub fn open_any(location: &Location) -> anyhow::Result<AnnotatedSet> {
        AnnotatedSet::list(location, location.annotations.is_some())
    }

    fn list(location: &Location, boxes: bool) -> anyhow::Result<AnnotatedSet> {
        let archive = Archive::open(&location.data)?;
        let elsewhere = location
            .annotations
            .as_deref()
            .map(Archive::open)
            .transpose()?;
        let annotations = elsewhere.as_ref().unwrap_or(&archive);
        let split = location.split;
        let layout = detect(annotations)
            .or((!boxes).then_some(Layout::Plain))
            .with_context(|| layouts(annotations.path(), location.annotations.is_some()))?;
        let found = match layout {
            Layout::Metadata => metadata::read(&archive, annotations, split),
            Layout::Ilsvrc => ilsvrc::read(&archive, annotations, split),
            Layout::TinyImagenet => tiny_imagenet::read(&archive, annotations, split),
            Layout::Plain => plain::read(&archive, split),
        }?;
        if found.pictures.is_empty() {
            let reason = found.problems.iter().chain(&found.notes).next();
            bail!(
                "'{}' ({layout}) has no picture with a box that can be used{}",
                location.data.display(),
                reason.map_or(String::new(), |reason| format!(": {reason}"))
            );
        }
        Ok(AnnotatedSet {
            archive,
            layout,
            pictures: found.pictures,
            classes: found.classes.into_classes(),
            problems: found.problems,
            notes: found.notes,
        })
    }

    /// Keeps `count` pictures, evenly spread over all; all if there are no more.
    pub fn limit(&mut self, count: usize) {
        let all = self.pictures.len();
        if count < all {
            let chosen = (0..count).map(|index| self.pictures[index * all / count].clone());
            self.pictures = chosen.collect();
        }
    }

    /// For each of the set's classes the logit of a model with `count` classes, `names` if they are named.
    ///
    /// Matched by name, or by a name's first word, which is the WordNet id; by number if the model's
    /// classes or the set's have no WordNet ids and all numbers are in range.
    ///
    /// # Errors
    /// Why they do not match.
    pub fn match_classes(&self, names: &[String], count: usize) -> Result<Vec<usize>, String> {
        if self.pictures.iter().any(|picture| picture.class.is_none()) {
            return Err("the pictures have no classes".to_owned());
        }
        class::match_classes(&self.classes, names, count)
    }

    /// Number of boxes.
    pub fn boxes(&self) -> usize {
        let counts = self
            .pictures
            .iter()
            .map(|picture| picture.annotations.len());
        counts.sum()
    }

    /// Reads and decodes the picture with this index.
    ///
    /// # Errors
    /// It cannot be read or decoded; names it.
    pub fn decode(&self, index: usize) -> anyhow::Result<image::RgbImage> {
        let annotated = &self.pictures[index];
        let bytes = self.archive.read(&annotated.name)?;
        let picture = picture::decode(&bytes)
            .with_context(|| format!("picture '{}' cannot be decoded", annotated.name))?;
        let (width, height) = picture.dimensions();
        if width != height && annotated.original == Some((height, width)) {
            bail!(
                "picture '{}' is {width}x{height} once turned upright, but annotated as \
                 {height}x{width}: its boxes do not fit; remove its EXIF orientation",
                annotated.name
            );
        }
        Ok(picture)
    }
}

/// The layout of the annotations in an archive.
fn detect(annotations: &Archive) -> Option<Layout> {
    let mut xml = false;
    for name in annotations.names() {
        if file_name(name) == metadata::IDS {
            return Some(Layout::Metadata);
        }
        if tiny_imagenet::is_box_file(name) {
            return Some(Layout::TinyImagenet);
        }
        xml |= has_ending(name, ".xml");
    }
    xml.then_some(Layout::Ilsvrc)
}

/// What was looked for in vain.
fn layouts(path: &Path, separate: bool) -> String {
    let remedy = if separate {
        ""
    } else {
        "; annotations that lie elsewhere are named with --annotations"
    };
    format!(
        "'{}' has no annotations: neither wsolevaluation's image_ids.txt, nor Tiny ImageNet's \
         val/val_annotations.txt or train/<class>/<class>_boxes.txt, nor XML files{remedy}",
        path.display()
    )
}

/// `a/b/c.txt` → `c.txt`.
fn file_name(name: &str) -> &str {
    name.rsplit('/').next().unwrap_or(name)
}

/// `a/b/c.txt` → `a/b/`, and nothing for `c.txt`.
fn folder(name: &str) -> &str {
    &name[..name.len() - file_name(name).len()]
}

/// Whether a name has this ending, in upper or lower case.
fn has_ending(name: &str, ending: &str) -> bool {
    let start = name.len().checked_sub(ending.len());
    start
        .and_then(|start| name.get(start..))
        .is_some_and(|end| end.eq_ignore_ascii_case(ending))
}

fn is_picture(name: &str) -> bool {
    PICTURES.iter().any(|ending| has_ending(name, ending))
}

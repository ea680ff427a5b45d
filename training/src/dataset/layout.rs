//! Which class each picture has, by where it lies.

use std::collections::HashMap;

use anyhow::{Context, bail, ensure};

use super::Split;
use crate::picture;

/// Names of a folder of validation pictures.
const VALIDATION: [&str; 3] = ["val", "valid", "validation"];
/// Name of a folder of training pictures.
const TRAIN: &str = "train";
/// Tiny ImageNet's file of labels, beside its folder of validation pictures.
const ANNOTATIONS: &str = "val_annotations.txt";
/// Beside the pictures of wsolevaluation's layout.
const EVALUATION: &str = "class_labels.txt";

/// A file of one of several archives.
#[derive(Debug, Clone, Copy)]
pub struct Member<'a> {
    /// Index of the archive.
    pub archive: usize,
    /// The archive's file name without its ending, which is the class of pictures in no folder.
    pub stem: Option<&'a str>,
    /// Name of the file in the archive.
    pub name: &'a str,
    /// Length of the folders around everything in its archive, which differ from one to the next.
    pub around: usize,
}

impl<'a> Member<'a> {
    /// Name within the folders around everything.
    fn path(&self) -> &'a str {
        self.name.get(self.around..).unwrap_or(self.name)
    }
}

/// Length of what precedes `train/` or `val/` in the names of all of an archive's pictures; 0 where they
/// are not divided so.
pub fn around(pictures: &[&str]) -> usize {
    let Some(first) = pictures.first() else {
        return 0;
    };
    let mut length = 0;
    for part in first.split_inclusive('/') {
        let name = part.trim_end_matches('/');
        if part.ends_with('/') && (name == TRAIN || VALIDATION.contains(&name)) {
            let around = &first[..length];
            return match pictures.iter().all(|picture| picture.starts_with(around)) {
                true => length,
                false => 0,
            };
        }
        length += part.len();
    }
    0
}

/// Labelled pictures of a split.
#[derive(Debug)]
pub struct Labelled<'a> {
    /// Pictures, each with its class.
    pub pictures: Vec<(Member<'a>, String)>,
    /// Whether there are separate folders for training and validation.
    pub divided: bool,
}

/// The members that are pictures of `split`, each with its class; `None` if there is no such split.
///
/// `read` reads a member.
pub fn label<'a>(
    members: &[Member<'a>],
    split: Split,
    read: impl Fn(&Member<'a>) -> anyhow::Result<Vec<u8>>,
) -> anyhow::Result<Option<Labelled<'a>>> {
    let hidden = |part: &str| part.starts_with('.') || part == "__MACOSX";
    let members: Vec<_> = members
        .iter()
        .filter(|member| !member.path().split('/').any(hidden))
        .collect();
    let names = || members.iter().map(|member| member.path());
    let pictures = || names().filter(|name| picture::has_ending(name));
    ensure!(pictures().next().is_some(), "it holds no pictures");

    let root = root(pictures());
    let below = |name: &'a str| name.get(root.len()..).unwrap_or_default();
    ensure!(
        !names().any(|name| name.rsplit('/').next() == Some(EVALUATION)),
        "it is laid out for `casm evaluate`, not in folders of classes"
    );
    let (mut train, mut validation) = (false, None);
    for name in pictures() {
        match below(name).split_once('/') {
            Some((TRAIN, _)) => train = true,
            Some((first, _)) if VALIDATION.contains(&first) => validation = Some(first),
            _ => {}
        }
    }
    let divided = train || validation.is_some();
    let part = match split {
        Split::Train => train.then_some(TRAIN),
        Split::Validation => validation,
    };
    let folder = match part {
        Some(part) => format!("{root}{part}/"),
        None if divided => return Ok(None),
        None => root.to_owned(),
    };

    let annotations = members
        .iter()
        .find(|member| member.path().strip_prefix(&folder) == Some(ANNOTATIONS));
    let annotations = match annotations {
        Some(member) => Some(read_annotations(&read(member)?).context(ANNOTATIONS)?),
        None => None,
    };
    let mut labelled = Labelled {
        pictures: Vec::new(),
        divided,
    };
    for member in members {
        let inside = member.path().strip_prefix(&folder);
        let Some(inside) = inside.filter(|inside| picture::has_ending(inside)) else {
            continue;
        };
        let class = if let Some(annotations) = &annotations {
            let file = inside.rsplit('/').next().unwrap_or(inside);
            let class = annotations.get(file);
            class.with_context(|| format!("{ANNOTATIONS} has no line for '{file}'"))?
        } else if let Some((class, _)) = inside.split_once('/') {
            class
        } else if let Some(stem) = member.stem {
            stem
        } else {
            bail!("picture '{}' lies in no class's folder", member.name);
        };
        labelled.pictures.push((*member, class.to_owned()));
    }
    Ok(Some(labelled))
}

/// The folders around everything, as archives have them: `tiny-imagenet-200/`.
fn root<'a>(pictures: impl Iterator<Item = &'a str> + Clone) -> &'a str {
    let Some(first) = pictures.clone().next() else {
        return "";
    };
    let mut root = "";
    loop {
        let Some(length) = first[root.len()..].find('/') else {
            return root;
        };
        let longer = &first[..root.len() + length + 1];
        let name = &longer[root.len()..longer.len() - 1];
        let around_all = || {
            pictures.clone().all(|picture| {
                let inside = picture.strip_prefix(longer);
                // What is left must have a class's folder. `images` is Tiny ImageNet's within one.
                inside.is_some_and(|inside| inside.contains('/') && !inside.starts_with("images/"))
            })
        };
        if name == TRAIN || VALIDATION.contains(&name) || !around_all() {
            return root;
        }
        root = longer;
    }
}

/// Tiny ImageNet's validation labels: file name, tab, class, tab, box.
fn read_annotations(bytes: &[u8]) -> anyhow::Result<HashMap<String, String>> {
    let text = std::str::from_utf8(bytes).context("it is no text")?;
    let lines = text.lines().filter(|line| !line.trim().is_empty());
    lines
        .map(|line| {
            let mut columns = line.split('\t').map(str::trim);
            match (columns.next(), columns.next()) {
                (Some(file), Some(class)) => Ok((file.to_owned(), class.to_owned())),
                _ => bail!("line '{line}' has no class"),
            }
        })
        .collect()
}

#[cfg(test)]
mod tests;

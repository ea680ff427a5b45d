//! Tiny ImageNet as it is shipped: 64 x 64 pixels, a box each.
//!
//! | file | a line |
//! |---|---|
//! | `val/val_annotations.txt` | picture in `val/images/`, class, left, top, right, bottom |
//! | `train/<class>/<class>_boxes.txt` | picture in `train/<class>/images/`, left, top, right, bottom |
//!
//! Its edges are whole pixels, cut off when ImageNet's pictures were made small; they are taken as edges
//! here, as those of larger pictures are.

use anyhow::{Context, bail};

use super::lines::{Lines, annotation};
use super::{AnnotatedPicture, Found, Split, file_name, folder};
use crate::dataset::Archive;

const VAL: &str = "val/val_annotations.txt";

/// Whether a file of this name has Tiny ImageNet's boxes.
pub fn is_box_file(name: &str) -> bool {
    is_val(name) || train_class(name).is_some()
}

fn is_val(name: &str) -> bool {
    name.strip_suffix(VAL)
        .is_some_and(|home| home.is_empty() || home.ends_with('/'))
}

/// `…train/<class>/<class>_boxes.txt` → the class.
fn train_class(name: &str) -> Option<&str> {
    let class = file_name(name).strip_suffix("_boxes.txt")?;
    let home = folder(name).strip_suffix('/')?.strip_suffix(class)?;
    let train = home.strip_suffix("train/")?;
    (train.is_empty() || train.ends_with('/')).then_some(class)
}

/// Reads the boxes of a part: by default of `val`, or of `train` if that is all there is.
pub fn read(
    archive: &Archive,
    annotations: &Archive,
    split: Option<Split>,
) -> anyhow::Result<Found> {
    let val = annotations.names().find(|name| is_val(name));
    let train = || {
        annotations
            .names()
            .filter(|name| train_class(name).is_some())
    };
    let split = split.unwrap_or(if val.is_some() {
        Split::Val
    } else {
        Split::Train
    });
    let mut found = Found::default();
    match split {
        Split::Val => {
            let name = val.with_context(|| {
                format!(
                    "'{}' has no {VAL}; use --split train",
                    annotations.path().display()
                )
            })?;
            read_lines(archive, annotations, name, None, &mut found)?;
        }
        Split::Train => {
            if train().next().is_none() {
                bail!(
                    "'{}' has no train/<class>/<class>_boxes.txt; use --split val",
                    annotations.path().display()
                );
            }
            for name in train() {
                read_lines(archive, annotations, name, train_class(name), &mut found)?;
            }
        }
    }
    Ok(found)
}

/// Reads one file of boxes; `class` if it is the same for all of them and not in the lines.
fn read_lines(
    archive: &Archive,
    annotations: &Archive,
    name: &str,
    class: Option<&str>,
    found: &mut Found,
) -> anyhow::Result<()> {
    let lines = Lines::read(annotations, name)?;
    for (number, line) in lines.iter() {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let parts = match (class, &fields[..]) {
            (Some(class), &[file, left, top, right, bottom]) => {
                Ok((file, class, [left, top, right, bottom]))
            }
            (None, &[file, class, left, top, right, bottom]) => {
                Ok((file, class, [left, top, right, bottom]))
            }
            _ => Err(format!("'{line}' is no picture with a box")),
        };
        let picture = parts.and_then(|(file, class, edges)| {
            let picture = format!("{}images/{file}", folder(name));
            if !archive.contains(&picture) {
                return Err(format!("picture '{picture}' is missing"));
            }
            Ok((picture, class, annotation(edges)?))
        });
        match picture {
            Ok((picture, class, annotation)) => found.pictures.push(AnnotatedPicture {
                name: picture,
                original: None,
                annotations: vec![annotation],
                class: Some(found.classes.index(class, None)),
            }),
            Err(what) => found.problems.push(lines.problem(number, &what)),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn box_files_are_told_by_name_and_place() {
        assert!(is_box_file("val/val_annotations.txt"));
        assert!(is_box_file("tiny-imagenet-200/val/val_annotations.txt"));
        assert!(!is_box_file("interval/val_annotations.txt"));
        let train = "x/train/n01443537/n01443537_boxes.txt";
        assert_eq!(train_class(train), Some("n01443537"));
        assert_eq!(train_class("train/n01443537/other_boxes.txt"), None);
        assert_eq!(train_class("n01443537_boxes.txt"), None);
    }
}

//! Pictures without boxes: folders of classes, or just a folder.

use anyhow::ensure;

use super::ilsvrc::parent;
use super::{AnnotatedPicture, Found, Split, is_picture};
use crate::dataset::Archive;

/// Folders that hold a part of a set, not a class.
const TRAIN: [&str; 1] = ["train"];
const VAL: [&str; 3] = ["val", "valid", "validation"];

/// Lists the pictures of a part: by default of the validation part, if there is one.
pub fn read(archive: &Archive, split: Option<Split>) -> anyhow::Result<Found> {
    let path = archive.path().display();
    let hidden = |name: &str| name.split('/').any(|part| part.starts_with('.'));
    let names = archive.names();
    let names: Vec<&str> = names
        .filter(|name| is_picture(name) && !hidden(name))
        .collect();
    ensure!(
        !names.is_empty(),
        "'{path}' holds no pictures (jpg, png, webp); archives in a folder are named one by one"
    );
    let is_in = |name: &str, folders: &[&str]| {
        let mut parts = name.rsplit('/').skip(1);
        parts.any(|part| folders.contains(&part))
    };
    let folders = match split {
        Some(Split::Train) => Some(&TRAIN[..]),
        Some(Split::Val) => Some(&VAL[..]),
        None => Some(&VAL[..]).filter(|val| names.iter().any(|name| is_in(name, val))),
    };
    let mut found = Found::default();
    for name in names {
        if folders.is_some_and(|folders| !is_in(name, folders)) {
            continue;
        }
        let class = parent(name);
        let is_class = !class.is_empty() && !TRAIN.contains(&class) && !VAL.contains(&class);
        found.pictures.push(AnnotatedPicture {
            name: name.to_owned(),
            original: None,
            annotations: Vec::new(),
            class: is_class.then(|| found.classes.index(class, None)),
        });
    }
    if let (true, Some(folders)) = (found.pictures.is_empty(), folders) {
        anyhow::bail!(
            "'{path}' has no pictures in a folder {}",
            folders.join(" or ")
        );
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::super::{AnnotatedSet, Layout, Location};
    use super::*;

    fn open(names: &[&str], split: Option<Split>) -> Result<AnnotatedSet, String> {
        let folder = tempfile::tempdir().expect("a temporary folder");
        for name in names {
            let path: PathBuf = folder.path().join(name);
            std::fs::create_dir_all(path.parent().expect("below the folder")).expect("writable");
            std::fs::write(path, b"").expect("writable");
        }
        let location = Location {
            data: folder.path().to_owned(),
            annotations: None,
            split,
        };
        AnnotatedSet::open_any(&location).map_err(|error| format!("{error:#}"))
    }

    fn listed(names: &[&str], split: Option<Split>) -> Vec<String> {
        let set = open(names, split).expect("pictures");
        assert_eq!(set.layout, Layout::Plain);
        let pictures = set.pictures.iter();
        let named = pictures.map(|picture| {
            let class = picture.class.map_or("-", |class| &set.classes[class].name);
            format!("{} {class}", picture.name)
        });
        named.collect()
    }

    #[test]
    fn folders_are_classes_but_parts_are_not() {
        assert_eq!(
            listed(&["b.png", "a.jpg", "c.txt", ".d.jpg"], None),
            ["a.jpg -", "b.png -"]
        );
        let parts = [
            "set/train/n1/1.jpg",
            "set/val/n1/2.jpg",
            "set/val/n2/images/3.jpg",
        ];
        let val = ["set/val/n1/2.jpg n1", "set/val/n2/images/3.jpg n2"];
        assert_eq!(listed(&parts, None), val);
        assert_eq!(listed(&parts, Some(Split::Val)), val);
        assert_eq!(
            listed(&parts, Some(Split::Train)),
            ["set/train/n1/1.jpg n1"]
        );
        assert_eq!(listed(&["train/1.jpg"], None), ["train/1.jpg -"]);
    }

    #[test]
    fn nothing_to_look_at_is_an_error() {
        let error = open(&["readme.txt", "a.tar"], None).unwrap_err();
        assert!(error.contains("holds no pictures"), "{error}");
        let error = open(&["train/n1/1.jpg"], Some(Split::Val)).unwrap_err();
        assert!(error.contains("val or valid"), "{error}");
    }
}

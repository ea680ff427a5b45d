//! An XML file a picture, as ILSVRC and PASCAL VOC annotate, beside folders of pictures.
//!
//! `picture.JPEG` belongs to `picture.xml`, wherever that lies; of several the one in a folder of the same
//! name counts. Pictures may lie in a folder a class, then the objects that bear the folder's name count;
//! or all in one, then those that bear the first object's name, which is the picture's class.

use std::collections::{HashMap, HashSet};

use anyhow::{Context, bail, ensure};
use roxmltree::{Document, Node};

use super::lines::annotation;
use super::{
    AnnotatedPicture, Annotation, Found, Split, file_name, folder, has_ending, is_picture,
};
use crate::dataset::Archive;

/// What an XML file says.
struct Content {
    size: Option<(u32, u32)>,
    /// Names and boxes, at least one.
    objects: Vec<(String, Annotation)>,
}

/// Reads the annotation of each picture.
pub fn read(
    archive: &Archive,
    annotations: &Archive,
    split: Option<Split>,
) -> anyhow::Result<Found> {
    let mut found = Found::default();
    let mut files: HashMap<&str, Vec<&str>> = HashMap::new();
    for name in annotations.names().filter(|name| has_ending(name, ".xml")) {
        files.entry(stem(name)).or_default().push(name);
    }
    let part = split.map(|split| split.to_string());
    let of_part = |name: &&str| match &part {
        Some(part) => folder(name).split('/').any(|folder| folder == part),
        None => true,
    };
    let pictures: Vec<&str> = archive.names().filter(|name| is_picture(name)).collect();
    if pictures.is_empty() {
        bail!("'{}' has no pictures", archive.path().display());
    }
    let mut contents = Vec::new();
    let mut alone = Vec::new();
    for name in pictures.into_iter().filter(of_part) {
        let parent = parent(name);
        let file = match files.get(stem(name)).map(Vec::as_slice) {
            None => {
                alone.push(name);
                continue;
            }
            Some([file]) => Ok(*file),
            Some(several) => {
                let same = several.iter().find(|file| self::parent(file) == parent);
                same.copied().with_context(|| {
                    format!("picture '{name}' may belong to {}", several.join(" and "))
                })
            }
        };
        match file.and_then(|file| content(annotations, file)) {
            Ok(content) => contents.push((name, parent, content)),
            Err(error) => found.problems.push(format!("{error:#}")),
        }
    }
    if let Some(first) = alone.first() {
        found.notes.push(format!(
            "{} pictures have no annotation and are left out, '{first}' for one",
            alone.len()
        ));
    }

    let bears =
        |content: &Content, class: &str| content.objects.iter().any(|(name, _)| name == class);
    let in_class_folders = contents
        .iter()
        .any(|(_, parent, content)| bears(content, parent));
    for (name, parent, content) in contents {
        let class = if in_class_folders {
            parent.to_owned()
        } else {
            content.objects[0].0.clone()
        };
        if !bears(&content, &class) {
            let others: HashSet<&str> = content
                .objects
                .iter()
                .map(|(name, _)| name.as_str())
                .collect();
            let others: Vec<&str> = others.into_iter().collect();
            found.problems.push(format!(
                "picture '{name}' lies in folder '{parent}', but its objects are {}",
                others.join(", ")
            ));
            continue;
        }
        let objects = content
            .objects
            .into_iter()
            .filter(|(name, _)| *name == class);
        found.pictures.push(AnnotatedPicture {
            name: name.to_owned(),
            original: content.size,
            annotations: objects.map(|(_, annotation)| annotation).collect(),
            class: Some(found.classes.index(&class, None)),
        });
    }
    Ok(found)
}

fn content(annotations: &Archive, file: &str) -> anyhow::Result<Content> {
    let bytes = annotations.read(file)?;
    let parse = || -> anyhow::Result<Content> {
        let text = String::from_utf8_lossy(&bytes);
        let document = Document::parse(&text).context("it is no XML")?;
        let root = document.root_element();
        let size = child(root, "size").and_then(|size| {
            let side = |name| {
                text_of(size, name)?
                    .parse()
                    .ok()
                    .filter(|&side: &u32| side > 0)
            };
            Some((side("width")?, side("height")?))
        });
        let mut objects = Vec::new();
        for object in root.children().filter(|node| node.has_tag_name("object")) {
            let name = text_of(object, "name").context("an object has no name")?;
            let edges =
                child(object, "bndbox").with_context(|| format!("'{name}' has no bndbox"))?;
            let edge = |edge| text_of(edges, edge).unwrap_or_default();
            let edges = ["xmin", "ymin", "xmax", "ymax"].map(edge);
            let annotation = annotation(edges).map_err(anyhow::Error::msg)?;
            objects.push((name.to_owned(), annotation));
        }
        ensure!(!objects.is_empty(), "it has no object");
        Ok(Content { size, objects })
    };
    parse().with_context(|| format!("annotation '{file}' cannot be used"))
}

fn child<'a, 'input>(node: Node<'a, 'input>, name: &str) -> Option<Node<'a, 'input>> {
    node.children().find(|child| child.has_tag_name(name))
}

fn text_of<'a>(node: Node<'a, '_>, name: &str) -> Option<&'a str> {
    child(node, name)?.text().map(str::trim)
}

/// `a/b/c.xml` → `c`.
fn stem(name: &str) -> &str {
    let file = file_name(name);
    file.rsplit_once('.').map_or(file, |(stem, _)| stem)
}

/// `a/b/c.xml` → `b`. Tiny ImageNet's and others' folder `images` between class and pictures does not
/// count.
pub(super) fn parent(name: &str) -> &str {
    let mut folders = folder(name).trim_end_matches('/').rsplit('/');
    match folders.next() {
        Some("images") => folders.next().unwrap_or("images"),
        Some(parent) => parent,
        None => "",
    }
}

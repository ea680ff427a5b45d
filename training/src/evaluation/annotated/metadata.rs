//! wsolevaluation's metadata: four text files and the pictures beside them, in `images/`.
//!
//! | file | a line |
//! |---|---|
//! | `image_ids.txt` | picture |
//! | `class_labels.txt` | picture, label from 0 on; may be absent, then there are no class scores |
//! | `image_sizes.txt` | picture, width, height, in which the boxes are given |
//! | `localization.txt` | picture, left, top, right, bottom; a line a box |
//! | `synset_words.txt` | not wsolevaluation's and optional: name of class 0, 1, … by its WordNet id |

use std::collections::{BTreeSet, HashMap};

use anyhow::bail;

use super::lines::{Lines, annotation};
use super::{AnnotatedPicture, Annotation, Found, Split, folder};
use crate::dataset::Archive;

/// The file that lists the pictures.
pub const IDS: &str = "image_ids.txt";

/// Reads the lists; the pictures are in `archive`.
pub fn read(
    archive: &Archive,
    annotations: &Archive,
    split: Option<Split>,
) -> anyhow::Result<Found> {
    let home = home(annotations, split)?;
    let mut found = Found::default();
    let ids = Lines::read(annotations, &format!("{home}{IDS}"))?;
    let known: BTreeSet<&str> = ids.iter().map(|(_, id)| id).collect();

    let optional = |name: &str| {
        let name = format!("{home}{name}");
        annotations
            .contains(&name)
            .then(|| Lines::read(annotations, &name))
            .transpose()
    };
    let labels = optional("class_labels.txt")?;
    let words = optional("synset_words.txt")?;
    let sizes = Lines::read(annotations, &format!("{home}image_sizes.txt"))?;
    let boxes = Lines::read(annotations, &format!("{home}localization.txt"))?;

    let problems = &mut found.problems;
    let label_of = labels.as_ref().map(|labels| {
        let values = values(labels, &known, problems, |[label]| {
            let number: Result<usize, _> = label.parse();
            number.map_err(|_| format!("'{label}' is no label, 0, 1, 2 …"))
        });
        values.into_iter().collect::<HashMap<_, _>>()
    });
    let size_of: HashMap<&str, (u32, u32)> = values(&sizes, &known, problems, |[width, height]| {
        match (width.parse(), height.parse()) {
            (Ok(width), Ok(height)) if width > 0 && height > 0 => Ok((width, height)),
            _ => Err(format!("'{width},{height}' is no width and height")),
        }
    })
    .into_iter()
    .collect();
    let mut boxes_of: HashMap<&str, Vec<Annotation>> = HashMap::new();
    for (id, edges) in values(&boxes, &known, problems, annotation) {
        boxes_of.entry(id).or_default().push(edges);
    }

    let names: Vec<&str> = words
        .iter()
        .flat_map(Lines::iter)
        .map(|(_, line)| line)
        .collect();
    if labels.is_none() {
        let note = format!("there is no {home}class_labels.txt, hence no class scores");
        found.notes.push(note);
    }
    let mut seen = BTreeSet::new();
    for (number, id) in ids.iter() {
        let mut refuse = |what: &str| found.problems.push(ids.problem(number, what));
        if !seen.insert(id) {
            refuse(&format!("'{id}' is there twice"));
            continue;
        }
        let places = [
            format!("{home}images/{id}"),
            format!("{home}{id}"),
            format!("images/{id}"),
            id.to_owned(),
        ];
        let Some(name) = places.into_iter().find(|name| archive.contains(name)) else {
            refuse(&format!("picture '{id}' is missing"));
            continue;
        };
        let Some(annotations) = boxes_of.remove(id) else {
            refuse(&format!("'{id}' has no box in localization.txt"));
            continue;
        };
        let Some(&original) = size_of.get(id) else {
            refuse(&format!("'{id}' has no size in image_sizes.txt"));
            continue;
        };
        let class = match &label_of {
            None => None,
            Some(label_of) => {
                let Some(&label) = label_of.get(id) else {
                    refuse(&format!("'{id}' has no label in class_labels.txt"));
                    continue;
                };
                let word = names
                    .get(label)
                    .and_then(|line| line.split_whitespace().next());
                let name = word.map_or_else(|| label.to_string(), str::to_owned);
                Some(found.classes.index(&name, Some(label)))
            }
        };
        found.pictures.push(AnnotatedPicture {
            name,
            original: Some(original),
            annotations,
            class,
        });
    }
    Ok(found)
}

/// The folder of the lists; of several the one that is named like the split.
fn home(annotations: &Archive, split: Option<Split>) -> anyhow::Result<&str> {
    let all = annotations
        .names()
        .filter(|name| super::file_name(name) == IDS);
    let homes: Vec<&str> = all.map(folder).collect();
    let of_split = |home: &&str| {
        let last = home.trim_end_matches('/').rsplit('/').next();
        split.is_some_and(|split| last == Some(split.to_string().as_str()))
    };
    let chosen: Vec<&str> = homes.iter().copied().filter(of_split).collect();
    match (&homes[..], &chosen[..]) {
        (_, [home]) | ([home], _) => Ok(home),
        _ => bail!(
            "'{}' has {IDS} in several folders ({}): name one of them, or its part with --split",
            annotations.path().display(),
            homes.join(", ")
        ),
    }
}

/// The picture and the value of each line `picture,part,…`. Lines that are wrong are problems.
fn values<'a, const PARTS: usize, T>(
    lines: &'a Lines,
    known: &BTreeSet<&str>,
    problems: &mut Vec<String>,
    parse: impl Fn([&'a str; PARTS]) -> Result<T, String>,
) -> Vec<(&'a str, T)> {
    let mut found = Vec::new();
    for (number, line) in lines.iter() {
        // From the end: a picture's name may have commas in it.
        let mut parts = line.rsplitn(PARTS + 1, ',').map(str::trim);
        let mut values = [""; PARTS];
        for value in values.iter_mut().rev() {
            *value = parts.next().unwrap_or_default();
        }
        let value = match parts.next() {
            None => Err(format!("'{line}' has too few parts")),
            Some(id) if !known.contains(id) => Err(format!("'{id}' is not in {IDS}")),
            Some(id) => parse(values).map(|value| (id, value)),
        };
        match value {
            Ok(value) => found.push(value),
            Err(what) => problems.push(lines.problem(number, &what)),
        }
    }
    found
}

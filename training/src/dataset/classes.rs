//! Names of classes: which are the same, which are wanted.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::Path;

use anyhow::{Context, bail, ensure};

use super::Dataset;

/// Subsets of classes by name, as `casm split-classes` writes them (Table 3 of the paper).
pub type Subsets = BTreeMap<String, Vec<String>>;

/// Names that an error lists before it stops.
const LISTED: usize = 10;

/// What a class is known by: the WordNet id that its name begins with (`n01440764 tench, Tinca tinca`),
/// or else the name.
fn key(class: &str) -> &str {
    let class = class.trim();
    let first = class.split_whitespace().next().unwrap_or(class);
    let digits = first.strip_prefix('n').unwrap_or_default();
    let is_id = digits.len() == 8 && digits.bytes().all(|digit| digit.is_ascii_digit());
    if is_id { first } else { class }
}

/// From the classes of a data set to those of a model.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClassMap {
    indices: Vec<usize>,
}

impl ClassMap {
    /// Finds each class of the data among the model's: by WordNet id where the names begin with one, else
    /// by the whole name.
    ///
    /// # Errors
    /// Classes of the data that the model does not have; ten of them are named.
    pub fn new(dataset_classes: &[String], model_classes: &[String]) -> anyhow::Result<ClassMap> {
        let mut known: HashMap<&str, Vec<usize>> = HashMap::new();
        for (index, class) in model_classes.iter().enumerate() {
            known.entry(key(class)).or_default().push(index);
        }
        let (mut indices, mut absent) = (Vec::new(), Vec::new());
        for class in dataset_classes {
            match known.get(key(class)).map(Vec::as_slice) {
                Some(&[index]) => indices.push(index),
                Some(several) => bail!("the model has {} classes '{class}'", several.len()),
                None => absent.push(class),
            }
        }
        ensure!(
            absent.is_empty(),
            "these classes are not among the model's: {}; a class is the name of its pictures' folder, or start with a model \
             of these classes (casm train --replace-head makes one)",
            list(&absent)
        );
        Ok(ClassMap { indices })
    }

    /// Index in the model of the data's class `class`.
    pub fn index(&self, class: usize) -> usize {
        self.indices[class]
    }
}

/// `'a', 'b' and 3 more`.
fn list(names: &[&String]) -> String {
    let quoted = names.iter().take(LISTED).map(|name| format!("'{name}'"));
    let quoted = quoted.collect::<Vec<_>>().join(", ");
    match names.len().saturating_sub(LISTED) {
        0 => quoted,
        more => format!("{quoted} and {more} more"),
    }
}

/// Reads a list of classes, one a line; what follows a `#` is a comment.
///
/// # Errors
/// The file cannot be read, names no class, or names one twice.
pub fn read_class_list(path: &Path) -> anyhow::Result<Vec<String>> {
    let read = || {
        let text = std::fs::read_to_string(path)?;
        let lines = text.lines();
        let classes: Vec<_> = lines
            .map(|line| line.split('#').next().unwrap_or_default().trim())
            .filter(|line| !line.is_empty())
            .map(str::to_owned)
            .collect();
        ensure!(!classes.is_empty(), "it names no class");
        let mut seen = BTreeSet::new();
        for class in &classes {
            ensure!(seen.insert(key(class)), "class '{class}' is in it twice");
        }
        Ok(classes)
    };
    read().with_context(|| format!("class list '{}' cannot be used", path.display()))
}

/// Reads subsets as `casm split-classes` writes them: a JSON object of lists of class names.
///
/// # Errors
/// The file cannot be read or holds something else.
pub fn read_subsets(path: &Path) -> anyhow::Result<Subsets> {
    let read = || -> anyhow::Result<Subsets> { Ok(serde_json::from_slice(&std::fs::read(path)?)?) };
    read().with_context(|| {
        let path = path.display();
        format!("subsets '{path}' cannot be read: casm split-classes writes such files")
    })
}

/// The classes that `--classes` means: `a,b,c`, or `split.json:C,D` for two subsets of a file.
fn read_choice(choice: &str) -> anyhow::Result<Vec<String>> {
    let parts = |text: &str| -> Vec<String> {
        let parts = text.split(',').map(str::trim);
        parts
            .filter(|part| !part.is_empty())
            .map(str::to_owned)
            .collect()
    };
    let Some((stem, names)) = choice.split_once(".json") else {
        let classes = parts(choice);
        ensure!(!classes.is_empty(), "--classes names no class");
        return Ok(classes);
    };
    let path = format!("{stem}.json");
    let subsets = read_subsets(Path::new(&path))?;
    let names = parts(names.strip_prefix(':').unwrap_or_default());
    let has = || list(&subsets.keys().collect::<Vec<_>>());
    ensure!(
        !names.is_empty(),
        "--classes {choice} names no subset, as {path}:A would; the file has {}",
        has()
    );
    let mut classes = Vec::new();
    for name in &names {
        let Some(subset) = subsets.get(name) else {
            bail!("'{path}' has no subset '{name}'; it has {}", has());
        };
        classes.extend_from_slice(subset);
    }
    Ok(classes)
}

/// Which classes are wanted.
#[derive(Debug, Clone, Default)]
pub struct Selection {
    list: Option<Vec<String>>,
    choice: Option<Vec<String>>,
}

impl Selection {
    /// Reads `--class-list FILE` and `--classes CHOICE`, where given.
    ///
    /// # Errors
    /// A file cannot be read, or names nothing.
    pub fn read(class_list: Option<&Path>, choice: Option<&str>) -> anyhow::Result<Selection> {
        Ok(Selection {
            list: class_list.map(read_class_list).transpose()?,
            choice: choice.map(read_choice).transpose()?,
        })
    }

    /// These classes.
    pub fn classes_of(names: &[String]) -> Selection {
        Selection {
            list: None,
            choice: Some(names.to_vec()),
        }
    }

    /// Leaves out all classes that are not wanted.
    ///
    /// # Errors
    /// If `all`: wanted classes that no data set has; ten of them are named. No picture is left.
    pub(super) fn apply(&self, datasets: &mut [Dataset], all: bool) -> anyhow::Result<()> {
        for wanted in [&self.list, &self.choice].into_iter().flatten() {
            let keys: BTreeSet<_> = wanted.iter().map(|class| key(class)).collect();
            let mut found = BTreeSet::new();
            for dataset in &mut *datasets {
                let classes = dataset.classes().iter().enumerate();
                let kept = classes.filter(|(_, class)| keys.contains(key(class)));
                let indices: BTreeSet<usize> = kept.clone().map(|(index, _)| index).collect();
                found.extend(kept.map(|(_, class)| key(class).to_owned()));
                dataset.keep(&indices);
            }
            let absent = wanted.iter().filter(|class| !found.contains(key(class)));
            let absent: Vec<_> = absent.collect();
            ensure!(
                !all || absent.is_empty(),
                "the data has no pictures of these classes: {}",
                list(&absent)
            );
        }
        Ok(())
    }

    /// The classes of a model that is made for `datasets`: those of the list in its order, else all that
    /// the data has, sorted.
    pub(super) fn classes(&self, datasets: &[Dataset]) -> Vec<String> {
        if let Some(list) = &self.list {
            return list.clone();
        }
        let names = datasets.iter().flat_map(Dataset::classes);
        let classes: BTreeMap<_, _> = names.map(|class| (key(class), class)).collect();
        classes.into_values().cloned().collect()
    }
}

#[cfg(test)]
mod tests;

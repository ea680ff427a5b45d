//! `casm split-classes`: random subsets of classes (Table 3 of the paper).

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, ensure};
use casm_training::dataset::{Dataset, Split, read_class_list};
use casm_training::random::{Stream, generator};
use rand::seq::SliceRandom;

/// Names of the subsets.
const NAMES: &str = "ABCDEFGHIJKLMNOPQRSTUVWXYZ";

/// Arguments of `casm split-classes`.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// Folder or archive of training pictures whose classes are divided.
    #[arg(required_unless_present = "class_list", conflicts_with = "class_list")]
    data: Option<PathBuf>,
    /// File of class names, one a line, instead of data.
    #[arg(long, value_name = "FILE")]
    class_list: Option<PathBuf>,
    /// Number of classes of each subset; the first is called A, the next B, and so on.
    ///
    /// Classes beyond their sum are in no subset. The default is the paper's.
    #[arg(long, value_delimiter = ',', default_value = "50,50,100,300,300,200")]
    sizes: Vec<usize>,
    /// Which of the possible divisions.
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// JSON file to write: subset → its classes. `--classes FILE:C,D` of the other commands reads it.
    #[arg(long, short, value_name = "FILE")]
    output: PathBuf,
    /// Replace an existing output file.
    #[arg(long)]
    force: bool,
}

/// Divides the classes and writes the file.
///
/// # Errors
/// The data or list cannot be read, there are too few classes, the file cannot be written.
pub fn run(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    super::ensure_new(&arguments.output, arguments.force)?;
    let classes = match (&arguments.data, &arguments.class_list) {
        (Some(data), _) => Dataset::open(data, Split::Train)?.classes().to_owned(),
        (None, Some(list)) => read_class_list(list)?,
        (None, None) => anyhow::bail!("name a folder or archive of classes, or a --class-list"),
    };
    let subsets = divide(classes, &arguments.sizes, arguments.seed)?;
    let mut json = serde_json::to_string_pretty(&subsets)?;
    json.push('\n');
    std::fs::write(&arguments.output, json)
        .with_context(|| format!("'{}' cannot be written", arguments.output.display()))?;
    Ok(ExitCode::SUCCESS)
}

/// Disjoint random subsets of the given sizes, each sorted.
fn divide(
    mut classes: Vec<String>,
    sizes: &[usize],
    seed: u64,
) -> anyhow::Result<BTreeMap<char, Vec<String>>> {
    ensure!(
        sizes.len() <= NAMES.len(),
        "--sizes asks for {} subsets, but there are names for {}",
        sizes.len(),
        NAMES.len()
    );
    ensure!(!sizes.contains(&0), "--sizes asks for an empty subset");
    let wanted = sizes
        .iter()
        .fold(0usize, |sum, &size| sum.saturating_add(size));
    ensure!(
        wanted <= classes.len(),
        "--sizes asks for {wanted} classes, but there are {}",
        classes.len()
    );
    classes.shuffle(&mut generator(seed, Stream::Choice, 0, 0));
    let mut rest = classes.into_iter();
    let subset = |(name, &size): (char, &usize)| {
        let mut subset: Vec<_> = rest.by_ref().take(size).collect();
        subset.sort();
        (name, subset)
    };
    Ok(NAMES.chars().zip(sizes).map(subset).collect())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn classes() -> Vec<String> {
        (0..20).map(|number| format!("class {number}")).collect()
    }

    #[test]
    fn subsets_are_disjoint_and_depend_on_the_seed_alone() {
        let subsets = divide(classes(), &[3, 10, 5], 1).unwrap();
        let sizes: Vec<_> = subsets
            .iter()
            .map(|(name, subset)| (*name, subset.len()))
            .collect();
        assert_eq!(sizes, [('A', 3), ('B', 10), ('C', 5)]);
        let all: BTreeSet<_> = subsets.values().flatten().collect();
        assert_eq!(all.len(), 18);
        assert_eq!(subsets, divide(classes(), &[3, 10, 5], 1).unwrap());
        assert_ne!(subsets, divide(classes(), &[3, 10, 5], 2).unwrap());
    }

    #[test]
    fn impossible_sizes_are_refused() {
        for (sizes, expected) in [
            (&[20, 1][..], "21 classes, but there are 20"),
            (&[usize::MAX, 1], "but there are 20"),
            (&[3, 0], "empty"),
            (&[1; 27], "27 subsets"),
        ] {
            let error = format!("{:#}", divide(classes(), sizes, 0).unwrap_err());
            assert!(error.contains(expected), "{error}");
        }
    }
}

//! Numbers of single classes, and of subsets of classes (Table 3).

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context, ensure};
use casm_training::evaluation::report::{Measure, Part};
use casm_training::evaluation::{AnnotatedSet, Bootstrap, Estimate};

use super::Arguments;
use super::subject::Subject;

/// Parts of the pictures, by class and by subset; empty if not asked for.
#[derive(Debug, Default, serde::Serialize)]
pub struct Parts {
    /// Named as the model does, or else as the data does.
    pub per_class: Vec<Part>,
    /// In the order of their names.
    pub per_subset: Vec<Part>,
    /// Pictures whose class is in no subset.
    pub pictures_in_no_subset: usize,
}

impl Parts {
    /// The parts that were asked for.
    ///
    /// # Errors
    /// None of the subsets' classes is in the data.
    pub fn new(
        subject: &Subject,
        set: &AnnotatedSet,
        arguments: &Arguments,
        subsets: Option<&BTreeMap<String, Vec<String>>>,
        bootstrap: &Bootstrap,
    ) -> anyhow::Result<Parts> {
        let report = &subject.report;
        let class_of = |place: usize| set.pictures[report.pictures[place]].class;
        let mut parts = Parts::default();
        let model_name = |class: usize| {
            let names = subject.classes.as_ref().ok();
            names
                .and_then(|names| names.get(class))
                .map_or("", String::as_str)
        };
        if arguments.per_class.is_some() {
            for (index, class) in set.classes.iter().enumerate() {
                let name = match model_name(index) {
                    "" => &class.name,
                    name => name,
                };
                let part = report.part(name, bootstrap, |place| class_of(place) == Some(index));
                if part.pictures > 0 {
                    parts.per_class.push(part);
                }
            }
        }
        let Some(subsets) = subsets else {
            return Ok(parts);
        };
        let mut in_none = vec![true; report.pictures.len()];
        for (name, members) in subsets {
            let is_member = |class: usize| {
                let known = [set.classes[class].name.as_str(), model_name(class)];
                members.iter().any(|member| {
                    let same = |known: &&str| {
                        !known.is_empty()
                            && (member == known || first_word(member) == first_word(known))
                    };
                    known.iter().any(|known| same(&known))
                })
            };
            let member: Vec<bool> = (0..set.classes.len()).map(is_member).collect();
            let within = |place: usize| class_of(place).is_some_and(|class| member[class]);
            for (place, none) in in_none.iter_mut().enumerate() {
                *none &= !within(place);
            }
            parts.per_subset.push(report.part(name, bootstrap, within));
        }
        parts.pictures_in_no_subset = in_none.iter().filter(|&&none| none).count();
        ensure!(
            parts.per_subset.iter().any(|part| part.pictures > 0),
            "none of the classes of --per-subset is among those of the pictures"
        );
        Ok(parts)
    }
}

/// The WordNet id of `n01440764 tench`; a name of several words is meant as a whole.
fn first_word(name: &str) -> &str {
    match name.split_once(' ') {
        Some((word, _)) if word.len() == 9 && word.starts_with('n') => word,
        _ => name,
    }
}

/// Writes `--per-class`' table: a row a model and class.
///
/// # Errors
/// The file cannot be written.
pub fn write_csv(path: &Path, subjects: &[Subject], parts: &[Parts]) -> anyhow::Result<()> {
    const COLUMNS: [(&str, Measure); 6] = [
        ("localization_error", Measure::LocalizationError),
        ("official_metric", Measure::OfficialMetric),
        ("f1", Measure::F1),
        ("f1_average", Measure::F1Average),
        ("top1", Measure::Top1),
        ("top5", Measure::Top5),
    ];
    let write = || -> anyhow::Result<()> {
        let mut file = csv::Writer::from_path(path)?;
        let mut head = vec!["model", "class", "pictures"];
        head.extend(COLUMNS.map(|(name, _)| name));
        head.extend(["localization_error_low", "localization_error_high"]);
        file.write_record(head)?;
        for (subject, parts) in subjects.iter().zip(parts) {
            for part in &parts.per_class {
                let number = |measure: Measure, value: fn(&Estimate) -> f64| {
                    let estimate = part.numbers.get(&measure);
                    estimate.map_or(String::new(), |estimate| format!("{:.6}", value(estimate)))
                };
                let mut row = vec![
                    subject.name.clone(),
                    part.name.clone(),
                    part.pictures.to_string(),
                ];
                row.extend(COLUMNS.map(|(_, measure)| number(measure, |estimate| estimate.value)));
                row.push(number(Measure::LocalizationError, |estimate| estimate.low));
                row.push(number(Measure::LocalizationError, |estimate| estimate.high));
                file.write_record(row)?;
            }
        }
        file.flush()?;
        Ok(())
    };
    write().with_context(|| format!("'{}' cannot be written", path.display()))
}

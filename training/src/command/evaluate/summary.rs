//! Several models side by side.

use casm_training::evaluation::report::{Measure, Method, Number};
use serde::Serialize;

use super::subject::Subject;
use super::table::Table;
use super::tables::{CLASSIFICATION, LOCALIZATION, MAX_BOX, percent, row_name, section};

/// A number over several models.
#[derive(Debug, Serialize)]
pub struct Summary {
    resize: &'static str,
    rule: Option<String>,
    measure: Measure,
    mean: f64,
    min: f64,
    max: f64,
}

/// Mean, least and largest of each number of the models; nothing for a single one.
pub fn summary(subjects: &[Subject]) -> Vec<Summary> {
    let [first, _, ..] = subjects else {
        return Vec::new();
    };
    let numbers = first.report.numbers.iter();
    let of_model = numbers.filter(|number| number.method == Method::Model);
    let all = |number: &Number| -> Option<Summary> {
        let values = subjects.iter().map(|subject| {
            let number = subject.report.number(number)?;
            Some(number.estimate.value)
        });
        let values: Vec<f64> = values.collect::<Option<_>>()?;
        Some(Summary {
            resize: number.resize,
            rule: number.rule.clone(),
            measure: number.measure,
            mean: values.iter().sum::<f64>() / values.len() as f64,
            min: values.iter().copied().fold(f64::INFINITY, f64::min),
            max: values.iter().copied().fold(f64::NEG_INFINITY, f64::max),
        })
    };
    of_model.filter_map(all).collect()
}

/// A table for each way of resizing and rule: a row a model, then mean, least and largest.
pub fn summary_tables(subjects: &[Subject]) -> String {
    let mut text = String::new();
    let Some(first) = subjects.first() else {
        return text;
    };
    let summaries = summary(subjects);
    let errors = first.report.numbers.iter().filter(|number| {
        number.method == Method::Model && number.measure == Measure::LocalizationError
    });
    for error in errors {
        let mut table = Table::new([
            row_name(error).as_str(),
            "LE",
            "OM",
            "F1",
            "F1a",
            "top-1",
            "top-5",
            "MaxBoxAcc *",
            "MaxBoxAccV2 *",
        ]);
        let measures = LOCALIZATION.into_iter().chain(CLASSIFICATION);
        let measures = measures.chain(MAX_BOX.into_iter().take(2));
        let measures: Vec<Measure> = measures.map(|(_, measure)| measure).collect();
        let rule = |measure: Measure| {
            let by_rule = matches!(
                measure,
                Measure::LocalizationError | Measure::OfficialMetric
            );
            if by_rule { error.rule.as_deref() } else { None }
        };
        for subject in subjects {
            let cell = |&measure: &Measure| {
                let number =
                    subject
                        .report
                        .find(Method::Model, error.resize, rule(measure), measure);
                number.map_or(String::new(), |number| percent(&number.estimate))
            };
            let cells = std::iter::once(subject.name.clone());
            table.row(cells.chain(measures.iter().map(cell)));
        }
        for (index, name) in ["mean", "least", "largest"].into_iter().enumerate() {
            let cell = |&measure: &Measure| {
                let of_cell = |summary: &&Summary| {
                    summary.resize == error.resize
                        && summary.measure == measure
                        && summary.rule.as_deref() == rule(measure)
                };
                let summary = summaries.iter().find(of_cell);
                summary.map_or(String::new(), |summary| {
                    let value = [summary.mean, summary.min, summary.max][index];
                    format!("{:.1}", 100.0 * value)
                })
            };
            if !summaries.is_empty() {
                let cells = std::iter::once(name.to_owned());
                table.row(cells.chain(measures.iter().map(cell)));
            }
        }
        text += &section(&table);
    }
    text
}

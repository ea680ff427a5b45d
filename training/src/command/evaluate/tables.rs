//! Everything as tables for people.

use casm_training::evaluation::report::{Measure, Method, Number, Part};
use casm_training::evaluation::{AnnotatedSet, Estimate};
use serde::Serialize;

use super::Arguments;
use super::parts::Parts;
use super::subject::Subject;
use super::table::Table;

/// Classes shown at each end of `--per-class`.
const SHOWN_CLASSES: usize = 10;

const LOCALIZATION: [(&str, Measure); 4] = [
    ("LE", Measure::LocalizationError),
    ("OM", Measure::OfficialMetric),
    ("F1", Measure::F1),
    ("F1a", Measure::F1Average),
];
const CLASSIFICATION: [(&str, Measure); 2] = [("top-1", Measure::Top1), ("top-5", Measure::Top5)];
const STATISTICS: [(&str, Measure); 6] = [
    ("mean", Measure::MaskMean),
    ("std_batch128", Measure::StdBatch128),
    ("std_global", Measure::StdGlobal),
    ("entropy", Measure::Entropy),
    ("tv_mean", Measure::TvMean),
    ("tv_sum", Measure::TvSum),
];
const MAX_BOX: [(&str, Measure); 5] = [
    ("MaxBoxAcc", Measure::MaxBoxAcc),
    ("MaxBoxAccV2", Measure::MaxBoxAccV2),
    ("IoU .3", Measure::MaxBoxAccV2Iou30),
    ("IoU .5", Measure::MaxBoxAccV2Iou50),
    ("IoU .7", Measure::MaxBoxAccV2Iou70),
];

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

/// The whole output.
pub fn text(
    arguments: &Arguments,
    set: &AnnotatedSet,
    subjects: &[Subject],
    difference: Option<&[Number]>,
    parts: &[Parts],
) -> String {
    let mut text = format!(
        "{} pictures, {} boxes: {} ({})\n",
        set.pictures.len(),
        set.boxes(),
        arguments.data.display(),
        set.layout
    );
    for note in &set.notes {
        text += &format!("note: {note}\n");
    }
    if arguments.resizes().len() > 1 && subjects.iter().all(|subject| subject.square) {
        text += "note: all pictures are stored as squares: cropped and stretched they are the same\n";
    }
    text += "Shares in %, in brackets 95 % intervals by bootstrap over pictures.\n";
    if arguments.summary {
        text += &summary_tables(subjects);
    } else {
        for subject in subjects {
            text += &subject_tables(subject, arguments);
        }
    }
    if let Some(difference) = difference {
        text += "\nSecond model less first, on the same pictures\n";
        text += &localization(difference);
        text += &one_a_resize(difference, &CLASSIFICATION, percent);
    }
    for (subject, parts) in subjects.iter().zip(parts) {
        text += &part_tables(subject, parts);
    }
    text
}

fn subject_tables(subject: &Subject, arguments: &Arguments) -> String {
    let engine = &subject.engine;
    let precision = format!("{:?}", engine.precision).to_lowercase();
    let mut text = format!(
        "\n{}: {}, {} on {}, {precision}, {} pictures\n",
        subject.origin,
        subject.encoder,
        engine.engine,
        engine.device,
        subject.report.pictures.len(),
    );
    if let Err(reason) = &subject.classes {
        text += &format!("no OM, top-1 and top-5: {reason}\n");
    }
    let numbers = &subject.report.numbers;
    text += &localization(numbers);
    if arguments.om_topk > 1 {
        text += &format!("OM accepts the class among the {} first guesses.\n", arguments.om_topk);
    }
    if numbers.iter().any(|number| number.chosen_threshold.is_some()) {
        text += "* at a threshold that is best on these very pictures\n";
    }
    text += &max_box(numbers);
    text += &one_a_resize(numbers, &CLASSIFICATION, percent);
    text += &one_a_resize(numbers, &STATISTICS, plain);
    text
}

/// A row for each way of resizing, method and rule.
fn localization(numbers: &[Number]) -> String {
    let mut table = Table::new(["", "LE", "OM", "F1", "F1a"]);
    let errors = numbers.iter().filter(|number| number.measure == Measure::LocalizationError);
    for error in errors {
        let cell = |(_, measure): (&str, Measure)| {
            let of_row = |number: &&Number| {
                number.measure == measure
                    && number.method == error.method
                    && number.resize == error.resize
                    // F1 is the soft mask's: the same for all rules.
                    && (number.rule.is_none() && is_soft(measure)
                        || number.rule == error.rule
                            && number.chosen_threshold == error.chosen_threshold)
            };
            numbers.iter().find(of_row).map_or(String::new(), |number| percent(&number.estimate))
        };
        let mut cells = vec![row_name(error)];
        cells.extend(LOCALIZATION.map(cell));
        table.row(cells);
    }
    section(&table)
}

fn is_soft(measure: Measure) -> bool {
    matches!(measure, Measure::F1 | Measure::F1Average)
}

fn max_box(numbers: &[Number]) -> String {
    let mut table = Table::new(["", "MaxBoxAcc *", "MaxBoxAccV2 *", "IoU .3 *", "IoU .5 *", "IoU .7 *"]);
    for method in [Method::Model, Method::ClassActivationMap] {
        let of_method: Vec<&Number> = numbers.iter().filter(|number| number.method == method).collect();
        let cell = |(_, measure): (&str, Measure)| {
            let number = of_method.iter().find(|number| number.measure == measure);
            number.map_or(String::new(), |number| percent(&number.estimate))
        };
        let cells = MAX_BOX.map(cell);
        if cells.iter().any(|cell| !cell.is_empty()) {
            let mut row = vec![format!("stretch, {}", method_name(method))];
            row.extend(cells);
            table.row(row);
        }
    }
    section(&table)
}

/// A row for each way of resizing.
fn one_a_resize<const COLUMNS: usize>(
    numbers: &[Number],
    measures: &[(&str, Measure); COLUMNS],
    show: fn(&Estimate) -> String,
) -> String {
    let mut head = vec![""];
    head.extend(measures.map(|(name, _)| name));
    let mut table = Table::new(head);
    for resize in ["crop", "stretch"] {
        let cell = |(_, measure): (&str, Measure)| {
            let of_row = |number: &&Number| {
                number.method == Method::Model
                    && number.resize == resize
                    && number.measure == measure
            };
            let number = numbers.iter().find(of_row);
            number.map_or(String::new(), |number| show(&number.estimate))
        };
        let cells = measures.map(cell);
        if cells.iter().any(|cell| !cell.is_empty()) {
            let mut row = vec![resize.to_owned()];
            row.extend(cells);
            table.row(row);
        }
    }
    section(&table)
}

/// A table for each way of resizing and rule: a row a model, then mean, least and largest.
fn summary_tables(subjects: &[Subject]) -> String {
    let mut text = String::new();
    let Some(first) = subjects.first() else {
        return text;
    };
    let summaries = summary(subjects);
    let errors = first.report.numbers.iter().filter(|number| {
        number.method == Method::Model && number.measure == Measure::LocalizationError
    });
    for error in errors {
        let mut table = Table::new([row_name(error).as_str(), "LE", "OM", "F1", "F1a", "top-1", "top-5"]);
        let measures = LOCALIZATION.into_iter().chain(CLASSIFICATION);
        let measures: Vec<Measure> = measures.map(|(_, measure)| measure).collect();
        let rule = |measure: Measure| {
            let by_rule = matches!(measure, Measure::LocalizationError | Measure::OfficialMetric);
            if by_rule { error.rule.as_deref() } else { None }
        };
        for subject in subjects {
            let cell = |&measure: &Measure| {
                let number = subject.report.find(Method::Model, error.resize, rule(measure), measure);
                number.map_or(String::new(), |number| percent(&number.estimate))
            };
            let cells = std::iter::once(subject.origin.clone());
            table.row(cells.chain(measures.iter().map(cell)));
        }
        let rows: [(&str, fn(&Summary) -> f64); 3] = [
            ("mean", |summary| summary.mean),
            ("least", |summary| summary.min),
            ("largest", |summary| summary.max),
        ];
        for (name, value) in rows {
            let cell = |&measure: &Measure| {
                let of_cell = |summary: &&Summary| {
                    summary.resize == error.resize
                        && summary.measure == measure
                        && summary.rule.as_deref() == rule(measure)
                };
                let summary = summaries.iter().find(of_cell);
                summary.map_or(String::new(), |summary| format!("{:.1}", 100.0 * value(summary)))
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

fn part_tables(subject: &Subject, parts: &Parts) -> String {
    let mut text = String::new();
    let row = |part: &Part| {
        let measures = LOCALIZATION.into_iter().chain(CLASSIFICATION);
        let cells = measures.map(|(_, measure)| {
            let estimate = part.numbers.get(&measure);
            estimate.filter(|_| part.pictures > 0).map_or(String::new(), percent)
        });
        let name: String = part.name.chars().take(40).collect();
        let head = [name, part.pictures.to_string()];
        head.into_iter().chain(cells.collect::<Vec<_>>()).collect::<Vec<_>>()
    };
    let table = |title: &str, parts: &[&Part]| {
        let mut table =
            Table::new([title, "pictures", "LE", "OM", "F1", "F1a", "top-1", "top-5"]);
        parts.iter().for_each(|part| table.row(row(part)));
        section(&table)
    };
    if !parts.per_subset.is_empty() {
        let subsets: Vec<&Part> = parts.per_subset.iter().collect();
        text += &format!("\n{}, by subset of classes\n", subject.origin);
        text += &table("subset", &subsets);
        if parts.pictures_in_no_subset > 0 {
            text += &format!("{} pictures are in no subset.\n", parts.pictures_in_no_subset);
        }
    }
    if !parts.per_class.is_empty() {
        let mut classes: Vec<&Part> = parts.per_class.iter().collect();
        let error = |part: &Part| {
            part.numbers
                .get(&Measure::LocalizationError)
                .map_or(0.0, |estimate| estimate.value)
        };
        // Of equal ones those first that say more, having more pictures.
        classes.sort_by(|a, b| error(b).total_cmp(&error(a)).then(b.pictures.cmp(&a.pictures)));
        let shown = SHOWN_CLASSES.min(classes.len());
        text += &format!("\n{}, by class\n", subject.origin);
        text += &table("worst", &classes[..shown]);
        classes.sort_by(|a, b| error(a).total_cmp(&error(b)).then(b.pictures.cmp(&a.pictures)));
        text += &table("best", &classes[..shown]);
    }
    text
}

/// "stretch, quantile", "crop, full image".
fn row_name(number: &Number) -> String {
    let mut name = number.resize.to_owned();
    if number.method != Method::Model {
        name += &format!(", {}", method_name(number.method));
    }
    if let Some(rule) = &number.rule {
        name += &format!(", {rule}");
    }
    if let Some(threshold) = number.chosen_threshold {
        name += &format!(", best: value>{threshold:.2} *");
    }
    name
}

fn method_name(method: Method) -> &'static str {
    match method {
        Method::Model => "model",
        Method::FullImage => "full image",
        Method::CentreBox => "centre box",
        Method::ClassActivationMap => "CAM",
    }
}

/// An empty line and the table; nothing for an empty one.
fn section(table: &Table) -> String {
    if table.is_empty() {
        return String::new();
    }
    format!("\n{}", table.text())
}

/// "32.6 (29.1 … 36.3)".
fn percent(estimate: &Estimate) -> String {
    let [value, low, high] = [estimate.value, estimate.low, estimate.high].map(|share| 100.0 * share);
    format!("{value:.1} ({low:.1} … {high:.1})")
}

/// With four digits that count.
fn plain(estimate: &Estimate) -> String {
    let digits = if estimate.value.abs() >= 100.0 { 0 } else { 4 };
    let Estimate { value, low, high } = estimate;
    format!("{value:.digits$} ({low:.digits$} … {high:.digits$})")
}

//! Everything as tables for people.

use casm_training::evaluation::report::{Measure, Method, Number, Part};
use casm_training::evaluation::{AnnotatedSet, Estimate};

use super::Arguments;
use super::parts::Parts;
use super::subject::Subject;
use super::summary::summary_tables;
use super::table::Table;

/// Classes shown at each end of `--per-class`.
const SHOWN_CLASSES: usize = 10;

pub const LOCALIZATION: [(&str, Measure); 4] = [
    ("LE", Measure::LocalizationError),
    ("OM", Measure::OfficialMetric),
    ("F1", Measure::F1),
    ("F1a", Measure::F1Average),
];
pub const CLASSIFICATION: [(&str, Measure); 2] =
    [("top-1", Measure::Top1), ("top-5", Measure::Top5)];
const STATISTICS: [(&str, Measure); 6] = [
    ("mean", Measure::MaskMean),
    ("std_batch128", Measure::StdBatch128),
    ("std_global", Measure::StdGlobal),
    ("entropy", Measure::Entropy),
    ("tv_mean", Measure::TvMean),
    ("tv_sum", Measure::TvSum),
];
pub const MAX_BOX: [(&str, Measure); 5] = [
    ("MaxBoxAcc", Measure::MaxBoxAcc),
    ("MaxBoxAccV2", Measure::MaxBoxAccV2),
    ("IoU .3", Measure::MaxBoxAccV2Iou30),
    ("IoU .5", Measure::MaxBoxAccV2Iou50),
    ("IoU .7", Measure::MaxBoxAccV2Iou70),
];

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
        text +=
            "note: all pictures are stored as squares: cropped and stretched they are the same\n";
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
        text += &localization(difference, signed);
        text += &one_a_resize(difference, &CLASSIFICATION, signed);
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
        subject.name,
        subject.encoder,
        engine.engine,
        engine.device,
        subject.report.pictures.len(),
    );
    if let Err(reason) = &subject.classes {
        text += &format!("no OM, top-1 and top-5: {reason}\n");
    }
    let numbers = &subject.report.numbers;
    text += &localization(numbers, percent);
    if arguments.om_topk > 1 {
        text += &format!(
            "OM accepts the class among the {} first guesses.\n",
            arguments.om_topk
        );
    }
    if numbers
        .iter()
        .any(|number| number.chosen_threshold.is_some())
    {
        text += "* at a threshold that is best on these very pictures\n";
    }
    text += &max_box(numbers);
    text += &one_a_resize(numbers, &CLASSIFICATION, percent);
    text += &one_a_resize(numbers, &STATISTICS, plain);
    text
}

/// A row for each way of resizing, method and rule.
fn localization(numbers: &[Number], show: fn(&Estimate) -> String) -> String {
    let mut table = Table::new(["", "LE", "OM", "F1", "F1a"]);
    let errors = numbers
        .iter()
        .filter(|number| number.measure == Measure::LocalizationError);
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
            numbers
                .iter()
                .find(of_row)
                .map_or(String::new(), |number| show(&number.estimate))
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
    let mut table = Table::new([
        "",
        "MaxBoxAcc *",
        "MaxBoxAccV2 *",
        "IoU .3 *",
        "IoU .5 *",
        "IoU .7 *",
    ]);
    for method in [
        Method::Model,
        Method::FullImage,
        Method::CentreBox,
        Method::ClassActivationMap,
    ] {
        let of_method: Vec<&Number> = numbers
            .iter()
            .filter(|number| number.method == method)
            .collect();
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

fn part_tables(subject: &Subject, parts: &Parts) -> String {
    let mut text = String::new();
    if !parts.per_subset.is_empty() {
        let subsets: Vec<&Part> = parts.per_subset.iter().collect();
        text += &format!("\n{}, by subset of classes\n", subject.name);
        text += &part_table("subset", &subsets, percent);
        if parts.pictures_in_no_subset > 0 {
            let rest = parts.pictures_in_no_subset;
            text += &format!("{rest} pictures are in no subset.\n");
        }
    }
    if !parts.per_class.is_empty() {
        let value = |part: &Part, measure: Measure| {
            let estimate = part.numbers.get(&measure);
            estimate.map_or(0.0, |estimate| estimate.value)
        };
        let error = |part: &Part| value(part, Measure::LocalizationError);
        // Of equal ones the mask says more.
        let mut classes: Vec<&Part> = parts.per_class.iter().collect();
        classes.sort_by(|a, b| {
            let by_mask = value(a, Measure::F1).total_cmp(&value(b, Measure::F1));
            error(b).total_cmp(&error(a)).then(by_mask)
        });
        let shown = SHOWN_CLASSES.min(classes.len());
        text += &format!("\n{}, by class\n", subject.name);
        text += &part_table("worst", &classes[..shown], share);
        classes.reverse();
        text += &part_table("best", &classes[..shown], share);
    }
    text
}

fn part_table(title: &str, parts: &[&Part], show: fn(&Estimate) -> String) -> String {
    let mut table = Table::new([title, "pictures", "LE", "OM", "F1", "F1a", "top-1", "top-5"]);
    for part in parts {
        let cell = |(_, measure): (&str, Measure)| {
            let estimate = part.numbers.get(&measure);
            let estimate = estimate.filter(|_| part.pictures > 0);
            estimate.map_or(String::new(), show)
        };
        let name: String = part.name.chars().take(40).collect();
        let measures = LOCALIZATION.into_iter().chain(CLASSIFICATION);
        let head = [name, part.pictures.to_string()].into_iter();
        table.row(head.chain(measures.map(cell)));
    }
    section(&table)
}

/// "stretch, quantile", "crop, full image".
pub fn row_name(number: &Number) -> String {
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
pub fn section(table: &Table) -> String {
    if table.is_empty() {
        return String::new();
    }
    format!("\n{}", table.text())
}

/// "32.6 (29.1 … 36.3)".
pub fn percent(estimate: &Estimate) -> String {
    format!("{} ({})", share(estimate), interval(estimate))
}

/// "32.6".
fn share(estimate: &Estimate) -> String {
    format!("{:.1}", 100.0 * estimate.value)
}

fn interval(estimate: &Estimate) -> String {
    format!("{:.1} … {:.1}", 100.0 * estimate.low, 100.0 * estimate.high)
}

/// A difference: "+1.5 (-0.4 … 3.3)".
fn signed(estimate: &Estimate) -> String {
    format!("{:+.1} ({})", 100.0 * estimate.value, interval(estimate))
}

/// With four digits that count.
fn plain(estimate: &Estimate) -> String {
    let digits = if estimate.value.abs() >= 100.0 { 0 } else { 4 };
    let Estimate { value, low, high } = estimate;
    format!("{value:.digits$} ({low:.digits$} … {high:.digits$})")
}

//! The board as text.

use std::collections::BTreeMap;
use std::fmt::Write;

use super::field::Field;
use super::rows::{Network, Program, Row, fast_precision};
use crate::report::{Report, Spread};

/// A goal, and what was measured.
pub struct Bound {
    what: String,
    least: f64,
    found: Option<Spread>,
}

/// One network at one batch size.
pub fn table(field: &Field, batch: usize) -> String {
    let mut text = format!("### Batch {batch}, milliseconds a picture\n\n");
    let reference = Field::reference().precision;
    let columns = format!(
        "| program | precision | ms | pictures/s | speed of OpenVINO from Python in {reference} |"
    );
    let rule = "|---|---|---|---|---|";
    let (busy, busy_rule) = if batch == 1 {
        (" busy ms |", "---|")
    } else {
        ("", "")
    };
    let _ = writeln!(text, "{columns}{busy} RSS MiB |\n{rule}{busy_rule}---|");
    let mut notes = Vec::new();
    for entry in &field.entries {
        let (title, precision) = (entry.row.title(), entry.row.precision);
        let Some(quiet) = entry.quiet() else {
            let reason = entry.ready.as_ref().err().map_or("", String::as_str);
            notes.push(format!("- {title}, {precision}: not measured: {reason}"));
            continue;
        };
        let ratio = field.ratio(entry.row, Field::reference());
        let ratio = ratio.map_or(String::new(), |ratio| format!("{:.2} ×", ratio.median));
        let _ = write!(
            text,
            "| {title} | {precision} | {} | {:.1} | {ratio} |",
            quiet.text(2),
            1e3 / quiet.median
        );
        if batch == 1 {
            let _ = write!(
                text,
                " {} |",
                entry.busy().map_or(String::new(), |busy| busy.text(2))
            );
        }
        let _ = writeln!(text, " {:.0} |", entry.resident_mib);
        if let Ok(ready) = &entry.ready
            && batch == 1
        {
            notes.push(format!("- {title}, {precision}: {ready}"));
        }
    }
    text.push('\n');
    if !notes.is_empty() {
        text += &notes.join("\n");
        text += "\n\n";
    }
    text
}

/// libtorch with each way of waiting.
pub fn waiting(field: &Field) -> String {
    let mut text = format!(
        "### How libtorch's threads wait: {}, batch 1\n\n| threads wait by | ms | busy ms |\n|---|---|---|\n",
        fast_precision()
    );
    for entry in &field.entries {
        let times = [entry.quiet(), entry.busy()];
        let [quiet, busy] = times.map(|time| time.map_or(String::new(), |time| time.text(2)));
        let _ = writeln!(text, "| {} | {quiet} | {busy} |", entry.row.title());
    }
    text.push('\n');
    text
}

/// The goals for engines.
pub fn bounds(field: &Field, network: Network) -> Vec<Bound> {
    let ours = |engine, precision| Row {
        program: Program::Ours(engine),
        precision,
    };
    let name = network.title();
    let bound = |what: &str, least, of, to| Bound {
        what: format!("{name}: {what}"),
        least,
        found: field.ratio(of, to),
    };
    let reference = Row {
        precision: "bf16",
        ..Field::reference()
    };
    let mut bounds = vec![
        bound(
            "openvino bf16 against OpenVINO from Python bf16",
            1.0,
            ours("openvino", "bf16"),
            reference,
        ),
        bound(
            "torch bf16 against OpenVINO from Python bf16",
            network.torch_bound(),
            ours("torch", "bf16"),
            reference,
        ),
    ];
    if network == Network::Resnet50 {
        bounds.push(bound(
            "int8 against openvino bf16",
            1.4,
            ours("openvino", "int8"),
            ours("openvino", "bf16"),
        ));
    }
    bounds
}

/// The element in a pipeline.
pub fn pipeline(
    report: &Report,
    network: Network,
    async_depth: u32,
    stages: &BTreeMap<String, f64>,
) -> (String, Bound) {
    let table = report.table();
    let mut text = format!("### In a pipeline, async-depth={async_depth}\n\n```\n{table}```\n\n");
    if !stages.is_empty() {
        text += "The element's stages, mean milliseconds a frame:\n\n| stage | ms |\n|---|---|\n";
        for (name, milliseconds) in stages {
            let _ = writeln!(text, "| {name} | {milliseconds:.3} |");
        }
        text.push('\n');
    }
    let bound = Bound {
        what: format!(
            "{}: pipeline, async-depth={async_depth}, against the bare loop",
            network.title()
        ),
        least: network.pipeline_bound(),
        found: Some(report.ratio()),
    };
    (text, bound)
}

/// Goals and results.
pub fn bound_table(bounds: &[Bound]) -> String {
    let mut text =
        "## Goals\n\n| what | at least | measured | kept |\n|---|---|---|---|\n".to_owned();
    for Bound { what, least, found } in bounds {
        let (measured, kept) = match found {
            Some(found) => (
                found.text(2),
                if found.median >= *least { "yes" } else { "no" },
            ),
            None => ("not measured".to_owned(), ""),
        };
        let _ = writeln!(text, "| {what} | {least} | {measured} | {kept} |");
    }
    text
}

//! Everything as JSON.

use std::collections::BTreeSet;
use std::path::Path;

use anyhow::Context;
use casm_training::evaluation::AnnotatedSet;
use casm_training::evaluation::report::Number;
use serde_json::{Value, json};

use super::parts::Parts;
use super::subject::Subject;
use super::summary::summary;
use super::{AreaArgument, Arguments};

/// What `--json` writes, for the command's help.
pub const SCHEMA: &str = "\
Exit codes: 0 all pictures were scored, 1 some were not and are named, 2 nothing was done.

--json FILE writes one object; shares are in [0, 1], what does not exist is null:
  data        path, layout, pictures, boxes, classes, problems and notes (lists of text)
  options     what was asked for: binarize (nothing: the model's own rule), om_topk, gt_area,
              protocol, limit, resamples, seed
  models[]    model, encoder, engine, classes_matched (true, or why not), pictures_evaluated, then
    numbers[] method (model, full_image, centre_box, class_activation_map), resize (crop, stretch),
              rule (quantile, mean:1.2, value>0.5), measure, value, low, high (95 % interval),
              chosen_threshold (set where it was chosen because it is best on these pictures)
    per_class[], per_subset[]  name, pictures, numbers: measure -> value, low, high
  summary[]   over several models: resize, rule, measure, mean, min, max
  difference[] of two models: numbers as above, the second less the first, on the same pictures
Measures: localization_error (LE), official_metric (OM), f1, f1_average (F1a), top1, top5, mask_mean,
  std_batch128, std_global, entropy, tv_mean, tv_sum, max_box_acc, max_box_acc_v2,
  max_box_acc_v2_iou30, _iou50, _iou70";

/// Writes the file.
///
/// # Errors
/// It cannot be written.
pub fn write(
    path: &Path,
    arguments: &Arguments,
    set: &AnnotatedSet,
    subjects: &[Subject],
    difference: Option<&[Number]>,
    parts: &[Parts],
) -> anyhow::Result<()> {
    let unread = subjects
        .iter()
        .take(1)
        .flat_map(|subject| &subject.problems);
    let problems: Vec<&String> = set.problems.iter().chain(unread).collect();
    let models: Vec<Value> = subjects
        .iter()
        .zip(parts)
        .map(|(subject, parts)| {
            let matched = match &subject.classes {
                Ok(_) => json!(true),
                Err(reason) => json!(reason),
            };
            json!({
                "model": subject.name,
                "encoder": subject.encoder,
                "engine": subject.engine,
                "classes_matched": matched,
                "pictures_evaluated": subject.report.pictures.len(),
                "numbers": subject.report.numbers,
                "per_class": parts.per_class,
                "per_subset": parts.per_subset,
            })
        })
        .collect();
    let classes: BTreeSet<usize> = set
        .pictures
        .iter()
        .filter_map(|picture| picture.class)
        .collect();
    let rules: Vec<String> = arguments.binarize.iter().map(ToString::to_string).collect();
    let all = json!({
        "data": {
            "path": arguments.data,
            "layout": set.layout,
            "pictures": set.pictures.len(),
            "boxes": set.boxes(),
            "classes": classes.len(),
            "problems": problems,
            "notes": set.notes,
        },
        "options": {
            "binarize": rules,
            "om_topk": arguments.om_topk,
            "gt_area": if arguments.gt_area == AreaArgument::Clipped { "clipped" } else { "whole" },
            "protocol": if arguments.wsoleval() { "wsoleval" } else { "casm" },
            "limit": arguments.limit,
            "resamples": arguments.resamples,
            "seed": arguments.seed,
        },
        "models": models,
        "summary": summary(subjects),
        "difference": difference,
    });
    let text = serde_json::to_string_pretty(&all)?;
    std::fs::write(path, text + "\n")
        .with_context(|| format!("'{}' cannot be written", path.display()))
}

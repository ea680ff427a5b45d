//! `casm evaluate --agreement`: what engines and precisions change, against f32 in libtorch.

use std::io::Write;
use std::process::ExitCode;

use anyhow::{Context, ensure};
use casm::engine::{EngineDescription, Output, cpu_has_bf16, survey};
use casm::{Checkpoint, Device, EngineKind, EngineOptions, Header, Mask, Precision};
use casm_training::evaluation::annotated::Layout;
use casm_training::evaluation::{AnnotatedSet, Average, Options, Rule, Scores, evaluate};
use serde::Serialize;

use super::super::frames::Frames;
use super::subject;
use super::table::Table;
use super::{AreaArgument, Arguments, PrecisionArgument};

/// Largest difference of a mask's value in f32.
const MASK_BOUND: f64 = 1e-4;
/// Least mean overlap of boxes with those of f32, in 16 bits.
const OVERLAP_BOUND: f64 = 0.98;
/// Largest difference of the localization error, in 16 bits and in int8.
const ERROR_BOUND: f64 = 0.003;
const INT8_ERROR_BOUND: f64 = 0.005;

/// An engine and precision, compared with f32 in libtorch.
#[derive(Debug, Serialize)]
struct Agreement {
    engine: String,
    device: String,
    precision: Precision,
    /// Largest and mean difference of the masks' values.
    mask_max: f64,
    mask_mean: f64,
    /// Mean intersection over union of the boxes of the first rule; 1 where neither has one.
    box_iou: f64,
    /// LE of the first rule with the first way of resizing; absent without annotations.
    localization_error: Option<f64>,
    /// The same less that of the reference.
    difference: Option<f64>,
    /// The bounds that are not kept, in words.
    beyond: Vec<String>,
}

/// Compares, prints, and says whether all bounds are kept.
///
/// # Errors
/// A model, the data or an option cannot be used; an output cannot be written.
pub fn run(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    let checkpoints = subject::checkpoints(&arguments.model)?;
    let mut frames = Frames::open(&arguments.location())?;
    if let Some(limit) = arguments.limit {
        frames.set.limit(limit);
    }
    let mut kept = true;
    let mut models = Vec::new();
    for (name, checkpoint) in checkpoints {
        let (reference, rows) = compare(&checkpoint, &frames.set, arguments)?;
        kept &= rows.iter().all(|row| row.beyond.is_empty());
        if let Some(reason) = missing_int8(checkpoint.header(), arguments) {
            eprintln!("casm: int8 was not compared, though {name} has ranges for it: {reason}");
            kept = false;
        }
        let text = text(&name, &frames.set, reference, &rows);
        std::io::stdout()
            .write_all(text.as_bytes())
            .context("standard output cannot be written")?;
        models.push(serde_json::json!({
            "model": name,
            "pictures": frames.set.pictures.len(),
            "localization_error": reference,
            "agreement": rows,
        }));
    }
    if let Some(path) = &arguments.json {
        let text = serde_json::to_string_pretty(&models)? + "\n";
        std::fs::write(path, text)
            .with_context(|| format!("'{}' cannot be written", path.display()))?;
    }
    Ok(match kept {
        true => ExitCode::SUCCESS,
        false => ExitCode::FAILURE,
    })
}

/// Why int8 is left out of the comparison of all precisions, where the model has ranges for it.
fn missing_int8(header: &Header, arguments: &Arguments) -> Option<String> {
    let asked = matches!(arguments.precision, PrecisionArgument::Auto)
        && arguments.engine != EngineKind::Named("torch");
    let found = survey().into_iter().find(|(name, _)| *name == "openvino");
    let reason = found?.1.err()?.to_string();
    (asked && header.quantization.is_some()).then_some(reason)
}

/// LE of the reference, and how each of the others differs from it.
fn compare(
    checkpoint: &Checkpoint,
    set: &AnnotatedSet,
    arguments: &Arguments,
) -> anyhow::Result<(Option<f64>, Vec<Agreement>)> {
    let header = checkpoint.header();
    let mut options = Options {
        resizes: arguments.resizes(),
        clipped: arguments.gt_area == AreaArgument::Clipped,
        batch: arguments.batch,
        ..Options::new(header)
    };
    if !arguments.binarize.is_empty() {
        options.rules.clone_from(&arguments.binarize);
    }
    let others = others(header, arguments);
    ensure!(
        !others.is_empty(),
        "there is nothing to compare with f32 in libtorch: name another --engine or --precision"
    );
    // The network sees the same batches in the same order each time, so masks are told apart by their place.
    let mut masks: Vec<f32> = Vec::new();
    let reference = EngineOptions {
        engine: "torch".parse()?,
        device: arguments.device,
        precision: Precision::F32,
        threads: arguments.threads,
    };
    let (scores, _) = evaluated(checkpoint, &reference, set, &options, &mut |output| {
        masks.extend_from_slice(&output.masks);
    })?;
    let reference = localization_error(set, &scores);
    let mut rows = Vec::new();
    for other in others {
        let mut differences = Differences::new(header, &options);
        let mut place = 0;
        let compare = &mut |output: &Output| {
            let end = (place + output.masks.len()).min(masks.len());
            differences.add(&masks[place..end], &output.masks);
            place = end;
        };
        let (scores, description) = evaluated(checkpoint, &other, set, &options, compare)?;
        let error = localization_error(set, &scores);
        let difference = error
            .zip(reference)
            .map(|(error, reference)| error - reference);
        // A CPU without bf16 computes in f32: what was asked for decides which bounds count.
        let precision = other.precision;
        rows.push(Agreement {
            engine: description.engine,
            device: description.device,
            precision,
            mask_max: differences.largest,
            mask_mean: differences.mean.value(),
            box_iou: differences.overlap.value(),
            localization_error: error,
            difference,
            beyond: beyond(
                precision,
                differences.largest,
                differences.overlap.value(),
                difference,
            ),
        });
    }
    Ok((reference, rows))
}

/// The engines and precisions that are asked for and can be used here, without the reference.
fn others(header: &Header, arguments: &Arguments) -> Vec<EngineOptions> {
    let found = survey();
    let names = found.iter().filter(|(name, found)| match arguments.engine {
        EngineKind::Named(asked) => asked == *name,
        EngineKind::Auto => *name == "torch" || found.is_ok(),
    });
    let gpu = matches!(arguments.device, Device::Cuda(_));
    let precisions = |name: &str| -> Vec<Precision> {
        let openvino = name == "openvino";
        match arguments.precision {
            PrecisionArgument::Auto => [
                (Precision::F32, openvino),
                // Libtorch computes what CPUs with bf16 give in any case.
                (Precision::Bf16, !openvino || cpu_has_bf16()),
                // On a CPU there is nothing to gain by it.
                (Precision::F16, gpu && !openvino),
                (Precision::Int8, openvino && header.quantization.is_some()),
            ]
            .into_iter()
            .filter_map(|(precision, here)| here.then_some(precision))
            .collect(),
            _ => vec![arguments.precision()],
        }
    };
    let options = names.flat_map(|(name, _)| {
        precisions(name).into_iter().map(|precision| EngineOptions {
            engine: EngineKind::Named(name),
            device: match *name {
                // The choice between engines is ours here, not the device's.
                "openvino" => Device::Cpu,
                _ => arguments.device,
            },
            precision,
            threads: arguments.threads,
        })
    });
    options
        .filter(|options| {
            !(options.engine == EngineKind::Named("torch") && options.precision == Precision::F32)
        })
        .collect()
}

/// Runs an engine over the set; `see` is shown each batch's output, in order.
fn evaluated(
    checkpoint: &Checkpoint,
    engine: &EngineOptions,
    set: &AnnotatedSet,
    options: &Options,
    see: &mut dyn FnMut(&Output),
) -> anyhow::Result<(Scores, EngineDescription)> {
    let mut engine = casm::open_engine(checkpoint, engine)?;
    let run = &mut |batch, pixels: &[u8], output: &mut Output| {
        engine.run(batch, pixels, output)?;
        see(output);
        Ok(())
    };
    let scores = evaluate(set, options, run, &|_| {})
        .with_context(|| format!("{} was not evaluated", checkpoint.origin()))?;
    Ok((scores, engine.description().clone()))
}

/// LE of the first rule; absent where nothing is annotated.
fn localization_error(set: &AnnotatedSet, scores: &Scores) -> Option<f64> {
    if matches!(set.layout, Layout::Plain) {
        return None;
    }
    let scores = scores.by_resize.first()?;
    let missed = scores
        .iter()
        .filter(|score| score.found.first() == Some(&false));
    Some(missed.count() as f64 / scores.len() as f64)
}

/// The bounds that are not kept.
fn beyond(precision: Precision, mask: f64, overlap: f64, error: Option<f64>) -> Vec<String> {
    let mut beyond = Vec::new();
    let mut check = |kept: bool, bound: String| {
        if !kept {
            beyond.push(bound);
        }
    };
    let error = error.map(f64::abs);
    // Half of what one picture counts in a large set, against rounding.
    let within = |bound: f64| error.is_none_or(|error| error <= bound + 1e-9);
    let points = |bound: f64| format!("LE within {:.1} points", 100.0 * bound);
    match precision {
        Precision::Auto | Precision::F32 => {
            check(mask <= MASK_BOUND, format!("masks within {MASK_BOUND:e}"));
        }
        Precision::Bf16 | Precision::F16 => {
            let bound = format!("boxes overlap by {OVERLAP_BOUND}");
            check(overlap >= OVERLAP_BOUND, bound);
            check(within(ERROR_BOUND), points(ERROR_BOUND));
        }
        Precision::Int8 => check(within(INT8_ERROR_BOUND), points(INT8_ERROR_BOUND)),
    }
    beyond
}

/// What differs between masks, and between their boxes.
struct Differences {
    mask_side: usize,
    options: Options,
    largest: f64,
    mean: Average,
    overlap: Average,
}

impl Differences {
    fn new(header: &Header, options: &Options) -> Differences {
        Differences {
            mask_side: header.mask_size(),
            options: options.clone(),
            largest: 0.0,
            mean: Average::default(),
            overlap: Average::default(),
        }
    }

    /// Takes in masks `[n, side, side]` of the reference and of the other.
    fn add(&mut self, reference: &[f32], other: &[f32]) {
        let area = self.mask_side * self.mask_side;
        for (reference, other) in reference.chunks_exact(area).zip(other.chunks_exact(area)) {
            let pairs = reference.iter().zip(other);
            let mut sum = 0.0;
            for difference in pairs.map(|(a, b)| f64::from((a - b).abs())) {
                self.largest = self.largest.max(difference);
                sum += difference;
            }
            self.mean.add(sum / area as f64, 1.0);
            let overlap = match [reference, other].map(|mask| self.bounding_box(mask)) {
                [Some(a), Some(b)] => a.iou(&b),
                [None, None] => 1.0,
                _ => 0.0,
            };
            self.overlap.add(overlap, 1.0);
        }
    }

    fn bounding_box(&self, values: &[f32]) -> Option<casm::BoundingBox> {
        let mask = Mask {
            width: self.mask_side,
            height: self.mask_side,
            values: values.to_vec(),
        };
        let factor = self.options.input_size as usize / self.mask_side;
        let mask = mask.upsample(factor, self.options.upsample);
        self.options
            .rules
            .first()
            .and_then(|rule: &Rule| rule.bounding_box(&mask))
    }
}

fn text(name: &str, set: &AnnotatedSet, reference: Option<f64>, rows: &[Agreement]) -> String {
    let percent = |share: f64| format!("{:.2} %", 100.0 * share);
    let mut text = format!(
        "{name}: {} pictures; reference: torch in f32{}\n\n",
        set.pictures.len(),
        reference.map_or(String::new(), |error| format!(", LE {}", percent(error)))
    );
    let mut table = Table::new([
        "engine",
        "precision",
        "mask max",
        "mean",
        "box IoU",
        "LE",
        "points",
        "bounds",
    ]);
    for row in rows {
        let bounds = match &row.beyond[..] {
            [] => "kept".to_owned(),
            beyond => format!("not kept: {}", beyond.join(", ")),
        };
        table.row([
            format!("{} on {}", row.engine, row.device),
            format!("{:?}", row.precision).to_lowercase(),
            format!("{:.1e}", row.mask_max),
            format!("{:.1e}", row.mask_mean),
            format!("{:.4}", row.box_iou),
            row.localization_error.map_or(String::new(), percent),
            row.difference
                .map_or(String::new(), |d| format!("{:+.2}", 100.0 * d)),
            bounds,
        ]);
    }
    text += &table.text();
    text.push('\n');
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_precision_has_bounds_of_its_own() {
        let kept =
            |precision, mask, overlap, error| beyond(precision, mask, overlap, error).is_empty();
        assert!(kept(Precision::F32, 9e-5, 0.5, Some(0.1)));
        assert!(!kept(Precision::F32, 2e-4, 1.0, None));
        assert!(kept(Precision::Bf16, 0.3, 0.981, Some(-0.003)));
        assert!(!kept(Precision::Bf16, 0.0, 0.979, None));
        assert!(!kept(Precision::F16, 0.0, 1.0, Some(-0.0031)));
        assert!(kept(Precision::Int8, 0.9, 0.9, Some(0.005)));
        assert!(!kept(Precision::Int8, 0.0, 1.0, Some(0.006)));
    }
}

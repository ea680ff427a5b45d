//! `casm distill` as a user meets it, on pictures made here.

use std::path::{Path, PathBuf};
use std::process::Output;

use casm_tests::run::{SMALL, casm, pictures, refused, steps, succeeded, tensors, text};

/// Pictures, and a run of `casm train` on them for a teacher.
fn teacher(folder: &Path) -> (PathBuf, PathBuf) {
    let data = pictures(folder);
    let run = folder.join("teacher");
    let output = casm(&[
        "train",
        "--max-steps",
        "4",
        "--decoder-init",
        "uniform",
        "--out",
    ])
    .arg(&run)
    .arg(&data)
    .args(SMALL)
    .output();
    succeeded(&output.expect("the program starts"));
    (data, run.join("model.safetensors"))
}

fn distill(data: &Path, init: &Path, out: &Path, more: &[&str]) -> Output {
    let mut command = casm(&[
        "distill",
        "--batch",
        "5",
        "--threads",
        "1",
        "--workers",
        "2",
    ]);
    command
        .arg(data)
        .arg("--init")
        .arg(init)
        .arg("--out")
        .arg(out);
    command.args(more).output().expect("the program starts")
}

/// A column of the run's log of steps.
fn column(run: &Path, name: &str) -> Vec<f64> {
    let mut log = csv::Reader::from_path(run.join("steps.csv")).expect("a log");
    let headers = log.headers().expect("a first line").clone();
    let index = headers.iter().position(|header| header == name);
    let index = index.unwrap_or_else(|| panic!("{name} is not among {headers:?}"));
    let rows = log.records().map(|row| row.expect("a line"));
    rows.map(|row| row[index].parse().expect("a number"))
        .collect()
}

#[test]
fn a_student_comes_nearer_to_the_close_ups() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let (data, teacher) = teacher(folder.path());
    let run = folder.path().join("run");
    let more = ["--epochs", "6", "--mapping-rate", "0.01", "--ema", "0.9"];
    succeeded(&distill(&data, &teacher, &run, &more));
    let losses = column(&run, "mapping_loss");
    let mean = |losses: &[f64]| losses.iter().sum::<f64>() / losses.len() as f64;
    let (first, last) = (mean(&losses[..4]), mean(&losses[losses.len() - 4..]));
    assert!(last < 0.9 * first, "{first} -> {last}");
    // The encoder learns too, and the checkpoint is one that everything else reads.
    let model = run.join("model.safetensors");
    let (before, after) = (tensors(&teacher.with_file_name("")), tensors(&run));
    let changed = |prefix: &str| {
        let mut names = before.keys().filter(|name| name.starts_with(prefix));
        names.any(|name| before[name] != after[name])
    };
    assert!(changed("classifier.") && changed("decoder."));
    let output = casm(&["info"]).arg(&model).output();
    succeeded(&output.expect("the program starts"));
}

/// Both Adams, the average and the teachers: all state there is.
#[test]
fn a_stopped_run_goes_on_to_the_same_bits() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let (data, teacher) = teacher(folder.path());
    let (whole, parts) = (folder.path().join("whole"), folder.path().join("parts"));
    let method = [
        "--epochs",
        "2",
        "--ema",
        "0.9",
        "--sharpness",
        "8",
        "--classifier",
    ];
    let class_teacher = teacher.to_str().expect("a plain name");
    let method = [method.as_slice(), &[class_teacher]].concat();
    succeeded(&distill(&data, &teacher, &whole, &method));
    let cut = [method.as_slice(), &["--max-steps", "3"]].concat();
    succeeded(&distill(&data, &teacher, &parts, &cut));
    let resume = || {
        let mut command = casm(&["distill", "--workers", "1", "--resume"]);
        command.arg(&parts).output().expect("the program starts")
    };
    // Another teacher under the same name would be another run.
    let bytes = std::fs::read(&teacher).expect("the teacher");
    std::fs::write(&teacher, [&bytes[..], &[0]].concat()).expect("a temporary file");
    refused(&resume(), &["model.safetensors", "changed"]);
    std::fs::write(&teacher, &bytes).expect("a temporary file");
    succeeded(&resume());
    assert!(tensors(&whole) == tensors(&parts), "the weights differ");
    assert_eq!(steps(&whole), steps(&parts));
}

#[test]
fn bad_input_is_refused() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let (data, teacher) = teacher(folder.path());
    let run = folder.path().join("run");
    let with = |more: &[&str]| distill(&data, &teacher, &run, more);
    refused(&with(&["--zooms", "0"]), &["--zooms"]);
    refused(&with(&["--sharpness", "-1"]), &["--sharpness"]);
    refused(&with(&["--class-weight", "nan"]), &["--class-weight"]);
    refused(&with(&["--squash", "0"]), &["--squash"]);
    refused(
        &with(&["--teacher", "/nowhere.safetensors"]),
        &["/nowhere.safetensors"],
    );
    assert!(!run.join("config.json").exists());

    // A classifier alone can be a student, not a teacher of masks.
    let classifier = folder.path().join("classifier");
    let output = casm(&["train-classifier", "--max-steps", "1", "--out"])
        .arg(&classifier)
        .arg(&data)
        .args(SMALL)
        .output();
    succeeded(&output.expect("the program starts"));
    let classifier = classifier.join("model.safetensors");
    refused(&distill(&data, &classifier, &run, &[]), &["--teacher"]);
    let teacher = teacher.to_str().expect("a plain name");
    let output = distill(
        &data,
        &classifier,
        &run,
        &["--teacher", teacher, "--max-steps", "1"],
    );
    succeeded(&output);
    assert!(
        text(&output).contains("model.safetensors"),
        "{}",
        text(&output)
    );
}

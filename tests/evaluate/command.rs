//! `casm evaluate` as a user types it.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use casm::Checkpoint;
use casm_tests::program;
use serde_json::Value;

use crate::*;

fn casm(arguments: &[&str]) -> Output {
    Command::new(program("casm"))
        .arg("evaluate")
        .args(["--device", "cpu"])
        .args(arguments)
        .output()
        .expect("casm is built")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn path(path: &Path) -> &str {
    path.to_str().expect("temporary folders have plain names")
}

fn read_json(path: &Path) -> Value {
    serde_json::from_slice(&std::fs::read(path).expect("written")).expect("JSON")
}

/// The built-in model's encoder alone, which makes no masks.
fn classifier(folder: &Path) -> PathBuf {
    let path = folder.join("classifier.safetensors");
    let built_in = Checkpoint::built_in().expect("valid");
    let mut header = built_in.header().clone();
    header.network.decoder = None;
    let tensors = built_in.tensors().expect("valid");
    let tensors: Vec<_> = tensors
        .into_values()
        .filter(|tensor| tensor.name.starts_with("classifier."))
        .collect();
    let bytes = casm::checkpoint::serialize(&header, &tensors, casm::checkpoint::Storage::F16);
    std::fs::write(&path, bytes.expect("valid")).expect("writable");
    path
}

/// Labels 0 and 1 are among ImageNet's 1000 classes.
#[test]
fn the_command_writes_tables_json_and_csv_and_names_broken_pictures() {
    let folder = metadata();
    let broken = "a.png\nb, c.png\nbroken.jpg\n";
    let add =
        |name: &str, text: &str| std::fs::write(folder.path().join(name), text).expect("writable");
    add("image_ids.txt", broken);
    add("class_labels.txt", "a.png,1\nb, c.png,0\nbroken.jpg,0\n");
    add(
        "image_sizes.txt",
        "a.png,100,100\nb, c.png,80,40\nbroken.jpg,9,9\n",
    );
    add(
        "localization.txt",
        "a.png,0,0,50,100\nb, c.png,0,0,80,40\nbroken.jpg,0,0,9,9\n",
    );
    add("images/broken.jpg", "\u{ff}\u{d8} no picture");
    add(
        "split.json",
        "{\"A\": [\"n01440764\"], \"B\": [\"n01443537 goldfish\"], \"C\": [\"n99999999\"]}",
    );
    let at = |name: &str| folder.path().join(name);
    let (json, csv, split) = (at("out.json"), at("classes.csv"), at("split.json"));
    let output = casm(&[
        "--data",
        path(folder.path()),
        "--baselines",
        "--activation-model",
        path(&classifier(folder.path())),
        "--protocol",
        "wsoleval",
        "--binarize",
        "quantile",
        "--binarize",
        "mean:1.2",
        "--threshold-sweep",
        &format!("--per-class={}", path(&csv)),
        "--per-subset",
        path(&split),
        "--resamples",
        "50",
        "--json",
        path(&json),
    ]);
    assert_eq!(output.status.code(), Some(1), "{}", text(&output.stderr));
    assert!(
        text(&output.stderr).contains("broken.jpg"),
        "{}",
        text(&output.stderr)
    );
    let table = text(&output.stdout);
    for part in [
        "3 pictures, 3 boxes",
        "crop, quantile",
        "stretch, mean:1.2",
        "stretch, value>0.9",
        "crop, full image",
        "stretch, centre box",
        "stretch, CAM, value>0.35",
        "stretch, CAM, best",
        "MaxBoxAccV2",
        "top-5",
        "std_batch128",
        "worst",
        "subset",
    ] {
        assert!(table.contains(part), "{part} is not in {table}");
    }

    let json = read_json(&json);
    assert_eq!(json["data"]["layout"], "metadata");
    assert_eq!(json["data"]["problems"].as_array().map(Vec::len), Some(1));
    let model = &json["models"][0];
    assert_eq!(model["pictures_evaluated"], 2);
    assert_eq!(model["classes_matched"], true);
    let numbers = model["numbers"].as_array().expect("numbers");
    // By hand: of the whole input 2 pictures' boxes are a half and all, so one is found.
    let full = numbers
        .iter()
        .find(|number| number["method"] == "full_image" && number["resize"] == "stretch")
        .expect("asked for");
    assert_eq!(full["value"], 0.5);
    let subsets: Vec<_> = model["per_subset"]
        .as_array()
        .expect("asked for")
        .iter()
        .map(|part| (part["name"].as_str(), part["pictures"].as_u64()))
        .collect();
    assert_eq!(
        subsets,
        [
            (Some("A"), Some(1)),
            (Some("B"), Some(1)),
            (Some("C"), Some(0))
        ]
    );

    let csv = std::fs::read_to_string(csv).expect("written");
    let lines: Vec<_> = csv.lines().collect();
    assert_eq!(lines.len(), 3, "{csv}");
    assert!(
        lines[0].starts_with("model,class,pictures,localization_error,official_metric")
            && csv.contains("n01443537 goldfish")
    );
}

#[test]
fn two_models_are_compared_and_summed_up() {
    let folder = metadata();
    let model = folder.path().join("run");
    std::fs::create_dir(&model).expect("writable");
    let built_in = Checkpoint::built_in().expect("valid");
    let file = model.join("model.safetensors");
    std::fs::write(&file, built_in.bytes()).expect("writable");
    let json = folder.path().join("out.json");
    let output = casm(&[
        "--data",
        path(folder.path()),
        "--resize",
        "stretch",
        "--summary",
        "--model",
        path(&model),
        "--model",
        path(&file),
        "--json",
        path(&json),
    ]);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    let table = text(&output.stdout);
    assert!(
        table.contains("largest") && table.contains("Second model less first"),
        "{table}"
    );
    let json = read_json(&json);
    let summary = &json["summary"][0];
    assert_eq!(summary["mean"], summary["max"]);
    let difference = json["difference"].as_array().expect("two models");
    assert!(difference.iter().all(|number| number["value"] == 0.0));
}

#[test]
fn what_cannot_be_evaluated_is_refused_with_exit_code_two() {
    let folder = metadata();
    let data = path(folder.path());
    let refused = |arguments: &[&str], part: &str| {
        let output = casm(arguments);
        let message = text(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {message}");
        assert!(message.contains(part), "{part} is not in {message}");
    };
    refused(&["--data", "/nowhere"], "/nowhere");
    refused(
        &["--data", data, "--model", "/nowhere/m.safetensors"],
        "/nowhere/m.safetensors",
    );
    refused(&["--data", data, "--model", data], "no .safetensors");
    refused(&["--data", data, "--binarize", "median"], "quantile");
    refused(&["--data", data, "--limit", "0"], "--limit");
    refused(
        &["--data", data, "--protocol", "wsoleval", "--resize", "crop"],
        "wsoleval",
    );
    refused(
        &["--data", data, "--per-subset", "/nowhere.json"],
        "/nowhere.json",
    );
    let split = folder.path().join("split.json");
    std::fs::write(&split, "{\"A\": [\"n00000000\"]}").expect("writable");
    refused(
        &["--data", data, "--per-subset", path(&split)],
        "--per-subset",
    );

    let source = classifier(folder.path());
    refused(
        &["--data", data, "--model", path(&source)],
        "without a decoder",
    );
}

/// Of all 650 pictures the built-in model has LE 27.8 and top-1 78.3 (its provenance); these 65 are easier. Their numbers
/// are what this command measured with the model of f56d353, before it was rounded for bf16; boxes without a network are exact, and of the others two
/// pictures may fall differently on another machine.
#[test]
fn the_built_in_model_does_on_real_pictures_what_its_provenance_says() {
    let Some(sample) = casm_tests::data::file("ilsvrc-val-650-dev.tar") else {
        return;
    };
    let out = tempfile::tempdir().expect("a temporary folder");
    let json = out.path().join("out.json");
    let output = casm(&[
        "--data",
        path(&sample),
        "--limit",
        "65",
        "--baselines",
        "--resamples",
        "100",
        "--json",
        path(&json),
    ]);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    let json = read_json(&json);
    let numbers = json["models"][0]["numbers"].as_array().expect("numbers");
    let value = |method: &str, measure: &str| {
        let number = numbers
            .iter()
            .find(|number| number["method"] == method && number["measure"] == measure);
        let number = number.expect("measured")["value"].as_f64();
        number.expect("a number")
    };
    for (method, measure, expected, tolerance) in [
        ("model", "localization_error", 10.0, 2.1),
        ("model", "top1", 57.0, 2.1),
        ("full_image", "localization_error", 31.0, 0.1),
        ("centre_box", "localization_error", 19.0, 0.1),
    ] {
        let pictures = 65.0 * value(method, measure);
        assert!(
            (pictures - expected).abs() < tolerance,
            "{method} {measure}: {pictures} pictures"
        );
    }
    let best = numbers
        .iter()
        .find(|number| {
            number["method"] == "class_activation_map" && !number["chosen_threshold"].is_null()
        })
        .expect("measured");
    let best = best["value"].as_f64().expect("a number");
    assert!((65.0 * best - 18.0).abs() < 2.1, "{best}");
}

//! The `casm` command as a user types it, in child processes.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use casm_tests::program;
use image::{GrayImage, Rgb, RgbImage};
use serde_json::Value;
use tempfile::TempDir;

fn casm(arguments: &[&str]) -> Output {
    Command::new(program("casm"))
        .args(arguments)
        .output()
        .expect("casm is built")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn lines(output: &Output) -> Vec<Value> {
    text(&output.stdout)
        .lines()
        .map(|line| serde_json::from_str(line).expect("a JSON object a line"))
        .collect()
}

/// A red disc on a dim, patterned ground: something to find.
fn disc(width: u32, height: u32) -> RgbImage {
    RgbImage::from_fn(width, height, |x, y| {
        let (dx, dy) = (
            f64::from(x) / f64::from(width) - 0.6,
            f64::from(y) / f64::from(height) - 0.5,
        );
        if dx * dx + dy * dy < 0.06 {
            Rgb([230, 60, 40])
        } else {
            let shade = 70 + ((x / 5 + y / 7) % 4) as u8 * 12;
            Rgb([shade, shade + 10, shade])
        }
    })
}

/// A folder with a picture, a picture in a subfolder of the same name, and two that are none.
fn folder() -> TempDir {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let at = |name: &str| folder.path().join(name);
    std::fs::create_dir(at("sub")).expect("writable");
    disc(150, 90).save(at("a.png")).expect("writable");
    disc(64, 64).save(at("sub/a.jpg")).expect("writable");
    std::fs::write(at("broken.jpg"), b"\xff\xd8\xff\xe0 no picture").expect("writable");
    std::fs::write(at("empty.png"), b"").expect("writable");
    folder
}

fn path(path: &Path) -> &str {
    path.to_str().expect("temporary folders have plain names")
}

#[test]
fn localize_prints_one_object_a_picture_and_goes_on_after_unreadable_ones() {
    let folder = folder();
    let output = casm(&["localize", "--device", "cpu", path(folder.path())]);
    assert_eq!(output.status.code(), Some(1), "{}", text(&output.stderr));
    let lines = lines(&output);
    let names: Vec<_> = lines
        .iter()
        .map(|line| line["image"].as_str().expect("a path").to_owned())
        .collect();
    let expected = ["a.png", "broken.jpg", "empty.png", "sub/a.jpg"];
    assert_eq!(
        names,
        expected.map(|name| path(&folder.path().join(name)).to_owned())
    );
    for index in [1, 2] {
        let error = lines[index]["error"].as_str().expect("an error");
        assert!(error.contains(&names[index]), "{error}");
        assert!(text(&output.stderr).contains(&names[index]));
    }
    assert!(
        text(&output.stderr).contains("2 of 4"),
        "{}",
        text(&output.stderr)
    );
    for (index, (width, height)) in [(0, (150, 90)), (3, (64, 64))] {
        let line = &lines[index];
        assert_eq!(
            (line["width"].as_u64(), line["height"].as_u64()),
            (Some(width), Some(height))
        );
        let number = |field: &str| line["box"][field].as_u64().expect("the disc is found");
        assert!(
            number("width") >= 1 && number("x") + number("width") <= width,
            "{line}"
        );
        assert!(
            number("height") >= 1 && number("y") + number("height") <= height,
            "{line}"
        );
        for share in ["confidence", "mask_mean"] {
            assert!(
                (0.0..=1.0).contains(&line[share].as_f64().expect("a number")),
                "{line}"
            );
        }
        let class = &line["class"];
        assert!(
            class["index"].as_u64().expect("a class") < 1000 && class["name"].is_string(),
            "{class}"
        );
    }
}

#[test]
fn localize_writes_overlays_and_masks_of_the_pictures_size() {
    let folder = folder();
    let out = tempfile::tempdir().expect("a temporary folder");
    let (overlays, masks) = (out.path().join("overlays"), out.path().join("masks"));
    let pictures: Vec<PathBuf> = ["a.png", "sub/a.jpg"]
        .map(|name| folder.path().join(name))
        .into();
    let output = casm(&[
        "localize",
        path(&pictures[0]),
        path(&pictures[1]),
        "--overlay",
        path(&overlays),
        "--overlay-mode",
        "heatmap",
        "--mask",
        path(&masks),
    ]);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    // Both are called "a"; the second must not replace the first.
    for (name, size) in [("a.png", (150, 90)), ("a-2.png", (64, 64))] {
        let overlay = image::open(overlays.join(name))
            .expect("written")
            .into_rgb8();
        assert_eq!(overlay.dimensions(), size);
        let mask: GrayImage = image::open(masks.join(name)).expect("written").into_luma8();
        assert_eq!(mask.dimensions(), size);
        assert!(mask.pixels().any(|p| p.0[0] > 128) && mask.pixels().any(|p| p.0[0] < 128));
    }
    let original = disc(150, 90);
    assert_ne!(
        image::open(overlays.join("a.png"))
            .expect("written")
            .into_rgb8(),
        original
    );
    let mean = lines(&output)[0]["mask_mean"].as_f64().expect("a number");
    let mask = image::open(masks.join("a.png"))
        .expect("written")
        .into_luma8();
    let drawn = mask.pixels().map(|p| f64::from(p.0[0])).sum::<f64>() / f64::from(150 * 90) / 255.0;
    // The picture of the mask is the mask: only rounding and the resampling at its border differ.
    assert!((mean - drawn).abs() < 0.02, "{mean} against {drawn}");
}

#[test]
fn a_pattern_is_expanded_and_one_without_a_match_is_an_error() {
    let folder = folder();
    let output = casm(&["localize", path(&folder.path().join("*.png"))]);
    assert_eq!(lines(&output).len(), 2);
    let output = casm(&["localize", path(&folder.path().join("*.webp"))]);
    assert_eq!(output.status.code(), Some(2));
    assert!(
        text(&output.stderr).contains("*.webp"),
        "{}",
        text(&output.stderr)
    );
}

#[test]
fn options_out_of_range_are_named() {
    let folder = folder();
    let picture = folder.path().join("a.png");
    for (option, value) in [
        ("--alpha", "0"),
        ("--alpha", "NaN"),
        ("--min-area", "1.5"),
        ("--device", "tpu"),
    ] {
        let output = casm(&["localize", path(&picture), option, value]);
        assert_eq!(output.status.code(), Some(2), "{option} {value}");
        assert!(
            text(&output.stderr).contains(option),
            "{}",
            text(&output.stderr)
        );
    }
}

#[test]
fn a_missing_model_is_named() {
    let folder = folder();
    let picture = folder.path().join("a.png");
    let output = casm(&[
        "localize",
        path(&picture),
        "--model",
        "/nowhere/model.safetensors",
    ]);
    assert_eq!(output.status.code(), Some(2));
    assert!(
        text(&output.stderr).contains("/nowhere/model.safetensors"),
        "{}",
        text(&output.stderr)
    );
}

#[test]
fn a_runs_folder_stands_for_its_model() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let run = path(folder.path());
    let refused = casm(&["info", run]);
    assert_eq!(refused.status.code(), Some(2));
    let said = text(&refused.stderr);
    assert!(said.contains("holds no .safetensors file"), "{said}");

    let model = folder.path().join("model.safetensors");
    let built_in = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../models/casm-mobilenet-v2.safetensors"
    );
    std::fs::copy(built_in, &model).expect("writable");
    // Which one of two is meant is in the name.
    std::fs::write(folder.path().join("other.safetensors"), "").expect("writable");
    let [of_folder, of_file] = [run, path(&model)].map(|model| casm(&["info", model]));
    assert!(of_folder.status.success(), "{}", text(&of_folder.stderr));
    assert!(text(&of_folder.stdout).contains("MobileNetV2"));
    assert_eq!(text(&of_folder.stdout), text(&of_file.stdout));
}

#[test]
fn import_makes_a_checkpoint_that_info_reads_and_refuses_to_replace_a_file() {
    let out = tempfile::tempdir().expect("a temporary folder");
    let (source, model) = (
        out.path().join("source.safetensors"),
        out.path().join("model.safetensors"),
    );
    // Of a checkpoint of ours the header is kept, except for what the options say.
    std::fs::write(
        &source,
        casm::Checkpoint::built_in().expect("valid").bytes(),
    )
    .expect("writable");
    let arguments = [
        "import",
        path(&source),
        "-o",
        path(&model),
        "--storage",
        "f16",
        "--data",
        "some pictures",
        "--metric",
        "le=32.5",
    ];
    let output = casm(&arguments);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    let imported = casm::Checkpoint::open(&model).expect("written");
    let original = casm::Checkpoint::built_in().expect("valid");
    assert_eq!(
        imported.tensors().expect("valid"),
        original.tensors().expect("valid")
    );
    let (new, old) = (imported.header(), original.header());
    assert_eq!((&new.network, &new.classes), (&old.network, &old.classes));
    assert_eq!(new.provenance.notes, old.provenance.notes);
    let mut metrics = old.provenance.metrics.clone();
    metrics.insert("le".to_owned(), 32.5);
    assert_eq!(new.provenance.metrics, metrics);

    let output = casm(&arguments);
    assert_eq!(output.status.code(), Some(2));
    assert!(
        text(&output.stderr).contains("--force"),
        "{}",
        text(&output.stderr)
    );

    let output = casm(&["info", path(&model)]);
    for part in [
        "MobileNetV2",
        "1000 classes",
        "some pictures",
        "le = 32.5",
        "224 x 224",
        "quantile",
    ] {
        assert!(
            text(&output.stdout).contains(part),
            "{part} is not in {}",
            text(&output.stdout)
        );
    }
    let json: Value =
        serde_json::from_slice(&casm(&["info", "--json", path(&model)]).stdout).expect("JSON");
    assert_eq!(json["provenance"]["data"], "some pictures");
}

#[test]
fn info_names_what_is_wrong_with_a_file() {
    let out = tempfile::tempdir().expect("a temporary folder");
    let file = out.path().join("x.safetensors");
    std::fs::write(&file, b"not a model").expect("writable");
    let output = casm(&["info", path(&file)]);
    assert_eq!(output.status.code(), Some(2));
    let message = text(&output.stderr);
    assert!(
        message.contains("x.safetensors") && message.contains("casm import"),
        "{message}"
    );
}

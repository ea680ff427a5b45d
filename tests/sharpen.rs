//! `casm sharpen` as a user meets it, on pictures made here.

use std::path::Path;

use casm::mask::Binarization;
use casm::{Checkpoint, EngineOptions, Frame, Localization, Localizer, PixelFormat};
use casm::{Resize, frame::ColorSpace, frame::Plane, localizer::LocalizeOptions};
use casm_tests::run::{casm, pictures, refused, succeeded, text};

/// What a model says of every picture, and the pictures' names.
fn localizations(model: &Checkpoint, data: &Path) -> Vec<Localization> {
    let mut localizer = open(model);
    let mut found = Vec::new();
    for class in ["blue", "green", "red"] {
        for number in 0..6 {
            let path = data.join("train").join(class).join(format!("{number}.png"));
            let picture = image::open(path).expect("a picture").to_rgb8();
            let (width, height) = picture.dimensions();
            let plane = Plane {
                data: picture.as_raw(),
                stride: 3 * width as usize,
            };
            let colors = ColorSpace::default();
            let frame = Frame::new(PixelFormat::Rgb, width, height, colors, [plane]);
            let options = LocalizeOptions {
                resize: Resize::Stretch,
                binarization: Binarization::default(),
                min_area: 0.0,
                max_objects: 1,
            };
            let frame = frame.expect("a frame");
            found.push(localizer.localize(&frame, &options).expect("a mask"));
        }
    }
    found
}

fn open(model: &Checkpoint) -> Localizer {
    let options = EngineOptions {
        engine: "torch".parse().expect("an engine"),
        threads: 1,
        ..EngineOptions::default()
    };
    casm::open_localizer(model, &options).expect("a model")
}

#[test]
fn masks_get_the_mean_and_contrast_that_were_asked_for() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let data = pictures(folder.path());
    let path = folder.path().join("sharp.safetensors");
    let output = casm(&["sharpen", "--contrast", "2", "--area", "0.3", "--threads"])
        .args(["1", "--data"])
        .arg(&data)
        .arg("--out")
        .arg(&path)
        .output()
        .expect("the program starts");
    succeeded(&output);
    assert!(text(&output).contains("18 pictures"), "{}", text(&output));

    let (plain, sharp) = (Checkpoint::built_in(), Checkpoint::open(&path));
    let (plain, sharp) = (plain.expect("built in"), sharp.expect("a checkpoint"));
    assert!(sharp.header().provenance.notes.contains("contrast 2"));
    // The scores in the header were those of the masks before.
    assert!(!plain.header().provenance.metrics.is_empty());
    assert!(sharp.header().provenance.metrics.is_empty());
    // Half precision stays half precision: the last layer's numbers are rounded to 11 bits.
    assert_eq!(sharp.number_formats(), plain.number_formats());
    let (before, after) = (localizations(&plain, &data), localizations(&sharp, &data));
    let mean: f64 = after.iter().map(|found| found.mask_mean).sum::<f64>() / after.len() as f64;
    assert!((mean - 0.3).abs() < 0.003, "{mean}");
    // Twice as far apart before the sigmoid, to those 11 bits of some ten addends.
    let logit = |value: f32| (f64::from(value) / (1.0 - f64::from(value))).ln();
    for (before, after) in before.iter().zip(&after) {
        let (before, after) = (&before.mask.values, &after.mask.values);
        for at in [5_000, 20_000, 45_000] {
            let plain = logit(before[at]) - logit(before[25_088]);
            let sharp = logit(after[at]) - logit(after[25_088]);
            assert!((sharp - 2.0 * plain).abs() < 0.05, "{plain} {sharp}");
        }
    }
}

#[test]
fn bad_input_is_refused() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let data = pictures(folder.path());
    let path = folder.path().join("sharp.safetensors");
    let sharpen = |more: &[&str]| {
        let mut command = casm(&["sharpen", "--out"]);
        command.arg(&path).args(more).output().expect("it starts")
    };
    let data = data.to_str().expect("a plain name");
    refused(
        &sharpen(&["--data", data, "--contrast", "0"]),
        &["--contrast"],
    );
    refused(&sharpen(&["--data", data, "--area", "1.5"]), &["--area"]);
    refused(&sharpen(&["--data", "/nowhere"]), &["/nowhere"]);
    refused(&sharpen(&[]), &["--data"]);
    assert!(!path.exists());
    std::fs::write(&path, "what was there").expect("writable");
    refused(
        &sharpen(&["--data", data]),
        &["exists; --force replaces it"],
    );
    let kept = std::fs::read(&path).expect("readable");
    assert_eq!(kept, b"what was there");
}

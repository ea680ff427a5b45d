//! `casm confuse`, `casm stats` and `casm visualize` as a user types them, on made-up pictures and networks.

#[path = "figure/fixture.rs"]
mod fixture;
#[path = "figure/stats.rs"]
mod stats;
#[path = "figure/visualize.rs"]
mod visualize;

use std::collections::BTreeMap;

use fixture::{Fixture, PICTURES, ball};
use serde_json::Value;

/// Numbers of a line of the CSV file: pictures, loss, top-1, top-5, entropy.
type Numbers = [f64; 5];

/// The CSV file by mask, classifier and condition.
fn read_csv(fixture: &Fixture, name: &str) -> BTreeMap<[String; 3], Numbers> {
    let mut reader = csv::Reader::from_path(fixture.at(name)).expect("written");
    let headers: Vec<String> = reader
        .headers()
        .expect("there")
        .iter()
        .map(str::to_owned)
        .collect();
    let expected = [
        "mask",
        "classifier",
        "condition",
        "pictures",
        "loss",
        "top1",
        "top5",
        "entropy",
    ];
    assert_eq!(headers, expected);
    let rows = reader.records().map(|record| {
        let record = record.expect("as many fields as headers");
        let number = |field: usize| record[field].parse::<f64>().expect("a number");
        (
            [0, 1, 2].map(|field| record[field].to_owned()),
            [3, 4, 5, 6, 7].map(number),
        )
    });
    rows.collect()
}

/// What follows from the definitions: nothing marked leaves the masked-out picture as it was, and so on.
#[test]
fn toy_masks_confuse_as_they_must() {
    let fixture = Fixture::new();
    let (out, _) = fixture.ends_with(
        0,
        "confuse --model @model.safetensors --data @data --toy zero,one,random56,random224 --classifier \
         @model.safetensors dir:@judges --csv @out.csv --plot @new/fig3.svg --seed 5",
    );
    let rows = read_csv(&fixture, "out.csv");
    // Three classifiers: clean, and three conditions of five kinds of masks.
    assert_eq!(rows.len(), 3 * (1 + 3 * 5));
    // The table has the same lines and a heading.
    assert_eq!(out.lines().count(), rows.len() + 1, "{out}");
    let of = |mask: &str, classifier: &str, condition: &str| {
        rows[&[mask, classifier, condition].map(str::to_owned)]
    };
    for classifier in ["model", "confuser", "third"] {
        let clean = of("", classifier, "clean");
        assert_eq!(clean[0], PICTURES as f64);
        assert_eq!(of("zero", classifier, "masked-out"), clean);
        assert_eq!(of("zero", classifier, "inpainted"), clean);
        assert_eq!(of("one", classifier, "masked-in"), clean);
        let black = of("zero", classifier, "masked-in");
        assert_eq!(of("one", classifier, "masked-out"), black);
        assert_eq!(of("one", classifier, "inpainted"), black);
        // A black picture is the same for all: one class of three is always guessed.
        assert!((black[2] - 1.0 / 3.0).abs() < 1e-12, "{black:?}");
        for mask in ["model", "random56", "random224"] {
            for condition in ["masked-in", "masked-out", "inpainted"] {
                let numbers = of(mask, classifier, condition);
                assert_ne!(numbers, clean, "{mask} {condition}");
                assert!(
                    numbers[1] > 0.0 && numbers[3] == 1.0,
                    "{mask} {condition}: {numbers:?}"
                );
                // ln 3 is the entropy of knowing nothing.
                assert!(
                    (0.0..=3f64.ln() + 1e-9).contains(&numbers[4]),
                    "{numbers:?}"
                );
            }
        }
    }

    let svg = std::fs::read_to_string(fixture.at("new/fig3.svg")).expect("written");
    let document = roxmltree::Document::parse(&svg).expect("well-formed");
    let dots = document
        .descendants()
        .filter(|node| node.has_tag_name("circle"));
    assert_eq!(dots.count(), 3 * rows.len(), "three panels");
}

#[test]
fn the_same_seed_gives_the_same_masks() {
    let fixture = Fixture::new();
    let json = |seed: u32| -> Value {
        let (out, _) = fixture.ends_with(
            0,
            &format!("confuse --model @model.safetensors --data @data --toy random56 --seed {seed} --json"),
        );
        serde_json::from_str(&out).expect("JSON")
    };
    let first = json(1);
    assert_eq!(first, json(1));
    let confusions = |document: &Value| document["confusions"].as_array().expect("rows").clone();
    let (first, second) = (confusions(&first), confusions(&json(2)));
    assert_eq!(first.len(), 7);
    for (row, other) in first.iter().zip(&second) {
        // Only the random masks depend on it.
        assert_eq!(row != other, row["mask"] == "random56", "{row} {other}");
    }
}

#[test]
fn a_broken_picture_is_named_and_the_others_are_used() {
    let fixture = Fixture::new();
    std::fs::write(fixture.at("data/red ball/9.jpg"), b"\xff\xd8 no picture").expect("writable");
    for command in [
        "confuse",
        "stats",
        "visualize --out @out --gallery --columns 20",
    ] {
        let arguments = format!("{command} --model @model.safetensors --data @data");
        let (_, error) = fixture.ends_with(1, &arguments);
        assert!(error.contains("red ball/9.jpg"), "{command}: {error}");
        assert!(error.contains("1 inputs"), "{command}: {error}");
    }
}

#[test]
fn the_built_in_model_judges_by_wordnet_id_from_an_archive() {
    let fixture = Fixture::new();
    std::fs::rename(fixture.at("data/red ball"), fixture.at("data/n01440764")).expect("there");
    std::fs::rename(fixture.at("data/green ball"), fixture.at("data/n02123045")).expect("there");
    std::fs::rename(fixture.at("data/blue ball"), fixture.at("data/n03445777")).expect("there");
    let (out, _) = fixture.ends_with(0, "confuse --data @data --limit 2");
    assert_eq!(out.lines().count(), 1 + 4, "{out}");
    let mut names = out
        .lines()
        .skip(1)
        .filter_map(|line| line.split_whitespace().next());
    assert!(names.all(|name| name == "built-in"), "{out}");
    let (out, _) = fixture.ends_with(0, "stats --data @data --limit 2");
    assert!(out.contains("built-in"), "{out}");
}

#[test]
fn bad_input_ends_with_2_and_says_what_to_do() {
    let fixture = Fixture::new();
    std::fs::create_dir(fixture.at("empty")).expect("writable");
    std::fs::create_dir(fixture.at("foreign")).expect("writable");
    ball(0, 0)
        .save(fixture.at("foreign/a.png"))
        .expect("writable");
    let model = "--model @model.safetensors --data @data";
    for (arguments, expected) in [
        (
            "confuse --model @model.safetensors --data @empty".to_owned(),
            "holds no pictures",
        ),
        (
            "confuse --model @model.safetensors --data @nowhere".to_owned(),
            "nowhere",
        ),
        (
            "confuse --model @model.safetensors --data @foreign".to_owned(),
            "no classes",
        ),
        (format!("confuse {model} --toy random57"), "random224"),
        (
            format!("confuse {model} --csv @model.safetensors/out.csv"),
            "cannot be written",
        ),
        (format!("confuse {model} --plot @data"), "is a folder"),
        (
            format!("confuse {model} --classifier dir:@empty"),
            "no .safetensors",
        ),
        (
            format!("confuse {model} --classifier @gone.safetensors"),
            "gone.safetensors",
        ),
        (format!("confuse {model} --limit 0"), "at least 1"),
        // The built-in model looks at more pixels, and has other classes.
        (
            "confuse --data @data".to_owned(),
            "are not among the model's 1000",
        ),
        (
            format!("confuse {model} --classifier @big.safetensors"),
            "big",
        ),
        (
            "confuse --model @judges/third.safetensors --data @data".to_owned(),
            "without a decoder",
        ),
        (
            "stats --model @judges/third.safetensors --data @data".to_owned(),
            "without a decoder",
        ),
        (
            "stats --model @model.safetensors --data @empty".to_owned(),
            "holds no pictures",
        ),
        (
            format!("visualize {model} --out @model.safetensors"),
            "cannot be written",
        ),
        (
            format!("visualize {model} --out @out --class tench"),
            "no class 'tench'",
        ),
        (
            format!("visualize {model} --out @out --fill grey=2"),
            "from 0 to 1",
        ),
        (
            format!("visualize {model} --out @out --columns 0"),
            "--columns",
        ),
        (
            format!("visualize {model} --out @out --plots 0"),
            "--gallery",
        ),
        (
            "visualize --model @model.safetensors --data @empty --out @out".to_owned(),
            "holds no pictures",
        ),
    ] {
        let (out, error) = fixture.ends_with(2, &arguments);
        assert!(error.contains(expected), "{arguments}: {error}");
        assert_eq!(out, "", "{arguments}");
    }
    std::fs::copy(
        concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/../models/casm-mobilenet-v2.safetensors"
        ),
        fixture.at("big.safetensors"),
    )
    .expect("there");
    let (_, error) =
        fixture.ends_with(2, &format!("confuse {model} --classifier @big.safetensors"));
    assert!(
        error.contains("64x64") && error.contains("224x224"),
        "{error}"
    );
}

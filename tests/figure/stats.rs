//! `casm stats`: against the engine's own masks.

use casm::engine::Output;
use casm::network::Upsample;
use casm::{Checkpoint, EngineOptions, Mask};
use casm_training::evaluation::{MaskStatistics, RunningStatistics};
use serde_json::Value;

use crate::fixture::{CLASSES, Fixture, PICTURES, SIDE, ball};

/// The statistics of masks that the engine gives for the same pictures, which need no resizing.
#[test]
fn statistics_are_those_of_the_engines_masks() {
    let fixture = Fixture::new();
    let checkpoint = Checkpoint::open(fixture.at("model.safetensors")).expect("valid");
    let mut engine = casm::open_engine(&checkpoint, &EngineOptions::default()).expect("opens");
    let mut pixels = Vec::new();
    for class in 0..CLASSES.len() {
        for number in 0..4 {
            pixels.extend_from_slice(&ball(class, number));
        }
    }
    let mut output = Output::default();
    engine.run(PICTURES, &pixels, &mut output).expect("runs");
    let side = SIDE as usize / 4;
    let masks = output.masks.chunks_exact(side * side).map(|values| {
        let coarse = Mask {
            width: side,
            height: side,
            values: values.to_vec(),
        };
        MaskStatistics::new(&coarse.upsample(4, Upsample::Nearest))
    });
    let mut running = RunningStatistics::default();
    running.add(&masks.collect::<Vec<_>>());
    let expected = running.statistics();

    for resize in ["crop", "stretch"] {
        let (out, _) = fixture.ends_with(
            0,
            &format!("stats --model @model.safetensors --data @data --json --resize {resize}"),
        );
        let rows: Value = serde_json::from_str(&out).expect("JSON");
        let row = &rows[0];
        assert_eq!(
            (&row["model"], &row["pictures"]),
            (&"model".into(), &12.into())
        );
        for (name, expected) in [
            ("average", expected.average),
            ("std_batch128", expected.std_batch),
            ("std_global", expected.std_global),
            ("entropy", expected.entropy),
            ("tv_mean", expected.tv_mean),
            ("tv_sum", expected.tv_sum),
        ] {
            let found = row[name].as_f64().expect("a number");
            // Another size of batch may sum in another order.
            assert!(
                (found - expected).abs() <= 1e-4 * expected.abs(),
                "{name}: {found} {expected}"
            );
        }
    }
    // One picture has no spread.
    let (out, _) = fixture.ends_with(
        0,
        "stats --model @model.safetensors --data @data --json --limit 1",
    );
    let rows: Value = serde_json::from_str(&out).expect("JSON");
    assert!(
        rows[0]["std_global"].is_null() && rows[0]["average"].is_f64(),
        "{out}"
    );
}

//! `make bench`'s board in its shortest form, as a child process. Its numbers mean nothing here.

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use casm::engine::cpu_has_bf16;
use casm_tests::{plugin_folder, program};

#[test]
fn the_board_has_all_tables_and_says_what_is_absent() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let page = folder.path().join("docs").join("performance.md");
    let finished = Command::new(program("examples/bench"))
        .env("GST_PLUGIN_PATH", plugin_folder())
        .args(["--smoke", "--network", "mobilenet-v2", "--threads", "1"])
        .arg("--board")
        .arg(&page)
        .output()
        .expect("it runs");
    let said = String::from_utf8_lossy(&finished.stderr);
    assert!(finished.status.success(), "{said}");
    let text = std::fs::read_to_string(&page).expect("written");
    let of_precision = if cpu_has_bf16() {
        [
            "| speed of OpenVINO from Python in bf16 |",
            "| casm, engine torch | bf16 |",
            "PyTorch, eager, channels last, bf16: not measured: absent: no --python has torch",
        ]
    } else {
        [
            "| speed of OpenVINO from Python in f32 |",
            "- casm, engine torch, bf16: not measured: this CPU has no bf16",
            "- PyTorch, eager, channels last, bf16: not measured: this CPU has no bf16",
        ]
    };
    for part in of_precision.into_iter().chain([
        "# Performance",
        "these numbers mean nothing",
        "## MobileNetV2, the built-in model",
        "### Batch 1, milliseconds a picture",
        "### Batch 2, milliseconds a picture",
        "| casm, engine torch | f32 |",
        "PyTorch, eager, channels last, f32: not measured: absent: no --python has torch",
        "ONNX Runtime, f32: not measured: absent",
        "### How libtorch's threads wait",
        "### In a pipeline, async-depth=0",
        "### In a pipeline, async-depth=1",
        "mean-inference-ms",
        "## Goals",
        "torch bf16 against OpenVINO from Python bf16 | 0.5 | not measured |",
        "pipeline, async-depth=1, against the bare loop | 0.85 |",
    ]) {
        assert!(text.contains(part), "no {part:?} in:\n{text}");
    }
    // Every measured line has as many cells as its head.
    for table in text.split("\n\n").filter(|part| part.starts_with('|')) {
        let cells: Vec<usize> = table
            .lines()
            .map(|line| line.matches('|').count())
            .collect();
        assert!(cells.iter().all(|&count| count == cells[0]), "{table}");
    }
}

#[test]
fn a_pipeline_that_does_not_start_ends_with_its_reason() {
    let mut bench = Command::new(program("examples/bench"))
        .env("GST_PLUGIN_PATH", plugin_folder())
        .args(["--contestant", "pipeline", "--model", "nowhere.safetensors"])
        // It asks for a round, if it gets so far.
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .expect("it runs");
    let since = Instant::now();
    while bench.try_wait().expect("it is ours").is_none() {
        if since.elapsed() > Duration::from_secs(60) {
            let _ = bench.kill();
            panic!("it hangs");
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    let finished = bench.wait_with_output().expect("it has ended");
    let said = String::from_utf8_lossy(&finished.stderr);
    assert!(!finished.status.success(), "{said}");
    assert!(said.contains("nowhere.safetensors"), "{said}");
}

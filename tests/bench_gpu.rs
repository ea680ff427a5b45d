//! `make bench-gpu`'s program, as a child process: on the CPU in its shortest form, and without a GPU.

use std::process::Command;

use casm_tests::{plugin_folder, program};

#[test]
fn the_page_has_all_tables_and_the_goals() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let page = folder.path().join("docs").join("performance-gpu.md");
    let finished = Command::new(program("examples/bench_gpu"))
        .env("GST_PLUGIN_PATH", plugin_folder())
        .env("OMP_NUM_THREADS", "1")
        .args(["--device", "cpu", "--smoke", "--network", "mobilenet-v2"])
        .arg("--out")
        .arg(&page)
        .output()
        .expect("it runs");
    let said = String::from_utf8_lossy(&finished.stderr);
    assert!(finished.status.success(), "{said}");
    let text = std::fs::read_to_string(&page).expect("written");
    for part in [
        "# Performance on a GPU",
        "these numbers mean nothing",
        "nothing here is of a GPU",
        "## MobileNetV2, the built-in model",
        "| | frame p50 | p90 | p99 ms | picture p50 | p90 | p99 ms | batch 1, frames/s | batch 2, frames/s | two engines |",
        "| bf16, eager |",
        "| f32, eager |",
        "Element in a pipeline, 1920×1080 NV12",
        "## Goals",
        "| ResNet-50, a frame at a time, p50 | < 1.0 ms | not measured |  |",
        "| MobileNetV2, batch 64 | ≥ 25000 frames/s | not measured |  |",
    ] {
        assert!(text.contains(part), "no {part:?} in:\n{text}");
    }
    for table in text.split("\n\n").filter(|part| part.starts_with('|')) {
        let cells: Vec<usize> = table
            .lines()
            .map(|line| line.matches('|').count())
            .collect();
        assert!(cells.iter().all(|&count| count == cells[0]), "{table}");
    }
}

/// On machines that have no GPU.
#[test]
fn without_a_gpu_nothing_is_measured_and_it_says_why() {
    if casm::device::resolve(casm::Device::Cuda(0)).is_ok() {
        return;
    }
    let folder = tempfile::tempdir().expect("a temporary folder");
    let page = folder.path().join("page.md");
    for device in ["cuda", "auto", "tpu"] {
        let finished = Command::new(program("examples/bench_gpu"))
            .args(["--smoke", "--device", device])
            .arg("--out")
            .arg(&page)
            .output()
            .expect("it runs");
        let said = String::from_utf8_lossy(&finished.stderr);
        assert_eq!(finished.status.code(), Some(2), "{device}: {said}");
        assert!(said.contains("nothing was measured: "), "{device}: {said}");
        assert!(!page.exists());
    }
}

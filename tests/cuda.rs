//! The reference numbers on a GPU; `make gpu-check`. Compiled only with the feature `cuda-tests`.
#![cfg(feature = "cuda-tests")]

use casm::engine::Output;
use casm::{Checkpoint, Device, EngineOptions, Precision};
use casm_tests::{golden, step};

fn run(device: Device, precision: Precision) -> Output {
    let checkpoint = Checkpoint::built_in().expect("valid");
    let options = EngineOptions {
        device,
        precision,
        ..EngineOptions::default()
    };
    let mut engine =
        casm::open_engine(&checkpoint, &options).expect("a GPU and a CUDA build of libtorch");
    let mut output = Output::default();
    engine
        .run(2, &golden::forward_pictures(), &mut output)
        .expect("runs");
    output
}

fn worst(a: &[f32], b: &[f32]) -> f32 {
    // The largest of nothing but NaN would be 0.
    assert!(a.iter().all(|value| value.is_finite()));
    a.iter()
        .zip(b)
        .map(|(a, b)| (a - b).abs())
        .fold(0.0, f32::max)
}

#[test]
fn the_gpu_computes_the_masks_of_the_cpu() {
    // 1e-2: the reference's bound for back ends that may use TF32.
    let cpu = run(Device::Cpu, Precision::F32);
    let gpu = run(Device::Cuda(0), Precision::F32);
    assert!(
        worst(&cpu.masks, &gpu.masks) < 1e-2,
        "{}",
        worst(&cpu.masks, &gpu.masks)
    );
    let reference = golden::npy_f32("built_in_mask56_f32.npy").1;
    assert!(worst(&gpu.masks, &reference) < 1e-2);
}

#[test]
fn sixteen_bits_on_the_gpu_stay_near_on_average() {
    let reference = golden::npy_f32("built_in_mask56_f32.npy").1;
    for precision in [Precision::F16, Precision::Bf16] {
        let gpu = run(Device::Cuda(0), precision);
        let sum: f32 = gpu
            .masks
            .iter()
            .zip(&reference)
            .map(|(a, b)| (a - b).abs())
            .sum();
        assert!(sum / (reference.len() as f32) < 1e-2, "{precision:?}");
    }
}

#[test]
fn auto_takes_the_gpu_and_a_missing_one_is_named() {
    let checkpoint = Checkpoint::built_in().expect("valid");
    let open = |device| {
        casm::open_engine(
            &checkpoint,
            &EngineOptions {
                device,
                ..EngineOptions::default()
            },
        )
    };
    assert_eq!(
        open(Device::Auto).expect("opens").description().device,
        "cuda:0"
    );
    let error = open(Device::Cuda(99))
        .err()
        .expect("there are not a hundred GPUs")
        .to_string();
    assert!(error.contains("cuda:99"), "{error}");
}

#[test]
fn the_alternating_step_on_the_gpu_is_the_released_codes() {
    let cuda = casm::device::resolve(Device::Cuda(0)).expect("a GPU and a CUDA build of libtorch");
    for scenario in [
        "L_entropy",
        "L_classification",
        "L100_confuser",
        "F_entropy",
        "F_classification",
    ] {
        step::check(scenario, cuda);
    }
}

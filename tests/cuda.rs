//! The reference numbers on a GPU; `make gpu-check`. Compiled only with the feature `cuda-tests`.
#![cfg(feature = "cuda-tests")]

use std::process::Command;

use casm::device_input::DeviceInput;
use casm::engine::{Engine, LaidFrame, Output};
use casm::frame::{ColorSpace, Plane};
use casm::input::InputBuilder;
use casm::{
    Checkpoint, Device, EngineOptions, Frame, Geometry, GpuOptions, PixelFormat, Precision, Resize,
    TorchEngine,
};
use casm_tests::{golden, plugin_folder, step};

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

fn bytes(count: usize, seed: usize) -> Vec<u8> {
    (0..count)
        .map(|at| ((at * 31 + at / 97 * 7 + seed * 53) % 251) as u8)
        .collect()
}

/// A frame of these bytes, which must be enough, without padding between rows.
fn laid(bytes: &[u8], format: PixelFormat, (width, height): (u32, u32)) -> LaidFrame<'_> {
    let mut left = bytes;
    let planes = (0..format.plane_count()).map(|plane| {
        let size = format.plane_size(plane, width, height);
        let (data, rest) = left.split_at(size.row_bytes() * size.rows as usize);
        left = rest;
        let stride = size.row_bytes();
        Plane { data, stride }
    });
    let frame = Frame::new(format, width, height, ColorSpace::default(), planes);
    LaidFrame {
        frame: frame.expect("fits"),
        geometry: Geometry::new(Resize::Stretch, width, height, 224),
    }
}

fn open(precision: Precision, graphs: bool) -> TorchEngine {
    let checkpoint = Checkpoint::built_in().expect("valid");
    let options = EngineOptions {
        device: Device::Cuda(0),
        precision,
        ..EngineOptions::default()
    };
    let gpu = GpuOptions {
        graphs,
        device_input: None,
    };
    TorchEngine::open_with(&checkpoint, &options, gpu).expect("a GPU and a CUDA build of libtorch")
}

/// To the byte: whole numbers that f32 holds, unless matrices are multiplied in TF32.
#[test]
fn the_gpu_prepares_the_input_of_the_cpu() {
    let cuda = casm::device::resolve(Device::Cuda(0)).expect("a GPU and a CUDA build of libtorch");
    let bytes = bytes(1920 * 1080 * 4, 1);
    let mut input = DeviceInput::new(cuda);
    for format in PixelFormat::ALL {
        for size in [(1920, 1080), (641, 359), (17, 33)] {
            let frame = laid(&bytes, format, size);
            let found = input
                .pixels(std::slice::from_ref(&frame))
                .expect("computes");
            let mut expected = Vec::new();
            let mut builder = InputBuilder::default();
            builder
                .build(&frame.frame, &frame.geometry, &mut expected)
                .expect("fits");
            let pairs = found.iter().zip(&expected);
            let off = pairs.map(|(a, b)| a.abs_diff(*b)).max();
            assert_eq!(off, Some(0), "{format} {size:?}");
        }
    }
}

/// The same kernels; 1e-4 and, of eight bits, 2e-2 are for cuDNN, which may choose others where memory is scarcer.
#[test]
fn a_replayed_graph_computes_what_single_launches_do() {
    for (precision, bound) in [(Precision::F32, 1e-4), (Precision::Bf16, 2e-2)] {
        let [mut graphs, mut eager] = [true, false].map(|graphs| open(precision, graphs));
        assert!(graphs.description().prepares_input);
        let (mut found, mut expected) = (Output::default(), Output::default());
        // Batches of both sizes in turn, so that one graph's results cannot be the other's.
        for round in 0..6 {
            for batch in [1, 3] {
                let pixels = bytes(batch * 224 * 224 * 3, round + 10 * batch);
                graphs.run(batch, &pixels, &mut found).expect("runs");
                eager.run(batch, &pixels, &mut expected).expect("runs");
                let off = worst(&found.masks, &expected.masks);
                assert!(off < bound, "{precision:?}, batch {batch}: {off}");
                assert_eq!(found.masks.len(), expected.masks.len());
                assert_eq!(found.logits.len(), expected.logits.len());
            }
            for (format, size) in [
                (PixelFormat::Nv12, (640, 360)),
                (PixelFormat::Bgrx, (321, 99)),
            ] {
                let bytes = bytes(640 * 360 * 4, round);
                let frames = [laid(&bytes, format, size), laid(&bytes[99..], format, size)];
                graphs.run_frames(&frames, &mut found).expect("runs");
                eager.run_frames(&frames, &mut expected).expect("runs");
                let off = worst(&found.masks, &expected.masks);
                assert!(off < bound, "{precision:?}, {format}: {off}");
            }
        }
        // Four kinds of batches, six of each, of which the first three run without.
        assert_eq!(
            graphs.replays(),
            4 * 3,
            "no graphs: is libcasm_cuda.so built? the lines above say"
        );
        assert_eq!(eager.replays(), 0);
    }
}

/// Engines of one device have streams of their own.
#[test]
fn two_engines_compute_at_the_same_time() {
    let expected = run(Device::Cuda(0), Precision::F32);
    let threads = [0, 1].map(|_| {
        std::thread::spawn(|| {
            let mut engine = open(Precision::F32, true);
            let mut output = Output::default();
            for _ in 0..50 {
                let pictures = golden::forward_pictures();
                engine.run(2, &pictures, &mut output).expect("runs");
            }
            output
        })
    });
    for thread in threads {
        let found = thread.join().expect("no panic");
        assert!(worst(&found.masks, &expected.masks) < 1e-4);
    }
}

/// x, y, width and height of every frame's box, as `gst-launch-1.0 -m` prints them.
fn boxes(device: &str, precision: &str) -> Vec<[i32; 4]> {
    let output = Command::new("gst-launch-1.0")
        .args(["-m", "videotestsrc", "num-buffers=8", "pattern=ball", "!"])
        .args(["video/x-raw,format=NV12,width=640,height=360", "!"])
        .args(["casmesaliency", "post-messages=true", "engine=torch"])
        .args(["async-depth=2", device, precision, "!", "fakesink"])
        .env("GST_PLUGIN_PATH", plugin_folder())
        .output()
        .expect("gst-launch-1.0 runs");
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{said}");
    let number = |line: &str, name: &str| {
        let (_, after) = line.split_once(&format!(" {name}=(int)")).expect("a field");
        let digits = after.split([',', ';']).next().unwrap_or_default();
        digits.parse().expect("a number")
    };
    let lines = said.lines().filter(|line| line.contains("casm-saliency"));
    lines
        .map(|line| ["x", "y", "width", "height"].map(|name| number(line, name)))
        .collect()
}

#[test]
fn the_element_finds_on_the_gpu_what_it_finds_on_the_cpu() {
    if Command::new("gst-launch-1.0")
        .arg("--version")
        .output()
        .is_err()
    {
        println!("skipped: there is no gst-launch-1.0");
        return;
    }
    let expected = boxes("device=cpu", "precision=f32");
    assert_eq!(expected.len(), 8);
    // A pixel of the mask is 3 of the frame; in bf16 an edge may lie one further.
    for (precision, bound) in [("precision=f32", 3), ("precision=bf16", 12)] {
        let found = boxes("device=cuda", precision);
        assert_eq!(found.len(), 8);
        for (found, expected) in found.iter().zip(&expected) {
            let pairs = found.iter().zip(expected);
            let off = pairs.map(|(a, b)| (a - b).abs()).max();
            assert!(off <= Some(bound), "{precision}: {found:?}, {expected:?}");
        }
    }
}

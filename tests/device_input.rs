//! Frames that the engine prepares itself: the way of GPUs, here on the CPU, against the CPU's own.

use std::process::Command;

use casm::engine::{Engine, LaidFrame, Output};
use casm::frame::{ColorSpace, Plane};
use casm::input::InputBuilder;
use casm::{
    Checkpoint, Device, EngineOptions, Frame, Geometry, GpuOptions, PixelFormat, Resize,
    TorchEngine,
};
use casm_tests::plugin_folder;

fn open(device_input: bool) -> TorchEngine {
    let checkpoint = Checkpoint::built_in().expect("valid");
    let options = EngineOptions {
        device: Device::Cpu,
        threads: 1,
        ..EngineOptions::default()
    };
    let gpu = GpuOptions {
        graphs: true,
        device_input: Some(device_input),
    };
    TorchEngine::open_with(&checkpoint, &options, gpu).expect("opens")
}

fn bytes(count: usize) -> Vec<u8> {
    (0..count).map(|at| (at * 31 % 251) as u8).collect()
}

#[test]
fn masks_of_frames_are_those_of_their_pixels() {
    let (luma, chroma, packed) = (bytes(331 * 200), bytes(340 * 100), bytes(64 * 48 * 4));
    let planes =
        [(&luma[..], 331), (&chroma[..], 340)].map(|(data, stride)| Plane { data, stride });
    let first = Frame::new(PixelFormat::Nv12, 320, 200, ColorSpace::default(), planes);
    let plane = Plane {
        data: &packed,
        stride: 64 * 4,
    };
    let second = Frame::new(PixelFormat::Bgrx, 64, 48, ColorSpace::default(), [plane]);
    let frames = [first, second].map(|frame| {
        let frame = frame.expect("fits");
        let geometry = Geometry::new(Resize::Stretch, frame.width(), frame.height(), 224);
        LaidFrame { frame, geometry }
    });

    let mut engine = open(true);
    assert!(engine.description().prepares_input);
    let mut found = Output::default();
    engine.run_frames(&frames, &mut found).expect("runs");

    let mut plain = open(false);
    assert!(!plain.description().prepares_input);
    let (mut pixels, mut picture) = (Vec::new(), Vec::new());
    for LaidFrame { frame, geometry } in &frames {
        let mut builder = InputBuilder::default();
        builder.build(frame, geometry, &mut picture).expect("fits");
        pixels.extend_from_slice(&picture);
    }
    let mut expected = Output::default();
    plain.run(2, &pixels, &mut expected).expect("runs");
    assert_eq!(found, expected);
    // An engine that has no way of its own goes the CPU's.
    assert_eq!(engine.replays(), 0);
    let one = LaidFrame {
        geometry: Geometry::new(Resize::Stretch, 64, 48, 32),
        ..frames[1].clone()
    };
    let error = engine
        .run_frames(&[one], &mut found)
        .expect_err("32, not 224");
    assert!(
        error.to_string().contains("an input of 32, not 224"),
        "{error}"
    );
    assert!(engine.run_frames(&[], &mut found).is_err());
    // The engine goes on.
    engine.run_frames(&frames, &mut found).expect("runs");
    assert_eq!(found, expected);
}

/// What `gst-launch-1.0 -m` prints of every frame's object.
fn messages(device_input: &str, format: &str, more: &[&str]) -> Vec<String> {
    let caps = format!("video/x-raw,format={format},width=321,height=239");
    let mut arguments = vec![
        "-m",
        "videotestsrc",
        "num-buffers=4",
        "pattern=ball",
        "!",
        &caps,
    ];
    arguments.extend([
        "!",
        "casmesaliency",
        "engine=torch",
        "device=cpu",
        "post-messages=true",
    ]);
    arguments.extend(more);
    arguments.extend(["!", "fakesink"]);
    let output = Command::new("gst-launch-1.0")
        .args(arguments)
        .env("GST_PLUGIN_PATH", plugin_folder())
        .env("CASM_DEVICE_INPUT", device_input)
        .output()
        .expect("gst-launch-1.0 runs");
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(
        output.status.success(),
        "{said}{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let lines = said.lines().filter(|line| line.contains("casm-saliency"));
    // Without the number that GStreamer gives a message.
    let lines = lines.map(|line| line[line.find("casm-saliency").unwrap_or(0)..].to_owned());
    lines.collect()
}

#[test]
fn the_element_gives_the_same_boxes_either_way() {
    for (format, more) in [
        ("NV12", &[][..]),
        ("BGRx", &["async-depth=3", "max-batch=2"]),
        ("I420", &["overlay=box"]),
    ] {
        let found = messages("1", format, more);
        assert_eq!(found.len(), 4, "{found:?}");
        assert_eq!(found, messages("0", format, more), "{format}");
    }
}

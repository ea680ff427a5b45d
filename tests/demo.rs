//! `make demo`'s program as a user runs it, in child processes.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use casm_tests::{clips, plugin_folder, program};
use serde_json::Value;
use tempfile::TempDir;

const FILES: [&str; 3] = ["overlay.webm", "boxes.jsonl", "contact-sheet.png"];

/// What a run left.
struct Run {
    folder: TempDir,
    code: Option<i32>,
    output: String,
    errors: String,
}

impl Run {
    fn new(arguments: &[&str]) -> Run {
        Run::with(arguments, |_| {})
    }

    fn with(arguments: &[&str], change: impl Fn(&mut Command)) -> Run {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let mut command = Command::new(program("examples/demo"));
        command.env("GST_PLUGIN_PATH", plugin_folder());
        command
            .args(arguments)
            .arg("--out")
            .arg(folder.path().join("out"));
        change(&mut command);
        let output = command.output().expect("the demo is built");
        Run {
            folder,
            code: output.status.code(),
            output: String::from_utf8_lossy(&output.stdout).into_owned(),
            errors: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }

    fn of(input: &Path, more: &[&str]) -> Run {
        let input = input.to_str().expect("a plain name");
        Run::new(&[&["--input", input], more].concat())
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join("out").join(name)
    }

    fn lines(&self) -> Vec<Value> {
        assert_eq!(self.code, Some(0), "{}{}", self.output, self.errors);
        let text = fs::read_to_string(self.path("boxes.jsonl")).expect("written");
        text.lines()
            .map(|line| serde_json::from_str(line).expect("a JSON object a line"))
            .collect()
    }

    /// Ended with this message, and left nothing behind.
    fn failed(&self, message: &str) {
        assert_eq!(self.code, Some(1), "{}{}", self.output, self.errors);
        assert!(self.errors.contains(message), "{}", self.errors);
        assert!(!self.errors.contains("panicked"), "{}", self.errors);
        let left = fs::read_dir(self.path(""));
        assert_eq!(left.map_or(0, Iterator::count), 0);
    }
}

fn folder() -> TempDir {
    tempfile::tempdir().expect("a temporary folder")
}

fn contact_sheet(run: &Run) -> (u32, u32) {
    image::image_dimensions(run.path("contact-sheet.png")).expect("a picture")
}

#[test]
fn a_clip_of_odd_size_becomes_a_video_lines_and_a_sheet() {
    let folder = folder();
    let run = Run::of(&clips::video(folder.path()), &[]);
    let lines = run.lines();
    assert_eq!(lines.len() as u64, clips::FRAMES);
    for (index, line) in (0u64..).zip(&lines) {
        assert_eq!(line["frame"], index);
        assert_eq!(line["age"], 0);
        // WebM keeps milliseconds.
        assert_eq!(line["pts"], 40_000_000 * index);
        let share = |key: &str| line[key].as_f64().expect("a number");
        assert!((0.0..=1.0).contains(&share("confidence")), "{line}");
        assert!((0.0..=1.0).contains(&share("mask_mean")), "{line}");
        let side = |key: &str| line["box"][key].as_u64().expect("a number");
        if line["box"].is_null() {
            assert_eq!(share("confidence"), 0.0);
        } else {
            assert!(side("width") > 0 && side("x") + side("width") <= u64::from(clips::WIDTH));
            assert!(side("height") > 0 && side("y") + side("height") <= u64::from(clips::HEIGHT));
        }
        assert!(line.get("truth").is_none());
    }
    let (frames, size) = clips::frames(&run.path("overlay.webm"));
    let expected = (clips::WIDTH as i32, clips::HEIGHT as i32);
    assert_eq!((frames, size), (clips::FRAMES, expected));
    // Four columns and three rows of 320 x 247.
    assert_eq!(contact_sheet(&run), (4 * 320 + 5 * 6, 3 * 247 + 4 * 6));
    assert!(run.output.contains("frames/s"), "{}", run.output);
    for name in FILES {
        let path = run.path(name);
        assert!(
            run.output.contains(path.to_str().expect("a plain name")),
            "{}",
            run.output
        );
    }
    let left = fs::read_dir(run.path("")).expect("made").count();
    assert_eq!(left, FILES.len());
}

#[test]
fn one_frame_is_a_clip() {
    let folder = folder();
    let run = Run::of(&clips::one_frame(folder.path()), &["--overlay", "box"]);
    assert_eq!(run.lines().len(), 1);
    assert_eq!(clips::frames(&run.path("overlay.webm")).0, 1);
    assert_eq!(contact_sheet(&run), (320 + 2 * 6, 247 + 2 * 6));
}

#[test]
fn a_clip_that_is_shown_turned_is_turned() {
    let folder = folder();
    let run = Run::of(&clips::turned(folder.path()), &[]);
    assert_eq!(run.lines().len(), 5);
    assert_eq!(clips::frames(&run.path("overlay.webm")).1, (64, 96));
}

#[test]
fn a_limit_cuts_exactly_and_completes_the_file() {
    let folder = folder();
    let run = Run::of(&clips::video(folder.path()), &["--max-frames", "7"]);
    assert_eq!(run.lines().len(), 7);
    assert_eq!(clips::frames(&run.path("overlay.webm")).0, 7);
}

#[test]
fn skipped_frames_say_the_age_of_their_box() {
    let folder = folder();
    let options = ["--inference-interval", "3", "--max-frames", "5"];
    let run = Run::of(&clips::video(folder.path()), &options);
    let ages: Vec<_> = run
        .lines()
        .iter()
        .map(|line| line["age"].as_u64())
        .collect();
    assert_eq!(ages, [0, 1, 2, 0, 1].map(Some));
}

#[test]
fn the_drawn_clip_is_scored_against_the_truth() {
    let run = Run::new(&["--max-frames", "3"]);
    let lines = run.lines();
    assert_eq!(lines.len(), 3);
    let mut sum = 0.0;
    for line in &lines {
        assert!(line["truth"]["width"].as_u64().expect("a number") > 0);
        sum += line["iou"].as_f64().expect("a number");
    }
    let expected = format!("mean IoU with the true boxes: {:.3}", sum / 3.0);
    assert!(run.output.contains(&expected), "{expected}: {}", run.output);
}

#[test]
fn a_shared_clip_plays() {
    let data = std::env::var_os("CASM_TEST_DATA").map_or_else(
        || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/data"),
        PathBuf::from,
    );
    let clip = data.join("clips/vidtome-flamingo.mp4");
    if !clip.is_file() {
        eprintln!(
            "skipped: {} is not there; CASM_TEST_DATA names its folder",
            clip.display()
        );
        return;
    }
    let run = Run::of(&clip, &["--max-frames", "20"]);
    let lines = run.lines();
    assert_eq!(lines.len(), 20);
    assert!(lines.iter().all(|line| !line["box"].is_null()));
}

#[test]
fn a_clip_that_breaks_off_keeps_what_came_before() {
    let folder = folder();
    let clip = clips::video(folder.path());
    let bytes = fs::read(&clip).expect("just written");
    fs::write(&clip, &bytes[..bytes.len() * 2 / 3]).expect("writable");
    let run = Run::of(&clip, &[]);
    assert!(matches!(run.code, Some(0 | 1)), "{}", run.errors);
    assert!(!run.errors.contains("panicked"), "{}", run.errors);
    let (frames, _) = clips::frames(&run.path("overlay.webm"));
    let lines = fs::read_to_string(run.path("boxes.jsonl")).expect("written");
    assert_eq!(lines.lines().count() as u64, frames);
}

#[test]
fn what_is_no_video_is_called_so() {
    let folder = folder();
    let at = |name: &str| folder.path().join(name);
    Run::of(&at("none.mp4"), &[]).failed("none.mp4 cannot be opened");
    Run::of(folder.path(), &[]).failed("is a folder");
    fs::write(at("text.mp4"), "not a video at all").expect("writable");
    Run::of(&at("text.mp4"), &[]).failed("text.mp4 is not a video");
    fs::write(at("empty.mp4"), "").expect("writable");
    Run::of(&at("empty.mp4"), &[]).failed("empty.mp4 is not a video");
    Run::of(&clips::sound(folder.path()), &[]).failed("sound.ogg is not a video");
    Run::new(&["--input", "/dev/video987"]).failed("there is no camera /dev/video987");
    Run::new(&["--input", "nonsense://x"]).failed("nonsense");
}

#[test]
fn errors_of_the_element_are_passed_on() {
    let folder = folder();
    let clip = clips::one_frame(folder.path());
    Run::of(&clip, &["--model", "/none.safetensors"]).failed("/none.safetensors");
    Run::of(&clip, &["--device", "abacus"]).failed("abacus");
}

#[test]
fn a_value_out_of_range_is_refused_with_the_range() {
    Run::new(&["--set", "box-hysteresis=5"]).failed("--set box-hysteresis: must be from 0 to 1");
}

#[test]
fn a_missing_plugin_or_decoder_is_named_with_the_remedy() {
    let folder = folder();
    let registry = folder.path().join("registry.bin");
    let run = Run::with(&[], |command| {
        command.env("GST_PLUGIN_PATH", folder.path());
        command.env("GST_REGISTRY", &registry);
    });
    run.failed("make demo");
    let clip = clips::one_frame(folder.path());
    let run = Run::with(
        &["--input", clip.to_str().expect("a plain name")],
        |command| {
            command.env(
                "GST_PLUGIN_FEATURE_RANK",
                "vp8dec:0,vp8alphadecodebin:0,avdec_vp8:0",
            );
        },
    );
    run.failed("VP8");
    assert!(run.errors.contains("apt install"), "{}", run.errors);
}

#[test]
fn an_output_folder_that_cannot_be_made_is_named() {
    let folder = folder();
    let file = folder.path().join("file");
    fs::write(&file, "").expect("writable");
    let output = Command::new(program("examples/demo"))
        .env("GST_PLUGIN_PATH", plugin_folder())
        .args(["--max-frames", "1", "--out"])
        .arg(file.join("out"))
        .output()
        .expect("the demo is built");
    assert_eq!(output.status.code(), Some(1));
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(errors.contains("--out"), "{errors}");
}

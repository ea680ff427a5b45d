//! Every file of `pipelines/` parses, and those that need no hardware play to their end.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use casm_tests::{build_folder, clips};
use gst::prelude::*;
use tempfile::TempDir;

/// These need a camera, a server or a display.
const HARDWARE: [&str; 2] = ["rtsp", "webcam"];

/// A `.launch` file.
struct Launch {
    name: String,
    description: String,
    /// Variables with their defaults.
    variables: BTreeMap<String, String>,
}

impl Launch {
    fn read(path: &Path) -> Launch {
        let text = fs::read_to_string(path).expect("readable");
        let (comment, body): (Vec<&str>, Vec<&str>) =
            text.lines().partition(|line| line.starts_with('#'));
        let declarations = comment.iter().filter_map(|line| {
            let (name, rest) = line.strip_prefix("# ")?.split_once('=')?;
            let is_name = name.chars().all(|c| c.is_ascii_uppercase() || c == '_');
            let value = rest.split(' ').next().unwrap_or_default();
            (is_name && name != "RUNNER").then(|| (name.to_owned(), value.to_owned()))
        });
        Launch {
            name: path
                .file_stem()
                .expect("a name")
                .to_string_lossy()
                .into_owned(),
            description: body.join(" "),
            variables: declarations.collect(),
        }
    }

    fn all() -> Vec<Launch> {
        let entries = fs::read_dir(folder()).expect("the folder is there");
        let mut paths: Vec<PathBuf> = entries
            .map(|entry| entry.expect("readable").path())
            .collect();
        paths.retain(|path| {
            path.extension()
                .is_some_and(|extension| extension == "launch")
        });
        paths.sort();
        assert!(paths.len() >= 7, "{paths:?}");
        paths.iter().map(|path| Launch::read(path)).collect()
    }

    /// The pipeline with its variables filled in.
    fn fill(&self, clip: &Path, output: &Path) -> String {
        let mut text = self.description.clone();
        for (name, default) in &self.variables {
            let value = match name.as_str() {
                "INPUT" => clip.to_str().expect("a plain name"),
                "OUTPUT" => output.to_str().expect("a plain name"),
                "FRAMES" => "5",
                "URL" => "rtsp://127.0.0.1:1/none",
                _ => default,
            };
            text = text.replace(&format!("${{{name}}}"), value);
        }
        assert!(
            !text.contains("${"),
            "{}: a variable is not declared: {text}",
            self.name
        );
        text
    }
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../pipelines")
}

fn temporary() -> TempDir {
    tempfile::tempdir().expect("a temporary folder")
}

#[test]
fn every_pipeline_parses() {
    casm_tests::gst::init();
    for launch in Launch::all() {
        let text = launch.fill(Path::new("/none.webm"), Path::new("/none/out.webm"));
        let mut context = gst::ParseContext::new();
        let parsed =
            gst::parse::launch_full(&text, Some(&mut context), gst::ParseFlags::FATAL_ERRORS);
        let missing = context.missing_elements();
        if !missing.is_empty() && !missing.iter().any(|name| name.as_str() == "casmesaliency") {
            eprintln!(
                "skipped: {} needs {missing:?}, which this machine lacks",
                launch.name
            );
            continue;
        }
        parsed.unwrap_or_else(|error| panic!("{}: {error}: {text}", launch.name));
    }
}

#[test]
fn pipelines_without_hardware_play_to_their_end() {
    casm_tests::gst::init();
    let folder = temporary();
    let clip = clips::video(folder.path());
    for launch in Launch::all() {
        if HARDWARE.contains(&launch.name.as_str()) {
            continue;
        }
        let output = folder.path().join(format!("{}.webm", launch.name));
        let pipeline = clips::pipeline(&launch.fill(&clip, &output));
        let element = pipeline
            .iterate_recurse()
            .into_iter()
            .flatten()
            .find(|element| {
                element
                    .factory()
                    .is_some_and(|of| of.name() == "casmesaliency")
            })
            .expect("every pipeline has the element");
        clips::run(&pipeline);
        let stats = element.property::<gst::Structure>("stats");
        let expected = if launch.variables.contains_key("FRAMES") {
            5
        } else {
            clips::FRAMES
        };
        assert_eq!(stats.get::<u64>("frames"), Ok(expected), "{}", launch.name);
        if launch.variables.contains_key("OUTPUT") {
            assert_eq!(clips::frames(&output).0, expected, "{}", launch.name);
        }
    }
}

#[test]
fn every_pipeline_is_in_the_table_of_the_readme() {
    let readme = fs::read_to_string(folder().join("README.md")).expect("readable");
    let rows: Vec<&str> = readme
        .lines()
        .filter(|line| line.starts_with("| `"))
        .collect();
    for launch in Launch::all() {
        let row = rows
            .iter()
            .find(|row| row.starts_with(&format!("| `{}` |", launch.name)));
        let row = row.unwrap_or_else(|| panic!("{} is not in the table", launch.name));
        assert!(
            row.contains(&format!("pipelines/run.sh {}", launch.name)),
            "{row}"
        );
    }
}

/// `run.sh` with the programs that were built; `None` where they are not optimised ones, which is
/// where it looks.
fn run_script(arguments: &[&str], work: &Path) -> Option<Output> {
    let built = build_folder();
    if built.file_name().is_none_or(|name| name != "release") {
        eprintln!("skipped: run.sh uses target/release, and this test was built elsewhere");
        return None;
    }
    let output = Command::new("bash")
        .arg(folder().join("run.sh"))
        .args(arguments)
        .current_dir(work)
        .env_remove("GST_PLUGIN_PATH")
        .env_remove("DISPLAY")
        .env_remove("WAYLAND_DISPLAY")
        .env(
            "CARGO_TARGET_DIR",
            built.parent().expect("a build folder lies in another"),
        )
        .output();
    Some(output.expect("bash is there"))
}

#[test]
fn the_script_runs_a_pipeline_on_names_with_spaces() {
    let folder = temporary();
    let input = format!("INPUT={}", clips::video(folder.path()).display());
    let arguments = [
        "file-overlay",
        &input,
        "OUTPUT=an output.webm",
        "OVERLAY=box",
    ];
    let Some(output) = run_script(&arguments, folder.path()) else {
        return;
    };
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{errors}");
    assert_eq!(
        clips::frames(&folder.path().join("an output.webm")).0,
        clips::FRAMES
    );
}

#[test]
fn the_script_prints_boxes_as_json() {
    let folder = temporary();
    let input = format!("INPUT={}", clips::video(folder.path()).display());
    let arguments = ["file-boxes", &input, "INTERVAL=2"];
    let Some(output) = run_script(&arguments, folder.path()) else {
        return;
    };
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{errors}");
    let text = String::from_utf8(output.stdout).expect("JSON is UTF-8");
    let lines: Vec<serde_json::Value> = text
        .lines()
        .map(|line| serde_json::from_str(line).expect("nothing but JSON"))
        .collect();
    assert_eq!(lines.len() as u64, clips::FRAMES);
    for (index, line) in (0u64..).zip(&lines) {
        assert_eq!(line["frame"], index);
        assert_eq!(line["age"], index % 2);
        assert!(line.get("box").is_some() && line["confidence"].is_number());
    }
}

/// Without a display, `autovideosink` ends in a segmentation fault and says nothing.
#[test]
fn a_window_without_a_display_is_refused() {
    if Path::new("/dev/dri/card0").exists() {
        eprintln!("skipped: this machine can show pictures without a desktop");
        return;
    }
    for arguments in [&["webcam"][..], &["rtsp", "URL=rtsp://127.0.0.1:1/none"]] {
        let Some(output) = run_script(arguments, temporary().path()) else {
            return;
        };
        let errors = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{errors}");
        assert!(errors.contains("there is no display"), "{errors}");
    }
}

#[test]
fn the_script_says_what_is_wrong() {
    let folder = temporary();
    for (arguments, message) in [
        (&["file-overlay"][..], "needs INPUT="),
        (
            &["file-overlay", "INPUT=/none.mp4"],
            "/none.mp4 cannot be read",
        ),
        (&["file-overlay", "COLOUR=red"], "sets no variable"),
        (&["nothing"], "--help"),
        (&[], "usage"),
    ] {
        let Some(output) = run_script(arguments, folder.path()) else {
            return;
        };
        let errors = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{errors}");
        assert!(errors.contains(message), "{errors}");
    }
}

//! `casm train` and `casm train-classifier` as a user meets them, on pictures made here.

use std::path::Path;
use std::process::{Output, Stdio};
use std::time::{Duration, Instant};

use casm::Checkpoint;
use casm_tests::run::{SMALL, casm, pictures, refused, steps, succeeded, tensors, text};
use image::RgbImage;

fn train(data: &Path, out: &Path, more: &[&str]) -> Output {
    let mut command = casm(&["train"]);
    command
        .arg(data)
        .arg("--out")
        .arg(out)
        .args(SMALL)
        .args(more);
    command.output().expect("the program starts")
}

fn wait_for(what: &str, mut done: impl FnMut() -> bool) {
    let start = Instant::now();
    while !done() {
        assert!(
            start.elapsed() < Duration::from_secs(120),
            "no {what} after two minutes"
        );
        std::thread::sleep(Duration::from_millis(5));
    }
}

const METHOD: [&str; 10] = [
    "--history-every",
    "3",
    "--history-size",
    "2",
    "--target-area",
    "0.4",
    "--ema",
    "0.9",
    "--max-steps",
    "14",
];

/// History with overwritten slots, an average, a controller, several epochs: all state there is.
#[test]
fn a_killed_run_goes_on_to_the_same_bits() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let data = pictures(folder.path());
    let whole = folder.path().join("whole");
    succeeded(&train(&data, &whole, &METHOD));

    let killed = folder.path().join("killed");
    let mut command = casm(&["train"]);
    command
        .arg(&data)
        .arg("--out")
        .arg(&killed)
        .args(SMALL)
        .args(METHOD);
    let mut child = command
        .args(["--snapshot-every", "2"])
        .stderr(Stdio::null())
        .spawn()
        .expect("the program starts");
    // Killed somewhere behind a snapshot, in the middle of whatever it does then.
    let snapshots = killed.join("snapshots");
    wait_for("second snapshot", || {
        std::fs::read_dir(&snapshots).is_ok_and(|files| files.count() >= 2)
    });
    child.kill().expect("SIGKILL");
    child.wait().expect("it ends");
    let done = steps(&killed).len();
    assert!(done < 15, "it was too fast to be killed");

    let output = casm(&["train", "--max-steps", "14", "--workers", "1", "--resume"])
        .arg(&killed)
        .output()
        .expect("the program starts");
    succeeded(&output);
    assert!(tensors(&whole) == tensors(&killed), "the weights differ");
    assert_eq!(steps(&whole), steps(&killed));
}

#[test]
fn ctrl_c_saves_and_leaves() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let data = pictures(folder.path());
    let run = folder.path().join("run");
    let mut command = casm(&["train"]);
    command.arg(&data).arg("--out").arg(&run).args(SMALL);
    let child = command
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program starts");
    wait_for("step", || {
        std::fs::read_to_string(run.join("steps.csv")).is_ok_and(|csv| csv.lines().count() > 3)
    });
    // SAFETY: the child has not been waited for, so the number is still its own.
    let sent = unsafe { libc::kill(child.id() as libc::pid_t, libc::SIGINT) };
    assert_eq!(sent, 0);
    let output = child.wait_with_output().expect("it ends");
    assert_eq!(output.status.code(), Some(130), "{}", text(&output));
    assert!(text(&output).contains("--resume"), "{}", text(&output));
    let done = steps(&run).len() - 1;
    let last = run.join(format!("snapshots/step-{done:09}.safetensors"));
    assert!(last.is_file(), "{} is missing", last.display());
}

/// Every strategy and option trains without falling over, and moves what it should.
#[test]
fn every_choice_of_the_paper_runs() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let data = pictures(folder.path());
    let choices: [(&str, &[&str]); 14] = [
        ("F", &["--preset", "F"]),
        ("L", &["--preset", "L", "--score", "classification"]),
        ("FL", &["--preset", "FL", "--history-init", "pretrained"]),
        ("L1000", &["--preset", "L1000"]),
        ("paper", &["--preset", "paper"]),
        ("separate", &["--encoder", "separate"]),
        ("legacy", &["--preset", "L", "--decoder-grad", "legacy"]),
        (
            "joint",
            &["--classifier-step", "joint", "--masked-step", "always"],
        ),
        ("taps", &["--decoder-taps", "3,4", "--decoder", "l0-conv"]),
        (
            "follow-up",
            &[
                "--masked-in",
                "1",
                "--total-variation",
                "0.001",
                "--train-on-masked-in",
            ],
        ),
        (
            "fill",
            &["--fill", "grey=0.35", "--reg-on", "all", "--main-on", "all"],
        ),
        (
            "accumulate",
            &["--accumulate", "2", "--upsample", "bilinear"],
        ),
        ("bf16", &["--precision", "bf16"]),
        (
            "cosine",
            &[
                "--lr-schedule",
                "cosine",
                "--clip-grad",
                "0",
                "--no-flip",
                "--compat",
            ],
        ),
    ];
    for (name, options) in choices {
        let run = folder.path().join(name);
        let output = train(
            &data,
            &run,
            &[options, &["--max-steps", "3", "--history-every", "1"]].concat(),
        );
        assert!(output.status.success(), "{name}: {}", text(&output));
        let checkpoint = Checkpoint::open(run.join("model.safetensors")).expect("a checkpoint");
        assert_eq!(
            checkpoint.header().classes,
            ["blue", "green", "red"],
            "{name}"
        );
        assert_eq!(
            checkpoint.header().network.separate_encoder,
            name == "separate"
        );
        assert_eq!(steps(&run).len(), 4, "{name}");
    }
    // F leaves the classifier as it was; L does not.
    let classifier = |name: &str| {
        let mut tensors = tensors(&folder.path().join(name));
        tensors.retain(|name, _| name.starts_with("classifier."));
        tensors
    };
    let fixed = classifier("F");
    let steps_later = folder.path().join("F2");
    succeeded(&train(
        &data,
        &steps_later,
        &["--preset", "F", "--max-steps", "1"],
    ));
    assert!(fixed == classifier("F2"));
    assert!(fixed != classifier("L"));
}

#[test]
fn a_classifier_learns_and_starts_a_mapping() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let data = pictures(folder.path());
    let run = folder.path().join("classifier");
    let mut command = casm(&["train-classifier"]);
    command.arg(&data).arg("--out").arg(&run).args(SMALL);
    command.args([
        "--max-steps",
        "30",
        "--rate",
        "0.02",
        "--crop-scale",
        "1",
        "--no-flip",
    ]);
    std::os::unix::fs::symlink(data.join("train"), data.join("val")).expect("a temporary file");
    command
        .arg("--validate")
        .arg(&data)
        .args(["--validate-every", "30"]);
    succeeded(&command.output().expect("the program starts"));
    let losses: Vec<f64> = steps(&run)[1..]
        .iter()
        .map(|line| {
            line.split(',')
                .nth(3)
                .expect("a column")
                .parse()
                .expect("a number")
        })
        .collect();
    let scores = std::fs::read_to_string(run.join("scores.csv")).expect("a log");
    // On its own pictures, for want of others.
    assert!(
        scores
            .lines()
            .nth(1)
            .is_some_and(|line| line.starts_with("30,")),
        "{scores}"
    );
    assert!(run.join("best.safetensors").is_file());
    let mean = |losses: &[f64]| losses.iter().sum::<f64>() / losses.len() as f64;
    let (first, last) = (mean(&losses[..5]), mean(&losses[25..]));
    assert!(last < 0.7 * first, "the loss went from {first} to {last}");

    let init = run.join("model.safetensors");
    let init = init.to_str().expect("a plain path");
    let mapping = folder.path().join("mapping");
    let mut command = casm(&["train", "--init", init, "--batch", "5", "--max-steps", "2"]);
    succeeded(
        &command
            .arg(&data)
            .arg("--out")
            .arg(&mapping)
            .output()
            .expect("it starts"),
    );
    let checkpoint = Checkpoint::open(mapping.join("model.safetensors")).expect("a checkpoint");
    assert_eq!(checkpoint.header().input.size, 64);
    assert!(checkpoint.header().network.decoder.is_some());
}

#[test]
fn divergence_names_the_last_good_snapshot() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let data = pictures(folder.path());
    let run = folder.path().join("run");
    succeeded(&train(&data, &run, &["--max-steps", "2"]));
    // The rates of a run are fixed; the file is the way to spoil them.
    let config = run.join("config.json");
    let json = std::fs::read_to_string(&config).expect("a configuration");
    let spoilt = json.replace("\"classifier_rate\": 0.001", "\"classifier_rate\": 1e30");
    assert_ne!(json, spoilt);
    std::fs::write(&config, spoilt).expect("a temporary file");
    let output = casm(&["train", "--resume"])
        .arg(&run)
        .output()
        .expect("it starts");
    refused(
        &output,
        &["diverged", "after step 2", "step-000000002.safetensors"],
    );
}

#[test]
fn bad_input_is_refused_and_nothing_is_lost() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let data = pictures(folder.path());
    let out = folder.path().join("out");
    let train = |data: &Path, more: &[&str]| train(data, &out, more);

    refused(&train(&folder.path().join("absent"), &[]), &["absent"]);
    let empty = folder.path().join("empty");
    std::fs::create_dir_all(empty.join("train/red")).expect("a temporary folder");
    refused(&train(&empty, &[]), &["empty"]);
    refused(&train(&data, &["--classes", "red,mauve"]), &["mauve"]);
    std::fs::create_dir_all(data.join("train/none")).expect("a temporary folder");
    refused(&train(&data, &[]), &["none", "without pictures"]);
    std::fs::remove_dir(data.join("train/none")).expect("just made");
    refused(&train(&data, &["--batch", "0"]), &["--batch"]);
    refused(&train(&data, &["--lambda", "-1"]), &["--lambda"]);
    refused(&train(&data, &["--decoder-taps", "9"]), &["taps"]);
    refused(&train(&data, &["--input-size", "65"]), &["multiple of 32"]);
    refused(&train(&data, &["--weights", "1,2"]), &["--weights"]);
    let mut command = casm(&["train", "--out"]);
    let output = command.arg(&out).arg(&data).output().expect("it starts");
    refused(&output, &["--init", "--architecture"]);
    let file = folder.path().join("file");
    std::fs::write(&file, "no folder").expect("a temporary file");
    let mut command = casm(&["train", "--out"]);
    let output = command
        .arg(file.join("run"))
        .arg(&data)
        .args(SMALL)
        .output();
    refused(&output.expect("it starts"), &["file"]);

    refused(&train(&data, &["--train-on-masked-in"]), &["--masked-in"]);
    let legacy = ["--decoder-grad", "legacy", "--precision", "bf16"];
    refused(&train(&data, &legacy), &["legacy", "--precision"]);

    // A run is never overwritten, and cannot be resumed with other options, tensors or pictures.
    succeeded(&train(&data, &["--max-steps", "1"]));
    let before = tensors(&out);
    let resume = |more: &[&str]| {
        let mut command = casm(&["train", "--resume"]);
        command.arg(&out).args(more).output().expect("it starts")
    };
    refused(&resume(&["--lambda", "99"]), &["--lambda", "--resume"]);
    std::fs::copy(data.join("train/red/0.png"), data.join("train/red/x.png")).expect("a file");
    refused(&resume(&[]), &["19 pictures", "18"]);
    std::fs::remove_file(data.join("train/red/x.png")).expect("just written");
    refused(&train(&data, &["--max-steps", "1"]), &["--resume"]);
    let config = out.join("config.json");
    let json = std::fs::read_to_string(&config).expect("a configuration");
    let other = json.replace("\"channels\": 64", "\"channels\": 32");
    assert_ne!(json, other);
    std::fs::write(&config, other).expect("a temporary file");
    let output = casm(&["train", "--resume"])
        .arg(&out)
        .output()
        .expect("it starts");
    refused(&output, &["snapshot", "conv1x1"]);
    assert!(before == tensors(&out));
}

#[test]
fn odd_pictures_are_used_or_named() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let data = pictures(folder.path());
    RgbImage::new(1, 1)
        .save(data.join("train/red/one.png"))
        .expect("a temporary file");
    let whole = std::fs::read(data.join("train/red/0.png")).expect("just written");
    std::fs::write(data.join("train/red/broken.png"), &whole[..whole.len() / 2]).expect("a file");
    // A class of one picture.
    std::fs::create_dir_all(data.join("train/single")).expect("a temporary folder");
    std::fs::copy(
        data.join("train/red/0.png"),
        data.join("train/single/0.png"),
    )
    .expect("a file");
    let out = folder.path().join("out");
    // Every picture comes once in 21 batches of one.
    let mut command = casm(&["train"]);
    command.arg(&data).arg("--out").arg(&out).args(SMALL);
    let output = command.args(["--batch", "1", "--max-steps", "25"]).output();
    let output = output.expect("the program starts");
    assert_eq!(output.status.code(), Some(1), "{}", text(&output));
    assert!(text(&output).contains("broken.png"), "{}", text(&output));
}

/// The preset is what `make model` said option by option before it had a name.
#[test]
fn casm_tv_is_casm_with_its_options_said() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let data = pictures(folder.path());
    let plan = |options: &[&str]| {
        let more = [options, &["--dry-run"]].concat();
        let output = train(&data, &folder.path().join("out"), &more);
        succeeded(&output);
        let mut plan: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON");
        plan["preset"].take();
        plan
    };
    let said = [
        "--preset",
        "casm",
        "--decoder-init",
        "uniform",
        "--lambda",
        "3",
        "--target-area",
        "0.34",
    ];
    let more = ["--total-variation", "0.002", "--classifier-rate", "1e-4"];
    assert_eq!(
        plan(&["--preset", "casm-tv"]),
        plan(&[&said[..], &more].concat())
    );
    assert_ne!(plan(&["--preset", "casm-tv"]), plan(&["--preset", "casm"]));
    let other = plan(&[
        "--preset",
        "casm-tv",
        "--total-variation",
        "0",
        "--lambda",
        "5",
    ]);
    assert_eq!(
        [&other["step"]["total_variation"], &other["lambda"]],
        [0.0, 5.0]
    );
}

/// What would end a run at once ends its dry run.
#[test]
fn a_dry_run_is_refused_for_what_the_run_is() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let (data, out) = (pictures(folder.path()), folder.path().join("out"));
    let more = ["--dry-run", "--evaluate", "/nowhere/set"];
    refused(&train(&data, &out, &more), &["/nowhere/set"]);
    std::fs::write(&out, "a file").expect("writable");
    refused(&train(&data, &out, &["--dry-run"]), &["--out", "is a file"]);
}

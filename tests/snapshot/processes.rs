//! What happens to a process must not happen to its run: kills, full disks, signals.
//!
//! The processes are this test program again, with one test chosen and told by its environment what to do.

use std::ffi::OsStr;
use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant, SystemTime};

use casm_training::log::{CsvLog, Interrupt, ScoreRecord};
use casm_training::snapshot::{SnapshotError, SnapshotStore};
use tch::{Device, Kind, Tensor};

use crate::state::{assert_state, expected, latest, names, open};

const TASK: &str = "CASM_TEST_TASK";
const FOLDER: &str = "CASM_TEST_FOLDER";
/// What a process prints when it is where the test wants it.
const READY: &str = "process is ready";

/// The arguments that make this program a process for `task`, after `wrapper`.
fn process(wrapper: &[&str], task: &str, folder: &Path) -> Command {
    let program = std::env::current_exe().expect("it runs");
    let mut words: Vec<&OsStr> = wrapper.iter().map(OsStr::new).collect();
    words.push(program.as_os_str());
    let mut command = Command::new(words[0]);
    command
        .args(&words[1..])
        .args(["processes::child", "--exact", "--ignored", "--nocapture"])
        .env(TASK, task)
        .env(FOLDER, folder)
        .stdin(Stdio::null())
        .stdout(Stdio::piped());
    command
}

/// Reads a process's output up to the line that contains `text`.
fn wait_for(text: &str, output: &mut impl BufRead) {
    let found = output
        .lines()
        .map(|line| line.expect("text"))
        .any(|line| line.contains(text));
    assert!(found, "the process ended early");
}

#[test]
#[ignore = "a process of the other tests"]
fn child() {
    let (Ok(task), Some(folder)) = (std::env::var(TASK), std::env::var_os(FOLDER)) else {
        return;
    };
    match task.as_str() {
        "train" => train(Path::new(&folder)),
        "overfill" => overfill(Path::new(&folder)),
        "overfill and lock" => {
            overfill(Path::new(&folder));
            read_only(Path::new(&folder));
        }
        _ => be_interrupted(),
    }
}

/// Goes on with the run, for ever.
fn train(folder: &Path) {
    let mut store = open(folder, 2);
    let start = latest(&mut store).map_or(0, |found| {
        assert!(found.passed_over.is_empty(), "{:?}", found.passed_over);
        found.snapshot.step
    });
    let mut log = CsvLog::open(&folder.join("scores.csv"), start).expect("writable");
    println!("{READY}");
    for step in start + 1.. {
        let record = ScoreRecord {
            step,
            ..ScoreRecord::default()
        };
        log.append(&record).expect("writable");
        store.save(&expected(step)).expect("writable");
    }
}

#[test]
fn a_run_survives_any_kill() {
    let folder = tempfile::tempdir().expect("writable");
    let (mut hit, mut last) = (0, 0);
    let files = || {
        let of = |kind| {
            let folder = folder.path().join(kind);
            // Before the first process has made it.
            if folder.exists() {
                names(&folder)
            } else {
                Vec::new()
            }
        };
        [of("history"), of("snapshots")].concat()
    };
    let half_written = || files().iter().any(|name| name.ends_with(".partial"));
    for round in 0..30 {
        let before = files();
        let mut process = process(&[], "train", folder.path())
            .spawn()
            .expect("it runs");
        let mut output = BufReader::new(process.stdout.take().expect("piped"));
        wait_for(READY, &mut output);
        // Every other time as soon as a file appears, so while it is being written; else anywhere.
        if round % 2 == 0 {
            let start = Instant::now();
            while files() == before && start.elapsed() < Duration::from_secs(5) {}
        } else {
            let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
            let moment = now.expect("after 1970").subsec_micros() % 100_000;
            std::thread::sleep(Duration::from_micros(moment.into()));
        }
        // SIGKILL.
        process.kill().expect("it runs");
        process.wait().expect("it is killed");

        hit += u32::from(half_written());
        let mut store = open(folder.path(), 2);
        assert!(!half_written());
        let Some(found) = latest(&mut store) else {
            assert_eq!(last, 0, "what was saved is lost");
            continue;
        };
        assert!(found.passed_over.is_empty(), "{:?}", found.passed_over);
        assert!(found.snapshot.step >= last);
        last = found.snapshot.step;
        assert_state(&found.snapshot, last);
    }
    println!("{last} steps; {hit} of 30 kills hit a file that was being written");
    assert!(last > 0 && hit > 0, "the kills were all beside the point");
    let path = folder.path().join("scores.csv");
    drop(CsvLog::<ScoreRecord>::open(&path, last).expect("writable"));
    let text = std::fs::read_to_string(path).expect("readable");
    let steps: Vec<u64> = text
        .lines()
        .skip(1)
        .map(|line| {
            line.split(',')
                .next()
                .and_then(|field| field.parse().ok())
                .expect("a step")
        })
        .collect();
    assert_eq!(steps, (1..=last).collect::<Vec<_>>());
}

/// Saves more than there is room for.
fn overfill(folder: &Path) {
    let mut store = open(folder, 2);
    for step in [1, 2] {
        store.save(&expected(step)).expect("there is room so far");
    }
    let large = || Tensor::zeros([8 << 20], (Kind::Float, Device::Cpu));
    let mut snapshot = expected(3);
    snapshot.tensors.insert("large".to_owned(), large());
    let mut member = expected(4);
    member.history[1]
        .tensors
        .insert("large".to_owned(), large());
    for snapshot in [snapshot, member] {
        let error = store.save(&snapshot).expect_err("there is no room");
        let SnapshotError::Write(error) = error else {
            panic!("{error}");
        };
        let kinds = [ErrorKind::StorageFull, ErrorKind::FileTooLarge];
        assert!(kinds.contains(&error.cause.kind()), "{error}");
        assert!(error.to_string().contains("untouched"), "{error}");
        println!("{error}");
    }
    drop(store);
    assert_eq!(names(folder), ["history", "lock", "snapshots"]);
    assert_eq!(
        names(&folder.join("history")),
        ["step-000000002.safetensors"]
    );
    assert_eq!(names(&folder.join("snapshots")).len(), 2);
    let mut store = open(folder, 2);
    assert_state(&latest(&mut store).expect("saved before").snapshot, 2);
    // With room again the run goes on.
    store.save(&expected(3)).expect("it is small");
    println!("{READY}");
}

/// Makes the disk read-only.
fn read_only(folder: &Path) {
    let status = Command::new("mount")
        .args(["-o", "remount,ro"])
        .arg(folder)
        .status();
    assert!(status.expect("mount is installed").success());
    let error = SnapshotStore::open(folder, 2).expect_err("read-only");
    assert!(
        error
            .to_string()
            .contains("name a folder that can be written to"),
        "{error}"
    );
    println!("{error}");
}

/// Runs `overfill` or more under `script`, which ends with `exec "$@"`.
fn run_limited(script: &str, task: &str, wrapper: &[&str]) {
    let folder = tempfile::tempdir().expect("writable");
    let path = folder.path().to_str().expect("a plain name");
    let wrapper = [wrapper, &["sh", "-c", script, path]].concat();
    let output = process(&wrapper, task, folder.path())
        .output()
        .expect("sh runs");
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && text.contains(READY), "{text}");
    print!("{text}");
}

/// 16384 blocks are 8 or 16 MB, as the shell counts them; the large tensor has 32.
#[test]
fn a_file_above_the_limit_costs_nothing_that_was_saved() {
    run_limited(
        "trap '' XFSZ; ulimit -f 16384; exec \"$@\"",
        "overfill",
        &[],
    );
}

/// A disk of 24 MB, in a user namespace of its own, where everybody may mount.
#[test]
fn a_full_disk_costs_nothing_that_was_saved() {
    let namespace = ["unshare", "--user", "--map-root-user", "--mount"];
    let script = "mount -t tmpfs -o size=24m tmpfs \"$0\" && exec \"$@\"";
    let trial = Command::new(namespace[0])
        .args(&namespace[1..])
        .args(["mount", "-t", "tmpfs", "tmpfs", "/tmp"])
        .status();
    if !trial.is_ok_and(|status| status.success()) {
        eprintln!("skipped: this machine lets nobody mount a disk of his own");
        return;
    }
    run_limited(script, "overfill and lock", &namespace);
}

/// Waits for signals as a trainer does.
fn be_interrupted() {
    let interrupt = Interrupt::watch().expect("signals can be watched");
    assert!(!interrupt.requested());
    println!("{READY}");
    while !interrupt.requested() {
        std::thread::sleep(Duration::from_millis(2));
    }
    println!("saving");
    std::io::stdout().flush().expect("piped");
    // A trainer that takes its time.
    std::thread::sleep(Duration::from_secs(60));
}

#[test]
fn the_first_signal_asks_and_the_second_ends() {
    fn send(signal: &str, process: &Child) {
        let status = Command::new("kill")
            .args([signal, &process.id().to_string()])
            .status();
        assert!(status.expect("kill is installed").success());
    }
    for (first, second, code) in [("-INT", "-INT", 130), ("-INT", "-TERM", 143)] {
        let folder = Path::new("");
        let mut process = process(&[], "be interrupted", folder)
            .spawn()
            .expect("it runs");
        let mut output = BufReader::new(process.stdout.take().expect("piped"));
        wait_for(READY, &mut output);
        send(first, &process);
        wait_for("saving", &mut output);
        send(second, &process);
        output.read_to_end(&mut Vec::new()).expect("readable");
        assert_eq!(process.wait().expect("it ended").code(), Some(code));
    }
}

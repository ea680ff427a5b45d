//! The real `libgstcasm.so` in GStreamer's own programs, on a machine with and without libtorch.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use tempfile::TempDir;

const PLUGIN: &str = "libgstcasm.so";
const ENGINE: &str = "libcasm.so";
const PLAY: [&str; 6] = [
    "videotestsrc",
    "num-buffers=2",
    "!",
    "casmesaliency",
    "!",
    "fakesink",
];

/// A machine in miniature: the folders that `make install` fills, a home, a registry, and nothing
/// else in the environment.
///
/// The engine has a folder of its own, because GStreamer takes every library in a plugin folder for
/// a plugin: it would load the engine while it scans, and blacklist it.
struct Machine {
    root: TempDir,
}

impl Machine {
    /// With the plugin, and without an engine.
    fn new() -> Machine {
        let root = tempfile::tempdir().expect("a folder for temporary files");
        let machine = Machine { root };
        for file in [machine.plugin(), machine.engine()] {
            fs::create_dir_all(file.parent().expect("in a folder")).expect("a folder");
        }
        // Not a link, whose target's folder would be searched for the engine.
        fs::copy(built(PLUGIN), machine.plugin()).expect("a copy");
        machine
    }

    fn plugin(&self) -> PathBuf {
        self.root.path().join("lib/gstreamer-1.0").join(PLUGIN)
    }

    fn engine(&self) -> PathBuf {
        self.root.path().join("lib/casm").join(ENGINE)
    }

    /// Runs one of GStreamer's programs.
    fn run(&self, program: &str, arguments: &[&str]) -> Output {
        self.command(program, arguments)
            .output()
            .unwrap_or_else(|error| panic!("{program}: {error}; install gstreamer1.0-tools"))
    }

    fn command(&self, program: &str, arguments: &[&str]) -> Command {
        let root = self.root.path();
        let mut command = Command::new(program);
        command
            .args(arguments)
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("HOME", root)
            // Else a machine without libtorch might compute with OpenVINO.
            .env("CASM_OPENVINO_DIR", root)
            .env("LANG", "C.UTF-8")
            .env("GST_REGISTRY", root.join("registry.bin"))
            .env("GST_PLUGIN_PATH", root.join("lib/gstreamer-1.0"));
        command
    }

    /// What `gst-launch-1.0` says of a short pipeline with the element, and whether it ended well.
    fn play(&self) -> (bool, String) {
        let output = self.run("gst-launch-1.0", &PLAY);
        (output.status.success(), text(&output))
    }

    /// The element is registered and nothing blacklisted.
    fn assert_registered(&self) {
        let inspected = self.run("gst-inspect-1.0", &["casmesaliency"]);
        assert!(inspected.status.success(), "{}", text(&inspected));
        assert!(
            text(&inspected).contains("GstCasmeSaliency"),
            "{}",
            text(&inspected)
        );
        let blacklist = text(&self.run("gst-inspect-1.0", &["-b"]));
        assert!(!blacklist.contains("casm"), "{blacklist}");
    }
}

fn text(output: &Output) -> String {
    format!(
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    )
}

/// A library of this build: cargo puts what a test depends on beside the test.
fn built(name: &str) -> PathBuf {
    let test = std::env::current_exe().expect("a running program has a file");
    let folder = test.parent().expect("in a folder");
    [folder, folder.parent().expect("in target")]
        .iter()
        .map(|folder| folder.join(name))
        .find(|path| path.is_file())
        .unwrap_or_else(|| panic!("no {name} in or above {}", folder.display()))
}

/// A copy of the engine that finds libtorch nowhere: its run path leads to folders that do not exist.
fn engine_without_libtorch(to: &Path) {
    let mut bytes = fs::read(built(ENGINE)).expect("the engine is built");
    let run_path = b"$ORIGIN/libtorch/torch/lib";
    let start = (0..bytes.len() - run_path.len())
        .find(|&at| bytes[at..].starts_with(run_path))
        .expect("the run path that build.rs sets");
    let length = bytes[start..]
        .iter()
        .position(|&byte| byte == 0)
        .expect("strings end with a zero");
    bytes[start..start + length].fill(b'x');
    fs::write(to, bytes).expect("a copy");
}

/// The libraries that a file asks the loader for; `None` where there is no tool that tells.
fn needed(file: &Path) -> Option<Vec<String>> {
    let Ok(output) = Command::new("readelf").arg("-d").arg(file).output() else {
        println!("skipped: no readelf (binutils)");
        return None;
    };
    let lines = text(&output);
    let needed = lines.lines().filter(|line| line.contains("(NEEDED)"));
    Some(needed.map(str::to_owned).collect())
}

#[test]
fn the_plugin_needs_no_libtorch_to_be_loaded() {
    let Some(needed) = needed(&built(PLUGIN)) else {
        return;
    };
    assert!(
        needed.iter().any(|line| line.contains("libgstvideo-1.0")),
        "{needed:?}"
    );
    for library in ["torch", "c10", "casm", "cuda"] {
        assert!(
            !needed.iter().any(|line| line.contains(library)),
            "{needed:?}"
        );
    }
}

/// Such a program would load OpenMP before the plugin can limit its spinning, and play at a tenth of
/// its speed beside a decoder.
#[test]
fn programs_that_play_pipelines_do_not_load_libtorch_themselves() {
    for name in ["examples/demo", "examples/boxes"] {
        let Some(needed) = needed(&built(name)) else {
            return;
        };
        let torch = needed
            .iter()
            .any(|line| line.contains("torch") || line.contains("gomp"));
        assert!(!torch, "{name}: {needed:?}");
    }
}

#[test]
fn with_the_plugin_path_alone_the_element_is_found_and_plays() {
    let machine = Machine::new();
    symlink(built(ENGINE), machine.engine()).expect("a link");
    machine.assert_registered();
    let (played, said) = machine.play();
    assert!(played, "{said}");
    // A second run with the same cache.
    machine.assert_registered();
    assert!(machine.play().0);
}

#[test]
fn a_link_to_the_built_plugin_finds_the_engine_where_it_was_built() {
    let machine = Machine::new();
    fs::remove_file(machine.plugin()).expect("the copy");
    symlink(built(PLUGIN), machine.plugin()).expect("a link");
    let (played, said) = machine.play();
    assert!(played, "{said}");
}

#[test]
fn without_libtorch_one_error_names_the_library_and_the_remedy() {
    let machine = Machine::new();
    engine_without_libtorch(&machine.engine());
    for _ in 0..2 {
        let (played, said) = machine.play();
        assert!(!played, "{said}");
        assert_eq!(said.matches("ERROR: from element").count(), 1, "{said}");
        assert!(said.contains("libtorch") && said.contains(".so"), "{said}");
        assert!(said.contains("make setup"), "{said}");
        assert!(!said.contains("no element"), "{said}");
        machine.assert_registered();
    }
    // libtorch comes back: the same registry, no cache deleted.
    fs::remove_file(machine.engine()).expect("just made");
    symlink(built(ENGINE), machine.engine()).expect("a link");
    let (played, said) = machine.play();
    assert!(played, "{said}");
    machine.assert_registered();
}

#[test]
fn without_the_engine_one_error_names_where_it_was_looked_for() {
    let machine = Machine::new();
    machine.assert_registered();
    let (played, said) = machine.play();
    if Path::new("/usr/local/lib/casm").join(ENGINE).exists()
        || Path::new("/usr/lib/casm").join(ENGINE).exists()
    {
        println!("skipped: casm is installed on this machine");
        return;
    }
    assert!(!played, "{said}");
    assert_eq!(said.matches("ERROR: from element").count(), 1, "{said}");
    assert!(
        said.contains(ENGINE) && said.contains(&machine.root.path().display().to_string()),
        "{said}"
    );
    assert!(said.contains("make install"), "{said}");
    machine.assert_registered();
}

#[test]
fn a_damaged_engine_is_not_taken_for_a_missing_libtorch() {
    let machine = Machine::new();
    fs::write(machine.engine(), "half a download").expect("a file");
    let (played, said) = machine.play();
    assert!(!played, "{said}");
    assert!(
        said.contains("casm/libcasm.so: ") && said.contains("damaged"),
        "{said}"
    );
    assert!(!said.contains("make setup"), "{said}");
    machine.assert_registered();
}

#[test]
fn gst_launch_prints_the_file_and_the_remedy_of_a_bad_model() {
    let machine = Machine::new();
    symlink(built(ENGINE), machine.engine()).expect("a link");
    let output = machine.run(
        "gst-launch-1.0",
        &[
            "videotestsrc",
            "num-buffers=1",
            "!",
            "casmesaliency",
            "model=/nowhere/model",
            "!",
            "fakesink",
        ],
    );
    assert!(!output.status.success());
    let said = text(&output);
    assert!(said.contains("'/nowhere/model' does not exist"), "{said}");
}

#[test]
fn a_model_without_read_permission_is_an_error_that_says_so() {
    let machine = Machine::new();
    let model = machine.root.path().join("secret.safetensors");
    fs::write(&model, "secret").expect("a temporary file");
    let allow = |path: &Path, mode| {
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("own file")
    };
    allow(&model, 0o000);
    // Another user must get at the plugin and write the registry.
    allow(machine.root.path(), 0o777);
    let property = format!("model={}", model.display());
    let mut command = machine.command(
        "gst-launch-1.0",
        &[
            "videotestsrc",
            "num-buffers=1",
            "!",
            "casmesaliency",
            &property,
            "!",
            "fakesink",
        ],
    );
    if fs::File::open(&model).is_ok() {
        // Root may read anything; nobody may not.
        command.uid(65534).gid(65534);
    }
    let output = command.output().expect("gst-launch-1.0 runs");
    assert!(!output.status.success());
    let said = text(&output);
    assert!(
        said.contains("secret.safetensors' cannot be opened"),
        "{said}"
    );
    assert!(said.contains("permission"), "{said}");
}

//! Who is measured.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use casm::engine::cpu_has_bf16;
use clap::ValueEnum;

/// The networks that are measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Network {
    /// The built-in model.
    MobilenetV2,
    /// The paper's, with random weights.
    Resnet50,
}

impl Network {
    /// Both.
    pub const ALL: [Network; 2] = [Network::MobilenetV2, Network::Resnet50];

    /// As `elsewhere.py` calls it.
    pub fn word(self) -> &'static str {
        match self {
            Network::MobilenetV2 => "mobilenet-v2",
            Network::Resnet50 => "resnet50",
        }
    }

    /// As people call it.
    pub fn title(self) -> &'static str {
        match self {
            Network::MobilenetV2 => "MobileNetV2, the built-in model",
            Network::Resnet50 => "ResNet-50, random weights",
        }
    }

    /// Least speed of libtorch in bf16, as a share of OpenVINO's from Python.
    pub fn torch_bound(self) -> f64 {
        match self {
            Network::MobilenetV2 => 0.5,
            Network::Resnet50 => 0.75,
        }
    }

    /// Least speed of the element in a pipeline, as a share of the bare loop's.
    pub fn pipeline_bound(self) -> f64 {
        match self {
            Network::MobilenetV2 => 0.85,
            Network::Resnet50 => 0.95,
        }
    }
}

/// A program that computes the network.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Program {
    /// An engine of ours.
    Ours(&'static str),
    /// libtorch's with this way of waiting.
    Waiting(&'static Waiting),
    /// `--program` of `elsewhere.py`, and the Python package that it needs.
    Python(&'static str, &'static str),
}

/// A line of a table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Row {
    /// Who.
    pub program: Program,
    /// In which number format.
    pub precision: &'static str,
}

impl Row {
    /// Why it is not measured on this CPU.
    pub fn left_out(&self) -> Option<&'static str> {
        (self.precision == "bf16" && !cpu_has_bf16())
            .then_some("this CPU has no bf16; programs imitate it or compute in f32")
    }

    /// As people call the program.
    pub fn title(&self) -> &'static str {
        match self.program {
            Program::Ours("openvino") => "casm, engine openvino",
            Program::Ours(_) => "casm, engine torch",
            Program::Waiting(waiting) => waiting.title,
            Program::Python("eager", _) => "PyTorch, eager, channels last",
            Program::Python("frozen", _) => "PyTorch, TorchScript, frozen",
            Program::Python("onnxruntime", _) => "ONNX Runtime",
            Program::Python(..) => "OpenVINO from Python, unmodified graph",
        }
    }
}

/// How libtorch's threads wait for each other between layers.
#[derive(Debug, PartialEq, Eq)]
pub struct Waiting {
    title: &'static str,
    /// `GOMP_SPINCOUNT`; empty: OpenMP's default.
    pub spin: &'static str,
    /// How many wait.
    pub team: Team,
}

/// How many threads compute.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Team {
    /// As many as the engine chooses.
    Chosen,
    /// As many as for everyone.
    All,
    /// One less.
    Fewer,
}

/// The ways of waiting that are compared. The plugin's own is the first.
pub static WAITING: [Waiting; 6] = [
    waiting(
        "`GOMP_SPINCOUNT=5000`, as many as are faster: the plugin's default",
        "5000",
        Team::Chosen,
    ),
    waiting("`GOMP_SPINCOUNT=5000`", "5000", Team::All),
    waiting("`GOMP_SPINCOUNT=1000`", "1000", Team::All),
    waiting("`GOMP_SPINCOUNT=0`", "0", Team::All),
    waiting("OpenMP's default", "", Team::All),
    waiting("a thread fewer, `GOMP_SPINCOUNT=5000`", "5000", Team::Fewer),
];

const fn waiting(title: &'static str, spin: &'static str, team: Team) -> Waiting {
    Waiting { title, spin, team }
}

const TORCH: Program = Program::Ours("torch");
const OPENVINO: Program = Program::Ours("openvino");
const EAGER: Program = Program::Python("eager", "torch");
const FROZEN: Program = Program::Python("frozen", "torch");
const ONNXRUNTIME: Program = Program::Python("onnxruntime", "onnxruntime");
/// Who the others are compared with ([`fast_precision`]).
pub const OPENVINO_PYTHON: Program = Program::Python("openvino", "openvino");

/// The faster of f32 and bf16 on this CPU. Where bf16 is imitated in f32 its times say nothing of a CPU that has it, and a board would
/// take half an hour.
pub fn fast_precision() -> &'static str {
    if cpu_has_bf16() { "bf16" } else { "f32" }
}

/// All lines of a table.
pub const ROWS: [Row; 12] = [
    row(OPENVINO, "f32"),
    row(OPENVINO, "bf16"),
    row(OPENVINO, "int8"),
    row(TORCH, "f32"),
    row(TORCH, "bf16"),
    row(OPENVINO_PYTHON, "f32"),
    row(OPENVINO_PYTHON, "bf16"),
    row(ONNXRUNTIME, "f32"),
    row(FROZEN, "f32"),
    row(FROZEN, "bf16"),
    row(EAGER, "f32"),
    row(EAGER, "bf16"),
];

const fn row(program: Program, precision: &'static str) -> Row {
    Row { program, precision }
}

/// For each Python package that is needed the interpreter that has it.
pub fn pythons(given: &[PathBuf]) -> Vec<(&'static str, PathBuf)> {
    let mut found = Vec::new();
    for package in ["torch", "onnxruntime", "openvino"] {
        let has = |python: &&PathBuf| imports(python, package);
        if let Some(python) = given.iter().find(has) {
            found.push((package, python.clone()));
        }
    }
    found
}

fn imports(python: &Path, package: &str) -> bool {
    let mut command = Command::new(python);
    command.args(["-c", &format!("import numpy, {package}")]);
    command.stdout(Stdio::null()).stderr(Stdio::null());
    command.status().is_ok_and(|status| status.success())
}

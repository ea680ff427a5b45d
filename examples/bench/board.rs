//! The board: both networks in every engine and precision that is here, beside other programs on the same
//! network, with and without a busy neighbour; the element in a pipeline; memory.
//!
//! All programs of a table run at the same time, each in a process of its own that is idle until it is its turn,
//! and take turns round by round, so that whatever else the machine does meets all. Ratios are those of
//! times in the same round.

mod field;
mod machine;
mod page;
mod rows;

use std::fmt::Write;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use casm::Checkpoint;
use casm::calibration::calibrate;
use casm::checkpoint::{NamedTensor, Storage, serialize};
use casm::export::onnx_unfolded;
use tempfile::TempDir;

use crate::Arguments;
use crate::contestant::{Contestant, Kind};
use crate::report::Report;
use field::Field;
pub use rows::Network;

/// Pictures that the ranges for int8 are measured on: speed does not depend on them.
const CALIBRATION_PICTURES: usize = 2;

/// The element as it is by default, which hands a frame on before it looks at the next one, and with one frame
/// ahead: the next one is prepared while the network runs.
const ASYNC_DEPTHS: [u32; 2] = [0, 1];

/// How much is measured.
struct Effort {
    rounds: usize,
    /// Of one program in one round.
    seconds: f64,
    pipeline_rounds: u32,
    batches: Vec<usize>,
    /// At most so many of them.
    ways_of_waiting: usize,
}

impl Effort {
    fn of(arguments: &Arguments) -> Effort {
        match arguments.smoke {
            true => Effort {
                rounds: 1,
                seconds: 0.02,
                pipeline_rounds: 1,
                batches: vec![1, 2],
                ways_of_waiting: 1,
            },
            false => Effort {
                rounds: 9,
                seconds: 0.5,
                pipeline_rounds: 9,
                batches: vec![1, 8],
                ways_of_waiting: usize::MAX,
            },
        }
    }
}

/// A network's files.
struct Files {
    checkpoint: PathBuf,
    /// Of the unfolded network.
    onnx: PathBuf,
}

/// Measures and writes the page.
///
/// # Errors
/// No program of ours runs; the file cannot be written.
pub fn run(arguments: &Arguments, page: &Path) -> Result<()> {
    let effort = Effort::of(arguments);
    let folder = tempfile::tempdir().context("no temporary folder can be made; set TMPDIR")?;
    let networks: Vec<Network> = match arguments.network {
        Some(network) => vec![network],
        None => Network::ALL.to_vec(),
    };
    let pythons = rows::pythons(&arguments.python);
    let mut text = machine::head(arguments);
    let mut bounds = Vec::new();
    for network in networks {
        let files = files(network, &folder)?;
        let _ = writeln!(text, "## {}\n", network.title());
        for &batch in &effort.batches {
            eprintln!("{}, batch {batch}", network.title());
            let mut field = Field::start(arguments, network, &files, batch, &pythons);
            // A neighbour matters where frames come one by one.
            field.measure(&effort, batch == 1, arguments)?;
            text += &page::table(&field, batch);
            if batch == 1 {
                bounds.extend(page::bounds(&field, network));
            }
        }
        eprintln!("{}, ways of waiting", network.title());
        let mut field = Field::waiting(arguments, &files, effort.ways_of_waiting);
        field.measure(&effort, true, arguments)?;
        text += &page::waiting(&field);
        for async_depth in ASYNC_DEPTHS {
            let arguments = Arguments {
                async_depth,
                ..arguments.clone()
            };
            let (section, bound) = pipeline(&arguments, network, &files, &effort)?;
            text += &section;
            bounds.push(bound);
        }
    }
    text += &page::bound_table(&bounds);
    if let Some(folder) = page
        .parent()
        .filter(|folder| !folder.as_os_str().is_empty())
    {
        std::fs::create_dir_all(folder)?;
    }
    std::fs::write(page, &text)
        .with_context(|| format!("'{}' cannot be written", page.display()))?;
    print!("{text}");
    Ok(())
}

/// Writes a network's files: a checkpoint that is quantised as well, and the unfolded network.
fn files(network: Network, folder: &TempDir) -> Result<Files> {
    let checkpoint = match network {
        Network::MobilenetV2 => Checkpoint::built_in()?,
        Network::Resnet50 => {
            let file = crate::write_resnet50()?;
            Checkpoint::open(file.path())?
        }
    };
    let side = checkpoint.header().input.size as usize;
    let pixels = (0..CALIBRATION_PICTURES)
        .flat_map(|index| crate::contestant::pattern(side * side * 3, index))
        .collect::<Vec<u8>>();
    let mut header = checkpoint.header().clone();
    header.quantization = Some(calibrate(&checkpoint, &pixels, &|_| {})?);
    let tensors: Vec<NamedTensor> = checkpoint.tensors()?.into_values().collect();
    let files = Files {
        checkpoint: folder
            .path()
            .join(format!("{}.safetensors", network.word())),
        onnx: folder.path().join(format!("{}.onnx", network.word())),
    };
    let written = || "the temporary folder has no room; set TMPDIR to one with 400 MB";
    std::fs::write(
        &files.checkpoint,
        serialize(&header, &tensors, Storage::F32)?,
    )
    .with_context(written)?;
    std::fs::write(&files.onnx, onnx_unfolded(&checkpoint)?).with_context(written)?;
    Ok(files)
}

/// The element in a pipeline beside the bare loop, with the engine that it takes by itself.
fn pipeline(
    arguments: &Arguments,
    network: Network,
    files: &Files,
    effort: &Effort,
) -> Result<(String, page::Bound)> {
    let async_depth = arguments.async_depth;
    eprintln!("{}, pipeline, async-depth={async_depth}", network.title());
    let arguments = Arguments {
        model: Some(files.checkpoint.clone()),
        batch: 1,
        rounds: effort.pipeline_rounds,
        frames: if arguments.smoke { 2 } else { arguments.frames },
        ..arguments.clone()
    };
    let mut pipeline = Contestant::start(Kind::Pipeline, &arguments)?;
    let mut bare_loop = Contestant::start(Kind::BareLoop, &arguments)?;
    let mut report = Report::new(&arguments, &bare_loop);
    let mut stages = Default::default();
    for round in 0..effort.pipeline_rounds {
        let frames = arguments.frames;
        let (ours, bare) = if round % 2 == 0 {
            let ours = pipeline.round(frames)?;
            (ours, bare_loop.round(frames)?)
        } else {
            let bare = bare_loop.round(frames)?;
            (pipeline.round(frames)?, bare)
        };
        stages = ours.stages.clone();
        report.add(ours, bare);
    }
    Ok(page::pipeline(&report, network, async_depth, &stages))
}

//! The border behind which tensors live: pixels in, mask and logits out.
//!
//! An engine is opened from a [`Checkpoint`] and [`EngineOptions`], and then
//! turns batches of pictures at the network's input size into masks at a quarter of it. Nothing of
//! a tensor library is visible here. A further engine is one more file beside `torch.rs`, and a row of
//! `ENGINES`.

pub mod abi;
mod backend;
mod location;
mod machine;
mod openvino;
mod torch;

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::checkpoint::Checkpoint;
use crate::error::{Error, Result};
use crate::frame::Frame;
use crate::geometry::Geometry;
use crate::input::InputBuilder;

pub use backend::{EngineKind, Linked, choose, names, open_linked, survey};
pub use location::own_folder;
pub use machine::{cpu_has_bf16, cpu_sums_bytes, has_nvidia_driver};

/// All engines, in the order in which `auto` prefers them. The last suits every device.
static ENGINES: &[&dyn backend::Backend] = &[&openvino::OpenVino, &torch::Torch];

/// Runs the network of one checkpoint on one device.
pub trait Engine: Send {
    /// What was opened, for messages and statistics.
    fn description(&self) -> &EngineDescription;

    /// Computes masks and logits of `batch` pictures.
    ///
    /// `pixels` holds `[batch, S, S, 3]` RGB bytes, S the checkpoint's input size; normalisation is
    /// the engine's business. `output` is resized as needed and overwritten.
    ///
    /// # Errors
    /// [`Error::Engine`] with the library's own message. The engine can be used again.
    fn run(&mut self, batch: usize, pixels: &[u8], output: &mut Output) -> Result<()>;

    /// Computes masks and logits of frames as they are: the same as [`run`](Engine::run) on what
    /// [`InputBuilder`] makes of them. Where [`EngineDescription::prepares_input`] says so, the engine
    /// makes it on its device, of which the CPU then only sees one copy of the frame.
    ///
    /// # Errors
    /// As there; [`Error::Frame`] and [`Error::Config`] if a geometry does not fit its frame.
    fn run_frames(&mut self, frames: &[LaidFrame<'_>], output: &mut Output) -> Result<()> {
        self.run(frames.len(), &prepare_pixels(frames)?, output)
    }
}

/// The network's input of each frame, `[frames, S, S, 3]` RGB bytes, made on the CPU.
///
/// # Errors
/// Those of [`InputBuilder::build`].
pub fn prepare_pixels(frames: &[LaidFrame<'_>]) -> Result<Vec<u8>> {
    let (mut builder, mut all, mut pixels) = (InputBuilder::default(), Vec::new(), Vec::new());
    for LaidFrame { frame, geometry } in frames {
        builder.build(frame, geometry, &mut pixels)?;
        all.extend_from_slice(&pixels);
    }
    Ok(all)
}

/// A frame, and how it lies on the network's square.
#[derive(Debug, Clone)]
pub struct LaidFrame<'a> {
    /// The frame.
    pub frame: Frame<'a>,
    /// Made for its size.
    pub geometry: Geometry,
}

/// What an engine computes for a batch.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Output {
    /// `[batch, S/4, S/4]`, values in [0, 1], 1 = relevant to some classifier.
    pub masks: Vec<f32>,
    /// `[batch, classes]`, the encoder's classification before the softmax.
    pub logits: Vec<f32>,
}

/// What was opened.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct EngineDescription {
    /// Engine and version, "torch 2.11.0".
    pub engine: String,
    /// Where it runs: "cpu", "cuda:0".
    pub device: String,
    /// Number format of weights and activations.
    pub precision: Precision,
    /// Threads it computes with on the CPU; the most, where their number may be chosen ([`EngineOptions::threads`]).
    pub threads: usize,
    /// Why this engine was taken, in words.
    #[serde(default)]
    pub choice: String,
    /// Whether it is faster to give it frames ([`Engine::run_frames`]) than pixels.
    #[serde(default)]
    pub prepares_input: bool,
}

/// How to open an engine.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct EngineOptions {
    /// Which engine.
    #[serde(default)]
    pub engine: EngineKind,
    /// Where to run.
    pub device: Device,
    /// Number format.
    pub precision: Precision,
    /// CPU threads. 0 = one a core, of which libtorch uses as many as are fastest at the moment. More than four a core are not
    /// opened.
    pub threads: usize,
}

/// Where to run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub enum Device {
    /// The first GPU if there is a usable one, else the CPU.
    #[default]
    Auto,
    /// The CPU.
    Cpu,
    /// The CUDA device with this index.
    Cuda(usize),
}

impl fmt::Display for Device {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Device::Auto => write!(f, "auto"),
            Device::Cpu => write!(f, "cpu"),
            Device::Cuda(index) => write!(f, "cuda:{index}"),
        }
    }
}

impl From<Device> for String {
    fn from(device: Device) -> String {
        device.to_string()
    }
}

impl TryFrom<String> for Device {
    type Error = Error;

    fn try_from(text: String) -> Result<Device> {
        text.parse()
    }
}

impl FromStr for Device {
    type Err = Error;

    fn from_str(text: &str) -> Result<Device> {
        let unknown = || Error::Device {
            device: text.to_owned(),
            reason: "it is none of auto, cpu, cuda, cuda:N".to_owned(),
        };
        match text {
            "auto" => Ok(Device::Auto),
            "cpu" => Ok(Device::Cpu),
            "cuda" => Ok(Device::Cuda(0)),
            _ => {
                let index = text.strip_prefix("cuda:").ok_or_else(unknown)?;
                index.parse().map(Device::Cuda).map_err(|_| unknown())
            }
        }
    }
}

/// Number format of weights and activations.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Precision {
    /// f32, on every machine: bf16 moves single boxes, and a pipeline's answers would depend on the CPU.
    #[default]
    Auto,
    /// 32-bit floating point.
    F32,
    /// 16-bit floating point with f32's range.
    Bf16,
    /// 16-bit IEEE floating point.
    F16,
    /// 8-bit whole numbers with ranges that `casm quantize` measured, and bf16 where the CPU has it for what
    /// is not quantised.
    Int8,
}

/// Chooses how the engine's threads wait for each other; to be called when the program, or the plugin
/// in it, has just been loaded. What the user has chosen in the environment stays.
///
/// libtorch's OpenMP threads spin for milliseconds between layers. Alone on the machine that is
/// fastest; beside a decoder and an encoder the spinning keeps the thread that is waited for from
/// running, and 45 frames a second became 3 (MobileNetV2, two cores).
pub fn prepare_process() {
    torch::limit_spinning();
}

/// Opens the engine for `checkpoint` that `options` ask for, loading its library now. What `auto` takes
/// is said in [`EngineDescription::choice`].
///
/// # Errors
/// [`Error::EngineLibrary`] if the engine's library is missing or damaged, [`Error::Device`],
/// [`Error::Checkpoint`] if there is no decoder, [`Error::Engine`].
pub fn open(checkpoint: &Checkpoint, options: &EngineOptions) -> Result<Box<dyn Engine>> {
    open_linked(checkpoint, options, None)
}

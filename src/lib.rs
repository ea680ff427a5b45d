//! Classifier-agnostic saliency maps: the network on libtorch.
//!
//! Everything that needs no tensors is in [`casm_core`] and re-exported here under the same names:
//! frames, input, masks, boxes, checkpoints and the description of the network. This crate computes.
//!
//! | stage | module | from → to |
//! |---|---|---|
//! | device | [`device`] | "auto", "cpu", "cuda:1" → a libtorch device, with CUDA found at run time |
//! | parameters | [`parameters`] | checkpoint ↔ named tensors; initialisation |
//! | pixels | [`pixels`] | `[N, S, S, 3]` bytes → `[N, 3, S, S]` normalised, for training and GPUs |
//! | module | [`module`] | a graph of layers with its tensors; the forward pass |
//! | network | [`SaliencyNetwork`] | `[N, 3, S, S]` → encoder → decoder → mask and logits |
//! | calibration | [`calibration`] | pictures → ranges of activations, for int8 |
//! | device input | [`device_input`] | frames → `[N, S, S, 3]` bytes, on a device |
//! | packed | `packed` | the folded network in oneDNN's own format, from bytes to mask, for CPUs |
//! | graph | `cuda::graph` | what a batch launches on a GPU, recorded and launched as one |
//! | computation | `computation` | which of these a device runs |
//! | engine | [`TorchEngine`] | pixels → mask and logits without tensors at the border, in a thread of its own |
//! | import | [`import`] | PyTorch files → checkpoints, without executing a pickle |
//!
//! Built as a shared library, `libcasm.so`, it is the engine that the GStreamer plugin loads.

pub use casm_core::*;

pub mod calibration;
mod computation;
mod cuda;
pub mod device;
pub mod device_input;
mod engine_export;
mod host_memory;
pub mod import;
pub mod module;
mod packed;
pub mod parameters;
pub mod pixels;
mod saliency_network;
mod team;
mod torch_engine;

pub use saliency_network::{Saliency, SaliencyNetwork};
pub use torch_engine::{GpuOptions, TorchEngine};

/// Opens the engine for `checkpoint` that `options` ask for; libtorch's in this program itself, without
/// going through `libcasm.so`.
///
/// # Errors
/// Those of [`engine::open`].
pub fn open_engine(checkpoint: &Checkpoint, options: &EngineOptions) -> Result<Box<dyn Engine>> {
    let torch = |checkpoint: &Checkpoint, options: &EngineOptions| -> Result<Box<dyn Engine>> {
        Ok(Box::new(TorchEngine::open(checkpoint, options)?))
    };
    engine::open_linked(checkpoint, options, Some(("torch", &torch)))
}

/// The libtorch engine for a checkpoint that may lack a decoder; its masks are empty then.
///
/// # Errors
/// [`Error::Device`], [`Error::Engine`].
pub fn open_classifier(
    checkpoint: &Checkpoint,
    options: &EngineOptions,
) -> Result<Box<dyn Engine>> {
    Ok(Box::new(TorchEngine::open_classifier(checkpoint, options)?))
}

/// A [`Localizer`] on [`open_engine`]'s engine.
///
/// # Errors
/// Those of [`open_engine`].
pub fn open_localizer(checkpoint: &Checkpoint, options: &EngineOptions) -> Result<Localizer> {
    Ok(Localizer::new(
        checkpoint.header().clone(),
        open_engine(checkpoint, options)?,
    ))
}

/// A libtorch error as this library's.
pub fn torch_error(error: tch::TchError) -> Error {
    // The C++ side appends its own call stack, which says nothing to a user.
    let text = error.to_string();
    let message = text
        .split("\nException raised from")
        .next()
        .unwrap_or(&text);
    Error::Engine {
        engine: "torch".to_owned(),
        reason: message.trim().to_owned(),
    }
}

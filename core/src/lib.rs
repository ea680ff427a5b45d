//! Classifier-agnostic saliency maps (CASM): everything around the network that needs no tensor
//! library.
//!
//! The modules in the order in which a frame passes through them:
//!
//! | stage | module | from → to |
//! |---|---|---|
//! | frame | [`frame`] | a picture in memory, any of 14 pixel formats |
//! | geometry | [`geometry`] | how the frame is laid onto the network's square input |
//! | input | [`input`] | frame → RGB pixels `[H, W, 3]` at the network's input size |
//! | network | [`network`] | encoder and decoder described as a graph of layers, no arithmetic |
//! | checkpoint | [`checkpoint`] | the graph's weights and a typed header in one safetensors file |
//! | quantization | [`quantization`] | ranges of activations, for 8-bit whole numbers |
//! | export | [`export`] | the same as a file for other programs |
//! | engine | [`engine`] | pixels → mask and logits; the border behind which tensors live |
//! | mask | [`mask`] | mask → binary mask → connected component → bounding box |
//! | localizer | [`localizer`] | all of the above in one call |
//! | track | [`track`] | boxes of a stream that hold still, with the numbers of their objects |
//! | overlay | [`overlay`] | the result drawn into the frame |
//!
//! The method: K. Zolna, K. J. Geras, K. Cho, *Classifier-agnostic saliency map extraction*,
//! Computer Vision and Image Understanding, 2020, doi 10.1016/j.cviu.2020.102969 ("the paper").

#![warn(missing_docs)]
#![deny(unsafe_code)]

pub mod checkpoint;
pub mod engine;
pub mod error;
pub mod export;
pub mod frame;
pub mod geometry;
pub mod header;
pub mod input;
pub mod localizer;
pub mod mask;
pub mod network;
pub mod overlay;
pub mod quantization;
pub mod track;
mod vector;

pub use checkpoint::Checkpoint;
pub use engine::{Device, Engine, EngineKind, EngineOptions, Precision};
pub use error::{Error, Result};
pub use frame::{Frame, FrameMut, PixelFormat};
pub use geometry::{Geometry, Resize};
pub use header::Header;
pub use localizer::{Localization, Localizer, Object};
pub use mask::{BoundingBox, Mask};
pub use quantization::Quantization;

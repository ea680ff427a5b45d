//! A checkpoint's network as a file for other programs: [`onnx`], [`onnx_unfolded`].

mod onnx;
pub mod protobuf;

pub use onnx::{onnx, onnx_unfolded};

//! A checkpoint's network as a file for other programs: [`onnx`].

mod onnx;
pub mod protobuf;

pub use onnx::onnx;

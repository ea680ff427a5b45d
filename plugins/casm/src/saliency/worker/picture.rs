//! A picture on its way to the worker and back.

use std::sync::Arc;
use std::time::Instant;

use casm_core::Result;
use casm_core::engine::Output;

use crate::saliency::frame::held::{LaidBuffer, MappedFrame};

/// What the worker is given of a picture.
#[derive(Default)]
pub enum Content {
    /// Its pixels.
    #[default]
    Pixels,
    /// The frame, of which the worker makes them, as far as the stream does not.
    Strips(Arc<MappedFrame>),
    /// The frame, for an engine that prepares its input itself.
    Frame(LaidBuffer),
}

impl Content {
    /// The frame that goes to the engine.
    pub fn as_is(&self) -> Option<&LaidBuffer> {
        match self {
            Content::Frame(frame) => Some(frame),
            _ => None,
        }
    }
}

/// One picture, before and after the network.
#[derive(Default)]
pub struct Picture {
    /// `[S, S, 3]`, unless the engine is given the frame instead.
    pub pixels: Vec<u8>,
    /// Mask and logits of this picture alone.
    pub output: Output,
}

/// What has become of a picture.
pub struct Answer {
    /// With its output, if there is one.
    pub picture: Picture,
    /// Whether there is.
    pub result: Result<()>,
    /// When the worker had made its pixels, if that was left to it.
    pub completed: Option<Instant>,
    /// When the network began with it and those beside it: pictures of one run have the same.
    pub begun: Instant,
    /// When it had ended.
    pub ended: Instant,
}

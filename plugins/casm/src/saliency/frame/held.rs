//! Frames that the worker is given.

use std::sync::Arc;

use casm_core::engine::LaidFrame;
use casm_core::{Geometry, Result};
use gst_video::VideoFrame;
use gst_video::video_frame::Readable;

use crate::saliency::frame::FrameLayout;

/// A frame as it is. Nobody writes into the buffer before the answer is there.
pub struct LaidBuffer {
    /// Holds it.
    pub buffer: gst::Buffer,
    /// How it lies in that.
    pub layout: Arc<FrameLayout>,
    /// How it lies on the network's square.
    pub geometry: Geometry,
}

impl LaidBuffer {
    /// Lets `work` read the frame.
    ///
    /// # Errors
    /// Those of [`FrameLayout::read`].
    pub fn read<T>(&self, work: impl FnOnce(LaidFrame<'_>) -> Result<T>) -> Result<T> {
        self.layout.read(&self.buffer, |frame| {
            work(LaidFrame {
                frame: frame.clone(),
                geometry: self.geometry,
            })
        })
    }
}

/// The same, mapped for reading until it is dropped, by the stream that brings it: mapping may take its time, and the
/// worker is others' too.
pub struct MappedFrame {
    mapped: VideoFrame<Readable>,
    layout: Arc<FrameLayout>,
    geometry: Geometry,
}

impl MappedFrame {
    /// Maps the frame in `buffer`.
    ///
    /// # Errors
    /// [`casm_core::Error::Frame`] if that cannot be done.
    pub fn new(
        buffer: &gst::Buffer,
        layout: Arc<FrameLayout>,
        geometry: Geometry,
    ) -> Result<MappedFrame> {
        Ok(MappedFrame {
            mapped: layout.map(buffer)?,
            layout,
            geometry,
        })
    }

    /// The frame.
    ///
    /// # Errors
    /// [`casm_core::Error::Frame`] if the memory does not hold what was announced.
    pub fn frame(&self) -> Result<LaidFrame<'_>> {
        Ok(LaidFrame {
            frame: self.layout.view(&self.mapped)?,
            geometry: self.geometry,
        })
    }
}

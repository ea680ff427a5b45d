//! The C interface between this crate and an engine in a shared library.
//!
//! The GStreamer plugin must load, register and describe itself on a machine without libtorch, or
//! GStreamer would blacklist it. So it does not link libtorch; it opens `libcasm.so`, which does, and
//! calls it through the table below. Texts cross as UTF-8, structured values as JSON, pixels and masks as
//! plain arrays owned by the caller. Both sides are built from one commit; [`ABI_VERSION`] says so.

use std::ffi::c_void;

use serde::{Deserialize, Serialize};

use super::LaidFrame;
use crate::error::{Error, Result};
use crate::frame::{ColorMatrix, ColorSpace, Frame, MAX_PLANES, PixelFormat, Plane};
use crate::geometry::{Geometry, Resize};

/// Changes with every change of [`EngineAbi`] or of what its functions mean.
pub const ABI_VERSION: u32 = 2;

/// The function that an engine library exports: `extern "C" fn() -> *const EngineAbi`.
pub const ENTRY_POINT: &str = "casm_engine_abi";

/// Type of [`ENTRY_POINT`].
pub type EntryPoint = unsafe extern "C" fn() -> *const EngineAbi;

/// The functions of an engine library. A return value of 0 is success; on failure the reply holds a
/// [`WireError`] as JSON. No function unwinds.
#[repr(C)]
pub struct EngineAbi {
    /// [`ABI_VERSION`] of the library. First in every version of this table, so that it can be read before
    /// the rest is known to fit.
    pub version: u32,
    /// Opens an engine for a checkpoint's bytes with [`EngineOptions`](super::EngineOptions) as JSON and stores it in
    /// the last argument; the reply holds an [`EngineDescription`](super::EngineDescription) as JSON.
    pub open: unsafe extern "C" fn(
        checkpoint: Bytes,
        options: Bytes,
        reply: *mut Reply,
        engine: *mut *mut c_void,
    ) -> i32,
    /// Runs a batch; see [`Engine::run`](super::Engine::run) for the shapes.
    pub run: unsafe extern "C" fn(
        engine: *mut c_void,
        batch: usize,
        pixels: Bytes,
        masks: Floats,
        logits: Floats,
        reply: *mut Reply,
    ) -> i32,
    /// Runs frames; see [`Engine::run_frames`](super::Engine::run_frames).
    pub run_frames: unsafe extern "C" fn(
        engine: *mut c_void,
        frames: *const RawFrame,
        count: usize,
        masks: Floats,
        logits: Floats,
        reply: *mut Reply,
    ) -> i32,
    /// Frees an engine.
    pub close: unsafe extern "C" fn(engine: *mut c_void),
}

/// Bytes that the caller lends.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct Bytes {
    /// First byte.
    pub data: *const u8,
    /// Number of bytes.
    pub len: usize,
}

/// A [`LaidFrame`] that the caller lends.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct RawFrame {
    /// Place in [`PixelFormat::ALL`].
    pub format: u32,
    /// Pixels.
    pub width: u32,
    /// Pixels.
    pub height: u32,
    /// 0, 1, 2 for BT.601, BT.709, BT.2020.
    pub matrix: u32,
    /// 0 or 1.
    pub full_range: u32,
    /// Those that the format has; the others are empty.
    pub planes: [Bytes; MAX_PLANES],
    /// Bytes from row to row of each.
    pub strides: [usize; MAX_PLANES],
    /// 0 for [`Resize::Stretch`], 1 for [`Resize::Crop`].
    pub resize: u32,
    /// [`Geometry::input_size`].
    pub input_size: u32,
    /// [`Geometry::resized`].
    pub resized: [u32; 2],
    /// [`Geometry::offset`].
    pub offset: [u32; 2],
}

impl RawFrame {
    /// The same as plain numbers; valid as long as the frame's bytes.
    pub fn new(laid: &LaidFrame<'_>) -> RawFrame {
        let LaidFrame { frame, geometry } = laid;
        let format = frame.format();
        let plane = |index| match index < format.plane_count() {
            true => frame.plane(index),
            false => Plane::default(),
        };
        let planes: [Plane<'_>; MAX_PLANES] = std::array::from_fn(plane);
        let place = PixelFormat::ALL.iter().position(|known| *known == format);
        RawFrame {
            // Every format is in the list.
            format: place.map_or(u32::MAX, |place| place as u32),
            width: frame.width(),
            height: frame.height(),
            matrix: frame.color().matrix as u32,
            full_range: u32::from(frame.color().full_range),
            planes: planes.map(|plane| Bytes {
                data: plane.data.as_ptr(),
                len: plane.data.len(),
            }),
            strides: planes.map(|plane| plane.stride),
            resize: u32::from(geometry.resize == Resize::Crop),
            input_size: geometry.input_size,
            resized: geometry.resized.into(),
            offset: geometry.offset.into(),
        }
    }

    /// The frame, with its numbers checked; `planes` are the bytes of [`RawFrame::planes`], borrowed.
    ///
    /// # Errors
    /// [`Error::Frame`] if they do not fit each other, [`Error::Engine`] for an unknown format.
    pub fn laid<'a>(&self, planes: [&'a [u8]; MAX_PLANES]) -> Result<LaidFrame<'a>> {
        let format = PixelFormat::ALL.get(self.format as usize).copied();
        let format = format.ok_or_else(|| Error::Engine {
            engine: "casm".to_owned(),
            reason: "a frame of no known format; install plugin and engine of one version"
                .to_owned(),
        })?;
        let color = ColorSpace {
            matrix: match self.matrix {
                1 => ColorMatrix::Bt709,
                2 => ColorMatrix::Bt2020,
                _ => ColorMatrix::Bt601,
            },
            full_range: self.full_range != 0,
        };
        let planes = planes.into_iter().zip(self.strides);
        let planes = planes.map(|(data, stride)| Plane { data, stride });
        let planes = planes.take(format.plane_count());
        let frame = Frame::new(format, self.width, self.height, color, planes)?;
        let geometry = Geometry {
            resize: match self.resize {
                0 => Resize::Stretch,
                _ => Resize::Crop,
            },
            frame_width: self.width,
            frame_height: self.height,
            input_size: self.input_size,
            resized: self.resized.into(),
            offset: self.offset.into(),
        };
        Ok(LaidFrame { frame, geometry })
    }
}

/// Room for numbers that the caller lends.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct Floats {
    /// First number.
    pub data: *mut f32,
    /// Number of numbers.
    pub len: usize,
}

/// Room for an answer in words. Longer answers are cut by the engine so that they stay valid JSON.
#[repr(C)]
pub struct Reply {
    /// The text.
    pub text: [u8; Reply::CAPACITY],
    /// Bytes of it that are used.
    pub len: usize,
}

impl Reply {
    /// Longest answer in bytes.
    pub const CAPACITY: usize = 8192;

    /// No answer yet.
    pub fn empty() -> Reply {
        Reply {
            text: [0; Reply::CAPACITY],
            len: 0,
        }
    }

    /// The answer.
    pub fn as_bytes(&self) -> &[u8] {
        &self.text[..self.len.min(Reply::CAPACITY)]
    }

    /// Stores `value` as JSON; false if it is too long.
    pub fn store(&mut self, value: &impl Serialize) -> bool {
        match serde_json::to_vec(value) {
            Ok(json) if json.len() <= Reply::CAPACITY => {
                self.text[..json.len()].copy_from_slice(&json);
                self.len = json.len();
                true
            }
            _ => false,
        }
    }
}

/// The errors that an engine library gives.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum WireError {
    /// [`Error::Device`].
    Device {
        /// The device as asked for.
        device: String,
        /// Why not.
        reason: String,
    },
    /// Any other error.
    Engine {
        /// What happened.
        reason: String,
    },
}

/// Longest reason that is passed on, so that a reply holds it.
const MAX_REASON: usize = 4000;

impl From<&Error> for WireError {
    fn from(error: &Error) -> WireError {
        let cut = |text: &str| text.chars().take(MAX_REASON).collect::<String>();
        match error {
            Error::Device { device, reason } => WireError::Device {
                device: cut(device),
                reason: cut(reason),
            },
            Error::Engine { reason, .. } => WireError::Engine {
                reason: cut(reason),
            },
            other => WireError::Engine {
                reason: cut(&other.to_string()),
            },
        }
    }
}

impl WireError {
    /// The library's own error.
    pub fn into_error(self, engine: &str) -> Error {
        match self {
            WireError::Device { device, reason } => Error::Device { device, reason },
            WireError::Engine { reason } => Error::Engine {
                engine: engine.to_owned(),
                reason,
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Each field has a value of its own, so that two that are mixed up show.
    #[test]
    fn a_frame_crosses_the_border_whole() {
        let bytes: Vec<u8> = (0..200).collect();
        for format in PixelFormat::ALL {
            for (matrix, resize) in [
                (ColorMatrix::Bt601, Resize::Stretch),
                (ColorMatrix::Bt709, Resize::Crop),
                (ColorMatrix::Bt2020, Resize::Crop),
            ] {
                let color = ColorSpace {
                    matrix,
                    full_range: matrix == ColorMatrix::Bt709,
                };
                let planes = (0..format.plane_count()).map(|index| Plane {
                    data: &bytes[index..],
                    stride: 33 + index,
                });
                let frame = Frame::new(format, 7, 5, color, planes).expect("fits");
                let geometry = Geometry::new(resize, 7, 5, 3);
                let laid = LaidFrame { frame, geometry };
                let raw = RawFrame::new(&laid);
                let mut borrowed = [&[][..]; MAX_PLANES];
                for (index, plane) in borrowed.iter_mut().enumerate().take(format.plane_count()) {
                    assert_eq!(raw.planes[index].data, bytes[index..].as_ptr());
                    *plane = &bytes[index..][..raw.planes[index].len];
                }
                let back = raw.laid(borrowed).expect("fits");
                assert_eq!(back.geometry, geometry);
                assert_eq!(format!("{:?}", back.frame), format!("{:?}", laid.frame));
                let foreign = RawFrame { format: 14, ..raw };
                assert!(foreign.laid(borrowed).is_err());
                let short = RawFrame { height: 50, ..raw };
                assert!(short.laid(borrowed).is_err());
            }
        }
    }
}

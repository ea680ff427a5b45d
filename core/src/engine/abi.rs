//! The C interface between this crate and an engine in a shared library.
//!
//! The GStreamer plugin must load, register and describe itself on a machine without libtorch, or
//! GStreamer would blacklist it. So it does not link libtorch; it opens `libcasm.so`, which does, and
//! calls it through the table below. Texts cross as UTF-8, structured values as JSON, pixels and masks as
//! plain arrays owned by the caller. Both sides are built from one commit; [`ABI_VERSION`] says so.

use std::ffi::c_void;

use serde::{Deserialize, Serialize};

use crate::error::Error;

/// Changes with every change of [`EngineAbi`] or of what its functions mean.
pub const ABI_VERSION: u32 = 1;

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

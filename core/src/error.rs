//! The errors of the library: each carries what went wrong as data and says what to do about it.

use std::path::PathBuf;

/// Result with this crate's [`Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What can go wrong between a checkpoint file and a bounding box.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The model file does not exist.
    #[error(
        "model file '{path}' does not exist; check the path, or name none where the built-in model will do"
    )]
    NotFound {
        /// The path as given.
        path: PathBuf,
    },
    /// The model file exists and cannot be read: a directory, or no permission.
    #[error("model file '{path}' cannot be opened: {reason}")]
    Unreadable {
        /// The path as given.
        path: PathBuf,
        /// What the operating system says, and the remedy.
        reason: String,
    },
    /// The file was read and is not a checkpoint of ours.
    #[error("{origin} is not a usable casm checkpoint: {reason}")]
    Checkpoint {
        /// The file, or "the built-in model".
        origin: String,
        /// What is wrong with it, and the remedy.
        reason: String,
    },
    /// The checkpoint's tensors do not fit the network that its header describes.
    #[error("{origin}: {problem}")]
    Weights {
        /// The file, or "the built-in model".
        origin: String,
        /// Every missing, surplus or misshapen tensor by name.
        problem: WeightsProblem,
    },
    /// A configuration value is out of range.
    #[error("{what} is {value}, but {expected}")]
    Config {
        /// The field or option.
        what: &'static str,
        /// Its value.
        value: String,
        /// What it may be.
        expected: String,
    },
    /// An engine's library, or a library that it needs, cannot be loaded.
    #[error("the {engine} engine cannot be loaded: {reason}")]
    EngineLibrary {
        /// The engine's name.
        engine: &'static str,
        /// Which library is missing and the remedy.
        reason: String,
    },
    /// The device does not exist here or the engine cannot use it.
    #[error("device '{device}' cannot be used: {reason}")]
    Device {
        /// The device as asked for.
        device: String,
        /// Why, and the remedy.
        reason: String,
    },
    /// There is no engine of this name.
    #[error("there is no engine '{name}'; it must be auto, {known}")]
    UnknownEngine {
        /// The name as asked for.
        name: String,
        /// Those that there are.
        known: String,
    },
    /// The engine failed while it ran.
    #[error("the {engine} engine failed: {reason}")]
    Engine {
        /// The engine's name.
        engine: String,
        /// Its own message.
        reason: String,
    },
    /// A frame whose planes do not hold what its size and format say.
    #[error("frame of {width}x{height} in {format} cannot be used: {reason}")]
    Frame {
        /// Width in pixels.
        width: u32,
        /// Height in pixels.
        height: u32,
        /// Pixel format.
        format: &'static str,
        /// Which plane or bound is violated.
        reason: String,
    },
}

/// How a checkpoint's tensors differ from those that its network needs.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct WeightsProblem {
    /// Needed, not in the file.
    pub missing: Vec<String>,
    /// In the file, not needed.
    pub surplus: Vec<String>,
    /// Name, needed shape, shape in the file.
    pub misshapen: Vec<(String, Vec<usize>, Vec<usize>)>,
}

impl WeightsProblem {
    /// True if there is nothing to report.
    pub fn is_empty(&self) -> bool {
        self.missing.is_empty() && self.surplus.is_empty() && self.misshapen.is_empty()
    }
}

impl std::fmt::Display for WeightsProblem {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // A wholly foreign file would list hundreds of names; the first few of each kind tell.
        const SHOWN: usize = 5;
        let mut parts = Vec::new();
        let names = |names: &[String]| {
            let mut text = names
                .iter()
                .take(SHOWN)
                .cloned()
                .collect::<Vec<_>>()
                .join(", ");
            if names.len() > SHOWN {
                text += &format!(" and {} more", names.len() - SHOWN);
            }
            text
        };
        if !self.missing.is_empty() {
            parts.push(format!("missing tensors: {}", names(&self.missing)));
        }
        if !self.surplus.is_empty() {
            parts.push(format!("surplus tensors: {}", names(&self.surplus)));
        }
        if !self.misshapen.is_empty() {
            let shapes: Vec<String> = self
                .misshapen
                .iter()
                .map(|(name, needed, found)| format!("{name} (needs {needed:?}, has {found:?})"))
                .collect();
            parts.push(format!("misshapen tensors: {}", names(&shapes)));
        }
        write!(f, "{}; was it made for another network?", parts.join("; "))
    }
}

//! Checkpoints: a network's tensors and its typed [`Header`] in one safetensors file.
//!
//! The header is JSON under the key `casm` of the safetensors metadata. Loading is strict: the
//! tensors must be exactly those that the header's network needs. A checkpoint is data only; nothing
//! in it is ever executed.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fs::File;
use std::io::Read;
use std::path::Path;

use safetensors::tensor::{Dtype, SafeTensors, TensorView};

use crate::error::{Error, Result, WeightsProblem};
use crate::header::Header;

/// Key of the header in the safetensors metadata.
const HEADER_KEY: &str = "casm";
/// Largest file that is read; the largest ResNet in single precision is below 1 GB.
const MAX_BYTES: u64 = 4 << 30;
/// The model that an empty `model` property means.
static BUILT_IN: &[u8] = include_bytes!("../../models/casm-mobilenet-v2.safetensors");
/// What error messages call it.
const BUILT_IN_ORIGIN: &str = "the built-in model";

/// A validated checkpoint in memory.
#[derive(Debug, Clone)]
pub struct Checkpoint {
    header: Header,
    origin: String,
    bytes: Cow<'static, [u8]>,
}

/// One tensor as read from or written to a checkpoint.
#[derive(Debug, Clone, PartialEq)]
pub struct NamedTensor {
    /// Name, `classifier.…` or `decoder.…`.
    pub name: String,
    /// Shape.
    pub shape: Vec<usize>,
    /// Values, row-major.
    pub values: Vec<f32>,
}

/// Number format of the values in the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Storage {
    /// 32-bit.
    F32,
    /// 16-bit IEEE: half the size; loaded values are widened to f32.
    F16,
}

impl Checkpoint {
    /// Reads and validates a checkpoint file.
    ///
    /// # Errors
    /// [`Error::NotFound`], [`Error::Unreadable`] for directories and missing permission, and those
    /// of [`Checkpoint::from_bytes`].
    pub fn open(path: impl AsRef<Path>) -> Result<Checkpoint> {
        let path = path.as_ref();
        let unreadable = |reason: &str| Error::Unreadable {
            path: path.to_owned(),
            reason: reason.to_owned(),
        };
        let io_error = |error: std::io::Error| match error.kind() {
            std::io::ErrorKind::NotFound => Error::NotFound {
                path: path.to_owned(),
            },
            _ => unreadable(&format!(
                "{error}; check the permissions of the file and its folders"
            )),
        };
        // The kind is looked at before opening: opening a FIFO would wait for ever.
        let metadata = std::fs::metadata(path).map_err(io_error)?;
        if metadata.is_dir() {
            return Err(unreadable(
                "it is a directory; name the .safetensors file inside it",
            ));
        }
        if !metadata.is_file() {
            return Err(unreadable(
                "it is not a regular file; copy the model to one",
            ));
        }
        if metadata.len() > MAX_BYTES {
            return Err(unreadable(&format!(
                "it has {} bytes and a checkpoint has at most {MAX_BYTES}; is it a model?",
                metadata.len()
            )));
        }
        let mut bytes = Vec::new();
        File::open(path)
            // `take`: the file may grow between the look and the read.
            .and_then(|file| file.take(MAX_BYTES).read_to_end(&mut bytes))
            .map_err(io_error)?;
        Checkpoint::from_bytes(bytes, format!("model file '{}'", path.display()))
    }

    /// Whether a file is meant to be a checkpoint: safetensors with casm's header, of whatever version.
    pub fn is_meant(path: &Path) -> bool {
        /// Headers with thousands of class names and tensors have less.
        const LARGEST_HEADER: u64 = 16 << 20;
        // Opening a FIFO would wait for ever.
        if !path.is_file() {
            return false;
        }
        let Ok(mut file) = File::open(path) else {
            return false;
        };
        let mut length = [0; 8];
        if file.read_exact(&mut length).is_err() {
            return false;
        }
        let mut head = Vec::new();
        let length = u64::from_le_bytes(length).min(LARGEST_HEADER);
        let key = format!("\"{HEADER_KEY}\"");
        file.take(length).read_to_end(&mut head).is_ok()
            && head.windows(key.len()).any(|part| part == key.as_bytes())
    }

    /// The model that is part of the program.
    ///
    /// # Errors
    /// Those of [`Checkpoint::from_bytes`]; a test makes sure that there are none.
    pub fn built_in() -> Result<Checkpoint> {
        Checkpoint::from_bytes(BUILT_IN, BUILT_IN_ORIGIN.to_owned())
    }

    /// [`Checkpoint::open`], or [`Checkpoint::built_in`] for an empty path.
    ///
    /// # Errors
    /// Those of the two.
    pub fn open_or_built_in(path: &Path) -> Result<Checkpoint> {
        if path.as_os_str().is_empty() {
            Checkpoint::built_in()
        } else {
            Checkpoint::open(path)
        }
    }

    /// Validates a checkpoint in memory; `origin` is what error messages call it.
    ///
    /// # Errors
    /// [`Error::Checkpoint`] if it is truncated, foreign, or of a newer format, [`Error::Config`] if
    /// a header value is out of range, [`Error::Weights`] naming missing, surplus and misshapen
    /// tensors.
    pub fn from_bytes(bytes: impl Into<Cow<'static, [u8]>>, origin: String) -> Result<Checkpoint> {
        let bytes = bytes.into();
        let broken = |reason: String| Error::Checkpoint {
            origin: origin.clone(),
            reason,
        };
        let (_, metadata) = SafeTensors::read_metadata(&bytes).map_err(|error| {
            broken(format!("it is truncated or not a safetensors file ({error}); PyTorch files go through `casm import`"))
        })?;
        let json = metadata.metadata().as_ref().and_then(|entries| entries.get(HEADER_KEY)).ok_or_else(|| {
            broken("it is a safetensors file without casm's header; `casm import` makes a checkpoint of it".to_owned())
        })?;
        let header = parse_header(json).map_err(&broken)?;
        header
            .validate()
            .map_err(|error| broken(error.to_string()))?;
        // Also checks that the tensors' byte ranges lie in the file.
        let tensors = SafeTensors::deserialize(&bytes).map_err(|error| {
            broken(format!(
                "it is truncated or damaged ({error}); copy it again"
            ))
        })?;
        check_tensors(&header, &tensors, &origin)?;
        Ok(Checkpoint {
            header,
            origin,
            bytes,
        })
    }

    /// What the checkpoint says of itself.
    pub fn header(&self) -> &Header {
        &self.header
    }

    /// What error messages call it: the file, or "the built-in model".
    pub fn origin(&self) -> &str {
        &self.origin
    }

    /// The whole file.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// All tensors by name, widened to f32.
    ///
    /// # Errors
    /// [`Error::Checkpoint`]; not after a successful validation.
    pub fn tensors(&self) -> Result<BTreeMap<String, NamedTensor>> {
        let broken = |reason: String| Error::Checkpoint {
            origin: self.origin.clone(),
            reason,
        };
        let tensors =
            SafeTensors::deserialize(&self.bytes).map_err(|error| broken(error.to_string()))?;
        tensors
            .iter()
            .map(|(name, view)| {
                let values = widen(&view).ok_or_else(|| {
                    broken(format!("tensor {name} is stored as {:?}", view.dtype()))
                })?;
                let tensor = NamedTensor {
                    name: name.to_owned(),
                    shape: view.shape().to_vec(),
                    values,
                };
                Ok((name.to_owned(), tensor))
            })
            .collect()
    }

    /// Number formats of the stored values, "F16" or "F16, F32".
    pub fn number_formats(&self) -> String {
        let tensors = SafeTensors::deserialize(&self.bytes);
        let formats: BTreeSet<String> = tensors
            .iter()
            .flat_map(|tensors| {
                tensors
                    .iter()
                    .map(|(_, view)| format!("{:?}", view.dtype()))
            })
            .collect();
        formats.into_iter().collect::<Vec<_>>().join(", ")
    }
}

/// The bytes of a checkpoint file with this header and these tensors.
///
/// # Errors
/// [`Error::Config`] if the header is out of range, [`Error::Weights`] if the tensors do not fit it.
pub fn serialize(header: &Header, tensors: &[NamedTensor], storage: Storage) -> Result<Vec<u8>> {
    header.validate()?;
    let origin = "the checkpoint to be written";
    let largest = match storage {
        Storage::F32 => f32::MAX,
        Storage::F16 => half::f16::MAX.to_f32(),
    };
    let broken = |reason: String| Error::Checkpoint {
        origin: origin.to_owned(),
        reason,
    };
    // Comparisons with NaN are false, so this finds those as well.
    let fits = |value: &f32| value.abs() <= largest;
    if let Some(tensor) = tensors
        .iter()
        .find(|tensor| !tensor.values.iter().all(fits))
    {
        return Err(broken(format!(
            "tensor {} holds values that are not numbers or above {largest}; store it as f32, or train again",
            tensor.name
        )));
    }
    let stored: Vec<Vec<u8>> = tensors
        .iter()
        .map(|tensor| narrow(&tensor.values, storage))
        .collect();
    let dtype = match storage {
        Storage::F32 => Dtype::F32,
        Storage::F16 => Dtype::F16,
    };
    let views = tensors
        .iter()
        .zip(&stored)
        .map(|(tensor, bytes)| {
            let view = TensorView::new(dtype, tensor.shape.clone(), bytes)
                .map_err(|error| broken(format!("tensor {}: {error}", tensor.name)))?;
            Ok((tensor.name.as_str(), view))
        })
        .collect::<Result<Vec<_>>>()?;
    let json = serde_json::to_string(header).map_err(|error| broken(error.to_string()))?;
    let metadata = HashMap::from([(HEADER_KEY.to_owned(), json)]);
    let bytes =
        safetensors::serialize(views, Some(metadata)).map_err(|error| broken(error.to_string()))?;
    // What is written must be what can be read: the same check as at loading.
    Checkpoint::from_bytes(bytes.clone(), origin.to_owned())?;
    Ok(bytes)
}

fn parse_header(json: &str) -> std::result::Result<Header, String> {
    // The version decides before unknown fields of a newer format can confuse the reader.
    #[derive(serde::Deserialize)]
    struct Version {
        format_version: u32,
    }
    let Version { format_version } = serde_json::from_str(json)
        .map_err(|error| format!("its header has no format version ({error})"))?;
    if format_version > crate::header::FORMAT_VERSION {
        return Err(format!(
            "it has format version {format_version} and this build reads up to {}; update casm",
            crate::header::FORMAT_VERSION
        ));
    }
    serde_json::from_str(json).map_err(|error| format!("its header cannot be understood ({error})"))
}

fn check_tensors(header: &Header, tensors: &SafeTensors<'_>, origin: &str) -> Result<()> {
    let mut found: BTreeMap<&str, TensorView<'_>> = tensors.iter().collect();
    let mut problem = WeightsProblem::default();
    for parameter in header.network.network().parameters() {
        match found.remove(parameter.name.as_str()) {
            None => problem.missing.push(parameter.name),
            Some(view) if view.shape() != parameter.shape => {
                problem
                    .misshapen
                    .push((parameter.name, parameter.shape, view.shape().to_vec()));
            }
            Some(view) if !matches!(view.dtype(), Dtype::F32 | Dtype::F16 | Dtype::BF16) => {
                return Err(Error::Checkpoint {
                    origin: origin.to_owned(),
                    reason: format!(
                        "tensor {} is stored as {:?}, not as F32, F16 or BF16",
                        parameter.name,
                        view.dtype()
                    ),
                });
            }
            Some(_) => {}
        }
    }
    problem.surplus = found.into_keys().map(str::to_owned).collect();
    if problem.is_empty() {
        Ok(())
    } else {
        Err(Error::Weights {
            origin: origin.to_owned(),
            problem,
        })
    }
}

/// The values as f32; `None` for number formats that a checkpoint does not use.
fn widen(view: &TensorView<'_>) -> Option<Vec<f32>> {
    let bytes = view.data();
    Some(match view.dtype() {
        Dtype::F32 => bytes
            .chunks_exact(4)
            .map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]]))
            .collect(),
        Dtype::F16 => bytes
            .chunks_exact(2)
            .map(|b| half::f16::from_le_bytes([b[0], b[1]]).to_f32())
            .collect(),
        Dtype::BF16 => bytes
            .chunks_exact(2)
            .map(|b| half::bf16::from_le_bytes([b[0], b[1]]).to_f32())
            .collect(),
        _ => return None,
    })
}

fn narrow(values: &[f32], storage: Storage) -> Vec<u8> {
    match storage {
        Storage::F32 => values
            .iter()
            .flat_map(|value| value.to_le_bytes())
            .collect(),
        Storage::F16 => values
            .iter()
            .flat_map(|&value| half::f16::from_f32(value).to_le_bytes())
            .collect(),
    }
}

//! What a checkpoint says of itself: format, network, input, binarisation, classes, provenance.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::mask::Binarization;
use crate::network::NetworkConfig;
use crate::quantization::Quantization;

/// Version of the checkpoint format that this build writes, and the newest that it reads.
pub const FORMAT_VERSION: u32 = 1;

/// Per-channel mean of ImageNet's pictures, RGB in [0, 1].
pub const IMAGENET_MEAN: [f32; 3] = [0.485, 0.456, 0.406];
/// Per-channel standard deviation of ImageNet's pictures, RGB in [0, 1].
pub const IMAGENET_STD: [f32; 3] = [0.229, 0.224, 0.225];

/// The typed header of a checkpoint, stored as JSON in the safetensors metadata.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Header {
    /// [`FORMAT_VERSION`] of the writer.
    pub format_version: u32,
    /// Encoder and decoder.
    pub network: NetworkConfig,
    /// What the network was trained to see.
    pub input: InputConfig,
    /// How the mask is made binary, unless the user says otherwise.
    #[serde(default)]
    pub binarization: Binarization,
    /// Class names in the order of the logits; empty if unknown.
    #[serde(default)]
    pub classes: Vec<String>,
    /// Where the weights come from.
    #[serde(default)]
    pub provenance: Provenance,
    /// What int8 needs to know of the activations; absent until `casm quantize` has measured it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quantization: Option<Quantization>,
}

/// The network's input.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct InputConfig {
    /// Side of the square input in pixels, a multiple of 32.
    pub size: u32,
    /// Per-channel mean that is subtracted, RGB in [0, 1].
    pub mean: [f32; 3],
    /// Per-channel divisor after that.
    pub std: [f32; 3],
}

impl Default for InputConfig {
    fn default() -> Self {
        InputConfig {
            size: 224,
            mean: IMAGENET_MEAN,
            std: IMAGENET_STD,
        }
    }
}

/// Where the weights come from.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Provenance {
    /// Program and version that wrote the file.
    #[serde(default)]
    pub created_by: String,
    /// Training data, in words.
    #[serde(default)]
    pub data: String,
    /// The project's commit at training time.
    #[serde(default)]
    pub commit: String,
    /// Measured results, name → value.
    #[serde(default)]
    pub metrics: BTreeMap<String, f64>,
    /// Anything else worth knowing: file imported from, licence of initial weights.
    #[serde(default)]
    pub notes: String,
}

impl Header {
    /// A header for `network` with the paper's input and binarisation.
    pub fn new(network: NetworkConfig) -> Header {
        Header {
            format_version: FORMAT_VERSION,
            network,
            input: InputConfig::default(),
            binarization: Binarization::default(),
            classes: Vec::new(),
            provenance: Provenance::default(),
            quantization: None,
        }
    }

    /// Checks ranges that the types do not express.
    ///
    /// # Errors
    /// [`Error::Config`] naming the field.
    pub fn validate(&self) -> Result<()> {
        let invalid = |what, value: String, expected: &str| {
            Err(Error::Config {
                what,
                value,
                expected: expected.to_owned(),
            })
        };
        if self.format_version == 0 || self.format_version > FORMAT_VERSION {
            return invalid(
                "format_version",
                self.format_version.to_string(),
                &format!("this build reads versions 1 to {FORMAT_VERSION}; update casm"),
            );
        }
        let size = self.input.size;
        if size == 0 || !size.is_multiple_of(32) || size > 2048 {
            return invalid(
                "input.size",
                size.to_string(),
                "must be a multiple of 32 from 32 to 2048",
            );
        }
        if !self.input.mean.iter().all(|mean| mean.is_finite()) {
            return invalid(
                "input.mean",
                format!("{:?}", self.input.mean),
                "must be finite",
            );
        }
        if !self
            .input
            .std
            .iter()
            .all(|std| std.is_finite() && *std > 0.0)
        {
            return invalid(
                "input.std",
                format!("{:?}", self.input.std),
                "must be above zero",
            );
        }
        let alpha = self.binarization.alpha;
        if !(alpha.is_finite() && alpha > 0.0) {
            return invalid(
                "binarization.alpha",
                alpha.to_string(),
                "must be above zero",
            );
        }
        let classes = self.network.classes();
        if !self.classes.is_empty() && self.classes.len() != classes {
            return invalid(
                "classes",
                format!("{} names", self.classes.len()),
                &format!("the network has {classes} classes"),
            );
        }
        if let Some(quantization) = &self.quantization {
            quantization.validate()?;
        }
        self.network.validate()
    }

    /// Checks that there is a decoder, without which there are no masks.
    ///
    /// # Errors
    /// [`Error::Checkpoint`] saying so; `origin` is what it calls the checkpoint.
    pub fn require_decoder(&self, origin: &str) -> Result<()> {
        match self.network.decoder {
            Some(_) => Ok(()),
            None => Err(Error::Checkpoint {
                origin: origin.to_owned(),
                reason: "it is a classifier without a decoder and makes no masks; `casm train --init` gives it one".to_owned(),
            }),
        }
    }

    /// What int8 needs to know of the activations.
    ///
    /// # Errors
    /// [`Error::Checkpoint`] if it was not measured; `origin` is what it calls the checkpoint.
    pub fn require_quantization(&self, origin: &str) -> Result<&Quantization> {
        self.quantization.as_ref().ok_or_else(|| Error::Checkpoint {
            origin: origin.to_owned(),
            reason:
                "it has no ranges of activations, which int8 needs; `casm quantize` measures them"
                    .to_owned(),
        })
    }

    /// Side of the mask as the network computes it: a quarter of the input.
    pub fn mask_size(&self) -> usize {
        self.input.size as usize / 4
    }
}

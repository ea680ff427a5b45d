//! Encoders: the classifier whose layers the decoder reads.

mod mobilenet_v2;
mod resnet;

use serde::{Deserialize, Serialize};

use super::Graph;

pub use mobilenet_v2::{Activation, MobilenetV2Config};
pub use resnet::{Block, ResnetConfig};

/// The choice of the encoder.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "architecture", rename_all = "snake_case")]
pub enum EncoderConfig {
    /// ResNet with basic or bottleneck blocks.
    Resnet(ResnetConfig),
    /// MobileNetV2.
    MobilenetV2(MobilenetV2Config),
}

/// An encoder as a graph. Its outputs are the taps, from fine to coarse, and then the logits.
#[derive(Debug, Clone, PartialEq)]
pub struct Encoder {
    /// The layers.
    pub graph: Graph,
    /// What the decoder reads, in the order of the graph's outputs.
    pub taps: Vec<Tap>,
}

/// A layer of the encoder that the decoder reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tap {
    /// Its channels.
    pub channels: usize,
    /// Input pixels per pixel of the tap: 4, 8, 16 or 32.
    pub stride: usize,
    /// True if the decoder takes it as it is, without the 1×1 convolution to its own width.
    pub raw: bool,
}

impl EncoderConfig {
    /// Its layers and taps.
    pub(super) fn encoder(&self) -> Encoder {
        match self {
            EncoderConfig::Resnet(config) => config.encoder(),
            EncoderConfig::MobilenetV2(config) => config.encoder(),
        }
    }

    /// The usual name of the architecture: "ResNet-50".
    pub fn name(&self) -> String {
        match self {
            EncoderConfig::Resnet(config) => config.name(),
            EncoderConfig::MobilenetV2(_) => "MobileNetV2".to_owned(),
        }
    }

    /// How many layers the decoder can read.
    pub(super) fn taps(&self) -> usize {
        match self {
            EncoderConfig::Resnet(_) => 5,
            EncoderConfig::MobilenetV2(_) => 4,
        }
    }

    /// Number of classes that the logits stand for.
    pub fn classes(&self) -> usize {
        match self {
            EncoderConfig::Resnet(config) => config.classes,
            EncoderConfig::MobilenetV2(config) => config.classes,
        }
    }
}

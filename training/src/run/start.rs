//! Where a run's weights come from.

use std::fmt;
use std::path::PathBuf;

use anyhow::{Context, bail, ensure};
use casm::network::{
    Activation, EncoderConfig, MobilenetV2Config, Network, NetworkConfig, Parameter, ResnetConfig,
};
use casm::parameters::Parameters;
use casm::{Checkpoint, Header};
use serde::{Deserialize, Serialize};
use tch::Device;

/// An encoder to start from scratch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
pub enum Architecture {
    /// ResNet-18.
    #[value(name = "resnet18")]
    Resnet18,
    /// ResNet-34.
    #[value(name = "resnet34")]
    Resnet34,
    /// ResNet-50, the paper's.
    #[value(name = "resnet50")]
    Resnet50,
    /// ResNet-101.
    #[value(name = "resnet101")]
    Resnet101,
    /// MobileNetV2 with batch norm and ReLU6.
    #[value(name = "mobilenet-v2")]
    MobilenetV2,
}

impl Architecture {
    /// Its description for so many classes.
    pub fn encoder(self, classes: usize) -> EncoderConfig {
        match self {
            Architecture::Resnet18 => EncoderConfig::Resnet(ResnetConfig::resnet18(classes)),
            Architecture::Resnet34 => EncoderConfig::Resnet(ResnetConfig::resnet34(classes)),
            Architecture::Resnet50 => EncoderConfig::Resnet(ResnetConfig::resnet50(classes)),
            Architecture::Resnet101 => EncoderConfig::Resnet(ResnetConfig::resnet101(classes)),
            Architecture::MobilenetV2 => EncoderConfig::MobilenetV2(MobilenetV2Config {
                classes,
                batch_norm: true,
                activation: Activation::Relu6,
            }),
        }
    }
}

/// How a new decoder's convolutions are drawn.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum DecoderInit {
    /// Normal with deviation sqrt(2 / (k² · out channels)): masks begin as nearly binary noise.
    #[default]
    Released,
    /// Uniform within 1 / sqrt(inputs): masks begin grey. For short runs, which keep some of the noise.
    Uniform,
}

/// Where the weights come from.
#[derive(Debug)]
pub enum Start {
    /// A checkpoint: the classifier's weights, and the decoder's if `keep_decoder`.
    Checkpoint {
        /// The checkpoint.
        checkpoint: Box<Checkpoint>,
        /// Its file, to be named.
        path: PathBuf,
        /// Whether its decoder is trained on; else the decoder is drawn at random.
        keep_decoder: bool,
        /// Whether its last layer is replaced by one for the data's classes.
        replace_head: bool,
    },
    /// Random weights.
    Scratch(Architecture),
}

impl fmt::Display for Start {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Start::Checkpoint { path, .. } => write!(f, "{}", path.display()),
            Start::Scratch(architecture) => write!(f, "random {architecture:?}"),
        }
    }
}

impl Start {
    /// The header to go on from, if there is one.
    pub fn header(&self) -> Option<&Header> {
        match self {
            Start::Checkpoint { checkpoint, .. } => Some(checkpoint.header()),
            Start::Scratch(_) => None,
        }
    }

    /// Class names that the data's classes are matched with; empty: the data decides.
    ///
    /// # Errors
    /// The checkpoint has no class names and its last layer is to stay: nothing says which class is
    /// which.
    pub fn classes(&self) -> anyhow::Result<Vec<String>> {
        match self {
            Start::Checkpoint {
                checkpoint,
                path,
                replace_head: false,
                ..
            } => {
                let classes = checkpoint.header().classes.clone();
                ensure!(
                    !classes.is_empty(),
                    "model '{}' does not name its classes, so the data's cannot be matched with them; \
                     import it again with --classes FILE, or give it a new last layer with --replace-head",
                    path.display()
                );
                Ok(classes)
            }
            _ => Ok(Vec::new()),
        }
    }

    /// The encoder for so many classes.
    ///
    /// # Errors
    /// The checkpoint has another number.
    pub fn encoder(&self, classes: usize) -> anyhow::Result<EncoderConfig> {
        let (checkpoint, replace_head) = match self {
            Start::Scratch(architecture) => return Ok(architecture.encoder(classes)),
            Start::Checkpoint {
                checkpoint,
                replace_head,
                ..
            } => (checkpoint, *replace_head),
        };
        let mut encoder = checkpoint.header().network.encoder.clone();
        match &mut encoder {
            EncoderConfig::Resnet(config) if replace_head => config.classes = classes,
            EncoderConfig::MobilenetV2(config) if replace_head => config.classes = classes,
            other if other.classes() != classes => bail!(
                "the model has {} classes and {classes} are needed; use --replace-head",
                other.classes()
            ),
            _ => {}
        }
        Ok(encoder)
    }

    /// The weights for `config`, on `device`. Whatever is random depends on `seed` alone.
    ///
    /// # Errors
    /// The checkpoint is damaged, or its decoder does not fit; no memory.
    pub fn parameters(
        &self,
        config: &NetworkConfig,
        decoder_init: DecoderInit,
        seed: u64,
        device: Device,
    ) -> anyhow::Result<Parameters> {
        let network: Network = config.network();
        tch::manual_seed(seed as i64);
        // Drawn on the CPU, where the draws are the same for every device.
        let mut parameters = Parameters::initialise(&network.parameters(), Device::Cpu)?;
        if decoder_init == DecoderInit::Uniform {
            parameters.soften_decoder()?;
        }
        let mut trained_encoder = false;
        if let Start::Checkpoint {
            checkpoint,
            path,
            keep_decoder,
            replace_head,
        } = self
        {
            ensure!(
                !keep_decoder || checkpoint.header().network.decoder.is_some(),
                "model '{}' has no decoder to keep; leave out --keep-decoder",
                path.display()
            );
            let stored = Parameters::from_named(checkpoint.tensors()?, Device::Cpu)?;
            let head = head(&network);
            for (name, tensor) in stored.iter() {
                let keep = match name.split('.').next() {
                    Some("classifier") => !(*replace_head && head.iter().any(|p| p.name == name)),
                    _ => *keep_decoder,
                };
                if !keep {
                    continue;
                }
                trained_encoder |= name.starts_with("encoder.");
                let fits = parameters
                    .get(name)
                    .is_ok_and(|own| own.size() == tensor.size());
                ensure!(
                    fits,
                    "the decoder of '{}' does not fit this configuration ({name}); leave out --keep-decoder",
                    path.display()
                );
                parameters.insert(name, tensor.shallow_clone());
            }
        }
        if config.separate_encoder && !trained_encoder {
            // The mapping's own encoder begins as the classifier's copy.
            let copies: Vec<_> = parameters
                .iter()
                .filter_map(|(name, tensor)| {
                    let own = format!("encoder.{}", name.strip_prefix("classifier.")?);
                    let wanted = parameters.get(&own).is_ok();
                    wanted.then(|| (own, tensor.copy()))
                })
                .collect();
            for (name, tensor) in copies {
                parameters.insert(name, tensor);
            }
        }
        parameters
            .copied(device)
            .context("the network does not fit into the device's memory")
    }
}

/// The tensors of the encoder's last layer.
fn head(network: &Network) -> Vec<Parameter> {
    let last = network.encoder.graph.layers().len() - 1;
    network.encoder.graph.layer_parameters(last)
}

//! Encoder and decoder, described without arithmetic (the paper, section 4; `Graph` says how).
//!
//! | part | output | shape for a 224 input |
//! |---|---|---|
//! | encoder | taps at strides 4 … 32 | `[N, C, 56, 56]` … `[N, C, 7, 7]` |
//! | encoder | logits | `[N, classes]` |
//! | decoder | mask | `[N, 1, 56, 56]`, enlarged to 224 by [`Upsample`] |
//!
//! For inference all three become one list, [`Folded`], with everything computed that does not depend on
//! the picture. A further encoder is one more file in `encoder/` and a variant of [`EncoderConfig`].

mod decoder;
mod encoder;
mod folded;
mod graph;

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};

pub use decoder::DecoderConfig;
pub use encoder::{
    Activation, Block, Encoder, EncoderConfig, MobilenetV2Config, ResnetConfig, Tap,
};
pub use folded::{Folded, round_to_bf16, values_in_f32, without_activation};
pub use graph::{BATCH_NORM_EPSILON, Conv2d, Graph, Layer, Operation, Parameter, Role, Value};

/// Everything that decides the network's shape.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NetworkConfig {
    /// The classifier whose layers the decoder reads.
    pub encoder: EncoderConfig,
    /// What turns these layers into a mask; absent in the checkpoint of a classifier alone.
    pub decoder: Option<DecoderConfig>,
    /// Whether the decoder reads an encoder of its own, of the same architecture, instead of the
    /// classifier's layers (the paper's Table 2, "Shared" no).
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub separate_encoder: bool,
}

/// How the mask is enlarged from a quarter of the input to all of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Upsample {
    /// Each value becomes a square: the released code's default.
    #[default]
    Nearest,
    /// Half-pixel centres (`align_corners = false`).
    Bilinear,
}

/// Encoder and decoder as graphs.
#[derive(Debug, Clone, PartialEq)]
pub struct Network {
    /// Picture `[N, 3, S, S]`, normalised → taps and logits. Parameter names begin `classifier.`.
    pub encoder: Encoder,
    /// Picture → taps, where the decoder does not read the classifier's. Parameter names begin
    /// `encoder.`.
    pub separate_encoder: Option<Encoder>,
    /// Taps → mask `[N, 1, S/4, S/4]` in [0, 1]. Parameter names begin `decoder.`.
    pub decoder: Option<Graph>,
}

impl NetworkConfig {
    /// `encoder` alone: a classifier.
    pub fn classifier(encoder: EncoderConfig) -> NetworkConfig {
        NetworkConfig {
            encoder,
            decoder: None,
            separate_encoder: false,
        }
    }

    /// The network with `encoder` and the paper's decoder.
    pub fn new(encoder: EncoderConfig) -> NetworkConfig {
        NetworkConfig {
            encoder,
            decoder: Some(DecoderConfig::default()),
            separate_encoder: false,
        }
    }

    /// Number of classes that the logits stand for.
    pub fn classes(&self) -> usize {
        self.encoder.classes()
    }

    /// Encoder and decoder as graphs.
    pub fn network(&self) -> Network {
        let encoder = self.encoder.encoder();
        let decoder = self
            .decoder
            .as_ref()
            .map(|config| config.graph(&encoder.taps));
        let separate_encoder = self.separate_encoder.then(|| {
            let Encoder { graph, taps } = encoder.clone();
            let graph = graph.renamed("encoder", taps.len());
            Encoder { graph, taps }
        });
        Network {
            encoder,
            separate_encoder,
            decoder,
        }
    }

    /// Checks ranges that the types do not express: a header is a file's word, so sizes are bounded
    /// before anything is built from them.
    ///
    /// # Errors
    /// [`Error::Config`] naming the field.
    pub fn validate(&self) -> Result<()> {
        let within = |what, value: usize, low: usize, high: usize| {
            if (low..=high).contains(&value) {
                return Ok(());
            }
            let expected = format!("must be from {low} to {high}");
            Err(Error::Config {
                what,
                value: value.to_string(),
                expected,
            })
        };
        within("network.encoder.classes", self.classes(), 1, 100_000)?;
        if let Some(decoder) = &self.decoder {
            within("network.decoder.channels", decoder.channels, 1, 4096)?;
            // Before the network is built.
            let taps = self.encoder.taps();
            for &tap in &decoder.taps {
                within("network.decoder.taps", tap, 0, taps - 1)?;
            }
        }
        if let EncoderConfig::Resnet(config) = &self.encoder {
            for blocks in config.blocks {
                within("network.encoder.blocks", blocks, 1, 64)?;
            }
        }
        Ok(())
    }
}

impl Network {
    /// The tensors of encoders and decoder.
    pub fn parameters(&self) -> Vec<Parameter> {
        let mut parameters = self.encoder.graph.parameters();
        let separate = self.separate_encoder.iter();
        parameters.extend(separate.flat_map(|encoder| encoder.graph.parameters()));
        parameters.extend(self.decoder.iter().flat_map(Graph::parameters));
        parameters
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn count(parameters: &[Parameter]) -> usize {
        let trained = parameters
            .iter()
            .filter(|p| !matches!(p.role, Role::RunningMean | Role::RunningVariance));
        trained.map(|p| p.shape.iter().product::<usize>()).sum()
    }

    #[test]
    fn resnet50_has_the_published_number_of_parameters() {
        // 25,557,032: torchvision's documentation of resnet50. 249,153: the authors' decoder,
        // without running statistics (spec A.2).
        let network =
            NetworkConfig::new(EncoderConfig::Resnet(ResnetConfig::resnet50(1000))).network();
        assert_eq!(count(&network.encoder.graph.parameters()), 25_557_032);
        let decoder = network.decoder.expect("not a classifier alone");
        assert_eq!(count(&decoder.parameters()), 249_153);
    }

    #[test]
    fn the_other_resnets_have_the_published_number_of_parameters() {
        // torchvision's documentation: resnet18 11,689,512, resnet34 21,797,672, resnet101 44,549,160.
        for (config, expected) in [
            (ResnetConfig::resnet18(1000), 11_689_512),
            (ResnetConfig::resnet34(1000), 21_797_672),
            (ResnetConfig::resnet101(1000), 44_549_160),
        ] {
            let network = NetworkConfig::new(EncoderConfig::Resnet(config)).network();
            assert_eq!(count(&network.encoder.graph.parameters()), expected);
        }
    }

    #[test]
    fn mobilenet_v2_has_the_published_number_of_parameters() {
        // torchvision's documentation of mobilenet_v2: 3,504,872.
        let config = MobilenetV2Config {
            classes: 1000,
            batch_norm: true,
            activation: Activation::Relu6,
        };
        let network = NetworkConfig::new(EncoderConfig::MobilenetV2(config)).network();
        assert_eq!(count(&network.encoder.graph.parameters()), 3_504_872);
    }

    #[test]
    fn every_parameter_name_is_used_once() {
        for encoder in [
            EncoderConfig::Resnet(ResnetConfig::resnet50(10)),
            EncoderConfig::MobilenetV2(MobilenetV2Config::default()),
        ] {
            let parameters = NetworkConfig::new(encoder).network().parameters();
            let names: std::collections::BTreeSet<_> = parameters.iter().map(|p| &p.name).collect();
            assert_eq!(names.len(), parameters.len());
        }
    }

    #[test]
    fn a_config_survives_json() {
        let config = NetworkConfig::new(EncoderConfig::MobilenetV2(MobilenetV2Config::default()));
        let json = serde_json::to_string(&config).expect("plain data");
        assert_eq!(
            serde_json::from_str::<NetworkConfig>(&json).expect("just written"),
            config
        );
    }

    #[test]
    fn a_separate_encoder_is_the_classifier_without_its_last_layer() {
        let shared = NetworkConfig::new(EncoderConfig::Resnet(ResnetConfig::resnet50(1000)));
        let separate = NetworkConfig {
            separate_encoder: true,
            ..shared.clone()
        };
        let added = count(&separate.network().parameters()) - count(&shared.network().parameters());
        assert_eq!(added, 25_557_032 - 2048 * 1000 - 1000);
    }

    #[test]
    fn a_decoder_of_the_two_coarsest_taps_keeps_their_names() {
        let mut config = NetworkConfig::new(EncoderConfig::Resnet(ResnetConfig::resnet50(10)));
        config.decoder = Some(DecoderConfig {
            taps: vec![3, 4],
            ..DecoderConfig::default()
        });
        let decoder = config.network().decoder.expect("asked for");
        let names: Vec<_> = decoder.parameters().into_iter().map(|p| p.name).collect();
        assert_eq!(names[0], "decoder.conv1x1_3.0.weight");
        assert_eq!(names[5], "decoder.conv1x1_4.0.weight");
        // 128 channels, two times 64, reach the last convolution.
        assert_eq!(decoder.parameters()[10].shape, [1, 128, 3, 3]);
        config.decoder = Some(DecoderConfig {
            taps: vec![5],
            ..DecoderConfig::default()
        });
        assert!(config.validate().is_err());
    }

    #[test]
    fn absurd_sizes_are_refused_before_anything_is_built() {
        let encoder = EncoderConfig::Resnet(ResnetConfig {
            blocks: [3, usize::MAX, 6, 3],
            ..ResnetConfig::resnet50(10)
        });
        assert!(NetworkConfig::new(encoder).validate().is_err());
    }
}

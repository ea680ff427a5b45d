//! ResNet: K. He, X. Zhang, S. Ren, J. Sun, *Deep Residual Learning for Image Recognition*, CVPR
//! 2016, with the stride on the 3×3 convolution ("v1.5") and torchvision's names.

use serde::{Deserialize, Serialize};

use super::{Encoder, Tap};
use crate::network::{Conv2d, Graph, Value};

/// A ResNet's sizes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ResnetConfig {
    /// Blocks in each of the four stages.
    pub blocks: [usize; 4],
    /// Which block.
    pub block: Block,
    /// Number of classes.
    pub classes: usize,
}

/// A residual block.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Block {
    /// Two 3×3 convolutions.
    Basic,
    /// 1×1, 3×3, 1×1, the last with four times the channels.
    Bottleneck,
}

impl Block {
    fn expansion(self) -> usize {
        match self {
            Block::Basic => 1,
            Block::Bottleneck => 4,
        }
    }
}

impl ResnetConfig {
    /// ResNet-18.
    pub fn resnet18(classes: usize) -> ResnetConfig {
        ResnetConfig {
            blocks: [2, 2, 2, 2],
            block: Block::Basic,
            classes,
        }
    }

    /// ResNet-34.
    pub fn resnet34(classes: usize) -> ResnetConfig {
        ResnetConfig {
            blocks: [3, 4, 6, 3],
            block: Block::Basic,
            classes,
        }
    }

    /// ResNet-50, the paper's encoder.
    pub fn resnet50(classes: usize) -> ResnetConfig {
        ResnetConfig {
            blocks: [3, 4, 6, 3],
            block: Block::Bottleneck,
            classes,
        }
    }

    /// ResNet-101.
    pub fn resnet101(classes: usize) -> ResnetConfig {
        ResnetConfig {
            blocks: [3, 4, 23, 3],
            block: Block::Bottleneck,
            classes,
        }
    }

    /// "ResNet-50", or the block counts where no name exists.
    pub(super) fn name(&self) -> String {
        let same = |other: ResnetConfig| other.blocks == self.blocks && other.block == self.block;
        [
            ("ResNet-18", ResnetConfig::resnet18(0)),
            ("ResNet-34", ResnetConfig::resnet34(0)),
            ("ResNet-50", ResnetConfig::resnet50(0)),
            ("ResNet-101", ResnetConfig::resnet101(0)),
        ]
        .into_iter()
        .find(|(_, config)| same(config.clone()))
        .map_or_else(
            || format!("ResNet {:?}", self.blocks),
            |(name, _)| name.to_owned(),
        )
    }

    /// Taps: the stem after its max pooling, raw as in the released code, and the four stages.
    pub(super) fn encoder(&self) -> Encoder {
        let mut graph = Graph::new("classifier");
        let image = graph.input(3); // [N, 3, S, S]
        let x = graph.conv2d(Conv2d::new("conv1", 64, 7).stride(2), image);
        let x = graph.batch_norm("bn1", x);
        let x = graph.relu(x);
        let mut x = graph.max_pool(3, 2, 1, x); // [N, 64, S/4, S/4]
        let mut outputs = vec![x];
        let mut taps = vec![Tap {
            channels: 64,
            stride: 4,
            raw: true,
        }];
        for (stage, &blocks) in self.blocks.iter().enumerate() {
            let width = 64 << stage;
            for block in 0..blocks {
                let stride = if stage > 0 && block == 0 { 2 } else { 1 };
                let name = format!("layer{}.{block}", stage + 1);
                x = self.residual(&mut graph, &name, width, stride, x);
            }
            outputs.push(x); // [N, width * expansion, S/(4 << stage), …]
            taps.push(Tap {
                channels: graph.channels(x),
                stride: 4 << stage,
                raw: false,
            });
        }
        let x = graph.global_average_pool(x);
        outputs.push(graph.linear("fc", self.classes, x)); // [N, classes]
        graph.set_outputs(outputs);
        Encoder { graph, taps }
    }

    fn residual(
        &self,
        graph: &mut Graph,
        name: &str,
        width: usize,
        stride: usize,
        input: Value,
    ) -> Value {
        let out_channels = width * self.block.expansion();
        let convolutions = match self.block {
            Block::Basic => vec![(width, 3, stride), (width, 3, 1)],
            Block::Bottleneck => vec![(width, 1, 1), (width, 3, stride), (out_channels, 1, 1)],
        };
        let mut x = input;
        for (index, (channels, kernel, stride)) in convolutions.into_iter().enumerate() {
            if index > 0 {
                x = graph.relu(x);
            }
            let conv = Conv2d::new(format!("{name}.conv{}", index + 1), channels, kernel);
            x = graph.conv2d(conv.stride(stride), x);
            x = graph.batch_norm(format!("{name}.bn{}", index + 1), x);
        }
        let shortcut = if stride != 1 || graph.channels(input) != out_channels {
            let conv = Conv2d::new(format!("{name}.downsample.0"), out_channels, 1).stride(stride);
            let shortcut = graph.conv2d(conv, input);
            graph.batch_norm(format!("{name}.downsample.1"), shortcut)
        } else {
            input
        };
        let sum = graph.add(x, shortcut);
        graph.relu(sum)
    }
}

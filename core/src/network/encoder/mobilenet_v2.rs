//! MobileNetV2: M. Sandler, A. Howard, M. Zhu, A. Zhmoginov, L.-C. Chen, *MobileNetV2: Inverted
//! Residuals and Linear Bottlenecks*, CVPR 2018, Table 2, with torchvision's names.

use serde::{Deserialize, Serialize};

use super::{Encoder, Tap};
use crate::network::{Conv2d, Graph, Value};

/// A MobileNetV2's variant.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MobilenetV2Config {
    /// Number of classes.
    pub classes: usize,
    /// False: batch norm is folded into the convolutions, which have a bias instead.
    pub batch_norm: bool,
    /// The non-linearity.
    pub activation: Activation,
}

/// The non-linearity after a convolution.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Activation {
    /// `max(x, 0)`, as in the quantised release.
    Relu,
    /// `min(max(x, 0), 6)`, the paper's.
    Relu6,
}

impl Default for MobilenetV2Config {
    /// ImageNet's 1000 classes, batch norm folded, plain ReLU: the quantised release's graph, which
    /// our initial weights come from.
    fn default() -> Self {
        MobilenetV2Config {
            classes: 1000,
            batch_norm: false,
            activation: Activation::Relu,
        }
    }
}

/// Table 2: expansion factor, output channels, repetitions, stride of the first.
const STAGES: [(usize, usize, usize, usize); 7] = [
    (1, 16, 1, 1),
    (6, 24, 2, 2),
    (6, 32, 3, 2),
    (6, 64, 4, 2),
    (6, 96, 3, 1),
    (6, 160, 3, 2),
    (6, 320, 1, 1),
];

/// `features.N` that the decoder reads: the last at strides 4, 8 and 16, and the 1280-channel head.
const TAPS: [(usize, usize); 4] = [(3, 4), (6, 8), (13, 16), (18, 32)];

impl MobilenetV2Config {
    pub(super) fn encoder(&self) -> Encoder {
        let mut graph = Graph::new("classifier");
        let mut outputs = Vec::new();
        let mut taps = Vec::new();
        let mut tap = |graph: &Graph, index: usize, x: Value| {
            if let Some(&(_, stride)) = TAPS.iter().find(|&&(feature, _)| feature == index) {
                outputs.push(x);
                taps.push(Tap {
                    channels: graph.channels(x),
                    stride,
                    raw: false,
                });
            }
        };

        let image = graph.input(3); // [N, 3, S, S]
        let stem = Conv2d::new("features.0.0", 32, 3).stride(2);
        let mut x = self.conv_activation(&mut graph, stem, "features.0.1", image);
        let mut index = 1;
        for (expansion, channels, repetitions, first_stride) in STAGES {
            for repetition in 0..repetitions {
                let stride = if repetition == 0 { first_stride } else { 1 };
                x = self.inverted_residual(&mut graph, index, expansion, channels, stride, x);
                tap(&graph, index, x);
                index += 1;
            }
        }
        let head = Conv2d::new(format!("features.{index}.0"), 1280, 1);
        x = self.conv_activation(&mut graph, head, &format!("features.{index}.1"), x);
        tap(&graph, index, x); // [N, 1280, S/32, S/32]

        let x = graph.global_average_pool(x);
        outputs.push(graph.linear("classifier.1", self.classes, x)); // [N, classes]
        graph.set_outputs(outputs);
        Encoder { graph, taps }
    }

    fn conv(&self, graph: &mut Graph, conv: Conv2d, norm: &str, input: Value) -> Value {
        let x = graph.conv2d(conv.bias(!self.batch_norm), input);
        if self.batch_norm {
            graph.batch_norm(norm, x)
        } else {
            x
        }
    }

    fn conv_activation(&self, graph: &mut Graph, conv: Conv2d, norm: &str, input: Value) -> Value {
        let x = self.conv(graph, conv, norm, input);
        match self.activation {
            Activation::Relu => graph.relu(x),
            Activation::Relu6 => graph.relu6(x),
        }
    }

    /// 1×1 to `expansion` times the channels, 3×3 per channel, 1×1 back without activation.
    fn inverted_residual(
        &self,
        graph: &mut Graph,
        index: usize,
        expansion: usize,
        channels: usize,
        stride: usize,
        input: Value,
    ) -> Value {
        let in_channels = graph.channels(input);
        let hidden = in_channels * expansion;
        // torchvision numbers the parts consecutively, so they move up by one without expansion.
        let name = |part: usize, suffix: &str| format!("features.{index}.conv.{part}{suffix}");
        let mut part = 0;
        let mut x = input;
        if expansion != 1 {
            let expand = Conv2d::new(name(part, ".0"), hidden, 1);
            x = self.conv_activation(graph, expand, &name(part, ".1"), x);
            part += 1;
        }
        let depthwise = Conv2d::new(name(part, ".0"), hidden, 3)
            .stride(stride)
            .groups(hidden);
        x = self.conv_activation(graph, depthwise, &name(part, ".1"), x);
        let project = Conv2d::new(name(part + 1, ""), channels, 1);
        x = self.conv(graph, project, &name(part + 2, ""), x);
        if stride == 1 && in_channels == channels {
            graph.add(input, x)
        } else {
            x
        }
    }
}

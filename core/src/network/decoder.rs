//! The decoder: encoder layers → mask (the paper, section 4; details from the released code).

use serde::{Deserialize, Serialize};

use super::{Conv2d, Graph, Tap, Upsample};

/// The decoder's sizes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DecoderConfig {
    /// Channels that each tap is reduced to.
    pub channels: usize,
    /// How the mask is enlarged to the input size, after the sigmoid.
    pub upsample: Upsample,
    /// Whether a raw first tap gets the 1×1 convolution of the others too, as the paper has it; the
    /// released code takes it raw.
    #[serde(default, skip_serializing_if = "is_default")]
    pub convolve_first: bool,
    /// Positions of the taps that are read, 0 the finest; empty: all of them. Phang et al. (2020) read
    /// the two coarsest alone.
    #[serde(default, skip_serializing_if = "is_default")]
    pub taps: Vec<usize>,
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

impl Default for DecoderConfig {
    fn default() -> Self {
        DecoderConfig {
            channels: 64,
            upsample: Upsample::Nearest,
            convolve_first: false,
            taps: Vec::new(),
        }
    }
}

impl DecoderConfig {
    /// Each tap that is not raw → 1×1 convolution, batch norm, ReLU, bilinear to stride 4; all
    /// concatenated → 3×3 convolution to one channel → sigmoid.
    ///
    /// The side branches are numbered from 1 among the taps that are not raw, which gives the
    /// authors' names for ResNet, whose first tap is raw. Every tap is an input of the graph, read or
    /// not, so that an encoder's outputs fit any decoder.
    pub(super) fn graph(&self, taps: &[Tap]) -> Graph {
        let mut graph = Graph::new("decoder");
        let inputs: Vec<_> = taps.iter().map(|tap| graph.input(tap.channels)).collect();
        let mut branches = Vec::new();
        let mut side = 0;
        for (position, (&input, tap)) in inputs.iter().zip(taps).enumerate() {
            side += usize::from(!tap.raw);
            if !self.taps.is_empty() && !self.taps.contains(&position) {
                continue;
            }
            let mut x = input;
            if !tap.raw || self.convolve_first {
                x = graph.conv2d(
                    Conv2d::new(format!("conv1x1_{side}.0"), self.channels, 1),
                    x,
                );
                x = graph.batch_norm(format!("conv1x1_{side}.1"), x);
                x = graph.relu(x);
            }
            branches.push(graph.upsample_bilinear(tap.stride / 4, x)); // [N, channels, S/4, S/4]
        }
        let x = graph.concat(branches);
        let x = graph.conv2d(Conv2d::new("final.0", 1, 3).bias(true), x);
        let mask = graph.sigmoid(x); // [N, 1, S/4, S/4]
        graph.set_outputs(vec![mask]);
        graph
    }
}

//! Networks in 8-bit whole numbers: what is quantised, and to which numbers.
//!
//! A convolution's weights become whole numbers from -127 to 127, or less where the CPU wants it, with a factor for each output channel
//! that their largest value gives. Its input becomes one of 256 numbers between bounds that are measured on
//! pictures (`casm quantize`) and kept in the checkpoint's header; the weights there stay as they are, so a
//! quantised checkpoint can be used in every other precision as well. The method: R. Krishnamoorthi,
//! *Quantizing deep convolutional networks for efficient inference: A whitepaper*, 2018, sections 2 and 3.
//!
//! Convolutions of few channels stay in floating point: the first, which reads the picture, and the
//! decoder's last, which the mask comes from. They take little time, and their rounding would be seen most.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::network::{Conv2d, Graph, Operation};

/// Fewest channels of a quantised convolution, in and out. Those with fewer stay in f32 in 16 bits as well
/// ([`values_in_f32`](crate::network::values_in_f32)).
pub(crate) const FEWEST_CHANNELS: usize = 16;

/// What int8 needs to know of a network's activations.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Quantization {
    /// For each quantised convolution of the folded network, by its name, the least and largest value of
    /// its input.
    pub inputs: BTreeMap<String, [f32; 2]>,
}

/// 256 numbers at equal distances.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Grid {
    /// The least.
    pub low: f32,
    /// The largest.
    pub high: f32,
}

impl Grid {
    /// The numbers of a byte for a range: from zero on where nothing is below, otherwise as far on both
    /// sides of it, so that zero, which pads every convolution, is one of them.
    pub fn new([low, high]: [f32; 2]) -> Grid {
        if low >= 0.0 {
            return Grid {
                low: 0.0,
                high: high.max(f32::MIN_POSITIVE),
            };
        }
        let step = high.max(-low) / 127.0;
        Grid {
            low: -128.0 * step,
            high: 127.0 * step,
        }
    }
}

impl Quantization {
    /// Whether this layer is a convolution in whole numbers.
    pub fn covers(&self, operation: &Operation) -> bool {
        matches!(operation, Operation::Conv2d(conv) if self.inputs.contains_key(&conv.name))
    }

    /// The grid of each value that is to be quantised, by the position of the layer that computes it in a
    /// folded graph.
    pub fn grids(&self, graph: &Graph) -> BTreeMap<usize, Grid> {
        let layers = graph.layers().iter();
        let known = layers.filter_map(|layer| match &layer.operation {
            Operation::Conv2d(conv) => {
                let range = self.inputs.get(&conv.name)?;
                Some((layer.inputs[0].index(), Grid::new(*range)))
            }
            _ => None,
        });
        known.collect()
    }

    /// Checks what a file may have got wrong.
    ///
    /// # Errors
    /// [`Error::Config`]: bounds that are no numbers, or the wrong way round.
    pub fn validate(&self) -> Result<()> {
        for (name, [low, high]) in &self.inputs {
            if !(low.is_finite() && high.is_finite() && low <= high) {
                return Err(Error::Config {
                    what: "quantization.inputs",
                    value: format!("{low} to {high} for {name}"),
                    expected: "must be a range of numbers; quantize the model again".to_owned(),
                });
            }
        }
        Ok(())
    }
}

/// The convolutions of a folded graph that can be quantised: position of the layer, and sizes.
pub fn convolutions(graph: &Graph) -> Vec<(usize, &Conv2d)> {
    let layers = graph.layers().iter().enumerate();
    let wide = layers.filter_map(|(index, layer)| match &layer.operation {
        Operation::Conv2d(conv) => {
            let channels = graph.channels(layer.inputs[0]).min(conv.out_channels);
            (channels >= FEWEST_CHANNELS).then_some((index, conv))
        }
        _ => None,
    });
    wide.collect()
}

/// The factor of each output channel: its largest weight is `largest` times that.
pub fn weight_scales(weight: &[f32], channels: usize, largest: i8) -> Vec<f32> {
    let each = weight.len() / channels.max(1);
    let channels = weight.chunks_exact(each.max(1));
    let scales = channels.map(|weights| {
        let most = weights
            .iter()
            .fold(0f32, |most, weight| most.max(weight.abs()));
        if most > 0.0 {
            most / f32::from(largest)
        } else {
            1.0
        }
    });
    scales.collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checkpoint::Checkpoint;
    use crate::network::Folded;

    #[test]
    fn grids_hold_zero_and_the_ranges_ends() {
        let positive = Grid::new([0.0, 5.1]);
        assert_eq!((positive.low, positive.high), (0.0, 5.1));
        // By hand: steps of 2.54 / 127 = 0.02.
        let signed = Grid::new([-2.54, 1.0]);
        assert!((signed.low + 2.56).abs() < 1e-6 && (signed.high - 2.54).abs() < 1e-6);
        let step = (signed.high - signed.low) / 255.0;
        let zero = -signed.low / step;
        assert!((zero - zero.round()).abs() < 1e-4);
        assert!(Grid::new([0.0, 0.0]).high > 0.0);
    }

    #[test]
    fn channels_have_factors_of_their_own() {
        assert_eq!(
            weight_scales(&[1.27, -0.5, 0.0, 0.0, -2.54, 2.0], 3, 127),
            [0.01, 1.0, 0.02]
        );
        assert_eq!(weight_scales(&[0.64, -1.28], 2, 64), [0.01, 0.02]);
    }

    /// MobileNetV2 has 52 convolutions and the decoder four sides; the first convolution, the four products
    /// of the decoder's levels and its last convolution stay as they are.
    #[test]
    fn the_first_and_the_last_convolutions_are_left_out() {
        let checkpoint = Checkpoint::built_in().expect("valid");
        let folded = Folded::from_checkpoint(&checkpoint).expect("valid");
        let names: Vec<&str> = convolutions(&folded.graph)
            .iter()
            .map(|(_, conv)| conv.name.as_str())
            .collect();
        assert_eq!(names.len(), 51 + 4);
        assert!(!names.contains(&"classifier.features.0.0"));
        assert!(names.iter().all(|name| !name.starts_with("decoder.final")));
    }

    #[test]
    fn ranges_that_are_none_are_refused() {
        for range in [[1.0, 0.0], [f32::NAN, 1.0], [0.0, f32::INFINITY]] {
            let inputs = BTreeMap::from([("conv".to_owned(), range)]);
            assert!(Quantization { inputs }.validate().is_err());
        }
    }
}

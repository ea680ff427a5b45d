//! Ranges of a network's activations over pictures, for 8-bit whole numbers.
//!
//! Each value that a quantised convolution reads is seen twice: first its least and largest number, then
//! how often which numbers occur. The range that is kept is the one that rounds and cuts off least, in
//! the mean of squares: rare large numbers would make the steps between all others coarser.

use std::collections::BTreeMap;

use casm_core::network::{Folded, Graph, Value};
use casm_core::quantization::{Grid, convolutions};
use casm_core::{Checkpoint, Quantization, Result};
use tch::{Device, Kind, TchError, Tensor};

use crate::module::{Mode, Module};
use crate::parameters::Parameters;
use crate::pixels::copy_values;
use crate::torch_error;

/// Pictures at once: all activations of a ResNet-50 are 45 MB a picture.
const BATCH: usize = 4;
/// Bins of a histogram.
const BINS: usize = 2048;
/// Shares of the range that are tried, in percent of its larger end.
const SHARES: std::ops::RangeInclusive<usize> = 30..=100;

/// Measures the ranges over `pictures`, `[n, S, S, 3]` bytes. `watch` is called after each batch with the
/// number of pictures in it; each picture is seen twice.
///
/// # Errors
/// [`casm_core::Error::Engine`] with libtorch's message; [`casm_core::Error::Checkpoint`].
pub fn calibrate(
    checkpoint: &Checkpoint,
    pictures: &[u8],
    watch: &dyn Fn(usize),
) -> Result<Quantization> {
    let side = checkpoint.header().input.size as usize;
    let Folded { mut graph, tensors } = Folded::from_checkpoint(checkpoint)?;
    let names = inputs(&graph);
    graph.set_outputs(names.values().map(|(value, _)| *value).collect());
    let module = Module::new(&graph, &Parameters::from_named(tensors, Device::Cpu)?)?;
    let mut observed: Vec<Observed> = names.values().map(|_| Observed::default()).collect();
    let mut buffer = Vec::new();
    let _no_gradients = tch::no_grad_guard();
    for pass in [Observed::widen, Observed::count] {
        for batch in pictures.chunks(BATCH * side * side * 3) {
            let count = batch.len() / (side * side * 3);
            let values = numbers(batch, count, side).map_err(torch_error)?;
            let values = module.forward(&[values], Mode::Evaluate)?;
            for (observed, value) in observed.iter_mut().zip(&values) {
                copy_values(value, &mut buffer)?;
                pass(observed, &buffer);
            }
            watch(count);
        }
    }
    let mut ranges = BTreeMap::new();
    for ((_, readers), observed) in names.into_values().zip(&observed) {
        let range = observed.best();
        ranges.extend(readers.into_iter().map(|name| (name, range)));
    }
    Ok(Quantization { inputs: ranges })
}

/// The values that quantised convolutions read, by their place, with the names of those.
fn inputs(graph: &Graph) -> BTreeMap<usize, (Value, Vec<String>)> {
    let mut inputs: BTreeMap<usize, (Value, Vec<String>)> = BTreeMap::new();
    for (index, conv) in convolutions(graph) {
        let input = graph.layers()[index].inputs[0];
        let (_, readers) = inputs.entry(input.index()).or_insert((input, Vec::new()));
        readers.push(conv.name.clone());
    }
    inputs
}

fn numbers(pixels: &[u8], count: usize, side: usize) -> std::result::Result<Tensor, TchError> {
    Tensor::f_from_slice(pixels)?
        .f_reshape([count as i64, side as i64, side as i64, 3])?
        .f_permute([0, 3, 1, 2])?
        .f_to_kind(Kind::Float)
}

/// A value over all pictures.
#[derive(Debug, Default)]
struct Observed {
    /// Least and largest number.
    range: Option<[f32; 2]>,
    /// How often the numbers of each of [`BINS`] parts of that range occur.
    counts: Vec<u64>,
}

impl Observed {
    fn widen(&mut self, values: &[f32]) {
        let [mut low, mut high] = self.range.unwrap_or([f32::INFINITY, f32::NEG_INFINITY]);
        for &value in values {
            low = low.min(value);
            high = high.max(value);
        }
        self.range = Some([low, high]);
    }

    fn count(&mut self, values: &[f32]) {
        let Some([low, high]) = self.range.filter(|[low, high]| low < high) else {
            return;
        };
        self.counts.resize(BINS, 0);
        let bins = BINS as f32 / (high - low);
        for value in values {
            let bin = ((value - low) * bins) as usize;
            self.counts[bin.min(BINS - 1)] += 1;
        }
    }

    /// The range whose grid is least wrong.
    fn best(&self) -> [f32; 2] {
        let [low, high] = self.range.unwrap_or([0.0, 0.0]);
        if self.counts.is_empty() {
            // All numbers are the same one: the grid must reach it.
            return [low.min(0.0), high.max(0.0)];
        }
        let tried = SHARES.map(|share| {
            let bound = high.max(-low) * share as f32 / 100.0;
            [low.max(-bound), high.min(bound)]
        });
        let errors = tried.map(|range| (range, self.error(range)));
        let best = errors.min_by(|(_, a), (_, b)| a.total_cmp(b));
        best.map_or([low, high], |(range, _)| range)
    }

    /// Sum of squared differences between the numbers and their nearest on the range's grid.
    fn error(&self, range: [f32; 2]) -> f64 {
        let [low, high] = self.range.unwrap_or([0.0, 0.0]).map(f64::from);
        let grid = Grid::new(range);
        let (least, largest) = (f64::from(grid.low), f64::from(grid.high));
        let step = (largest - least) / 255.0;
        let width = (high - low) / BINS as f64;
        let bins = self.counts.iter().enumerate().map(|(bin, count)| {
            let centre = low + (bin as f64 + 0.5) * width;
            let beyond = (least - centre).max(centre - largest).max(0.0);
            let squared = match beyond > 0.0 {
                true => beyond * beyond,
                false => step * step / 12.0,
            };
            *count as f64 * squared
        });
        bins.sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn observed(values: &[f32]) -> Observed {
        let mut observed = Observed::default();
        values.chunks(5000).for_each(|part| observed.widen(part));
        values.chunks(5000).for_each(|part| observed.count(part));
        observed
    }

    #[test]
    fn an_even_spread_keeps_its_whole_range() {
        let values: Vec<f32> = (0..20_000).map(|index| index as f32 / 2000.0).collect();
        let observed = observed(&values);
        assert_eq!(observed.counts.iter().sum::<u64>(), 20_000);
        let [low, high] = observed.best();
        assert!(low == 0.0 && high > 9.8, "{low} to {high}");
    }

    /// A channel that is always at its bias: no share of its range may be cut off.
    #[test]
    fn constants_keep_their_value() {
        assert_eq!(observed(&[3.0; 100]).best(), [0.0, 3.0]);
        assert_eq!(observed(&[-2.0; 100]).best(), [-2.0, 0.0]);
        assert_eq!(observed(&[0.0; 100]).best(), [0.0, 0.0]);
    }

    /// By hand: with the outliers 200,000 numbers are rounded to steps of 2 / 127, a sum of squares of 4.1;
    /// without them to half of that, 1.0, and the outliers are wrong by 1 and 0.
    #[test]
    fn a_rare_outlier_is_cut_off() {
        let mut values: Vec<f32> = (0..200_000).map(|index| index as f32 / 200_000.0).collect();
        values[7] = 2.0;
        values[8] = -1.0;
        let [low, high] = observed(&values).best();
        assert!(high < 1.5 && low >= -high, "{low} to {high}");
    }

    #[test]
    fn every_quantised_convolution_of_the_built_in_model_gets_a_range() {
        let checkpoint = Checkpoint::built_in().expect("valid");
        let pixels: Vec<u8> = (0..2 * 224 * 224 * 3)
            .map(|at| (at * 31 % 251) as u8)
            .collect();
        let watched = std::cell::Cell::new(0);
        let watch = |pictures: usize| watched.set(watched.get() + pictures);
        let quantization = calibrate(&checkpoint, &pixels, &watch).expect("runs");
        assert_eq!(watched.get(), 4);
        quantization.validate().expect("ranges");
        let folded = Folded::from_checkpoint(&checkpoint).expect("valid");
        assert_eq!(quantization.inputs.len(), convolutions(&folded.graph).len());
        // Two convolutions that read one value get one range.
        let head = quantization.inputs["decoder.conv1x1_4.0"];
        assert!(head[0] == 0.0 && head[1] > 0.0);
    }
}

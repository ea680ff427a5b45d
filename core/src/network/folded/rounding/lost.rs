//! What values lack because biases were rounded, followed to where it can be made up for.
//!
//! A number for each channel, the same in all pixels. Sums, means and enlargements pass it on as it is; the next convolution's
//! bias takes it in. (At the edge of a picture, where a window sees less of it than elsewhere, it takes in too much: no more than
//! what was lost.) Behind an activation it is gone, and with it what was lost.

use super::nearest;
use crate::network::{Graph, Layer, Operation};

/// Rounds biases to bf16; by how much they have fallen.
pub(super) fn rounded(biases: &mut [f32]) -> Vec<f64> {
    let fallen = biases.iter_mut().map(|bias| {
        let exact = f64::from(*bias);
        *bias = nearest(*bias);
        exact - f64::from(*bias)
    });
    // Infinities have fallen by nothing.
    fallen
        .map(|fallen| if fallen.is_finite() { fallen } else { 0.0 })
        .collect()
}

/// What a layer's result lacks of what its inputs do, where that is not taken in; empty for nothing.
pub(super) fn passed_on(layer: &Layer, graph: &Graph, lost: &[Vec<f64>]) -> Vec<f64> {
    let inputs = layer.inputs.iter();
    if inputs.clone().all(|value| lost[value.index()].is_empty()) {
        return Vec::new();
    }
    let mut of_inputs = inputs.map(|&value| {
        let mut all = lost[value.index()].clone();
        all.resize(graph.channels(value), 0.0);
        all
    });
    match layer.operation {
        Operation::Add => {
            let first = of_inputs.next().unwrap_or_default();
            let second = of_inputs.next().unwrap_or_default();
            first.iter().zip(second).map(|(a, b)| a + b).collect()
        }
        Operation::Concat => of_inputs.flatten().collect(),
        Operation::GlobalAveragePool
        | Operation::UpsampleBilinear { .. }
        | Operation::MaxPool { .. }
        | Operation::Subtract { .. } => of_inputs.next().unwrap_or_default(),
        _ => Vec::new(),
    }
}

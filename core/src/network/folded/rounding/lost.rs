//! What values lack because biases were rounded, followed to where it can be made up for.
//!
//! A number for each channel, the same in all pixels. Sums, means, enlargements and the like pass it on as it is; the next
//! convolution's bias takes it in. (At the edge of a picture, where a window sees less of it than elsewhere, that is off by about as
//! much as was lost.) Behind an activation it is gone, and with it what was lost.

use super::nearest;
use crate::network::{Graph, Layer, Operation};

/// Rounds biases to bf16; by how much they have fallen.
pub(super) fn round_biases(biases: &mut [f32]) -> Vec<f64> {
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
        | Operation::MaxPool { .. } => of_inputs.next().unwrap_or_default(),
        _ => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::network::{Conv2d, Value};

    /// By hand, for a layer of each kind behind two convolutions, of which the first lacks something.
    #[test]
    fn what_is_linear_passes_it_on() {
        let mut graph = Graph::default();
        let picture = graph.input(3);
        let lacking = graph.conv2d(Conv2d::new("a", 2, 1), picture);
        let whole = graph.conv2d(Conv2d::new("b", 2, 1), picture);
        let cases: [(Value, &[f64]); 10] = [
            (graph.max_pool(3, 2, 1, lacking), &[0.25, -0.5]),
            (graph.upsample_bilinear(2, lacking), &[0.25, -0.5]),
            (graph.global_average_pool(lacking), &[0.25, -0.5]),
            (graph.add(lacking, whole), &[0.25, -0.5]),
            (graph.add(whole, lacking), &[0.25, -0.5]),
            (graph.add(lacking, lacking), &[0.5, -1.0]),
            (graph.concat(vec![whole, lacking]), &[0.0, 0.0, 0.25, -0.5]),
            (graph.add(whole, whole), &[]),
            (graph.relu(lacking), &[]),
            (graph.conv2d(Conv2d::new("c", 2, 1), lacking), &[]),
        ];
        for (value, expected) in cases {
            let mut lost = vec![Vec::new(); value.index()];
            lost[lacking.index()] = vec![0.25, -0.5];
            let layer = &graph.layers()[value.index()];
            assert_eq!(
                passed_on(layer, &graph, &lost),
                expected,
                "{:?}",
                layer.operation
            );
        }
    }

    /// By hand: bf16's numbers between 1 and 2 are 1/128 apart.
    #[test]
    fn biases_fall_by_what_they_are_rounded_down() {
        let mut biases = [1.0 + 0.25 / 128.0, -1.0, f32::INFINITY];
        assert_eq!(round_biases(&mut biases), [0.25 / 128.0, 0.0, 0.0]);
        assert_eq!(biases, [1.0, -1.0, f32::INFINITY]);
    }
}

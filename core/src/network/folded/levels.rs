//! A concatenation and a convolution to one channel, computed level by level.

use super::Folding;
use crate::checkpoint::NamedTensor;
use crate::network::{Conv2d, Graph, Operation, Value};

/// What a convolution to one channel reads through a concatenation: each level before its enlargement,
/// and the factor of that. `None` where [`Folding::sum_of_levels`] does not apply or would not pay.
pub(super) fn levels(graph: &Graph, index: usize, uses: &[usize]) -> Option<Vec<(Value, usize)>> {
    let layer = &graph.layers()[index];
    let Operation::Conv2d(conv) = &layer.operation else {
        return None;
    };
    let concat = layer.inputs[0].index();
    let joined = &graph.layers()[concat];
    let pays = |value: &Value| graph.channels(*value) > conv.kernel * conv.kernel;
    let applies = conv.out_channels == 1
        && conv.groups == 1
        && matches!(joined.operation, Operation::Concat)
        && uses[concat] == 1
        && !joined.inputs.is_empty()
        && joined.inputs.iter().all(pays);
    applies.then(|| {
        let levels = joined.inputs.iter().map(|&value| {
            let layer = &graph.layers()[value.index()];
            match layer.operation {
                Operation::UpsampleBilinear { factor } => (layer.inputs[0], factor),
                _ => (value, 1),
            }
        });
        levels.collect()
    })
}

impl Folding<'_> {
    /// A convolution to one channel over concatenated levels, each enlarged by its factor: enlargement and
    /// sums over channels commute, so each level is first reduced to the k² products that the kernel's
    /// positions need of it, and what is left of the convolution moves these to their place. Its zero
    /// padding stays what it was.
    pub(super) fn sum_of_levels(
        &mut self,
        conv: &Conv2d,
        name: String,
        levels: Vec<(Value, usize)>,
        weight: &NamedTensor,
        bias: Vec<f32>,
    ) -> Value {
        let positions = conv.kernel * conv.kernel;
        let mut first = 0;
        let mut sum: Option<Value> = None;
        for (level, (value, factor)) in levels.into_iter().enumerate() {
            let channels = self.graph.channels(value);
            let products = (0..positions).flat_map(|position| {
                (first..first + channels)
                    .map(move |channel| weight.values[channel * positions + position])
            });
            let reduction = Conv2d::new("", positions, 1);
            let level = format!("{name}.level{level}");
            let zeros = vec![0.0; positions];
            let products = self.conv2d(&reduction, level, products.collect(), zeros, value);
            let products = self.graph.upsample_bilinear(factor, products);
            sum = Some(match sum {
                Some(sum) => self.graph.add(sum, products),
                None => products,
            });
            first += channels;
        }
        let sum = sum.unwrap_or(self.picture); // there is a level, or `levels` had given none
        let mut places = vec![0.0; positions * positions];
        places
            .iter_mut()
            .step_by(positions + 1)
            .for_each(|place| *place = 1.0);
        self.conv2d(conv, name, places, bias, sum)
    }
}

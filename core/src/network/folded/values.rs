//! The tensors of a network that is being folded.

use super::{Folding, foreign};
use crate::checkpoint::NamedTensor;
use crate::error::Result;
use crate::network::{BATCH_NORM_EPSILON, Graph, Value};

impl<'a> Folding<'a> {
    pub(super) fn store(&mut self, name: &str, shape: &[usize], weight: Vec<f32>, bias: Vec<f32>) {
        for (suffix, shape, values) in [
            ("weight", shape.to_vec(), weight),
            ("bias", vec![bias.len()], bias),
        ] {
            let name = format!("{name}.{suffix}");
            let tensor = NamedTensor {
                name: name.clone(),
                shape,
                values,
            };
            self.tensors.insert(name, tensor);
        }
    }

    /// Weight and bias of a convolution or linear layer; zeros where there is no bias.
    pub(super) fn weights(&self, graph: &Graph, index: usize) -> Result<(NamedTensor, Vec<f32>)> {
        let mut tensors = self.layer_tensors(graph, index)?.into_iter();
        let weight = tensors.next().ok_or_else(|| foreign("a weight"))?;
        let bias = match tensors.next() {
            Some(bias) => bias.values.clone(),
            None => vec![0.0; graph.layers()[index].channels],
        };
        Ok((weight.clone(), bias))
    }

    /// A batch norm as a factor and a term a channel.
    pub(super) fn scale_and_shift(
        &self,
        graph: &Graph,
        index: usize,
    ) -> Result<(Vec<f32>, Vec<f32>)> {
        let tensors = self.layer_tensors(graph, index)?;
        let [gamma, beta, mean, variance] = tensors[..] else {
            return Err(foreign("a batch norm"));
        };
        let channels = 0..graph.layers()[index].channels;
        let pairs = channels.map(|c| {
            let [gamma, beta, mean, variance] =
                [gamma, beta, mean, variance].map(|tensor| f64::from(tensor.values[c]));
            let scale = gamma / (variance + BATCH_NORM_EPSILON).sqrt();
            (scale as f32, (beta - mean * scale) as f32)
        });
        Ok(pairs.unzip())
    }

    fn layer_tensors(&self, graph: &Graph, index: usize) -> Result<Vec<&'a NamedTensor>> {
        let parameters = graph.layer_parameters(index).into_iter();
        let tensors = parameters.map(|parameter| match self.source.get(&parameter.name) {
            Some(tensor) if tensor.shape == parameter.shape => Ok(tensor),
            _ => Err(foreign(&parameter.name)),
        });
        tensors.collect()
    }

    /// Multiplies a convolution's weight with the picture's scale.
    pub(super) fn scale_inputs(&self, weight: &mut NamedTensor) {
        let plane: usize = weight.shape[2..].iter().product();
        let planes = weight.values.chunks_exact_mut(plane);
        for (plane, scale) in planes.zip(self.scale.iter().cycle()) {
            plane.iter_mut().for_each(|weight| *weight *= scale);
        }
    }

    /// Multiplies what a convolution computes, and adds to it.
    pub(super) fn scale_outputs(&mut self, conv: Value, scale: &[f32], shift: &[f32]) {
        let parameters = self.graph.layer_parameters(conv.index());
        for parameter in parameters {
            let Some(tensor) = self.tensors.get_mut(&parameter.name) else {
                continue;
            };
            let is_bias = tensor.shape.len() == 1;
            let each = tensor.values.len() / scale.len().max(1);
            for (channel, values) in tensor.values.chunks_exact_mut(each.max(1)).enumerate() {
                for value in values {
                    *value *= scale[channel];
                    if is_bias {
                        *value += shift[channel];
                    }
                }
            }
        }
    }
}

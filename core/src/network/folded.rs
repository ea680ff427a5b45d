//! The network as engines and exporters want it: one list of layers from pixels to mask and logits,
//! with everything computed beforehand that does not depend on the picture.
//!
//! | rewriting | what remains | why |
//! |---|---|---|
//! | batch norm → the convolution before it | convolutions with a bias | a layer less each |
//! | division by 255 and by the deviation → the first convolution | one subtraction | less input work |
//! | concatenation and convolution to one channel → a 1×1 convolution a level, and a sum | 9 channels are enlarged instead of 64 | most of the decoder's time |
//!
//! None of them changes a result beyond rounding. The mean stays a subtraction, because the first
//! convolution pads the normalised picture with zeros, which are not the zeros of the bytes.

mod levels;
mod means;
mod rounding;
#[cfg(test)]
pub(super) mod tests;
mod values;

pub use rounding::{round_to_bf16, values_in_f32, without_activation};

use std::collections::BTreeMap;

use super::{Conv2d, Graph, NetworkConfig, Operation, Value};
use crate::checkpoint::{Checkpoint, NamedTensor};
use crate::error::{Error, Result};
use crate::header::InputConfig;

/// Largest value of a pixel.
const WHITE: f32 = 255.0;

/// A network without batch norms, with its tensors.
#[derive(Debug, Clone, PartialEq)]
pub struct Folded {
    /// From one input, RGB `[N, 3, S, S]` as numbers from 0 to 255, to the mask `[N, 1, S/4, S/4]` and the
    /// logits `[N, classes]`; a classifier alone has only the latter. Every convolution has a bias.
    pub graph: Graph,
    /// The tensors that [`Graph::parameters`] names.
    pub tensors: BTreeMap<String, NamedTensor>,
}

impl Folded {
    /// Folds the network of a checkpoint.
    ///
    /// # Errors
    /// [`Error::Checkpoint`]; not after a successful validation.
    pub fn from_checkpoint(checkpoint: &Checkpoint) -> Result<Folded> {
        let header = checkpoint.header();
        Folded::new(&header.network, &header.input, &checkpoint.tensors()?)
    }

    /// Folds the network that `config` describes, with these tensors and for such pictures.
    ///
    /// # Errors
    /// [`Error::Checkpoint`] if a tensor is missing or misshapen.
    pub fn new(
        config: &NetworkConfig,
        input: &InputConfig,
        tensors: &BTreeMap<String, NamedTensor>,
    ) -> Result<Folded> {
        let network = config.network();
        let mut folding = Folding::new(input, tensors);
        let picture = folding.picture;
        let mut features = folding.append(&network.encoder.graph, &[picture])?;
        // An encoder's last output is its logits.
        let logits = features.split_off(features.len().saturating_sub(1));
        if let Some(separate) = &network.separate_encoder {
            features = folding.append(&separate.graph, &[picture])?;
        }
        let mut outputs = match &network.decoder {
            Some(decoder) => folding.append(decoder, &features)?,
            None => Vec::new(),
        };
        outputs.extend(logits);
        Ok(folding.finish(&outputs))
    }

    /// The network of a checkpoint as it is described, nothing folded, for comparisons: pictures are normalised
    /// already, `[N, 3, S, S]`, batch norms are layers, convolutions before them have no bias.
    ///
    /// # Errors
    /// [`Error::Checkpoint`]; not after a successful validation.
    pub fn unfolded(checkpoint: &Checkpoint) -> Result<Folded> {
        let network = checkpoint.header().network.network();
        let mut graph = Graph::new("");
        let picture = graph.input(3);
        let mut features = copy(&mut graph, &network.encoder.graph, &[picture])?;
        let logits = features.split_off(features.len().saturating_sub(1));
        if let Some(separate) = &network.separate_encoder {
            features = copy(&mut graph, &separate.graph, &[picture])?;
        }
        let mut outputs = match &network.decoder {
            Some(decoder) => copy(&mut graph, decoder, &features)?,
            None => Vec::new(),
        };
        outputs.extend(logits);
        graph.set_outputs(outputs);
        let tensors = checkpoint.tensors()?;
        Ok(Folded { graph, tensors })
    }

    /// Weight and bias of the convolution or linear layer at this position; empty for other layers.
    pub fn layer_values(&self, index: usize) -> Vec<&NamedTensor> {
        let parameters = self.graph.layer_parameters(index);
        let tensors = parameters.iter();
        tensors
            .filter_map(|parameter| self.tensors.get(&parameter.name))
            .collect()
    }
}

/// The network as far as it is folded. Layers that turn out not to be needed fall away at the end.
struct Folding<'a> {
    source: &'a BTreeMap<String, NamedTensor>,
    graph: Graph,
    tensors: BTreeMap<String, NamedTensor>,
    /// The picture less its mean.
    picture: Value,
    /// What it is then to be multiplied with, each channel.
    scale: Vec<f32>,
}

impl<'a> Folding<'a> {
    fn new(input: &InputConfig, source: &'a BTreeMap<String, NamedTensor>) -> Folding<'a> {
        let mut graph = Graph::new("");
        let pixels = graph.input(3);
        let picture = graph.subtract(input.mean.map(|mean| mean * WHITE).to_vec(), pixels);
        Folding {
            source,
            graph,
            tensors: BTreeMap::new(),
            picture,
            scale: input.std.map(|std| 1.0 / (WHITE * std)).to_vec(),
        }
    }

    /// Adds the layers of `graph`, which reads `inputs`; its outputs.
    fn append(&mut self, graph: &Graph, inputs: &[Value]) -> Result<Vec<Value>> {
        let uses = uses(graph);
        let mut inputs = inputs.iter();
        let mut values: Vec<Value> = Vec::with_capacity(graph.layers().len());
        for (index, layer) in graph.layers().iter().enumerate() {
            let operands: Vec<Value> = layer.inputs.iter().map(|v| values[v.index()]).collect();
            let value = match &layer.operation {
                Operation::Input => *inputs.next().ok_or_else(|| foreign("an input"))?,
                Operation::Conv2d(conv) => match levels::levels(graph, index, &uses) {
                    Some(levels) => {
                        let (weight, bias) = self.weights(graph, index)?;
                        let levels = levels.iter().map(|&(value, factor)| {
                            (values[value.index()], factor) // before its enlargement
                        });
                        let name = full_name(graph, &conv.name);
                        self.sum_of_levels(conv, name, levels.collect(), &weight, bias)
                    }
                    None => {
                        let (mut weight, bias) = self.weights(graph, index)?;
                        let mut input = operands[0];
                        if input == self.picture && conv.groups == 1 {
                            self.scale_inputs(&mut weight);
                        } else {
                            input = self.normalised(input);
                        }
                        let name = full_name(graph, &conv.name);
                        self.conv2d(conv, name, weight.values, bias, input)
                    }
                },
                Operation::BatchNorm { name } => {
                    let (scale, shift) = self.scale_and_shift(graph, index)?;
                    if takes_in(graph, index, &uses).is_some() {
                        self.scale_outputs(operands[0], &scale, &shift);
                        operands[0]
                    } else {
                        let conv = Conv2d::new("", layer.channels, 1).groups(layer.channels);
                        let input = self.normalised(operands[0]);
                        self.conv2d(&conv, full_name(graph, name), scale, shift, input)
                    }
                }
                Operation::Linear { name, out_features } => {
                    let (weight, bias) = self.weights(graph, index)?;
                    let name = full_name(graph, name);
                    let inputs = weight.shape.get(1).copied().unwrap_or(0);
                    self.store(&name, &[*out_features, inputs], weight.values, bias);
                    self.graph.linear(name, *out_features, operands[0])
                }
                operation => {
                    let operands = operands.into_iter().map(|value| self.normalised(value));
                    let operands = operands.collect();
                    self.graph.push(operation.clone(), operands, layer.channels)
                }
            };
            values.push(value);
        }
        let outputs = graph.outputs().iter().map(|value| values[value.index()]);
        Ok(outputs.collect())
    }

    /// The value, or what stands for it where the picture's scale cannot be folded into what reads it.
    fn normalised(&mut self, value: Value) -> Value {
        if value != self.picture {
            return value;
        }
        let channels = self.scale.len();
        let conv = Conv2d::new("", channels, 1).groups(channels);
        let name = "normalisation".to_owned();
        self.conv2d(&conv, name, self.scale.clone(), vec![0.0; channels], value)
    }

    /// Adds a convolution like `conv` with these values.
    fn conv2d(
        &mut self,
        conv: &Conv2d,
        name: String,
        weight: Vec<f32>,
        bias: Vec<f32>,
        input: Value,
    ) -> Value {
        let inputs = self.graph.channels(input) / conv.groups;
        let shape = [conv.out_channels, inputs, conv.kernel, conv.kernel];
        self.store(&name, &shape, weight, bias);
        let conv = Conv2d {
            name,
            bias: true,
            ..conv.clone()
        };
        self.graph.conv2d(conv, input)
    }

    /// The layers that `outputs` need, with their tensors.
    fn finish(mut self, outputs: &[Value]) -> Folded {
        let layers = self.graph.layers();
        let mut needed = vec![false; layers.len()];
        outputs
            .iter()
            .for_each(|value| needed[value.index()] = true);
        for index in (0..layers.len()).rev() {
            if needed[index] {
                let inputs = layers[index].inputs.iter();
                inputs.for_each(|value| needed[value.index()] = true);
            }
        }
        let mut graph = Graph::new("");
        let mut values: Vec<Option<Value>> = Vec::with_capacity(layers.len());
        for (layer, needed) in layers.iter().zip(needed) {
            let inputs = layer
                .inputs
                .iter()
                .filter_map(|value| values[value.index()]);
            let inputs: Vec<Value> = inputs.collect();
            values
                .push(needed.then(|| graph.push(layer.operation.clone(), inputs, layer.channels)));
        }
        let outputs = outputs.iter().filter_map(|value| values[value.index()]);
        graph.set_outputs(outputs.collect());
        let parameters = graph.parameters().into_iter();
        let tensors = parameters
            .filter_map(|parameter| self.tensors.remove_entry(&parameter.name))
            .collect();
        Folded { graph, tensors }
    }
}

/// Adds the layers of `part`, which reads `inputs`, under their full names; its outputs.
fn copy(graph: &mut Graph, part: &Graph, inputs: &[Value]) -> Result<Vec<Value>> {
    let mut inputs = inputs.iter();
    let mut values: Vec<Value> = Vec::with_capacity(part.layers().len());
    for layer in part.layers() {
        let operands = layer.inputs.iter().map(|value| values[value.index()]);
        let operands = operands.collect();
        let mut operation = layer.operation.clone();
        match &mut operation {
            Operation::Input => {
                values.push(*inputs.next().ok_or_else(|| foreign("an input"))?);
                continue;
            }
            Operation::Conv2d(Conv2d { name, .. })
            | Operation::BatchNorm { name }
            | Operation::Linear { name, .. } => *name = full_name(part, name),
            _ => {}
        }
        values.push(graph.push(operation, operands, layer.channels));
    }
    let outputs = part.outputs().iter().map(|value| values[value.index()]);
    Ok(outputs.collect())
}

/// The convolution that takes in the batch norm at this position: the one before it, if nothing else reads that.
fn takes_in<'a>(graph: &'a Graph, index: usize, uses: &[usize]) -> Option<&'a Conv2d> {
    let input = graph.layers()[index].inputs.first()?.index();
    match &graph.layers()[input].operation {
        Operation::Conv2d(conv) if uses[input] == 1 => Some(conv),
        _ => None,
    }
}

/// How often each value is read, as a layer's input or as an output.
fn uses(graph: &Graph) -> Vec<usize> {
    let mut uses = vec![0; graph.layers().len()];
    let inputs = graph.layers().iter().flat_map(|layer| &layer.inputs);
    inputs
        .chain(graph.outputs())
        .for_each(|value| uses[value.index()] += 1);
    uses
}

fn full_name(graph: &Graph, name: &str) -> String {
    format!("{}.{name}", graph.prefix())
}

fn foreign(what: &str) -> Error {
    Error::Checkpoint {
        origin: "the network".to_owned(),
        reason: format!("{what} is missing or of another shape than its description says"),
    }
}

//! Which layers of a folded graph are computed together.
//!
//! A convolution takes the activation after it along, and before that the addition of a value that is
//! there already: what a layer would otherwise read and write again stays in registers.

use casm_core::network::{Activation, Conv2d, Graph, Operation};

/// Something to compute, of one layer or several.
#[derive(Debug, Clone, PartialEq)]
pub struct Step {
    /// What.
    pub work: Work,
    /// From which values, by the positions of their layers.
    pub inputs: Vec<usize>,
    /// Which value, by the position of the last layer that belongs to the step.
    pub result: usize,
    /// Values that no later step needs.
    pub last: Vec<usize>,
}

/// What a step computes.
#[derive(Debug, Clone, PartialEq)]
pub enum Work {
    /// The picture less these numbers a channel.
    Picture {
        /// The mean.
        mean: Vec<f32>,
    },
    /// A convolution of the first input; the second, if there is one, is added, and an activation follows.
    Convolution {
        /// Its sizes.
        conv: Conv2d,
        /// The position of its layer, whose tensors it needs.
        layer: usize,
        /// What follows.
        activation: Option<Activation>,
        /// Whether the result may take the place of what is added.
        in_place: bool,
    },
    /// A layer by itself.
    Layer(Operation),
}

/// Divides the graph into steps. `wide` says of every value whether it is in f32
/// ([`values_in_f32`](casm_core::network::values_in_f32)).
pub fn steps(graph: &Graph, wide: &[bool]) -> Vec<Step> {
    let plan = Plan::new(graph, wide);
    let mut steps: Vec<Step> = Vec::new();
    for (index, taken) in plan.taken.iter().enumerate() {
        if !taken && graph.layers()[index].operation != Operation::Input {
            steps.push(plan.step(index));
        }
    }
    let outputs: Vec<usize> = graph.outputs().iter().map(|value| value.index()).collect();
    let mut needed: Vec<bool> = vec![false; graph.layers().len()];
    outputs.iter().for_each(|&output| needed[output] = true);
    for step in steps.iter_mut().rev() {
        for &input in &step.inputs {
            if !needed[input] {
                step.last.push(input);
            }
            needed[input] = true;
        }
        if let (Work::Convolution { in_place, .. }, [read, added]) =
            (&mut step.work, &step.inputs[..])
        {
            *in_place = step.last.contains(added) && read != added;
        }
    }
    steps
}

struct Plan<'a> {
    graph: &'a Graph,
    /// Layers that a later layer's step computes.
    taken: Vec<bool>,
    /// For an addition, the position among its inputs of the convolution that takes it along.
    convolved: Vec<Option<usize>>,
}

impl<'a> Plan<'a> {
    fn new(graph: &'a Graph, wide: &[bool]) -> Plan<'a> {
        let layers = graph.layers();
        let mut uses = vec![0; layers.len()];
        let inputs = layers.iter().flat_map(|layer| &layer.inputs);
        let read = inputs.chain(graph.outputs());
        read.for_each(|value| uses[value.index()] += 1);
        let mut plan = Plan {
            graph,
            taken: vec![false; layers.len()],
            convolved: vec![None; layers.len()],
        };
        for (index, layer) in layers.iter().enumerate() {
            let inputs: Vec<usize> = layer.inputs.iter().map(|value| value.index()).collect();
            let alone = |input: usize| uses[input] == 1;
            let convolution =
                |input: usize| matches!(layers[input].operation, Operation::Conv2d(_));
            match layer.operation {
                Operation::Add => {
                    // The other side is brought into the convolution's format, which must be the sum's.
                    let convolved = |&position: &usize| {
                        let input = inputs[position];
                        let fits = wide[input] == wide[index];
                        alone(input) && convolution(input) && !plan.taken[input] && fits
                    };
                    // The later one: what is added to it must be there.
                    let candidates = (0..2).filter(convolved);
                    let position = candidates.max_by_key(|&position| inputs[position]);
                    if let Some(position) = position {
                        plan.taken[inputs[position]] = true;
                        plan.convolved[index] = Some(position);
                    }
                }
                Operation::Relu | Operation::Relu6 if alone(inputs[0]) => {
                    let input = inputs[0];
                    let sum = plan.convolved[input].is_some();
                    // A sum saturates at 6 in none of our networks.
                    if convolution(input) || sum && layer.operation == Operation::Relu {
                        plan.taken[input] = true;
                    }
                }
                _ => {}
            }
        }
        plan
    }

    fn step(&self, index: usize) -> Step {
        let layers = self.graph.layers();
        let inputs = |at: usize| -> Vec<usize> {
            let inputs = layers[at].inputs.iter();
            inputs.map(|value| value.index()).collect()
        };
        // Back from the activation over the sum to the convolution.
        let mut at = index;
        let activation = match layers[at].operation {
            Operation::Relu if self.taken[inputs(at)[0]] => Some(Activation::Relu),
            Operation::Relu6 if self.taken[inputs(at)[0]] => Some(Activation::Relu6),
            _ => None,
        };
        if activation.is_some() {
            at = inputs(at)[0];
        }
        let mut added = None;
        if let Some(position) = self.convolved[at] {
            added = Some(inputs(at)[1 - position]);
            at = inputs(at)[position];
        }
        let operation = &layers[at].operation;
        let work = match operation {
            Operation::Conv2d(conv) => Work::Convolution {
                conv: conv.clone(),
                layer: at,
                activation,
                in_place: false,
            },
            Operation::Subtract { values }
                if layers[inputs(at)[0]].operation == Operation::Input =>
            {
                Work::Picture {
                    mean: values.clone(),
                }
            }
            operation => Work::Layer(operation.clone()),
        };
        let inputs = match work {
            Work::Picture { .. } => Vec::new(),
            _ => inputs(at).into_iter().chain(added).collect(),
        };
        Step {
            work,
            inputs,
            result: index,
            last: Vec::new(),
        }
    }
}

#[cfg(test)]
mod tests;

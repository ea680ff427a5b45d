//! A graph of layers with its tensors: the forward pass on libtorch.
//!
//! Weights are brought to the number format of their layer's input, by an operation that gradients
//! pass. So f32 weights and bf16 pictures make a bf16 forward pass whose gradients arrive in f32, which
//! is how training runs in half precision; batch norm keeps its own tensors in f32.

use casm_core::Result;
use casm_core::network::{BATCH_NORM_EPSILON, Conv2d, Graph, Operation};
use tch::{Device, Kind, TchError, Tensor};

use crate::parameters::Parameters;
use crate::torch_error;

/// Batch norm's momentum, as in torchvision and the released code (spec A.2).
const BATCH_NORM_MOMENTUM: f64 = 0.1;

/// Which statistics batch norm uses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// The stored running statistics.
    Evaluate,
    /// Those of the batch; the stored ones move towards them.
    Train,
}

/// A graph that can be run.
#[derive(Debug)]
pub struct Module {
    steps: Vec<Step>,
    outputs: Vec<usize>,
}

#[derive(Debug)]
struct Step {
    operation: Operation,
    inputs: Vec<usize>,
    /// The layer's tensors in the order of [`Graph::layer_parameters`].
    tensors: Vec<Tensor>,
    /// How often the result is still needed, so that it can be freed after its last use.
    uses: usize,
    /// Position among the inputs of one that nothing else needs, so that the result may take its memory.
    in_place: Option<usize>,
}

impl Module {
    /// Binds `graph` to the tensors of `parameters`, which stay shared: what changes there changes here.
    ///
    /// # Errors
    /// [`casm_core::Error::Engine`] if a tensor is missing.
    pub fn new(graph: &Graph, parameters: &Parameters) -> Result<Module> {
        let outputs: Vec<usize> = graph.outputs().iter().map(|value| value.index()).collect();
        let mut steps = Vec::with_capacity(graph.layers().len());
        for (index, layer) in graph.layers().iter().enumerate() {
            let tensors = graph
                .layer_parameters(index)
                .iter()
                .map(|parameter| parameters.get(&parameter.name))
                .collect::<Result<_>>()?;
            let inputs = layer.inputs.iter().map(|value| value.index()).collect();
            steps.push(Step {
                operation: layer.operation.clone(),
                inputs,
                tensors,
                uses: 0,
                in_place: None,
            });
        }
        for index in 0..steps.len() {
            for input in steps[index].inputs.clone() {
                steps[input].uses += 1;
            }
        }
        for &output in &outputs {
            steps[output].uses += 1;
        }
        for index in 0..steps.len() {
            // The last of an addition's inputs: the first is often a shortcut that others read too.
            let free = |&input: &usize| steps[input].uses == 1 && steps[input].may_be_overwritten();
            steps[index].in_place = match steps[index].operation {
                Operation::Relu | Operation::Add => steps[index].inputs.iter().rposition(free),
                _ => None,
            };
        }
        Ok(Module { steps, outputs })
    }

    /// Computes the graph's outputs from its inputs, one tensor each.
    ///
    /// # Errors
    /// [`casm_core::Error::Engine`] with libtorch's message: wrong shapes, no memory.
    pub fn forward(&self, inputs: &[Tensor], mode: Mode) -> Result<Vec<Tensor>> {
        self.run(inputs, mode).map_err(torch_error)
    }

    fn run(&self, inputs: &[Tensor], mode: Mode) -> std::result::Result<Vec<Tensor>, TchError> {
        let mut values: Vec<Option<Tensor>> = Vec::with_capacity(self.steps.len());
        let mut uses: Vec<usize> = self.steps.iter().map(|step| step.uses).collect();
        let mut inputs = inputs.iter();
        let missing =
            || TchError::Torch("a value of the graph is used before it is computed".to_owned());
        for step in &self.steps {
            let arguments: Vec<Tensor> = if matches!(step.operation, Operation::Input) {
                vec![inputs.next().ok_or_else(missing)?.shallow_clone()]
            } else {
                let taken = step
                    .inputs
                    .iter()
                    .map(|&input| values[input].as_ref().map(Tensor::shallow_clone));
                taken.collect::<Option<_>>().ok_or_else(missing)?
            };
            values.push(Some(step.compute(arguments, mode)?));
            for &input in &step.inputs {
                uses[input] -= 1;
                if uses[input] == 0 {
                    values[input] = None;
                }
            }
        }
        let outputs = self
            .outputs
            .iter()
            .map(|&output| values[output].as_ref().map(Tensor::shallow_clone));
        outputs.collect::<Option<_>>().ok_or_else(missing)
    }
}

impl Step {
    /// Whether its result can be overwritten without harm to its own gradient.
    fn may_be_overwritten(&self) -> bool {
        matches!(
            self.operation,
            Operation::Conv2d(_) | Operation::BatchNorm { .. } | Operation::Add
        )
    }

    fn compute(&self, arguments: Vec<Tensor>, mode: Mode) -> std::result::Result<Tensor, TchError> {
        let x = &arguments[0];
        let square = |side: usize| [side as i64, side as i64];
        match &self.operation {
            Operation::Input => Ok(x.shallow_clone()),
            Operation::Subtract { values } => {
                let values = Tensor::f_from_slice(values)?
                    .f_reshape([1, -1, 1, 1])?
                    .f_to_device(x.device())?;
                x.f_sub(&values.f_to_kind(x.f_kind()?)?)
            }
            Operation::Conv2d(Conv2d {
                stride,
                padding,
                groups,
                ..
            }) => {
                let convolve = |x: &Tensor| {
                    x.f_conv2d(
                        &self.weight(x)?,
                        self.bias(x)?.as_ref(),
                        square(*stride),
                        square(*padding),
                        square(1),
                        *groups as i64,
                    )
                };
                // On the CPU the bf16 gradient of these is 5 to 30 times as slow as that in f32.
                let slow = *groups > 1 && *stride > 1 && x.f_kind()? == Kind::BFloat16;
                if slow && x.requires_grad() && x.device() == Device::Cpu {
                    convolve(&x.f_to_kind(Kind::Float)?)?.f_to_kind(Kind::BFloat16)
                } else {
                    convolve(x)
                }
            }
            Operation::BatchNorm { .. } => x.f_batch_norm(
                Some(&self.tensors[0]),
                Some(&self.tensors[1]),
                Some(&self.tensors[2]),
                Some(&self.tensors[3]),
                mode == Mode::Train,
                BATCH_NORM_MOMENTUM,
                BATCH_NORM_EPSILON,
                true,
            ),
            Operation::Relu if self.in_place.is_some() => x.shallow_clone().f_relu_(),
            Operation::Relu => x.f_relu(),
            Operation::Relu6 => x.f_clamp(0.0, 6.0),
            Operation::MaxPool {
                kernel,
                stride,
                padding,
            } => x.f_max_pool2d(
                square(*kernel),
                square(*stride),
                square(*padding),
                square(1),
                false,
            ),
            Operation::Add => match self.in_place {
                Some(own) => arguments[own].shallow_clone().f_add_(&arguments[1 - own]),
                None => x.f_add(&arguments[1]),
            },
            Operation::GlobalAveragePool => x.f_mean_dim(&[2i64, 3][..], false, None::<Kind>),
            Operation::Linear { .. } => x.f_linear(&self.weight(x)?, self.bias(x)?.as_ref()),
            Operation::UpsampleBilinear { factor } => {
                let (_, _, height, width) = x.size4()?;
                let factor = *factor as i64;
                x.f_upsample_bilinear2d([height * factor, width * factor], false, None, None)
            }
            Operation::Concat => Tensor::f_cat(&arguments, 1),
            // Half precision has no more than 256 values in [0.5, 1): too coarse for thresholds.
            Operation::Sigmoid if matches!(x.f_kind()?, Kind::Half | Kind::BFloat16) => {
                x.f_to_kind(Kind::Float)?.f_sigmoid()
            }
            Operation::Sigmoid => x.f_sigmoid(),
        }
    }

    fn weight(&self, x: &Tensor) -> std::result::Result<Tensor, TchError> {
        self.tensors[0].f_to_kind(x.f_kind()?)
    }

    fn bias(&self, x: &Tensor) -> std::result::Result<Option<Tensor>, TchError> {
        let bias = self.tensors.get(1);
        bias.map(|bias| bias.f_to_kind(x.f_kind()?)).transpose()
    }
}

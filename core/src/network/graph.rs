//! A network as a list of layers: names, sizes and connections, no arithmetic.
//!
//! An encoder or decoder is written down once, as a function that calls the methods of [`Graph`] in
//! the order of its forward pass. Engines execute the list, checkpoints are checked against its
//! [`Graph::parameters`], and exporters can write it in other formats.

/// Batch norm's epsilon, as in torchvision and the released code.
pub const BATCH_NORM_EPSILON: f64 = 1e-5;

/// The output of a layer inside its [`Graph`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Value(usize);

impl Value {
    /// Position of the layer that computes the value in [`Graph::layers`].
    pub fn index(self) -> usize {
        self.0
    }
}

/// What a layer computes. Shapes are `[N, channels, H, W]` unless stated.
#[derive(Debug, Clone, PartialEq)]
pub enum Operation {
    /// An input of the graph.
    Input,
    /// 2-D convolution with a square kernel.
    Conv2d(Conv2d),
    /// `x - values[channel]`: the picture's mean, where a [`Folded`](super::Folded) network begins.
    Subtract {
        /// One number a channel.
        values: Vec<f32>,
    },
    /// `gamma * (x - mean) / sqrt(variance + epsilon) + beta` per channel, with [`BATCH_NORM_EPSILON`].
    BatchNorm {
        /// Prefix of `.weight`, `.bias`, `.running_mean`, `.running_var`.
        name: String,
    },
    /// `max(x, 0)`.
    Relu,
    /// `min(max(x, 0), 6)`.
    Relu6,
    /// Maximum over a square window; padding counts as minus infinity.
    MaxPool {
        /// Window side.
        kernel: usize,
        /// Step.
        stride: usize,
        /// Border on each side.
        padding: usize,
    },
    /// Sum of two values of one shape.
    Add,
    /// Mean over rows and columns: `[N, C, H, W]` → `[N, C]`.
    GlobalAveragePool,
    /// `x W^T + b`: `[N, C]` → `[N, out_features]`.
    Linear {
        /// Prefix of `.weight` `[out_features, C]` and `.bias`.
        name: String,
        /// Number of outputs.
        out_features: usize,
    },
    /// Bilinear enlargement with half-pixel centres (`align_corners = false`).
    UpsampleBilinear {
        /// By how much, in both directions.
        factor: usize,
    },
    /// Channels of all inputs one after the other.
    Concat,
    /// `1 / (1 + exp(-x))`.
    Sigmoid,
}

/// A convolution's sizes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Conv2d {
    /// Prefix of `.weight` `[out_channels, in_channels / groups, kernel, kernel]` and `.bias`.
    pub name: String,
    /// Channels of the result.
    pub out_channels: usize,
    /// Side of the kernel.
    pub kernel: usize,
    /// Step.
    pub stride: usize,
    /// Zeros on each side; `kernel / 2` by default, which keeps the size at stride 1.
    pub padding: usize,
    /// Groups of channels that do not see each other.
    pub groups: usize,
    /// Whether a bias is added.
    pub bias: bool,
}

impl Conv2d {
    /// A convolution at stride 1 that keeps height and width, without bias.
    pub fn new(name: impl Into<String>, out_channels: usize, kernel: usize) -> Conv2d {
        Conv2d {
            name: name.into(),
            out_channels,
            kernel,
            stride: 1,
            padding: kernel / 2,
            groups: 1,
            bias: false,
        }
    }

    /// With this stride.
    pub fn stride(self, stride: usize) -> Conv2d {
        Conv2d { stride, ..self }
    }

    /// With this number of groups.
    pub fn groups(self, groups: usize) -> Conv2d {
        Conv2d { groups, ..self }
    }

    /// With or without bias.
    pub fn bias(self, bias: bool) -> Conv2d {
        Conv2d { bias, ..self }
    }
}

/// One layer of a [`Graph`].
#[derive(Debug, Clone, PartialEq)]
pub struct Layer {
    /// What it computes.
    pub operation: Operation,
    /// From which values, all computed earlier.
    pub inputs: Vec<Value>,
    /// Channels of its result.
    pub channels: usize,
}

/// What a parameter is for; decides how it is initialised and whether it is trained.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Role {
    /// Convolution or linear weight.
    Weight,
    /// Additive term of a convolution or linear layer.
    Bias,
    /// Batch norm's factor (gamma).
    Scale,
    /// Batch norm's additive term (beta).
    Shift,
    /// Batch norm's running mean: a buffer, not trained by gradients.
    RunningMean,
    /// Batch norm's running variance: a buffer, not trained by gradients.
    RunningVariance,
}

/// A named tensor that the graph needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Parameter {
    /// Its name in the checkpoint, torchvision's or the authors'.
    pub name: String,
    /// Its shape.
    pub shape: Vec<usize>,
    /// What it is for.
    pub role: Role,
}

/// A network: layers in an order in which they can be computed.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Graph {
    prefix: String,
    layers: Vec<Layer>,
    outputs: Vec<Value>,
}

impl Graph {
    /// An empty graph; `prefix`, unless it is empty, and a dot precede every parameter name.
    pub fn new(prefix: impl Into<String>) -> Graph {
        Graph {
            prefix: prefix.into(),
            ..Graph::default()
        }
    }

    /// The layers in computing order.
    pub fn layers(&self) -> &[Layer] {
        &self.layers
    }

    /// What the graph computes.
    pub fn outputs(&self) -> &[Value] {
        &self.outputs
    }

    /// Declares what the graph computes.
    pub fn set_outputs(&mut self, outputs: Vec<Value>) {
        self.outputs = outputs;
    }

    /// What precedes parameter names.
    pub(super) fn prefix(&self) -> &str {
        &self.prefix
    }

    /// The same layers with other parameter names, computing the first `outputs` outputs only: layers
    /// after the last of them fall away.
    pub fn renamed(mut self, prefix: impl Into<String>, outputs: usize) -> Graph {
        self.prefix = prefix.into();
        self.outputs.truncate(outputs);
        let needed = self.outputs.iter().map(|value| value.0 + 1).max();
        self.layers.truncate(needed.unwrap_or(0));
        self
    }

    /// Channels of a value.
    pub fn channels(&self, value: Value) -> usize {
        self.layers[value.0].channels
    }

    pub(super) fn push(
        &mut self,
        operation: Operation,
        inputs: Vec<Value>,
        channels: usize,
    ) -> Value {
        self.layers.push(Layer {
            operation,
            inputs,
            channels,
        });
        Value(self.layers.len() - 1)
    }

    fn push_unary(&mut self, operation: Operation, input: Value) -> Value {
        let channels = self.channels(input);
        self.push(operation, vec![input], channels)
    }

    /// Adds an input of so many channels.
    pub fn input(&mut self, channels: usize) -> Value {
        self.push(Operation::Input, Vec::new(), channels)
    }

    /// Adds a difference to one number a channel.
    pub fn subtract(&mut self, values: Vec<f32>, input: Value) -> Value {
        self.push_unary(Operation::Subtract { values }, input)
    }

    /// Adds a convolution.
    pub fn conv2d(&mut self, conv: Conv2d, input: Value) -> Value {
        let channels = conv.out_channels;
        self.push(Operation::Conv2d(conv), vec![input], channels)
    }

    /// Adds a batch norm.
    pub fn batch_norm(&mut self, name: impl Into<String>, input: Value) -> Value {
        self.push_unary(Operation::BatchNorm { name: name.into() }, input)
    }

    /// Adds a ReLU.
    pub fn relu(&mut self, input: Value) -> Value {
        self.push_unary(Operation::Relu, input)
    }

    /// Adds a ReLU that saturates at 6.
    pub fn relu6(&mut self, input: Value) -> Value {
        self.push_unary(Operation::Relu6, input)
    }

    /// Adds a max pooling.
    pub fn max_pool(
        &mut self,
        kernel: usize,
        stride: usize,
        padding: usize,
        input: Value,
    ) -> Value {
        self.push_unary(
            Operation::MaxPool {
                kernel,
                stride,
                padding,
            },
            input,
        )
    }

    /// Adds a sum of two values.
    pub fn add(&mut self, left: Value, right: Value) -> Value {
        let channels = self.channels(left);
        self.push(Operation::Add, vec![left, right], channels)
    }

    /// Adds a mean over rows and columns.
    pub fn global_average_pool(&mut self, input: Value) -> Value {
        self.push_unary(Operation::GlobalAveragePool, input)
    }

    /// Adds a linear layer.
    pub fn linear(&mut self, name: impl Into<String>, out_features: usize, input: Value) -> Value {
        let operation = Operation::Linear {
            name: name.into(),
            out_features,
        };
        self.push(operation, vec![input], out_features)
    }

    /// Adds a bilinear enlargement; nothing for factor 1.
    pub fn upsample_bilinear(&mut self, factor: usize, input: Value) -> Value {
        match factor {
            1 => input,
            _ => self.push_unary(Operation::UpsampleBilinear { factor }, input),
        }
    }

    /// Adds a concatenation of channels.
    pub fn concat(&mut self, inputs: Vec<Value>) -> Value {
        let channels = inputs.iter().map(|&input| self.channels(input)).sum();
        self.push(Operation::Concat, inputs, channels)
    }

    /// Adds a sigmoid.
    pub fn sigmoid(&mut self, input: Value) -> Value {
        self.push_unary(Operation::Sigmoid, input)
    }

    /// The tensors that the graph needs, in computing order.
    pub fn parameters(&self) -> Vec<Parameter> {
        (0..self.layers.len())
            .flat_map(|index| self.layer_parameters(index))
            .collect()
    }

    /// The tensors that the layer at this position needs, in the order weight, bias, mean, variance.
    pub fn layer_parameters(&self, index: usize) -> Vec<Parameter> {
        let layer = &self.layers[index];
        let parameter = |name: &str, suffix: &str, shape: Vec<usize>, role| Parameter {
            name: match self.prefix.as_str() {
                "" => format!("{name}.{suffix}"),
                prefix => format!("{prefix}.{name}.{suffix}"),
            },
            shape,
            role,
        };
        match &layer.operation {
            Operation::Conv2d(conv) => {
                let in_channels = self.channels(layer.inputs[0]);
                let shape = vec![
                    conv.out_channels,
                    in_channels / conv.groups,
                    conv.kernel,
                    conv.kernel,
                ];
                let mut parameters = vec![parameter(&conv.name, "weight", shape, Role::Weight)];
                if conv.bias {
                    let shape = vec![conv.out_channels];
                    parameters.push(parameter(&conv.name, "bias", shape, Role::Bias));
                }
                parameters
            }
            Operation::BatchNorm { name } => [
                ("weight", Role::Scale),
                ("bias", Role::Shift),
                ("running_mean", Role::RunningMean),
                ("running_var", Role::RunningVariance),
            ]
            .map(|(suffix, role)| parameter(name, suffix, vec![layer.channels], role))
            .to_vec(),
            Operation::Linear { name, out_features } => {
                let in_features = self.channels(layer.inputs[0]);
                vec![
                    parameter(
                        name,
                        "weight",
                        vec![*out_features, in_features],
                        Role::Weight,
                    ),
                    parameter(name, "bias", vec![*out_features], Role::Bias),
                ]
            }
            _ => Vec::new(),
        }
    }
}

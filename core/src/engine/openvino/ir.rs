//! A folded network in OpenVINO's own format ("IR", version 11): layers as XML, values in one block.
//!
//! The format is that of OpenVINO's documentation, "Operation Sets" and "IR Format". Port shapes are
//! left out, because OpenVINO infers them from the picture's.

use std::fmt::Write;

use crate::network::{Conv2d, Folded, Operation};
use crate::quantization::{Grid, Quantization, weight_scales};

/// A network as OpenVINO reads it. Only the input's shape depends on the batch.
#[derive(Debug, Clone, PartialEq)]
pub struct Ir {
    size: usize,
    layers: String,
    edges: String,
    /// The values of all constants, little-endian, one after the other.
    pub weights: Vec<u8>,
}

impl Ir {
    /// Writes `folded` for pictures `[batch, size, size, 3]` of bytes. Its outputs are those of the graph.
    ///
    /// Convolutions whose input's range `quantization` knows are written for 8-bit whole numbers, as
    /// OpenVINO's low-precision transformations look for them: a `FakeQuantize` before, weights of type i8
    /// with a factor a channel, the largest of them the number beside `quantization`. What else reads a quantised value reads
    /// it quantised.
    ///
    /// Layers for which `in_f32` is true of their position are computed in f32, whatever the network's precision.
    pub fn new(
        folded: &Folded,
        size: usize,
        quantization: Option<(&Quantization, i8)>,
        in_f32: impl Fn(usize) -> bool,
    ) -> Ir {
        let (quantization, largest_weight) = quantization.unzip();
        let mut writer = Writer {
            largest_weight: largest_weight.unwrap_or_default(),
            ..Writer::default()
        };
        let mut nodes: Vec<Node> = Vec::new();
        let ranges = quantization.map(|quantization| quantization.grids(&folded.graph));
        let mut grids = ranges.unwrap_or_default();
        for (index, layer) in folded.graph.layers().iter().enumerate() {
            let inputs: Vec<Node> = layer.inputs.iter().map(|v| nodes[v.index()]).collect();
            let values: Vec<&[f32]> = folded
                .layer_values(index)
                .into_iter()
                .map(|tensor| tensor.values.as_slice())
                .collect();
            let in_channels = layer
                .inputs
                .first()
                .map_or(0, |&v| folded.graph.channels(v));
            let int8 = quantization.is_some_and(|q| q.covers(&layer.operation));
            writer.in_f32 = in_f32(index);
            let mut node = writer.operation(&layer.operation, &inputs, in_channels, &values, int8);
            if let Some(grid) = grids.remove(&index) {
                node = writer.quantized(node, grid);
            }
            nodes.push(node);
        }
        writer.in_f32 = false;
        for output in folded.graph.outputs() {
            writer.layer("Result", "opset1", "", &[nodes[output.index()]], None);
        }
        Ir {
            size,
            layers: writer.layers,
            edges: writer.edges,
            weights: writer.weights,
        }
    }

    /// The XML for this many pictures at once.
    pub fn xml(&self, batch: usize) -> String {
        let Ir {
            size,
            layers,
            edges,
            ..
        } = self;
        format!(
            "<?xml version=\"1.0\"?>\n<net name=\"casm\" version=\"11\">\n<layers>\n\
             <layer id=\"{PIXELS}\" name=\"pixels\" type=\"Parameter\" version=\"opset1\">\
             <data shape=\"{batch},{size},{size},3\" element_type=\"u8\"/>\
             <output><port id=\"0\" precision=\"U8\"/></output></layer>\n\
             {layers}</layers>\n<edges>\n{edges}</edges>\n</net>\n"
        )
    }
}

/// Number of the input's layer.
const PIXELS: usize = 0;

/// A layer's number, and that of its output port, which follows those of its inputs.
#[derive(Debug, Clone, Copy)]
struct Node {
    layer: usize,
    port: usize,
}

#[derive(Debug, Default)]
struct Writer {
    layers: String,
    edges: String,
    weights: Vec<u8>,
    /// Layers that were written, the input not counted.
    count: usize,
    /// Whether what is written now keeps its precision.
    in_f32: bool,
    /// Of those in whole numbers.
    largest_weight: i8,
}

impl Writer {
    /// Writes one operation, of several layers where OpenVINO has no such one. `values` are weight and bias.
    fn operation(
        &mut self,
        operation: &Operation,
        inputs: &[Node],
        in_channels: usize,
        values: &[&[f32]],
        int8: bool,
    ) -> Node {
        match operation {
            Operation::Input => self.picture(),
            Operation::Subtract { values } => {
                // As an addition: OpenVINO makes one of a subtraction, and the new layer has lost the attribute `precise`.
                let values: Vec<f32> = values.iter().map(|value| -value).collect();
                let values = self.floats(&[1, values.len(), 1, 1], &values);
                self.binary("Add", inputs[0], values)
            }
            Operation::Conv2d(conv) => {
                let [weight, bias] = values else {
                    return inputs[0]; // not in a folded network
                };
                let x = self.convolution(conv, inputs[0], in_channels, weight, int8);
                self.bias(x, &[1, bias.len(), 1, 1], bias)
            }
            Operation::Linear { out_features, .. } => {
                let [weight, bias] = values else {
                    return inputs[0]; // not in a folded network
                };
                let weight = self.floats(&[*out_features, in_channels], weight);
                let transposed = "transpose_a=\"false\" transpose_b=\"true\"";
                let x = self.float("MatMul", "opset1", transposed, &[inputs[0], weight]);
                self.bias(x, &[1, bias.len()], bias)
            }
            // Folded away.
            Operation::BatchNorm { .. } => inputs[0],
            Operation::Relu => self.float("ReLU", "opset1", "", inputs),
            Operation::Relu6 => self.float("Clamp", "opset1", "min=\"0\" max=\"6\"", inputs),
            Operation::Sigmoid => self.float("Sigmoid", "opset1", "", inputs),
            Operation::MaxPool {
                kernel,
                stride,
                padding,
            } => {
                let data = format!(
                    "kernel=\"{kernel},{kernel}\" {} rounding_type=\"floor\" auto_pad=\"explicit\"",
                    strides_and_pads(*stride, *padding)
                );
                self.float("MaxPool", "opset1", &data, inputs)
            }
            Operation::Add => self.binary("Add", inputs[0], inputs[1]),
            Operation::GlobalAveragePool => {
                let axes = self.integers(&[2, 3]);
                let data = "keep_dims=\"false\"";
                self.float("ReduceMean", "opset1", data, &[inputs[0], axes])
            }
            Operation::UpsampleBilinear { factor } => {
                let scale = *factor as f32;
                let scales = self.floats(&[2], &[scale, scale]);
                let axes = self.integers(&[2, 3]);
                let data = "mode=\"linear_onnx\" shape_calculation_mode=\"scales\" \
                            coordinate_transformation_mode=\"half_pixel\" nearest_mode=\"round_prefer_floor\" \
                            antialias=\"false\" pads_begin=\"0\" pads_end=\"0\" cube_coeff=\"-0.75\"";
                self.float("Interpolate", "opset11", data, &[inputs[0], scales, axes])
            }
            Operation::Concat => self.float("Concat", "opset1", "axis=\"1\"", inputs),
        }
    }

    /// The input's bytes `[N, S, S, 3]` as numbers `[N, 3, S, S]`.
    fn picture(&mut self) -> Node {
        let pixels = Node {
            layer: PIXELS,
            port: 0,
        };
        let x = self.float("Convert", "opset1", "destination_type=\"f32\"", &[pixels]);
        let order = self.integers(&[0, 3, 1, 2]);
        self.float("Transpose", "opset1", "", &[x, order])
    }

    fn convolution(
        &mut self,
        conv: &Conv2d,
        input: Node,
        in_channels: usize,
        weight: &[f32],
        int8: bool,
    ) -> Node {
        let Conv2d { kernel, groups, .. } = *conv;
        let data = format!(
            "{} dilations=\"1,1\" auto_pad=\"explicit\"",
            strides_and_pads(conv.stride, conv.padding)
        );
        let (outputs, inputs) = (conv.out_channels / groups, in_channels / groups);
        let (kind, shape) = if groups == 1 {
            ("Convolution", vec![outputs, inputs, kernel, kernel])
        } else {
            let shape = vec![groups, outputs, inputs, kernel, kernel];
            ("GroupConvolution", shape)
        };
        let weight = match int8 {
            true => self.whole_numbers(&shape, weight, conv.out_channels),
            false => self.floats(&shape, weight),
        };
        self.float(kind, "opset1", &data, &[input, weight])
    }

    /// Weights as whole numbers and a factor for each of the output channels.
    fn whole_numbers(&mut self, shape: &[usize], weight: &[f32], channels: usize) -> Node {
        let scales = weight_scales(weight, channels, self.largest_weight);
        let largest = f32::from(self.largest_weight);
        let each = weight.len() / channels.max(1);
        let numbers = weight.iter().enumerate().map(|(index, value)| {
            let scale = scales[index / each.max(1)];
            (value / scale).round().clamp(-largest, largest) as i8 as u8
        });
        let numbers = self.constant("i8", "I8", shape, numbers.collect());
        let numbers = self.float("Convert", "opset1", "destination_type=\"f32\"", &[numbers]);
        // The channels are the first dimension, or the first two of a convolution by groups.
        let mut factors = vec![1; shape.len()];
        let mut left = channels;
        for (factor, &size) in factors.iter_mut().zip(shape) {
            if left > 1 {
                *factor = size;
                left /= size.max(1);
            }
        }
        let scales = self.floats(&factors, &scales);
        self.binary("Multiply", numbers, scales)
    }

    /// The value on a grid of 256 numbers.
    fn quantized(&mut self, x: Node, grid: Grid) -> Node {
        let low = self.floats(&[1, 1, 1, 1], &[grid.low]);
        let high = self.floats(&[1, 1, 1, 1], &[grid.high]);
        let data = "levels=\"256\" auto_broadcast=\"numpy\"";
        self.float("FakeQuantize", "opset1", data, &[x, low, high, low, high])
    }

    fn bias(&mut self, x: Node, shape: &[usize], bias: &[f32]) -> Node {
        if bias.iter().all(|&value| value == 0.0) {
            return x;
        }
        let bias = self.floats(shape, bias);
        self.binary("Add", x, bias)
    }

    fn binary(&mut self, kind: &str, left: Node, right: Node) -> Node {
        let data = "auto_broadcast=\"numpy\"";
        self.float(kind, "opset1", data, &[left, right])
    }

    fn float(&mut self, kind: &str, version: &str, data: &str, inputs: &[Node]) -> Node {
        self.layer(kind, version, data, inputs, Some("FP32"))
    }

    fn floats(&mut self, shape: &[usize], values: &[f32]) -> Node {
        let bytes = values.iter().flat_map(|value| value.to_le_bytes());
        self.constant("f32", "FP32", shape, bytes.collect())
    }

    fn integers(&mut self, values: &[i64]) -> Node {
        let bytes = values.iter().flat_map(|value| value.to_le_bytes());
        self.constant("i64", "I64", &[values.len()], bytes.collect())
    }

    fn constant(
        &mut self,
        kind: &str,
        precision: &str,
        shape: &[usize],
        mut bytes: Vec<u8>,
    ) -> Node {
        // Integers after an odd number of floats would lie askew.
        self.weights
            .resize(self.weights.len().next_multiple_of(8), 0);
        let sizes: Vec<String> = shape.iter().map(usize::to_string).collect();
        let data = format!(
            "element_type=\"{kind}\" shape=\"{}\" offset=\"{}\" size=\"{}\"",
            sizes.join(","),
            self.weights.len(),
            bytes.len()
        );
        self.weights.append(&mut bytes);
        self.layer("Const", "opset1", &data, &[], Some(precision))
    }

    fn layer(
        &mut self,
        kind: &str,
        version: &str,
        data: &str,
        inputs: &[Node],
        output: Option<&str>,
    ) -> Node {
        self.count += 1;
        let layer = PIXELS + self.count;
        let mut text = format!(
            "<layer id=\"{layer}\" name=\"{kind}{layer}\" type=\"{kind}\" version=\"{version}\">"
        );
        if !data.is_empty() {
            text += &format!("<data {data}/>");
        }
        if self.in_f32 {
            // OpenVINO's name for a layer whose precision is not to be lowered, fused with others or not.
            text += "<rt_info><attribute name=\"precise\" version=\"0\"/></rt_info>";
        }
        if !inputs.is_empty() {
            let ports = (0..inputs.len()).map(|port| format!("<port id=\"{port}\"/>"));
            text += &format!("<input>{}</input>", ports.collect::<String>());
        }
        let port = inputs.len();
        if let Some(precision) = output {
            text += &format!("<output><port id=\"{port}\" precision=\"{precision}\"/></output>");
        }
        self.layers += &text;
        self.layers += "</layer>\n";
        for (to, from) in inputs.iter().enumerate() {
            // Writing to a string does not fail.
            let _ = writeln!(
                self.edges,
                "<edge from-layer=\"{}\" from-port=\"{}\" to-layer=\"{layer}\" to-port=\"{to}\"/>",
                from.layer, from.port
            );
        }
        Node { layer, port }
    }
}

fn strides_and_pads(stride: usize, padding: usize) -> String {
    format!(
        "strides=\"{stride},{stride}\" pads_begin=\"{padding},{padding}\" pads_end=\"{padding},{padding}\""
    )
}

#[cfg(test)]
mod tests;

//! ONNX: the network in the exchange format that most inference programs read.
//!
//! Field numbers are those of ONNX's `onnx.proto`, operators those of operator set 17.

use super::protobuf::Message;
use crate::checkpoint::Checkpoint;
use crate::error::{Error, Result};
use crate::network::{BATCH_NORM_EPSILON, Conv2d, Folded, Graph, Operation};

/// The operator set, of ONNX 1.12 (2022), and the version of the file format that goes with it.
const OPERATOR_SET: u64 = 17;
const IR_VERSION: u64 = 8;
/// `TensorProto.DataType`.
const FLOAT: u64 = 1;
const INPUT: &str = "pixels";
const INPUT_DESCRIPTION: &str =
    "RGB pictures [N, 3, S, S], values from 0 to 255; they are normalised inside";

/// The network of a checkpoint as an ONNX file. Input: `pixels` `[N, 3, S, S]`, RGB, numbers from 0 to 255,
/// for any N; normalisation is part of the network. Outputs: `mask` `[N, 1, S/4, S/4]` in [0, 1], unless
/// there is no decoder, and `logits` `[N, classes]`. The checkpoint's header is among the metadata.
///
/// # Errors
/// [`Error::Checkpoint`]; not after a successful validation.
pub fn onnx(checkpoint: &Checkpoint) -> Result<Vec<u8>> {
    write(checkpoint, &Folded::from_checkpoint(checkpoint)?)
}

/// The network of a checkpoint as it is described, batch norms and all, to measure what other programs make
/// of it. As [`onnx`], but pictures are to be normalised before.
///
/// # Errors
/// Those of [`onnx`].
pub fn onnx_unfolded(checkpoint: &Checkpoint) -> Result<Vec<u8>> {
    write(checkpoint, &Folded::unfolded(checkpoint)?)
}

fn write(checkpoint: &Checkpoint, folded: &Folded) -> Result<Vec<u8>> {
    let header = checkpoint.header();
    let side = u64::from(header.input.size);
    let quarter = header.mask_size() as u64;
    let mask = value("mask", &[1, quarter, quarter]);
    let logits = value("logits", &[header.network.classes() as u64]);
    let mut outputs = vec![("mask", mask), ("logits", logits)];
    outputs.drain(..outputs.len() - folded.graph.outputs().len());

    let mut graph = Message::default();
    let names = names(&folded.graph, &outputs);
    for (index, layer) in folded.graph.layers().iter().enumerate() {
        let inputs = layer
            .inputs
            .iter()
            .map(|value| names[value.index()].as_str());
        let parameters = folded.graph.layer_parameters(index);
        let values = parameters.iter().map(|parameter| parameter.name.as_str());
        let inputs: Vec<&str> = inputs.chain(values).collect();
        operation(&mut graph, &layer.operation, &inputs, &names[index]);
    }
    graph.bytes(2, "casm"); // name
    for tensor in folded.tensors.values() {
        graph.message(5, &initializer(&tensor.name, &tensor.shape, &tensor.values));
    }
    let mut input = value(INPUT, &[3, side, side]);
    input.bytes(3, INPUT_DESCRIPTION);
    graph.message(11, &input);
    outputs
        .iter()
        .for_each(|(_, output)| graph.message(12, output));

    let mut model = Message::default();
    model.varint(1, IR_VERSION);
    model.bytes(2, "casm");
    model.bytes(3, env!("CARGO_PKG_VERSION"));
    model.message(7, &graph);
    let mut operators = Message::default();
    operators.bytes(1, ""); // ONNX's own
    operators.varint(2, OPERATOR_SET);
    model.message(8, &operators);
    let json = serde_json::to_string(header).map_err(|error| Error::Checkpoint {
        origin: checkpoint.origin().to_owned(),
        reason: error.to_string(),
    })?;
    let mut metadata = Message::default();
    metadata.bytes(1, "casm");
    metadata.bytes(2, json);
    model.message(14, &metadata);
    Ok(model.into_bytes())
}

/// A name for what each layer computes.
fn names(graph: &Graph, outputs: &[(&str, Message)]) -> Vec<String> {
    let layers = graph.layers().iter().enumerate();
    let mut names: Vec<String> = layers
        .map(|(index, layer)| match layer.operation {
            Operation::Input => INPUT.to_owned(),
            _ => format!("value{index}"),
        })
        .collect();
    for (value, (name, _)) in graph.outputs().iter().zip(outputs) {
        (*name).clone_into(&mut names[value.index()]);
    }
    names
}

/// Adds the nodes of one operation; `inputs` are its values and then its parameters.
fn operation(graph: &mut Message, operation: &Operation, inputs: &[&str], output: &str) {
    let square = |side: &usize| vec![*side as u64; 2];
    let constant = |graph: &mut Message, values: &[f32], shape: &[usize]| {
        let name = format!("{output}.constant");
        graph.message(5, &initializer(&name, shape, values));
        name
    };
    match operation {
        Operation::Input => {}
        Operation::Subtract { values } => {
            let values = constant(graph, values, &[1, values.len(), 1, 1]);
            node(graph, "Sub", &[inputs[0], &values], output, &[]);
        }
        Operation::Conv2d(Conv2d {
            kernel,
            stride,
            padding,
            groups,
            ..
        }) => {
            let attributes = [
                integers("kernel_shape", &square(kernel)),
                integers("strides", &square(stride)),
                integers("pads", &[*padding as u64; 4]),
                integer("group", *groups as u64),
            ];
            node(graph, "Conv", inputs, output, &attributes);
        }
        // Its parameters have ONNX's order; only in an unfolded network.
        Operation::BatchNorm { .. } => {
            let attributes = [real("epsilon", BATCH_NORM_EPSILON as f32)];
            node(graph, "BatchNormalization", inputs, output, &attributes);
        }
        Operation::Relu => node(graph, "Relu", inputs, output, &[]),
        Operation::Relu6 => {
            let [low, high] = [("low", 0.0), ("high", 6.0)].map(|(end, value)| {
                let name = format!("{output}.{end}");
                graph.message(5, &initializer(&name, &[], &[value]));
                name
            });
            node(graph, "Clip", &[inputs[0], &low, &high], output, &[]);
        }
        Operation::MaxPool {
            kernel,
            stride,
            padding,
        } => {
            let attributes = [
                integers("kernel_shape", &square(kernel)),
                integers("strides", &square(stride)),
                integers("pads", &[*padding as u64; 4]),
            ];
            node(graph, "MaxPool", inputs, output, &attributes);
        }
        Operation::Add => node(graph, "Add", inputs, output, &[]),
        Operation::GlobalAveragePool => {
            let means = format!("{output}.means");
            node(graph, "GlobalAveragePool", inputs, &means, &[]);
            node(graph, "Flatten", &[&means], output, &[integer("axis", 1)]);
        }
        Operation::Linear { .. } => {
            node(graph, "Gemm", inputs, output, &[integer("transB", 1)]);
        }
        Operation::UpsampleBilinear { factor } => {
            let factor = *factor as f32;
            let scales = constant(graph, &[1.0, 1.0, factor, factor], &[4]);
            let attributes = [
                text("mode", "linear"),
                text("coordinate_transformation_mode", "half_pixel"),
            ];
            // The second input, a region, is left out.
            node(
                graph,
                "Resize",
                &[inputs[0], "", &scales],
                output,
                &attributes,
            );
        }
        Operation::Concat => node(graph, "Concat", inputs, output, &[integer("axis", 1)]),
        Operation::Sigmoid => node(graph, "Sigmoid", inputs, output, &[]),
    }
}

/// Adds a `NodeProto`.
fn node(graph: &mut Message, kind: &str, inputs: &[&str], output: &str, attributes: &[Message]) {
    let mut node = Message::default();
    inputs.iter().for_each(|input| node.bytes(1, input));
    node.bytes(2, output);
    node.bytes(3, format!("{kind} {output}"));
    node.bytes(4, kind);
    attributes
        .iter()
        .for_each(|attribute| node.message(5, attribute));
    graph.message(1, &node);
}

/// An `AttributeProto` with its name and `AttributeType`.
fn attribute(name: &str, kind: u64) -> Message {
    let mut attribute = Message::default();
    attribute.bytes(1, name);
    attribute.varint(20, kind);
    attribute
}

fn integer(name: &str, value: u64) -> Message {
    let mut attribute = attribute(name, 2);
    attribute.varint(3, value);
    attribute
}

fn integers(name: &str, values: &[u64]) -> Message {
    let mut attribute = attribute(name, 7);
    values.iter().for_each(|&value| attribute.varint(8, value));
    attribute
}

fn real(name: &str, value: f32) -> Message {
    let mut attribute = attribute(name, 1);
    attribute.float(2, value);
    attribute
}

fn text(name: &str, value: &str) -> Message {
    let mut attribute = attribute(name, 3);
    attribute.bytes(4, value);
    attribute
}

/// A `TensorProto`.
fn initializer(name: &str, shape: &[usize], values: &[f32]) -> Message {
    let mut tensor = Message::default();
    shape.iter().for_each(|&size| tensor.varint(1, size as u64));
    tensor.varint(2, FLOAT);
    tensor.bytes(8, name);
    let bytes: Vec<u8> = values
        .iter()
        .flat_map(|value| value.to_le_bytes())
        .collect();
    tensor.bytes(9, bytes);
    tensor
}

/// A `ValueInfoProto` of numbers `[N, …]`.
fn value(name: &str, sizes: &[u64]) -> Message {
    let mut shape = Message::default();
    let mut batch = Message::default();
    batch.bytes(2, "N");
    shape.message(1, &batch);
    for &size in sizes {
        let mut dimension = Message::default();
        dimension.varint(1, size);
        shape.message(1, &dimension);
    }
    let mut tensor = Message::default();
    tensor.varint(1, FLOAT);
    tensor.message(2, &shape);
    let mut kind = Message::default();
    kind.message(1, &tensor);
    let mut value = Message::default();
    value.bytes(1, name);
    value.message(2, &kind);
    value
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    /// Number, wire type and content of each field; the content of a number is its bytes.
    fn fields(mut bytes: &[u8]) -> Vec<(u64, &[u8])> {
        fn number(bytes: &mut &[u8]) -> u64 {
            let mut value = 0;
            for shift in (0..64).step_by(7) {
                let (&byte, rest) = bytes.split_first().expect("a number goes on");
                *bytes = rest;
                value |= u64::from(byte & 0x7f) << shift;
                if byte < 0x80 {
                    break;
                }
            }
            value
        }
        let mut fields = Vec::new();
        while !bytes.is_empty() {
            let key = number(&mut bytes);
            let length = match key & 7 {
                0 => {
                    let mut rest = bytes;
                    number(&mut rest);
                    bytes.len() - rest.len()
                }
                2 => number(&mut bytes) as usize,
                5 => 4,
                other => panic!("wire type {other}"),
            };
            let (content, rest) = bytes.split_at(length);
            fields.push((key >> 3, content));
            bytes = rest;
        }
        fields
    }

    fn texts<'a>(message: &'a [u8], field: u64) -> impl Iterator<Item = String> + 'a {
        let fields = fields(message).into_iter();
        fields
            .filter(move |(number, _)| *number == field)
            .map(|(_, text)| String::from_utf8(text.to_vec()).expect("text"))
    }

    /// Every value is computed before it is read, under one name, and the outputs are among them.
    #[test]
    fn the_built_in_models_nodes_are_in_order_and_complete() {
        let checkpoint = Checkpoint::built_in().expect("valid");
        let model = onnx(&checkpoint).expect("valid");
        let model = fields(&model);
        let part = |number: u64| {
            let found = model.iter().find(|(field, _)| *field == number);
            found.unwrap_or_else(|| panic!("no field {number}")).1
        };
        assert_eq!((part(1), fields(part(8))[1]), (&[8][..], (2, &[17][..])));
        let graph = fields(part(7));
        let all = |number| graph.iter().filter(move |field| field.0 == number);
        let mut known: BTreeSet<String> = BTreeSet::from([String::new()]);
        for (_, tensor) in all(5) {
            let elements: usize = fields(tensor)
                .iter()
                .filter(|(field, _)| *field == 1)
                .map(|(_, size)| {
                    size.iter()
                        .rev()
                        .fold(0, |all, &b| all << 7 | usize::from(b & 0x7f))
                })
                .product();
            let data = fields(tensor).into_iter().find(|(field, _)| *field == 9);
            assert_eq!(data.expect("values").1.len(), 4 * elements);
            known.extend(texts(tensor, 8));
        }
        let initializers = known.len();
        known.extend(all(11).flat_map(|(_, input)| texts(input, 1)));
        assert_eq!(known.len(), initializers + 1);
        for (_, node) in all(1) {
            for input in texts(node, 1) {
                assert!(known.contains(&input), "{input} is not computed yet");
            }
            for output in texts(node, 2) {
                assert!(known.insert(output.clone()), "{output} is computed twice");
            }
        }
        let outputs: Vec<String> = all(12).flat_map(|(_, output)| texts(output, 1)).collect();
        assert_eq!(outputs, ["mask", "logits"]);
        assert!(outputs.iter().all(|output| known.contains(output)));
    }
}

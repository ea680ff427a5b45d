use super::*;
use crate::checkpoint::Checkpoint;

/// By hand: the factors are 1 / 64 and 2 / 64.
#[test]
fn weights_fill_the_whole_numbers_that_they_may_have() {
    let mut writer = Writer {
        largest_weight: 64,
        ..Writer::default()
    };
    writer.whole_numbers(&[2, 2, 1, 1], &[0.5, -1.0, 2.0, 1.0], 2);
    let numbers = writer.weights[..4].iter().map(|&byte| byte as i8);
    assert_eq!(numbers.collect::<Vec<_>>(), [32, -64, 64, 32]);
}

/// Every edge ends at layers and ports that exist, and constants fill the block without overlap.
#[test]
fn the_built_in_model_is_written_whole() {
    let checkpoint = Checkpoint::built_in().expect("valid");
    let folded = Folded::from_checkpoint(&checkpoint).expect("valid");
    let ir = Ir::new(&folded, 224, None, |_| false);
    let xml = ir.xml(3);
    assert!(xml.contains("shape=\"3,224,224,3\" element_type=\"u8\""));
    assert_eq!(xml.matches("type=\"Result\"").count(), 2);
    let attribute = |line: &str, name: &str| -> usize {
        let (_, rest) = line.split_once(&format!("{name}=\"")).expect("is there");
        let (number, _) = rest.split_once('"').expect("ends");
        number.parse().expect("a number")
    };
    let layers = xml.matches("<layer ").count();
    let mut end = 0;
    for line in xml.lines() {
        if line.contains("type=\"Const\"") {
            let offset = attribute(line, "offset");
            assert!(offset >= end && offset - end < 8);
            end = offset + attribute(line, " size");
        }
        if line.starts_with("<edge ") {
            assert!(attribute(line, "from-layer") < attribute(line, "to-layer"));
            assert!(attribute(line, "to-layer") < layers);
        }
    }
    assert_eq!(end, ir.weights.len());
    // The folded values, and a few constants of shapes.
    let values: usize = folded.tensors.values().map(|t| t.values.len()).sum();
    assert!(ir.weights.len() <= 4 * values + 8 * layers);
}

/// In bf16, what comes before the first convolution that is rounded asks to be left in f32: by hand, the mean taken off and
/// three convolutions with their bias and activation, the last of which has none.
#[test]
fn the_beginning_asks_to_stay_in_f32() {
    let checkpoint = Checkpoint::built_in().expect("valid");
    let folded = Folded::from_checkpoint(&checkpoint).expect("valid");
    let wide = crate::engine::openvino::begins_in_f32(&folded.graph);
    let ir = Ir::new(&folded, 224, None, |layer| wide[layer]);
    let xml = ir.xml(1);
    let precise: Vec<&str> = xml
        .lines()
        .filter(|line| line.contains("<attribute name=\"precise\""))
        .filter_map(|line| line.split_once(" type=\"")?.1.split('"').next())
        .filter(|kind| *kind != "Const")
        .collect();
    assert_eq!(
        precise,
        [
            "Convert",
            "Transpose",
            "Add",
            "Convolution",
            "Add",
            "ReLU",
            "GroupConvolution",
            "Add",
            "ReLU",
            "Convolution",
            "Add"
        ]
    );
}

/// A decoder's own encoder begins in f32 as well, although the classifier comes before it in the list. By hand: two
/// first convolutions, and the products of the decoder's first level, which reads the second one's result.
#[test]
fn both_encoders_begin_in_f32() {
    use crate::network::{EncoderConfig, NetworkConfig, ResnetConfig};
    let config = NetworkConfig {
        separate_encoder: true,
        ..NetworkConfig::new(EncoderConfig::Resnet(ResnetConfig::resnet18(2)))
    };
    let ones = config.network().parameters().into_iter().map(|parameter| {
        let values = vec![1.0; parameter.shape.iter().product()];
        let tensor = crate::checkpoint::NamedTensor {
            name: parameter.name.clone(),
            shape: parameter.shape,
            values,
        };
        (parameter.name, tensor)
    });
    let input = crate::header::InputConfig::default();
    let folded = Folded::new(&config, &input, &ones.collect()).expect("complete");
    let wide = crate::engine::openvino::begins_in_f32(&folded.graph);
    let layers = folded.graph.layers().iter().zip(wide);
    let convolutions =
        layers.filter(|(layer, wide)| *wide && matches!(layer.operation, Operation::Conv2d(_)));
    assert_eq!(convolutions.count(), 3);
}

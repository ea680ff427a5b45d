use super::*;
use crate::network::folded::tests::{Plane, SIDE, all_values, bytes, difference, folded, resnet};
use crate::network::{Block, DecoderConfig, EncoderConfig, MobilenetV2Config, NetworkConfig};

/// Values are those of the loops that test the folding, up to the first enlargement, which is right on average only.
#[test]
fn means_are_those_of_the_values() {
    let mut concatenated = resnet(Block::Bottleneck);
    concatenated.decoder = Some(DecoderConfig {
        channels: 8,
        ..DecoderConfig::default()
    });
    let mobilenet = EncoderConfig::MobilenetV2(MobilenetV2Config {
        classes: 3,
        ..MobilenetV2Config::default()
    });
    for config in [concatenated, NetworkConfig::new(mobilenet)] {
        let folded = folded(&config);
        let noise = bytes();
        let pixels = (0..SIDE * SIDE).flat_map(|at| (0..3).map(move |c| c * SIDE * SIDE + at));
        let picture = Field {
            side: SIDE,
            channels: 3,
            values: pixels.map(|at| noise.values[at] as f32).collect(),
        };
        let found = fields(&folded, &picture);
        let expected = all_values(&folded.graph, &folded.tensors, &[noise]);
        let mut enlarged = false;
        for ((layer, found), expected) in folded.graph.layers().iter().zip(found).zip(expected) {
            enlarged |= matches!(layer.operation, Operation::UpsampleBilinear { .. });
            assert_eq!(
                (found.side, found.channels),
                (expected.side, expected.channels)
            );
            if enlarged {
                continue;
            }
            let area = found.side * found.side;
            let planes =
                (0..found.channels).flat_map(|c| (0..area).map(move |at| at * found.channels + c));
            let turned = Plane {
                values: planes.map(|at| f64::from(found.values[at])).collect(),
                ..expected.clone()
            };
            let difference = difference(&turned, &expected);
            assert!(difference < 1e-4, "{:?}: {difference}", layer.operation);
        }
        assert!(enlarged);
    }
}

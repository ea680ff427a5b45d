//! Which network a state dict belongs to, by its names and a few shapes.

use super::error::Problem;
use super::pickle::shorten;
use super::state_dict::Group;

/// The network of a foreign checkpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Architecture {
    /// He et al. 2015, as torchvision names it.
    Resnet {
        /// Residual blocks in each of the four layers: 3, 4, 6, 3 for ResNet-50.
        blocks: [usize; 4],
        /// Blocks of three convolutions (ResNet-50 and deeper) rather than two.
        bottleneck: bool,
    },
    /// Sandler et al. 2018, as torchvision names it.
    MobilenetV2 {
        /// False if batch normalisation is folded into the convolutions.
        batch_norm: bool,
    },
}

/// The architecture and its number of classes, by names and a few shapes.
pub(super) fn recognise(classifier: &Group) -> Result<(Architecture, usize), Problem> {
    let has = |name: &str| classifier.contains_key(name);
    let other = |reason: &str| {
        let names: Vec<_> = classifier
            .keys()
            .take(5)
            .map(|name| shorten(name))
            .collect();
        Problem::Architecture {
            reason: reason.to_owned(),
            names: names.join(", "),
        }
    };
    let (architecture, last) = if has("conv1.weight") && has("layer1.0.conv1.weight") {
        (resnet(classifier).map_err(other)?, "fc.weight")
    } else if has("features.0.0.weight") && has("features.1.conv.0.0.weight") {
        let batch_norm = has("features.0.1.running_mean");
        if !batch_norm && !has("features.0.0.bias") {
            return Err(other(
                "its first layer has neither batch normalisation nor a bias",
            ));
        }
        (
            Architecture::MobilenetV2 { batch_norm },
            "classifier.1.weight",
        )
    } else {
        return Err(other(
            "it has neither layer1.0.conv1.weight nor features.1.conv.0.0.weight",
        ));
    };
    match classifier.get(last).map(|tensor| tensor.shape.as_slice()) {
        Some(&[classes, _]) if classes > 0 => Ok((architecture, classes)),
        Some(_) => Err(other(&format!("{last} is no matrix"))),
        None => Err(other(&format!("the last layer, {last}, is missing"))),
    }
}

fn resnet(classifier: &Group) -> Result<Architecture, &'static str> {
    let shape = |name: &str| classifier.get(name).map(|tensor| tensor.shape.as_slice());
    let blocks = [1, 2, 3, 4].map(|layer| {
        (0..)
            .take_while(|block| shape(&format!("layer{layer}.{block}.conv1.weight")).is_some())
            .count()
    });
    if blocks.contains(&0) {
        return Err("one of its four layers is missing");
    }
    let third = shape("layer1.0.conv3.weight");
    // Both relatives have ResNet's names; loaded as a ResNet they would fail on shapes alone.
    match shape("layer1.0.conv2.weight") {
        Some(&[width, inputs, ..]) if width != inputs => {
            return Err("its convolutions are grouped, as a ResNeXt's");
        }
        Some(&[width, ..])
            if third.is_some_and(|third| third.first().copied() != width.checked_mul(4)) =>
        {
            return Err("its blocks are wider than a ResNet's");
        }
        _ => {}
    }
    Ok(Architecture::Resnet {
        blocks,
        bottleneck: third.is_some(),
    })
}

#[cfg(test)]
pub(super) mod tests {
    use super::super::tensor::Tensor;
    use super::*;

    pub(in crate::import) fn group(shapes: &[(&str, &[usize])]) -> Group {
        let tensor = |shape: &[usize]| Tensor {
            shape: shape.to_vec(),
            values: Vec::new(),
        };
        shapes
            .iter()
            .map(|&(name, shape)| (name.to_owned(), tensor(shape)))
            .collect()
    }

    /// A ResNet of the given blocks, as far as it is looked at.
    pub(in crate::import) fn resnet_of(blocks: [usize; 4], bottleneck: bool) -> Group {
        let mut network = group(&[
            ("conv1.weight", &[64, 3, 7, 7]),
            ("fc.weight", &[1000, 512]),
        ]);
        network.extend(group(&[("layer1.0.conv2.weight", &[64, 64, 3, 3])]));
        for (layer, blocks) in (1..).zip(blocks) {
            for block in 0..blocks {
                network.extend(group(&[(
                    &format!("layer{layer}.{block}.conv1.weight"),
                    &[64],
                )]));
            }
        }
        if bottleneck {
            network.extend(group(&[("layer1.0.conv3.weight", &[256, 64, 1, 1])]));
        }
        network
    }

    fn reason(classifier: &Group) -> String {
        recognise(classifier).unwrap_err().to_string()
    }

    #[test]
    fn resnets_are_told_apart_by_their_blocks() {
        for (blocks, bottleneck) in [
            ([2, 2, 2, 2], false),
            ([3, 4, 6, 3], false),
            ([3, 4, 6, 3], true),
            ([3, 8, 36, 3], true),
        ] {
            let expected = Architecture::Resnet { blocks, bottleneck };
            let found = recognise(&resnet_of(blocks, bottleneck)).unwrap();
            assert_eq!(found, (expected, 1000));
        }
    }

    #[test]
    fn relatives_that_share_the_names_are_refused() {
        let mut resnext = resnet_of([3, 4, 6, 3], true);
        resnext.extend(group(&[("layer1.0.conv2.weight", &[128, 4, 3, 3])]));
        assert!(reason(&resnext).contains("grouped, as a ResNeXt's"));
        let mut wide = resnet_of([3, 4, 6, 3], true);
        wide.extend(group(&[("layer1.0.conv2.weight", &[128, 128, 3, 3])]));
        assert!(reason(&wide).contains("wider than a ResNet's"));
        let mut headless = resnet_of([3, 4, 6, 3], true);
        headless.remove("fc.weight");
        assert!(reason(&headless).contains("fc.weight, is missing"));
        let vgg = group(&[
            ("features.0.weight", &[64, 3, 3, 3]),
            ("classifier.0.weight", &[1, 1]),
        ]);
        let message = reason(&vgg);
        assert!(message.ends_with("its first names are classifier.0.weight, features.0.weight"));
    }

    #[test]
    fn mobilenet_v2_is_told_by_its_first_layers() {
        let mut folded = group(&[
            ("features.0.0.weight", &[32, 3, 3, 3]),
            ("features.0.0.bias", &[32]),
            ("features.1.conv.0.0.weight", &[32, 1, 3, 3]),
            ("classifier.1.weight", &[21, 1280]),
        ]);
        let expected = |batch_norm| Architecture::MobilenetV2 { batch_norm };
        assert_eq!(recognise(&folded).unwrap(), (expected(false), 21));
        folded.remove("features.0.0.bias");
        assert!(reason(&folded).contains("neither batch normalisation nor a bias"));
        folded.extend(group(&[("features.0.1.running_mean", &[32])]));
        assert_eq!(recognise(&folded).unwrap(), (expected(true), 21));
    }
}

use casm::header::Header;
use casm::network::{DecoderConfig, NetworkConfig};
use casm::parameters::Parameters;
use tch::Device;

use super::*;
use crate::run::Architecture;

/// ResNet-18 from random weights, whose masks are of 16 × 16 pixels for pictures of 64 × 64.
fn network() -> (Header, Parameters) {
    let config = NetworkConfig {
        encoder: Architecture::Resnet18.encoder(3),
        decoder: Some(DecoderConfig::default()),
        separate_encoder: false,
    };
    tch::manual_seed(1);
    let wanted = config.network().parameters();
    let parameters = Parameters::initialise(&wanted, Device::Cpu).expect("weights");
    let mut header = Header::new(config);
    header.input.size = 64;
    (header, parameters)
}

fn teacher(zooms: &[f64], sharpness: f64) -> Teacher {
    let (header, parameters) = network();
    Teacher::new((&header, &parameters), None, zooms, sharpness).expect("a teacher")
}

/// Of the size that close-ups want: 96 for an input of 64.
fn pictures() -> Tensor {
    tch::manual_seed(2);
    Tensor::randn([2, 3, 96, 96], (Kind::Float, Device::Cpu))
}

fn largest_difference(a: &Tensor, b: &Tensor) -> f64 {
    (a - b).abs().max().double_value(&[])
}

#[test]
fn a_close_up_of_everything_is_the_mask_itself() {
    let (header, parameters) = network();
    let network = SaliencyNetwork::new(&header.network, &parameters).expect("a network");
    let _no_gradients = tch::no_grad_guard();
    // The mask of the whole picture, made smaller, and of its mirror image.
    let whole = resized(&pictures(), 64).expect("pictures");
    let mask = |pictures: &Tensor| {
        let saliency = network.forward(pictures, Mode::Evaluate);
        saliency.expect("a pass").mask.expect("a mask")
    };
    let mask = (mask(&whole) + mask(&whole.flip([3i64])).flip([3i64])) / 2.0;
    // A hundred times the box is cut to the whole picture, whatever the box.
    let targets = teacher(&[100.0, 100.0], 0.0)
        .masks(&pictures())
        .expect("targets");
    assert!(largest_difference(&targets, &mask) < 1e-5);
    // σ(10 (t - 1/2)).
    let sharp = teacher(&[100.0], 10.0).masks(&pictures()).expect("targets");
    let by_hand = ((mask - 0.5) * 10.0).sigmoid();
    assert!(largest_difference(&sharp, &by_hand) < 1e-4);
}

#[test]
fn a_close_up_goes_back_where_it_came_from() {
    // A picture whose columns rise from left to right, and a region of it.
    let ramp = Tensor::arange(64, (Kind::Float, Device::Cpu)).reshape([1, 1, 1, 64]);
    let picture = ramp.expand([1, 3, 64, 64], false).contiguous();
    let region = BoundingBox {
        x: 4,
        y: 2,
        width: 8,
        height: 6,
    };
    let enlarged = enlarge(&picture, &[region], 16, 64).expect("a close-up");
    assert_eq!(enlarged.size(), [1, 3, 64, 64]);
    // Columns 16 .. 48 of the picture; the outermost are repeated at the edge.
    let ends = [0, 63].map(|column| enlarged.double_value(&[0, 0, 30, column]));
    assert_eq!(ends, [16.0, 47.0]);
    // Made as small as the mask, it has the means of 4 columns each.
    let mask =
        enlarged
            .narrow(1, 0, 1)
            .internal_upsample_bilinear2d_aa([16, 16], false, None, None);
    let mut sums = Tensor::zeros([1, 1, 16, 16], (Kind::Float, Device::Cpu));
    put_back(&mask, &[region], &mut sums).expect("a sum");
    assert_eq!(sums.double_value(&[0, 0, 1, 6]), 0.0, "above the region");
    assert_eq!(sums.double_value(&[0, 0, 4, 12]), 0.0, "right of it");
    for column in 5..11 {
        let mean = 4.0 * f64::from(column as u32) + 1.5;
        let found = sums.double_value(&[0, 0, 4, column]);
        assert!(
            (found - mean).abs() < 0.5,
            "column {column}: {found}, not {mean}"
        );
    }
}

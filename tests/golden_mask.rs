//! Mask → binary mask → component → box against the authors' functions, on 201 masks. Origin of all
//! numbers: `data/golden/README.md`.

use casm::localizer::LocalizeOptions;
use casm::mask::{Binarization, BinarizationRule, BinaryMask, BoundingBox, Mask};
use casm::network::Upsample;
use casm::{Geometry, Localization, Resize};
use casm_tests::golden::{self, InclusiveBox};
use serde::Deserialize;

/// What `masks.json` says of one mask.
#[derive(Deserialize)]
struct Expected {
    name: String,
    avg_f64: f64,
    ones: usize,
    /// False where the authors' f32 average, which is off by up to 2.9e-4, changes the binary mask.
    binary_same_with_f64_mean: bool,
    eq9_mean_threshold_ones: usize,
    components: usize,
    #[serde(default)]
    largest_area: usize,
    #[serde(default)]
    tied: usize,
    first_pixel_rc: Option<[usize; 2]>,
    #[serde(rename = "box")]
    bounding_box: Option<InclusiveBox>,
}

fn cases() -> Vec<(Expected, Mask)> {
    let expected: Vec<Expected> = golden::json("masks.json");
    let masks = golden::masks();
    assert_eq!((expected.len(), masks.len()), (201, 201));
    expected.into_iter().zip(masks).collect()
}

/// One mask a row, a bit a pixel, most significant first.
fn packed(name: &str) -> Vec<BinaryMask> {
    let (shape, bytes) = golden::npy_u8(name);
    assert_eq!(shape, [201, 224 * 224 / 8]);
    let bits = |byte: &u8| {
        (0..8)
            .rev()
            .map(|bit| byte >> bit & 1 == 1)
            .collect::<Vec<_>>()
    };
    let unpack = |bytes: &[u8]| bytes.iter().flat_map(bits).collect();
    bytes
        .chunks_exact(shape[1])
        .map(|bytes| BinaryMask {
            width: 224,
            height: 224,
            values: unpack(bytes),
        })
        .collect()
}

/// Within 1e-12: the reference is NumPy's f64 mean.
#[test]
fn means_are_those_of_exact_arithmetic() {
    for (expected, mask) in cases() {
        let mean = mask.mean();
        assert!(
            (mean - expected.avg_f64).abs() < 1e-12,
            "{}: {mean}",
            expected.name
        );
    }
}

/// Every bit, but for the one mask where the authors' inexact mean shifts the threshold.
#[test]
fn binary_masks_equal_those_of_the_authors() {
    let packed = packed("masks_binary_packed.npy");
    let mut compared = 0;
    for ((expected, mask), theirs) in cases().iter().zip(&packed) {
        if expected.binary_same_with_f64_mean {
            let ours = mask.binarize(&Binarization::default());
            assert!(ours == *theirs, "{}", expected.name);
            assert_eq!(ours.area(), expected.ones, "{}", expected.name);
            compared += 1;
        }
    }
    assert_eq!(compared, 200);
}

/// The authors' definition with the exact mean: k = 1 + ⌊50175 (1 - mean) + ½⌋, here by sorting.
#[test]
fn where_the_mean_decides_the_exact_one_is_used() {
    let (_, mask) = cases()
        .into_iter()
        .find(|(e, _)| !e.binary_same_with_f64_mean)
        .unwrap();
    let mut sorted = mask.values.clone();
    sorted.sort_by(f32::total_cmp);
    let threshold = sorted[(50_175.0 * (1.0 - mask.mean()) + 0.5) as usize];
    let above: Vec<bool> = mask.values.iter().map(|&value| value > threshold).collect();
    assert!(mask.binarize(&Binarization::default()).values == above);
}

/// Every bit; the authors' largest component is SciPy's first of the largest.
#[test]
fn largest_components_and_boxes_equal_those_of_the_authors() {
    // From their binary masks, so that the mask `steps` counts too.
    let binary_masks = packed("masks_binary_packed.npy");
    let largest = packed("masks_largest_packed.npy");
    for (((expected, _), binary_mask), largest) in cases().iter().zip(&binary_masks).zip(&largest) {
        let name = &expected.name;
        let component = binary_mask.largest_component();
        let bounding_box = component.as_ref().map(|component| component.bounding_box);
        let theirs = expected.bounding_box.map(BoundingBox::from);
        assert_eq!(bounding_box, theirs, "{name}");
        let Some(component) = component else {
            assert_eq!(largest.area(), 0, "{name}");
            continue;
        };
        assert!(component.pixels == *largest, "{name}");
        assert_eq!(component.area, expected.largest_area, "{name}");
        let first = component.pixels.values.iter().position(|&inside| inside);
        let first = first.map(|pixel| [pixel / 224, pixel % 224]);
        assert_eq!(first, expected.first_pixel_rc, "{name}");
    }
}

/// All stages after the network in one call. The confidence, which is ours, is recomputed from the
/// authors' component: 1e-9 is the order of summation.
#[test]
fn localizations_hold_the_authors_box_and_its_mean() {
    const PIXELS: f64 = 224.0 * 224.0;
    let geometry = Geometry::new(Resize::Stretch, 224, 224, 224);
    let localize = |mask: &Mask, min_area| {
        let options = LocalizeOptions {
            resize: Resize::Stretch,
            binarization: Binarization::default(),
            min_area,
            max_objects: 1,
        };
        Localization::from_mask(mask.clone(), &[], &geometry, &options)
    };
    let largest = packed("masks_largest_packed.npy");
    for ((expected, mask), largest) in cases().iter().zip(&largest) {
        let name = &expected.name;
        if !expected.binary_same_with_f64_mean {
            continue;
        }
        let found = localize(mask, 0.0);
        assert!((found.mask_mean - expected.avg_f64).abs() < 1e-12, "{name}");
        let theirs = expected.bounding_box.map(BoundingBox::from);
        assert_eq!(found.bounding_box(), theirs, "{name}");
        assert_eq!(found.top_class, None, "{name}: there were no logits");
        let pairs = mask.values.iter().zip(&largest.values);
        let inside = pairs.filter_map(|(&value, &inside)| inside.then_some(f64::from(value)));
        let mean = inside.sum::<f64>() / expected.largest_area.max(1) as f64;
        assert!((found.confidence() - mean).abs() < 1e-9, "{name}: {mean}");

        // Half a pixel on either side of the object's area, so that no rounding decides.
        let area = expected.largest_area as f64;
        let enough = localize(mask, (area - 0.5) / PIXELS);
        assert_eq!(enough.bounding_box(), theirs, "{name}");
        let none = localize(mask, (area + 0.5) / PIXELS);
        assert_eq!(
            (none.bounding_box(), none.confidence()),
            (None, 0.0),
            "{name}"
        );
    }
}

/// By hand: e³ / (e + e² + e³), of logits that differ by 1000 as well, where no exponential fits.
#[test]
fn the_class_is_that_of_the_largest_logit_with_its_softmax() {
    let top_class = |logits: &[f32]| {
        let options = LocalizeOptions {
            resize: Resize::Stretch,
            binarization: Binarization::default(),
            min_area: 0.0,
            max_objects: 1,
        };
        let geometry = Geometry::new(Resize::Stretch, 1, 1, 1);
        let found = Localization::from_mask(Mask::default(), logits, &geometry, &options);
        found.top_class.expect("there are logits")
    };
    let (class, probability) = top_class(&[2.0, 1.0, 3.0]);
    assert_eq!(class, 2);
    assert!((probability - 0.665_241).abs() < 1e-6, "{probability}");
    assert_eq!(top_class(&[-500.0, 500.0]), (1, 1.0));
}

#[test]
fn components_and_ties_are_as_many_as_scipy_finds() {
    let mut ties = 0;
    for ((expected, _), binary_mask) in cases().iter().zip(packed("masks_binary_packed.npy")) {
        let areas = binary_mask.component_areas();
        assert_eq!(areas.len(), expected.components, "{}", expected.name);
        let tied = areas
            .iter()
            .filter(|&&area| area == expected.largest_area)
            .count();
        assert_eq!(tied, expected.tied, "{}", expected.name);
        ties += usize::from(tied > 1);
    }
    assert_eq!(ties, 12, "cases in which the first of several must win");
}

#[test]
fn equation_9_to_the_letter_marks_as_many_pixels_as_the_reference() {
    let rule = Binarization {
        rule: BinarizationRule::Mean,
        ..Binarization::default()
    };
    for (expected, mask) in cases() {
        let ones = mask.binarize(&rule).area();
        assert_eq!(ones, expected.eq9_mean_threshold_ones, "{}", expected.name);
    }
}

/// PyTorch's `interpolate`; within 1e-6, a few roundings of values below 1. The authors' decoder
/// enlarges after the sigmoid, so its coarse mask is all that is needed.
#[test]
fn bilinear_upsampling_is_that_of_pytorch() {
    let (shape, values) = golden::npy_f32("forward_mask56_f32.npy");
    assert_eq!(shape, [2, 56, 56]);
    let coarse = Mask {
        width: 56,
        height: 56,
        values: values[..56 * 56].to_vec(),
    };
    let fine = coarse.upsample(4, Upsample::Bilinear);
    let (shape, expected) = golden::npy_f32("forward_mask224_bilinear_f32_img0.npy");
    assert_eq!(shape, [fine.height, fine.width]);
    let pairs = fine.values.iter().zip(&expected);
    let worst = pairs.map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
    assert!(worst < 1e-6, "{worst}");
}

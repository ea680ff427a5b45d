//! Geometry and pixels of the network's input against the authors' transforms (torchvision on
//! Pillow images), whose results lie in `tests/data/golden`.

use casm::frame::{ColorSpace, Frame, PixelFormat, Plane};
use casm::geometry::{Geometry, Resize};
use casm::input::InputBuilder;
use casm_tests::golden::{json, npy_u8, rule};
use casm_training::picture::{self, Region};
use image::RgbImage;
use serde::Deserialize;

/// Side of the input in all of these files.
const SIZE: usize = 224;

/// A line of `resize_geometry.json`.
#[derive(Deserialize)]
struct GeometryCase {
    width: u32,
    height: u32,
    resize_224: (u32, u32),
    crop_224: (u32, u32),
    resize_256: (u32, u32),
    crop_256: (u32, u32),
}

/// The part of `preprocess.json` that describes the pictures.
#[derive(Deserialize)]
struct Preprocess {
    cases: Vec<PreprocessCase>,
}

#[derive(Deserialize)]
struct PreprocessCase {
    tag: String,
    width: usize,
    height: usize,
    policy: String,
    src_first8: [u8; 8],
    src_sum: u64,
    out_sum: u64,
}

/// A picture of the golden files, `[height, width, 3]`, by the rule of their README.
fn picture(tag: &str, width: usize, height: usize) -> Vec<u8> {
    let (block, fine) = (
        format!("golden.pre.block.{tag}"),
        format!("golden.pre.fine.{tag}"),
    );
    let sample = |channel: usize, y: usize, x: usize| {
        let coarse = (channel * 64 + (y / 16) % 64) * 64 + (x / 16) % 64;
        let coarse = u32::from(rule::u8(&block, coarse as u64));
        let fine = u32::from(rule::u8(&fine, ((channel * height + y) * width + x) as u64));
        ((3 * coarse + fine) >> 2) as u8
    };
    let rows = (0..height).flat_map(|y| (0..width).map(move |x| (y, x)));
    rows.flat_map(|(y, x)| [sample(0, y, x), sample(1, y, x), sample(2, y, x)])
        .collect()
}

/// How the authors lay a picture of this size onto 224x224, by the name of their transform.
fn geometry(policy: &str, width: usize, height: usize) -> Geometry {
    let (width, height) = (width as u32, height as u32);
    match policy {
        "resize224_crop" => Geometry::new(Resize::Crop, width, height, SIZE as u32),
        "break_ratio" => Geometry::new(Resize::Stretch, width, height, SIZE as u32),
        // The transform of the training script: short side to 256, then the centre.
        "resize256_crop" => {
            let whole = Geometry::new(Resize::Crop, width, height, 256);
            let centre = |size: u32| (f64::from(size - SIZE as u32) / 2.0).round_ties_even() as u32;
            let offset = (centre(whole.resized.0), centre(whole.resized.1));
            Geometry {
                input_size: SIZE as u32,
                offset,
                ..whole
            }
        }
        _ => panic!("preprocess.json has an unknown policy {policy}"),
    }
}

/// Largest difference and sum of the built pixels, against golden pixels `[3, 224, 224]`.
fn compare(pixels: &[u8], golden_name: &str) -> (u8, u64) {
    let (shape, golden) = npy_u8(golden_name);
    assert_eq!(shape, [3, SIZE, SIZE], "{golden_name}");
    assert_eq!(pixels.len(), golden.len());
    let (mut largest, mut other) = (0, 0);
    for (index, pixel) in pixels.chunks_exact(3).enumerate() {
        for (channel, value) in pixel.iter().enumerate() {
            let off = value.abs_diff(golden[channel * SIZE * SIZE + index]);
            largest = largest.max(off);
            other += u32::from(off > 0);
        }
    }
    let share = 100.0 * f64::from(other) / golden.len() as f64;
    println!("{golden_name}: {share:.1} % of the values differ, by {largest} at most");
    (largest, pixels.iter().map(|&value| u64::from(value)).sum())
}

#[test]
fn sizes_and_crops_are_the_authors() {
    let cases: Vec<GeometryCase> = json("resize_geometry.json");
    assert_eq!(cases.len(), 120);
    for case in cases {
        let of = |size| Geometry::new(Resize::Crop, case.width, case.height, size);
        let place = format!("{}x{}", case.width, case.height);
        assert_eq!(of(224).resized, case.resize_224, "{place}");
        assert_eq!(of(224).offset, case.crop_224, "{place}");
        assert_eq!(of(256).resized, case.resize_256, "{place}");
        // `crop_256` is the 224 crop of the picture resized to 256.
        let laid = geometry("resize256_crop", case.width as usize, case.height as usize);
        assert_eq!(laid.offset, case.crop_256, "{place}");
    }
}

#[test]
fn pixels_are_the_authors_within_one_level() {
    let preprocess: Preprocess = json("preprocess.json");
    assert_eq!(preprocess.cases.len(), 4);
    let (mut input, mut pixels) = (InputBuilder::default(), Vec::new());
    for PreprocessCase {
        tag,
        width,
        height,
        policy,
        src_first8,
        src_sum,
        out_sum,
    } in preprocess.cases
    {
        let source = picture(&tag, width, height);
        let red = source.iter().step_by(3).copied();
        assert!(red.take(8).eq(src_first8), "{tag}: the rule is wrong");
        assert_eq!(
            source.iter().map(|&value| u64::from(value)).sum::<u64>(),
            src_sum,
            "{tag}"
        );

        let planes = vec![Plane {
            data: &source,
            stride: 3 * width,
        }];
        let (frame_width, frame_height) = (width as u32, height as u32);
        let color = ColorSpace::default();
        let frame = Frame::new(PixelFormat::Rgb, frame_width, frame_height, color, planes).unwrap();
        input
            .build(&frame, &geometry(&policy, width, height), &mut pixels)
            .unwrap();

        // Pillow resizes rows first and rounds in between, we columns first: 1 level. Such errors
        // average out, so that the sums agree to a hundredth of a level a value.
        let (largest, sum) = compare(&pixels, &format!("pre_{tag}_out_u8.npy"));
        assert!(largest <= 1, "{tag}: off by {largest}");
        assert!(
            sum.abs_diff(out_sum) <= pixels.len() as u64 / 100,
            "{tag}: {sum}, {out_sum}"
        );
    }
}

#[test]
fn a_part_of_a_picture_is_read_in_place() {
    // The crop of the training transform, given as a frame that begins inside of picture `a`.
    const NAME: &str = "pre_rrc_a_top21_left33_h117_w150_out_u8.npy";
    let (top, left, height, width) = (21, 33, 117, 150);
    let source = picture("a", 300, 200);
    let planes = vec![Plane {
        data: &source[(top * 300 + left) * 3..],
        stride: 300 * 3,
    }];
    let frame = Frame::new(
        PixelFormat::Rgb,
        width,
        height,
        ColorSpace::default(),
        planes,
    )
    .unwrap();
    let mut pixels = Vec::new();
    let geometry = Geometry::new(Resize::Stretch, width, height, SIZE as u32);
    InputBuilder::default()
        .build(&frame, &geometry, &mut pixels)
        .unwrap();
    let (largest, _) = compare(&pixels, NAME);
    assert!(largest <= 1, "off by {largest}");
}

/// That pixels are the golden ones, every one of them.
fn assert_equal(pixels: &[u8], golden_name: &str) {
    assert_eq!(compare(pixels, golden_name).0, 0, "{golden_name}");
}

#[test]
fn pixels_for_training_are_the_authors() {
    let image = |tag: &str, width: u32, height: u32| {
        let pixels = picture(tag, width as usize, height as usize);
        RgbImage::from_raw(width, height, pixels).unwrap()
    };
    let size = SIZE as u32;
    for case in json::<Preprocess>("preprocess.json").cases {
        let source = image(&case.tag, case.width as u32, case.height as u32);
        let pixels = match case.policy.as_str() {
            "resize224_crop" => picture::crop(&source, 224, size),
            "resize256_crop" => picture::crop(&source, 256, size),
            "break_ratio" => picture::stretch(&source, size),
            policy => panic!("preprocess.json has an unknown policy {policy}"),
        };
        assert_equal(&pixels, &format!("pre_{}_out_u8.npy", case.tag));
    }
    // The crop of RandomResizedCrop that the file is named after.
    let region = Region {
        x: 33,
        y: 21,
        width: 150,
        height: 117,
    };
    let pixels = picture::resize(&image("a", 300, 200), region, size, size);
    assert_equal(&pixels, "pre_rrc_a_top21_left33_h117_w150_out_u8.npy");
}

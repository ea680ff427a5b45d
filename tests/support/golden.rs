//! Reference numbers computed with the paper authors' own functions, and the rule that makes networks
//! and pictures out of hashes. Origin, formats and tolerances: `data/golden/README.md`.

use std::io::Read;
use std::path::{Path, PathBuf};

use casm::mask::{BoundingBox, Mask};
use casm::network::Upsample;
use serde::Deserialize;
use serde::de::DeserializeOwned;

/// A box of `masks.json`: first and last row and column.
#[derive(Debug, Clone, Copy, Deserialize)]
pub struct InclusiveBox {
    row_min: u32,
    row_max: u32,
    col_min: u32,
    col_max: u32,
}

impl From<InclusiveBox> for BoundingBox {
    fn from(inclusive: InclusiveBox) -> BoundingBox {
        BoundingBox {
            x: inclusive.col_min,
            y: inclusive.row_min,
            width: inclusive.col_max + 1 - inclusive.col_min,
            height: inclusive.row_max + 1 - inclusive.row_min,
        }
    }
}

/// Content of the JSON file `name`.
///
/// # Panics
/// If there is no such file or it does not hold a `T`; so do all functions here.
pub fn json<T: DeserializeOwned>(name: &str) -> T {
    serde_json::from_slice(&bytes(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

/// Shape and values, row by row, of the array `name` of bytes.
pub fn npy_u8(name: &str) -> (Vec<usize>, Vec<u8>) {
    npy(name, "|u1", u8::from_le_bytes)
}

/// Shape and values, row by row, of the array `name` of f32.
pub fn npy_f32(name: &str) -> (Vec<usize>, Vec<f32>) {
    npy(name, "<f4", f32::from_le_bytes)
}

/// Shape and values, row by row, of the array `name` of f64.
pub fn npy_f64(name: &str) -> (Vec<usize>, Vec<f64>) {
    npy(name, "<f8", f64::from_le_bytes)
}

/// The two pictures of the forward pass as `[2, 224, 224, 3]` bytes.
pub fn forward_pictures() -> Vec<u8> {
    let (shape, channels_first) = npy_u8("forward_images_u8.npy");
    assert_eq!(shape, [2, 3, 224, 224]);
    let plane = 224 * 224;
    let mut pixels = Vec::with_capacity(channels_first.len());
    for picture in channels_first.chunks_exact(3 * plane) {
        for pixel in 0..plane {
            pixels.extend([0, 1, 2].map(|channel| picture[channel * plane + pixel]));
        }
    }
    pixels
}

/// The 201 masks of `masks.json`, in its order, each `[224, 224]`.
pub fn masks() -> Vec<Mask> {
    let mut masks = Vec::new();
    for (name, factor) in [("masks56_u8.npy", 4), ("masks224_u8.npy", 1)] {
        let (shape, grey) = npy_u8(name);
        let (height, width) = (shape[1], shape[2]);
        masks.extend(grey.chunks_exact(width * height).map(|grey| {
            let values = grey.iter().map(|&grey| f32::from(grey) / 255.0).collect();
            Mask {
                width,
                height,
                values,
            }
            .upsample(factor, Upsample::Nearest)
        }));
    }
    masks
}

/// An array of SIZE-byte elements that NumPy calls `descr`.
///
/// By hand, since the crates for this format come with a grammar of Python literals, and with a C
/// compiler for its parser, to read a header that is the same in all our files but for two fields.
fn npy<T, const SIZE: usize>(
    name: &str,
    descr: &str,
    element: fn([u8; SIZE]) -> T,
) -> (Vec<usize>, Vec<T>) {
    let bytes = bytes(name);
    // Magic string, version, and the length of the header in two bytes.
    assert!(
        bytes.starts_with(b"\x93NUMPY\x01\x00"),
        "{name} is not an array"
    );
    let header_length = usize::from(u16::from_le_bytes([bytes[8], bytes[9]]));
    let (header, data) = bytes[10..].split_at(header_length);
    let header = String::from_utf8_lossy(header);
    let kind = format!("'descr': '{descr}', 'fortran_order': False, 'shape': (");
    let (_, shape) = header
        .split_once(&kind)
        .unwrap_or_else(|| panic!("{name}: {header}"));
    let (shape, _) = shape.split_once(')').expect("the shape ends");
    let shape: Vec<usize> = shape
        .split(',')
        .filter_map(|n| n.trim().parse().ok())
        .collect();
    let values: Vec<T> = data
        .as_chunks()
        .0
        .iter()
        .map(|&bytes| element(bytes))
        .collect();
    assert_eq!(
        values.len(),
        shape.iter().product::<usize>(),
        "{name}: length and shape"
    );
    (shape, values)
}

/// The file `name`, or `name.gz` unpacked.
fn bytes(name: &str) -> Vec<u8> {
    // Elsewhere for programs that were built on another machine (`make gpu-bundle`).
    let folder = match std::env::var_os("CASM_GOLDEN_DIR") {
        Some(folder) => PathBuf::from(folder),
        None => Path::new(env!("CARGO_MANIFEST_DIR")).join("data/golden"),
    };
    let path = folder.join(name);
    if path.exists() {
        return std::fs::read(&path).unwrap_or_else(|error| panic!("{name}: {error}"));
    }
    let packed = std::fs::File::open(path.with_added_extension("gz"));
    let packed = packed.unwrap_or_else(|error| panic!("{name}.gz: {error}"));
    let mut bytes = Vec::new();
    let unpacked = flate2::read::GzDecoder::new(packed).read_to_end(&mut bytes);
    unpacked.unwrap_or_else(|error| panic!("{name}.gz: {error}"));
    bytes
}

/// Numbers from a name and an index, the same on every machine: instead of weight files and pictures.
pub mod rule {
    const GOLDEN_RATIO: u64 = 0x9E37_79B9_7F4A_7C15;

    /// FNV-1a, 64 bits.
    pub fn fnv1a64(text: &str) -> u64 {
        text.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3)
        })
    }

    /// 64 random bits.
    pub fn bits(name: &str, index: u64) -> u64 {
        bits_of(fnv1a64(name), index)
    }

    /// In [0, 1), a multiple of 2⁻²⁴.
    pub fn u(name: &str, index: u64) -> f64 {
        unit(bits(name, index))
    }

    /// In [-1, 1), a multiple of 2⁻²³.
    pub fn sym(name: &str, index: u64) -> f64 {
        2.0 * u(name, index) - 1.0
    }

    /// A byte.
    pub fn u8(name: &str, index: u64) -> u8 {
        (bits(name, index) >> 56) as u8
    }

    /// Values of a network's tensor. `full_name` is `classifier.`, `decoder.` or `confuser.` and the
    /// name of the tensor in PyTorch, `shape` is PyTorch's too.
    pub fn fill(full_name: &str, shape: &[usize]) -> Vec<f32> {
        let hash = fnv1a64(full_name);
        let (offset, scale) = filling(full_name, shape);
        let value = |index| offset + scale * (2.0 * unit(bits_of(hash, index)) - 1.0);
        (0..shape.iter().product::<usize>() as u64)
            .map(|index| value(index) as f32)
            .collect()
    }

    /// Centre and half width of the interval from which a tensor is filled.
    fn filling(name: &str, shape: &[usize]) -> (f64, f64) {
        if name.ends_with(".running_mean") {
            return (0.0, 0.1);
        }
        if name.ends_with(".running_var") {
            return (1.0, 0.5);
        }
        if let &[_, inputs, height, width] = shape {
            let bound = (6.0 / (inputs * height * width) as f64).sqrt();
            let halved = name.ends_with("final.0.weight");
            return (0.0, if halved { 0.5 * bound } else { bound });
        }
        if name.ends_with("fc.weight") {
            return (0.0, 4.0 * (3.0 / 2048.0_f64).sqrt());
        }
        if name.ends_with("bn3.weight") {
            return (0.25, 0.0625);
        }
        if name.ends_with("weight") {
            return (1.0, 0.25);
        }
        if name.ends_with("bias") {
            return (0.0, 0.1);
        }
        assert!(name.ends_with(".num_batches_tracked"), "no rule for {name}");
        (0.0, 0.0)
    }

    /// SplitMix64, started at `hash` and moved on by `index` steps.
    fn bits_of(hash: u64, index: u64) -> u64 {
        let z = hash.wrapping_add(index.wrapping_add(1).wrapping_mul(GOLDEN_RATIO));
        let z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    fn unit(bits: u64) -> f64 {
        (bits >> 40) as f64 / f64::from(1 << 24)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    /// Numbers from the README of the golden files.
    #[test]
    fn the_rule_gives_the_stated_hash_and_bits() {
        let name = "classifier.conv1.weight";
        assert_eq!(rule::fnv1a64(name), 6_383_210_967_737_004_679);
        let bits = [
            8_098_983_448_728_205_008,
            3_003_398_443_427_322_469,
            8_945_056_561_518_504_728,
        ];
        assert_eq!([0, 1, 2].map(|index| rule::bits(name, index)), bits);
    }

    #[derive(Deserialize)]
    struct Check {
        shape: Vec<usize>,
        first3: Vec<f32>,
        last: f32,
        sum: f64,
    }

    /// `weights_check.json`: values exact; the order of the sum is not stated, hence 1e-9 of the sum of
    /// absolute values.
    #[test]
    fn tensors_are_filled_as_the_reference_was() {
        let checks: BTreeMap<String, Check> = json("weights_check.json");
        assert!(checks.len() > 250, "{}", checks.len());
        for (name, check) in checks {
            let values = rule::fill(&name, &check.shape);
            assert!(
                values.iter().zip(&check.first3).all(|(a, b)| a == b),
                "{name}: {:?}",
                &values[..1]
            );
            assert_eq!(values.last(), Some(&check.last), "{name}");
            let sum: f64 = values.iter().map(|&value| f64::from(value)).sum();
            let size: f64 = values.iter().map(|&value| f64::from(value).abs()).sum();
            assert!(
                (sum - check.sum).abs() <= 1e-9 * size,
                "{name}: {sum} and {}",
                check.sum
            );
        }
    }

    /// The README's rule for pictures against the stored ones, at a few places.
    #[test]
    fn pictures_are_made_as_the_reference_was() {
        let (shape, pixels) = npy_u8("forward_images_u8.npy");
        assert_eq!(shape, [2, 3, 224, 224]);
        for index in (0..pixels.len() as u64).step_by(997) {
            let (channel, y, x) = (index / (224 * 224), index / 224 % 224, index % 224);
            let block = (channel * 14 + y / 16) * 14 + x / 16;
            let block = u32::from(rule::u8("golden.image.block", block));
            let fine = u32::from(rule::u8("golden.image.fine", index));
            assert_eq!(
                u32::from(pixels[index as usize]),
                (3 * block + fine) >> 2,
                "{index}"
            );
        }
    }
}

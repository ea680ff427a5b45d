//! Bytes → the picture less its mean, as the first convolution reads it.
//!
//! On the CPU this is a loop of ours: libtorch's element-wise operations take the three numbers a channel
//! three values at a time, which is ten times as long.

use half::bf16;
use tch::{Kind, TchError, Tensor};

/// A multiple of the three channels and of a vector's width.
const BLOCK: usize = 48;

/// `[count, S, S, 3]` bytes → `[count, 3, S, S]` in the format `kind`, "channels last" in memory, on the CPU.
///
/// # Errors
/// libtorch's: no memory, bytes that are not `count` pictures.
pub fn picture(count: usize, pixels: &[u8], mean: &[f32], kind: Kind) -> Result<Tensor, TchError> {
    let side = (pixels.len() / (3 * count.max(1))).isqrt() as i64;
    let shape = [count as i64, side, side, 3];
    let values = match kind {
        Kind::Float => {
            let values = less_mean(pixels, mean, |x| x);
            Tensor::f_from_slice(&values)?.f_reshape(shape)?
        }
        Kind::BFloat16 => {
            let values: Vec<bf16> = less_mean(pixels, mean, rounded);
            // As bytes: tch takes bf16 numbers for the other kind of 16 bits.
            Tensor::f_from_data_size(bytemuck::cast_slice(&values), &shape, kind)?
        }
        _ => {
            let pixels = Tensor::f_from_slice(pixels)?.f_reshape(shape)?;
            return picture_of(&pixels, &Tensor::f_from_slice(mean)?, kind);
        }
    };
    values.f_permute([0, 3, 1, 2])
}

/// [`picture`] of bytes in a tensor, on its device; `mean` is `[3]` there.
///
/// # Errors
/// libtorch's.
pub fn picture_of(bytes: &Tensor, mean: &Tensor, kind: Kind) -> Result<Tensor, TchError> {
    let values = bytes.f_to_kind(Kind::Float)?.f_sub(mean)?;
    values.f_to_kind(kind)?.f_permute([0, 3, 1, 2])
}

fn less_mean<T>(pixels: &[u8], mean: &[f32], number: impl Fn(f32) -> T) -> Vec<T> {
    let means: [f32; BLOCK] = std::array::from_fn(|at| mean.get(at % 3).copied().unwrap_or(0.0));
    let mut values = Vec::with_capacity(pixels.len());
    let (blocks, rest) = pixels.as_chunks::<BLOCK>();
    for block in blocks {
        let pairs = block.iter().zip(&means);
        values.extend(pairs.map(|(&byte, mean)| number(f32::from(byte) - mean)));
    }
    let pairs = rest.iter().zip(&means);
    values.extend(pairs.map(|(&byte, mean)| number(f32::from(byte) - mean)));
    values
}

/// To the nearest, ties to even, without the test for NaN that would keep the loop from being vectorised.
fn rounded(x: f32) -> bf16 {
    let bits = x.to_bits();
    bf16::from_bits(((bits + 0x7fff + ((bits >> 16) & 1)) >> 16) as u16)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tensor_gives_what_bytes_give() {
        let mean = [123.675, 116.28, 103.53];
        let bytes: Vec<u8> = (0..2 * 4 * 4 * 3).map(|at| (at * 31 % 256) as u8).collect();
        let tensor = Tensor::from_slice(&bytes).reshape([2, 4, 4, 3]);
        for kind in [Kind::Float, Kind::BFloat16, Kind::Half] {
            let expected = picture(2, &bytes, &mean, kind).expect("fits");
            let found = picture_of(&tensor, &Tensor::from_slice(&mean), kind).expect("fits");
            assert_eq!(found.kind(), kind);
            assert_eq!(found.size(), [2, 3, 4, 4]);
            assert_eq!(found, expected);
            // Channels last: what lies side by side are the colours of a pixel.
            assert_eq!(found.stride(), [48, 1, 12, 3]);
        }
    }

    #[test]
    fn numbers_are_rounded_as_bf16_is() {
        let mean = [123.675, 116.28, 103.53];
        let bytes: Vec<u8> = (0..=255).flat_map(|byte| [byte; 3]).collect();
        let ours = less_mean(&bytes, &mean, rounded);
        let exact = less_mean(&bytes, &mean, |x| x);
        assert_eq!(exact.len(), 768);
        // By hand: 255 - 103.53 = 151.47.
        assert!((exact[767] - 151.47).abs() < 1e-4);
        for (ours, exact) in ours.iter().zip(&exact) {
            assert_eq!(*ours, bf16::from_f32(*exact));
        }
    }
}

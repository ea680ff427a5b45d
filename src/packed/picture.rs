//! Bytes → the picture less its mean, as the first convolution reads it.
//!
//! On the CPU this is a loop of ours: libtorch's element-wise operations take the three numbers a channel
//! three values at a time, which is ten times as long.

use tch::{Kind, TchError, Tensor};

/// A multiple of the three channels and of a vector's width.
const BLOCK: usize = 48;

/// `[count, S, S, 3]` bytes → `[count, 3, S, S]` in f32, "channels last" in memory, on the CPU. Never in 16 bits: bf16
/// has fewer steps than a byte and its mean together need.
///
/// # Errors
/// libtorch's: no memory, bytes that are not `count` pictures.
pub fn picture(count: usize, pixels: &[u8], mean: &[f32]) -> Result<Tensor, TchError> {
    let side = (pixels.len() / (3 * count.max(1))).isqrt() as i64;
    let values = Tensor::f_from_slice(&less_mean(pixels, mean))?;
    let values = values.f_reshape([count as i64, side, side, 3])?;
    values.f_permute([0, 3, 1, 2])
}

/// [`picture`] of bytes in a tensor, on its device; `mean` is `[3]` there.
///
/// # Errors
/// libtorch's.
pub fn picture_of(bytes: &Tensor, mean: &Tensor) -> Result<Tensor, TchError> {
    let values = bytes.f_to_kind(Kind::Float)?.f_sub(mean)?;
    values.f_permute([0, 3, 1, 2])
}

fn less_mean(pixels: &[u8], mean: &[f32]) -> Vec<f32> {
    let means: [f32; BLOCK] = std::array::from_fn(|at| mean.get(at % 3).copied().unwrap_or(0.0));
    let mut values = Vec::with_capacity(pixels.len());
    let (blocks, rest) = pixels.as_chunks::<BLOCK>();
    for block in blocks {
        let pairs = block.iter().zip(&means);
        values.extend(pairs.map(|(&byte, mean)| f32::from(byte) - mean));
    }
    let pairs = rest.iter().zip(&means);
    values.extend(pairs.map(|(&byte, mean)| f32::from(byte) - mean));
    values
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tensor_gives_what_bytes_give() {
        let mean = [123.675, 116.28, 103.53];
        let bytes: Vec<u8> = (0..2 * 4 * 4 * 3).map(|at| (at * 31 % 256) as u8).collect();
        let tensor = Tensor::from_slice(&bytes).reshape([2, 4, 4, 3]);
        let expected = picture(2, &bytes, &mean).expect("fits");
        let found = picture_of(&tensor, &Tensor::from_slice(&mean)).expect("fits");
        assert_eq!(found.kind(), Kind::Float);
        assert_eq!(found.size(), [2, 3, 4, 4]);
        assert_eq!(found, expected);
        // Channels last: what lies side by side are the colours of a pixel.
        assert_eq!(found.stride(), [48, 1, 12, 3]);
        // By hand: the last byte is 95 * 31 % 256 = 129, and 129 - 103.53 = 25.47.
        assert!((found.double_value(&[1, 2, 3, 3]) - 25.47).abs() < 1e-4);
    }
}

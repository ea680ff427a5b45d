//! Tensors, and the types of their elements.

use half::{bf16, f16};

/// A tensor of a foreign checkpoint, widened or rounded to `f32`, in row-major order.
#[derive(Debug, Clone, PartialEq)]
pub struct Tensor {
    /// Its sizes; empty for a scalar.
    pub shape: Vec<usize>,
    /// As many values as the sizes multiply to.
    pub values: Vec<f32>,
}

/// The type of a storage's elements.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    F32,
    F64,
    F16,
    Bf16,
    /// Integers, quantised and complex numbers: read over, since no network here has them as weights.
    Other {
        bytes: usize,
    },
}

impl Kind {
    /// By the name of PyTorch's storage class, without its module.
    pub(super) fn of_storage(class: &str) -> Option<Self> {
        Some(match class {
            "FloatStorage" => Self::F32,
            "DoubleStorage" => Self::F64,
            "HalfStorage" => Self::F16,
            "BFloat16Storage" => Self::Bf16,
            "LongStorage" | "ComplexFloatStorage" => Self::Other { bytes: 8 },
            "ComplexDoubleStorage" => Self::Other { bytes: 16 },
            "IntStorage" | "QInt32Storage" => Self::Other { bytes: 4 },
            "ShortStorage" => Self::Other { bytes: 2 },
            "CharStorage" | "ByteStorage" | "BoolStorage" | "QInt8Storage" | "QUInt8Storage"
            | "QUInt4x2Storage" | "QUInt2x4Storage" | "UntypedStorage" => Self::Other { bytes: 1 },
            _ => return None,
        })
    }

    /// Bytes of one element.
    pub(super) fn bytes(self) -> usize {
        match self {
            Self::F32 => 4,
            Self::F64 => 8,
            Self::F16 | Self::Bf16 => 2,
            Self::Other { bytes } => bytes,
        }
    }

    /// All elements of `bytes`, from little-endian, as `f32`; none for [`Kind::Other`].
    pub(super) fn decode(self, bytes: &[u8]) -> Vec<f32> {
        match self {
            Self::F32 => widen(bytes, f32::from_le_bytes),
            Self::F64 => widen(bytes, |value| f64::from_le_bytes(value) as f32),
            Self::F16 => widen(bytes, |value| f16::from_le_bytes(value).to_f32()),
            Self::Bf16 => widen(bytes, |value| bf16::from_le_bytes(value).to_f32()),
            Self::Other { .. } => Vec::new(),
        }
    }
}

fn widen<const N: usize>(bytes: &[u8], value: impl Fn([u8; N]) -> f32) -> Vec<f32> {
    bytes
        .as_chunks()
        .0
        .iter()
        .map(|&bytes| value(bytes))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_float_type_becomes_the_nearest_f32() {
        assert_eq!(Kind::F64.decode(&0.1_f64.to_le_bytes()), [0.1_f32]);
        assert_eq!(Kind::F16.decode(&f16::from_f32(0.5).to_le_bytes()), [0.5]);
        assert_eq!(
            Kind::Bf16.decode(&bf16::from_f32(-3.0).to_le_bytes()),
            [-3.0]
        );
        assert_eq!(Kind::F32.decode(&1.5_f32.to_le_bytes()), [1.5]);
    }
}

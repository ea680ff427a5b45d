//! The two inner loops of a resize: rows of bytes → one row of 15 bits, and that → resized bytes.
//!
//! Columns of bytes are added up row by row first, since whole rows fill vectors, and each row of the frame
//! is then read while it is in the cache. Both loops count in whole numbers, so that the plain and the AVX2
//! version give the same bytes.

#[cfg(target_arch = "x86_64")]
mod avx2;

use crate::frame::{Plane, YuvDecoder};
#[cfg(target_arch = "x86_64")]
use crate::vector::Avx2;

use super::filter::{ColumnFilter, WEIGHT_BITS};

/// Bits behind the point of a row between the two loops: 255 is 32,640 of 32,767.
const ROW_BITS: u32 = 7;

/// What a row must hold beyond its samples, because vectors read on with a weight of 0.
pub(super) const ROW_PADDING: usize = 64;

/// Which of the versions this machine runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kernel {
    /// Any machine's.
    Plain,
    /// With vectors of 256 bits. Only made where the CPU has them.
    #[cfg(target_arch = "x86_64")]
    Avx2(Avx2),
}

impl Default for Kernel {
    fn default() -> Kernel {
        #[cfg(target_arch = "x86_64")]
        if let Some(avx2) = Avx2::new() {
            return Kernel::Avx2(avx2);
        }
        Kernel::Plain
    }
}

impl Kernel {
    /// Weighted sum of the bytes at `from..from + sum.len()` of the rows `first..first + weights.len()`.
    ///
    /// # Panics
    /// If the plane does not hold them.
    pub(super) fn add_rows(
        self,
        plane: Plane<'_>,
        from: usize,
        (first, weights): (usize, &[i16]),
        sum: &mut [i16],
    ) {
        match self {
            Kernel::Plain => add_rows(plane, from, first, weights, sum),
            #[cfg(target_arch = "x86_64")]
            Kernel::Avx2(avx2) => avx2.add_rows(plane, from, first, weights, sum),
        }
    }

    /// Resizes a row of samples of `CHANNELS` values, of which the first is the filter's sample `start`.
    ///
    /// # Panics
    /// If `row` does not hold the filter's samples and [`ROW_PADDING`] values more.
    pub(super) fn add_columns<const CHANNELS: usize>(
        self,
        row: &[i16],
        start: usize,
        filter: &ColumnFilter,
        resized: &mut [u8],
    ) {
        match self {
            Kernel::Plain => add_columns::<CHANNELS>(row, start, filter, resized),
            #[cfg(target_arch = "x86_64")]
            Kernel::Avx2(avx2) => avx2.add_columns::<CHANNELS>(row, start, filter, resized),
        }
    }

    /// See [`YuvDecoder::row`].
    pub(super) fn decode<const LUMA: usize, const CHROMA: usize>(
        self,
        decoder: &YuvDecoder,
        yuv: [&[u8]; 3],
        pixels: &mut [u8],
    ) {
        match self {
            Kernel::Plain => decoder.row::<LUMA, CHROMA>(yuv, pixels),
            #[cfg(target_arch = "x86_64")]
            Kernel::Avx2(avx2) => avx2.decode::<LUMA, CHROMA>(decoder, yuv, pixels),
        }
    }
}

/// See [`Kernel::add_rows`].
fn add_rows(plane: Plane<'_>, from: usize, first: usize, weights: &[i16], sum: &mut [i16]) {
    // As many sums as stay in registers and the first cache.
    const BLOCK: usize = 64;
    for (block, sums) in sum.chunks_mut(BLOCK).enumerate() {
        let mut exact = [0_i32; BLOCK];
        for (row, &weight) in (first..).zip(weights) {
            let bytes = &plane.data[row * plane.stride + from + block * BLOCK..][..sums.len()];
            for (exact, &byte) in exact.iter_mut().zip(bytes) {
                *exact += i32::from(byte) * i32::from(weight);
            }
        }
        for (sum, exact) in sums.iter_mut().zip(exact) {
            *sum = row_value(exact);
        }
    }
}

/// See [`Kernel::add_columns`].
fn add_columns<const CHANNELS: usize>(
    row: &[i16],
    start: usize,
    filter: &ColumnFilter,
    resized: &mut [u8],
) {
    for (at, pixel) in resized.chunks_exact_mut(CHANNELS).enumerate() {
        let (first, weights) = filter.filter.tap(at);
        let samples = &row[(first - start) * CHANNELS..];
        let mut sums = [0_i32; CHANNELS];
        for (sample, &weight) in samples.chunks_exact(CHANNELS).zip(weights) {
            for (sum, &value) in sums.iter_mut().zip(sample) {
                *sum += i32::from(value) * i32::from(weight);
            }
        }
        for (byte, sum) in pixel.iter_mut().zip(sums) {
            *byte = byte_value(sum);
        }
    }
}

/// A sum of bytes times weights, rounded to [`ROW_BITS`] bits behind the point.
fn row_value(sum: i32) -> i16 {
    const SHIFT: u32 = WEIGHT_BITS - ROW_BITS;
    ((sum + (1 << (SHIFT - 1))) >> SHIFT) as i16
}

/// A sum of row values times weights, rounded to a byte.
fn byte_value(sum: i32) -> u8 {
    const SHIFT: u32 = WEIGHT_BITS + ROW_BITS;
    ((sum + (1 << (SHIFT - 1))) >> SHIFT) as u8
}

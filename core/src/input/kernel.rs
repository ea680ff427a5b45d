//! The two inner loops of a resize: rows of bytes → one row, and that → the resized row.
//!
//! Columns of bytes are added up row by row first, since whole rows fill vectors, and each row of the frame
//! is then read while it is in the cache. Both loops round to whole levels, halves upwards, as Pillow does: on small enlargements halves
//! are frequent, and results without the first rounding are a sixtieth of a level darker on average. Both count in whole numbers, so
//! that the plain and the AVX2 version give the same bytes.

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;

use crate::frame::{Plane, YuvDecoder};
#[cfg(target_arch = "x86_64")]
use crate::vector::{Avx2, Avx512};

use super::filter::{ColumnFilter, WEIGHT_BITS};

/// Which of the versions this machine runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kernel {
    /// Any machine's.
    Plain,
    /// With vectors of 256 bits. Only made where the CPU has them.
    #[cfg(target_arch = "x86_64")]
    Avx2(Avx2),
    /// The same, and the first loop with vectors of 512 bits.
    #[cfg(target_arch = "x86_64")]
    Avx512(Avx2, Avx512),
}

impl Default for Kernel {
    fn default() -> Kernel {
        #[cfg(target_arch = "x86_64")]
        if let Some(avx2) = Avx2::new() {
            return match Avx512::new() {
                Some(avx512) => Kernel::Avx512(avx2, avx512),
                None => Kernel::Avx2(avx2),
            };
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
            #[cfg(target_arch = "x86_64")]
            Kernel::Avx512(_, avx512) => avx512.add_rows(plane, from, first, weights, sum),
        }
    }

    /// Resizes a row of samples of `CHANNELS` values, of which the first is the filter's sample `start`.
    ///
    /// # Panics
    /// If `row` is shorter than [`ColumnFilter::row_len`].
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
            Kernel::Avx2(avx2) | Kernel::Avx512(avx2, _) => {
                avx2.add_columns::<CHANNELS>(row, start, filter, resized)
            }
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
            Kernel::Avx2(avx2) | Kernel::Avx512(avx2, _) => {
                avx2.decode::<LUMA, CHROMA>(decoder, yuv, pixels)
            }
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
            *sum = rounded(exact);
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
            *byte = rounded(sum) as u8;
        }
    }
}

/// A sum of bytes times weights, rounded to a byte's value, halves upwards.
fn rounded(sum: i32) -> i16 {
    ((sum + (1 << (WEIGHT_BITS - 1))) >> WEIGHT_BITS) as i16
}

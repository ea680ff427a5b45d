//! The inner loops of a resize: rows of bytes → one row, and [`ROWS`] of those → resized rows, channel by channel; and
//! what makes RGB pixels of channels.
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

/// Rows of the input that are made together: a vector of 256 bits holds a pair of samples of each.
pub(super) const ROWS: usize = 8;

/// Pixels of a row that are converted together; channels are as long as a multiple of it.
pub(super) const BLOCK: usize = 32;

/// A pair of neighbouring samples of every one of [`ROWS`] rows.
#[derive(Debug, Clone, Copy, Default)]
#[repr(align(32))]
pub(super) struct Pair(#[cfg_attr(not(target_arch = "x86_64"), allow(dead_code))] [[i16; 2]; ROWS]);

/// [`ROWS`] rows of a plane, resized in height alone, from some sample on.
#[derive(Debug, Clone, Copy)]
pub(super) struct Sums<'a> {
    pub(super) values: &'a [i16],
    /// Values from one row to the next.
    pub(super) stride: usize,
}

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
            Kernel::Avx512(avx2, avx512) => {
                if !avx512.add_rows(plane, from, first, weights, sum) {
                    avx2.add_rows(plane, from, first, weights, sum);
                }
            }
        }
    }

    /// Values of a row that [`add_columns`](Self::add_columns) reads, of samples of so many bytes: more than the frame may have, of
    /// any value.
    pub(super) fn row_len(filter: &ColumnFilter, sample_bytes: usize) -> usize {
        // Of three bytes, vectors read four values at a time and use three.
        filter.pairs().next_multiple_of(4) * 2 * sample_bytes + 2
    }

    /// Resizes rows of samples of `BYTES` values, which begin with the filter's first sample; `channels` of each become a plane of
    /// rows as long as [`row_bytes`]. `pairs` is memory to work in.
    ///
    /// # Panics
    /// If the last of `rows` is shorter than [`row_len`](Self::row_len), which not every version reads to its end, or `resized` than
    /// [`ROWS`] rows.
    #[cfg_attr(not(target_arch = "x86_64"), allow(unused_variables))]
    pub(super) fn add_columns<const BYTES: usize>(
        self,
        rows: Sums<'_>,
        filter: &ColumnFilter,
        channels: &[usize],
        pairs: &mut Vec<Pair>,
        resized: &mut [Vec<u8>],
    ) {
        match self {
            Kernel::Plain => add_columns::<BYTES>(rows, filter, channels, resized),
            #[cfg(target_arch = "x86_64")]
            Kernel::Avx2(avx2) | Kernel::Avx512(avx2, _) => {
                avx2.add_columns::<BYTES>(rows, filter, channels, pairs, resized)
            }
        }
    }

    /// Y, U, V → red, green, blue in their place; as long as a multiple of [`BLOCK`].
    pub(super) fn decode(self, decoder: &YuvDecoder, [y, u, v]: [&mut [u8]; 3]) {
        match self {
            Kernel::Plain => decode(decoder, y, u, v),
            #[cfg(target_arch = "x86_64")]
            Kernel::Avx2(avx2) | Kernel::Avx512(avx2, _) => avx2.decode(decoder, y, u, v),
        }
    }

    /// Red, green, blue → pixels `[n, 3]`; the colours are as long as a multiple of [`BLOCK`], and at least n.
    pub(super) fn interleave(self, [red, green, blue]: [&[u8]; 3], pixels: &mut [u8]) {
        match self {
            Kernel::Plain => interleave(red, green, blue, pixels),
            #[cfg(target_arch = "x86_64")]
            Kernel::Avx2(avx2) | Kernel::Avx512(avx2, _) => {
                avx2.interleave(red, green, blue, pixels);
            }
        }
    }
}

/// Bytes from one resized row to the next, of so many samples.
pub(super) fn row_bytes(samples: usize) -> usize {
    samples.next_multiple_of(BLOCK)
}

/// See [`Kernel::add_rows`].
fn add_rows(plane: Plane<'_>, from: usize, first: usize, weights: &[i16], sum: &mut [i16]) {
    // As many sums as stay in registers and the first cache.
    const SUMS: usize = 64;
    for (block, sums) in sum.chunks_mut(SUMS).enumerate() {
        let mut exact = [0_i32; SUMS];
        for (row, &weight) in (first..).zip(weights) {
            let bytes = &plane.data[row * plane.stride + from + block * SUMS..][..sums.len()];
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
fn add_columns<const BYTES: usize>(
    rows: Sums<'_>,
    filter: &ColumnFilter,
    channels: &[usize],
    resized: &mut [Vec<u8>],
) {
    let rows = rows.values.chunks(rows.stride).take(ROWS);
    let filter = &filter.filter;
    let (start, _) = filter.extent();
    for (&channel, resized) in channels.iter().zip(resized) {
        let resized = resized.chunks_exact_mut(row_bytes(filter.len()));
        for (row, resized) in rows.clone().zip(resized) {
            for (at, byte) in resized[..filter.len()].iter_mut().enumerate() {
                let (first, weights) = filter.tap(at);
                let samples = row[(first - start) * BYTES..].chunks_exact(BYTES);
                let products = samples.zip(weights);
                let products = products
                    .map(|(sample, &weight)| i32::from(sample[channel]) * i32::from(weight));
                *byte = rounded(products.sum()) as u8;
            }
        }
    }
}

/// See [`Kernel::decode`].
#[inline(always)]
fn decode(decoder: &YuvDecoder, y: &mut [u8], u: &mut [u8], v: &mut [u8]) {
    let chroma = u.as_chunks_mut::<BLOCK>().0.iter_mut();
    let chroma = chroma.zip(v.as_chunks_mut::<BLOCK>().0);
    for (y, (u, v)) in y.as_chunks_mut::<BLOCK>().0.iter_mut().zip(chroma) {
        for at in 0..BLOCK {
            [y[at], u[at], v[at]] = decoder.rgb(y[at], u[at], v[at]);
        }
    }
}

/// See [`Kernel::interleave`].
fn interleave(red: &[u8], green: &[u8], blue: &[u8], pixels: &mut [u8]) {
    let colours = red.iter().zip(green).zip(blue);
    for (pixel, ((&red, &green), &blue)) in pixels.as_chunks_mut::<3>().0.iter_mut().zip(colours) {
        *pixel = [red, green, blue];
    }
}

/// A sum of bytes times weights, rounded to a byte's value, halves upwards.
fn rounded(sum: i32) -> i16 {
    ((sum + (1 << (WEIGHT_BITS - 1))) >> WEIGHT_BITS) as i16
}

//! The same loops with vectors of 256 bits.

#![allow(unsafe_code)]

mod columns;

use std::arch::x86_64::*;

use crate::frame::{Plane, YuvDecoder};
use crate::vector::{Avx2, INTERLEAVED};

use super::super::filter::WEIGHT_BITS;

impl Avx2 {
    /// See [`super::Kernel::add_rows`].
    pub(super) fn add_rows(
        self,
        plane: Plane<'_>,
        from: usize,
        first: usize,
        weights: &[i16],
        sum: &mut [i16],
    ) {
        if sum.len() < BLOCK {
            return super::add_rows(plane, from, first, weights, sum);
        }
        // SAFETY: `self` proves that the CPU has AVX2.
        unsafe { add_rows(plane, from, first, weights, sum) }
    }

    /// See [`super::Kernel::decode`].
    pub(super) fn decode(self, decoder: &YuvDecoder, y: &mut [u8], u: &mut [u8], v: &mut [u8]) {
        // SAFETY: as above.
        unsafe { decode(decoder, y, u, v) }
    }

    /// See [`super::Kernel::interleave`].
    pub(super) fn interleave(self, red: &[u8], green: &[u8], blue: &[u8], pixels: &mut [u8]) {
        // SAFETY: as above.
        unsafe { interleave(red, green, blue, pixels) }
    }
}

/// Bytes of a row that are added up at once.
const BLOCK: usize = 64;

/// `sum` must hold a whole block.
#[target_feature(enable = "avx2")]
fn add_rows(plane: Plane<'_>, from: usize, first: usize, weights: &[i16], sum: &mut [i16]) {
    // Checked here for all, and not in the loops below.
    let start = first * plane.stride + from;
    let further = weights.len().saturating_sub(1);
    let further = plane.stride.checked_mul(further).expect("rows in memory");
    let rows = &plane.data[start..][..further + sum.len()];
    let last = sum.len() - BLOCK;
    let zero = _mm256_setzero_si256();
    let half = _mm256_set1_epi32(1 << (WEIGHT_BITS - 1));
    let (pairs, single) = weights.as_chunks::<2>();
    // The last block ends with the row; what it shares with the one before is computed twice.
    for at in (0..last).step_by(BLOCK).chain([last]) {
        let mut sums = [half; 8];
        let mut row = rows[at..].as_ptr();
        fetch_ahead(plane, start + at, weights.len(), BLOCK);
        for &[upper, lower] in pairs {
            let weights = _mm256_set1_epi32(i32::from(lower) << 16 | i32::from(upper as u16));
            // SAFETY: `rows` goes from the first row to a whole block after `last` of the last one, and there are as many
            // rows as weights.
            let (upper, lower) = unsafe { (load(row), load(row.add(plane.stride))) };
            add_products(&mut sums, upper, lower, weights);
            row = row.wrapping_add(2 * plane.stride);
        }
        if let [weight] = single {
            // SAFETY: as above.
            let upper = unsafe { load(row) };
            let weights = _mm256_set1_epi32(i32::from(*weight));
            add_products(&mut sums, upper, [zero; 2], weights);
        }
        store(sums, &mut sum[at..at + BLOCK]);
    }
}

/// Adds bytes of two rows times their weights, in the order in which [`store`] expects them.
#[inline]
#[target_feature(enable = "avx2")]
fn add_products(
    sums: &mut [__m256i; 8],
    upper: [__m256i; 2],
    lower: [__m256i; 2],
    weights: __m256i,
) {
    let zero = _mm256_setzero_si256();
    for half in 0..2 {
        let low = _mm256_unpacklo_epi8(upper[half], lower[half]);
        let high = _mm256_unpackhi_epi8(upper[half], lower[half]);
        let words = [
            _mm256_unpacklo_epi8(low, zero),
            _mm256_unpackhi_epi8(low, zero),
            _mm256_unpacklo_epi8(high, zero),
            _mm256_unpackhi_epi8(high, zero),
        ];
        for (sum, words) in sums[4 * half..].iter_mut().zip(words) {
            *sum = _mm256_add_epi32(*sum, _mm256_madd_epi16(words, weights));
        }
    }
}

/// Sums as levels, in the order of the bytes.
#[inline]
#[target_feature(enable = "avx2")]
fn store(sums: [__m256i; 8], target: &mut [i16]) {
    let mut levels = sums;
    for level in &mut levels {
        *level = _mm256_srai_epi32::<{ WEIGHT_BITS as i32 }>(*level);
    }
    let targets = target.as_chunks_mut::<32>().0;
    for (four, target) in levels.as_chunks::<4>().0.iter().zip(targets) {
        // Unpacking has mixed the halves of the vectors: 0-7 and 16-23 here, 8-15 and 24-31 there.
        let (low, high) = (
            _mm256_packs_epi32(four[0], four[1]),
            _mm256_packs_epi32(four[2], four[3]),
        );
        let ordered = [
            _mm256_permute2x128_si256::<0x20>(low, high),
            _mm256_permute2x128_si256::<0x31>(low, high),
        ];
        for (target, values) in target.as_chunks_mut::<16>().0.iter_mut().zip(ordered) {
            // SAFETY: the target is an array of 256 bits, and need not be aligned.
            unsafe { _mm256_storeu_si256(target.as_mut_ptr().cast(), values) };
        }
    }
}

/// The plain loop, which the compiler turns into vectors where it may.
#[target_feature(enable = "avx2")]
fn decode(decoder: &YuvDecoder, y: &mut [u8], u: &mut [u8], v: &mut [u8]) {
    super::decode(decoder, y, u, v);
}

/// Sixteen pixels at a time, which the compiler does not find.
#[target_feature(enable = "avx2")]
fn interleave(red: &[u8], green: &[u8], blue: &[u8], pixels: &mut [u8]) {
    const PIXELS: usize = 16;
    let colours = red.as_chunks::<PIXELS>().0.iter();
    let colours = colours.zip(green.as_chunks::<PIXELS>().0);
    let colours = colours.zip(blue.as_chunks::<PIXELS>().0);
    let whole = pixels.len() / (3 * PIXELS);
    let (pixels, rest) = pixels.as_chunks_mut::<{ 3 * PIXELS }>();
    for (pixels, ((red, green), blue)) in pixels.iter_mut().zip(colours) {
        let [red, green, blue] = [vector(red), vector(green), vector(blue)];
        for (third, places) in pixels
            .as_chunks_mut::<PIXELS>()
            .0
            .iter_mut()
            .zip(&INTERLEAVED)
        {
            let all = _mm_or_si128(
                _mm_or_si128(
                    _mm_shuffle_epi8(red, vector(&places[0])),
                    _mm_shuffle_epi8(green, vector(&places[1])),
                ),
                _mm_shuffle_epi8(blue, vector(&places[2])),
            );
            // SAFETY: the target is an array of 128 bits, and need not be aligned.
            unsafe { _mm_storeu_si128(third.as_mut_ptr().cast(), all) };
        }
    }
    let begin = whole * PIXELS;
    super::interleave(&red[begin..], &green[begin..], &blue[begin..], rest);
}

#[inline]
#[target_feature(enable = "avx2")]
fn vector(bytes: &[u8; 16]) -> __m128i {
    // SAFETY: an array of 128 bits; need not be aligned.
    unsafe { _mm_loadu_si128(bytes.as_ptr().cast()) }
}

/// Asks for `bytes` at `offset` of the rows that the next row of the input begins with: `taps` rows overlap by half.
///
/// The CPU itself looks ahead along rows and within a page of memory, which a frame's rows leave soon.
#[inline(always)]
pub(super) fn fetch_ahead(plane: Plane<'_>, offset: usize, taps: usize, bytes: usize) {
    let rows = taps..taps + taps.div_ceil(2);
    let end = rows.end.saturating_mul(plane.stride).saturating_add(offset);
    if end > plane.data.len() {
        return;
    }
    for row in rows {
        for line in (0..bytes).step_by(64) {
            let place = offset + row * plane.stride + line;
            let byte = plane.data.as_ptr().wrapping_add(place);
            // SAFETY: a hint, which is no access.
            unsafe { _mm_prefetch::<_MM_HINT_T0>(byte.cast()) };
        }
    }
}

/// A block.
///
/// # Safety
/// There must be one.
#[inline]
#[target_feature(enable = "avx2")]
unsafe fn load(block: *const u8) -> [__m256i; 2] {
    // SAFETY: twice 256 bits; need not be aligned.
    unsafe {
        [
            _mm256_loadu_si256(block.cast()),
            _mm256_loadu_si256(block.add(BLOCK / 2).cast()),
        ]
    }
}

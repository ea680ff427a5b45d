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
    let last = sum.len() - BLOCK;
    let blocks = (0..last).step_by(BLOCK);
    // The last block ends with the row; what it shares with the one before is computed twice.
    for at in blocks.chain([last]) {
        let mut sums = [_mm256_setzero_si256(); 8];
        let mut offset = first * plane.stride + from + at;
        fetch_ahead(plane, offset, weights.len(), BLOCK);
        for pair in weights.chunks(2) {
            // An odd last row is added to itself with a weight of 0.
            let (second, next) = match pair {
                [_, second] => (*second, offset + plane.stride),
                _ => (0, offset),
            };
            let pair_weights = i32::from(second) << 16 | i32::from(pair[0]);
            let pair_weights = _mm256_set1_epi32(pair_weights);
            let upper: &[u8; BLOCK] = chunk(&plane.data[offset..]);
            let lower: &[u8; BLOCK] = chunk(&plane.data[next..]);
            for half in 0..2 {
                let (upper, lower) = (bytes(upper, half), bytes(lower, half));
                let zero = _mm256_setzero_si256();
                let low = _mm256_unpacklo_epi8(upper, lower);
                let high = _mm256_unpackhi_epi8(upper, lower);
                let words = [
                    _mm256_unpacklo_epi8(low, zero),
                    _mm256_unpackhi_epi8(low, zero),
                    _mm256_unpacklo_epi8(high, zero),
                    _mm256_unpackhi_epi8(high, zero),
                ];
                for (sum, words) in sums[4 * half..].iter_mut().zip(words) {
                    *sum = _mm256_add_epi32(*sum, _mm256_madd_epi16(words, pair_weights));
                }
            }
            offset += 2 * plane.stride;
        }
        const SHIFT: i32 = WEIGHT_BITS as i32;
        let half = _mm256_set1_epi32(1 << (SHIFT - 1));
        let rounded = sums.map(|sum| _mm256_srai_epi32::<SHIFT>(_mm256_add_epi32(sum, half)));
        for (place, four) in rounded.as_chunks::<4>().0.iter().enumerate() {
            // Unpacking has mixed the halves of the vectors: 0-7 and 16-23 here, 8-15 and 24-31 there.
            let (low, high) = (
                _mm256_packs_epi32(four[0], four[1]),
                _mm256_packs_epi32(four[2], four[3]),
            );
            let ordered = [
                _mm256_permute2x128_si256::<0x20>(low, high),
                _mm256_permute2x128_si256::<0x31>(low, high),
            ];
            let target = &mut sum[at + 32 * place..][..32];
            for (target, values) in target.as_chunks_mut::<16>().0.iter_mut().zip(ordered) {
                // SAFETY: the target is an array of 256 bits, and need not be aligned.
                unsafe { _mm256_storeu_si256(target.as_mut_ptr().cast(), values) };
            }
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
    if offset + rows.end * plane.stride > plane.data.len() {
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

/// The first `SIZE` values.
#[inline(always)]
pub(super) fn chunk<T, const SIZE: usize>(values: &[T]) -> &[T; SIZE] {
    values
        .first_chunk()
        .expect("rows are as long as was checked")
}

/// Half a block.
#[inline]
#[target_feature(enable = "avx2")]
fn bytes(block: &[u8; BLOCK], half: usize) -> __m256i {
    let half: &[u8; 32] = chunk(&block[32 * half..]);
    // SAFETY: an array of 256 bits; need not be aligned.
    unsafe { _mm256_loadu_si256(half.as_ptr().cast()) }
}

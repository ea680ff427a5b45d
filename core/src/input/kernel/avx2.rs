//! The same loops with vectors of 256 bits.

#![allow(unsafe_code)]

use std::arch::x86_64::*;

use crate::frame::{Plane, YuvDecoder};
use crate::vector::Avx2;

use super::super::filter::{ColumnFilter, GROUP, WEIGHT_BITS, group_samples};

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

    /// See [`super::Kernel::add_columns`].
    pub(super) fn add_columns<const CHANNELS: usize>(
        self,
        row: &[i16],
        start: usize,
        filter: &ColumnFilter,
        resized: &mut [u8],
    ) {
        // SAFETY: as above.
        unsafe { add_columns::<CHANNELS>(row, start, filter, resized) }
    }

    /// See [`super::Kernel::decode`].
    pub(super) fn decode<const LUMA: usize, const CHROMA: usize>(
        self,
        decoder: &YuvDecoder,
        yuv: [&[u8]; 3],
        pixels: &mut [u8],
    ) {
        // SAFETY: as above.
        unsafe { decode::<LUMA, CHROMA>(decoder, yuv, pixels) }
    }
}

/// Bytes of a row that are added up at once.
pub(super) const BLOCK: usize = 64;

/// `sum` must hold a whole block.
#[target_feature(enable = "avx2")]
fn add_rows(plane: Plane<'_>, from: usize, first: usize, weights: &[i16], sum: &mut [i16]) {
    let last = sum.len() - BLOCK;
    let blocks = (0..last).step_by(BLOCK);
    // The last block ends with the row; what it shares with the one before is computed twice.
    for at in blocks.chain([last]) {
        let mut sums = [_mm256_setzero_si256(); 8];
        let mut offset = first * plane.stride + from + at;
        fetch_ahead(plane, offset, weights.len());
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

#[target_feature(enable = "avx2")]
fn add_columns<const CHANNELS: usize>(
    row: &[i16],
    start: usize,
    filter: &ColumnFilter,
    resized: &mut [u8],
) {
    // Brings the values of one channel from neighbouring samples together, see `ColumnFilter`.
    let pairs = match CHANNELS {
        2 => _mm_setr_epi8(0, 1, 4, 5, 2, 3, 6, 7, 8, 9, 12, 13, 10, 11, 14, 15),
        3 => _mm_setr_epi8(0, 1, 6, 7, 2, 3, 8, 9, 4, 5, 10, 11, -1, -1, -1, -1),
        _ => _mm_setr_epi8(0, 1, 8, 9, 2, 3, 10, 11, 4, 5, 12, 13, 6, 7, 14, 15),
    };
    let pairs = _mm256_broadcastsi128_si256(pairs);
    let step = group_samples(CHANNELS) * CHANNELS;
    for (at, pixel) in resized.chunks_exact_mut(CHANNELS).enumerate() {
        let (first, groups) = filter.tap(at);
        let mut sum = _mm256_setzero_si256();
        let mut place = (first - start) * CHANNELS;
        for weights in groups {
            // Of three channels half a vector holds two samples and two values too many.
            let upper = if CHANNELS == 3 { 6 } else { 8 };
            let samples: &[i16; GROUP] = chunk(&row[place..]);
            let mut samples = _mm256_set_m128i(words(&samples[upper..]), words(samples));
            if CHANNELS > 1 {
                samples = _mm256_shuffle_epi8(samples, pairs);
            }
            let weights = _mm256_set_m128i(words(&weights[8..]), words(weights));
            sum = _mm256_add_epi32(sum, _mm256_madd_epi16(samples, weights));
            place += step;
        }
        let mut four = _mm_add_epi32(
            _mm256_castsi256_si128(sum),
            _mm256_extracti128_si256::<1>(sum),
        );
        if CHANNELS <= 2 {
            four = _mm_add_epi32(four, _mm_shuffle_epi32::<0b11_10>(four));
        }
        if CHANNELS == 1 {
            four = _mm_add_epi32(four, _mm_shuffle_epi32::<0b01>(four));
        }
        const SHIFT: i32 = WEIGHT_BITS as i32;
        let half = _mm_set1_epi32(1 << (SHIFT - 1));
        let rounded = _mm_srai_epi32::<SHIFT>(_mm_add_epi32(four, half));
        let packed = _mm_packus_epi16(_mm_packs_epi32(rounded, rounded), rounded);
        let packed = _mm_cvtsi128_si32(packed).to_le_bytes();
        pixel.copy_from_slice(&packed[..CHANNELS]);
    }
}

/// The plain loop, which the compiler turns into vectors where it may.
#[target_feature(enable = "avx2")]
fn decode<const LUMA: usize, const CHROMA: usize>(
    decoder: &YuvDecoder,
    yuv: [&[u8]; 3],
    pixels: &mut [u8],
) {
    decoder.row::<LUMA, CHROMA>(yuv, pixels);
}

/// Asks for the block at `offset` of the rows that the next row of the input begins with: `taps` rows overlap by half.
///
/// The CPU itself looks ahead along rows and within a page of memory, which a frame's rows leave soon.
#[inline(always)]
pub(super) fn fetch_ahead(plane: Plane<'_>, offset: usize, taps: usize) {
    for row in taps..taps + taps.div_ceil(2) {
        let Some(byte) = plane.data.get(offset + row * plane.stride) else {
            return;
        };
        // SAFETY: a hint about memory that exists.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(std::ptr::from_ref(byte).cast()) };
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

/// The first eight values.
#[inline]
#[target_feature(enable = "avx2")]
fn words(values: &[i16]) -> __m128i {
    let words: &[i16; 8] = chunk(values);
    // SAFETY: an array of 128 bits; need not be aligned.
    unsafe { _mm_loadu_si128(words.as_ptr().cast()) }
}

//! The first loop, which does most of the work, with vectors of 512 bits.

#![allow(unsafe_code)]

use std::arch::x86_64::*;

use crate::frame::Plane;
use crate::vector::Avx512;

use super::super::filter::WEIGHT_BITS;
use super::avx2::{BLOCK, chunk, fetch_ahead};

impl Avx512 {
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
        // SAFETY: `self` proves that the CPU has AVX-512 with words.
        unsafe { add_rows(plane, from, first, weights, sum) }
    }
}

/// As AVX2's; a block is one vector of bytes.
#[target_feature(enable = "avx512bw")]
fn add_rows(plane: Plane<'_>, from: usize, first: usize, weights: &[i16], sum: &mut [i16]) {
    let last = sum.len() - BLOCK;
    let zero = _mm512_setzero_si512();
    for at in (0..last).step_by(BLOCK).chain([last]) {
        let mut sums = [zero; 4];
        let mut offset = first * plane.stride + from + at;
        fetch_ahead(plane, offset, weights.len());
        for pair in weights.chunks(2) {
            let (second, next) = match pair {
                [_, second] => (*second, offset + plane.stride),
                _ => (0, offset),
            };
            let pair_weights = i32::from(second) << 16 | i32::from(pair[0]);
            let pair_weights = _mm512_set1_epi32(pair_weights);
            let upper = bytes(chunk(&plane.data[offset..]));
            let lower = bytes(chunk(&plane.data[next..]));
            let low = _mm512_unpacklo_epi8(upper, lower);
            let high = _mm512_unpackhi_epi8(upper, lower);
            let words = [
                _mm512_unpacklo_epi8(low, zero),
                _mm512_unpackhi_epi8(low, zero),
                _mm512_unpacklo_epi8(high, zero),
                _mm512_unpackhi_epi8(high, zero),
            ];
            for (sum, words) in sums.iter_mut().zip(words) {
                *sum = _mm512_add_epi32(*sum, _mm512_madd_epi16(words, pair_weights));
            }
            offset += 2 * plane.stride;
        }
        let half = _mm512_set1_epi32(1 << (WEIGHT_BITS - 1));
        let rounded = sums.map(|sum| _mm512_srai_epi32::<WEIGHT_BITS>(_mm512_add_epi32(sum, half)));
        // Unpacking has mixed the quarters of the vectors: the first halves of each sixteen bytes are here, the second
        // ones there.
        let firsts = _mm512_packs_epi32(rounded[0], rounded[1]);
        let seconds = _mm512_packs_epi32(rounded[2], rounded[3]);
        let ordered = [
            _mm512_permutex2var_epi64(firsts, _mm512_setr_epi64(0, 1, 8, 9, 2, 3, 10, 11), seconds),
            _mm512_permutex2var_epi64(
                firsts,
                _mm512_setr_epi64(4, 5, 12, 13, 6, 7, 14, 15),
                seconds,
            ),
        ];
        let target = &mut sum[at..at + BLOCK];
        for (target, values) in target.as_chunks_mut::<32>().0.iter_mut().zip(ordered) {
            // SAFETY: the target is an array of 512 bits, and need not be aligned.
            unsafe { _mm512_storeu_si512(target.as_mut_ptr().cast(), values) };
        }
    }
}

/// A block as a vector.
#[inline]
#[target_feature(enable = "avx512bw")]
fn bytes(block: &[u8; BLOCK]) -> __m512i {
    // SAFETY: an array of 512 bits; need not be aligned.
    unsafe { _mm512_loadu_si512(block.as_ptr().cast()) }
}

//! The first loop with vectors of 512 bits.

#![allow(unsafe_code)]

use std::arch::x86_64::*;

use crate::frame::Plane;
use crate::vector::Avx512;

use super::super::filter::WEIGHT_BITS;
use super::avx2::fetch_ahead;

impl Avx512 {
    /// See [`super::Kernel::add_rows`]; false, and nothing done, if there are too few bytes for this.
    pub(super) fn add_rows(
        self,
        plane: Plane<'_>,
        from: usize,
        first: usize,
        weights: &[i16],
        sum: &mut [i16],
    ) -> bool {
        let enough = sum.len() >= BLOCK;
        if enough {
            // SAFETY: `self` proves that the CPU has AVX-512 with words.
            unsafe { add_rows(plane, from, first, weights, sum) }
        }
        enough
    }
}

/// Bytes of a row that are added up at once: two vectors.
const BLOCK: usize = 128;

/// As AVX2's. `sum` must hold a whole block.
#[target_feature(enable = "avx512bw")]
fn add_rows(plane: Plane<'_>, from: usize, first: usize, weights: &[i16], sum: &mut [i16]) {
    let last = sum.len() - BLOCK;
    let zero = _mm512_setzero_si512();
    let half = _mm512_set1_epi32(1 << (WEIGHT_BITS - 1));
    let (pairs, single) = weights.as_chunks::<2>();
    for at in (0..last).step_by(BLOCK).chain([last]) {
        let mut sums = [[half; 4]; 2];
        let mut offset = first * plane.stride + from + at;
        fetch_ahead(plane, offset, weights.len(), BLOCK);
        for [upper, lower] in pairs {
            let weights = _mm512_set1_epi32(i32::from(*lower) << 16 | i32::from(*upper));
            let upper = block(&plane.data[offset..]);
            let lower = block(&plane.data[offset + plane.stride..]);
            for (sums, (upper, lower)) in sums.iter_mut().zip(upper.into_iter().zip(lower)) {
                add_products(sums, upper, lower, weights);
            }
            offset += 2 * plane.stride;
        }
        if let [weight] = single {
            let weights = _mm512_set1_epi32(i32::from(*weight));
            let upper = block(&plane.data[offset..]);
            for (sums, upper) in sums.iter_mut().zip(upper) {
                add_products(sums, upper, zero, weights);
            }
        }
        let targets = sum[at..at + BLOCK].as_chunks_mut::<64>().0;
        for (sums, target) in sums.into_iter().zip(targets) {
            store(sums, target);
        }
    }
}

/// Adds bytes of two rows times their weights, in the order in which [`store`] expects them.
#[inline]
#[target_feature(enable = "avx512bw")]
fn add_products(sums: &mut [__m512i; 4], upper: __m512i, lower: __m512i, weights: __m512i) {
    let zero = _mm512_setzero_si512();
    let low = _mm512_unpacklo_epi8(upper, lower);
    let high = _mm512_unpackhi_epi8(upper, lower);
    let words = [
        _mm512_unpacklo_epi8(low, zero),
        _mm512_unpackhi_epi8(low, zero),
        _mm512_unpacklo_epi8(high, zero),
        _mm512_unpackhi_epi8(high, zero),
    ];
    for (sum, words) in sums.iter_mut().zip(words) {
        *sum = _mm512_add_epi32(*sum, _mm512_madd_epi16(words, weights));
    }
}

/// Sums as levels, in the order of the bytes.
#[inline]
#[target_feature(enable = "avx512bw")]
fn store(sums: [__m512i; 4], target: &mut [i16; 64]) {
    let [a, b, c, d] = sums;
    // Unpacking has mixed the quarters of the vectors: the first halves of each sixteen bytes are here, the second
    // ones there.
    let firsts = _mm512_packs_epi32(level(a), level(b));
    let seconds = _mm512_packs_epi32(level(c), level(d));
    let ordered = [
        _mm512_permutex2var_epi64(firsts, _mm512_setr_epi64(0, 1, 8, 9, 2, 3, 10, 11), seconds),
        _mm512_permutex2var_epi64(
            firsts,
            _mm512_setr_epi64(4, 5, 12, 13, 6, 7, 14, 15),
            seconds,
        ),
    ];
    for (target, values) in target.as_chunks_mut::<32>().0.iter_mut().zip(ordered) {
        // SAFETY: the target is an array of 512 bits, and need not be aligned.
        unsafe { _mm512_storeu_si512(target.as_mut_ptr().cast(), values) };
    }
}

#[inline]
#[target_feature(enable = "avx512bw")]
fn level(sum: __m512i) -> __m512i {
    _mm512_srai_epi32::<WEIGHT_BITS>(sum)
}

/// The first block as vectors.
#[inline]
#[target_feature(enable = "avx512bw")]
fn block(bytes: &[u8]) -> [__m512i; 2] {
    let block: &[u8; BLOCK] = bytes.first_chunk().expect("as long as was checked");
    // SAFETY: twice 512 bits; need not be aligned.
    unsafe {
        [
            _mm512_loadu_si512(block.as_ptr().cast()),
            _mm512_loadu_si512(block.as_ptr().add(BLOCK / 2).cast()),
        ]
    }
}

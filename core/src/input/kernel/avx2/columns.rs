//! The second loop: eight rows at once, a pair of samples of each in one vector.
//!
//! Values of a row that are multiplied with one weight lie side by side after a transposition, so that no sum is ever taken
//! across a vector.

use std::arch::x86_64::*;

use super::super::super::filter::{ColumnFilter, QUAD, WEIGHT_BITS};
use super::super::{Pair, ROWS, Sums, row_bytes};
use crate::vector::Avx2;

impl Avx2 {
    /// See [`super::super::Kernel::add_columns`].
    pub(in super::super) fn add_columns<const BYTES: usize>(
        self,
        rows: Sums<'_>,
        filter: &ColumnFilter,
        channels: &[usize],
        pairs: &mut Vec<Pair>,
        resized: &mut [Vec<u8>],
    ) {
        let count = filter.pairs().next_multiple_of(4);
        pairs.resize(count * BYTES, Pair::default());
        // SAFETY: `self` proves that the CPU has AVX2.
        unsafe {
            transpose::<BYTES>(rows, count, pairs);
            for (&channel, resized) in channels.iter().zip(resized) {
                add_pairs(&pairs[channel * count..][..count], filter, resized);
            }
        }
    }
}

/// Rows → pairs, `[BYTES, count]`.
#[target_feature(enable = "avx2")]
fn transpose<const BYTES: usize>(rows: Sums<'_>, count: usize, pairs: &mut [Pair]) {
    // Brings neighbours of one channel together.
    let neighbours = match BYTES {
        2 => _mm_setr_epi8(0, 1, 4, 5, 2, 3, 6, 7, 8, 9, 12, 13, 10, 11, 14, 15),
        3 => _mm_setr_epi8(0, 1, 6, 7, 2, 3, 8, 9, 4, 5, 10, 11, -1, -1, -1, -1),
        _ => _mm_setr_epi8(0, 1, 8, 9, 2, 3, 10, 11, 4, 5, 12, 13, 6, 7, 14, 15),
    };
    let neighbours = _mm256_broadcastsi128_si256(neighbours);
    // Values of a row and pairs of a channel that a vector takes; of three bytes, four values are read and three used.
    let (values, each) = if BYTES == 3 { (6, 1) } else { (8, 4 / BYTES) };
    let blocks = count / each;
    // Checked here for all. The last block's vector is the one that reaches furthest.
    let end = (ROWS - 1) * rows.stride + blocks.saturating_sub(1) * values + 8;
    let first = rows.values[..end].as_ptr();
    for block in 0..blocks {
        let row = |row: usize| {
            let values = first.wrapping_add(row * rows.stride + block * values);
            // SAFETY: eight values before `end`, 128 bits; need not be aligned.
            unsafe { _mm_loadu_si128(values.cast()) }
        };
        // Four pairs of a row in the lower half, of the row four further in the upper one.
        let mut both = [
            _mm256_set_m128i(row(4), row(0)),
            _mm256_set_m128i(row(5), row(1)),
            _mm256_set_m128i(row(6), row(2)),
            _mm256_set_m128i(row(7), row(3)),
        ];
        if BYTES > 1 {
            for both in &mut both {
                *both = _mm256_shuffle_epi8(*both, neighbours);
            }
        }
        let [upper_low, upper_high, lower_low, lower_high] = [
            _mm256_unpacklo_epi32(both[0], both[1]),
            _mm256_unpackhi_epi32(both[0], both[1]),
            _mm256_unpacklo_epi32(both[2], both[3]),
            _mm256_unpackhi_epi32(both[2], both[3]),
        ];
        let turned = [
            _mm256_unpacklo_epi64(upper_low, lower_low),
            _mm256_unpackhi_epi64(upper_low, lower_low),
            _mm256_unpacklo_epi64(upper_high, lower_high),
            _mm256_unpackhi_epi64(upper_high, lower_high),
        ];
        for (at, turned) in turned.into_iter().enumerate().take(each * BYTES) {
            let pair = &mut pairs[at % BYTES * count + block * each + at / BYTES];
            // SAFETY: the target is 256 bits, aligned to as many.
            unsafe { _mm256_store_si256(pair.0.as_mut_ptr().cast(), turned) };
        }
    }
}

/// Pairs of one channel → [`ROWS`] resized rows of it.
#[target_feature(enable = "avx2")]
fn add_pairs(pairs: &[Pair], filter: &ColumnFilter, resized: &mut [u8]) {
    const SHIFT: i32 = WEIGHT_BITS as i32;
    let half = _mm256_set1_epi32(1 << (SHIFT - 1));
    // Sorts the bytes of four samples of four rows by rows.
    let by_row = _mm_setr_epi8(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15);
    let by_row = _mm256_broadcastsi128_si256(by_row);
    let row_quads = row_bytes(filter.filter.len()) / QUAD;
    let resized = &mut resized.as_chunks_mut::<QUAD>().0[..ROWS * row_quads];
    for (quad, (firsts, weights)) in filter.quads().enumerate() {
        let mut quad_pairs = [&[][..]; QUAD];
        for (from, &first) in quad_pairs.iter_mut().zip(firsts) {
            *from = &pairs[first..][..weights.len()];
        }
        let mut sums = [half; QUAD];
        for (at, weights) in weights.iter().enumerate() {
            for ((sum, pairs), &weights) in sums.iter_mut().zip(quad_pairs).zip(weights) {
                // SAFETY: 256 bits, aligned to as many.
                let pair = unsafe { _mm256_load_si256(pairs[at].0.as_ptr().cast()) };
                let product = _mm256_madd_epi16(pair, _mm256_set1_epi32(weights));
                *sum = _mm256_add_epi32(*sum, product);
            }
        }
        for sum in &mut sums {
            *sum = _mm256_srai_epi32::<SHIFT>(*sum);
        }
        let bytes = _mm256_packus_epi16(
            _mm256_packs_epi32(sums[0], sums[1]),
            _mm256_packs_epi32(sums[2], sums[3]),
        );
        let bytes = _mm256_shuffle_epi8(bytes, by_row);
        let mut rows = [0_u8; QUAD * ROWS];
        // SAFETY: the target is an array of 256 bits, and need not be aligned.
        unsafe { _mm256_storeu_si256(rows.as_mut_ptr().cast(), bytes) };
        for (row, samples) in rows.as_chunks::<QUAD>().0.iter().enumerate() {
            resized[row * row_quads + quad] = *samples;
        }
    }
}

//! The same with vectors of 256 bits.
//!
//! The compiler does not find what makes them fast: the values at a curve's knots looked up by shuffling bytes, and a line
//! between two of them as one instruction's pairs of products. The bytes of a block's pixels are split into planes, so that a
//! level is prepared once ([`split`]). No closures around vectors: those that a library's function calls are not always compiled into it.

#![allow(unsafe_code)]

mod split;

use std::arch::x86_64::*;

use super::{Lines, Pattern};
use crate::overlay::curve::{PARTS, SHARE_SHIFT, STEPS};
use crate::vector::Avx2;
use split::{half_twice, join, ordered, split};

impl Avx2 {
    /// See [`super::Inks::mix`].
    pub(super) fn mix(
        self,
        lines: &Lines,
        knots: &Knots,
        pattern: Pattern,
        row: &mut [u8],
        levels: &[u8],
    ) {
        // SAFETY: `self` proves that the CPU has AVX2.
        unsafe {
            let mixer = &Mixer::new(lines, knots);
            match pattern {
                Pattern::Bytes(1) => mix_row::<1, false>(mixer, row, levels),
                Pattern::Bytes(2) => mix_row::<2, false>(mixer, row, levels),
                Pattern::Bytes(3) => mix_row::<3, false>(mixer, row, levels),
                Pattern::Bytes(_) => mix_row::<4, false>(mixer, row, levels),
                Pattern::Pairs => mix_row::<2, true>(mixer, row, levels),
            }
        }
    }
}

/// Levels that are mixed together.
const BLOCK: usize = 32;

/// Bytes of a vector, and of the halves in which bytes are shuffled.
const VECTOR: usize = 32;
const HALF: usize = 16;

/// All of a row, of which the last pixels are mixed in a copy.
#[target_feature(enable = "avx2")]
fn mix_row<const BYTES: usize, const PAIRS: bool>(mixer: &Mixer, row: &mut [u8], levels: &[u8]) {
    let whole = if PAIRS {
        row.len() / 4 * 2
    } else {
        row.len() / BYTES
    };
    let count = levels.len().min(whole);
    let (levels, last_levels) = levels[..count].as_chunks();
    let (blocks, last_row) = row.split_at_mut(levels.len() * BLOCK * BYTES);
    mix_blocks::<BYTES, PAIRS>(mixer, blocks.as_chunks_mut().0.as_chunks_mut().0, levels);
    let (Some(&last_level), last) = (last_levels.last(), last_levels.len()) else {
        return;
    };
    let (mut block, mut block_levels) = ([[[0; BYTES]; BLOCK]; 1], [last_level; BLOCK]);
    block_levels[..last].copy_from_slice(last_levels);
    // Of an odd row of pairs V as well.
    let odd = PAIRS && last % 2 == 1;
    let bytes = (last + usize::from(odd)) * BYTES;
    let last_row = &mut last_row[..bytes];
    let mixed = block.as_flattened_mut().as_flattened_mut();
    mixed[..bytes].copy_from_slice(last_row);
    mix_blocks::<BYTES, PAIRS>(mixer, &mut block, &[block_levels]);
    let mixed = block.as_flattened_mut().as_flattened_mut();
    if odd {
        mixed[bytes - 2] = last_row[bytes - 2];
    }
    last_row.copy_from_slice(&mixed[..bytes]);
}

#[target_feature(enable = "avx2")]
fn mix_blocks<const BYTES: usize, const PAIRS: bool>(
    mixer: &Mixer,
    blocks: &mut [[[u8; BYTES]; BLOCK]],
    levels: &[[u8; BLOCK]],
) {
    for (block, levels) in blocks.iter_mut().zip(levels) {
        let levels = load(levels);
        if mixer.is_clear && _mm256_testz_si256(levels, levels) != 0 {
            continue;
        }
        let bytes = block.as_flattened_mut().as_chunks_mut::<VECTOR>().0;
        let mut vectors = [_mm256_setzero_si256(); 4];
        for (vector, bytes) in vectors.iter_mut().zip(&*bytes) {
            *vector = load(bytes);
        }
        let mut planes = split::<BYTES>(vectors);
        let levels = ordered::<BYTES>(levels);
        let inks = mixer.inks(levels);
        if PAIRS {
            planes[0] = mixer.mix(planes[0], inks, curves([0, 0]));
            planes[1] = mixer.mix(planes[1], mixer.inks(means(levels)), curves([1, 3]));
        } else {
            for (curve, plane) in planes.iter_mut().enumerate().take(BYTES) {
                if mixer.named[curve] {
                    *plane = mixer.mix(*plane, inks, curves([curve; 2]));
                }
            }
        }
        for (bytes, vector) in bytes.iter_mut().zip(join::<BYTES>(planes)) {
            // SAFETY: the target is an array of 256 bits, and need not be aligned.
            unsafe { _mm256_storeu_si256(bytes.as_mut_ptr().cast(), vector) };
        }
    }
}

/// Of the levels of neighbours the mean, rounded down, in the places of both.
#[inline]
#[target_feature(enable = "avx2")]
fn means(levels: __m256i) -> __m256i {
    let turned = _mm256_or_si256(
        _mm256_slli_epi16::<8>(levels),
        _mm256_srli_epi16::<8>(levels),
    );
    // The instruction's mean is rounded up.
    let odd = _mm256_and_si256(_mm256_xor_si256(levels, turned), _mm256_set1_epi8(1));
    _mm256_sub_epi8(_mm256_avg_epu8(levels, turned), odd)
}

/// For a plane whose bytes have these curves in turn, four times their numbers.
#[inline]
#[target_feature(enable = "avx2")]
fn curves([even, odd]: [usize; 2]) -> __m256i {
    _mm256_set1_epi16(((PARTS * odd) << 8 | (PARTS * even)) as i16)
}

/// The values at the knots where parts begin, and those where they end, by the number of the part and four times that of the
/// curve. Made once a frame: rows may be as short as the side of a box is wide.
#[derive(Debug)]
pub(in crate::overlay) struct Knots([[u8; HALF]; 2]);

impl Knots {
    pub(super) fn new(lines: &Lines) -> Knots {
        let value = |at: usize, end: usize| lines.curves[at / PARTS].0[at % PARTS + end];
        Knots([0, 1].map(|end| std::array::from_fn(|at| value(at, end))))
    }
}

/// Inks as vectors.
struct Mixer {
    /// See [`Knots`].
    from: __m256i,
    to: __m256i,
    start: __m256i,
    range: __m256i,
    /// Whether level 0 leaves pixels as they are.
    is_clear: bool,
    named: [bool; 4],
}

/// What does not depend on the curve, of a vector of levels.
#[derive(Clone, Copy)]
struct LevelInks {
    /// The part of the curve, a byte each.
    part: __m256i,
    /// Of both halves: how far it is to the part's end and from its beginning, a byte each.
    along: [__m256i; 2],
    /// Of both halves: the share.
    shares: [__m256i; 2],
}

impl Mixer {
    #[target_feature(enable = "avx2")]
    fn new(lines: &Lines, knots: &Knots) -> Mixer {
        Mixer {
            from: half_twice(&knots.0[0]),
            to: half_twice(&knots.0[1]),
            start: _mm256_set1_epi16(lines.share.rounded_start() as i16),
            range: _mm256_set1_epi16(lines.share.range),
            is_clear: lines.share.is_clear(),
            named: lines.named,
        }
    }

    /// See [`curve`](crate::overlay::curve): `way` and `Share::at`.
    #[inline]
    #[target_feature(enable = "avx2")]
    fn inks(&self, levels: __m256i) -> LevelInks {
        let low_bits = |bits: u8| _mm256_set1_epi8(bits as i8);
        // There is no shift of bytes; what comes from the neighbour is cut off.
        let part = _mm256_and_si256(_mm256_srli_epi16::<6>(levels), low_bits(3));
        let extra = _mm256_subs_epu8(levels, low_bits(192));
        let extra = _mm256_and_si256(_mm256_srli_epi16::<5>(extra), low_bits(1));
        let along = _mm256_add_epi8(_mm256_and_si256(levels, low_bits(63)), extra);
        let rest = _mm256_sub_epi8(low_bits(STEPS as u8), along);
        let [low, high] = halves(levels, levels);
        LevelInks {
            part,
            along: halves(rest, along),
            shares: [self.share(low), self.share(high)],
        }
    }

    /// Of levels times 257.
    #[inline]
    #[target_feature(enable = "avx2")]
    fn share(&self, levels: __m256i) -> __m256i {
        // Not the unsigned product of all 16 bits: the compiler takes that apart.
        let rise = _mm256_mulhrs_epi16(_mm256_srli_epi16::<1>(levels), self.range);
        _mm256_srli_epi16::<{ SHARE_SHIFT as i32 }>(_mm256_add_epi16(self.start, rise))
    }

    /// Bytes with their inks.
    #[inline]
    #[target_feature(enable = "avx2")]
    fn mix(&self, bytes: __m256i, inks: LevelInks, curves: __m256i) -> __m256i {
        let knot = _mm256_add_epi8(inks.part, curves);
        let from = _mm256_shuffle_epi8(self.from, knot);
        let to = _mm256_shuffle_epi8(self.to, knot);
        let colors = halves(from, to);
        let values = halves(bytes, _mm256_setzero_si256());
        let low = mix_words(values[0], colors[0], inks.along[0], inks.shares[0]);
        let high = mix_words(values[1], colors[1], inks.along[1], inks.shares[1]);
        _mm256_packus_epi16(low, high)
    }
}

/// See `plain::mixed`. The colours are pairs of bytes still, and how far it is from both.
#[inline]
#[target_feature(enable = "avx2")]
fn mix_words(values: __m256i, colors: __m256i, along: __m256i, shares: __m256i) -> __m256i {
    let color = _mm256_maddubs_epi16(colors, along);
    let scaled = _mm256_slli_epi16::<{ STEPS.ilog2() as i32 }>(values);
    let difference = _mm256_sub_epi16(color, scaled);
    _mm256_add_epi16(values, _mm256_mulhrs_epi16(difference, shares))
}

/// Words of bytes of both, the first below: what packing the halves of words undoes.
#[inline]
#[target_feature(enable = "avx2")]
fn halves(low: __m256i, high: __m256i) -> [__m256i; 2] {
    [
        _mm256_unpacklo_epi8(low, high),
        _mm256_unpackhi_epi8(low, high),
    ]
}

#[inline]
#[target_feature(enable = "avx2")]
fn load(bytes: &[u8; VECTOR]) -> __m256i {
    // SAFETY: an array of 256 bits; need not be aligned.
    unsafe { _mm256_loadu_si256(bytes.as_ptr().cast()) }
}

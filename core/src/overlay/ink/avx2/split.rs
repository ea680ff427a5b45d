//! Pixels of some bytes → a vector of each byte, and back.
//!
//! Bytes are shuffled within the halves of a vector, so that pixels come in another order, and their levels have to as well.

use std::arch::x86_64::*;

use super::HALF;
use crate::vector::{INTERLEAVED, NO_BYTE};

/// The bytes of 32 pixels of `BYTES`, 1 to 4, byte by byte; there and here the first `BYTES` vectors are used.
#[inline]
#[target_feature(enable = "avx2")]
pub(super) fn split<const BYTES: usize>(pixels: [__m256i; 4]) -> [__m256i; 4] {
    let [a, b, c, d] = pixels;
    match BYTES {
        1 => pixels,
        2 => {
            let places = half_twice(const { &grouped(2) });
            let a = _mm256_shuffle_epi8(a, places);
            let b = _mm256_shuffle_epi8(b, places);
            [
                _mm256_unpacklo_epi64(a, b),
                _mm256_unpackhi_epi64(a, b),
                c,
                d,
            ]
        }
        3 => {
            // Of the halves in their order, 0 1, 2 3, 4 5 → 0 3, 1 4, 2 5: sixteen pixels below sixteen others.
            let thirds = [
                _mm256_permute2x128_si256::<0x30>(a, b),
                _mm256_permute2x128_si256::<0x21>(a, c),
                _mm256_permute2x128_si256::<0x30>(b, c),
            ];
            let a = collect(thirds, &TAKEN[0]);
            let b = collect(thirds, &TAKEN[1]);
            let c = collect(thirds, &TAKEN[2]);
            [a, b, c, d]
        }
        _ => {
            let places = half_twice(const { &grouped(4) });
            let a = _mm256_shuffle_epi8(a, places);
            let b = _mm256_shuffle_epi8(b, places);
            let c = _mm256_shuffle_epi8(c, places);
            let d = _mm256_shuffle_epi8(d, places);
            let (low, high) = (_mm256_unpacklo_epi32(a, b), _mm256_unpackhi_epi32(a, b));
            let (next_low, next_high) = (_mm256_unpacklo_epi32(c, d), _mm256_unpackhi_epi32(c, d));
            [
                _mm256_unpacklo_epi64(low, next_low),
                _mm256_unpackhi_epi64(low, next_low),
                _mm256_unpacklo_epi64(high, next_high),
                _mm256_unpackhi_epi64(high, next_high),
            ]
        }
    }
}

/// What [`split`] has taken apart.
#[inline]
#[target_feature(enable = "avx2")]
pub(super) fn join<const BYTES: usize>(planes: [__m256i; 4]) -> [__m256i; 4] {
    let [a, b, c, d] = planes;
    match BYTES {
        1 => planes,
        2 => [_mm256_unpacklo_epi8(a, b), _mm256_unpackhi_epi8(a, b), c, d],
        3 => {
            let planes = [a, b, c];
            let a = collect(planes, &INTERLEAVED[0]);
            let b = collect(planes, &INTERLEAVED[1]);
            let c = collect(planes, &INTERLEAVED[2]);
            [
                _mm256_permute2x128_si256::<0x20>(a, b),
                _mm256_permute2x128_si256::<0x12>(a, c),
                _mm256_permute2x128_si256::<0x31>(b, c),
                d,
            ]
        }
        _ => {
            let (low, high) = (_mm256_unpacklo_epi8(a, b), _mm256_unpackhi_epi8(a, b));
            let (next_low, next_high) = (_mm256_unpacklo_epi8(c, d), _mm256_unpackhi_epi8(c, d));
            [
                _mm256_unpacklo_epi16(low, next_low),
                _mm256_unpackhi_epi16(low, next_low),
                _mm256_unpacklo_epi16(high, next_high),
                _mm256_unpackhi_epi16(high, next_high),
            ]
        }
    }
}

/// Levels in the order of the pixels that [`split`] gives.
#[inline]
#[target_feature(enable = "avx2")]
pub(super) fn ordered<const BYTES: usize>(levels: __m256i) -> __m256i {
    match BYTES {
        2 => _mm256_permute4x64_epi64::<0b11_01_10_00>(levels),
        4 => {
            let order = _mm256_setr_epi32(0, 2, 4, 6, 1, 3, 5, 7);
            _mm256_permutevar8x32_epi32(levels, order)
        }
        // Three halves are sixteen pixels in their order.
        _ => levels,
    }
}

/// In both halves, every byte from the one of three vectors that has a place for it.
#[inline]
#[target_feature(enable = "avx2")]
fn collect(vectors: [__m256i; 3], places: &[[u8; HALF]; 3]) -> __m256i {
    let a = _mm256_shuffle_epi8(vectors[0], half_twice(&places[0]));
    let b = _mm256_shuffle_epi8(vectors[1], half_twice(&places[1]));
    let c = _mm256_shuffle_epi8(vectors[2], half_twice(&places[2]));
    _mm256_or_si256(_mm256_or_si256(a, b), c)
}

#[inline]
#[target_feature(enable = "avx2")]
pub(super) fn half_twice(bytes: &[u8; HALF]) -> __m256i {
    // SAFETY: an array of 128 bits; need not be aligned.
    _mm256_broadcastsi128_si256(unsafe { _mm_loadu_si128(bytes.as_ptr().cast()) })
}

/// Of the bytes of pixels in a half, the places of all first bytes, then of all second ones and so on.
const fn grouped(bytes: usize) -> [u8; HALF] {
    let pixels = HALF / bytes;
    let mut places = [0; HALF];
    let mut at = 0;
    while at < HALF {
        places[at] = (at % pixels * bytes + at / pixels) as u8;
        at += 1;
    }
    places
}

/// [`INTERLEAVED`] the other way: for each byte of a pixel of three, where sixteen pixels have it, in which of three halves, and which
/// byte of that.
const TAKEN: [[[u8; HALF]; 3]; 3] = {
    let mut taken = [[[NO_BYTE; HALF]; 3]; 3];
    let mut at = 0;
    while at < 3 * HALF {
        taken[at % 3][at / HALF][at / 3] = (at % HALF) as u8;
        at += 1;
    }
    taken
};

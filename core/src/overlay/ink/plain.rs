//! Plain loops, of which the compiler makes vectors on any machine.
//!
//! Where curves are computed, of arrays of a fixed size alone, by index, and not of closures over pixels, which are not always compiled
//! into their caller.

use super::{Lines, Pattern};
use crate::overlay::curve::{PARTS, STEPS, Share, over_knots, way};

/// Levels that are mixed together: vectors of bytes, and of pixels of four bytes as many as the first cache holds with ease.
const BLOCK: usize = 32;
const QUAD_BLOCK: usize = 256;

/// The ink of one level in a pixel of four bytes: colours and shares.
type QuadInk = [[i16; 4]; 2];

/// What is mixed, prepared.
#[derive(Debug)]
#[allow(clippy::large_enum_variant)] // One to three of them, in memory that is used again.
pub(in crate::overlay) enum Plain {
    Single(Curves<1>),
    Double(Curves<2>),
    Pairs(Curves<4>),
    Triple(Curves<3>),
    /// A table gives all with two loads: faster than a curve for each.
    Quad([QuadInk; 256], bool),
}

/// Bends of curves ([`bends`](crate::overlay::curve::Curve::bends)) and the share, for the bytes of a pixel, or of a pair of pixels.
#[derive(Debug)]
pub(in crate::overlay) struct Curves<const BYTES: usize>([(i16, [i16; PARTS]); BYTES], Share);

impl Plain {
    pub(super) fn new(pattern: Pattern, lines: &Lines) -> Plain {
        match pattern {
            Pattern::Bytes(1) => Plain::Single(Curves::new(lines)),
            Pattern::Bytes(2) => Plain::Double(Curves::new(lines)),
            Pattern::Bytes(3) => Plain::Triple(Curves::new(lines)),
            Pattern::Bytes(_) => Plain::Quad(quad(lines), lines.share.is_clear()),
            Pattern::Pairs => Plain::Pairs(Curves::new(lines)),
        }
    }

    /// See [`super::Inks::mix`].
    pub(super) fn mix(&self, row: &mut [u8], levels: &[u8]) {
        match self {
            Plain::Single(curves) => curves.mix_row(row.as_chunks_mut::<1>().0, levels),
            Plain::Double(curves) => curves.mix_row(row.as_chunks_mut::<2>().0, levels),
            Plain::Triple(curves) => curves.mix_row(row.as_chunks_mut::<3>().0, levels),
            Plain::Pairs(curves) => curves.mix_pairs(row, levels),
            Plain::Quad(table, is_clear) => mix_quad(row, levels, table, *is_clear),
        }
    }
}

/// Mixes inks into [`BLOCK`] pixels `P` by their levels `L`.
trait MixBlock<P: Copy + Default, L: Copy + Default> {
    fn mix(&self, pixels: &mut [P; BLOCK], levels: &[L; BLOCK]);

    /// All of a row, of which the last pixels are mixed in a copy.
    #[inline(always)]
    fn mix_row(&self, pixels: &mut [P], levels: &[L]) {
        let count = pixels.len().min(levels.len());
        let (pixels, last_pixels) = pixels[..count].as_chunks_mut();
        let (levels, last_levels) = levels[..count].as_chunks();
        for (pixels, levels) in pixels.iter_mut().zip(levels) {
            self.mix(pixels, levels);
        }
        let last = last_pixels.len();
        if last > 0 {
            let (mut pixels, mut levels) = ([P::default(); BLOCK], [L::default(); BLOCK]);
            pixels[..last].copy_from_slice(last_pixels);
            levels[..last].copy_from_slice(last_levels);
            self.mix(&mut pixels, &levels);
            last_pixels.copy_from_slice(&pixels[..last]);
        }
    }
}

impl<const BYTES: usize> MixBlock<[u8; BYTES], u8> for Curves<BYTES>
where
    [u8; BYTES]: Default,
{
    #[inline(always)]
    #[allow(clippy::needless_range_loop)] // By index, see above.
    fn mix(&self, pixels: &mut [[u8; BYTES]; BLOCK], levels: &[u8; BLOCK]) {
        if self.1.is_clear() && is_zero(levels) {
            return;
        }
        for at in 0..BLOCK {
            let (over, share) = (over_knots(way(levels[at])), self.1.at(levels[at]));
            for byte in 0..BYTES {
                pixels[at][byte] = mixed(pixels[at][byte], self.color(byte, over), share);
            }
        }
    }
}

impl MixBlock<[u8; 4], [u8; 2]> for Curves<4> {
    #[inline(always)]
    fn mix(&self, pairs: &mut [[u8; 4]; BLOCK], levels: &[[u8; 2]; BLOCK]) {
        if self.1.is_clear() && is_zero(levels.as_flattened()) {
            return;
        }
        for at in 0..BLOCK {
            self.mix_pair(&mut pairs[at], levels[at]);
        }
    }
}

impl<const BYTES: usize> Curves<BYTES> {
    fn new(lines: &Lines) -> Curves<BYTES> {
        let bends = |at: usize| lines.curves[at].bends();
        Curves(std::array::from_fn(bends), lines.share)
    }

    /// Of a byte, in [`STEPS`].
    #[inline(always)]
    fn color(&self, byte: usize, over: [i16; PARTS]) -> i16 {
        let (mut sum, bends) = self.0[byte];
        for part in 0..PARTS {
            sum = sum.wrapping_add(bends[part].wrapping_mul(over[part]));
        }
        sum
    }
}

impl Curves<4> {
    #[inline(always)]
    fn mix_pair(&self, pair: &mut [u8; 4], [left, right]: [u8; 2]) {
        let both = left.midpoint(right);
        let levels = [left, both, right, both];
        for byte in 0..4 {
            let color = self.color(byte, over_knots(way(levels[byte])));
            pair[byte] = mixed(pair[byte], color, self.1.at(levels[byte]));
        }
    }

    #[inline(always)]
    fn mix_pairs(&self, row: &mut [u8], levels: &[u8]) {
        let (pairs, _) = row.as_chunks_mut::<4>();
        let levels = &levels[..levels.len().min(pairs.len() * 2)];
        let (even, odd) = levels.as_chunks::<2>();
        self.mix_row(pairs, even);
        if let (&[level], Some(pair)) = (odd, pairs.get_mut(even.len())) {
            let padding = pair[2];
            self.mix_pair(pair, [level; 2]);
            pair[2] = padding;
        }
    }
}

/// The table of a pixel of four bytes.
fn quad(lines: &Lines) -> [QuadInk; 256] {
    let ink = |level: u8| {
        let share = lines.share.at(level);
        [
            lines.curves.map(|curve| curve.at_way(way(level))),
            lines.named.map(|named| if named { share } else { 0 }),
        ]
    };
    std::array::from_fn(|level| ink(level as u8))
}

/// See [`Plain::Quad`].
fn mix_quad(row: &mut [u8], levels: &[u8], table: &[QuadInk; 256], is_clear: bool) {
    let (mut colors, mut shares) = ([[0; 4]; QUAD_BLOCK], [[0; 4]; QUAD_BLOCK]);
    let (pixels, _) = row.as_chunks_mut::<4>();
    let blocks = pixels.chunks_mut(QUAD_BLOCK);
    for (pixels, levels) in blocks.zip(levels.chunks(QUAD_BLOCK)) {
        if is_clear && is_zero(levels) {
            continue;
        }
        for ((color, share), &level) in colors.iter_mut().zip(&mut shares).zip(levels) {
            [*color, *share] = table[usize::from(level)];
        }
        let inks = colors.as_flattened()[..levels.len() * 4]
            .iter()
            .zip(shares.as_flattened());
        let bytes = pixels.as_flattened_mut().iter_mut();
        for (byte, (&color, &share)) in bytes.zip(inks) {
            *byte = mixed(*byte, color, share);
        }
    }
}

/// Without an early end, so that vectors can look.
#[inline(always)]
fn is_zero(levels: &[u8]) -> bool {
    levels.iter().fold(0, |any, &level| any | level) == 0
}

/// `share` (of [`WHOLE`](crate::overlay::curve::WHOLE)) of `color` (in [`STEPS`] of a value), the rest of `value`, rounded; exact at
/// both ends.
#[inline(always)]
pub(super) fn mixed(value: u8, color: i16, share: i16) -> u8 {
    let value = i16::from(value);
    let difference = color.wrapping_sub(value.wrapping_mul(STEPS));
    // Shares are of 512 and differences of 64, so that a 2^16th of twice the product is what to add. The halves of such a product
    // are an instruction each.
    let share = share.wrapping_mul(2);
    let upper = ((i32::from(difference) * i32::from(share)) >> 16) as i16;
    let rounding = (difference.wrapping_mul(share) as u16 >> 15) as i16;
    value.wrapping_add(upper).wrapping_add(rounding) as u8
}

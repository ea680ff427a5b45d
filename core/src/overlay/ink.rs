//! What levels mix into the bytes of a row.

use super::palette::{Curve, Palette, Share, over_knots};
use crate::frame::PixelFormat;

/// Levels that are mixed together: vectors of bytes, and of packed pixels as many as the first cache holds with ease.
const BLOCK: usize = 32;
const PACKED_BLOCK: usize = 256;

/// The ink of one level in a packed pixel: each place has the value in its lower byte and its share, 0 to 255, in the
/// upper one, so that vectors get both at once.
type PackedInk = [u16; 4];

/// What levels mix into the bytes of a plane's rows.
#[derive(Debug)]
#[allow(clippy::large_enum_variant)] // One to three of them, in memory that is used again.
pub(super) enum Inks {
    /// Into one byte a level.
    Single([Curve; 1], Share),
    /// Into two.
    Double([Curve; 2], Share),
    /// Into `Y0 U Y1 V` for each two levels, U and V getting the mean of both.
    Pairs([Curve; 4], Share),
    /// Into three bytes a level.
    Triple([Curve; 3], Share),
    /// Into four, of which a table gives all with one load: faster than a curve for each.
    Quad([PackedInk; 256], Share),
}

impl Inks {
    /// Those of every plane of a format.
    pub(super) fn of_planes(format: PixelFormat, palette: &Palette) -> impl Iterator<Item = Inks> {
        let share = palette.share();
        // Or the three bytes of a pixel.
        let [y, u, v, _] = *palette.values();
        let planes = match format {
            PixelFormat::Gray8 => [Some(Inks::Single([y], share)), None, None],
            PixelFormat::Nv12 => [
                Some(Inks::Single([y], share)),
                Some(Inks::Double([u, v], share)),
                None,
            ],
            PixelFormat::I420 => [y, u, v].map(|curve| Some(Inks::Single([curve], share))),
            PixelFormat::Yuy2 => [Some(Inks::Pairs([y, u, y, v], share)), None, None],
            PixelFormat::Rgb | PixelFormat::Bgr => {
                [Some(Inks::Triple([y, u, v], share)), None, None]
            }
            _ => [Some(Inks::Quad(packed(palette), share)), None, None],
        };
        planes.into_iter().flatten()
    }

    /// Mixes the inks of `levels` into the bytes of their pixels at the beginning of `row`. Of an odd row of pairs the
    /// last Y1 is padding and stays.
    #[inline(always)]
    pub(super) fn mix(&self, row: &mut [u8], levels: &[u8]) {
        match self {
            Inks::Single(curves, share) => {
                Curves(curves, share).mix_row(row.as_chunks_mut::<1>().0, levels);
            }
            Inks::Double(curves, share) => {
                Curves(curves, share).mix_row(row.as_chunks_mut::<2>().0, levels);
            }
            Inks::Pairs(curves, share) => Curves(curves, share).mix_pairs(row, levels),
            Inks::Triple(curves, share) => {
                Curves(curves, share).mix_row(row.as_chunks_mut::<3>().0, levels);
            }
            Inks::Quad(table, share) => mix_quad(row, levels, table, share),
        }
    }
}

/// The table of a packed format.
fn packed(palette: &Palette) -> [PackedInk; 256] {
    let ink = |level: usize| {
        std::array::from_fn(|place| {
            let (value, share) = palette.ink(place, level as u8);
            u16::from_le_bytes([value, share])
        })
    };
    std::array::from_fn(ink)
}

/// Mixes inks into [`BLOCK`] pixels `P` by their levels `L`. Not a closure: those are not always compiled into their
/// caller, and then lack its vectors.
trait MixBlock<P: Copy + Default, L: Copy + Default> {
    fn mix(&self, pixels: &mut [P; BLOCK], levels: &[L; BLOCK]);

    /// All of a row, of which the last pixels are mixed in a copy: only of arrays of a fixed size vectors are made.
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

/// Curves of the bytes of a pixel, or of a pair of pixels.
struct Curves<'a, const BYTES: usize>(&'a [Curve; BYTES], &'a Share);

impl<const BYTES: usize> MixBlock<[u8; BYTES], u8> for Curves<'_, BYTES>
where
    [u8; BYTES]: Default,
{
    #[inline(always)]
    fn mix(&self, pixels: &mut [[u8; BYTES]; BLOCK], levels: &[u8; BLOCK]) {
        let Curves(curves, share) = self;
        if share.is_clear() && is_zero(levels) {
            return;
        }
        // By index: of iterators over pixels and curves no vectors are made.
        for at in 0..BLOCK {
            let level = u16::from(levels[at]);
            let (over, share) = (over_knots(level), share.at(level));
            for byte in 0..BYTES {
                let color = curves[byte].at_over(over);
                pixels[at][byte] = mixed(pixels[at][byte], color, share);
            }
        }
    }
}

impl MixBlock<[u8; 4], [u8; 2]> for Curves<'_, 4> {
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

impl Curves<'_, 4> {
    #[inline(always)]
    fn mix_pair(&self, pair: &mut [u8; 4], [left, right]: [u8; 2]) {
        let both = (u16::from(left) + u16::from(right)) / 2;
        let levels = [left.into(), both, right.into(), both];
        for byte in 0..4 {
            let color = self.0[byte].at_over(over_knots(levels[byte]));
            pair[byte] = mixed(pair[byte], color, self.1.at(levels[byte]));
        }
    }

    #[inline(always)]
    fn mix_pairs(&self, row: &mut [u8], levels: &[u8]) {
        let (pairs, _) = row.as_chunks_mut::<4>();
        let (even, odd) = levels.as_chunks::<2>();
        self.mix_row(pairs, even);
        if let (&[level], Some(pair)) = (odd, pairs.get_mut(even.len())) {
            let padding = pair[2];
            self.mix_pair(pair, [level; 2]);
            pair[2] = padding;
        }
    }
}

/// See [`Inks::Quad`].
#[inline(always)]
fn mix_quad(row: &mut [u8], levels: &[u8], table: &[PackedInk; 256], share: &Share) {
    let mut inks = [[0; 4]; PACKED_BLOCK];
    for (bytes, levels) in row
        .chunks_mut(PACKED_BLOCK * 4)
        .zip(levels.chunks(PACKED_BLOCK))
    {
        if share.is_clear() && is_zero(levels) {
            continue;
        }
        for (ink, &level) in inks.iter_mut().zip(levels) {
            *ink = table[usize::from(level)];
        }
        mix_inks(bytes, &inks.as_flattened()[..levels.len() * 4]);
    }
}

/// Mixes one place of an ink into each byte, rounded; exact at both ends.
#[inline(always)]
fn mix_inks(bytes: &mut [u8], inks: &[u16]) {
    for (byte, &ink) in bytes.iter_mut().zip(inks) {
        let (value, share) = (ink & 255, ink >> 8);
        // Fits 16 bits.
        let sum = u16::from(*byte) * (255 - share) + value * share + 128;
        *byte = ((sum + (sum >> 8)) >> 8) as u8;
    }
}

/// Without an early end, so that vectors can look.
#[inline(always)]
fn is_zero(levels: &[u8]) -> bool {
    levels.iter().fold(0, |any, &level| any | level) == 0
}

/// `share` / 255 of `color`, the rest of `value`, rounded; exact at both ends.
#[inline(always)]
fn mixed(value: u8, color: u16, share: u16) -> u8 {
    // The upper half of a product of 16 bits is one instruction: 64ths of the result, of a share in 2^15ths.
    let share = share * 128 + share / 2;
    let difference = color.wrapping_sub(u16::from(value)).wrapping_mul(128) as i16;
    let product = ((i32::from(difference) * i32::from(share as i16)) >> 16) as i16;
    i16::from(value).wrapping_add((product + 32) >> 6) as u8
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::frame::ColorSpace;
    use crate::overlay::{OverlayMode, OverlayStyle};

    /// Half a level; and a 2^15th of 255 levels or so, by which a share in 2^15ths differs from one in 255ths.
    #[test]
    fn mixing_is_the_rounded_mean() {
        for value in (0..=255u8).step_by(5) {
            for color in (0..=255u8).step_by(3) {
                for share in 0..=255u8 {
                    let weight = f64::from(share) / 255.0;
                    let exact = f64::from(value) * (1.0 - weight) + f64::from(color) * weight;
                    let mut byte = [value];
                    mix_inks(&mut byte, &[u16::from_le_bytes([color, share])]);
                    let of_curves = mixed(value, color.into(), share.into());
                    for (found, error) in [(byte[0], 0.5), (of_curves, 0.51)] {
                        assert!(
                            (f64::from(found) - exact).abs() <= error + 1e-9,
                            "{value} {color} {share}: {found}"
                        );
                    }
                    if share == 255 {
                        assert_eq!((byte[0], of_curves), (color, color));
                    }
                }
            }
        }
    }

    /// The ink of a byte, from the palette; `None` for one that stays.
    fn ink(
        palette: &Palette,
        inks: &Inks,
        plane: usize,
        levels: &[u8],
        at: usize,
    ) -> Option<(u8, u8)> {
        let places: &[usize] = match inks {
            Inks::Single(..) => &[plane],
            Inks::Double(..) => &[1, 2],
            Inks::Triple(..) => &[0, 1, 2],
            Inks::Quad(..) => &[0, 1, 2, 3],
            Inks::Pairs(..) => {
                let left = *levels.get(at / 4 * 2)?;
                let right = levels.get(at / 4 * 2 + 1);
                let both = left.midpoint(*right.unwrap_or(&left));
                return Some(match at % 4 {
                    0 => palette.ink(0, left),
                    1 => palette.ink(1, both),
                    2 => palette.ink(0, *right?),
                    _ => palette.ink(2, both),
                });
            }
        };
        let level = *levels.get(at / places.len())?;
        Some(palette.ink(places[at % places.len()], level))
    }

    /// Byte by byte from the palette, for rows of every length around that of the vectors; long stretches are of level 0.
    #[test]
    fn rows_of_every_length_get_the_ink_of_their_levels() {
        let level = |pixel: usize| match pixel % 400 {
            40..=239 => 0,
            other => (other * 37) as u8,
        };
        let byte = |at: usize| (at * 11) as u8;
        for (format, mode) in PixelFormat::ALL.into_iter().flat_map(|format| {
            let modes = [OverlayMode::Heatmap, OverlayMode::Mask, OverlayMode::Grey];
            modes.map(|mode| (format, mode))
        }) {
            let style = OverlayStyle {
                mode,
                ..OverlayStyle::default()
            };
            let palette = Palette::new(format, ColorSpace::default(), &style);
            for (plane, inks) in Inks::of_planes(format, &palette).enumerate() {
                for pixels in (0..=70).chain([255, 256, 257, 600]) {
                    let levels: Vec<u8> = (0..pixels).map(level).collect();
                    let mut row: Vec<u8> = (0..pixels * 4 + 8).map(byte).collect();
                    inks.mix(&mut row, &levels);
                    for (at, &found) in row.iter().enumerate() {
                        let place = format!("{format} {mode:?} {plane} {pixels} {at}");
                        match ink(&palette, &inks, plane, &levels, at) {
                            Some((color, share)) if share > 0 => {
                                let (before, color) = (f64::from(byte(at)), f64::from(color));
                                let exact = before + (color - before) * f64::from(share) / 255.0;
                                // As above.
                                let off = (f64::from(found) - exact).abs();
                                assert!(off <= 0.51, "{place}: {found} {exact}");
                            }
                            _ => assert_eq!(found, byte(at), "{place}"),
                        }
                    }
                }
            }
        }
    }
}

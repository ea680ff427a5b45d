//! Levels → pixels, for every format.

use crate::frame::{FrameMut, PixelFormat};

use super::area::Area;
use super::palette::{Ink, Palette};
use super::patch::Sheet;

/// What to draw on, and what may be drawn where.
pub(super) struct Canvas<'a, 'frame> {
    target: Target<'a, 'frame>,
    drawable: Area,
    line_width: usize,
    /// Mean levels of the blocks of pixels that share U and V.
    blocks: &'a mut Vec<u8>,
}

/// The bytes that are changed.
enum Target<'a, 'frame> {
    Frame(&'a mut FrameMut<'frame>, &'a Palette),
    Sheet(Sheet<'a>),
}

impl<'a, 'frame> Canvas<'a, 'frame> {
    /// `drawable` is what [`Area::drawable`] gives for the frame, `palette` was made for its format
    /// and colour space, `blocks` is a buffer.
    pub(super) fn new(
        frame: &'a mut FrameMut<'frame>,
        palette: &'a Palette,
        drawable: Area,
        blocks: &'a mut Vec<u8>,
    ) -> Canvas<'a, 'frame> {
        Canvas {
            line_width: line_width(frame.width(), frame.height()),
            target: Target::Frame(frame, palette),
            drawable,
            blocks,
        }
    }

    /// Pixels beside a frame of this `size` (width, height).
    pub(super) fn beside(
        size: (u32, u32),
        sheet: Sheet<'a>,
        drawable: Area,
        blocks: &'a mut Vec<u8>,
    ) -> Canvas<'a, 'frame> {
        Canvas {
            line_width: line_width(size.0, size.1),
            target: Target::Sheet(sheet),
            drawable,
            blocks,
        }
    }

    /// The part that may be drawn on.
    pub(super) fn drawable(&self) -> &Area {
        &self.drawable
    }

    /// The part of that which is there.
    pub(super) fn extent(&self) -> Area {
        match &self.target {
            Target::Frame(..) => self.drawable.clone(),
            Target::Sheet(sheet) => sheet.area.clone(),
        }
    }

    /// Width of lines in pixels.
    pub(super) fn line_width(&self) -> usize {
        self.line_width
    }

    /// Mixes the inks of two rows of levels into the pixels from (`x`, `y`) on.
    ///
    /// `lower` is row `y + 1`; empty if that is not to be drawn. With shared chroma `x` and `y`
    /// must be even, and U and V get the ink of their pixels' mean level: for a tint that is the
    /// mean share.
    ///
    /// # Panics
    /// If the rows do not lie in the drawable part.
    pub(super) fn paint(&mut self, place: (usize, usize), upper: &[u8], lower: &[u8]) {
        #[cfg(target_arch = "x86_64")]
        if crate::vector::Avx2::new().is_some() {
            #[allow(unsafe_code)]
            // SAFETY: the CPU has AVX2.
            return unsafe { self.paint_avx2(place, upper, lower) };
        }
        self.paint_plain(place, upper, lower);
    }

    #[cfg(target_arch = "x86_64")]
    #[target_feature(enable = "avx2")]
    fn paint_avx2(&mut self, place: (usize, usize), upper: &[u8], lower: &[u8]) {
        self.paint_plain(place, upper, lower);
    }

    #[inline(always)]
    fn paint_plain(&mut self, (x, y): (usize, usize), upper: &[u8], lower: &[u8]) {
        let Canvas { target, blocks, .. } = self;
        let (frame, palette) = match target {
            Target::Frame(frame, palette) => (frame, palette),
            Target::Sheet(sheet) => {
                sheet.paint((x, y), upper);
                sheet.paint((x, y + 1), lower);
                return;
            }
        };
        let format = frame.format();
        let rows = [(y, upper), (y + 1, lower)];
        for (y, levels) in rows.into_iter().filter(|(_, levels)| !levels.is_empty()) {
            let row = frame.row_mut(0, y);
            match format {
                PixelFormat::Gray8 | PixelFormat::Nv12 | PixelFormat::I420 => {
                    mix(&mut row[x..], levels, palette, |ink| [ink[0]]);
                }
                PixelFormat::Yuy2 => mix_pairs(&mut row[2 * x..], levels, palette),
                PixelFormat::Rgb | PixelFormat::Bgr => {
                    mix_triples(&mut row[3 * x..], levels, palette);
                }
                _ => mix(&mut row[4 * x..], levels, palette, |ink| *ink),
            }
        }
        if !matches!(format, PixelFormat::Nv12 | PixelFormat::I420) {
            return;
        }
        mean_of_blocks(upper, if lower.is_empty() { upper } else { lower }, blocks);
        if format == PixelFormat::Nv12 {
            let row = &mut frame.row_mut(1, y / 2)[x..];
            mix(row, blocks, palette, |ink| [ink[1], ink[2]]);
        } else {
            for plane in [1, 2] {
                let row = &mut frame.row_mut(plane, y / 2)[x / 2..];
                mix(row, blocks, palette, |ink| [ink[plane]]);
            }
        }
    }
}

/// Width of lines in a frame of this size: visible on a small one, 8 pixels at 1080p.
pub(super) fn line_width(width: u32, height: u32) -> usize {
    (width.min(height) as usize / 130).max(2)
}

/// Pixels, or pairs of them, whose inks are looked up before they are mixed in: the one goes pixel by pixel, the
/// other in vectors.
const BLOCK: usize = 64;

/// Mixes the ink of each level into `BYTES` bytes of a row.
#[inline(always)]
fn mix<const BYTES: usize>(
    row: &mut [u8],
    levels: &[u8],
    palette: &Palette,
    places: impl Fn(&Ink) -> [u16; BYTES],
) {
    let mut inks = [[0; BYTES]; BLOCK];
    let blocks = row.chunks_mut(BLOCK * BYTES).zip(levels.chunks(BLOCK));
    for (bytes, levels) in blocks {
        if palette.is_clear() && is_zero(levels) {
            continue;
        }
        for (ink, &level) in inks.iter_mut().zip(levels) {
            *ink = places(palette.ink(level));
        }
        mix_inks(bytes, &inks.as_flattened()[..levels.len() * BYTES]);
    }
}

/// [`mix`] into a row of three bytes a pixel.
#[inline(always)]
fn mix_triples(row: &mut [u8], levels: &[u8], palette: &Palette) {
    let mut inks = [0; 3 * BLOCK + 1];
    for (bytes, levels) in row.chunks_mut(BLOCK * 3).zip(levels.chunks(BLOCK)) {
        if palette.is_clear() && is_zero(levels) {
            continue;
        }
        // Whole inks, of which the next one covers the place that is of no use: one load and one store each.
        for (at, &level) in levels.iter().enumerate().take(BLOCK) {
            inks[3 * at..3 * at + 4].copy_from_slice(palette.ink(level));
        }
        mix_inks(bytes, &inks[..levels.len() * 3]);
    }
}

/// [`mix`] into a row of `Y0 U Y1 V`. Of an odd row the last Y1 is padding and stays.
#[inline(always)]
fn mix_pairs(row: &mut [u8], levels: &[u8], palette: &Palette) {
    let mut inks = [[0; 4]; BLOCK];
    for (bytes, levels) in row.chunks_mut(BLOCK * 4).zip(levels.chunks(BLOCK * 2)) {
        if palette.is_clear() && is_zero(levels) {
            continue;
        }
        let (pairs, last) = levels.as_chunks::<2>();
        for (ink, &[left, right]) in inks.iter_mut().zip(pairs) {
            let both = palette.ink(left.midpoint(right));
            *ink = [
                palette.ink(left)[0],
                both[1],
                palette.ink(right)[0],
                both[2],
            ];
        }
        if let ([level], Some(ink)) = (last, inks.get_mut(pairs.len())) {
            let [y, u, v, _] = *palette.ink(*level);
            *ink = [y, u, 0, v];
        }
        mix_inks(bytes, &inks.as_flattened()[..levels.len().div_ceil(2) * 4]);
    }
}

/// Without an early end, so that vectors can look.
#[inline(always)]
fn is_zero(levels: &[u8]) -> bool {
    levels.iter().fold(0, |any, &level| any | level) == 0
}

/// Mixes one place of an ink into each byte.
#[inline(always)]
fn mix_inks(bytes: &mut [u8], inks: &[u16]) {
    for (byte, &ink) in bytes.iter_mut().zip(inks) {
        *byte = mixed(*byte, ink as u8, (ink >> 8) as u8);
    }
}

/// Mean level of each 2x2 block. At an odd edge the block has one column.
#[inline(always)]
fn mean_of_blocks(upper: &[u8], lower: &[u8], blocks: &mut Vec<u8>) {
    let mean = |corners: [u8; 4]| ((corners.map(u16::from).iter().sum::<u16>() + 2) / 4) as u8;
    let ((upper, upper_end), (lower, lower_end)) = (upper.as_chunks(), lower.as_chunks());
    blocks.clear();
    blocks.extend(
        upper
            .iter()
            .zip(lower)
            .map(|(&[a, b], &[c, d])| mean([a, b, c, d])),
    );
    blocks.extend(
        upper_end
            .iter()
            .zip(lower_end)
            .map(|(&a, &b)| mean([a, a, b, b])),
    );
}

/// `share` / 255 of `color`, the rest of `value`, rounded. Exact at both ends, and fits 16 bits.
#[inline(always)]
fn mixed(value: u8, color: u8, share: u8) -> u8 {
    let (value, color, share) = (u16::from(value), u16::from(color), u16::from(share));
    let sum = value * (255 - share) + color * share + 128;
    ((sum + (sum >> 8)) >> 8) as u8
}

#[cfg(test)]
mod tests {
    use super::mixed;

    #[test]
    fn mixing_is_the_rounded_mean() {
        for value in (0..=255u8).step_by(5) {
            for color in (0..=255u8).step_by(3) {
                for share in 0..=255u8 {
                    let weight = f64::from(share) / 255.0;
                    let exact = f64::from(value) * (1.0 - weight) + f64::from(color) * weight;
                    let found = f64::from(mixed(value, color, share));
                    assert!(
                        (found - exact).abs() <= 0.5 + 1e-9,
                        "{value} {color} {share}"
                    );
                }
            }
        }
    }
}

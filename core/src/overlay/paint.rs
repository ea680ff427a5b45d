//! Levels → pixels, for every format.

use crate::frame::{FrameMut, PixelFormat};

use super::area::Area;
use super::palette::{Ink, Palette};

/// A frame to draw on, and what may be drawn where.
pub(super) struct Canvas<'a, 'frame> {
    frame: &'a mut FrameMut<'frame>,
    palette: Palette,
    drawable: Area,
    /// Mean levels of the blocks of pixels that share U and V.
    blocks: &'a mut Vec<u8>,
}

impl<'a, 'frame> Canvas<'a, 'frame> {
    /// `drawable` is what [`Area::drawable`] gives for the frame, `palette` was made for its format
    /// and colour space, `blocks` is a buffer.
    pub(super) fn new(
        frame: &'a mut FrameMut<'frame>,
        palette: Palette,
        drawable: Area,
        blocks: &'a mut Vec<u8>,
    ) -> Canvas<'a, 'frame> {
        Canvas {
            frame,
            palette,
            drawable,
            blocks,
        }
    }

    /// The part that may be drawn on.
    pub(super) fn drawable(&self) -> &Area {
        &self.drawable
    }

    /// Width of lines in pixels: visible on a small frame, 8 pixels at 1080p.
    pub(super) fn line_width(&self) -> usize {
        (self.frame.width().min(self.frame.height()) as usize / 130).max(2)
    }

    /// Mixes the inks of two rows of levels into the pixels from (`x`, `y`) on.
    ///
    /// `lower` is row `y + 1`; empty if that is not to be drawn. With shared chroma `x` and `y`
    /// must be even, and U and V get the ink of their pixels' mean level: for a tint that is the
    /// mean share.
    ///
    /// # Panics
    /// If the rows do not lie in the drawable part.
    pub(super) fn paint(&mut self, (x, y): (usize, usize), upper: &[u8], lower: &[u8]) {
        let Canvas {
            frame,
            palette,
            blocks,
            ..
        } = self;
        let format = frame.format();
        let rows = [(y, upper), (y + 1, lower)];
        for (y, levels) in rows.into_iter().filter(|(_, levels)| !levels.is_empty()) {
            let row = frame.row_mut(0, y);
            let inks = levels.iter().map(|&level| *palette.ink(level));
            match format {
                PixelFormat::Gray8 | PixelFormat::Nv12 | PixelFormat::I420 => {
                    mix::<1>(&mut row[x..], inks);
                }
                PixelFormat::Yuy2 => mix::<4>(&mut row[2 * x..], pixel_pairs(levels, palette)),
                PixelFormat::Rgb | PixelFormat::Bgr => mix::<3>(&mut row[3 * x..], inks),
                _ => mix::<4>(&mut row[4 * x..], inks),
            }
        }
        if !matches!(format, PixelFormat::Nv12 | PixelFormat::I420) {
            return;
        }
        mean_of_blocks(upper, if lower.is_empty() { upper } else { lower }, blocks);
        let inks = || blocks.iter().map(|&level| *palette.ink(level));
        if format == PixelFormat::Nv12 {
            mix::<2>(
                &mut frame.row_mut(1, y / 2)[x..],
                inks().map(|ink| ink.places([1, 2, 0, 0])),
            );
        } else {
            for plane in [1, 2] {
                let ink = inks().map(|ink| ink.places([plane; 4]));
                mix::<1>(&mut frame.row_mut(plane, y / 2)[x / 2..], ink);
            }
        }
    }
}

/// Inks for `Y0 U Y1 V`. Of an odd row the last Y1 is padding and stays.
fn pixel_pairs(levels: &[u8], palette: &Palette) -> impl Iterator<Item = Ink> {
    levels.chunks(2).map(|pair| {
        let (first, last) = (palette.ink(pair[0]), palette.ink(pair[pair.len() - 1]));
        let both = palette.ink(pair[0].midpoint(pair[pair.len() - 1]));
        let share_of_last = if pair.len() == 2 { last.share[0] } else { 0 };
        Ink {
            color: [first.color[0], both.color[1], last.color[0], both.color[2]],
            share: [first.share[0], both.share[1], share_of_last, both.share[2]],
        }
    })
}

/// Mean level of each 2x2 block. At an odd edge the block has one column.
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

/// Mixes an ink into each `BYTES` bytes of a row, for as long as there are inks.
fn mix<const BYTES: usize>(row: &mut [u8], mut inks: impl Iterator<Item = Ink>) {
    // Looking inks up goes pixel by pixel, mixing them goes in vectors: hence in blocks.
    const BLOCK: usize = 64;
    let (mut colors, mut shares) = ([[0; BYTES]; BLOCK], [[0; BYTES]; BLOCK]);
    for block in row.chunks_mut(BLOCK * BYTES) {
        let mut filled = 0;
        for (color, share) in colors.iter_mut().zip(&mut shares) {
            let Some(ink) = inks.next() else { break };
            color.copy_from_slice(&ink.color[..BYTES]);
            share.copy_from_slice(&ink.share[..BYTES]);
            filled += BYTES;
        }
        let values = &mut block[..filled];
        let (colors, shares) = (
            &colors.as_flattened()[..filled],
            &shares.as_flattened()[..filled],
        );
        for ((value, &color), &share) in values.iter_mut().zip(colors).zip(shares) {
            *value = mixed(*value, color, share);
        }
        if filled < BLOCK * BYTES {
            break;
        }
    }
}

/// `share` / 255 of `color`, the rest of `value`, rounded. Exact at both ends, and fits 16 bits.
#[inline]
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

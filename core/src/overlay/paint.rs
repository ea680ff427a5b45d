//! Levels → pixels, for every format.

use crate::frame::FrameMut;

use super::area::Area;
use super::ink::Inks;
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
    /// With the inks of each plane.
    Frame(&'a mut FrameMut<'frame>, &'a [Inks]),
    Sheet(Sheet<'a>),
}

impl<'a, 'frame> Canvas<'a, 'frame> {
    /// `drawable` is what [`Area::drawable`] gives for the frame, `inks` were made for its format
    /// and colour space, `blocks` is a buffer.
    pub(super) fn new(
        frame: &'a mut FrameMut<'frame>,
        inks: &'a [Inks],
        drawable: Area,
        blocks: &'a mut Vec<u8>,
    ) -> Canvas<'a, 'frame> {
        Canvas {
            line_width: line_width(frame.width(), frame.height()),
            target: Target::Frame(frame, inks),
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
        let (frame, inks) = match target {
            Target::Frame(frame, inks) => (frame, inks),
            Target::Sheet(sheet) => {
                sheet.paint((x, y), upper);
                sheet.paint((x, y + 1), lower);
                return;
            }
        };
        let rows = [(y, upper), (y + 1, lower)];
        for (y, levels) in rows.into_iter().filter(|(_, levels)| !levels.is_empty()) {
            inks[0].mix(frame.row_from_mut(0, x, y), levels);
        }
        if inks.len() == 1 {
            return;
        }
        mean_of_blocks(upper, if lower.is_empty() { upper } else { lower }, blocks);
        for (plane, inks) in inks.iter().enumerate().skip(1) {
            inks.mix(frame.row_from_mut(plane, x, y), blocks);
        }
    }
}

/// Width of lines in a frame of this size: visible on a small one, 8 pixels at 1080p.
pub(super) fn line_width(width: u32, height: u32) -> usize {
    (width.min(height) as usize / 130).max(2)
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

//! What levels mix into the bytes of a row.
//!
//! In whole numbers of 16 bits, so that the plain and the AVX2 version give the same bytes.

#[cfg(target_arch = "x86_64")]
mod avx2;
mod plain;

use super::curve::{Curve, Share};
use super::palette::Palette;
use crate::frame::PixelFormat;
#[cfg(target_arch = "x86_64")]
use crate::vector::Avx2;
use plain::Plain;

/// What levels mix into the bytes of a plane's rows.
#[derive(Debug)]
#[allow(clippy::large_enum_variant)] // One to three of them, in memory that is used again.
pub(super) enum Inks {
    /// On any machine.
    Plain(Plain),
    /// Only made where the CPU has these vectors.
    #[cfg(target_arch = "x86_64")]
    Avx2(Avx2, Pattern, Lines, avx2::Knots),
}

/// Which bytes of a row belong to which level.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Pattern {
    /// So many a level, 1 to 4.
    Bytes(usize),
    /// `Y0 U Y1 V` for each two levels, U and V getting the mean of both. Both Y have the first curve.
    Pairs,
}

/// Of the bytes that a pixel or a pair of pixels has, in their order, what they become.
#[derive(Debug, Clone, Copy)]
pub(super) struct Lines {
    curves: [Curve; 4],
    /// The bytes that are mixed; the others stay.
    named: [bool; 4],
    share: Share,
}

impl Inks {
    /// Those of every plane of a format.
    pub(super) fn of_planes(format: PixelFormat, palette: &Palette) -> impl Iterator<Item = Inks> {
        lines_of_planes(format, palette).map(|(pattern, lines)| Inks::new(pattern, &lines))
    }

    fn new(pattern: Pattern, lines: &Lines) -> Inks {
        #[cfg(target_arch = "x86_64")]
        if let Some(avx2) = Avx2::new() {
            return Inks::Avx2(avx2, pattern, *lines, avx2::Knots::new(lines));
        }
        Inks::Plain(Plain::new(pattern, lines))
    }

    /// Mixes the inks of `levels` into the bytes of their pixels at the beginning of `row`, as far as whole pixels or pairs go. Of an
    /// odd row of pairs the last Y1 is padding and stays.
    pub(super) fn mix(&self, row: &mut [u8], levels: &[u8]) {
        match self {
            Inks::Plain(plain) => plain.mix(row, levels),
            #[cfg(target_arch = "x86_64")]
            Inks::Avx2(avx2, pattern, lines, knots) => {
                avx2.mix(lines, knots, *pattern, row, levels)
            }
        }
    }
}

fn lines_of_planes(
    format: PixelFormat,
    palette: &Palette,
) -> impl Iterator<Item = (Pattern, Lines)> {
    let values = *palette.values();
    let [y, u, v, _] = values;
    let planes = match format {
        PixelFormat::Gray8 => [Some((Pattern::Bytes(1), [y; 4])), None, None],
        PixelFormat::Nv12 => [
            Some((Pattern::Bytes(1), [y; 4])),
            Some((Pattern::Bytes(2), [u, v, u, v])),
            None,
        ],
        PixelFormat::I420 => [y, u, v].map(|curve| Some((Pattern::Bytes(1), [curve; 4]))),
        PixelFormat::Yuy2 => [Some((Pattern::Pairs, [y, u, y, v])), None, None],
        // The bytes of a pixel instead.
        PixelFormat::Rgb | PixelFormat::Bgr => [Some((Pattern::Bytes(3), values)), None, None],
        _ => [Some((Pattern::Bytes(4), values)), None, None],
    };
    let (share, named) = (palette.share(), palette.named());
    planes.into_iter().flatten().map(move |(pattern, curves)| {
        let named = match pattern {
            Pattern::Bytes(4) => named,
            _ => [true; 4],
        };
        let lines = Lines {
            curves,
            named,
            share,
        };
        (pattern, lines)
    })
}

#[cfg(test)]
mod tests {
    use super::plain::mixed;
    use super::*;
    use crate::frame::ColorSpace;
    use crate::overlay::curve::{STEPS, WHOLE, way};
    use crate::overlay::{OverlayMode, OverlayStyle};

    /// Half a level, and what floats lose.
    const ERROR: f64 = 0.5 + 1e-9;

    #[test]
    fn mixing_is_the_rounded_mean() {
        for value in (0..=255u8).step_by(5) {
            for color in (0..=255 * STEPS).step_by(97).chain([255 * STEPS]) {
                for share in (0..=WHOLE).step_by(3).chain([WHOLE]) {
                    let exact = exact_mean(value, (color, share));
                    let found = mixed(value, color, share);
                    assert!(
                        (f64::from(found) - exact).abs() <= ERROR,
                        "{value} {color} {share}: {found}"
                    );
                }
            }
            for color in 0..=255 {
                assert_eq!(mixed(value, color * STEPS, WHOLE), color as u8);
                assert_eq!(mixed(value, color * STEPS, 0), value);
            }
        }
    }

    fn exact_mean(value: u8, (color, share): (i16, i16)) -> f64 {
        let share = f64::from(share) / f64::from(WHOLE);
        let (value, color) = (f64::from(value), f64::from(color) / f64::from(STEPS));
        value + (color - value) * share
    }

    /// Colour and share of a byte, from the palette; `None` for one that stays.
    fn ink(
        palette: &Palette,
        pattern: Pattern,
        plane: usize,
        levels: &[u8],
        at: usize,
    ) -> Option<(i16, i16)> {
        let (place, level) = match pattern {
            Pattern::Bytes(1) => (plane, *levels.get(at)?),
            Pattern::Bytes(2) => (1 + at % 2, *levels.get(at / 2)?),
            Pattern::Bytes(bytes) => (at % bytes, *levels.get(at / bytes)?),
            Pattern::Pairs => {
                let left = *levels.get(at / 4 * 2)?;
                let right = levels.get(at / 4 * 2 + 1);
                let both = left.midpoint(*right.unwrap_or(&left));
                match at % 4 {
                    0 => (0, left),
                    1 => (1, both),
                    2 => (0, *right?),
                    _ => (2, both),
                }
            }
        };
        let color = palette.values()[place].at_way(way(level));
        palette.named()[place].then(|| (color, palette.share().at(level)))
    }

    /// Byte by byte from the palette, and with the plain loops the very same, for rows of every length around that of the vectors;
    /// long stretches are of level 0.
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
            for (plane, (pattern, lines)) in lines_of_planes(format, &palette).enumerate() {
                let plain = Plain::new(pattern, &lines);
                let inks = Inks::new(pattern, &lines);
                for pixels in (0..=70).chain([255, 256, 257, 600]) {
                    let levels: Vec<u8> = (0..pixels).map(level).collect();
                    let before: Vec<u8> = (0..pixels * 4 + 8).map(byte).collect();
                    let mut row = before.clone();
                    inks.mix(&mut row, &levels);
                    for (at, &found) in row.iter().enumerate() {
                        let place = format!("{format} {mode:?} {plane} {pixels} {at}");
                        match ink(&palette, pattern, plane, &levels, at) {
                            Some(ink) => {
                                let off = (f64::from(found) - exact_mean(byte(at), ink)).abs();
                                assert!(off <= ERROR, "{place}: {found} {ink:?}");
                            }
                            None => assert_eq!(found, byte(at), "{place}"),
                        }
                    }
                    let mut plainly = before.clone();
                    plain.mix(&mut plainly, &levels);
                    assert_eq!(plainly, row, "{format} {mode:?} {plane} {pixels}");
                    // A row that ends before its levels do, amid a pixel.
                    let short = before[..(pixels * 2).saturating_sub(pixels % 5)].to_vec();
                    let mut short = [short.clone(), short];
                    inks.mix(&mut short[0], &levels);
                    plain.mix(&mut short[1], &levels);
                    assert_eq!(short[0], short[1], "{format} {mode:?} {plane} {pixels}");
                }
            }
        }
    }

    /// Every level with every value, in each place of a pixel.
    #[test]
    fn vectors_give_the_bytes_of_the_plain_loops() {
        for (format, opacity) in PixelFormat::ALL
            .into_iter()
            .flat_map(|format| [0.0, 0.3, 1.0].map(|opacity| (format, opacity)))
        {
            let style = OverlayStyle {
                mode: OverlayMode::Heatmap,
                opacity,
                ..OverlayStyle::default()
            };
            let palette = Palette::new(format, ColorSpace::default(), &style);
            for (pattern, lines) in lines_of_planes(format, &palette) {
                // A pixel's bytes are alike; in pairs, the second level runs ahead of the first.
                let (bytes, ahead) = match pattern {
                    Pattern::Bytes(bytes) => (bytes, 0),
                    Pattern::Pairs => (2, 37),
                };
                let level = |pixel: usize| (pixel / 256 + ahead * (pixel % 2)) as u8;
                let levels: Vec<u8> = (0..65536).map(level).collect();
                for shift in 0..2 {
                    let value = |at: usize| (at / bytes + shift) as u8;
                    let values: Vec<u8> = (0..levels.len() * bytes).map(value).collect();
                    let mut rows = [values.clone(), values];
                    Inks::new(pattern, &lines).mix(&mut rows[0], &levels);
                    Plain::new(pattern, &lines).mix(&mut rows[1], &levels);
                    assert!(rows[0] == rows[1], "{format} {opacity} {shift}");
                }
            }
        }
    }
}

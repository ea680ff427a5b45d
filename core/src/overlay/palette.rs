//! What a level of 0 to 255 does to a pixel, prepared for the frame's own colour space.

use crate::frame::{ColorSpace, PixelFormat};

use super::{OverlayMode, OverlayStyle};

/// A colour and how much of it is mixed into a pixel.
///
/// The four places are the bytes of a packed RGB pixel in their order, or Y, U, V and nothing. Each holds the
/// value in its lower byte and its share, 0 to 255, in the upper one, so that vectors get both at once.
pub(super) type Ink = [u16; 4];

/// One [`Ink`] for every level.
#[derive(Debug, Clone)]
pub(super) struct Palette {
    inks: [Ink; 256],
    /// Whether level 0 leaves pixels as they are.
    clear: bool,
}

impl Palette {
    /// That of a style.
    pub(super) fn new(format: PixelFormat, space: ColorSpace, style: &OverlayStyle) -> Palette {
        match style.mode {
            OverlayMode::Heatmap => Palette::heat(format, space, style.opacity),
            OverlayMode::Grey => Palette::grey(format, space, style.opacity),
            _ => Palette::tint(format, space, style.color, style.opacity),
        }
    }

    /// The words of a [`super::Patch`], one for every level: that of a share of 0 is 0.
    pub(super) fn words(style: &OverlayStyle) -> [u32; 256] {
        let palette = Palette::new(PixelFormat::Argb, ColorSpace::default(), style);
        palette.inks.map(|[_, red, green, blue]| {
            let alpha = (red >> 8) as u8;
            let word = u32::from_be_bytes([alpha, red as u8, green as u8, blue as u8]);
            if alpha == 0 { 0 } else { word }
        })
    }

    /// One colour, whose share grows with the level up to `opacity`.
    fn tint(format: PixelFormat, space: ColorSpace, color: [u8; 3], opacity: f32) -> Palette {
        Palette::of(format, space, |level| (color, opacity * level))
    }

    /// A colour for every level. Low levels are mixed in more weakly, so that the picture remains
    /// to be seen where nothing is salient.
    fn heat(format: PixelFormat, space: ColorSpace, opacity: f32) -> Palette {
        Palette::of(format, space, |level| {
            (heat_color(level), opacity * (0.4 + 0.6 * level))
        })
    }

    /// The level itself as a grey, mixed in alike everywhere.
    fn grey(format: PixelFormat, space: ColorSpace, opacity: f32) -> Palette {
        Palette::of(format, space, |level| {
            ([(level * 255.0).round() as u8; 3], opacity)
        })
    }

    /// The ink of a level.
    #[inline]
    pub(super) fn ink(&self, level: u8) -> &Ink {
        &self.inks[usize::from(level)]
    }

    /// Whether levels that are all 0 leave pixels as they are.
    pub(super) fn is_clear(&self) -> bool {
        self.clear
    }

    /// `ink` gives RGB and its share in [0, 1] for levels in [0, 1].
    fn of(format: PixelFormat, space: ColorSpace, ink: impl Fn(f32) -> ([u8; 3], f32)) -> Palette {
        let mut inks = [[0; 4]; 256];
        for (level, entry) in inks.iter_mut().enumerate() {
            let (rgb, share) = ink(level as f32 / 255.0);
            let share = (share.clamp(0.0, 1.0) * 255.0).round() as u8;
            let share = u16::from(share) << 8;
            let (values, places) = match format.packed_rgb() {
                Some(packed) => (rgb, packed.offsets),
                None => (space.yuv_from_rgb(rgb), [0, 1, 2]),
            };
            // The places that are not named, alpha or nothing, keep a share of 0.
            for (value, place) in values.into_iter().zip(places) {
                entry[place] = share | u16::from(value);
            }
        }
        let clear = inks[0].iter().all(|place| place >> 8 == 0);
        Palette { inks, clear }
    }
}

/// Colours of the heat map at levels 0, 1/4, ... 1: night blue, violet, red, orange, pale yellow,
/// each about a quarter of the way brighter than the one before.
const HEAT: [[u8; 3]; 5] = [
    [10, 12, 60],
    [104, 28, 150],
    [214, 70, 96],
    [250, 158, 54],
    [252, 244, 168],
];

/// Colour of a level in [0, 1].
fn heat_color(level: f32) -> [u8; 3] {
    let position = level.clamp(0.0, 1.0) * (HEAT.len() - 1) as f32;
    let first = (position as usize).min(HEAT.len() - 2);
    let share = position - first as f32;
    let (from, to) = (HEAT[first], HEAT[first + 1]);
    std::array::from_fn(|channel| {
        let (from, to) = (f32::from(from[channel]), f32::from(to[channel]));
        (from + (to - from) * share).round() as u8
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn heat_grows_brighter_with_every_level() {
        // BT.601 luma; every 8th level, as rounding to bytes blurs single steps.
        let luma = |level: u8| {
            let [red, green, blue] = heat_color(f32::from(level) / 255.0).map(f32::from);
            0.299 * red + 0.587 * green + 0.114 * blue
        };
        for level in (8..=248).step_by(8) {
            assert!(luma(level) > luma(level - 8) + 3.0, "level {level}");
        }
    }

    #[test]
    fn a_tint_has_its_bytes_in_the_order_of_the_format_and_leaves_alpha() {
        let palette = Palette::tint(PixelFormat::Abgr, ColorSpace::default(), [9, 99, 200], 1.0);
        assert_eq!(
            palette.ink(255),
            &[0, 0xff00 | 200, 0xff00 | 99, 0xff00 | 9]
        );
        assert_eq!(palette.ink(0).map(|place| place >> 8), [0; 4]);
        assert!(palette.is_clear());
        assert!(!Palette::heat(PixelFormat::Nv12, ColorSpace::default(), 0.5).is_clear());
    }

    #[test]
    fn opacity_out_of_range_is_clipped_and_nan_draws_nothing() {
        for (opacity, expected) in [(-1.0, 0), (7.0, 255), (f32::NAN, 0)] {
            let palette = Palette::tint(PixelFormat::Rgb, ColorSpace::default(), [1; 3], opacity);
            assert_eq!(palette.ink(255)[0] >> 8, expected, "opacity {opacity}");
        }
    }
}

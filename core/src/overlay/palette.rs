//! What a level of 0 to 255 does to a pixel, prepared for the frame's own colour space.

use crate::frame::{ColorSpace, PixelFormat};

use super::curve::{Curve, KNOTS, Share};
use super::{OverlayMode, OverlayStyle};

/// A colour, and how much of it is mixed into a pixel, for every level.
///
/// The four places are the bytes of a packed RGB pixel in their order, or Y, U, V and nothing.
#[derive(Debug, Clone)]
pub(super) struct Palette {
    values: [Curve; 4],
    share: Share,
    /// The places that have a value; the others stay as they are.
    named: [bool; 4],
}

impl Palette {
    /// That of a style.
    pub(super) fn new(format: PixelFormat, space: ColorSpace, style: &OverlayStyle) -> Palette {
        let opacity = style.opacity.clamp(0.0, 1.0);
        match style.mode {
            OverlayMode::Heatmap => Palette::heat(format, space, opacity),
            OverlayMode::Grey => Palette::grey(format, space, opacity),
            _ => Palette::tint(format, space, style.color, opacity),
        }
    }

    /// The words of a [`super::Patch`], one for every level: that of a share of 0 is 0.
    pub(super) fn words(style: &OverlayStyle) -> [u32; 256] {
        let palette = Palette::new(PixelFormat::Argb, ColorSpace::default(), style);
        std::array::from_fn(|level| {
            let [_, (red, alpha), (green, _), (blue, _)] =
                std::array::from_fn(|place| palette.ink(place, level as u8));
            let word = u32::from_be_bytes([alpha, red, green, blue]);
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

    /// Value and share, 0 to 255, of a place at a level.
    pub(super) fn ink(&self, place: usize, level: u8) -> (u8, u8) {
        let share = if self.named[place] {
            self.share.exact(level)
        } else {
            0.0
        };
        (self.values[place].at(level), (share * 255.0).round() as u8)
    }

    /// The values of all places.
    pub(super) fn values(&self) -> &[Curve; 4] {
        &self.values
    }

    /// The places that have a value.
    pub(super) fn named(&self) -> [bool; 4] {
        self.named
    }

    /// The share of those.
    pub(super) fn share(&self) -> Share {
        self.share
    }

    /// `ink` gives RGB and its share in [0, 1] for levels in [0, 1]; shares lie on a line, and do not fall.
    fn of(format: PixelFormat, space: ColorSpace, ink: impl Fn(f32) -> ([u8; 3], f32)) -> Palette {
        let places = format.packed_rgb().map(|packed| packed.offsets);
        let colors = KNOTS.map(|level| {
            let (rgb, _) = ink(f32::from(level) / 255.0);
            match places {
                Some(_) => rgb,
                None => space.yuv_from_rgb(rgb),
            }
        });
        let (mut values, mut named) = ([Curve::default(); 4], [false; 4]);
        for (index, place) in places.unwrap_or([0, 1, 2]).into_iter().enumerate() {
            values[place] = Curve(colors.map(|color| color[index]));
            named[place] = true;
        }
        Palette {
            values,
            share: Share::between(ink(0.0).1, ink(1.0).1),
            named,
        }
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
        let inks = |level| std::array::from_fn(|place| palette.ink(place, level));
        assert_eq!(inks(255), [(0, 0), (200, 255), (99, 255), (9, 255)]);
        assert_eq!(inks(0).map(|(_, share)| share), [0; 4]);
        assert!(palette.share().is_clear());
        let heat = Palette::heat(PixelFormat::Nv12, ColorSpace::default(), 0.5);
        assert!(!heat.share().is_clear());
    }

    #[test]
    fn opacity_out_of_range_is_clipped_and_nan_draws_nothing() {
        for (opacity, expected) in [(-1.0, 0), (7.0, 255), (f32::NAN, 0)] {
            let style = |mode| OverlayStyle {
                mode,
                color: [1; 3],
                opacity,
            };
            let of = |mode| Palette::new(PixelFormat::Rgb, ColorSpace::default(), &style(mode));
            let palette = of(OverlayMode::Mask);
            // Two fifths of the opacity where nothing is salient.
            assert_eq!(of(OverlayMode::Heatmap).ink(0, 0).1, expected / 5 * 2);
            assert_eq!(palette.ink(0, 255).1, expected, "opacity {opacity}");
        }
    }

    /// The exact colour and share, in the frame's colour space: two levels more or less, because knots lie at whole
    /// levels, and their values and those of the exact colour have each been rounded.
    #[test]
    fn curves_are_what_they_stand_for_at_every_level() {
        let space = ColorSpace::default();
        for opacity in [0.3, 0.6, 1.0] {
            let rgb = Palette::heat(PixelFormat::Rgb, space, opacity);
            let yuv = Palette::heat(PixelFormat::Nv12, space, opacity);
            for level in 0..=255 {
                let color = heat_color(f32::from(level) / 255.0);
                let share = opacity * (0.4 + 0.6 * f32::from(level) / 255.0) * 255.0;
                for (palette, color) in [(&rgb, color), (&yuv, space.yuv_from_rgb(color))] {
                    for (place, color) in color.into_iter().enumerate() {
                        let (value, found) = palette.ink(place, level);
                        assert!(value.abs_diff(color) <= 2, "{level} {value} {color}");
                        let off = (f32::from(found) - share).abs();
                        // Rounded; and by three 32767ths below, which are a fiftieth.
                        assert!(off <= 0.52, "{level} {found} {share}");
                    }
                }
            }
        }
        // What is linear is exact: a grey's levels, and a tint's share at full opacity.
        let grey = Palette::grey(PixelFormat::Rgb, space, 1.0);
        let tint = Palette::tint(PixelFormat::Rgb, space, [7; 3], 1.0);
        for level in 0..=255 {
            assert_eq!(grey.ink(1, level), (level, 255));
            assert_eq!(tint.ink(1, level), (7, level));
        }
    }
}

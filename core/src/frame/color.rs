//! Between RGB and the YUV values of video: which coefficients, which range.

/// Luma coefficients of a YUV format: ITU-R BT.601, BT.709, BT.2020.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum ColorMatrix {
    /// Standard definition.
    #[default]
    Bt601,
    /// High definition.
    Bt709,
    /// Ultra-high definition.
    Bt2020,
}

impl ColorMatrix {
    /// Weights of red and blue in luma; green has the rest to 1.
    fn red_and_blue(self) -> (f64, f64) {
        match self {
            ColorMatrix::Bt601 => (0.299, 0.114),
            ColorMatrix::Bt709 => (0.2126, 0.0722),
            ColorMatrix::Bt2020 => (0.2627, 0.0593),
        }
    }
}

/// How YUV and grey values are to be read. RGB formats are taken as full range.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct ColorSpace {
    /// Luma coefficients.
    pub matrix: ColorMatrix,
    /// True: 0..=255. False: luma 16..=235, chroma 16..=240.
    pub full_range: bool,
}

impl ColorSpace {
    /// Luma of black, and the spans of luma (black to white) and of chroma (lowest to highest).
    fn levels(self) -> (f64, f64, f64) {
        if self.full_range {
            (0.0, 255.0, 255.0)
        } else {
            (16.0, 219.0, 224.0)
        }
    }

    /// The nearest Y, U, V of an RGB colour.
    pub fn yuv_from_rgb(self, rgb: [u8; 3]) -> [u8; 3] {
        let (red_weight, blue_weight) = self.matrix.red_and_blue();
        let (black, luma_span, chroma_span) = self.levels();
        let [red, green, blue] = rgb.map(|value| f64::from(value) / 255.0);
        let luma = red_weight * red + (1.0 - red_weight - blue_weight) * green + blue_weight * blue;
        let u = (blue - luma) / (2.0 * (1.0 - blue_weight));
        let v = (red - luma) / (2.0 * (1.0 - red_weight));
        // Float to integer saturates, which catches pure blue and red in full range (128 + 127.5).
        let byte = |value: f64| value.round() as u8;
        [
            byte(black + luma_span * luma),
            byte(128.0 + chroma_span * u),
            byte(128.0 + chroma_span * v),
        ]
    }

    /// The nearest RGB colour of Y, U, V; what lies outside RGB is clipped.
    pub fn rgb_from_yuv(self, yuv: [u8; 3]) -> [u8; 3] {
        YuvDecoder::new(self).rgb(yuv[0], yuv[1], yuv[2])
    }
}

/// YUV → RGB in integers, for whole pictures; within 1 level of the exact result.
///
/// With y = Y - [`black`](Self::black), u = U - 128 and v = V - 128: red is `luma y + red_of_v v`, green
/// `luma y + green_of_u u + green_of_v v`, blue `luma y + blue_of_u u`, each plus a half, shifted right by
/// [`FRACTION`](Self::FRACTION) bits and clipped to 0..=255. Grey is `luma y` alone.
#[derive(Debug, Clone, Copy)]
pub struct YuvDecoder {
    /// Luma of black.
    pub black: i32,
    /// Factor of luma; all factors in units of 2^-[`FRACTION`](Self::FRACTION).
    pub luma: i32,
    /// Factor of V in red.
    pub red_of_v: i32,
    /// Factor of U in green.
    pub green_of_u: i32,
    /// Factor of V in green.
    pub green_of_v: i32,
    /// Factor of U in blue.
    pub blue_of_u: i32,
}

impl YuvDecoder {
    /// Bits after the point; 255 * 2.2 * 2^16 still fits an i32 by far.
    pub const FRACTION: u32 = 16;

    /// For values of this colour space.
    pub fn new(color: ColorSpace) -> YuvDecoder {
        let (red_weight, blue_weight) = color.matrix.red_and_blue();
        let green_weight = 1.0 - red_weight - blue_weight;
        let (black, luma_span, chroma_span) = color.levels();
        let fixed = |factor: f64| (factor * f64::from(1 << Self::FRACTION)).round() as i32;
        let chroma = 255.0 / chroma_span;
        let (red, blue) = (2.0 * (1.0 - red_weight), 2.0 * (1.0 - blue_weight));
        YuvDecoder {
            black: black as i32,
            luma: fixed(255.0 / luma_span),
            red_of_v: fixed(chroma * red),
            green_of_u: fixed(-chroma * blue * blue_weight / green_weight),
            green_of_v: fixed(-chroma * red * red_weight / green_weight),
            blue_of_u: fixed(chroma * blue),
        }
    }

    /// RGB of one pixel.
    #[inline(always)]
    pub(crate) fn rgb(&self, y: u8, u: u8, v: u8) -> [u8; 3] {
        let half = 1 << (Self::FRACTION - 1);
        let luma = self.luma * (i32::from(y) - self.black) + half;
        let (u, v) = (i32::from(u) - 128, i32::from(v) - 128);
        let byte = |value: i32| (value >> Self::FRACTION).clamp(0, 255) as u8;
        [
            byte(luma + self.red_of_v * v),
            byte(luma + self.green_of_u * u + self.green_of_v * v),
            byte(luma + self.blue_of_u * u),
        ]
    }

    /// The grey of a luma value, all three of RGB.
    #[inline]
    pub(crate) fn grey(&self, y: u8) -> u8 {
        let half = 1 << (Self::FRACTION - 1);
        let value = self.luma * (i32::from(y) - self.black) + half;
        (value >> Self::FRACTION).clamp(0, 255) as u8
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SPACES: [ColorSpace; 6] = {
        const fn space(matrix: ColorMatrix, full_range: bool) -> ColorSpace {
            ColorSpace { matrix, full_range }
        }
        [
            space(ColorMatrix::Bt601, false),
            space(ColorMatrix::Bt601, true),
            space(ColorMatrix::Bt709, false),
            space(ColorMatrix::Bt709, true),
            space(ColorMatrix::Bt2020, false),
            space(ColorMatrix::Bt2020, true),
        ]
    };

    #[test]
    fn without_a_word_it_is_bt601_in_limited_range() {
        // ITU-R BT.601: Y = 16 + 65.481, U = 128 - 37.797, V = 128 + 112 for R = 1.
        assert_eq!(
            ColorSpace::default().yuv_from_rgb([255, 0, 0]),
            [81, 90, 240]
        );
    }

    /// Both ways may share a wrong coefficient, so each matrix has numbers of its own. From the luma
    /// weights of ITU-R BT.601, BT.709 and BT.2020, limited range: Y = 16 + 219 w, and
    /// 128 - 112 w / (1 - w') for the other colour's difference.
    #[test]
    fn red_and_blue_are_those_of_the_recommendations() {
        for (matrix, red, blue) in [
            (ColorMatrix::Bt601, [81, 90, 240], [41, 240, 110]),
            (ColorMatrix::Bt709, [63, 102, 240], [32, 240, 118]),
            (ColorMatrix::Bt2020, [74, 97, 240], [29, 240, 119]),
        ] {
            let space = ColorSpace {
                matrix,
                full_range: false,
            };
            assert_eq!(space.yuv_from_rgb([255, 0, 0]), red, "{matrix:?}");
            assert_eq!(space.yuv_from_rgb([0, 0, 255]), blue, "{matrix:?}");
        }
        // JFIF, which is BT.601 in full range: Y = 0.299 · 255, U = 128 - 0.1687 · 255.
        let jfif = ColorSpace {
            matrix: ColorMatrix::Bt601,
            full_range: true,
        };
        assert_eq!(jfif.yuv_from_rgb([255, 0, 0]), [76, 85, 255]);
    }

    #[test]
    fn black_and_white_are_the_ends_of_the_range_and_without_colour() {
        for space in SPACES {
            let (black, white) = if space.full_range {
                (0, 255)
            } else {
                (16, 235)
            };
            assert_eq!(space.yuv_from_rgb([0; 3]), [black, 128, 128]);
            assert_eq!(space.yuv_from_rgb([255; 3]), [white, 128, 128]);
            assert_eq!(space.rgb_from_yuv([black, 128, 128]), [0; 3]);
            assert_eq!(space.rgb_from_yuv([white, 128, 128]), [255; 3]);
        }
    }

    #[test]
    fn a_colour_survives_the_way_to_yuv_and_back() {
        // Rounding to 8 bits costs up to half a level in each of Y, U, V; limited range and the
        // largest factor (2.14 for blue of BT.2020) make that 0.5 * 1.17 + 0.5 * 2.14 = 1.7,
        // plus the final rounding.
        for space in SPACES {
            for code in 0..4096u32 {
                let rgb = [code & 15, code >> 4 & 15, code >> 8].map(|value| (value * 17) as u8);
                let back = space.rgb_from_yuv(space.yuv_from_rgb(rgb));
                for (before, after) in rgb.iter().zip(back) {
                    assert!(before.abs_diff(after) <= 2, "{space:?} {rgb:?} {back:?}");
                }
            }
        }
    }

    #[test]
    fn values_outside_the_range_are_clipped() {
        let space = ColorSpace::default();
        assert_eq!(space.rgb_from_yuv([0, 128, 128]), [0; 3]);
        assert_eq!(space.rgb_from_yuv([255, 128, 128]), [255; 3]);
        assert_eq!(YuvDecoder::new(space).grey(0), 0);
        assert_eq!(YuvDecoder::new(space).grey(255), 255);
    }
}

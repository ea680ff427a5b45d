//! Pixel formats: names, planes, and where the colours lie.

/// Memory layout of a frame. Names follow GStreamer's; `x` is a byte without meaning.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum PixelFormat {
    /// Packed, 3 bytes a pixel.
    Rgb,
    /// Packed, 3 bytes a pixel.
    Bgr,
    /// Packed, 4 bytes a pixel.
    Rgba,
    /// Packed, 4 bytes a pixel.
    Bgra,
    /// Packed, 4 bytes a pixel.
    Argb,
    /// Packed, 4 bytes a pixel.
    Abgr,
    /// Packed, 4 bytes a pixel.
    Rgbx,
    /// Packed, 4 bytes a pixel.
    Bgrx,
    /// Packed, 4 bytes a pixel.
    Xrgb,
    /// Packed, 4 bytes a pixel.
    Xbgr,
    /// One luma byte a pixel; its range is the colour space's.
    Gray8,
    /// Luma plane, then a plane of interleaved U V at half width and height.
    Nv12,
    /// Luma plane, then U and V planes at half width and height.
    I420,
    /// Packed 4:2:2, `Y0 U Y1 V` for two pixels.
    Yuy2,
}

/// Where the colours lie in a pixel of a packed RGB format.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct PackedRgb {
    /// Bytes of a pixel, 3 or 4.
    pub bytes: usize,
    /// Byte of red, of green and of blue.
    pub offsets: [usize; 3],
}

/// Extent of one plane.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct PlaneSize {
    /// Samples of a row.
    pub columns: u32,
    /// Rows.
    pub rows: u32,
    /// Bytes of a sample: all that is stored together, so 2 for U V of NV12 and 4 for the two
    /// pixels `Y0 U Y1 V` of YUY2.
    pub sample_bytes: usize,
}

impl PlaneSize {
    /// Bytes of a row that carry the picture.
    pub fn row_bytes(&self) -> usize {
        self.columns as usize * self.sample_bytes
    }
}

impl PixelFormat {
    /// Every format.
    pub const ALL: [PixelFormat; 14] = [
        PixelFormat::Rgb,
        PixelFormat::Bgr,
        PixelFormat::Rgba,
        PixelFormat::Bgra,
        PixelFormat::Argb,
        PixelFormat::Abgr,
        PixelFormat::Rgbx,
        PixelFormat::Bgrx,
        PixelFormat::Xrgb,
        PixelFormat::Xbgr,
        PixelFormat::Gray8,
        PixelFormat::Nv12,
        PixelFormat::I420,
        PixelFormat::Yuy2,
    ];

    /// GStreamer's name of the format, as in caps.
    pub fn name(self) -> &'static str {
        match self {
            PixelFormat::Rgb => "RGB",
            PixelFormat::Bgr => "BGR",
            PixelFormat::Rgba => "RGBA",
            PixelFormat::Bgra => "BGRA",
            PixelFormat::Argb => "ARGB",
            PixelFormat::Abgr => "ABGR",
            PixelFormat::Rgbx => "RGBx",
            PixelFormat::Bgrx => "BGRx",
            PixelFormat::Xrgb => "xRGB",
            PixelFormat::Xbgr => "xBGR",
            PixelFormat::Gray8 => "GRAY8",
            PixelFormat::Nv12 => "NV12",
            PixelFormat::I420 => "I420",
            PixelFormat::Yuy2 => "YUY2",
        }
    }

    /// The format with this GStreamer name.
    pub fn from_name(name: &str) -> Option<PixelFormat> {
        PixelFormat::ALL
            .into_iter()
            .find(|format| format.name() == name)
    }

    /// Number of planes, 1 to 3.
    pub fn plane_count(self) -> usize {
        match self {
            PixelFormat::Nv12 => 2,
            PixelFormat::I420 => 3,
            _ => 1,
        }
    }

    /// Where the colours lie in a pixel; `None` for grey and YUV.
    pub fn packed_rgb(self) -> Option<PackedRgb> {
        let (bytes, offsets) = match self {
            PixelFormat::Rgb => (3, [0, 1, 2]),
            PixelFormat::Bgr => (3, [2, 1, 0]),
            PixelFormat::Rgba | PixelFormat::Rgbx => (4, [0, 1, 2]),
            PixelFormat::Bgra | PixelFormat::Bgrx => (4, [2, 1, 0]),
            PixelFormat::Argb | PixelFormat::Xrgb => (4, [1, 2, 3]),
            PixelFormat::Abgr | PixelFormat::Xbgr => (4, [3, 2, 1]),
            PixelFormat::Gray8 | PixelFormat::Nv12 | PixelFormat::I420 | PixelFormat::Yuy2 => {
                return None;
            }
        };
        Some(PackedRgb { bytes, offsets })
    }

    /// Extent of plane `plane` of a frame of `width` x `height`; half sizes are rounded up.
    pub fn plane_size(self, plane: usize, width: u32, height: u32) -> PlaneSize {
        let (halved_columns, halved_rows, sample_bytes) = match (self, plane) {
            (PixelFormat::Yuy2, _) => (true, false, 4),
            (PixelFormat::Nv12, 1..) => (true, true, 2),
            (PixelFormat::I420, 1..) => (true, true, 1),
            _ => (
                false,
                false,
                self.packed_rgb().map_or(1, |packed| packed.bytes),
            ),
        };
        PlaneSize {
            columns: if halved_columns {
                width.div_ceil(2)
            } else {
                width
            },
            rows: if halved_rows {
                height.div_ceil(2)
            } else {
                height
            },
            sample_bytes,
        }
    }

    /// Columns and rows of pixels that share their U and V; 1 where none do.
    pub(crate) fn chroma_block(self) -> (u32, u32) {
        match self {
            PixelFormat::Nv12 | PixelFormat::I420 => (2, 2),
            PixelFormat::Yuy2 => (2, 1),
            _ => (1, 1),
        }
    }

    /// True if two or four pixels share their U and V.
    pub fn shares_chroma(self) -> bool {
        matches!(
            self,
            PixelFormat::Nv12 | PixelFormat::I420 | PixelFormat::Yuy2
        )
    }
}

impl std::fmt::Display for PixelFormat {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_gstreamers_and_lead_back() {
        for format in PixelFormat::ALL {
            assert_eq!(PixelFormat::from_name(format.name()), Some(format));
        }
        assert_eq!(PixelFormat::from_name("rgb"), None);
    }

    #[test]
    fn half_sizes_are_rounded_up() {
        // 17x33: chroma 9x17; a YUY2 row is 2 * round_up_2(17) = 36 bytes.
        let size = |format: PixelFormat, plane| format.plane_size(plane, 17, 33);
        assert_eq!(size(PixelFormat::Nv12, 1).row_bytes(), 18);
        assert_eq!(size(PixelFormat::I420, 2).row_bytes(), 9);
        assert_eq!(size(PixelFormat::I420, 2).rows, 17);
        assert_eq!(size(PixelFormat::Yuy2, 0).row_bytes(), 36);
        assert_eq!(size(PixelFormat::Yuy2, 0).rows, 33);
    }
}

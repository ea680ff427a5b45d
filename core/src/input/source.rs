//! What is read of each format's planes.

use crate::frame::{PixelFormat, PlaneSize};

/// Bytes of one plane that are read as samples, and which of each sample's bytes are used.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Source {
    pub(super) plane: usize,
    /// Bytes from one sample to the next, 1 to 4.
    pub(super) sample_bytes: usize,
    /// Bytes of a sample that are used.
    pub(super) channels: &'static [usize],
}

/// One after the other, their channels are red, green, blue; or Y, U, V; or grey.
pub(super) fn sources(format: PixelFormat) -> &'static [Source] {
    const fn source(plane: usize, sample_bytes: usize, channels: &'static [usize]) -> Source {
        Source {
            plane,
            sample_bytes,
            channels,
        }
    }
    const LUMA: Source = source(0, 1, &[0]);
    match format {
        PixelFormat::Rgb => const { &[source(0, 3, &[0, 1, 2])] },
        PixelFormat::Bgr => const { &[source(0, 3, &[2, 1, 0])] },
        PixelFormat::Rgba | PixelFormat::Rgbx => const { &[source(0, 4, &[0, 1, 2])] },
        PixelFormat::Bgra | PixelFormat::Bgrx => const { &[source(0, 4, &[2, 1, 0])] },
        PixelFormat::Argb | PixelFormat::Xrgb => const { &[source(0, 4, &[1, 2, 3])] },
        PixelFormat::Abgr | PixelFormat::Xbgr => const { &[source(0, 4, &[3, 2, 1])] },
        PixelFormat::Gray8 => const { &[LUMA] },
        PixelFormat::Nv12 => const { &[LUMA, source(1, 2, &[0, 1])] },
        PixelFormat::I420 => const { &[LUMA, source(1, 1, &[0]), source(2, 1, &[0])] },
        // Read as pairs (luma, some chroma) the first of each is luma at full width. Read as fours, U and V are where
        // they are.
        PixelFormat::Yuy2 => const { &[source(0, 2, &[0]), source(0, 4, &[1, 3])] },
    }
}

impl Source {
    /// The plane as samples of this source.
    pub(super) fn size(&self, format: PixelFormat, width: u32, height: u32) -> PlaneSize {
        let stored = format.plane_size(self.plane, width, height);
        if self.sample_bytes == stored.sample_bytes {
            return stored;
        }
        PlaneSize {
            columns: width,
            sample_bytes: self.sample_bytes,
            ..stored
        }
    }
}

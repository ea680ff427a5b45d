//! A plane of a frame as the resizer wants it: rows of pixels at any stride, without a copy.

#![allow(unsafe_code)]

use fast_image_resize::pixels::{U8, U8x2, U8x3, U8x4};
use fast_image_resize::{ImageView, PixelTrait};

use crate::frame::{Plane, PlaneSize};

/// A pixel made of bytes, to which any bytes may be reinterpreted.
///
/// # Safety
/// The type consists of bytes alone, has an alignment of 1, and every value of its bytes is valid.
pub(super) unsafe trait BytePixel: PixelTrait {}

// SAFETY: all four are `repr(C)` around an array of u8.
unsafe impl BytePixel for U8 {}
// SAFETY: as above.
unsafe impl BytePixel for U8x2 {}
// SAFETY: as above.
unsafe impl BytePixel for U8x3 {}
// SAFETY: as above.
unsafe impl BytePixel for U8x4 {}

/// The first `columns` pixels of each row of a plane.
///
/// The crate's own views need rows without padding; GStreamer pads a row of RGB to 4 bytes, so
/// that its stride often is not even a whole number of pixels.
pub(super) struct PlaneRows<'a, P> {
    plane: Plane<'a>,
    columns: u32,
    rows: u32,
    pixel: std::marker::PhantomData<P>,
}

impl<'a, P: BytePixel> PlaneRows<'a, P> {
    /// Rows of `plane`, whose extent is `size`; the plane was checked when its frame was made.
    pub(super) fn new(plane: Plane<'a>, size: PlaneSize) -> PlaneRows<'a, P> {
        debug_assert_eq!(size.sample_bytes, P::size());
        PlaneRows {
            plane,
            columns: size.columns,
            rows: size.rows,
            pixel: std::marker::PhantomData,
        }
    }

    fn row(&self, y: u32) -> &'a [P] {
        let bytes = self.columns as usize * P::size();
        let row = &self.plane.data[y as usize * self.plane.stride..][..bytes];
        // SAFETY: P is bytes with an alignment of 1 and no invalid values (`BytePixel`).
        let (before, pixels, after) = unsafe { row.align_to::<P>() };
        // `align_to` may in theory leave bytes out; rows shorter than `columns` would be unsound.
        assert!(
            before.is_empty() && after.is_empty(),
            "pixels of bytes have no alignment"
        );
        pixels
    }
}

// SAFETY: `row` returns exactly `columns` pixels or panics, and `columns` is the width.
unsafe impl<P: BytePixel> ImageView for PlaneRows<'_, P> {
    type Pixel = P;

    fn width(&self) -> u32 {
        self.columns
    }

    fn height(&self) -> u32 {
        self.rows
    }

    fn iter_rows(&self, start_row: u32) -> impl Iterator<Item = &[P]> {
        (start_row..self.rows).map(|y| self.row(y))
    }
}

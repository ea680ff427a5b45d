//! A picture in memory: the pixel formats that decoders and cameras give, with their strides.

mod color;
mod format;
mod part;
#[cfg(test)]
mod picture;

pub use color::{ColorMatrix, ColorSpace, YuvDecoder};
pub use format::{PackedRgb, PixelFormat, PlaneSize};
#[cfg(test)]
pub(crate) use picture::Picture;

use crate::error::{Error, Result};

/// Largest width and height of a frame.
pub const MAX_SIDE: u32 = 16384;

/// Most planes that a format has.
pub const MAX_PLANES: usize = 3;

/// One plane's bytes; row `y` begins at `y * stride`.
#[derive(Debug, Clone, Copy, Default)]
pub struct Plane<'a> {
    /// The bytes, at least `(rows - 1) * stride + row_bytes` of them.
    pub data: &'a [u8],
    /// Bytes from one row to the next.
    pub stride: usize,
}

/// One writable plane, see [`Plane`].
#[derive(Debug, Default)]
pub struct PlaneMut<'a> {
    /// The bytes, at least `(rows - 1) * stride + row_bytes` of them.
    pub data: &'a mut [u8],
    /// Bytes from one row to the next.
    pub stride: usize,
}

/// A read-only picture. [`Frame::new`] checks the planes, so later stages index without failing.
#[derive(Debug, Clone)]
pub struct Frame<'a> {
    format: PixelFormat,
    width: u32,
    height: u32,
    color: ColorSpace,
    /// Those beyond the format's number are empty. No `Vec`: a frame is made for every buffer.
    planes: [Plane<'a>; MAX_PLANES],
}

impl<'a> Frame<'a> {
    /// A picture of `width` x `height` pixels, each 1 to [`MAX_SIDE`].
    ///
    /// # Errors
    /// [`Error::Frame`] if the size is out of range, or `planes` are not those of `format`: their
    /// number, a stride below a row's bytes, or too few bytes.
    pub fn new(
        format: PixelFormat,
        width: u32,
        height: u32,
        color: ColorSpace,
        planes: impl IntoIterator<Item = Plane<'a>>,
    ) -> Result<Frame<'a>> {
        let (planes, count) = array(planes);
        let extents = planes.iter().map(|plane| (plane.data.len(), plane.stride));
        check_planes(format, width, height, count, extents)?;
        Ok(Frame {
            format,
            width,
            height,
            color,
            planes,
        })
    }

    /// Memory layout.
    pub fn format(&self) -> PixelFormat {
        self.format
    }

    /// Width in pixels.
    pub fn width(&self) -> u32 {
        self.width
    }

    /// Height in pixels.
    pub fn height(&self) -> u32 {
        self.height
    }

    /// How YUV and grey values are to be read.
    pub fn color(&self) -> ColorSpace {
        self.color
    }

    /// The plane with this index.
    ///
    /// # Panics
    /// If `index` is not below the format's [`plane_count`](PixelFormat::plane_count).
    pub fn plane(&self, index: usize) -> Plane<'a> {
        self.planes[..self.format.plane_count()][index]
    }
}

/// A writable picture, for overlays.
#[derive(Debug)]
pub struct FrameMut<'a> {
    format: PixelFormat,
    width: u32,
    height: u32,
    color: ColorSpace,
    /// As a [`Frame`]'s.
    planes: [PlaneMut<'a>; MAX_PLANES],
}

impl<'a> FrameMut<'a> {
    /// A writable picture of `width` x `height` pixels, each 1 to [`MAX_SIDE`].
    ///
    /// # Errors
    /// Those of [`Frame::new`].
    pub fn new(
        format: PixelFormat,
        width: u32,
        height: u32,
        color: ColorSpace,
        planes: impl IntoIterator<Item = PlaneMut<'a>>,
    ) -> Result<FrameMut<'a>> {
        let (planes, count) = array(planes);
        let extents = planes.iter().map(|plane| (plane.data.len(), plane.stride));
        check_planes(format, width, height, count, extents)?;
        Ok(FrameMut {
            format,
            width,
            height,
            color,
            planes,
        })
    }

    /// Memory layout.
    pub fn format(&self) -> PixelFormat {
        self.format
    }

    /// Width in pixels.
    pub fn width(&self) -> u32 {
        self.width
    }

    /// Height in pixels.
    pub fn height(&self) -> u32 {
        self.height
    }

    /// How YUV and grey values are to be read.
    pub fn color(&self) -> ColorSpace {
        self.color
    }

    /// The plane with this index, to read.
    ///
    /// # Panics
    /// If `index` is not below the format's [`plane_count`](PixelFormat::plane_count).
    pub fn plane(&self, index: usize) -> Plane<'_> {
        let PlaneMut { data, stride } = &self.planes[..self.format.plane_count()][index];
        Plane {
            data,
            stride: *stride,
        }
    }

    /// The same picture, to read.
    pub fn as_frame(&self) -> Frame<'_> {
        let FrameMut {
            format,
            width,
            height,
            color,
            ..
        } = *self;
        let planes = self.planes.each_ref().map(|plane| Plane {
            data: plane.data,
            stride: plane.stride,
        });
        Frame {
            format,
            width,
            height,
            color,
            planes,
        }
    }

    /// The row of plane `index` that pixel (`x`, `y`) is in, from that pixel on, without its padding; the pixel is the
    /// first of those that share a sample. Kept from the public, as is the whole plane: nobody may replace a plane that
    /// was checked.
    pub(crate) fn row_from_mut(&mut self, index: usize, x: usize, y: usize) -> &mut [u8] {
        let row_bytes = |width: u32| self.format.plane_size(index, width, 0).row_bytes();
        let (start, end) = (row_bytes(x as u32), row_bytes(self.width));
        let row = self.format.plane_size(index, 0, y as u32).rows as usize;
        let PlaneMut { data, stride } = &mut self.planes[index];
        &mut data[row * *stride..][start..end]
    }
}

/// The first planes, and how many there were.
fn array<T: Default>(planes: impl IntoIterator<Item = T>) -> ([T; MAX_PLANES], usize) {
    let mut first: [T; MAX_PLANES] = std::array::from_fn(|_| T::default());
    let mut count = 0;
    for plane in planes {
        if let Some(place) = first.get_mut(count) {
            *place = plane;
        }
        count += 1;
    }
    (first, count)
}

/// Checks size, number, strides and lengths of `count` planes, given as (length, stride).
fn check_planes(
    format: PixelFormat,
    width: u32,
    height: u32,
    count: usize,
    planes: impl Iterator<Item = (usize, usize)>,
) -> Result<()> {
    let unusable = |reason: String| {
        Err(Error::Frame {
            width,
            height,
            format: format.name(),
            reason,
        })
    };
    if !(1..=MAX_SIDE).contains(&width) || !(1..=MAX_SIDE).contains(&height) {
        return unusable(format!("width and height must be 1 to {MAX_SIDE}"));
    }
    if count != format.plane_count() {
        let (given, needed) = (count, format.plane_count());
        return unusable(format!(
            "it has {given} planes, but the format has {needed}"
        ));
    }
    for (index, (length, stride)) in planes.take(count).enumerate() {
        let size = format.plane_size(index, width, height);
        let row_bytes = size.row_bytes();
        if stride < row_bytes {
            return unusable(format!(
                "plane {index} has a stride of {stride}, but a row takes {row_bytes} bytes"
            ));
        }
        // A stride is the caller's number and may be anything up to usize::MAX.
        let needed = stride
            .checked_mul(size.rows as usize - 1)
            .and_then(|bytes| bytes.checked_add(row_bytes));
        if needed.is_none_or(|needed| length < needed) {
            return unusable(format!(
                "plane {index} has {length} bytes, too few for {} rows at a stride of {stride}",
                size.rows
            ));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame<'a>(
        format: PixelFormat,
        width: u32,
        height: u32,
        planes: &[(&'a [u8], usize)],
    ) -> Result<Frame<'a>> {
        let planes = planes.iter().map(|&(data, stride)| Plane { data, stride });
        Frame::new(format, width, height, ColorSpace::default(), planes)
    }

    #[test]
    fn odd_sizes_round_chroma_up() {
        // 17x33 has chroma of 9x17, so that a stride of 8 is too small.
        let (luma, chroma) = ([0; 17 * 33], [0; 9 * 17]);
        assert!(
            frame(
                PixelFormat::I420,
                17,
                33,
                &[(&luma, 17), (&chroma, 9), (&chroma, 9)]
            )
            .is_ok()
        );
        assert!(
            frame(
                PixelFormat::I420,
                17,
                33,
                &[(&luma, 17), (&chroma, 8), (&chroma, 9)]
            )
            .is_err()
        );
    }

    #[test]
    fn the_last_row_needs_no_padding() {
        // 3 rows of 3 pixels at a stride of 12: 12 + 12 + 9.
        assert!(frame(PixelFormat::Rgb, 3, 3, &[(&[0; 33], 12)]).is_ok());
        assert!(frame(PixelFormat::Rgb, 3, 3, &[(&[0; 32], 12)]).is_err());
    }

    #[test]
    fn a_wrong_number_of_planes_is_refused() {
        assert!(frame(PixelFormat::Nv12, 2, 2, &[(&[0; 4], 2)]).is_err());
        assert!(frame(PixelFormat::Gray8, 2, 2, &[(&[0; 4], 2), (&[0; 4], 2)]).is_err());
        assert!(frame(PixelFormat::Gray8, 2, 2, &[]).is_err());
    }

    #[test]
    fn sizes_out_of_range_are_refused() {
        let bytes = vec![0; MAX_SIDE as usize + 1];
        assert!(frame(PixelFormat::Gray8, 0, 1, &[(&bytes, 1)]).is_err());
        assert!(frame(PixelFormat::Gray8, 1, 0, &[(&bytes, 1)]).is_err());
        assert!(
            frame(
                PixelFormat::Gray8,
                MAX_SIDE,
                1,
                &[(&bytes, MAX_SIDE as usize)]
            )
            .is_ok()
        );
        assert!(
            frame(
                PixelFormat::Gray8,
                MAX_SIDE + 1,
                1,
                &[(&bytes, bytes.len())]
            )
            .is_err()
        );
    }

    #[test]
    fn a_huge_stride_is_refused_without_overflow() {
        let error = frame(PixelFormat::Gray8, 1, 3, &[(&[0; 9], usize::MAX)]).unwrap_err();
        assert!(error.to_string().contains("too few"), "{error}");
    }
}

//! For tests: the same picture in any format, with padding that must not be read or written.

use super::{ColorSpace, Frame, FrameMut, PixelFormat, Plane, PlaneMut};

/// Bytes after each row, so that strides are not whole numbers of pixels.
const PADDING: usize = 5;

/// A frame that owns its bytes.
#[derive(Clone)]
pub(crate) struct Picture {
    format: PixelFormat,
    width: u32,
    height: u32,
    color: ColorSpace,
    planes: Vec<Vec<u8>>,
}

impl Picture {
    /// The picture that has the colour `rgb(x, y)` in each pixel; where pixels share U and V, their
    /// mean. Padding, alpha and `x` bytes hold something else in every place.
    pub(crate) fn new(
        format: PixelFormat,
        (width, height): (u32, u32),
        color: ColorSpace,
        rgb: impl Fn(u32, u32) -> [u8; 3],
    ) -> Picture {
        let planes = (0..format.plane_count()).map(|plane| {
            let size = format.plane_size(plane, width, height);
            let bytes = (size.row_bytes() + PADDING) * size.rows as usize;
            (0..bytes).map(|index| (index * 37 + 101) as u8).collect()
        });
        let planes = planes.collect();
        let mut picture = Picture {
            format,
            width,
            height,
            color,
            planes,
        };
        let yuv = |x: u32, y: u32| color.yuv_from_rgb(rgb(x.min(width - 1), y.min(height - 1)));
        for (x, y) in (0..height).flat_map(|y| (0..width).map(move |x| (x, y))) {
            let values = if format.packed_rgb().is_some() {
                rgb(x, y)
            } else {
                yuv(x, y)
            };
            for (channel, mut value) in values.into_iter().enumerate() {
                let Some((plane, at)) = picture.place(channel, x, y) else {
                    continue;
                };
                if format.shares_chroma() && channel > 0 {
                    let (left, top) = (x & !1, y & !1);
                    // YUY2 has chroma in every row.
                    let rows = if format == PixelFormat::Yuy2 {
                        [y, y]
                    } else {
                        [top, top + 1]
                    };
                    let block = rows.map(|y| [left, left + 1].map(|x| yuv(x, y)[channel]));
                    let sum: u32 = block
                        .as_flattened()
                        .iter()
                        .map(|&value| u32::from(value))
                        .sum();
                    value = ((sum + 2) / 4) as u8;
                }
                picture.planes[plane][at] = value;
            }
        }
        picture
    }

    pub(crate) fn frame(&self) -> Frame<'_> {
        let planes = self.planes.iter().enumerate();
        let planes = planes.map(|(index, data)| Plane {
            data,
            stride: self.stride(index),
        });
        Frame::new(self.format, self.width, self.height, self.color, planes).unwrap()
    }

    pub(crate) fn frame_mut(&mut self) -> FrameMut<'_> {
        let strides: Vec<usize> = (0..self.planes.len())
            .map(|index| self.stride(index))
            .collect();
        let planes = self.planes.iter_mut().zip(strides);
        let planes = planes.map(|(data, stride)| PlaneMut { data, stride });
        FrameMut::new(self.format, self.width, self.height, self.color, planes).unwrap()
    }

    /// Colour of a pixel.
    pub(crate) fn rgb(&self, x: u32, y: u32) -> [u8; 3] {
        let values = [0, 1, 2].map(|channel| {
            self.place(channel, x, y)
                .map_or(128, |(plane, at)| self.planes[plane][at])
        });
        if self.format.packed_rgb().is_some() {
            values
        } else {
            self.color.rgb_from_yuv(values)
        }
    }

    /// Every byte that is not part of the picture.
    pub(crate) fn other_bytes(&self) -> Vec<u8> {
        let mut planes: Vec<Vec<Option<u8>>> = self
            .planes
            .iter()
            .map(|plane| plane.iter().copied().map(Some).collect())
            .collect();
        for (x, y) in (0..self.height).flat_map(|y| (0..self.width).map(move |x| (x, y))) {
            for (plane, at) in (0..3).filter_map(|channel| self.place(channel, x, y)) {
                planes[plane][at] = None;
            }
        }
        planes.into_iter().flatten().flatten().collect()
    }

    fn stride(&self, plane: usize) -> usize {
        self.format
            .plane_size(plane, self.width, self.height)
            .row_bytes()
            + PADDING
    }

    /// Plane and byte of one channel, of RGB or YUV; `None` for the chroma of grey.
    fn place(&self, channel: usize, x: u32, y: u32) -> Option<(usize, usize)> {
        let (x, y) = (x as usize, y as usize);
        let at =
            |plane: usize, byte: usize, row: usize| Some((plane, row * self.stride(plane) + byte));
        if let Some(packed) = self.format.packed_rgb() {
            return at(0, packed.bytes * x + packed.offsets[channel], y);
        }
        match (self.format, channel) {
            (PixelFormat::Yuy2, 0) => at(0, 2 * x, y),
            (PixelFormat::Yuy2, _) => at(0, x / 2 * 4 + 2 * channel - 1, y),
            (_, 0) => at(0, x, y),
            (PixelFormat::Nv12, _) => at(1, x / 2 * 2 + channel - 1, y / 2),
            (PixelFormat::I420, _) => at(channel, x / 2, y / 2),
            _ => None,
        }
    }
}

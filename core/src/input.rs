//! Frame → the network's input pixels.
//!
//! Every plane is resized in its own layout, and only the small result is converted to RGB: a 1080p
//! frame has forty times the pixels of the input. The filter is Pillow's antialiased bilinear, the
//! one that the authors' transforms use. One row of the input is finished after the other, so that what
//! lies between frame and input is a single row.

mod filter;
mod kernel;
mod reading;
#[cfg(test)]
mod tests;

pub use reading::{Reading, WEIGHT_ONE, readings};

use crate::error::{Error, Result};
use crate::frame::{Frame, PixelFormat, PlaneSize, YuvDecoder};
use crate::geometry::Geometry;
use filter::{Axis, ColumnFilter, Filter};
use kernel::Kernel;

/// Resizes frames to the network's input; keeps its buffers and weights from frame to frame.
///
/// After the first frame of a size nothing is allocated.
#[derive(Debug, Default)]
pub struct InputBuilder {
    kernel: Kernel,
    /// Weights of luma or RGB, and of chroma.
    rows: [Filter; 2],
    columns: [ColumnFilter; 2],
    /// One row of a plane, resized in height alone.
    sum: Vec<i16>,
    /// One resized row of each plane.
    resized: [Vec<u8>; 3],
}

impl InputBuilder {
    /// Writes `[S, S, 3]` RGB bytes of `frame` laid out by `geometry` into `pixels`,
    /// S = `geometry.input_size`.
    ///
    /// Alpha is ignored. Chroma samples are taken to lie in the middle of their pixels. Grey gives
    /// equal R, G and B.
    ///
    /// # Errors
    /// [`Error::Frame`] if `geometry` was made for another size of frame, [`Error::Config`] if its
    /// square is not inside of the resized frame.
    pub fn build(
        &mut self,
        frame: &Frame<'_>,
        geometry: &Geometry,
        pixels: &mut Vec<u8>,
    ) -> Result<()> {
        check(frame, geometry)?;
        let side = geometry.input_size as usize;
        pixels.resize(side * side * 3, 0);
        self.prepare(frame, geometry);
        let decoder = YuvDecoder::new(frame.color());
        for (y, pixels) in pixels.chunks_exact_mut(side * 3).enumerate() {
            match frame.format() {
                PixelFormat::Rgb => self.resize_row::<3>(frame, (0, 0), y, pixels),
                PixelFormat::Bgr => {
                    self.resize_row::<3>(frame, (0, 0), y, pixels);
                    pixels
                        .chunks_exact_mut(3)
                        .for_each(|pixel| pixel.swap(0, 2));
                }
                PixelFormat::Rgba | PixelFormat::Rgbx => self.pick(frame, [0, 1, 2], y, pixels),
                PixelFormat::Bgra | PixelFormat::Bgrx => self.pick(frame, [2, 1, 0], y, pixels),
                PixelFormat::Argb | PixelFormat::Xrgb => self.pick(frame, [1, 2, 3], y, pixels),
                PixelFormat::Abgr | PixelFormat::Xbgr => self.pick(frame, [3, 2, 1], y, pixels),
                PixelFormat::Gray8 => {
                    let luma = self.resize::<1>(frame, (0, 0), y, 0);
                    for (pixel, &y) in pixels.chunks_exact_mut(3).zip(luma) {
                        pixel.fill(decoder.grey(y));
                    }
                }
                PixelFormat::Nv12 => {
                    self.resize::<1>(frame, (0, 0), y, 0);
                    self.resize::<2>(frame, (1, 1), y, 1);
                    let [luma, chroma, _] = &self.resized;
                    let yuv = [luma, chroma, &chroma[1..]];
                    self.kernel.decode::<1, 2>(&decoder, yuv, pixels);
                }
                PixelFormat::I420 => {
                    self.resize::<1>(frame, (0, 0), y, 0);
                    self.resize::<1>(frame, (1, 1), y, 1);
                    self.resize::<1>(frame, (2, 1), y, 2);
                    let [luma, u, v] = &self.resized;
                    self.kernel.decode::<1, 1>(&decoder, [luma, u, v], pixels);
                }
                PixelFormat::Yuy2 => {
                    // Read as pairs (luma, some chroma) the first of each is luma at full width; the
                    // second mixes U with V and is not used. Read as fours, U and V are where they are.
                    self.resize::<2>(frame, (0, 0), y, 0);
                    self.resize::<4>(frame, (0, 1), y, 1);
                    let [luma, chroma, _] = &self.resized;
                    let yuv = [luma, &chroma[1..], &chroma[3..]];
                    self.kernel.decode::<2, 4>(&decoder, yuv, pixels);
                }
            }
        }
        Ok(())
    }

    /// Makes the weights, if they are not there already.
    fn prepare(&mut self, frame: &Frame<'_>, geometry: &Geometry) {
        let format = frame.format();
        let size = |plane| format.plane_size(plane, frame.width(), frame.height());
        let mut lay = |which: usize, size: PlaneSize| {
            let (columns, rows) = axes(size, geometry);
            self.columns[which].prepare(columns, size.sample_bytes);
            self.rows[which].prepare(rows);
        };
        match format {
            PixelFormat::Yuy2 => {
                lay(
                    0,
                    PlaneSize {
                        columns: frame.width(),
                        sample_bytes: 2,
                        ..size(0)
                    },
                );
                lay(1, size(0));
            }
            PixelFormat::Nv12 | PixelFormat::I420 => {
                lay(0, size(0));
                lay(1, size(1));
            }
            _ => lay(0, size(0)),
        }
    }

    /// Row `y` of the input, of one plane of samples of `BYTES` bytes.
    ///
    /// `(plane, weights)` says which plane is read and which weights are those of its extent.
    fn resize_row<const BYTES: usize>(
        &mut self,
        frame: &Frame<'_>,
        (plane, weights): (usize, usize),
        y: usize,
        resized: &mut [u8],
    ) {
        let columns = &self.columns[weights];
        // Of a cropped frame only the columns that are seen.
        let (first, last) = columns.filter.extent();
        let values = (last - first) * BYTES;
        self.sum.resize(columns.row_len(BYTES), 0);
        let sum = &mut self.sum[..values];
        let rows = self.rows[weights].tap(y);
        self.kernel
            .add_rows(frame.plane(plane), first * BYTES, rows, sum);
        self.kernel
            .add_columns::<BYTES>(&self.sum, first, columns, resized);
    }

    /// [`resize_row`](Self::resize_row) into the buffer `slot`.
    fn resize<const BYTES: usize>(
        &mut self,
        frame: &Frame<'_>,
        place: (usize, usize),
        y: usize,
        slot: usize,
    ) -> &[u8] {
        let mut resized = std::mem::take(&mut self.resized[slot]);
        resized.resize(self.columns[place.1].filter.len() * BYTES, 0);
        self.resize_row::<BYTES>(frame, place, y, &mut resized);
        self.resized[slot] = resized;
        &self.resized[slot]
    }

    /// Row `y` of the input from pixels of four bytes, three of which are the colours.
    fn pick(
        &mut self,
        frame: &Frame<'_>,
        [red, green, blue]: [usize; 3],
        y: usize,
        pixels: &mut [u8],
    ) {
        let packed = self.resize::<4>(frame, (0, 0), y, 0);
        for (pixel, packed) in pixels.chunks_exact_mut(3).zip(packed.as_chunks::<4>().0) {
            pixel.copy_from_slice(&[packed[red], packed[green], packed[blue]]);
        }
    }
}

/// That `geometry` is one of this frame and asks for pixels inside of it.
fn check(frame: &Frame<'_>, geometry: &Geometry) -> Result<()> {
    let (width, height) = (frame.width(), frame.height());
    if (geometry.frame_width, geometry.frame_height) != (width, height) {
        let (made_width, made_height) = (geometry.frame_width, geometry.frame_height);
        return Err(Error::Frame {
            width,
            height,
            format: frame.format().name(),
            reason: format!("its geometry was made for {made_width}x{made_height}"),
        });
    }
    check_square(geometry)
}

/// That the square of `geometry` is inside of its resized frame.
fn check_square(geometry: &Geometry) -> Result<()> {
    let side = geometry.input_size;
    let fits = |offset: u32, resized| offset.checked_add(side).is_some_and(|end| end <= resized);
    let (offset, resized) = (geometry.offset, geometry.resized);
    if side == 0 || !fits(offset.0, resized.0) || !fits(offset.1, resized.1) {
        return Err(Error::Config {
            what: "geometry",
            value: format!("a square of {side} at {offset:?} in {resized:?}"),
            expected: "the square must be inside and not empty".to_owned(),
        });
    }
    Ok(())
}

/// Columns and rows of a plane of this size, as far as they become the input.
fn axes(size: PlaneSize, geometry: &Geometry) -> (Axis, Axis) {
    let Geometry {
        frame_width: width,
        frame_height: height,
        resized,
        offset,
        input_size: side,
        ..
    } = *geometry;
    (
        part(size.columns, width, resized.0, offset.0, side),
        part(size.rows, height, resized.1, offset.1, side),
    )
}

/// The part of one axis of a plane that becomes the input.
///
/// Weights depend on the place in the source alone, so that resizing the crop's part gives the very
/// pixels that cropping the resized frame would.
fn part(samples: u32, pixels: u32, resized: u32, offset: u32, side: u32) -> Axis {
    // A chroma plane of an odd frame covers one pixel more than the frame: half of the last sample
    // lies outside. (Of a frame one pixel wide it is all the same.)
    let extent = if samples == pixels {
        f64::from(pixels)
    } else {
        f64::from(pixels) / 2.0
    };
    let scale = extent / f64::from(resized);
    Axis {
        samples,
        start: f64::from(offset) * scale,
        length: f64::from(side) * scale,
        resized: side,
    }
}

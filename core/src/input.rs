//! Frame → the network's input pixels.
//!
//! Every plane is resized in its own layout, and only the small result is converted to RGB: a 1080p
//! frame has forty times the pixels of the input. The filter is Pillow's antialiased bilinear, the
//! one that the authors' transforms use. A few rows of the input are finished after the others, so that what
//! lies between frame and input stays in the cache.

mod filter;
mod kernel;
mod reading;
mod source;
#[cfg(test)]
mod tests;

pub use reading::{Reading, WEIGHT_ONE, readings};

use std::ops::Range;

use crate::error::{Error, Result};
use crate::frame::{Frame, PixelFormat, Plane, PlaneSize, YuvDecoder};
use crate::geometry::Geometry;
use filter::{Axis, ColumnFilter, Filter};
use kernel::{Kernel, Pair, ROWS, Sums, row_bytes};
use source::{Source, sources};

/// Resizes frames to the network's input; keeps its buffers and weights from frame to frame.
///
/// After the first frame of a size nothing is allocated.
#[derive(Debug, Default)]
pub struct InputBuilder {
    kernel: Kernel,
    /// One for each plane of a format.
    resizers: [Resizer; 3],
    /// [`ROWS`] resized rows of each channel, of [`row_bytes`] each.
    channels: [Vec<u8>; 3],
}

/// Makes rows of the input out of one plane.
#[derive(Debug, Default)]
struct Resizer {
    rows: Filter,
    /// Of every source that is read of the plane.
    columns: [Columns; 2],
    /// Bytes of a row that some source reads: of a cropped frame only the columns that are seen.
    bytes: Range<usize>,
    /// Values from one row of `sums` to the next: more than there are bytes, see [`Kernel::row_len`].
    stride: usize,
    /// [`ROWS`] rows of the plane, resized in height alone.
    sums: Vec<i16>,
}

/// Makes channels of one source's samples.
#[derive(Debug, Default)]
struct Columns {
    filter: ColumnFilter,
    /// The samples of [`ROWS`] rows, turned.
    pairs: Vec<Pair>,
}

impl InputBuilder {
    /// Rows of the input that are made together: parts of it are best as long as a multiple.
    pub const ROWS: usize = ROWS;

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
        self.build_rows(frame, geometry, 0..geometry.input_size as usize, pixels)
    }

    /// Writes these `rows` of the input alone, as [`build`](Self::build) would, into `pixels`, `[rows, S, 3]`. Rows
    /// beyond the input there are none.
    ///
    /// # Errors
    /// As [`build`](Self::build).
    pub fn build_rows(
        &mut self,
        frame: &Frame<'_>,
        geometry: &Geometry,
        rows: Range<usize>,
        pixels: &mut Vec<u8>,
    ) -> Result<()> {
        check(frame, geometry)?;
        let side = geometry.input_size as usize;
        let rows = rows.start..rows.end.min(side);
        pixels.resize(rows.len() * side * 3, 0);
        let planes = || by_plane(sources(frame.format()));
        for (resizer, sources) in self.resizers.iter_mut().zip(planes()) {
            resizer.prepare(sources, frame, geometry);
        }
        for channel in &mut self.channels {
            channel.resize(row_bytes(side) * ROWS, 0);
        }
        for (block, pixels) in pixels.chunks_mut(ROWS * side * 3).enumerate() {
            let mut channels = &mut self.channels[..];
            for (resizer, sources) in self.resizers.iter_mut().zip(planes()) {
                let first = rows.start + block * ROWS;
                let plane = frame.plane(sources[0].plane);
                channels = resizer.resize(self.kernel, plane, sources, first, channels);
            }
            self.mix(frame, side, pixels);
        }
        Ok(())
    }

    /// The channels of these rows → their pixels, `[rows, S, 3]`.
    fn mix(&mut self, frame: &Frame<'_>, side: usize, pixels: &mut [u8]) {
        let decoder = YuvDecoder::new(frame.color());
        let mut colours = [0, 1, 2];
        match frame.format() {
            PixelFormat::Nv12 | PixelFormat::I420 | PixelFormat::Yuy2 => {
                let [y, u, v] = &mut self.channels;
                self.kernel.decode(&decoder, [y, u, v]);
            }
            PixelFormat::Gray8 => {
                let luma = self.channels[0].iter_mut();
                luma.for_each(|value| *value = decoder.grey(*value));
                colours = [0; 3];
            }
            _ => {}
        }
        for (row, pixels) in pixels.chunks_exact_mut(side * 3).enumerate() {
            let place = row * row_bytes(side);
            let colours = colours.map(|at| &self.channels[at][place..place + row_bytes(side)]);
            self.kernel.interleave(colours, pixels);
        }
    }
}

/// The sources of each plane: those of one follow each other.
fn by_plane(sources: &[Source]) -> impl Iterator<Item = &[Source]> {
    sources.chunk_by(|source, next| source.plane == next.plane)
}

impl Resizer {
    /// For these sources of one plane of `frame`.
    fn prepare(&mut self, sources: &[Source], frame: &Frame<'_>, geometry: &Geometry) {
        let (mut start, mut end, mut read_end) = (usize::MAX, 0, 0);
        for (source, columns) in sources.iter().zip(&mut self.columns) {
            let size = source.size(frame.format(), frame.width(), frame.height());
            let (width, height) = axes(size, geometry);
            self.rows.prepare(height);
            columns.filter.prepare(width);
            let bytes = columns.bytes(source);
            start = start.min(bytes.start);
            end = end.max(bytes.end);
            read_end = read_end.max(bytes.start + columns.row_len(source));
        }
        self.bytes = start..end;
        self.stride = read_end - start;
        // What is left of other frames between these bytes and the next row is computed with and not read.
        self.sums.resize(self.stride * ROWS, 0);
    }

    /// Rows of the input from `first` on, as many as there are of [`ROWS`], of the sources' channels; the other channels.
    fn resize<'c>(
        &mut self,
        kernel: Kernel,
        plane: Plane<'_>,
        sources: &[Source],
        first: usize,
        mut channels: &'c mut [Vec<u8>],
    ) -> &'c mut [Vec<u8>] {
        // What is left of other rows beyond the input's last ones is computed with and not read.
        let rows = first..self.rows.len();
        for (y, sums) in rows.zip(self.sums.chunks_exact_mut(self.stride)) {
            let sums = &mut sums[..self.bytes.len()];
            kernel.add_rows(plane, self.bytes.start, self.rows.tap(y), sums);
        }
        for (source, columns) in sources.iter().zip(&mut self.columns) {
            let (these, others) = channels.split_at_mut(source.channels.len());
            let from = columns.bytes(source).start - self.bytes.start;
            let rows = Sums {
                values: &self.sums[from..],
                stride: self.stride,
            };
            columns.resize(kernel, source, rows, these);
            channels = others;
        }
        channels
    }
}

impl Columns {
    /// Bytes of a row that are read.
    fn bytes(&self, source: &Source) -> Range<usize> {
        let (start, end) = self.filter.filter.extent();
        start * source.sample_bytes..end * source.sample_bytes
    }

    /// See [`Kernel::row_len`].
    fn row_len(&self, source: &Source) -> usize {
        Kernel::row_len(&self.filter, source.sample_bytes)
    }

    fn resize(
        &mut self,
        kernel: Kernel,
        source: &Source,
        rows: Sums<'_>,
        channels: &mut [Vec<u8>],
    ) {
        let Columns { filter, pairs } = self;
        let used = source.channels;
        match source.sample_bytes {
            1 => kernel.add_columns::<1>(rows, filter, used, pairs, channels),
            2 => kernel.add_columns::<2>(rows, filter, used, pairs, channels),
            3 => kernel.add_columns::<3>(rows, filter, used, pairs, channels),
            _ => kernel.add_columns::<4>(rows, filter, used, pairs, channels),
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

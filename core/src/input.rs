//! Frame → the network's input pixels.
//!
//! Every plane is resized in its own layout, and only the small result is converted to RGB: a 1080p
//! frame has forty times the pixels of the input. The filter is Pillow's antialiased bilinear, the
//! one that the authors' transforms use.

mod rows;
#[cfg(test)]
mod tests;

use fast_image_resize::images::TypedImage;
use fast_image_resize::pixels::{U8, U8x2, U8x3, U8x4};
use fast_image_resize::{FilterType, ResizeAlg, ResizeOptions, Resizer};

use crate::error::{Error, Result};
use crate::frame::{ColorSpace, Frame, PixelFormat, PlaneSize, YuvDecoder};
use crate::geometry::Geometry;
use rows::{BytePixel, PlaneRows};

/// Resizes frames to the network's input; keeps its buffers from frame to frame.
///
/// After the first frame of a size nothing is allocated but the resizer's filter coefficients,
/// some ten kilobytes a plane.
#[derive(Debug, Default)]
pub struct InputBuilder {
    resizer: Resizer,
    /// Resized planes whose layout is not that of the result.
    planes: [Vec<u8>; 3],
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

        let format = frame.format();
        let size = |plane| format.plane_size(plane, frame.width(), frame.height());
        let [first, second, third] = &mut self.planes;
        let mut source = Source {
            resizer: &mut self.resizer,
            frame,
            geometry,
        };
        match format {
            PixelFormat::Rgb => source.resize::<U8x3>(0, size(0), pixels)?,
            PixelFormat::Bgr => {
                source.resize::<U8x3>(0, size(0), pixels)?;
                pixels
                    .chunks_exact_mut(3)
                    .for_each(|pixel| pixel.swap(0, 2));
            }
            PixelFormat::Rgba | PixelFormat::Rgbx => {
                source.resize::<U8x4>(0, size(0), first)?;
                pick(pixels, first, [0, 1, 2]);
            }
            PixelFormat::Bgra | PixelFormat::Bgrx => {
                source.resize::<U8x4>(0, size(0), first)?;
                pick(pixels, first, [2, 1, 0]);
            }
            PixelFormat::Argb | PixelFormat::Xrgb => {
                source.resize::<U8x4>(0, size(0), first)?;
                pick(pixels, first, [1, 2, 3]);
            }
            PixelFormat::Abgr | PixelFormat::Xbgr => {
                source.resize::<U8x4>(0, size(0), first)?;
                pick(pixels, first, [3, 2, 1]);
            }
            PixelFormat::Gray8 => {
                source.resize::<U8>(0, size(0), first)?;
                grey(pixels, first, frame.color());
            }
            PixelFormat::Nv12 => {
                source.resize::<U8>(0, size(0), first)?;
                source.resize::<U8x2>(1, size(1), second)?;
                let (u, v) = (Samples::new(second, 0, 2), Samples::new(second, 1, 2));
                decode(pixels, Samples::new(first, 0, 1), u, v, frame.color());
            }
            PixelFormat::I420 => {
                source.resize::<U8>(0, size(0), first)?;
                source.resize::<U8>(1, size(1), second)?;
                source.resize::<U8>(2, size(2), third)?;
                let (u, v) = (Samples::new(second, 0, 1), Samples::new(third, 0, 1));
                decode(pixels, Samples::new(first, 0, 1), u, v, frame.color());
            }
            PixelFormat::Yuy2 => {
                // Read as pairs (luma, some chroma) the first of each is luma at full width; the
                // second mixes U with V and is not used. That saves a copy of the luma.
                let pairs = PlaneSize {
                    columns: frame.width(),
                    sample_bytes: 2,
                    ..size(0)
                };
                source.resize::<U8x2>(0, pairs, first)?;
                source.resize::<U8x4>(0, size(0), second)?;
                let (u, v) = (Samples::new(second, 1, 4), Samples::new(second, 3, 4));
                decode(pixels, Samples::new(first, 0, 2), u, v, frame.color());
            }
        }
        Ok(())
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

/// A frame on its way to the input size.
struct Source<'a> {
    resizer: &'a mut Resizer,
    frame: &'a Frame<'a>,
    geometry: &'a Geometry,
}

impl Source<'_> {
    /// Writes `[S, S]` pixels of a plane, read as `size` says, into `resized`.
    fn resize<P: BytePixel>(
        &mut self,
        plane: usize,
        size: PlaneSize,
        resized: &mut Vec<u8>,
    ) -> Result<()> {
        let Source {
            frame, geometry, ..
        } = *self;
        let side = geometry.input_size;
        resized.resize(side as usize * side as usize * size.sample_bytes, 0);
        // The filter's weights depend on the source position alone, so that resizing the crop's
        // part of the source gives the very pixels that cropping the resized frame would.
        let (left, width) = part(
            size.columns,
            frame.width(),
            geometry.resized.0,
            geometry.offset.0,
            side,
        );
        let (top, height) = part(
            size.rows,
            frame.height(),
            geometry.resized.1,
            geometry.offset.1,
            side,
        );
        let options = ResizeOptions::new()
            .resize_alg(ResizeAlg::Convolution(FilterType::Bilinear))
            .use_alpha(false)
            .crop(left, top, width, height);

        let failed = |reason: String| Error::Frame {
            width: frame.width(),
            height: frame.height(),
            format: frame.format().name(),
            reason: format!("plane {plane} cannot be resized: {reason}"),
        };
        let rows = PlaneRows::<P>::new(frame.plane(plane), size);
        let mut result = TypedImage::<P>::from_buffer(side, side, resized)
            .map_err(|error| failed(error.to_string()))?;
        self.resizer
            .resize_typed(&rows, &mut result, &options)
            .map_err(|error| failed(error.to_string()))
    }
}

/// Start and length, in samples of a plane, of the part of one axis that becomes the input.
fn part(samples: u32, pixels: u32, resized: u32, offset: u32, side: u32) -> (f64, f64) {
    // A chroma plane of an odd frame covers one pixel more than the frame: half of the last sample
    // lies outside. (Of a frame one pixel wide it is all the same.)
    let extent = if samples == pixels {
        f64::from(pixels)
    } else {
        f64::from(pixels) / 2.0
    };
    let scale = extent / f64::from(resized);
    let start = f64::from(offset) * scale;
    // `min`, as the sum may exceed the plane by a rounding error, which the resizer refuses.
    let length = (extent * f64::from(side) / f64::from(resized)).min(f64::from(samples) - start);
    (start, length)
}

/// Three of the four bytes of each pixel.
fn pick(pixels: &mut [u8], packed: &[u8], [red, green, blue]: [usize; 3]) {
    for (pixel, packed) in pixels.chunks_exact_mut(3).zip(packed.chunks_exact(4)) {
        pixel.copy_from_slice(&[packed[red], packed[green], packed[blue]]);
    }
}

/// Luma without chroma.
fn grey(pixels: &mut [u8], luma: &[u8], color: ColorSpace) {
    let decoder = YuvDecoder::new(color);
    for (pixel, &y) in pixels.chunks_exact_mut(3).zip(luma) {
        pixel.fill(decoder.grey(y));
    }
}

/// One component of a resized plane.
struct Samples<'a> {
    bytes: &'a [u8],
    step: usize,
}

impl<'a> Samples<'a> {
    /// Every `step`-th byte, from byte `first` on.
    fn new(bytes: &'a [u8], first: usize, step: usize) -> Samples<'a> {
        Samples {
            bytes: bytes.get(first..).unwrap_or_default(),
            step,
        }
    }

    fn iter(&self) -> impl Iterator<Item = u8> {
        self.bytes.iter().copied().step_by(self.step)
    }
}

/// Luma and chroma at the same size → RGB.
fn decode(pixels: &mut [u8], y: Samples<'_>, u: Samples<'_>, v: Samples<'_>, color: ColorSpace) {
    let decoder = YuvDecoder::new(color);
    let samples = y.iter().zip(u.iter()).zip(v.iter());
    for (pixel, ((y, u), v)) in pixels.chunks_exact_mut(3).zip(samples) {
        pixel.copy_from_slice(&decoder.rgb(y, u, v));
    }
}

//! Resizing as Pillow does it: bilinear, antialiased, rows first.

use casm::geometry::{Geometry, Resize};
use fast_image_resize::images::{TypedCroppedImage, TypedImage, TypedImageRef};
use fast_image_resize::pixels::U8x3;
use fast_image_resize::{FilterType, ResizeAlg, ResizeOptions, Resizer};
use image::RgbImage;

/// A part of a picture, in whole pixels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Region {
    /// Left edge.
    pub x: u32,
    /// Top edge.
    pub y: u32,
    /// Columns, at least 1.
    pub width: u32,
    /// Rows, at least 1.
    pub height: u32,
}

impl Region {
    /// All of a picture.
    pub fn whole(picture: &RgbImage) -> Region {
        Region {
            x: 0,
            y: 0,
            width: picture.width(),
            height: picture.height(),
        }
    }

    /// The part of it that lies inside of a picture.
    fn within(self, picture: &RgbImage) -> Region {
        let (x, y) = (self.x.min(picture.width()), self.y.min(picture.height()));
        Region {
            x,
            y,
            width: self.width.min(picture.width() - x),
            height: self.height.min(picture.height() - y),
        }
    }
}

/// Resizes `region` of a picture to `width` x `height` pixels.
///
/// Bilinear, antialiased, first along rows, rounded to whole levels, then along columns: what Pillow,
/// hence torchvision, gives for the cropped picture, within one level. Pixels outside of the region have
/// no influence. What lies outside of the picture is cut off the region; if nothing is left, the result
/// is black.
pub fn resize(picture: &RgbImage, region: Region, width: u32, height: u32) -> RgbImage {
    let region = region.within(picture);
    let rows = Span::all(region.height);
    resample(
        picture,
        region,
        (Span::all(region.width), width),
        (rows, height),
    )
}

/// All of a picture, resized to `size` x `size` pixels; the aspect ratio is not kept.
pub fn stretch(picture: &RgbImage, size: u32) -> RgbImage {
    resize(picture, Region::whole(picture), size, size)
}

/// The central `size` x `size` pixels of a picture whose short side is resized to `short` pixels, at least
/// `size`: torchvision's `Resize(short)` and `CenterCrop(size)`.
pub fn crop(picture: &RgbImage, short: u32, size: u32) -> RgbImage {
    let size = size.max(1);
    let (width, height) = picture.dimensions();
    let resized = Geometry::new(Resize::Crop, width, height, short.max(size)).resized;
    // Only what the crop shows of the resized picture is computed: of 20,000 x 1 pixels the rest is
    // gigabytes.
    let span = |length: u32, resized: u32| {
        let scale = f64::from(length) / f64::from(resized);
        // Half, to the even neighbour, is Python's rounding.
        let offset = (f64::from(resized - size) / 2.0).round_ties_even();
        let start = offset * scale;
        // A rounding error beyond the end would be refused.
        let extent = (f64::from(size) * scale).min(f64::from(length) - start);
        Span { start, extent }
    };
    let (columns, rows) = (span(width, resized.0), span(height, resized.1));
    resample(
        picture,
        Region::whole(picture),
        (columns, size),
        (rows, size),
    )
}

/// Interval of one axis of a region, in its pixels.
#[derive(Debug, Clone, Copy)]
struct Span {
    start: f64,
    extent: f64,
}

impl Span {
    fn all(length: u32) -> Span {
        Span {
            start: 0.0,
            extent: f64::from(length),
        }
    }
}

/// The part `columns` x `rows` of `region` at the sizes beside them.
fn resample(
    picture: &RgbImage,
    region: Region,
    (columns, width): (Span, u32),
    (rows, height): (Span, u32),
) -> RgbImage {
    let options = |columns: Span, rows: Span| {
        ResizeOptions::new()
            .resize_alg(ResizeAlg::Convolution(FilterType::Bilinear))
            .crop(columns.start, rows.start, columns.extent, rows.extent)
    };
    let passes = || -> anyhow::Result<RgbImage> {
        let source = TypedImageRef::<U8x3>::from_buffer(
            picture.width(),
            picture.height(),
            picture.as_raw(),
        )?;
        let source =
            TypedCroppedImage::from_ref(&source, region.x, region.y, region.width, region.height)?;
        let mut resizer = Resizer::new();
        // Given both at once the resizer would do columns first.
        let mut narrow = TypedImage::<U8x3>::new(width, region.height);
        let whole = Span::all(region.height);
        resizer.resize_typed(&source, &mut narrow, &options(columns, whole))?;
        let mut resized = RgbImage::new(width, height);
        let mut target = TypedImage::<U8x3>::from_buffer(width, height, &mut resized)?;
        let whole = Span::all(width);
        resizer.resize_typed(&narrow, &mut target, &options(whole, rows))?;
        Ok(resized)
    };
    passes().unwrap_or_else(|_| RgbImage::new(width, height))
}

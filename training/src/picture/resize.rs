//! Resizing as Pillow does it, to the bit: rows first, rounded to whole levels, then columns.
//!
//! So did every Pillow until late in version 12, those of the paper's time among them; newer ones begin
//! with the columns of pictures that lose far more height than width. By hand, since `fast_image_resize`
//! misses one value in fifty by a level: its weights have 15 bits, Pillow's 22.

use casm::geometry::{Geometry, Resize};
use image::RgbImage;

/// Bits behind the point of a weight, so that 255 times their sum fits 32 bits with room to spare.
const PRECISION: u32 = 22;

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
/// Bilinear and antialiased: the pixels that Pillow, hence torchvision, gives for the cropped picture.
/// Pixels outside of the region have no influence. What lies outside of the picture is cut off the region;
/// if nothing is left, the result is black.
pub fn resize(picture: &RgbImage, region: Region, width: u32, height: u32) -> RgbImage {
    let region = region.within(picture);
    let columns = Filter::new(region.width, (0, width), width);
    let rows = Filter::new(region.height, (0, height), height);
    resample(picture, region, &columns, &rows)
}

/// All of a picture, resized to `size` x `size` pixels; the aspect ratio is not kept.
pub fn stretch(picture: &RgbImage, size: u32) -> RgbImage {
    resize(picture, Region::whole(picture), size, size)
}

/// The central `size` x `size` pixels of a picture whose short side is resized to `short` pixels, at least
/// `size`: torchvision's `Resize(short)` and `CenterCrop(size)`.
pub fn crop(picture: &RgbImage, short: u32, size: u32) -> RgbImage {
    let (width, height) = picture.dimensions();
    let resized = Geometry::new(Resize::Crop, width, height, short.max(size)).resized;
    // Only what the crop shows of the resized picture is computed: of 20,000 x 1 pixels the rest is
    // gigabytes.
    let filter = |length: u32, resized: u32| {
        // Half, to the even neighbour, is Python's rounding.
        let offset = (f64::from(resized - size) / 2.0).round_ties_even() as u32;
        Filter::new(length, (offset, offset + size), resized)
    };
    let (columns, rows) = (filter(width, resized.0), filter(height, resized.1));
    resample(picture, Region::whole(picture), &columns, &rows)
}

/// Which source pixels make each resized pixel of one axis, and with which weights.
#[derive(Debug)]
struct Filter {
    /// First source pixel of each resized one, and where its weights end in `weights`.
    taps: Vec<(usize, usize)>,
    /// In units of 2^-[`PRECISION`].
    weights: Vec<i32>,
}

impl Filter {
    /// Resized pixels `from..to` of an axis of `length` pixels that is resized to `resized`.
    fn new(length: u32, (from, to): (u32, u32), resized: u32) -> Filter {
        let scale = f64::from(length) / f64::from(resized);
        // A triangle as wide as two resized pixels, or two source pixels if those are larger.
        let radius = scale.max(1.0);
        let narrowing = 1.0 / radius;
        let (mut taps, mut weights) = (Vec::new(), Vec::new());
        let mut triangle = Vec::new();
        for pixel in from..to {
            let centre = (f64::from(pixel) + 0.5) * scale;
            let first = (centre - radius + 0.5).max(0.0) as u32;
            let end = ((centre + radius + 0.5) as u32).min(length);
            triangle.clear();
            triangle.extend((first..end).map(|source| {
                let distance = (f64::from(source) - centre + 0.5) * narrowing;
                (1.0 - distance.abs()).max(0.0)
            }));
            let sum: f64 = triangle.iter().sum();
            let fixed = |weight: &f64| (weight / sum * f64::from(1 << PRECISION)).round() as i32;
            weights.extend(triangle.iter().map(fixed));
            taps.push((first as usize, weights.len()));
        }
        Filter { taps, weights }
    }

    /// For each resized pixel its first source pixel and the weights from there on.
    fn iter(&self) -> impl Iterator<Item = (usize, &[i32])> {
        let mut start = 0;
        self.taps.iter().map(move |&(first, end)| {
            let weights = &self.weights[start..end];
            start = end;
            (first, weights)
        })
    }
}

/// `region` of a picture under both filters, first along rows.
fn resample(picture: &RgbImage, region: Region, columns: &Filter, rows: &Filter) -> RgbImage {
    const HALF: i32 = 1 << (PRECISION - 1);
    let (width, height) = (columns.taps.len(), rows.taps.len());
    let mut resized = RgbImage::new(width as u32, height as u32);
    if region.width == 0 || region.height == 0 || width == 0 {
        return resized;
    }
    let level = |sum: i32| (sum >> PRECISION).clamp(0, 255) as u8;

    // Rows that no resized pixel needs are left out.
    let needed = rows.iter().next().map_or(0, |(first, _)| first)
        ..rows
            .iter()
            .last()
            .map_or(0, |(first, weights)| first + weights.len());
    let mut narrow = vec![0; width * 3 * needed.len()];
    let stride = picture.width() as usize * 3;
    for (row, narrow) in needed.clone().zip(narrow.chunks_exact_mut(width * 3)) {
        let start = (region.y as usize + row) * stride + region.x as usize * 3;
        let source = &picture.as_raw()[start..start + region.width as usize * 3];
        let (source, narrow) = (source.as_chunks::<3>().0, narrow.as_chunks_mut::<3>().0);
        for ((first, weights), pixel) in columns.iter().zip(narrow) {
            let [mut red, mut green, mut blue] = [HALF; 3];
            for (source, weight) in source[first..].iter().zip(weights) {
                red += i32::from(source[0]) * weight;
                green += i32::from(source[1]) * weight;
                blue += i32::from(source[2]) * weight;
            }
            *pixel = [red, green, blue].map(level);
        }
    }
    let mut sums = vec![0; width * 3];
    for ((first, weights), row) in rows.iter().zip(resized.chunks_exact_mut(width * 3)) {
        sums.fill(HALF);
        let sources = narrow.chunks_exact(width * 3).skip(first - needed.start);
        for (source, weight) in sources.zip(weights) {
            for (sum, &source) in sums.iter_mut().zip(source) {
                *sum += i32::from(source) * weight;
            }
        }
        for (value, &sum) in row.iter_mut().zip(&sums) {
            *value = level(sum);
        }
    }
    resized
}

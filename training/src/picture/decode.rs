//! Bytes of a picture file → upright RGB.

use std::io::Cursor;

use anyhow::{Context, bail, ensure};
use image::metadata::Orientation;
use image::{DynamicImage, ImageDecoder, ImageFormat, ImageReader, RgbImage};

/// Largest picture, in pixels. Decoding takes up to 9 bytes a pixel, so 900 MB.
const LARGEST: u64 = 100_000_000;
/// Most bytes of a decoded pixel on average over a picture of that size: of RGBA with 16 bits a channel
/// only half as many pixels are decoded.
const PIXEL: u64 = 4;

/// Decodes a JPEG, PNG or WebP file, told by content, and turns it upright if its EXIF orientation says
/// so.
///
/// Grey becomes equal R, G and B; alpha is dropped, 16 bits become 8, palettes and CMYK become RGB; of
/// an animation the first picture counts.
///
/// # Errors
/// None of these kinds; damaged, or a JPEG that ends before its end; more than 100 million pixels.
pub fn decode(bytes: &[u8]) -> anyhow::Result<RgbImage> {
    ensure!(!bytes.is_empty(), "the file is empty");
    let format = image::guess_format(bytes)
        .ok()
        .filter(|format| {
            matches!(
                format,
                ImageFormat::Jpeg | ImageFormat::Png | ImageFormat::WebP
            )
        })
        .context("it is neither JPEG nor PNG nor WebP")?;
    if format == ImageFormat::Jpeg && !jpeg_ends(bytes) {
        // The decoder would fill the rest with grey.
        bail!("the JPEG is truncated: {} bytes and no end", bytes.len());
    }
    let mut decoder = ImageReader::with_format(Cursor::new(bytes), format).into_decoder()?;
    let (width, height) = decoder.dimensions();
    ensure!(
        u64::from(width) * u64::from(height) <= LARGEST && decoder.total_bytes() <= LARGEST * PIXEL,
        "{width}x{height} pixels are too many: make the picture smaller, {LARGEST} pixels at most"
    );
    // Unreadable EXIF says nothing about the pixels.
    let orientation = decoder.orientation().unwrap_or(Orientation::NoTransforms);
    let mut picture = DynamicImage::from_decoder(decoder)?;
    picture.apply_orientation(orientation);
    Ok(picture.into_rgb8())
}

/// Whether a JPEG has its end marker, after the header's segments and the scans (ITU T.81, annex B).
fn jpeg_ends(bytes: &[u8]) -> bool {
    const START: u8 = 0xd8;
    const END: u8 = 0xd9;
    let mut at = 0;
    loop {
        // Compressed data up to the next marker. In it 0xff is followed by 0, or by one of the eight
        // restart markers; any number of 0xff may come before a marker.
        let Some(pair) = bytes.get(at..).and_then(|rest| {
            rest.windows(2)
                .position(|pair| pair[0] == 0xff && !matches!(pair[1], 0 | 0xff | 0xd0..=0xd7))
        }) else {
            return false;
        };
        at += pair + 2;
        match bytes[at - 1] {
            END => return true,
            // Alone, without a length: the start, and one for private use.
            START | 0x01 => {}
            _ => {
                // Segments may hold whole JPEGs (thumbnails), so they are stepped over.
                let Some(&[high, low]) = bytes.get(at..at + 2) else {
                    return false;
                };
                at += usize::from(u16::from_be_bytes([high, low])).max(2);
            }
        }
    }
}

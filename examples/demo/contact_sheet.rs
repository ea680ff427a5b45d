//! A dozen frames, evenly spaced, on one picture.
//!
//! How many frames will come is not known in a stream, so an evenly spaced set is kept that is
//! thinned whenever it is full. Only kept frames are converted to RGB.

use anyhow::{Context, Result};
use gst_video::{VideoConverter, VideoConverterConfig, VideoFrameExt, VideoFrameRef, VideoInfo};
use image::{Rgb, RgbImage, imageops};

/// Frames on the sheet.
const CELLS: usize = 12;
const COLUMNS: usize = 4;
/// Longest side of a frame on the sheet, in pixels.
const CELL_SIDE: u32 = 320;
const GAP: u32 = 6;
/// Kept frames at which every second one is dropped. Eight times the cells, so that the
/// ones chosen in the end are at most an eighth of their distance off.
const CAPACITY: usize = 8 * CELLS;
const BACKGROUND: Rgb<u8> = Rgb([24, 24, 24]);

/// The frames kept so far.
#[derive(Default)]
pub struct ContactSheet {
    kept: Vec<(u64, RgbImage)>,
    /// Every `1 << doublings`-th frame is kept.
    doublings: u32,
    converter: Option<Converter>,
}

impl ContactSheet {
    /// True if the frame with this number is to be added.
    pub fn wants(&self, frame: u64) -> bool {
        frame.is_multiple_of(1 << self.doublings)
    }

    /// Adds a frame.
    pub fn add(&mut self, frame: u64, buffer: &gst::BufferRef, info: &VideoInfo) -> Result<()> {
        if self.kept.len() == CAPACITY {
            self.doublings += 1;
            let stride = 1 << self.doublings;
            self.kept.retain(|(frame, _)| frame.is_multiple_of(stride));
            if !self.wants(frame) {
                return Ok(());
            }
        }
        if self.converter.as_ref().is_none_or(|old| old.from != *info) {
            self.converter = Some(Converter::new(info)?);
        }
        let converter = self.converter.as_ref().context("made above")?;
        self.kept.push((frame, converter.convert(buffer)?));
        Ok(())
    }

    /// The sheet of a clip of `frames`; `None` if nothing was kept.
    pub fn draw(&self, frames: u64) -> Option<RgbImage> {
        let chosen = self.choose(frames);
        let width = chosen.iter().map(|(_, picture)| picture.width()).max()?;
        let height = chosen.iter().map(|(_, picture)| picture.height()).max()?;
        let columns = chosen.len().min(COLUMNS) as u32;
        let rows = (chosen.len() as u32).div_ceil(columns);
        let (across, down) = (columns * (width + GAP) + GAP, rows * (height + GAP) + GAP);
        let mut sheet = RgbImage::from_pixel(across, down, BACKGROUND);
        for (cell, (frame, picture)) in chosen.into_iter().enumerate() {
            let cell = cell as u32;
            let x = GAP + cell % columns * (width + GAP) + (width - picture.width()) / 2;
            let y = GAP + cell / columns * (height + GAP) + (height - picture.height()) / 2;
            imageops::replace(&mut sheet, picture, i64::from(x), i64::from(y));
            write_number(&mut sheet, (x + 4, y + 4), *frame);
        }
        Some(sheet)
    }

    /// Of the kept frames those nearest to the middles of equal parts of the clip.
    fn choose(&self, frames: u64) -> Vec<&(u64, RgbImage)> {
        let cells = self.kept.len().min(CELLS);
        let mut chosen: Vec<&(u64, RgbImage)> = Vec::with_capacity(cells);
        for cell in 0..cells {
            let middle = (2 * cell as u64 + 1) * frames / (2 * cells as u64);
            let fresh = self
                .kept
                .iter()
                .filter(|(frame, _)| chosen.last().is_none_or(|(last, _)| frame > last));
            chosen.extend(fresh.min_by_key(|(frame, _)| frame.abs_diff(middle)));
        }
        chosen
    }
}

/// From what the element puts out to a small RGB picture.
struct Converter {
    from: VideoInfo,
    to: VideoInfo,
    converter: VideoConverter,
}

impl Converter {
    fn new(from: &VideoInfo) -> Result<Converter> {
        // Pixels that are not square are made square here, as a player does.
        let pixel = f64::from(from.par().numer()) / f64::from(from.par().denom());
        let shown_width = f64::from(from.width()) * pixel;
        let shown_height = f64::from(from.height());
        let scale = f64::from(CELL_SIDE) / shown_width.max(shown_height);
        let side = |length: f64| ((length * scale).round() as u32).clamp(1, CELL_SIDE);
        let (width, height) = (side(shown_width), side(shown_height));
        let to = VideoInfo::builder(gst_video::VideoFormat::Rgb, width, height)
            .fps(from.fps())
            .interlace_mode(from.interlace_mode())
            .build()?;
        let converter = VideoConverter::new(from, &to, Some(VideoConverterConfig::default()))?;
        let from = from.clone();
        Ok(Converter {
            from,
            to,
            converter,
        })
    }

    fn convert(&self, buffer: &gst::BufferRef) -> Result<RgbImage> {
        let frame = VideoFrameRef::from_buffer_ref_readable(buffer, &self.from)?;
        let mut small = gst::Buffer::with_size(self.to.size())?;
        let small = small.get_mut().context("the buffer is new")?;
        let mut small = VideoFrameRef::from_buffer_ref_writable(small, &self.to)?;
        self.converter.frame_ref(&frame, &mut small);
        let (width, height) = (self.to.width(), self.to.height());
        let stride = usize::try_from(small.plane_stride()[0])?;
        let bytes = small.plane_data(0)?;
        Ok(RgbImage::from_fn(width, height, |x, y| {
            let at = y as usize * stride + 3 * x as usize;
            Rgb([bytes[at], bytes[at + 1], bytes[at + 2]])
        }))
    }
}

/// Digits of 3 x 5 dots, row by row, the top left dot in the highest of 15 bits.
const DIGITS: [u16; 10] = [
    0b111_101_101_101_111,
    0b010_110_010_010_111,
    0b111_001_111_100_111,
    0b111_001_111_001_111,
    0b101_101_111_001_001,
    0b111_100_111_001_111,
    0b111_100_111_101_111,
    0b111_001_010_010_010,
    0b111_101_111_101_111,
    0b111_101_111_001_111,
];
/// Side of a dot in pixels.
const DOT: u32 = 2;

/// White on black, so that it can be read on any frame.
fn write_number(sheet: &mut RgbImage, (left, top): (u32, u32), number: u64) {
    let text = number.to_string();
    let (columns, rows) = (4 * text.len() as u32 + 1, 7);
    for y in 0..rows * DOT {
        for x in 0..columns * DOT {
            let (column, row) = (x / DOT, y / DOT);
            let digit = text.as_bytes().get((column.saturating_sub(1) / 4) as usize);
            let inside = column > 0 && (column - 1) % 4 < 3 && (1..6).contains(&row);
            let lit = inside
                && digit.is_some_and(|&digit| {
                    let bit = 14 - ((row - 1) * 3 + (column - 1) % 4);
                    DIGITS[usize::from(digit - b'0')] >> bit & 1 == 1
                });
            if let Some(pixel) = sheet.get_pixel_mut_checked(left + x, top + y) {
                *pixel = Rgb(if lit { [255; 3] } else { [0; 3] });
            }
        }
    }
}

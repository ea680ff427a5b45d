//! An overlay beside the frame: rectangles that whoever shows the frame lays over it.

use crate::error::{Error, Result};
use crate::geometry::Geometry;
use crate::localizer::Localization;
use crate::mask::{BoundingBox, Mask};

use super::area::Area;
use super::outline::{contour_area, grown, sides};
use super::paint::{Canvas, line_width};
use super::palette::Palette;
use super::{Item, Overlay, OverlayMode, OverlayStyle, items, level};

/// A rectangle of an overlay.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Patch {
    /// Its place in the frame; not empty, and within it.
    pub area: BoundingBox,
    /// `[height, width]` words of 32 bits in the machine's byte order, `0xAARRGGBB`: on little-endian machines
    /// the bytes blue, green, red, alpha. Alpha is the share of the colour, from which the frame keeps the rest;
    /// colours are not multiplied by it.
    pub pixels: Vec<u8>,
}

/// The pixels of a [`Patch`], to be painted once each.
pub(super) struct Sheet<'a> {
    /// A part of what may be drawn on.
    pub(super) area: Area,
    pub(super) pixels: &'a mut [u8],
    /// For each level.
    pub(super) words: &'a [u32; 256],
}

impl Sheet<'_> {
    /// Paints a row of levels from (`x`, `y`) on, as far as it is on the sheet.
    #[inline(always)]
    pub(super) fn paint(&mut self, (x, y): (usize, usize), levels: &[u8]) {
        let row = Area {
            columns: x..x + levels.len(),
            rows: y..y + 1,
        }
        .intersection(&self.area);
        if row.is_empty() {
            return;
        }
        let (top, left) = (self.area.rows.start, self.area.columns.start);
        let start = (y - top) * self.area.columns.len() + row.columns.start - left;
        let (pixels, _) = self.pixels[start * 4..].as_chunks_mut::<4>();
        let levels = &levels[row.columns.start - x..row.columns.end - x];
        for (pixel, &level) in pixels.iter_mut().zip(levels) {
            *pixel = self.words[usize::from(level)].to_ne_bytes();
        }
    }
}

impl Overlay {
    /// What [`Overlay::draw`] would draw into a frame laid before the network by `geometry`, as `patches` to be laid over
    /// it in their order; the former content of that is dropped.
    ///
    /// They are no larger than needed: the sides of a box, the surroundings of a contour, the part of the frame where
    /// the mask is not 0, or for heat map and grey all that the network saw. Without anything to draw there are none.
    /// Laid over an RGB frame they give what `draw` gives but for rounding: up to two levels where one patch covers a
    /// pixel, and two more for each further one (a patch has shares of 8 bits, `draw` has finer ones). `spare` gives memory for the pixels, whose content does not matter.
    ///
    /// # Errors
    /// [`Error::Frame`] if `geometry` is of an empty frame, [`Error::Config`] as [`Overlay::draw`].
    pub fn render(
        &mut self,
        localization: &Localization,
        geometry: &Geometry,
        style: &OverlayStyle,
        mut spare: impl FnMut() -> Vec<u8>,
        patches: &mut Vec<Patch>,
    ) -> Result<()> {
        patches.clear();
        if style.mode == OverlayMode::None {
            return Ok(());
        }
        check_geometry(geometry)?;
        let drawable = Area::seen(geometry);
        let size = (geometry.frame_width, geometry.frame_height);
        let words = Palette::words(style);
        let mut blocks = std::mem::take(&mut self.blocks);
        let mut render = |item: Item<'_>| {
            item.check()?;
            for area in extents(&item, words[0] == 0, geometry, &drawable) {
                if area.is_empty() {
                    continue;
                }
                let mut pixels = spare();
                pixels.resize(area.columns.len() * area.rows.len() * 4, 0);
                let bounding_box = BoundingBox::from(&area);
                match item {
                    // All of it is line.
                    Item::Rim(_) => fill(&mut pixels, words[255]),
                    Item::Mask(_) | Item::Contour(_) => {
                        let sheet = Sheet {
                            area,
                            pixels: &mut pixels,
                            words: &words,
                        };
                        let mut canvas = Canvas::beside(size, sheet, drawable.clone(), &mut blocks);
                        self.draw_item(&mut canvas, item.clone(), geometry)?;
                    }
                }
                patches.push(Patch {
                    area: bounding_box,
                    pixels,
                });
            }
            Ok(())
        };
        let rendered = items(localization, style.mode).try_for_each(&mut render);
        self.blocks = blocks;
        rendered
    }
}

fn fill(pixels: &mut [u8], word: u32) {
    for pixel in pixels.as_chunks_mut::<4>().0 {
        *pixel = word.to_ne_bytes();
    }
}

/// Where an item has pixels, if level 0 is `clear`; some areas may be empty.
fn extents(item: &Item<'_>, clear: bool, geometry: &Geometry, drawable: &Area) -> [Area; 4] {
    let none = || Area {
        columns: 0..0,
        rows: 0..0,
    };
    let whole = match item {
        Item::Rim(shape) => {
            let thickness = line_width(geometry.frame_width, geometry.frame_height);
            return sides(&shape.intersection(drawable), thickness);
        }
        Item::Mask(mask) if clear => marked(mask, geometry).intersection(drawable),
        Item::Mask(_) => drawable.clone(),
        Item::Contour(component) => contour_area(component, geometry, drawable),
    };
    [whole, none(), none(), none()]
}

/// The part of the frame where a mask, of as many values as its size says, has a level above 0.
fn marked(mask: &Mask, geometry: &Geometry) -> Area {
    let (mut left, mut right, mut top, mut bottom) = (usize::MAX, 0, usize::MAX, 0);
    for (y, row) in mask.values.chunks(mask.width).enumerate() {
        let mut columns = (0..row.len()).filter(|&x| level(row[x]) > 0);
        let Some(first) = columns.next() else {
            continue;
        };
        (left, right) = (
            left.min(first),
            right.max(columns.next_back().unwrap_or(first)),
        );
        (top, bottom) = (top.min(y), y);
    }
    if left > right {
        return Area {
            columns: 0..0,
            rows: 0..0,
        };
    }
    let marked = BoundingBox {
        x: left as u32,
        y: top as u32,
        width: (right - left + 1) as u32,
        height: (bottom - top + 1) as u32,
    };
    // Between two pixels of the mask the levels fall from the one to the other.
    let around = grown(marked, 1);
    Area::from(geometry.box_to_frame(around, mask.width, mask.height))
}

fn check_geometry(geometry: &Geometry) -> Result<()> {
    let (width, height) = (geometry.frame_width, geometry.frame_height);
    if width > 0 && height > 0 && geometry.input_size > 0 {
        return Ok(());
    }
    Err(Error::Frame {
        width,
        height,
        format: "ARGB",
        reason: "nothing can be laid over an empty frame".to_owned(),
    })
}

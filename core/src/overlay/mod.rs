//! A [`Localization`] drawn into the frame that it belongs to, in place, or beside it, to be laid over it later.
//!
//! A mode makes a row of levels, 0 to 255, for each row of the frame (`field`, `outline`); what a
//! level does to a pixel is prepared once a frame in the frame's own colour space (`palette`, as lines: `curve`), as inks
//! of each plane's bytes (`ink`); and `paint` mixes these into the rows. Nothing is converted to RGB and back.

mod area;
mod curve;
mod field;
mod ink;
mod outline;
mod paint;
mod palette;
mod patch;
#[cfg(test)]
mod tests;

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::frame::FrameMut;
use crate::geometry::Geometry;
use crate::localizer::Localization;
use crate::mask::{Component, Mask};

use area::Area;
use field::Field;
use ink::Inks;
use outline::Contour;
use paint::Canvas;
use palette::Palette;
pub use patch::Patch;

/// What is drawn.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OverlayMode {
    /// Nothing.
    #[default]
    None,
    /// The rim of the bounding box.
    Box,
    /// A tint, the stronger the higher the mask.
    Mask,
    /// The mask in colours from dark blue to pale yellow, over all that the network saw.
    Heatmap,
    /// The edge of the largest component.
    Contour,
    /// The mask in grey, white = 1; at full opacity it takes the picture's place.
    Grey,
}

/// How it is drawn.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct OverlayStyle {
    /// What.
    pub mode: OverlayMode,
    /// Colour of box, mask and contour, RGB.
    pub color: [u8; 3],
    /// Share of the drawing where it is strongest, in [0, 1]; clipped to that.
    pub opacity: f32,
}

impl Default for OverlayStyle {
    fn default() -> Self {
        OverlayStyle {
            mode: OverlayMode::None,
            color: [255, 0, 0],
            opacity: 0.6,
        }
    }
}

/// Draws localizations; keeps its buffers from frame to frame.
#[derive(Debug, Default)]
pub struct Overlay {
    field: Field,
    contour: Contour,
    /// Levels of two rows.
    levels: [Vec<u8>; 2],
    blocks: Vec<u8>,
    /// Of each plane.
    inks: Vec<Inks>,
}

impl Overlay {
    /// Draws `localization` into `frame`, which was laid before the network by `geometry`.
    ///
    /// Only the part of the frame that the network saw is drawn on; formats that share U and V
    /// between pixels lose up to one pixel on each side of that where it begins amid a block.
    /// Without a box or component nothing is drawn in the modes that need one. A box that does not
    /// fit the frame is clipped. Alpha, padding and `x` bytes stay as they are.
    ///
    /// # Errors
    /// [`Error::Frame`] if `geometry` was made for another size of frame, [`Error::Config`] if the
    /// mask or component to be drawn does not hold as many values as its size says.
    pub fn draw(
        &mut self,
        frame: &mut FrameMut<'_>,
        localization: &Localization,
        geometry: &Geometry,
        style: &OverlayStyle,
    ) -> Result<()> {
        if style.mode == OverlayMode::None {
            return Ok(());
        }
        check_geometry(frame, geometry)?;
        let drawable = Area::drawable(frame, geometry);
        if drawable.is_empty() {
            return Ok(());
        }
        let palette = Palette::new(frame.format(), frame.color(), style);
        let mut blocks = std::mem::take(&mut self.blocks);
        let mut inks = std::mem::take(&mut self.inks);
        inks.clear();
        inks.extend(Inks::of_planes(frame.format(), &palette));
        let mut canvas = Canvas::new(frame, &inks, drawable, &mut blocks);
        let drawn = items(localization, style.mode)
            .try_for_each(|item| self.draw_item(&mut canvas, item, geometry));
        (self.blocks, self.inks) = (blocks, inks);
        drawn
    }

    /// Draws one item, as far as the canvas goes.
    fn draw_item(
        &mut self,
        canvas: &mut Canvas<'_, '_>,
        item: Item<'_>,
        geometry: &Geometry,
    ) -> Result<()> {
        item.check()?;
        let Overlay {
            field,
            contour,
            levels,
            ..
        } = self;
        match item {
            Item::Rim(shape) => {
                outline::draw_box(canvas, &shape.intersection(canvas.drawable()), levels);
            }
            Item::Mask(mask) => draw_mask(canvas, mask, geometry, field, levels),
            Item::Contour(component) => contour.draw(canvas, component, geometry, field, levels),
        }
        Ok(())
    }
}

/// One thing that is drawn.
#[derive(Clone)]
enum Item<'a> {
    /// The rim of a box.
    Rim(Area),
    Mask(&'a Mask),
    Contour(&'a Component),
}

impl Item<'_> {
    /// Whether there is all that its size says.
    fn check(&self) -> Result<()> {
        match self {
            Item::Rim(_) => Ok(()),
            Item::Mask(mask) => check_mask(mask.width, mask.height, mask.values.len()),
            Item::Contour(Component { pixels, .. }) => {
                check_mask(pixels.width, pixels.height, pixels.values.len())
            }
        }
    }
}

/// What is drawn in a mode, in this order.
fn items(localization: &Localization, mode: OverlayMode) -> impl Iterator<Item = Item<'_>> {
    let mask = match mode {
        OverlayMode::Mask | OverlayMode::Heatmap | OverlayMode::Grey => {
            Some(Item::Mask(&localization.mask))
        }
        OverlayMode::None | OverlayMode::Box | OverlayMode::Contour => None,
    };
    let objects = localization.objects.iter();
    mask.into_iter()
        .chain(objects.filter_map(move |object| match mode {
            OverlayMode::Box => Some(Item::Rim(Area::from(object.bounding_box))),
            OverlayMode::Contour => Some(Item::Contour(&object.component)),
            _ => None,
        }))
}

/// Every pixel of the canvas by the level that the mask has there.
fn draw_mask(
    canvas: &mut Canvas<'_, '_>,
    mask: &Mask,
    geometry: &Geometry,
    field: &mut Field,
    [upper, lower]: &mut [Vec<u8>; 2],
) {
    let area = canvas.extent();
    let levels = mask.values.iter().map(|&value| level(value));
    field.lay(levels, (mask.width, mask.height), geometry, &area);
    for y in area.rows.clone().step_by(2) {
        upper.resize(area.columns.len(), 0);
        field.row(y, upper);
        lower.clear();
        if y + 1 < area.rows.end {
            lower.resize(area.columns.len(), 0);
            field.row(y + 1, lower);
        }
        canvas.paint((area.columns.start, y), upper, lower);
    }
}

/// 0 to 255 for a value in [0, 1]; others are clipped to that, NaN gives 0.
fn level(value: f32) -> u8 {
    // Neither `clamp`, which keeps NaN, nor `round`, which is a call on CPUs without SSE 4.1: from 2^23 on the last
    // bits of a float are a whole number.
    #[allow(clippy::manual_clamp)]
    let position = (value * 255.0).max(0.0).min(255.0);
    (position + 8_388_608.0).to_bits() as u8
}

fn check_geometry(frame: &FrameMut<'_>, geometry: &Geometry) -> Result<()> {
    let (width, height) = (frame.width(), frame.height());
    let (made_width, made_height) = (geometry.frame_width, geometry.frame_height);
    if (made_width, made_height) == (width, height) && geometry.input_size > 0 {
        return Ok(());
    }
    Err(Error::Frame {
        width,
        height,
        format: frame.format().name(),
        reason: format!("its geometry was made for {made_width}x{made_height}"),
    })
}

fn check_mask(width: usize, height: usize, values: usize) -> Result<()> {
    if width > 0 && width.checked_mul(height) == Some(values) && values > 0 {
        return Ok(());
    }
    Err(Error::Config {
        what: "mask",
        value: format!("{values} values for {width}x{height}"),
        expected: "it must hold one for each pixel, and at least one".to_owned(),
    })
}

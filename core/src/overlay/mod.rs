//! A [`Localization`] drawn into the frame that it belongs to, in place.
//!
//! A mode makes a row of levels, 0 to 255, for each row of the frame (`field`, `outline`); what a
//! level does to a pixel is prepared once a frame in the frame's own colour space (`palette`); and
//! `paint` applies it to the bytes of the format. Nothing is converted to RGB and back.

mod area;
mod field;
mod outline;
mod paint;
mod palette;
#[cfg(test)]
mod tests;

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::frame::FrameMut;
use crate::geometry::Geometry;
use crate::localizer::{Localization, Object};
use crate::mask::Mask;

use area::Area;
use field::Field;
use outline::Contour;
use paint::Canvas;
use palette::Palette;

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
        let (format, space) = (frame.format(), frame.color());
        let palette = match style.mode {
            OverlayMode::Heatmap => Palette::heat(format, space, style.opacity),
            OverlayMode::Grey => Palette::grey(format, space, style.opacity),
            _ => Palette::tint(format, space, style.color, style.opacity),
        };
        let mut canvas = Canvas::new(frame, palette, drawable, &mut self.blocks);
        match style.mode {
            OverlayMode::None => {}
            OverlayMode::Box => {
                for object in &localization.objects {
                    let shape = Area::from(object.bounding_box).intersection(canvas.drawable());
                    outline::draw_box(&mut canvas, &shape, &mut self.levels);
                }
            }
            OverlayMode::Mask | OverlayMode::Heatmap | OverlayMode::Grey => {
                let mask = &localization.mask;
                check_mask(mask.width, mask.height, mask.values.len())?;
                draw_mask(
                    &mut canvas,
                    mask,
                    geometry,
                    &mut self.field,
                    &mut self.levels,
                );
            }
            OverlayMode::Contour => {
                for Object { component, .. } in &localization.objects {
                    let pixels = &component.pixels;
                    check_mask(pixels.width, pixels.height, pixels.values.len())?;
                    let Overlay {
                        field,
                        contour,
                        levels,
                        ..
                    } = self;
                    contour.draw(&mut canvas, component, geometry, field, levels);
                }
            }
        }
        Ok(())
    }
}

/// Every drawable pixel by the level that the mask has there.
fn draw_mask(
    canvas: &mut Canvas<'_, '_>,
    mask: &Mask,
    geometry: &Geometry,
    field: &mut Field,
    [upper, lower]: &mut [Vec<u8>; 2],
) {
    let area = canvas.drawable().clone();
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

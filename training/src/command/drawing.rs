//! A localization as picture files: drawn into the picture, or its mask alone.

use std::path::{Path, PathBuf};

use anyhow::Context;
use casm::frame::{ColorSpace, PlaneMut};
use casm::overlay::{Overlay, OverlayMode, OverlayStyle};
use casm::{BoundingBox, FrameMut, Geometry, Localization, PixelFormat};
use image::{GrayImage, Rgb, RgbImage};
use imageproc::drawing::draw_hollow_rect_mut;
use imageproc::rect::Rect;

/// Width of a box's rim in pixels.
const RIM: u32 = 3;

/// Draws `localization` into `picture`.
///
/// # Errors
/// Those of [`Overlay::draw`].
pub fn draw_overlay(
    picture: &mut RgbImage,
    localization: &Localization,
    geometry: &Geometry,
    mode: OverlayMode,
) -> casm::Result<()> {
    let style = OverlayStyle {
        mode,
        ..OverlayStyle::default()
    };
    draw(picture, localization, geometry, &style)
}

/// Draws `localization` into `picture`, in any style.
///
/// # Errors
/// Those of [`Overlay::draw`].
pub fn draw(
    picture: &mut RgbImage,
    localization: &Localization,
    geometry: &Geometry,
    style: &OverlayStyle,
) -> casm::Result<()> {
    let (width, height) = picture.dimensions();
    let plane = PlaneMut {
        data: picture,
        stride: width as usize * 3,
    };
    let space = ColorSpace::default();
    let mut frame = FrameMut::new(PixelFormat::Rgb, width, height, space, vec![plane])?;
    Overlay::default().draw(&mut frame, localization, geometry, style)
}

/// Draws the rim of a box, [`RIM`] pixels wide, inside of it.
pub fn draw_box(picture: &mut RgbImage, bounding_box: BoundingBox, color: [u8; 3]) {
    for inset in 0..RIM {
        let rect = Rect::at(
            (bounding_box.x + inset) as i32,
            (bounding_box.y + inset) as i32,
        );
        let side = |length: u32| length.saturating_sub(2 * inset);
        let (width, height) = (side(bounding_box.width), side(bounding_box.height));
        if width > 0 && height > 0 {
            draw_hollow_rect_mut(picture, rect.of_size(width, height), Rgb(color));
        }
    }
}

/// The mask over a picture of this size, black where the network saw nothing of it.
///
/// # Errors
/// Those of [`Overlay::draw`].
pub fn draw_mask(
    (width, height): (u32, u32),
    localization: &Localization,
    geometry: &Geometry,
) -> casm::Result<GrayImage> {
    let mut picture = GrayImage::new(width, height);
    let plane = PlaneMut {
        data: &mut picture,
        stride: width as usize,
    };
    // A picture file's grey is full range: 255 = 1.0.
    let space = ColorSpace {
        full_range: true,
        ..ColorSpace::default()
    };
    let mut frame = FrameMut::new(PixelFormat::Gray8, width, height, space, vec![plane])?;
    let style = OverlayStyle {
        mode: OverlayMode::Grey,
        opacity: 1.0,
        ..OverlayStyle::default()
    };
    Overlay::default().draw(&mut frame, localization, geometry, &style)?;
    Ok(picture)
}

/// Writes `folder/stem.png` with the folders that it needs.
///
/// # Errors
/// Names the file that cannot be written.
pub fn save(
    folder: &Path,
    stem: &Path,
    write: impl Fn(&Path) -> image::ImageResult<()>,
) -> anyhow::Result<()> {
    let mut path = folder.join(stem).into_os_string();
    path.push(".png");
    let path = PathBuf::from(path);
    let unwritten = || format!("'{}' cannot be written", path.display());
    if let Some(parent) = path.parent() {
        std::fs::create_dir_all(parent).with_context(unwritten)?;
    }
    write(&path).with_context(unwritten)
}

//! Overlays beside the pixels: `GstVideoOverlayCompositionMeta`.

use casm_core::overlay::{Overlay, OverlayStyle, Patch};
use casm_core::{Error, Result};
use gst_video::{
    VideoFormat, VideoFrameFlags, VideoMeta, VideoOverlayComposition, VideoOverlayCompositionMeta,
    VideoOverlayFormatFlags, VideoOverlayRectangle,
};

use crate::saliency::result::finding::{Finding, SharedBytes};

/// What GStreamer calls the words of a [`Patch`].
const FORMAT: VideoFormat = if cfg!(target_endian = "little") {
    VideoFormat::Bgra
} else {
    VideoFormat::Argb
};

/// Attaches findings to frames as compositions of overlays.
#[derive(Default)]
pub struct Composer {
    patches: Vec<Patch>,
    /// That of pixels, which comes back when nobody shows them any more.
    memory: SharedBytes,
    rectangles: Vec<VideoOverlayRectangle>,
    /// The last composition and its style: frames that carry one result share it, so that a sink uploads it once.
    /// Without anything to show there is none.
    last: Option<(OverlayStyle, Option<VideoOverlayComposition>)>,
}

impl Composer {
    /// The next frame has another result.
    pub fn forget(&mut self) {
        self.last = None;
    }

    /// Attaches what `overlay` makes of the finding to the frame in `buffer`, over what upstream has attached. The pixels
    /// are not touched.
    ///
    /// # Errors
    /// Those of [`Overlay::render`].
    pub fn attach(
        &mut self,
        buffer: &mut gst::BufferRef,
        overlay: &mut Overlay,
        finding: &Finding,
        style: &OverlayStyle,
    ) -> Result<()> {
        if self.last.as_ref().is_none_or(|(last, _)| last != style) {
            self.compose(overlay, finding, style)?;
        }
        let Some((_, Some(composition))) = &self.last else {
            return Ok(());
        };
        if let Some(mut meta) = buffer.meta_mut::<VideoOverlayCompositionMeta>() {
            let mut all = meta.overlay_owned();
            for rectangle in composition {
                all.make_mut().add_rectangle(&rectangle);
            }
            meta.set_overlay(&all);
        } else {
            VideoOverlayCompositionMeta::add(buffer, composition);
        }
        Ok(())
    }

    /// Makes the composition of a finding the last one.
    fn compose(
        &mut self,
        overlay: &mut Overlay,
        finding: &Finding,
        style: &OverlayStyle,
    ) -> Result<()> {
        self.last = None;
        let Composer {
            patches,
            memory,
            rectangles,
            ..
        } = self;
        let spare = || memory.spare();
        overlay.render(
            &finding.localization,
            &finding.geometry,
            style,
            spare,
            patches,
        )?;
        // Of the frame being shown and the one being made.
        memory.keep(2 * patches.len() + 2);
        rectangles.clear();
        for patch in patches.drain(..) {
            rectangles.push(rectangle(patch, memory)?);
        }
        let composition = if rectangles.is_empty() {
            None
        } else {
            VideoOverlayComposition::new(rectangles.iter()).ok()
        };
        rectangles.clear();
        self.last = Some((*style, composition));
        Ok(())
    }
}

fn rectangle(patch: Patch, memory: &SharedBytes) -> Result<VideoOverlayRectangle> {
    let Patch { area, pixels } = patch;
    let (width, height) = (area.width, area.height);
    let mut buffer = gst::Buffer::from_slice(memory.lend(pixels));
    let flags = VideoFrameFlags::empty();
    VideoMeta::add(buffer.make_mut(), flags, FORMAT, width, height).map_err(|error| {
        Error::Frame {
            width,
            height,
            format: "BGRA",
            reason: format!("it cannot be an overlay: {error}"),
        }
    })?;
    let (x, y) = (area.x as i32, area.y as i32);
    // Colours that are not multiplied by alpha.
    let flags = VideoOverlayFormatFlags::empty();
    Ok(VideoOverlayRectangle::new_raw(
        &buffer, x, y, width, height, flags,
    ))
}

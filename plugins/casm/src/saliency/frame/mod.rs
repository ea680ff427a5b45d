//! GStreamer's video frames as the library's: formats, colours, strides.

pub mod held;
pub mod intake;
pub mod negotiation;
pub mod regions;

use std::ops::Range;

use casm_core::frame::{ColorMatrix, ColorSpace, Plane, PlaneMut};
use casm_core::{Error, Frame, FrameMut, PixelFormat, Result};
use gst_video::prelude::*;
use gst_video::video_frame::Readable;
use gst_video::{
    VideoColorMatrix, VideoColorRange, VideoFrame, VideoFrameRef, VideoInfo, VideoInterlaceMode,
};

/// Smallest and largest width and height of a frame.
pub const SIDES: Range<i32> = 16..8193;

/// What the pads accept: system memory, any of the formats and sizes.
///
/// The interlace mode is not part of it, because caps without that field, which are progressive,
/// would then be refused; [`FrameLayout::new`] looks at it.
pub fn caps() -> gst::Caps {
    gst::Caps::builder("video/x-raw")
        .field(
            "format",
            gst::List::new(PixelFormat::ALL.map(PixelFormat::name)),
        )
        .field("width", gst::IntRange::new(SIDES.start, SIDES.end - 1))
        .field("height", gst::IntRange::new(SIDES.start, SIDES.end - 1))
        .field(
            "framerate",
            gst::FractionRange::new(gst::Fraction::new(0, 1), gst::Fraction::new(i32::MAX, 1)),
        )
        .build()
}

/// How the frames of a stream lie in memory.
///
/// Pixels count as square: the network sees the frame stretched to a square anyway, and boxes are in
/// pixels of the frame as stored.
#[derive(Debug)]
pub struct FrameLayout {
    info: VideoInfo,
    format: PixelFormat,
    color: ColorSpace,
}

impl FrameLayout {
    /// The layout that caps tell.
    ///
    /// # Errors
    /// In words, if the frames cannot be looked at.
    pub fn new(info: VideoInfo) -> std::result::Result<FrameLayout, String> {
        let format = PixelFormat::from_name(info.format().to_str())
            .ok_or_else(|| format!("format {} is not supported", info.format()))?;
        match info.interlace_mode() {
            // Both fields lie in one picture, and combing does not survive the resize.
            VideoInterlaceMode::Progressive
            | VideoInterlaceMode::Interleaved
            | VideoInterlaceMode::Mixed => {}
            mode => {
                return Err(format!(
                    "interlace mode {mode:?} stores fields apart; put `deinterlace` in front"
                ));
            }
        }
        let color = color_space(&info);
        Ok(FrameLayout {
            info,
            format,
            color,
        })
    }

    /// Width in pixels.
    pub fn width(&self) -> u32 {
        self.info.width()
    }

    /// Height in pixels.
    pub fn height(&self) -> u32 {
        self.info.height()
    }

    /// How many pixels that are.
    pub fn pixels(&self) -> u64 {
        u64::from(self.width()) * u64::from(self.height())
    }

    /// Time from frame to frame in ns; `None` if it varies.
    pub fn frame_time(&self) -> Option<u64> {
        let second = gst::ClockTime::SECOND.nseconds();
        let fps = self.info.fps();
        let (frames, seconds): (u64, u64) =
            (fps.numer().try_into().ok()?, fps.denom().try_into().ok()?);
        // Rates of 0/1, those that vary, would be divided by.
        if frames == 0 {
            return None;
        }
        second.mul_div_round(seconds, frames)
    }

    /// Lets `work` read the frame in `buffer`; the memory is mapped for reading only.
    ///
    /// # Errors
    /// [`Error::Frame`] if the buffer does not hold such a frame; those of `work`.
    pub fn read<T>(
        &self,
        buffer: &gst::BufferRef,
        work: impl FnOnce(&Frame<'_>) -> Result<T>,
    ) -> Result<T> {
        let mapped = VideoFrameRef::from_buffer_ref_readable(buffer, &self.info)
            .map_err(|_| self.unmappable(buffer))?;
        work(&self.view(&mapped)?)
    }

    /// The frame in `buffer`, mapped for reading only until it is dropped.
    ///
    /// # Errors
    /// [`Error::Frame`] if the buffer cannot be mapped.
    fn map(&self, buffer: &gst::Buffer) -> Result<VideoFrame<Readable>> {
        VideoFrame::from_buffer_readable(buffer.clone(), &self.info)
            .map_err(|buffer| self.unmappable(&buffer))
    }

    /// A frame that is mapped.
    fn view<'a>(&self, mapped: &'a impl VideoFrameExt) -> Result<Frame<'a>> {
        let planes = self
            .planes(mapped)?
            .into_iter()
            .map(|Mapped { data, len, stride }| {
                // SAFETY: `planes` has checked that the bytes are mapped; `mapped` outlives the slice.
                Plane {
                    data: unsafe { std::slice::from_raw_parts(data, len) },
                    stride,
                }
            });
        Frame::new(self.format, self.width(), self.height(), self.color, planes)
    }

    /// Lets `work` change the frame in `buffer`. Memory that others hold too is copied first.
    ///
    /// # Errors
    /// As [`FrameLayout::read`].
    pub fn write(
        &self,
        buffer: &mut gst::BufferRef,
        work: impl FnOnce(&mut FrameMut<'_>) -> Result<()>,
    ) -> Result<()> {
        let size = buffer.size();
        let mapped = VideoFrameRef::from_buffer_ref_writable(buffer, &self.info).map_err(|_| {
            self.unusable(format!(
                "its buffer of {size} bytes cannot be mapped for writing"
            ))
        })?;
        let planes = self.planes(&mapped)?;
        if overlap(&planes) {
            return Err(
                self.unusable("its planes share memory, so nothing can be drawn".to_owned())
            );
        }
        let planes = planes.into_iter().map(|Mapped { data, len, stride }| {
            // SAFETY: as in `read`; mapped for writing, and the planes do not overlap.
            PlaneMut {
                data: unsafe { std::slice::from_raw_parts_mut(data, len) },
                stride,
            }
        });
        work(&mut FrameMut::new(
            self.format,
            self.width(),
            self.height(),
            self.color,
            planes,
        )?)
    }

    /// Where the planes of a mapped frame lie.
    ///
    /// The bindings' `plane_data` takes the last row to be as long as the stride, which a buffer with a
    /// `GstVideoMeta` need not provide, and trusts offsets; so lengths are computed and checked here.
    fn planes(&self, mapped: &impl VideoFrameExt) -> Result<Vec<Mapped>> {
        // SAFETY: the pointer is that of a mapped frame, borrowed meanwhile.
        let frame = unsafe { &*mapped.as_ptr() };
        // A GstVideoMeta overrides the caps, also in what they cannot differ.
        if mapped.format() != self.info.format() {
            return Err(self.unusable(format!("its buffer says that it is in {}", mapped.format())));
        }
        (0..self.format.plane_count())
            .map(|index| {
                let stride = usize::try_from(frame.info.stride[index])
                    .map_err(|_| self.unusable(format!("plane {index} is upside down")))?;
                let size = self.format.plane_size(index, self.width(), self.height());
                let len = stride * (size.rows as usize - 1) + size.row_bytes();
                let data = frame.data[index].cast::<u8>();
                // Without a GstVideoMeta the whole buffer is one mapping.
                let map = &frame.map[if frame.meta.is_null() { 0 } else { index }];
                let offset = (data as usize).checked_sub(map.data as usize);
                // An element with a mapping of its own need not say how much it has mapped.
                let known = !map.data.is_null();
                if data.is_null() || known && offset.is_none_or(|offset| offset + len > map.size) {
                    return Err(self.unusable(format!(
                        "plane {index} needs {len} bytes, which its memory has not"
                    )));
                }
                Ok(Mapped { data, len, stride })
            })
            .collect()
    }

    fn unmappable(&self, buffer: &gst::BufferRef) -> Error {
        let bytes = buffer.size();
        self.unusable(format!("its buffer of {bytes} bytes cannot be mapped"))
    }

    fn unusable(&self, reason: String) -> Error {
        Error::Frame {
            width: self.width(),
            height: self.height(),
            format: self.format.name(),
            reason,
        }
    }
}

/// One plane in mapped memory.
struct Mapped {
    data: *mut u8,
    len: usize,
    stride: usize,
}

fn overlap(planes: &[Mapped]) -> bool {
    let mut extents: Vec<Range<usize>> = planes
        .iter()
        .map(|plane| plane.data as usize..plane.data as usize + plane.len)
        .collect();
    extents.sort_by_key(|extent| extent.start);
    extents.windows(2).any(|pair| pair[0].end > pair[1].start)
}

/// GStreamer fills in what caps leave open (BT.601 or BT.709 by size, full range for grey).
fn color_space(info: &VideoInfo) -> ColorSpace {
    let colorimetry = info.colorimetry();
    ColorSpace {
        matrix: match colorimetry.matrix() {
            // SMPTE 240M is BT.709's predecessor and FCC BT.601's, with nearly the same coefficients.
            VideoColorMatrix::Bt709 | VideoColorMatrix::Smpte240m => ColorMatrix::Bt709,
            VideoColorMatrix::Bt2020 => ColorMatrix::Bt2020,
            _ => ColorMatrix::Bt601,
        },
        full_range: colorimetry.range() == VideoColorRange::Range0_255,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn planes_overlap_if_a_byte_is_in_two_of_them() {
        let mut memory = [0_u8; 16];
        let base = memory.as_mut_ptr();
        let plane = |offset: usize, len| Mapped {
            data: base.wrapping_add(offset),
            len,
            stride: 1,
        };
        assert!(!overlap(&[plane(8, 8), plane(0, 8)]));
        assert!(overlap(&[plane(8, 8), plane(0, 9)]));
        assert!(!overlap(&[plane(0, 16)]));
    }
}

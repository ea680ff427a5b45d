//! What `--input` means, and the elements that give its frames.

use std::fs::File;
use std::path::Path;

use anyhow::{Context, Result, bail};
use casm_core::mask::BoundingBox;
use casm_examples::{Picture, Scene};
use gst::prelude::*;
use gst_video::{VideoFormat, VideoFrameExt, VideoFrameRef, VideoInfo};

use crate::progress::Progress;

/// Where frames come from.
pub enum Source {
    /// Anything that GStreamer can open.
    Uri {
        /// What the user wrote.
        name: String,
        /// What it means.
        uri: String,
    },
    /// The project's own clip, drawn beforehand so that drawing does not count as time per frame.
    Drawn {
        /// In order.
        pictures: Vec<Picture>,
        /// Frames per second.
        rate: u32,
    },
}

impl Source {
    /// Finds out what the user means, and draws the clip if nothing was named.
    pub fn open(input: &str, max_frames: Option<u64>) -> Result<Source> {
        if input.is_empty() {
            return Ok(Self::draw(&Scene::default(), max_frames));
        }
        let uri = if input.contains("://") {
            input.to_owned()
        } else if input.starts_with("/dev/video") {
            if !Path::new(input).exists() {
                bail!("there is no camera {input}; `ls /dev/video*` lists those that there are");
            }
            format!("v4l2://{input}")
        } else {
            uri_of_file(Path::new(input))?
        };
        let name = input.to_owned();
        Ok(Source::Uri { name, uri })
    }

    fn draw(scene: &Scene, max_frames: Option<u64>) -> Source {
        let frames = u64::from(scene.frames).min(max_frames.unwrap_or(u64::MAX)) as u32;
        let mut progress = Progress::new("drawing the clip");
        let pictures = (0..frames)
            .map(|index| {
                progress.update(u64::from(index), Some(f64::from(index) / f64::from(frames)));
                scene.render(index)
            })
            .collect();
        let rate = scene.rate;
        Source::Drawn { pictures, rate }
    }

    /// For messages.
    pub fn name(&self) -> &str {
        match self {
            Source::Uri { name, .. } => name,
            Source::Drawn { .. } => "the drawn clip",
        }
    }

    /// Number of frames, where it is known beforehand.
    pub fn frames(&self) -> Option<u64> {
        match self {
            Source::Uri { .. } => None,
            Source::Drawn { pictures, .. } => Some(pictures.len() as u64),
        }
    }

    /// The true boxes by frame; empty where they are not known.
    pub fn truth(&self) -> Vec<BoundingBox> {
        match self {
            Source::Uri { .. } => Vec::new(),
            Source::Drawn { pictures, .. } => {
                pictures.iter().map(|picture| picture.truth).collect()
            }
        }
    }

    /// Adds the source to `pipeline`, so that its video flows into `next`.
    pub fn attach(&self, pipeline: &gst::Pipeline, next: &gst::Element) -> Result<()> {
        match self {
            Source::Uri { uri, .. } => attach_uri(uri, pipeline, next),
            Source::Drawn { pictures, rate } => attach_pictures(pictures, *rate, pipeline, next),
        }
    }
}

/// Opens the file once, because the operating system's reason is clearer than the pipeline's.
fn uri_of_file(path: &Path) -> Result<String> {
    let shown = path.display();
    let file = File::open(path).with_context(|| {
        format!("input {shown} cannot be opened; give a video file, a URI such as https://..., or /dev/videoN")
    })?;
    if file.metadata().is_ok_and(|metadata| metadata.is_dir()) {
        bail!("input {shown} is a folder; name one video file in it");
    }
    let absolute = path.canonicalize()?;
    let uri = gst::glib::filename_to_uri(&absolute, None)
        .with_context(|| format!("input {shown} has no URI"))?;
    Ok(uri.into())
}

fn attach_uri(uri: &str, pipeline: &gst::Pipeline, next: &gst::Element) -> Result<()> {
    let decode = gst::ElementFactory::make("uridecodebin")
        .property("uri", uri)
        .build()?;
    pipeline.add(&decode)?;
    // Sound and subtitles stay as they are, so that they cost nothing and need no decoder.
    decode.connect("autoplug-continue", false, |values| {
        let caps = values.get(2)?.get::<gst::Caps>().ok()?;
        let name = caps.structure(0)?.name();
        let skipped = ["audio/", "text/", "subpicture/", "closedcaption/"];
        Some((!skipped.iter().any(|kind| name.starts_with(kind))).to_value())
    });
    let target = next.static_pad("sink").context("a queue has a sink pad")?;
    let first_video = target.clone();
    decode.connect_pad_added(move |decode, pad| {
        let caps = pad.current_caps().unwrap_or_else(|| pad.query_caps(None));
        let is_video = caps
            .structure(0)
            .is_some_and(|caps| caps.name() == "video/x-raw");
        if !is_video || first_video.is_linked() {
            return;
        }
        if let Err(error) = pad.link(&first_video) {
            gst::element_error!(
                decode,
                gst::StreamError::Format,
                ("the video's frames ({caps}) cannot be taken: {error}")
            );
        }
    });
    decode.connect_no_more_pads(move |decode| {
        if !target.is_linked() {
            gst::element_error!(
                decode,
                gst::StreamError::WrongType,
                ("there is no video in it")
            );
        }
    });
    Ok(())
}

fn attach_pictures(
    pictures: &[Picture],
    rate: u32,
    pipeline: &gst::Pipeline,
    next: &gst::Element,
) -> Result<()> {
    let first = pictures.first().context("the drawn clip is empty")?;
    let fps = gst::Fraction::new(i32::try_from(rate)?, 1);
    let info = VideoInfo::builder(VideoFormat::Rgb, first.width, first.height)
        .fps(fps)
        .build()?;
    let mut buffers = Vec::with_capacity(pictures.len());
    for (index, picture) in (0u64..).zip(pictures) {
        let at = |index: u64| gst::ClockTime::SECOND.mul_div_floor(index, u64::from(rate));
        let mut buffer = to_buffer(picture, &info)?;
        let fresh = buffer.get_mut().context("the buffer is new")?;
        fresh.set_pts(at(index));
        fresh.set_duration(at(1));
        buffers.push(buffer);
    }
    let source = gst_app::AppSrc::builder()
        .caps(&info.to_caps()?)
        .format(gst::Format::Time)
        .build();
    let mut buffers = buffers.into_iter();
    source.set_callbacks(
        gst_app::AppSrcCallbacks::builder()
            .need_data(move |source, _| {
                // Both fail only while the pipeline is being shut down.
                let _ = match buffers.next() {
                    Some(buffer) => source.push_buffer(buffer),
                    None => source.end_of_stream(),
                };
            })
            .build(),
    );
    pipeline.add(&source)?;
    source.link(next)?;
    Ok(())
}

fn to_buffer(picture: &Picture, info: &VideoInfo) -> Result<gst::Buffer> {
    let mut buffer = gst::Buffer::with_size(info.size())?;
    let fresh = buffer.get_mut().context("the buffer is new")?;
    let mut frame = VideoFrameRef::from_buffer_ref_writable(fresh, info)?;
    let stride = usize::try_from(frame.plane_stride()[0])?;
    let rows = picture.pixels.chunks_exact(3 * picture.width as usize);
    for (to, from) in frame.plane_data_mut(0)?.chunks_mut(stride).zip(rows) {
        to[..from.len()].copy_from_slice(from);
    }
    drop(frame);
    Ok(buffer)
}

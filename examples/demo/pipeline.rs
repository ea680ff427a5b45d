//! Source → `casmesaliency` → VP8 in WebM, with a tap on each side of the element.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use anyhow::{Context, Result, anyhow, ensure};
use clap::ValueEnum;
use gst::prelude::*;
use gst::{PadProbeReturn, PadProbeType};

use crate::outputs::Outputs;
use crate::recorder::Recorder;
use crate::source::Source;

const ELEMENT: &str = "casmesaliency";
/// Of the overlay: a colour that few things have, and lines that hide what is below.
const COLOR: u32 = 0x00_E5_FF;
const LINE_OPACITY: f64 = 1.0;

/// Options that become properties of the element.
#[derive(Debug, clap::Args)]
pub struct ElementOptions {
    /// The checkpoint to use instead of the built-in model.
    #[arg(long, value_name = "FILE")]
    model: Option<PathBuf>,
    /// Where to compute: auto, cpu, cuda, cuda:N.
    #[arg(long)]
    device: Option<String>,
    /// What to draw.
    #[arg(long, value_enum, default_value_t = Overlay::Contour)]
    overlay: Overlay,
    /// Compute every N-th frame only; the others show the last result.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    inference_interval: Option<u32>,
    /// Set a further property of casmesaliency; may be repeated.
    #[arg(long = "set", value_name = "PROPERTY=VALUE", value_parser = property)]
    properties: Vec<(String, String)>,
}

/// Values of the property `overlay`.
#[derive(Debug, Clone, Copy, ValueEnum)]
enum Overlay {
    None,
    Box,
    Mask,
    Heatmap,
    Contour,
    Grey,
}

/// The pipeline and what it is watched by.
pub struct Demo {
    /// Everything.
    pub pipeline: gst::Pipeline,
    /// In front of the element.
    pub queue: gst::Element,
    /// On both sides of the element.
    pub taps: Arc<Taps>,
    /// What the input is called in messages.
    pub input: String,
    /// Frames to come, where that is known.
    pub frames: Option<u64>,
    /// `casmesaliency`.
    pub element: gst::Element,
}

/// What the two probes share with the main thread.
pub struct Taps {
    /// Ends the stream after this many frames.
    pub max_frames: AtomicU64,
    /// Ends the stream at the next frame.
    pub stop: AtomicBool,
    /// Time of the newest frame in nanoseconds.
    pub position: AtomicU64,
    recorder: Mutex<Recorder>,
    failure: Mutex<Option<anyhow::Error>>,
}

/// Fails if GStreamer does not know the element.
pub fn check_element() -> Result<()> {
    if gst::ElementFactory::find(ELEMENT).is_some() {
        return Ok(());
    }
    let folders = std::env::var("GST_PLUGIN_PATH").unwrap_or_default();
    Err(anyhow!(
        "GStreamer does not find the element {ELEMENT} (GST_PLUGIN_PATH is '{folders}'); run `make demo`, or \
         `make build` and then this with GST_PLUGIN_PATH=target/release/gstreamer-1.0"
    ))
}

impl Demo {
    /// Puts the pipeline together; nothing runs yet.
    pub fn build(
        source: &Source,
        outputs: &Outputs,
        options: &ElementOptions,
        max_frames: Option<u64>,
    ) -> Result<Demo> {
        let make = |factory: &str| {
            gst::ElementFactory::make(factory).build().with_context(|| {
                format!(
                    "GStreamer's element {factory} is missing; on Debian and Ubuntu: \
                     apt install gstreamer1.0-plugins-base gstreamer1.0-plugins-good"
                )
            })
        };
        let queue = make("queue")?;
        queue.set_property("max-size-buffers", 4u32);
        // Passes frames through untouched if the element takes them as they are.
        let to_element = make("videoconvert")?;
        let upright = make("videoflip")?;
        upright.set_property_from_str("video-direction", "auto");
        let element = make(ELEMENT)?;
        options.apply(&element)?;
        let encoder_queue = make("queue")?;
        encoder_queue.set_property("max-size-buffers", 4u32);
        let to_encoder = make("videoconvert")?;
        let encoder = make("vp8enc")?;
        set_encoder(&encoder);
        let muxer = make("webmmux")?;
        let sink = make("filesink")?;
        let video = outputs.video();
        let location = video
            .to_str()
            .context("the output folder's name is not UTF-8")?;
        sink.set_property("location", location);

        let chain = [
            &queue,
            &to_element,
            &upright,
            &element,
            &encoder_queue,
            &to_encoder,
            &encoder,
            &muxer,
            &sink,
        ];
        let pipeline = gst::Pipeline::new();
        pipeline.add_many(chain)?;
        gst::Element::link_many(chain)?;
        source.attach(&pipeline, &queue)?;

        let taps = Arc::new(Taps {
            max_frames: AtomicU64::new(max_frames.unwrap_or(u64::MAX)),
            stop: AtomicBool::new(false),
            position: AtomicU64::new(0),
            recorder: Mutex::new(Recorder::create(outputs, source.truth())?),
            failure: Mutex::new(None),
        });
        let element_sink = element
            .static_pad("sink")
            .context("casmesaliency has no sink pad")?;
        let element_source = element
            .static_pad("src")
            .context("casmesaliency has no src pad")?;
        Taps::install(&taps, &element_sink, &element_source);
        let frames = source.frames().or(max_frames);
        Ok(Demo {
            pipeline,
            queue,
            taps,
            input: source.name().to_owned(),
            frames,
            element,
        })
    }

    /// Ends the stream even if no further frame comes.
    pub fn end_stream(&self) {
        self.taps.stop.store(true, Ordering::Relaxed);
        // On a thread of its own: it waits for as long as a frame is on its way.
        self.element.call_async(|element| {
            if let Some(pad) = element.static_pad("sink") {
                pad.send_event(gst::event::Eos::new());
            }
        });
    }
}

impl ElementOptions {
    fn apply(&self, element: &gst::Element) -> Result<()> {
        if let Some(model) = &self.model {
            element.set_property("model", model.to_string_lossy().as_ref());
        }
        if let Some(device) = &self.device {
            element.set_property("device", device);
        }
        if let Some(interval) = self.inference_interval {
            element.set_property_from_str("inference-interval", &interval.to_string());
        }
        element.set_property("overlay-color", COLOR);
        if matches!(self.overlay, Overlay::Box | Overlay::Contour) {
            element.set_property("overlay-opacity", LINE_OPACITY);
        }
        if let Some(overlay) = self.overlay.to_possible_value() {
            element.set_property_from_str("overlay", overlay.get_name());
        }
        for (name, value) in &self.properties {
            let known = element
                .find_property(name)
                .filter(|property| property.flags().contains(gst::glib::ParamFlags::WRITABLE));
            let property = known
                .with_context(|| format!("--set {name}: {ELEMENT} has no such property to set"))?;
            let value = gst::glib::Value::deserialize_with_pspec(value, &property)
                .with_context(|| format!("--set {name}: '{value}' is not a value of it"))?;
            // GLib's binding panics beyond the range.
            if let Some([least, most]) = range(&property) {
                let number = value.transform::<f64>().ok();
                let number = number.and_then(|number| number.get::<f64>().ok());
                ensure!(
                    number.is_none_or(|number| (least..=most).contains(&number)),
                    "--set {name}: must be from {least} to {most}"
                );
            }
            element.set_property_from_value(name, &value);
        }
        Ok(())
    }
}

/// The least and the largest value of a property that is a number.
fn range(property: &gst::glib::ParamSpec) -> Option<[f64; 2]> {
    use gst::glib::{ParamSpecDouble, ParamSpecUInt};
    if let Some(number) = property.downcast_ref::<ParamSpecDouble>() {
        return Some([number.minimum(), number.maximum()]);
    }
    let number = property.downcast_ref::<ParamSpecUInt>()?;
    Some([number.minimum(), number.maximum()].map(f64::from))
}

/// `PROPERTY=VALUE`.
fn property(text: &str) -> std::result::Result<(String, String), String> {
    let (name, value) = text
        .split_once('=')
        .ok_or("needs the form PROPERTY=VALUE")?;
    Ok((name.to_owned(), value.to_owned()))
}

/// Quick, since the network needs the time, and never coarse: it is a file to look at.
fn set_encoder(encoder: &gst::Element) {
    encoder.set_property("deadline", 1i64);
    encoder.set_property("cpu-used", 8i32);
    encoder.set_property("threads", 2i32);
    encoder.set_property("keyframe-max-dist", 60i32);
    encoder.set_property("target-bitrate", 0i32);
    encoder.set_property("bits-per-pixel", 0.15f32);
    // Wins over the bitrate, which is too low for detailed pictures.
    encoder.set_property("max-quantizer", 30i32);
    // Finer than the nominal frame rate, so that frames of variable rate never share a tick.
    encoder.set_property("timebase", gst::Fraction::new(1, 90_000));
}

impl Taps {
    /// The recorder; after the pipeline is stopped, nobody else uses it.
    pub fn recorder(&self) -> MutexGuard<'_, Recorder> {
        self.recorder.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Frames that left the element so far.
    pub fn frames(&self) -> u64 {
        self.recorder().frames()
    }

    /// Why the recorder failed, if it did.
    pub fn take_failure(&self) -> Option<anyhow::Error> {
        let mut failure = self.failure.lock().unwrap_or_else(PoisonError::into_inner);
        failure.take()
    }

    fn install(taps: &Arc<Taps>, element_sink: &gst::Pad, element_source: &gst::Pad) {
        let (before, after) = (taps.clone(), taps.clone());
        let entered = AtomicU64::new(0);
        element_sink.add_probe(PadProbeType::BUFFER, move |pad, info| {
            let limit = before.max_frames.load(Ordering::Relaxed);
            let full = entered.fetch_add(1, Ordering::Relaxed) >= limit;
            if full || before.stop.load(Ordering::Relaxed) {
                // Nothing more is taken. "End of stream" goes on to the sink and back to the source.
                before.stop.store(true, Ordering::Relaxed);
                pad.send_event(gst::event::Eos::new());
                info.flow_res = Err(gst::FlowError::Eos);
                return PadProbeReturn::Handled;
            }
            before.recorder().enter();
            PadProbeReturn::Ok
        });
        element_source.add_probe(PadProbeType::BUFFER, move |pad, info| {
            let Some(buffer) = info.buffer() else {
                return PadProbeReturn::Ok;
            };
            if let Some(pts) = buffer.pts() {
                after.position.store(pts.nseconds(), Ordering::Relaxed);
            }
            let caps = pad.current_caps();
            let Err(failure) = after.recorder().leave(buffer, caps.as_deref()) else {
                return PadProbeReturn::Ok;
            };
            *after.failure.lock().unwrap_or_else(PoisonError::into_inner) = Some(failure);
            info.flow_res = Err(gst::FlowError::Error);
            PadProbeReturn::Handled
        });
    }
}

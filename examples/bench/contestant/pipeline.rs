//! The element in a pipeline: prepared frames in, frames with metadata out.

use std::collections::BTreeMap;
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use anyhow::{Context, Result, anyhow};
use gst::prelude::*;
use gst_video::{VideoFormat, VideoInfo};

use super::{Ready, pattern};
use crate::Arguments;

/// Distinct pictures, in turn.
const PICTURES: usize = 4;
/// Frames that wait in front of the element.
const WAITING: usize = 2;

/// Runs rounds.
pub fn serve(arguments: &Arguments) -> Result<()> {
    gst::init()?;
    let format: VideoFormat = arguments
        .format
        .parse()
        .ok()
        .filter(|&format| format != VideoFormat::Unknown)
        .with_context(|| format!("--format {} is no format of GStreamer's", arguments.format))?;
    let info = VideoInfo::builder(format, arguments.width, arguments.height)
        .fps(gst::Fraction::new(25, 1))
        .build()?;
    let pictures: Vec<gst::Buffer> = (0..PICTURES)
        .map(|index| gst::Buffer::from_slice(pattern(info.size(), index)))
        .collect();

    let source = gst_app::AppSrc::builder()
        .caps(&info.to_caps()?)
        .format(gst::Format::Time)
        .block(true)
        .max_bytes((WAITING * info.size()) as u64)
        .build();
    let element = gst::ElementFactory::make("casmesaliency").build().context(
        "GStreamer does not find the element casmesaliency; run `make bench`, or set GST_PLUGIN_PATH=target/release/gstreamer-1.0",
    )?;
    if let Some(model) = &arguments.model {
        element.set_property("model", model.to_string_lossy().as_ref());
    }
    element.set_property("device", &arguments.device);
    element.set_property_from_str("engine", &arguments.engine.to_string());
    element.set_property_from_str("precision", &arguments.precision);
    element.set_property_from_str("threads", &arguments.threads.to_string());
    element.set_property("async-depth", arguments.async_depth);
    let sink = gst::ElementFactory::make("fakesink")
        .property("sync", false)
        .build()?;
    let pipeline = gst::Pipeline::new();
    pipeline.add_many([source.upcast_ref(), &element, &sink])?;
    gst::Element::link_many([source.upcast_ref(), &element, &sink])?;

    let (sender, arrivals) = channel();
    let pad = sink.static_pad("sink").context("fakesink has a sink pad")?;
    pad.add_probe(gst::PadProbeType::BUFFER, move |_, _| {
        // Fails only after `serve` has ended.
        let _ = sender.send(());
        gst::PadProbeReturn::Ok
    });
    if let Err(error) = pipeline.set_state(gst::State::Playing) {
        // Nobody would take the first frame, and pushing it would wait for ever.
        let told = failure(&pipeline)?;
        pipeline.set_state(gst::State::Null)?;
        return Err(told.unwrap_or_else(|| error.into()));
    }
    let ready = Ready {
        network: String::new(),
        engine: String::new(),
    };
    let mut number = 0;
    let run = |frames| {
        for _ in 0..frames {
            let mut buffer = pictures[number % PICTURES].copy();
            let fresh = buffer.get_mut().context("a copy has one owner")?;
            fresh.set_pts(gst::ClockTime::from_mseconds(40 * number as u64));
            fresh.set_duration(gst::ClockTime::from_mseconds(40));
            number += 1;
            // A refusal is followed by an error on the bus.
            if source.push_buffer(buffer).is_err() {
                break;
            }
        }
        wait(&arrivals, frames, &pipeline)
    };
    let outcome = super::serve(&ready, run, || stages(&element));
    pipeline.set_state(gst::State::Null)?;
    outcome
}

/// Milliseconds by stage, as far as the element tells them.
fn stages(element: &gst::Element) -> BTreeMap<String, f64> {
    let stats: gst::Structure = element.property("stats");
    let stages = stats.iter().filter_map(|(name, value)| {
        let name = name.as_str();
        let mean = name.starts_with("mean-") && name.ends_with("-ms");
        Some((name.to_owned(), value.get::<f64>().ok()?)).filter(|_| mean)
    });
    stages.collect()
}

/// Until as many frames have arrived at the sink.
fn wait(arrivals: &Receiver<()>, frames: u32, pipeline: &gst::Pipeline) -> Result<()> {
    for _ in 0..frames {
        while arrivals.recv_timeout(Duration::from_millis(200)).is_err() {
            if let Some(error) = failure(pipeline)? {
                return Err(error);
            }
        }
    }
    Ok(())
}

/// The error that the bus tells, if there is one.
fn failure(pipeline: &gst::Pipeline) -> Result<Option<anyhow::Error>> {
    let bus = pipeline.bus().context("a pipeline has a bus")?;
    let message = bus.pop_filtered(&[gst::MessageType::Error]);
    Ok(message.and_then(|message| match message.view() {
        gst::MessageView::Error(error) => Some(anyhow!("{}", error.error().message())),
        _ => None,
    }))
}

//! The element's properties: their specification, their values, and what these mean to the library.

use std::time::Duration;

use casm_core::engine::{self, EngineOptions};
use casm_core::header::Header;
use casm_core::localizer::LocalizeOptions;
use casm_core::mask::{self, BinarizationRule};
use casm_core::overlay::{OverlayMode, OverlayStyle};
use casm_core::track::TrackOptions;
use casm_core::{Resize, Result};
use glib::prelude::*;

use crate::saliency::worker::Batching;
use crate::saliency::{Binarization, EngineChoice, LatePolicy, Overlay, Precision, RoiMode};

/// Name of the read-only property with the counters.
pub const STATS: &str = "stats";
/// The properties that are read when the element starts, and not again.
pub const READ_AT_START: [&str; 8] = [
    "engine",
    "device",
    "threads",
    "precision",
    "model-instance-id",
    "max-batch",
    "batch-timeout-us",
    "async-depth",
];

/// Values of the writable properties.
#[derive(Debug, Clone, PartialEq)]
pub struct Settings {
    /// Checkpoint file; empty = the built-in model.
    pub model: String,
    /// What runs the network.
    pub engine: EngineChoice,
    /// As written: what it means is found out at the start, where an error can be reported.
    pub device: String,
    /// CPU threads; 0 = at most one a core.
    pub threads: u32,
    /// Number format.
    pub precision: Precision,
    /// Word under which elements share a model; empty = a model of its own.
    pub model_instance_id: String,
    /// Pictures in one run of the network.
    pub max_batch: u32,
    /// How long the worker waits for others, in µs.
    pub batch_timeout_us: u32,
    /// Frames that wait inside; 0 = the streaming thread waits.
    pub async_depth: u32,
    /// What happens to late frames.
    pub late_policy: LatePolicy,
    /// What is drawn.
    pub overlay: Overlay,
    /// Opacity of what is drawn, in [0, 1].
    pub overlay_opacity: f64,
    /// 0xRRGGBB; the top byte is ignored.
    pub overlay_color: u32,
    /// Rule.
    pub binarization: Binarization,
    /// Factor on the mask's mean; 0 = the model's.
    pub threshold: f64,
    /// Share of the mask.
    pub min_area: f64,
    /// At most so many objects, and regions of interest.
    pub max_objects: u32,
    /// Where the network looks.
    pub roi_mode: RoiMode,
    /// Share of the masks' moving average that stays.
    pub mask_smoothing: f64,
    /// Overlap (IoU) above which a box is left where it was; 1 = never.
    pub box_hysteresis: f64,
    /// Whether objects get numbers.
    pub tracking: bool,
    /// An inference every so many frames.
    pub inference_interval: u32,
    /// Whether every frame has a message on the bus.
    pub post_messages: bool,
}

impl Default for Settings {
    fn default() -> Self {
        let style = OverlayStyle::default();
        let [red, green, blue] = style.color;
        Settings {
            model: String::new(),
            engine: EngineChoice::default(),
            device: engine::Device::Auto.to_string(),
            threads: 0,
            precision: Precision::default(),
            model_instance_id: String::new(),
            max_batch: 1,
            batch_timeout_us: 0,
            async_depth: 0,
            late_policy: LatePolicy::default(),
            overlay: Overlay::default(),
            // Through decimals: 0.6 is not to become 0.6000000238.
            overlay_opacity: (f64::from(style.opacity) * 1e6).round() / 1e6,
            overlay_color: u32::from_be_bytes([0, red, green, blue]),
            binarization: Binarization::default(),
            threshold: 0.0,
            min_area: 0.0,
            max_objects: 1,
            roi_mode: RoiMode::default(),
            mask_smoothing: 0.0,
            box_hysteresis: 1.0,
            tracking: false,
            inference_interval: 1,
            post_messages: false,
        }
    }
}

impl Settings {
    /// Takes over a property's value. GObject has checked name, type and range.
    pub fn set(&mut self, name: &str, value: &glib::Value) {
        match name {
            // An application may pass NULL, which means the same as an empty string.
            "model" => self.model = text(value),
            "engine" => self.engine = checked(value),
            "device" => self.device = text(value),
            "threads" => self.threads = checked(value),
            "precision" => self.precision = checked(value),
            "model-instance-id" => self.model_instance_id = text(value),
            "max-batch" => self.max_batch = checked(value),
            "batch-timeout-us" => self.batch_timeout_us = checked(value),
            "async-depth" => self.async_depth = checked(value),
            "late-policy" => self.late_policy = checked(value),
            "overlay" => self.overlay = checked(value),
            "overlay-opacity" => self.overlay_opacity = checked(value),
            "overlay-color" => self.overlay_color = checked(value),
            "binarization" => self.binarization = checked(value),
            "threshold" => self.threshold = checked(value),
            "min-area" => self.min_area = checked(value),
            "max-objects" => self.max_objects = checked(value),
            "roi-mode" => self.roi_mode = checked(value),
            "mask-smoothing" => self.mask_smoothing = checked(value),
            "box-hysteresis" => self.box_hysteresis = checked(value),
            "tracking" => self.tracking = checked(value),
            "inference-interval" => self.inference_interval = checked(value),
            "post-messages" => self.post_messages = checked(value),
            _ => unreachable!("GObject sets only what is specified as writable"),
        }
    }

    /// A property's value.
    pub fn get(&self, name: &str) -> glib::Value {
        match name {
            "model" => self.model.to_value(),
            "engine" => self.engine.to_value(),
            "device" => self.device.to_value(),
            "threads" => self.threads.to_value(),
            "precision" => self.precision.to_value(),
            "model-instance-id" => self.model_instance_id.to_value(),
            "max-batch" => self.max_batch.to_value(),
            "batch-timeout-us" => self.batch_timeout_us.to_value(),
            "async-depth" => self.async_depth.to_value(),
            "late-policy" => self.late_policy.to_value(),
            "overlay" => self.overlay.to_value(),
            "overlay-opacity" => self.overlay_opacity.to_value(),
            "overlay-color" => self.overlay_color.to_value(),
            "binarization" => self.binarization.to_value(),
            "threshold" => self.threshold.to_value(),
            "min-area" => self.min_area.to_value(),
            "max-objects" => self.max_objects.to_value(),
            "roi-mode" => self.roi_mode.to_value(),
            "mask-smoothing" => self.mask_smoothing.to_value(),
            "box-hysteresis" => self.box_hysteresis.to_value(),
            "tracking" => self.tracking.to_value(),
            "inference-interval" => self.inference_interval.to_value(),
            "post-messages" => self.post_messages.to_value(),
            _ => unreachable!("GObject gets only what is specified"),
        }
    }

    /// How to open the engine.
    ///
    /// # Errors
    /// [`casm_core::Error::Device`] if `device` is not understood.
    pub fn engine_options(&self) -> Result<EngineOptions> {
        Ok(EngineOptions {
            engine: self.engine.nick().parse()?,
            // An emptied property means its default, as with `model`.
            device: if self.device.is_empty() {
                engine::Device::Auto
            } else {
                self.device.parse()?
            },
            precision: match self.precision {
                Precision::Auto => engine::Precision::Auto,
                Precision::F32 => engine::Precision::F32,
                Precision::Bf16 => engine::Precision::Bf16,
                Precision::F16 => engine::Precision::F16,
                Precision::Int8 => engine::Precision::Int8,
            },
            threads: self.threads as usize,
        })
    }

    /// How the worker puts pictures together.
    pub fn batching(&self) -> Batching {
        Batching {
            most: self.max_batch as usize,
            patience: Duration::from_micros(self.batch_timeout_us.into()),
        }
    }

    /// What is done with masks of a model with this `header`.
    pub fn localize_options(&self, header: &Header) -> LocalizeOptions {
        // The paper's rules have no erosion; a model's own may.
        let (rule, erosion) = match self.binarization {
            Binarization::Model => (header.binarization.rule, header.binarization.erosion),
            Binarization::Quantile => (BinarizationRule::Quantile, 0),
            Binarization::Mean => (BinarizationRule::Mean, 0),
        };
        let alpha = if self.threshold > 0.0 {
            self.threshold
        } else {
            header.binarization.alpha
        };
        LocalizeOptions {
            resize: Resize::Stretch,
            binarization: mask::Binarization {
                rule,
                alpha,
                erosion,
            },
            min_area: self.min_area,
            max_objects: self.max_objects as usize,
        }
    }

    /// How objects are followed; not at all without `tracking` and `box-hysteresis`.
    pub fn track_options(&self) -> Option<TrackOptions> {
        /// In frames: one second of most streams.
        const PATIENCE: u32 = 30;
        (self.tracking || self.box_hysteresis < 1.0).then_some(TrackOptions {
            hysteresis: self.box_hysteresis,
            patience: (PATIENCE / self.inference_interval).max(1),
        })
    }

    /// What is drawn, and how.
    pub fn overlay_style(&self) -> OverlayStyle {
        let [_, red, green, blue] = self.overlay_color.to_be_bytes();
        OverlayStyle {
            mode: match self.overlay {
                Overlay::None => OverlayMode::None,
                Overlay::Box => OverlayMode::Box,
                Overlay::Mask => OverlayMode::Mask,
                Overlay::Heatmap => OverlayMode::Heatmap,
                Overlay::Contour => OverlayMode::Contour,
                Overlay::Grey => OverlayMode::Grey,
            },
            color: [red, green, blue],
            opacity: self.overlay_opacity as f32,
        }
    }
}

/// The engine's number format, as the property `precision` calls it.
pub fn precision_nick(precision: engine::Precision) -> &'static str {
    match precision {
        engine::Precision::Auto => "auto",
        engine::Precision::F32 => "f32",
        engine::Precision::Bf16 => "bf16",
        engine::Precision::F16 => "f16",
        engine::Precision::Int8 => "int8",
    }
}

fn checked<T: for<'v> glib::value::FromValue<'v> + 'static>(value: &glib::Value) -> T {
    value.get_owned().expect("GObject has checked the type")
}

fn text(value: &glib::Value) -> String {
    value
        .get::<Option<String>>()
        .expect("GObject has checked the type")
        .unwrap_or_default()
}

//! `casmesaliency`: wrapper type, enums of its properties, registration.

use glib::prelude::*;

mod error;
mod frame;
mod imp;
mod properties;
mod result;
mod settings;
mod stats;
mod stream;
mod time;
mod worker;

pub use frame::regions::RoiMode;
pub use result::message::MESSAGE_NAME;
#[cfg(feature = "v1_26")]
pub use result::meta::TENSOR_ID;
pub use result::meta::{MaskMeta, PARAMS_NAME, ROI_TYPE, SaliencyMask, SaliencyObject};
pub use worker::shared::SharedEngine;
pub use worker::swap::MODEL_UPDATED;

glib::wrapper! {
    /// The element `casmesaliency`, `GstCasmeSaliency`.
    pub struct CasmeSaliency(ObjectSubclass<imp::CasmeSaliency>)
        @extends gst_base::BaseTransform, gst::Element, gst::Object;
}

/// What is drawn: the values of the property `overlay`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, glib::Enum)]
#[enum_type(name = "GstCasmeSaliencyOverlay")]
pub enum Overlay {
    /// Nothing; the frame's memory is not written.
    #[default]
    #[enum_value(name = "Draw nothing, leave the pixels alone", nick = "none")]
    None,
    /// The bounding box.
    #[enum_value(name = "The outline of the bounding box", nick = "box")]
    Box,
    /// The soft mask as a tint.
    #[enum_value(name = "A tint, the stronger the more salient", nick = "mask")]
    Mask,
    /// The soft mask in false colours.
    #[enum_value(name = "The soft mask in false colours", nick = "heatmap")]
    Heatmap,
    /// The edge of the object.
    #[enum_value(name = "The outline of the object itself", nick = "contour")]
    Contour,
    /// The soft mask as a grey picture.
    #[enum_value(
        name = "The soft mask in grey; with overlay-opacity=1 in place of the picture",
        nick = "grey"
    )]
    Grey,
}

/// What runs the network: the values of the property `engine`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, glib::Enum)]
#[enum_type(name = "GstCasmeSaliencyEngine")]
pub enum EngineChoice {
    /// The first of the library's table that suits and opens.
    #[default]
    #[enum_value(
        name = "The fastest that is installed and suits device and precision",
        nick = "auto"
    )]
    Auto,
    /// libtorch.
    #[enum_value(name = "libtorch, on CPUs and NVIDIA GPUs", nick = "torch")]
    Torch,
    /// OpenVINO.
    #[enum_value(name = "OpenVINO, on the CPU", nick = "openvino")]
    Openvino,
}

impl EngineChoice {
    /// The word by which the library knows it.
    pub(crate) fn nick(self) -> &'static str {
        match self {
            EngineChoice::Auto => "auto",
            EngineChoice::Torch => "torch",
            EngineChoice::Openvino => "openvino",
        }
    }
}

/// What happens to frames that would leave too late after an inference: the values of the property `late-policy`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, glib::Enum)]
#[enum_type(name = "GstCasmeSaliencyLatePolicy")]
pub enum LatePolicy {
    /// The frame carries the last result.
    #[default]
    #[enum_value(
        name = "Keep the frame, with the last result and its age",
        nick = "skip-inference"
    )]
    SkipInference,
    /// The frame is dropped.
    #[enum_value(name = "Drop the frame", nick = "drop-frame")]
    DropFrame,
    /// The frame has its inference.
    #[enum_value(
        name = "Run the network on it all the same, however late it gets",
        nick = "block"
    )]
    Block,
}

/// Number format of the network: the values of the property `precision`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, glib::Enum)]
#[enum_type(name = "GstCasmeSaliencyPrecision")]
pub enum Precision {
    /// f32, on every machine.
    #[default]
    #[enum_value(
        name = "32-bit floating point, whose results the others do not always give",
        nick = "auto"
    )]
    Auto,
    /// 32-bit floating point.
    #[enum_value(name = "32-bit floating point", nick = "f32")]
    F32,
    /// 16-bit floating point with the range of 32 bits.
    #[enum_value(
        name = "16-bit floating point with the range of 32 bits (bfloat16)",
        nick = "bf16"
    )]
    Bf16,
    /// 16-bit IEEE floating point.
    #[enum_value(name = "16-bit IEEE floating point", nick = "f16")]
    F16,
    /// 8-bit whole numbers.
    #[enum_value(
        name = "8-bit whole numbers, for models of `casm quantize`",
        nick = "int8"
    )]
    Int8,
}

/// How the mask is made binary: the values of the property `binarization`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, glib::Enum)]
#[enum_type(name = "GstCasmeSaliencyBinarization")]
pub enum Binarization {
    /// The rule that the checkpoint names.
    #[default]
    #[enum_value(name = "The rule that the model's checkpoint names", nick = "model")]
    Model,
    /// A share of the pixels equal to the mask's mean.
    #[enum_value(
        name = "Mark as large a share of the pixels as the mask's mean",
        nick = "quantile"
    )]
    Quantile,
    /// The pixels that reach the mask's mean.
    #[enum_value(name = "Mark the pixels that reach the mask's mean", nick = "mean")]
    Mean,
}

/// Registers the element and the meta with `plugin`.
pub fn register(plugin: &gst::Plugin) -> Result<(), glib::BoolError> {
    #[cfg(feature = "doc")]
    {
        use gst::prelude::*;
        for enumeration in [
            EngineChoice::static_type(),
            LatePolicy::static_type(),
            Overlay::static_type(),
            Precision::static_type(),
            RoiMode::static_type(),
            Binarization::static_type(),
        ] {
            enumeration.mark_as_plugin_api(gst::PluginAPIFlags::empty());
        }
    }
    MaskMeta::register();
    gst::Element::register(
        Some(plugin),
        "casmesaliency",
        gst::Rank::NONE,
        CasmeSaliency::static_type(),
    )
}

//! GStreamer plugin `casm`: the element `casmesaliency` finds the salient object of every video frame.
//!
//! | stage | module of `saliency` | from → to |
//! |---|---|---|
//! | properties | `properties`, `settings` | GObject values → options of the library |
//! | stream | `stream::{flow, events, life}` | what happens to a frame, an event, a model, in order |
//! | | `stream::{queue, task}` | frames that wait for their masks (`async-depth`) |
//! | frame | `frame::negotiation` | caps, and what the neighbours can do |
//! | | `frame` | a mapped buffer, any stride → `casm_core::Frame` |
//! | | `frame::{intake, regions}` | frame, or its regions of interest → pixels for the worker |
//! | time | `time::{late, latency, qos}` | times → whether a frame has an inference; what the LATENCY query is told |
//! | worker | `worker::{inquiry, lane, rotation}` | pixels of one or several streams, in turns → masks |
//! | | `worker::{model, shared, swap}` | the model that the streams share, and the next one |
//! | result | `result::{outlet, finding}` | mask, or the last one → finding on its frame |
//! | | `result::meta` ([`MaskMeta`]) | finding → region of interest and mask on the buffer |
//! | | `result::boxes` | what a buffer carries → boxes in pixels of its frame, for applications |
//! | | `result::{message, composition}` | finding → element message on the bus; overlay beside the pixels |
//!
//! The plugin does not link libtorch. `casm_core` opens the engine's library, `libcasm.so`, when the
//! element goes from READY to PAUSED, so that a machine without libtorch still registers the element
//! and gets an error that says what is missing.
//!
//! Applications in Rust read the results with [`MaskMeta::from_buffer`]; in C and Python they are the
//! fields of a `GstCustomMeta`, see [`MaskMeta`].

#![warn(missing_docs)]

mod saliency;

pub use casm_core::BoundingBox;
pub use plugin::plugin_register_static;
#[cfg(feature = "v1_26")]
pub use saliency::TENSOR_ID;
pub use saliency::{
    Binarization, CasmeSaliency, EngineChoice, LatePolicy, MESSAGE_NAME, MODEL_UPDATED, MaskMeta,
    Overlay, PARAMS_NAME, Precision, ROI_TYPE, RoiMode, SaliencyMask, SaliencyObject, SharedEngine,
};

/// What GStreamer looks up in the library, and `plugin_register_static` for applications.
#[allow(missing_docs)] // The macro documents nothing.
mod plugin {
    fn plugin_init(plugin: &gst::Plugin) -> Result<(), glib::BoolError> {
        casm_core::engine::prepare_process();
        super::saliency::register(plugin)
    }

    // GStreamer knows one licence word a plugin; "MIT/X11" is its word for the first of our two.
    gst::plugin_define!(
        casm,
        env!("CARGO_PKG_DESCRIPTION"),
        plugin_init,
        concat!(env!("CARGO_PKG_VERSION"), "-", env!("COMMIT_ID")),
        "MIT/X11",
        env!("CARGO_PKG_NAME"),
        env!("CARGO_PKG_NAME"),
        "casm",
        env!("BUILD_REL_DATE")
    );
}

//! The specification of the element's properties: what `gst-inspect-1.0` shows.

use glib::{
    ParamSpec, ParamSpecBoolean, ParamSpecBoxed, ParamSpecDouble, ParamSpecEnum, ParamSpecString,
    ParamSpecUInt,
};
use gst::prelude::*;

use crate::saliency::settings::{STATS, Settings};

impl Settings {
    /// All properties of the element.
    pub fn specifications() -> Vec<ParamSpec> {
        let default = Settings::default();
        vec![
            ParamSpecString::builder("model")
                .nick("Model")
                .blurb(
                    "Checkpoint file of the model; empty = the built-in model. Set while playing, it is loaded aside \
                     and an element message 'casm-model-updated' says when frames have it",
                )
                .default_value(Some(default.model.as_str()))
                .mutable_playing()
                .build(),
            ParamSpecEnum::builder_with_default("engine", default.engine)
                .nick("Engine")
                .blurb("What runs the network; auto = the fastest that is installed")
                .mutable_ready()
                .build(),
            ParamSpecString::builder("device")
                .nick("Device")
                .blurb("Where the network runs: auto (the first usable GPU, else the CPU), cpu, cuda or cuda:N")
                .default_value(Some(default.device.as_str()))
                .mutable_ready()
                .build(),
            ParamSpecUInt::builder("threads")
                .nick("Threads")
                .blurb("CPU threads of the network, at most four a core; 0 = one a core, of which libtorch uses as many as are fastest at the moment")
                .maximum(1024)
                .default_value(default.threads)
                .mutable_ready()
                .build(),
            ParamSpecEnum::builder_with_default("precision", default.precision)
                .nick("Precision")
                .blurb("Number format of the network's weights and activations")
                .mutable_ready()
                .build(),
            ParamSpecString::builder("model-instance-id")
                .nick("Model instance")
                .blurb(
                    "Elements with the same word here share one loaded model and one worker, as the first of them is \
                     set; empty = a model of its own",
                )
                .default_value(Some(default.model_instance_id.as_str()))
                .mutable_ready()
                .build(),
            ParamSpecUInt::builder("max-batch")
                .nick("Maximum batch")
                .blurb("The worker runs the network on at most so many waiting frames at once")
                .minimum(1)
                .maximum(64)
                .default_value(default.max_batch)
                .mutable_ready()
                .build(),
            ParamSpecUInt::builder("batch-timeout-us")
                .nick("Batch timeout")
                .blurb("How long the worker waits for a batch to fill, in µs; 0 = it takes what is there")
                .maximum(1_000_000)
                .default_value(default.batch_timeout_us)
                .mutable_ready()
                .build(),
            ParamSpecUInt::builder("async-depth")
                .nick("Asynchronous depth")
                .blurb(
                    "So many frames may wait inside for their results while upstream goes on; 0 = upstream waits for \
                     each frame",
                )
                .maximum(64)
                .default_value(default.async_depth)
                .mutable_ready()
                .build(),
            ParamSpecEnum::builder_with_default("late-policy", default.late_policy)
                .nick("Late policy")
                .blurb(
                    "What happens to frames that would leave too late: of a live source, or where a sink says so with \
                     QoS events",
                )
                .mutable_playing()
                .build(),
            ParamSpecEnum::builder_with_default("overlay", default.overlay)
                .nick("Overlay")
                .blurb("What is drawn: beside the pixels where downstream shows that, else into them")
                .mutable_playing()
                .build(),
            ParamSpecDouble::builder("overlay-opacity")
                .nick("Overlay opacity")
                .blurb("Opacity of what is drawn: 0 = invisible, 1 = hides the picture")
                .minimum(0.0)
                .maximum(1.0)
                .default_value(default.overlay_opacity)
                .controllable()
                .mutable_playing()
                .build(),
            ParamSpecUInt::builder("overlay-color")
                .nick("Overlay colour")
                .blurb("Colour of box, mask and contour as 0xRRGGBB; a leading alpha byte is ignored")
                .default_value(default.overlay_color)
                .mutable_playing()
                .build(),
            ParamSpecEnum::builder_with_default("binarization", default.binarization)
                .nick("Binarization")
                .blurb("How the soft mask is made binary, from the next inference on")
                .mutable_playing()
                .build(),
            ParamSpecDouble::builder("threshold")
                .nick("Threshold")
                .blurb(
                    "Factor on the mask's mean that sets how much is marked: with binarization=quantile larger marks \
                     more, with binarization=mean larger marks less; 0 = as the model's checkpoint says, 1 in the paper",
                )
                .minimum(0.0)
                .maximum(10.0)
                .default_value(default.threshold)
                .controllable()
                .mutable_playing()
                .build(),
            ParamSpecDouble::builder("min-area")
                .nick("Minimum area")
                .blurb("Smallest object that is reported, as a share of the frame; 0 = any")
                .minimum(0.0)
                .maximum(1.0)
                .default_value(default.min_area)
                .mutable_playing()
                .build(),
            ParamSpecUInt::builder("max-objects")
                .nick("Maximum objects")
                .blurb("Report at most so many objects, the largest first; 1 = the paper's single object")
                .minimum(1)
                .maximum(64)
                .default_value(default.max_objects)
                .mutable_playing()
                .build(),
            ParamSpecEnum::builder_with_default("roi-mode", default.roi_mode)
                .nick("Region of interest mode")
                .blurb(
                    "Where the network looks: full = at the whole frame, upstream = at each region of interest that a \
                     detector upstream has attached (the max-objects largest), whose box it refines; our regions \
                     have its id as parent_id, or 0 where it is only a detection of GstAnalytics. Frames without a region \
                     have no inference and no box",
                )
                .mutable_playing()
                .build(),
            ParamSpecDouble::builder("mask-smoothing")
                .nick("Mask smoothing")
                .blurb("Share of the moving average of the masks that stays from inference to inference; 0 = every frame by itself")
                .minimum(0.0)
                .maximum(0.99)
                .default_value(default.mask_smoothing)
                .mutable_playing()
                .build(),
            ParamSpecDouble::builder("box-hysteresis")
                .nick("Box hysteresis")
                .blurb("Leave a box where it was while the new one overlaps it (IoU) at least so much; 1 = always move it")
                .minimum(0.0)
                .maximum(1.0)
                .default_value(default.box_hysteresis)
                .mutable_playing()
                .build(),
            ParamSpecBoolean::builder("tracking")
                .nick("Tracking")
                .blurb("Give objects numbers that stay while their boxes overlap from inference to inference (IoU above 0.3), and with \
                     roi-mode=upstream their types are the same")
                .default_value(default.tracking)
                .mutable_playing()
                .build(),
            ParamSpecUInt::builder("inference-interval")
                .nick("Inference interval")
                .blurb("Run the network on every Nth frame; those between carry the last result with its age in frames")
                .minimum(1)
                .default_value(default.inference_interval)
                .mutable_playing()
                .build(),
            ParamSpecBoolean::builder("post-messages")
                .nick("Post messages")
                .blurb("Post an element message 'casm-saliency' on the bus for every frame")
                .default_value(default.post_messages)
                .mutable_playing()
                .build(),
            ParamSpecBoxed::builder::<gst::Structure>(STATS)
                .nick("Statistics")
                .blurb(
                    "frames, inferred, reused, without-region, skipped, dropped, gaps, drawn, regions, last-inference-ms, \
                     mean-inference-ms and its parts mean-input-ms, mean-network-ms, mean-postprocessing-ms, \
                     mean-overlay-ms, mean-metadata-ms, latency-ms, model, engine, device, precision and threads \
                     since the last start",
                )
                .read_only()
                .build(),
        ]
    }
}

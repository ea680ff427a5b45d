//! The model from start to stop, and another one in between.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use gst::prelude::*;
use gst::subclass::prelude::*;
use gst_base::prelude::*;

use crate::saliency::LatePolicy;
use crate::saliency::error::{error_message, warning};
use crate::saliency::frame::intake::Intake;
use crate::saliency::imp::{CAT, CasmeSaliency, lock};
use crate::saliency::result::outlet::Outlet;
use crate::saliency::stats::Stats;
use crate::saliency::time::latency::LatencyEstimate;
use crate::saliency::worker::shared::{Instance, STOP_PATIENCE};
use crate::saliency::worker::swap::{self, MODEL_UPDATED, Swap};

impl CasmeSaliency {
    /// Loads the model, or joins those who have; the error says what is missing.
    pub(in crate::saliency) fn begin(&self) -> Result<(), gst::ErrorMessage> {
        let settings = lock(&self.settings).clone();
        let (instance, joined) = Instance::join(&settings).map_err(|error| {
            gst::error!(CAT, imp = self, "Cannot start: {error}");
            error_message(&error)
        })?;
        let model = instance.model();
        let stats = Stats::new(model.origin(), model.description());
        gst::info!(CAT, imp = self, "Started: {stats:?}");
        if joined && !settings.model.is_empty() && settings.model != model.path() {
            gst::element_imp_warning!(
                self,
                gst::ResourceError::Settings,
                (
                    "model-instance-id={} runs {} already, so model={} is not used; give one of the two another \
                     model-instance-id",
                    settings.model_instance_id,
                    model.origin(),
                    settings.model
                )
            );
        }
        *lock(&self.stats) = stats;
        *lock(&self.latency) = LatencyEstimate::new(model.first());
        *lock(&self.outlet) = Outlet::default();
        *lock(&self.intake) = Some(Intake::new(instance.clone()));
        *lock(&self.instance) = Some(instance);
        self.queue.open();
        self.queue.end(false);
        let depth = settings.async_depth;
        self.depth.store(depth, Ordering::Relaxed);
        self.interrupt.lower();
        self.forget();
        // Set while the first one was being loaded.
        if lock(&self.settings).model != settings.model {
            self.take_effect("model");
        }
        Ok(())
    }

    /// Does what a new value of a property asks for now.
    pub(in crate::saliency) fn take_effect(&self, name: &str) {
        match name {
            "model" => {
                // Without one it is read when the element starts.
                let instance = lock(&self.instance).clone();
                if let Some(instance) = instance {
                    let path = lock(&self.settings).model.clone();
                    self.swap_model(&instance, path);
                    // The element may have stopped meanwhile.
                    self.leave(instance);
                }
            }
            // Downstream may show overlays that come beside the pixels.
            "overlay" => self.undecided.store(true, Ordering::Relaxed),
            // The base class then drops what a sink says is late, and says so. What the user has set it to is left alone.
            "late-policy" => {
                let drops = lock(&self.settings).late_policy == LatePolicy::DropFrame;
                if drops && !self.obj().property::<bool>("qos") {
                    self.sets_qos.store(true, Ordering::Relaxed);
                    self.obj().set_qos(true);
                } else if !drops && self.sets_qos.swap(false, Ordering::Relaxed) {
                    self.obj().set_qos(false);
                }
            }
            _ => {}
        }
    }

    /// Lets go of everything.
    pub(in crate::saliency) fn end(&self) {
        self.discard();
        // One that a streaming thread has started after the last stop.
        self.stop_task();
        *lock(&self.outlet) = Outlet::default();
        drop(lock(&self.intake).take());
        *lock(&self.taken) = None;
        let instance = lock(&self.instance).take();
        if let Some(instance) = instance {
            self.leave(instance);
        }
        gst::info!(CAT, imp = self, "Stopped");
    }

    /// Leaves the model; says so if the device hangs.
    fn leave(&self, instance: Arc<Instance>) {
        if Instance::leave(instance) {
            return;
        }
        gst::error!(CAT, imp = self, "The device hangs");
        gst::element_imp_error!(
            self,
            gst::LibraryError::Shutdown,
            (
                "The device has not answered for {} s; its thread and the model's memory are left behind. Start the \
                 program again",
                STOP_PATIENCE.as_secs()
            )
        );
    }

    /// Another model for a stream that plays.
    pub(in crate::saliency) fn swap_model(&self, instance: &Arc<Instance>, path: String) {
        let element = self.obj().downgrade();
        let told = path.clone();
        let begun = swap::begin(instance, path, move |swap| {
            if let Some(element) = element.upgrade() {
                element.imp().tell_swap(&told, swap);
            }
        });
        if let Err(error) = begun {
            self.tell_swap("", Swap::Failed(error));
        }
    }

    fn tell_swap(&self, path: &str, swap: Swap) {
        let message = gst::Structure::builder(MODEL_UPDATED).field("path", path);
        let structure = match swap {
            Swap::Done(model) => {
                gst::info!(
                    CAT,
                    imp = self,
                    "Frames have {} from now on",
                    model.origin()
                );
                lock(&self.stats).set_model(model.origin(), model.description());
                message.field("ok", true).build()
            }
            Swap::Failed(error) => {
                gst::warning!(CAT, imp = self, "The old model runs on: {error}");
                self.warn(&error);
                message
                    .field("ok", false)
                    .field("reason", error.to_string())
                    .build()
            }
            Swap::Superseded => message
                .field("ok", false)
                .field("reason", "another model was set before this one was loaded")
                .build(),
        };
        let message = gst::message::Element::builder(structure).src(&*self.obj());
        let _ = self.obj().post_message(message.build());
    }

    /// The error as a warning: the stream goes on.
    fn warn(&self, error: &casm_core::Error) {
        let text = format!("{error}; the model as it was runs on");
        let message = gst::message::Warning::builder_from_error(warning(error, &text));
        let _ = self.obj().post_message(message.src(&*self.obj()).build());
    }
}

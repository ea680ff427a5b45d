//! The source pad's own thread, with `async-depth`: it waits for results and pushes frames on.

use gst::prelude::*;
use gst::subclass::prelude::*;
use gst_base::prelude::*;

use crate::saliency::imp::{CAT, CasmeSaliency};

impl CasmeSaliency {
    /// Starts the task, if it does not run.
    pub(in crate::saliency) fn start_task(&self) -> Result<(), gst::FlowError> {
        let element = self.obj();
        let pad = element.src_pad();
        if pad.task_state() == gst::TaskState::Started {
            return Ok(());
        }
        gst::debug!(CAT, imp = self, "Starting the task");
        let element = element.downgrade();
        pad.start_task(move || match element.upgrade() {
            Some(element) => element.imp().push_next(),
            // The pad outlives its element only while somebody holds it.
            None => std::thread::sleep(std::time::Duration::from_millis(10)),
        })
        .map_err(|error| {
            gst::error!(CAT, imp = self, "{error}");
            gst::element_imp_error!(
                self,
                gst::CoreError::Thread,
                ("The thread for async-depth cannot be started; set async-depth=0")
            );
            gst::FlowError::Error
        })
    }

    /// Ends the task, and one that may be started late, until [`begin`](Self::begin); whoever waits has been
    /// interrupted before.
    pub(in crate::saliency) fn stop_task(&self) {
        self.queue.end(true);
        let pad = self.obj().src_pad().clone();
        // Wakes a task that a probe on the pad holds; the parent class would close the pad only after this.
        let _ = pad.set_active(false);
        if pad.stop_task().is_err() {
            gst::warning!(CAT, imp = self, "The task does not stop");
        }
    }

    fn push_next(&self) {
        let Some(waiting) = self.queue.take() else {
            let _ = self.obj().src_pad().pause_task();
            return;
        };
        let flow = gst::panic_to_error!(self, Err(gst::FlowError::Error), {
            let finished = self.finish(waiting);
            finished.and_then(|buffer| self.obj().src_pad().push(buffer))
        });
        if let Err(error) = flow {
            gst::debug!(CAT, imp = self, "Pushing has come to {error:?}");
        }
        self.queue.done(flow);
    }

    /// Waits until all frames have left, so that what follows keeps its place.
    pub(in crate::saliency) fn drain(&self) -> Result<gst::FlowSuccess, gst::FlowError> {
        self.queue.drain()
    }

    /// After the last frame nobody asks for the flow any more, so it is told here, as sources do.
    pub(in crate::saliency) fn drain_for_eos(&self) {
        if let Err(error @ (gst::FlowError::NotLinked | gst::FlowError::NotNegotiated)) =
            self.drain()
        {
            gst::element_imp_error!(
                self,
                gst::StreamError::Failed,
                ("Frames could not be pushed on: {error}")
            );
        }
    }
}

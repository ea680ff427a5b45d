//! A frame's way through the element: in, past the policy for late ones, and out, in one thread or in two.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use gst::prelude::*;
use gst::subclass::prelude::*;
use gst_base::prelude::*;
use gst_base::subclass::base_transform::GenerateOutputSuccess;

use crate::saliency::LatePolicy;
use crate::saliency::error::error_message;
use crate::saliency::frame::FrameLayout;
use crate::saliency::frame::regions::RoiMode;
use crate::saliency::imp::{CAT, CasmeSaliency, lock};
use crate::saliency::result::message::{FrameTime, message_structure};
use crate::saliency::settings::Settings;
use crate::saliency::stats::{Source, StageTimes};
use crate::saliency::worker::inquiry::Inquiry;

/// A frame between the two halves of its way.
pub struct Waiting {
    buffer: gst::Buffer,
    /// What is still to be done with it; nothing with GAP and empty buffers.
    dress: Option<Dress>,
}

struct Dress {
    /// `None`: it carries the last result.
    inquiry: Option<Inquiry>,
    layout: Arc<FrameLayout>,
    settings: Arc<Settings>,
    time: FrameTime,
    arrived: Instant,
}

impl CasmeSaliency {
    /// The frame that the base class has taken in: pushed by it, or left to the task.
    pub(in crate::saliency) fn generate(
        &self,
        mut buffer: gst::Buffer,
    ) -> Result<GenerateOutputSuccess, gst::FlowError> {
        // The base class does so only with what it pushes itself. Before the worker may have the frame as well:
        // then it would be copied.
        if self.discont.swap(false, Ordering::Relaxed) {
            buffer.make_mut().set_flags(gst::BufferFlags::DISCONT);
        }
        let Some(waiting) = self.take_in(buffer)? else {
            self.discont.store(true, Ordering::Relaxed);
            return Ok(GenerateOutputSuccess::Dropped);
        };
        // A sink that pulls brings its own thread, and wants the frame as the answer.
        let depth = self.depth.load(Ordering::Relaxed) as usize;
        if depth == 0 || self.obj().src_pad().mode() != gst::PadMode::Push {
            return Ok(GenerateOutputSuccess::Buffer(self.finish(waiting)?));
        }
        self.start_task()?;
        self.queue.push(waiting, depth)?;
        Ok(GenerateOutputSuccess::NoOutput)
    }

    /// The first half: `None` if the frame is dropped.
    fn take_in(&self, buffer: gst::Buffer) -> Result<Option<Waiting>, gst::FlowError> {
        let arrived = Instant::now();
        if buffer.flags().contains(gst::BufferFlags::GAP) || buffer.size() == 0 {
            gst::log!(CAT, imp = self, "Passing on {buffer:?} without a look");
            lock(&self.stats).count_gap();
            let dress = None;
            return Ok(Some(Waiting { buffer, dress }));
        }
        let time = FrameTime::new(&self.obj().segment(), buffer.pts());
        self.sync_controlled_properties(&time);
        // Not the lock: the network runs meanwhile.
        let settings = lock(&self.settings).clone();
        let late = self.lateness(&buffer, &time);
        let prospect = match lock(&self.intake).as_mut() {
            Some(intake) => intake.look(&buffer, &settings),
            None => return Err(gst::FlowError::Flushing),
        };
        let prospect = prospect.ok_or(gst::FlowError::NotNegotiated)?;
        let mut inquire = prospect.due;
        // Without an inference no frame comes late from here.
        if let Some(late) = late.filter(|_| prospect.due && !prospect.bare) {
            match settings.late_policy {
                LatePolicy::Block => {}
                LatePolicy::DropFrame => {
                    lock(&self.stats).count_dropped();
                    self.post_qos(&buffer, &time, late);
                    return Ok(None);
                }
                LatePolicy::SkipInference if prospect.carries => {
                    inquire = false;
                    lock(&self.stats).count_skipped();
                    self.post_qos(&buffer, &time, late);
                }
                // The first frame of a stream has nothing to carry.
                LatePolicy::SkipInference => {}
            }
        }
        let inquiry = if inquire {
            Some(self.inquire(&buffer, &settings)?)
        } else {
            match lock(&self.intake).as_mut() {
                Some(intake) => intake.reuse(),
                None => return Err(gst::FlowError::Flushing),
            }
            None
        };
        let dress = Some(Dress {
            inquiry,
            layout: prospect.layout,
            settings,
            time,
            arrived,
        });
        Ok(Some(Waiting { buffer, dress }))
    }

    /// Gives the network the frame that was looked at.
    fn inquire(
        &self,
        buffer: &gst::Buffer,
        settings: &Settings,
    ) -> Result<Inquiry, gst::FlowError> {
        let draft = match lock(&self.intake).as_mut() {
            Some(intake) => intake
                .draft(settings)
                .ok_or(gst::FlowError::NotNegotiated)?,
            None => return Err(gst::FlowError::Flushing),
        };
        // Not the lock: a resize takes its time, in which the task has frames to finish.
        let prepared = draft.prepare(buffer, settings);
        let (mut inquiry, mut desk) = prepared.map_err(|error| self.fail(&error))?;
        match lock(&self.intake).as_mut() {
            Some(intake) => intake.submit(&inquiry, &mut desk),
            None => return Err(gst::FlowError::Flushing),
        }
        let made = inquiry.make_strips(&mut desk);
        made.map_err(|error| self.fail(&error))?;
        match lock(&self.intake).as_mut() {
            Some(intake) => intake.put_back(desk),
            None => return Err(gst::FlowError::Flushing),
        }
        Ok(inquiry)
    }

    /// The second half, in the streaming thread or in the task.
    pub(in crate::saliency) fn finish(
        &self,
        waiting: Waiting,
    ) -> Result<gst::Buffer, gst::FlowError> {
        let Waiting { mut buffer, dress } = waiting;
        let Some(Dress {
            inquiry,
            layout,
            settings,
            time,
            arrived,
        }) = dress
        else {
            return Ok(buffer);
        };
        let source = match &inquiry {
            None => Source::Earlier,
            Some(inquiry) if inquiry.parts.is_empty() => Source::NoRegion,
            Some(_) => Source::Inference,
        };
        let (mut times, mut looked_into, mut answered) = (StageTimes::default(), 0, arrived);
        match inquiry {
            None => lock(&self.outlet).reuse(),
            Some(mut inquiry) => {
                answered = answered.max(self.collect(&mut inquiry, &mut times)?);
                if inquiry.mode == RoiMode::Upstream {
                    looked_into = inquiry.parts.len();
                }
                self.take_over(inquiry, &settings, buffer.pts(), &mut times)?;
            }
        }
        let begin = Instant::now();
        let dressed = {
            let mut outlet = lock(&self.outlet);
            let dressed = outlet.dress(buffer.make_mut(), &layout, &settings);
            dressed.map(|outcome| {
                outcome.map(|outcome| {
                    times.metadata = Some(outcome.metadata);
                    times.overlay = outcome.overlay;
                    gst::log!(
                        CAT,
                        imp = self,
                        "Frame {}: {:?}, age {}, {times:?}",
                        outcome.frame,
                        outcome.finding.localization.bounding_box(),
                        outcome.finding.age
                    );
                    settings
                        .post_messages
                        .then(|| message_structure(outcome.finding, outcome.frame, &time))
                })
            })
        };
        let dressed = dressed.map_err(|error| self.fail(&error))?;
        if let Some(message) = dressed {
            lock(&self.stats).count_frame(source, looked_into, &times);
            if let Some(structure) = message {
                let message = gst::message::Element::builder(structure).src(&*self.obj());
                // May fail if nobody listens.
                let _ = self.obj().post_message(message.build());
            }
        }
        if let Some(inference) = times.inference() {
            // What frames wait here for one another's way downstream is not this element's latency.
            let finishing = times.postprocessing.unwrap_or_default() + begin.elapsed();
            self.count_latency(answered.duration_since(arrived) + finishing, inference);
        }
        Ok(buffer)
    }

    /// Waits for all answers; when the last one was there.
    fn collect(
        &self,
        inquiry: &mut Inquiry,
        times: &mut StageTimes,
    ) -> Result<Instant, gst::FlowError> {
        let signal = self.interrupt.signal();
        let (mut ended, mut run) = (Instant::now(), None);
        let mut prepared = inquiry.submitted;
        for (index, part) in inquiry.parts.iter_mut().enumerate() {
            let answer = part.ticket.wait(&signal);
            let answer = answer.ok_or(gst::FlowError::Flushing)?;
            // Those of one run have its time once.
            if run != Some(answer.begun) {
                let took = answer.ended.saturating_duration_since(answer.begun);
                *times.network.get_or_insert_default() += took;
                run = Some(answer.begun);
            }
            ended = if index == 0 {
                prepared = answer.completed.unwrap_or(prepared);
                lock(&self.latency).add_turn(prepared, answer.begun, answer.ended);
                answer.ended
            } else {
                ended.max(answer.ended)
            };
            part.answer = Some(answer);
        }
        times.input = times.network.map(|_| prepared - inquiry.begun);
        Ok(ended)
    }

    /// Makes the answers the last result.
    fn take_over(
        &self,
        mut inquiry: Inquiry,
        settings: &Settings,
        pts: Option<gst::ClockTime>,
        times: &mut StageTimes,
    ) -> Result<(), gst::FlowError> {
        let begin = Instant::now();
        let added = lock(&self.outlet).add(&mut inquiry, settings, pts);
        times.postprocessing = times.network.map(|_| begin.elapsed());
        let Inquiry { parts, model, .. } = inquiry;
        if let Some(intake) = lock(&self.intake).as_mut() {
            intake.recycle(parts);
        }
        if added.map_err(|error| self.fail(&error))? {
            // Another element of the same instance may have changed it.
            lock(&self.stats).set_model(model.origin(), model.description());
        }
        Ok(())
    }

    /// Puts an error on the bus. Not to be called with a lock, since who gets the message may ask for properties.
    pub(in crate::saliency) fn fail(&self, error: &casm_core::Error) -> gst::FlowError {
        gst::error!(CAT, imp = self, "{error}");
        self.post_error_message(error_message(error));
        gst::FlowError::Error
    }

    /// Lets control bindings set the controllable properties for this frame.
    fn sync_controlled_properties(&self, time: &FrameTime) {
        let element = self.obj();
        if !element.has_active_control_bindings() {
            return;
        }
        if let Some(time) = time.stream_time
            && element.sync_values(time).is_err()
        {
            gst::warning!(
                CAT,
                imp = self,
                "Cannot sync the controlled properties to {time}"
            );
        }
    }
}

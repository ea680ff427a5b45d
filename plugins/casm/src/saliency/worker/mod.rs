//! The thread that runs networks, for one stream or for several.

pub mod inquiry;
pub mod interrupt;
pub mod lane;
pub mod model;
pub mod picture;
pub mod rotation;
pub mod shared;
pub mod strips;
pub mod swap;
#[cfg(test)]
mod tests;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use casm_core::engine::{LaidFrame, Output};
use casm_core::{Error, Result};
use crossbeam::channel::{Receiver, RecvTimeoutError, Sender, bounded, select, unbounded};

use crate::saliency::frame::held::LaidBuffer;
use crate::saliency::imp::lock;
use crate::saliency::worker::lane::Job;
use crate::saliency::worker::model::{Closing, Model};
use crate::saliency::worker::picture::Picture;
use crate::saliency::worker::rotation::Rotation;
use crate::saliency::worker::strips::Assembly;

/// How pictures are put together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Batching {
    /// At most so many in one run of the network.
    pub most: usize,
    /// How long the first one waits for others.
    pub patience: Duration,
}

impl Default for Batching {
    fn default() -> Self {
        Batching {
            most: 1,
            patience: Duration::ZERO,
        }
    }
}

/// Runs the pictures of all its streams, in turns, in batches of those that wait.
pub struct Worker {
    inbox: Arc<Inbox>,
    /// It does not wait for others to share a batch with: the first is to be complete when that begins.
    eager: bool,
    /// Rung when there is something; dropped to end the thread.
    bell: Option<Sender<()>>,
    /// Where models of this worker go at their end.
    closing: Sender<Closing>,
    ended: Receiver<()>,
}

/// Batches one after the other, without a pause, before an old engine is closed all the same: frames wait for it then.
const MOST_BUSY: u32 = 64;

#[derive(Default)]
struct Inbox {
    delivered: Mutex<Delivered>,
    /// The worker waits for jobs.
    idle: AtomicBool,
}

/// Not bounded itself: each stream has as many jobs as frames and regions, which are.
#[derive(Default)]
struct Delivered {
    jobs: Vec<Job>,
    /// Nobody will come for them.
    closed: bool,
}

impl Worker {
    /// Starts the thread.
    ///
    /// # Errors
    /// [`Error::Engine`] if the system has no thread left.
    pub fn start(batching: Batching) -> Result<Worker> {
        let inbox = Arc::<Inbox>::default();
        let (bell, rung) = bounded(1);
        let (ends, ended) = bounded::<()>(0);
        let (closing, closed) = unbounded();
        let serving = Serving {
            inbox: inbox.clone(),
            closed,
            _open: closing.clone(),
        };
        std::thread::Builder::new()
            .name("casm-worker".to_owned())
            .spawn(move || {
                serving.serve(&rung, batching);
                drop(serving);
                drop(ends);
            })
            .map_err(|error| Error::Engine {
                engine: "casm".to_owned(),
                reason: format!("its worker cannot be started: {error}"),
            })?;
        Ok(Worker {
            inbox,
            eager: batching.most <= 1 || batching.patience.is_zero(),
            bell: Some(bell),
            closing,
            ended,
        })
    }

    /// Gives the worker these jobs, all at once, so that they are seen together; takes them out of `jobs`.
    pub fn submit(&self, jobs: &mut Vec<Job>) {
        {
            let mut delivered = lock(&self.inbox.delivered);
            if !delivered.closed {
                delivered.jobs.append(jobs);
            }
        }
        // If the thread has died, they tell so.
        jobs.clear();
        self.inbox.idle.store(false, Ordering::Relaxed);
        if let Some(bell) = &self.bell {
            // Full: it rings already.
            let _ = bell.try_send(());
        }
    }

    /// Whether it has nothing to do and would begin with the next job at once, even if that is not complete. True for one
    /// caller until it has been awake again.
    pub fn claim_help(&self) -> bool {
        self.eager && self.inbox.idle.swap(false, Ordering::Relaxed)
    }

    /// Where engines go that are to be closed in the worker's thread.
    pub fn closing(&self) -> Sender<Closing> {
        self.closing.clone()
    }

    /// Lets the worker end after what it is at, and waits so long for that. False if it has not: its thread and model
    /// are then left behind, because nothing can end a thread that hangs in a driver.
    pub fn stop(mut self, patience: Duration) -> bool {
        self.bell = None;
        !matches!(
            self.ended.recv_timeout(patience),
            Err(RecvTimeoutError::Timeout)
        )
    }
}

/// The thread's end of the inbox.
struct Serving {
    inbox: Arc<Inbox>,
    closed: Receiver<Closing>,
    /// So that the channel has an end that sends as long as the thread lives.
    _open: Sender<Closing>,
}

impl Drop for Serving {
    fn drop(&mut self) {
        let left = {
            let mut delivered = lock(&self.inbox.delivered);
            delivered.closed = true;
            std::mem::take(&mut delivered.jobs)
        };
        drop(left);
    }
}

impl Serving {
    fn serve(&self, rung: &Receiver<()>, batching: Batching) {
        let mut waiting = Rotation::default();
        let (mut batch, mut bench) = (Vec::new(), Bench::default());
        let mut assembly = Assembly::default();
        let mut busy = 0;
        loop {
            self.take_in(&mut waiting);
            // Where frames always wait, an engine's memory is not to stay for ever.
            busy += 1;
            if busy > MOST_BUSY
                && let Ok(engine) = self.closed.try_recv()
            {
                busy = 0;
                engine.close();
            }
            if waiting.is_empty() {
                busy = 0;
                self.inbox.idle.store(true, Ordering::Relaxed);
                select! {
                    recv(self.closed) -> engine => if let Ok(engine) = engine {
                        self.inbox.idle.store(false, Ordering::Relaxed);
                        engine.close();
                    },
                    recv(rung) -> bell => if bell.is_err() {
                        self.closed.try_iter().for_each(Closing::close);
                        return;
                    },
                }
                self.inbox.idle.store(false, Ordering::Relaxed);
                continue;
            }
            let deadline = Instant::now() + batching.patience;
            while waiting.len() < batching.most && rung.recv_deadline(deadline).is_ok() {
                self.take_in(&mut waiting);
            }
            // All that is there, so that everyone's turn is seen.
            self.take_in(&mut waiting);
            waiting.take(batching.most.max(1), &mut batch, Job::is_alike);
            batch.retain_mut(|job| job.begin() && job.complete(&mut assembly));
            bench.run(&mut batch);
            batch.clear();
        }
    }

    fn take_in(&self, waiting: &mut Rotation<Job>) {
        for job in lock(&self.inbox.delivered).jobs.drain(..) {
            waiting.add(job.stream(), job);
        }
    }
}

/// Where batches are put together and taken apart; keeps its buffers.
#[derive(Default)]
struct Bench {
    pixels: Vec<u8>,
    output: Output,
}

impl Bench {
    /// Computes jobs that are alike. Where a batch fails, each is tried alone, so that one picture's failure is not
    /// others'.
    fn run(&mut self, jobs: &mut [Job]) {
        if let [job] = jobs {
            run_alone(job);
            return;
        }
        let Some(model) = jobs.first().map(|job| job.model().clone()) else {
            return;
        };
        let begun = Instant::now();
        if self.compute(&model, jobs).is_err() {
            jobs.iter_mut().for_each(run_alone);
            return;
        }
        let (ended, count) = (Instant::now(), jobs.len());
        for (index, job) in jobs.iter_mut().enumerate() {
            if let Some(picture) = job.picture() {
                share(&self.output.masks, index, count, &mut picture.output.masks);
                share(
                    &self.output.logits,
                    index,
                    count,
                    &mut picture.output.logits,
                );
            }
            job.answer(Ok(()), begun, ended);
        }
    }

    fn compute(&mut self, model: &Model, jobs: &mut [Job]) -> Result<()> {
        if jobs.first().is_some_and(|job| job.frame().is_some()) {
            let mut frames = jobs.iter().filter_map(Job::frame);
            return run_frames(model, &mut frames, Vec::new(), &mut self.output);
        }
        self.pixels.clear();
        for picture in jobs.iter_mut().filter_map(Job::picture) {
            self.pixels.extend_from_slice(&picture.pixels);
        }
        model.run(jobs.len(), &self.pixels, &mut self.output)
    }
}

fn run_alone(job: &mut Job) {
    let (begun, model) = (Instant::now(), job.model().clone());
    let (frame, Some(picture)) = job.parts() else {
        return;
    };
    let Picture { pixels, output } = picture;
    let result = match frame {
        Some(_) => run_frames(&model, &mut frame.into_iter(), Vec::new(), output),
        None => model.run(1, pixels, output),
    };
    job.answer(result, begun, Instant::now());
}

/// Maps one frame after the other, and computes when all are.
fn run_frames(
    model: &Model,
    frames: &mut dyn Iterator<Item = &LaidBuffer>,
    mapped: Vec<LaidFrame<'_>>,
    output: &mut Output,
) -> Result<()> {
    let Some(next) = frames.next() else {
        return model.run_frames(&mapped, output);
    };
    next.read(|frame| {
        // Bound anew, as frames that live as long as this mapping.
        let mut mapped = mapped;
        mapped.push(frame);
        run_frames(model, frames, mapped, output)
    })
}

/// One picture's part of a batch's numbers.
fn share(values: &[f32], index: usize, count: usize, part: &mut Vec<f32>) {
    let each = values.len() / count;
    part.clear();
    part.extend_from_slice(&values[index * each..(index + 1) * each]);
}

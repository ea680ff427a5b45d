//! The thread that runs networks, for one stream or for several.

use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use casm_core::engine::{LaidFrame, Output};
use casm_core::{Error, Geometry, Result};
use crossbeam::channel::{Receiver, RecvTimeoutError, Sender, bounded, select, unbounded};

use super::frame::FrameLayout;
use super::interrupt::Signal;
use super::model::Model;
use super::rotation::Rotation;

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
    /// `None` only while it is stopped. Not bounded itself: each stream has as many jobs as frames, which are.
    jobs: Option<Sender<Job>>,
    ended: Receiver<()>,
}

/// A frame as its model's engine wants it.
pub enum Picture {
    /// `[S, S, 3]`.
    Pixels(Vec<u8>),
    /// As it is, for an engine that prepares its input itself. Nobody writes into the buffer before the answer is
    /// there.
    Frame {
        /// Holds it.
        buffer: gst::Buffer,
        /// How it lies in that.
        layout: Arc<FrameLayout>,
        /// How it lies on the network's square.
        geometry: Geometry,
    },
}

/// One picture.
struct Job {
    stream: u64,
    model: Arc<Model>,
    picture: Picture,
    reply: Sender<Answer>,
    wanted: Weak<()>,
}

/// A picture that is with the worker. Dropped, it is not computed if it has not been yet.
pub struct Ticket {
    reply: Receiver<Answer>,
    _wanted: Arc<()>,
}

/// What has become of a picture.
pub struct Answer {
    /// Mask and logits of this picture alone.
    pub result: Result<Output>,
    /// What the network took for it and those beside it.
    pub elapsed: Duration,
}

impl Worker {
    /// Starts the thread.
    ///
    /// # Errors
    /// [`Error::Engine`] if the system has no thread left.
    pub fn start(batching: Batching) -> Result<Worker> {
        let (jobs, next) = unbounded();
        let (ends, ended) = bounded::<()>(0);
        std::thread::Builder::new()
            .name("casm-worker".to_owned())
            .spawn(move || {
                serve(&next, batching);
                drop(ends);
            })
            .map_err(|error| Error::Engine {
                engine: "casm".to_owned(),
                reason: format!("its worker cannot be started: {error}"),
            })?;
        Ok(Worker {
            jobs: Some(jobs),
            ended,
        })
    }

    /// Gives the worker a picture of `stream`, prepared for `model`.
    pub fn submit(&self, stream: u64, model: Arc<Model>, picture: Picture) -> Ticket {
        let (reply, answer) = bounded(1);
        let wanted = Arc::new(());
        let job = Job {
            stream,
            model,
            picture,
            reply,
            wanted: Arc::downgrade(&wanted),
        };
        if let Some(jobs) = &self.jobs {
            // Fails only if the thread has died, which the ticket tells.
            let _ = jobs.send(job);
        }
        Ticket {
            reply: answer,
            _wanted: wanted,
        }
    }

    /// Lets the worker end after what it is at, and waits so long for that. False if it has not: its thread and model
    /// are then left behind, because nothing can end a thread that hangs in a driver.
    pub fn stop(mut self, patience: Duration) -> bool {
        self.jobs = None;
        !matches!(
            self.ended.recv_timeout(patience),
            Err(RecvTimeoutError::Timeout)
        )
    }
}

impl Ticket {
    /// Waits for the answer; `None` if interrupted.
    pub fn wait(&self, interrupt: &Signal) -> Option<Answer> {
        let interrupted = interrupt;
        select! {
            recv(self.reply) -> answer => Some(answer.unwrap_or_else(|_| Answer {
                result: Err(Error::Engine {
                    engine: "casm".to_owned(),
                    reason: "its worker has ended; stop and start the element".to_owned(),
                }),
                elapsed: Duration::ZERO,
            })),
            recv(interrupted) -> _ => None,
        }
    }
}

fn serve(jobs: &Receiver<Job>, batching: Batching) {
    let mut waiting = Rotation::default();
    loop {
        if waiting.is_empty() {
            match jobs.recv() {
                Ok(job) => waiting.add(job.stream, job),
                Err(_) => return,
            }
        }
        let deadline = Instant::now() + batching.patience;
        while waiting.len() < batching.most {
            match jobs.recv_deadline(deadline) {
                Ok(job) => waiting.add(job.stream, job),
                Err(_) => break,
            }
        }
        // All that is there, so that everyone's turn is seen.
        for job in jobs.try_iter() {
            waiting.add(job.stream, job);
        }
        let batch = waiting.take(batching.most.max(1), |first, next| {
            Arc::ptr_eq(&first.model, &next.model)
        });
        let wanted = batch
            .into_iter()
            .filter(|job| job.wanted.strong_count() > 0);
        run(wanted.collect());
    }
}

/// Computes jobs of one model. Where a batch fails, each is tried alone, so that one picture's failure is not others'.
fn run(mut jobs: Vec<Job>) {
    let begin = Instant::now();
    let Some(model) = jobs.first().map(|job| job.model.clone()) else {
        return;
    };
    let result = match &jobs[..] {
        [
            Job {
                picture: Picture::Pixels(pixels),
                ..
            },
        ] => model.run(1, pixels),
        _ => compute(&model, &jobs),
    };
    match result {
        result if jobs.len() == 1 => {
            if let Some(job) = jobs.pop() {
                answer(job, result, begin.elapsed());
            }
        }
        Ok(output) => {
            let elapsed = begin.elapsed();
            let count = jobs.len();
            for (index, job) in jobs.into_iter().enumerate() {
                let part = Output {
                    masks: share(&output.masks, index, count),
                    logits: share(&output.logits, index, count),
                };
                answer(job, Ok(part), elapsed);
            }
        }
        Err(_) => jobs.into_iter().for_each(|job| run(vec![job])),
    }
}

/// All at once. They are of one kind, because the model decides which.
fn compute(model: &Model, jobs: &[Job]) -> Result<Output> {
    let (mut pixels, mut frames) = (Vec::new(), Vec::new());
    for job in jobs {
        match &job.picture {
            Picture::Pixels(picture) => pixels.extend_from_slice(picture),
            frame => frames.push(frame),
        }
    }
    match frames.is_empty() {
        true => model.run(jobs.len(), &pixels),
        false => compute_frames(model, &frames, Vec::new()),
    }
}

/// Maps one frame after the other, and computes when all are.
fn compute_frames(
    model: &Model,
    frames: &[&Picture],
    mapped: Vec<LaidFrame<'_>>,
) -> Result<Output> {
    let Some((
        Picture::Frame {
            buffer,
            layout,
            geometry,
        },
        others,
    )) = frames.split_first()
    else {
        return model.run_frames(&mapped);
    };
    layout.read(buffer, |frame| {
        // Bound anew, as frames that live as long as this mapping.
        let mut frames = mapped;
        frames.push(LaidFrame {
            frame: frame.clone(),
            geometry: *geometry,
        });
        compute_frames(model, others, frames)
    })
}

fn share(values: &[f32], index: usize, count: usize) -> Vec<f32> {
    let each = values.len() / count;
    values[index * each..(index + 1) * each].to_vec()
}

fn answer(job: Job, result: Result<Output>, elapsed: Duration) {
    // Before the answer, so that the stream has its buffer for itself again and may draw in it.
    drop(job.picture);
    // Fails if it is not wanted any more.
    let _ = job.reply.send(Answer { result, elapsed });
}

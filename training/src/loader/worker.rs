//! Threads that read, decode and transform pictures.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;

use anyhow::Context;
use crossbeam::channel::{Receiver, Sender, bounded, never};

use super::batch::Ready;
use super::{Origin, Transform};
use crate::dataset::{Mixture, Place};
use crate::picture;
use crate::random::{Stream, generator};

/// One picture to be made ready.
#[derive(Debug, Clone, Copy)]
pub struct Task {
    /// Number of its batch in the stream.
    pub batch: u64,
    /// Its place in the batch.
    pub place: usize,
    /// Which picture.
    pub picture: Place,
    /// Epoch and index within it, from which crop and flip are drawn.
    pub draw: (u64, u64),
}

/// A task that was done.
#[derive(Debug)]
pub struct Finished {
    /// Which.
    pub task: Task,
    /// How it ended.
    pub outcome: Outcome,
}

/// How a task may end.
#[derive(Debug)]
pub enum Outcome {
    /// Well.
    Ready(Ready),
    /// The picture is unreadable: why.
    Rejected(String),
    /// There is a mistake in the program: its message.
    Panicked(String),
}

/// Threads at work; they end when this is dropped.
#[derive(Debug)]
pub struct Workers {
    tasks: Option<Sender<Task>>,
    results: Receiver<Finished>,
    stop: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
}

/// What is done with a task, in any thread.
pub type Work = dyn Fn(Task) -> anyhow::Result<Ready> + Send + Sync;

impl Workers {
    /// Starts `count` threads. Of both tasks and results there may be `capacity` at a time: who never has
    /// more tasks under way never waits for [`Workers::give`], and no worker ever waits for the receiver.
    pub fn start(count: usize, capacity: usize, work: Arc<Work>) -> anyhow::Result<Workers> {
        let (give, tasks) = bounded::<Task>(capacity);
        let (send, results) = bounded(capacity);
        let mut workers = Workers {
            tasks: Some(give),
            results,
            stop: Arc::new(AtomicBool::new(false)),
            threads: Vec::new(),
        };
        for number in 0..count {
            let (tasks, send) = (tasks.clone(), send.clone());
            let (stop, work) = (workers.stop.clone(), work.clone());
            let thread = std::thread::Builder::new().name(format!("loader-{number}"));
            let thread = thread.spawn(move || {
                for task in tasks {
                    if stop.load(Ordering::Relaxed) {
                        return;
                    }
                    let outcome = attempt(&*work, task);
                    if send.send(Finished { task, outcome }).is_err() {
                        return;
                    }
                }
            });
            workers
                .threads
                .push(thread.context("a thread of the loader cannot be started")?);
        }
        Ok(workers)
    }

    /// Hands a task to whoever is free.
    pub fn give(&self, task: Task) -> anyhow::Result<()> {
        let tasks = self.tasks.as_ref().context("the loader has stopped")?;
        tasks.send(task).context("the loader's threads are gone")
    }

    /// The next result, in no particular order.
    pub fn take(&self) -> anyhow::Result<Finished> {
        self.results.recv().context("the loader's threads are gone")
    }
}

impl Drop for Workers {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        self.tasks = None;
        self.results = never();
        for thread in self.threads.drain(..) {
            // A panic of the thread was reported as an outcome.
            let _ = thread.join();
        }
    }
}

fn attempt(work: &Work, task: Task) -> Outcome {
    // Nothing is left half-changed: a task only reads what others see.
    match catch_unwind(AssertUnwindSafe(|| work(task))) {
        Ok(Ok(ready)) => Outcome::Ready(ready),
        Ok(Err(error)) => Outcome::Rejected(format!("{error:#}")),
        Err(panic) => {
            let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
            let text = text.or_else(|| panic.downcast_ref::<String>().cloned());
            Outcome::Panicked(text.unwrap_or_else(|| "no message".to_owned()))
        }
    }
}

/// Reads, decodes and transforms the picture of a task.
pub fn prepare(
    mixture: &Mixture,
    transform: Transform,
    size: u32,
    seed: u64,
    task: Task,
) -> anyhow::Result<Ready> {
    let source = &mixture.sources()[task.picture.source];
    let sample = &source.dataset.samples()[task.picture.sample];
    let picture = picture::decode(&source.dataset.read(sample)?)?;
    let mut transform = transform;
    if let (Transform::Train { scale, .. }, Some(own)) = (&mut transform, source.scale) {
        *scale = own;
    }
    let (epoch, index) = task.draw;
    let mut random = generator(seed, Stream::Augment, epoch, index);
    let (input, view) = transform.apply(&picture, size, &mut random);
    Ok(Ready {
        pixels: input.into_raw(),
        origin: Origin {
            picture: task.picture,
            view,
        },
        class: sample.class,
        name: source.dataset.name(sample),
    })
}

//! The libtorch engine: pixels → mask and logits, without tensors at the border.
//!
//! All of an engine's libtorch calls are made by one thread of its own, for two reasons. libtorch
//! keeps its number of CPU threads for each thread that calls it, while GStreamer opens an element in
//! one thread and streams in another, which changes after a pause or seek. And OpenMP keeps a pool of
//! workers for each calling thread; with two pools it counts more threads than cores and puts them to
//! sleep between any two layers, which made MobileNetV2 almost half as fast.

use std::sync::OnceLock;
use std::thread::JoinHandle;

use casm_core::checkpoint::Checkpoint;
use casm_core::engine::{Engine, EngineDescription, EngineOptions, Output};
use casm_core::network::Folded;
use casm_core::{Error, Header, Result};
use crossbeam::channel::{Receiver, Sender, bounded};

use crate::computation::Computation;

/// The version that tch is made for.
pub(crate) const NAME: &str = "torch 2.11";

/// One checkpoint on one device.
#[derive(Debug)]
pub struct TorchEngine {
    description: EngineDescription,
    picture_bytes: usize,
    /// Kept from batch to batch.
    pixels: Vec<u8>,
    /// `None` only while it is dropped.
    jobs: Option<Sender<Job>>,
    results: Receiver<(Job, Result<()>)>,
    thread: Option<JoinHandle<()>>,
}

/// A batch on its way to the computing thread and back.
struct Job {
    batch: usize,
    pixels: Vec<u8>,
    output: Output,
}

impl TorchEngine {
    /// Starts the computing thread and puts the checkpoint's weights on the device.
    ///
    /// # Errors
    /// [`Error::Device`], [`Error::Engine`], [`Error::Checkpoint`] if there is no decoder.
    pub fn open(checkpoint: &Checkpoint, options: &EngineOptions) -> Result<TorchEngine> {
        checkpoint.header().require_decoder(checkpoint.origin())?;
        TorchEngine::open_classifier(checkpoint, options)
    }

    /// [`TorchEngine::open`] for a checkpoint that may lack a decoder; then [`Output::masks`] is empty.
    ///
    /// # Errors
    /// [`Error::Device`], [`Error::Engine`].
    pub fn open_classifier(
        checkpoint: &Checkpoint,
        options: &EngineOptions,
    ) -> Result<TorchEngine> {
        let header = checkpoint.header().clone();
        let size = header.input.size as usize;
        let folded = Folded::from_checkpoint(checkpoint)?;
        let mut options = options.clone();
        // Asked for in any case, because the next engine may change it.
        let default = default_threads();
        if options.threads == 0 {
            options.threads = default;
        }
        let (opened, is_open) = bounded(1);
        let (jobs, next_job) = bounded::<Job>(1);
        let (finished, results) = bounded(1);
        let thread = std::thread::Builder::new()
            .name("casm-torch".to_owned())
            .spawn(move || {
                if let Some(computation) = begin(&header, folded, &options, &opened) {
                    for mut job in next_job {
                        let result = computation.run(job.batch, &job.pixels, &mut job.output);
                        if finished.send((job, result)).is_err() {
                            break;
                        }
                    }
                }
            })
            .map_err(|error| failure(format!("its thread cannot be started: {error}")))?;
        let mut engine = TorchEngine {
            description: EngineDescription::default(),
            picture_bytes: size * size * 3,
            pixels: Vec::new(),
            jobs: Some(jobs),
            results,
            thread: Some(thread),
        };
        engine.description = is_open.recv().unwrap_or_else(|_| Err(died()))?;
        Ok(engine)
    }
}

impl Engine for TorchEngine {
    fn description(&self) -> &EngineDescription {
        &self.description
    }

    fn run(&mut self, batch: usize, pixels: &[u8], output: &mut Output) -> Result<()> {
        let expected = batch.checked_mul(self.picture_bytes);
        if batch == 0 || expected != Some(pixels.len()) {
            let found = pixels.len();
            let needed = self.picture_bytes;
            return Err(failure(format!(
                "{found} bytes are not {batch} pictures of {needed}"
            )));
        }
        let mut job = Job {
            batch,
            pixels: std::mem::take(&mut self.pixels),
            output: std::mem::take(output),
        };
        job.pixels.clear();
        job.pixels.extend_from_slice(pixels);
        let jobs = self.jobs.as_ref().ok_or_else(died)?;
        jobs.send(job).map_err(|_| died())?;
        let (job, result) = self.results.recv().map_err(|_| died())?;
        self.pixels = job.pixels;
        *output = job.output;
        result
    }
}

impl Drop for TorchEngine {
    fn drop(&mut self) {
        self.jobs = None;
        if let Some(thread) = self.thread.take() {
            // A panic there has been reported where it was missed.
            let _ = thread.join();
        }
    }
}

/// Opens the computation in this thread and says how that went.
fn begin(
    header: &Header,
    folded: Folded,
    options: &EngineOptions,
    opened: &Sender<Result<EngineDescription>>,
) -> Option<Computation> {
    tch::set_num_threads(i32::try_from(options.threads).unwrap_or(i32::MAX));
    let computation = Computation::open(header, &folded, options);
    let (computation, description) = match computation {
        Ok((computation, description)) => (Some(computation), Ok(description)),
        Err(error) => (None, Err(error)),
    };
    // Fails if nobody waits any more; then nothing will be computed either.
    opened.send(description).ok()?;
    computation
}

/// libtorch's own number of CPU threads, as it was before any engine changed it.
fn default_threads() -> usize {
    static DEFAULT: OnceLock<usize> = OnceLock::new();
    *DEFAULT.get_or_init(|| usize::try_from(tch::get_num_threads()).unwrap_or(1))
}

fn failure(reason: String) -> Error {
    Error::Engine {
        engine: NAME.to_owned(),
        reason,
    }
}

fn died() -> Error {
    failure("its thread has ended; please report this with the model and the video".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_engine_has_its_own_number_of_threads() {
        let checkpoint = Checkpoint::built_in().expect("valid");
        let default = default_threads();
        // The last asks for the default after others have changed it.
        let engines = [3, 1, 0].map(|threads| {
            let options = EngineOptions {
                threads,
                ..EngineOptions::default()
            };
            TorchEngine::open(&checkpoint, &options).expect("opens")
        });
        let threads = engines.map(|engine| engine.description().threads);
        assert_eq!(threads, [3, 1, default]);
    }
}

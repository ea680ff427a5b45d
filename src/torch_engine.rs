//! The libtorch engine: pixels → mask and logits, without tensors at the border.
//!
//! All of an engine's libtorch calls are made by one thread of its own, for two reasons. libtorch
//! keeps its number of CPU threads for each thread that calls it, while GStreamer opens an element in
//! one thread and streams in another, which changes after a pause or seek. And OpenMP keeps a pool of
//! workers for each calling thread; with two pools it counts more threads than cores and puts them to
//! sleep between any two layers, which made MobileNetV2 almost half as fast.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::thread::JoinHandle;

use casm_core::checkpoint::Checkpoint;
use casm_core::engine::{
    Engine, EngineDescription, EngineOptions, LaidFrame, Output, prepare_pixels,
};
use casm_core::network::Folded;
use casm_core::{Error, Result};
use crossbeam::channel::{Receiver, Sender, bounded};

use crate::computation::{Computation, Pictures};
use crate::cuda::Shim;
use crate::device_input::Layout;
use crate::host_memory::{HostMemory, frame_bytes};

/// The version that tch is made for.
pub(crate) const NAME: &str = "torch 2.11";

/// Larger frames are prepared on the CPU: their numbers would take four times these bytes on the device. Twice what
/// a 4K frame of four bytes a pixel has.
const LARGEST: usize = 64 << 20;

/// One checkpoint on one device.
pub struct TorchEngine {
    description: EngineDescription,
    side: usize,
    /// Kept from batch to batch; `None` while it is with the thread.
    host: Option<HostMemory>,
    shim: Option<&'static Shim>,
    replays: Arc<AtomicU64>,
    /// `None` only while it is dropped.
    jobs: Option<Sender<Job>>,
    results: Receiver<(Job, Result<()>)>,
    thread: Option<JoinHandle<()>>,
}

/// A batch on its way to the computing thread and back.
struct Job {
    pictures: Pictures,
    host: HostMemory,
    output: Output,
}

/// What the thread says when it is ready.
type Opened = (EngineDescription, Option<&'static Shim>);

/// What may be chosen of how a GPU is used, for comparisons and when in doubt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GpuOptions {
    /// Batches are recorded as CUDA graphs, where `libcasm_cuda.so` was built. False by `CASM_CUDA_GRAPHS=0`.
    pub graphs: bool,
    /// Whether frames are resized and converted on the device rather than the CPU; `None`: on GPUs. Set by
    /// `CASM_DEVICE_INPUT`, 0 or 1.
    pub device_input: Option<bool>,
}

impl Default for GpuOptions {
    /// What the environment says.
    fn default() -> GpuOptions {
        let choice = |variable| match std::env::var(variable).ok()?.as_str() {
            "0" => Some(false),
            "1" => Some(true),
            _ => None,
        };
        GpuOptions {
            graphs: choice("CASM_CUDA_GRAPHS").unwrap_or(true),
            device_input: choice("CASM_DEVICE_INPUT"),
        }
    }
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
        TorchEngine::open_with(checkpoint, options, GpuOptions::default())
    }

    /// [`TorchEngine::open_classifier`], with a say in how a GPU is used.
    ///
    /// # Errors
    /// As there.
    pub fn open_with(
        checkpoint: &Checkpoint,
        options: &EngineOptions,
        gpu: GpuOptions,
    ) -> Result<TorchEngine> {
        let header = checkpoint.header().clone();
        let size = header.input.size as usize;
        let folded = Arc::new(Folded::from_checkpoint(checkpoint)?);
        let options = options.clone();
        // Asked for in any case, because the next engine may change it.
        let default = default_threads();
        let threads = match options.threads {
            0 => default,
            threads => threads,
        };
        let (opened, is_open) = bounded(1);
        let (jobs, next_job) = bounded::<Job>(1);
        let (finished, results) = bounded(1);
        let replays = Arc::new(AtomicU64::new(0));
        let counted = replays.clone();
        let thread = std::thread::Builder::new()
            .name("casm-torch".to_owned())
            .spawn(move || {
                let open = || Computation::open(&header, &folded, &options, gpu, counted);
                if let Some(mut computation) = begin(threads, open, &opened) {
                    drop(folded);
                    for mut job in next_job {
                        let Job {
                            pictures,
                            host,
                            output,
                        } = &mut job;
                        let result = computation.run(pictures, host, output);
                        if finished.send((job, result)).is_err() {
                            break;
                        }
                        computation.choose_threads();
                    }
                }
            })
            .map_err(|error| failure(format!("its thread cannot be started: {error}")))?;
        let mut engine = TorchEngine {
            description: EngineDescription::default(),
            side: size,
            host: None,
            shim: None,
            replays,
            jobs: Some(jobs),
            results,
            thread: Some(thread),
        };
        (engine.description, engine.shim) = is_open.recv().unwrap_or_else(|_| Err(died()))?;
        engine.host = Some(HostMemory::new(engine.shim)?);
        Ok(engine)
    }

    /// How many batches ran as a CUDA graph.
    pub fn replays(&self) -> u64 {
        self.replays.load(Ordering::Relaxed)
    }

    /// Has the thread compute the bytes that `fill` writes.
    fn compute(
        &mut self,
        pictures: Pictures,
        fill: impl FnOnce(&mut HostMemory) -> Result<()>,
        output: &mut Output,
    ) -> Result<()> {
        let mut host = match self.host.take() {
            Some(host) => host,
            // The last batch was lost, with the thread or by a panic.
            None => HostMemory::new(self.shim)?,
        };
        if let Err(error) = fill(&mut host) {
            self.host = Some(host);
            return Err(error);
        }
        let job = Job {
            pictures,
            host,
            output: std::mem::take(output),
        };
        let jobs = self.jobs.as_ref().ok_or_else(died)?;
        jobs.send(job).map_err(|_| died())?;
        let (job, result) = self.results.recv().map_err(|_| died())?;
        self.host = Some(job.host);
        *output = job.output;
        result
    }
}

impl Engine for TorchEngine {
    fn description(&self) -> &EngineDescription {
        &self.description
    }

    fn run(&mut self, batch: usize, pixels: &[u8], output: &mut Output) -> Result<()> {
        let needed = self.side * self.side * 3;
        let expected = batch.checked_mul(needed);
        if batch == 0 || expected != Some(pixels.len()) {
            let found = pixels.len();
            return Err(failure(format!(
                "{found} bytes are not {batch} pictures of {needed}"
            )));
        }
        let fill = |host: &mut HostMemory| {
            host.room(pixels.len())?.copy_from_slice(pixels);
            Ok(())
        };
        self.compute(Pictures::Pixels(batch), fill, output)
    }

    fn run_frames(&mut self, frames: &[LaidFrame<'_>], output: &mut Output) -> Result<()> {
        for LaidFrame { frame, geometry } in frames {
            let made_for = (geometry.frame_width, geometry.frame_height);
            if made_for != (frame.width(), frame.height())
                || geometry.input_size as usize != self.side
            {
                return Err(Error::Frame {
                    width: frame.width(),
                    height: frame.height(),
                    format: frame.format().name(),
                    reason: format!(
                        "its geometry was made for {}x{} and an input of {}, not {}",
                        made_for.0, made_for.1, geometry.input_size, self.side
                    ),
                });
            }
        }
        if frames.is_empty() {
            return Err(failure("there are no frames".to_owned()));
        }
        if frames.iter().map(frame_bytes).any(|bytes| bytes > LARGEST) {
            let pixels = prepare_pixels(frames)?;
            return self.run(frames.len(), &pixels, output);
        }
        let layouts = frames.iter().map(Layout::of).collect();
        let fill = |host: &mut HostMemory| host.store_frames(frames);
        self.compute(Pictures::Frames(layouts), fill, output)
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
    threads: usize,
    open: impl FnOnce() -> Result<(Computation, EngineDescription)>,
    opened: &Sender<Result<Opened>>,
) -> Option<Computation> {
    tch::set_num_threads(i32::try_from(threads).unwrap_or(i32::MAX));
    let (computation, description) = match open() {
        Ok((computation, description)) => {
            let shim = computation.shim();
            (Some(computation), Ok((description, shim)))
        }
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

//! A checkpoint at work on a device.

use std::sync::Mutex;
use std::time::{Duration, Instant};

use casm_core::engine::{self, EngineDescription, LaidFrame, Output};
use casm_core::{Checkpoint, Engine, EngineOptions, Error, Header, Result};

use super::imp::lock;

/// A network with its weights, and what is known of it. Shared by all streams that use it.
pub struct Model {
    header: Header,
    path: String,
    origin: String,
    description: EngineDescription,
    engine: Mutex<Box<dyn Engine>>,
    first: Duration,
}

impl Model {
    /// Loads the checkpoint at `path`, or the built-in one if that is empty.
    ///
    /// # Errors
    /// Those of [`Checkpoint::open_or_built_in`] and [`engine::open`].
    pub fn open(path: &str, options: &EngineOptions) -> Result<Model> {
        let checkpoint = Checkpoint::open_or_built_in(path.as_ref())?;
        let engine = engine::open(&checkpoint, options)?;
        let header = checkpoint.header().clone();
        let mut model = Model::new(header, checkpoint.origin(), engine)?;
        model.path = path.to_owned();
        Ok(model)
    }

    /// Takes an engine that is open for a checkpoint with this `header`, called `origin` in messages.
    ///
    /// It computes one picture of zeros twice: engines prepare themselves at the first, which would hold up the first
    /// frame, and the second tells how long an inference takes before there are any.
    ///
    /// # Errors
    /// Those of the engine.
    pub fn new(header: Header, origin: &str, mut engine: Box<dyn Engine>) -> Result<Model> {
        let side = header.input.size as usize;
        let pixels = vec![0; side * side * 3];
        let mut output = Output::default();
        engine.run(1, &pixels, &mut output)?;
        let begin = Instant::now();
        engine.run(1, &pixels, &mut output)?;
        Ok(Model {
            header,
            path: String::new(),
            origin: origin.to_owned(),
            description: engine.description().clone(),
            first: begin.elapsed(),
            engine: Mutex::new(engine),
        })
    }

    /// The checkpoint's header.
    pub fn header(&self) -> &Header {
        &self.header
    }

    /// The model file; empty for the built-in model, and for an engine of the application's.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// Where it comes from, in words.
    pub fn origin(&self) -> &str {
        &self.origin
    }

    /// What the engine says of itself.
    pub fn description(&self) -> &EngineDescription {
        &self.description
    }

    /// What an inference took before the first frame.
    pub fn first(&self) -> Duration {
        self.first
    }

    /// Computes `[batch, S, S, 3]` pixels into `output`; see [`Engine::run`]. A panic of the engine is an error.
    ///
    /// # Errors
    /// Those of the engine.
    pub fn run(&self, batch: usize, pixels: &[u8], output: &mut Output) -> Result<()> {
        self.compute(|engine| engine.run(batch, pixels, output))
    }

    /// Computes frames as they are into `output`; see [`Engine::run_frames`]. A panic of the engine is an error.
    ///
    /// # Errors
    /// Those of the engine.
    pub fn run_frames(&self, frames: &[LaidFrame<'_>], output: &mut Output) -> Result<()> {
        self.compute(|engine| engine.run_frames(frames, output))
    }

    fn compute(&self, work: impl FnOnce(&mut dyn Engine) -> Result<()>) -> Result<()> {
        let work = std::panic::AssertUnwindSafe(|| work(lock(&self.engine).as_mut()));
        std::panic::catch_unwind(work).unwrap_or_else(|_| {
            Err(Error::Engine {
                engine: self.description.engine.clone(),
                reason: "it panicked; please report this with the model and the video".to_owned(),
            })
        })
    }
}

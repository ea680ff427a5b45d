//! A checkpoint at work on a device.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use casm_core::engine::{self, EngineDescription, LaidFrame, Output};
use casm_core::frame::{ColorSpace, Plane};
use casm_core::{
    Checkpoint, Engine, EngineOptions, Error, Frame, Geometry, Header, PixelFormat, Resize, Result,
};
use crossbeam::channel::Sender;

use crate::saliency::imp::lock;

/// A network with its weights, and what is known of it. Shared by all streams that use it.
pub struct Model {
    header: Header,
    path: String,
    origin: String,
    description: EngineDescription,
    /// Until the end.
    engine: Mutex<Option<Box<dyn Engine>>>,
    /// Who closes the engine; `None`: whoever drops the model.
    closing: Option<Sender<Closing>>,
    first: Duration,
}

/// An engine that nobody uses any more.
pub struct Closing(Box<dyn Engine>);

impl Closing {
    /// Closes it. A panic of the engine ends nothing else.
    pub fn close(self) {
        let _ = catch_unwind(AssertUnwindSafe(|| drop(self.0)));
    }
}

impl Drop for Model {
    fn drop(&mut self) {
        // The last who lets go of a model may hold locks that frames wait for, and an engine takes its time to close.
        if let (Some(closing), Some(engine)) = (self.closing.take(), lock(&self.engine).take()) {
            // Where nobody is left to do it, it is done here.
            if let Err(unsent) = closing.send(Closing(engine)) {
                unsent.into_inner().close();
            }
        }
    }
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
    /// It computes a picture of zeros twice: engines prepare themselves at the first, which would hold up the first
    /// frame, and the second tells how long an inference takes before there are any. One that prepares its input is given
    /// frames of zeros then, as it will be.
    ///
    /// # Errors
    /// Those of the engine.
    pub fn new(header: Header, origin: &str, mut engine: Box<dyn Engine>) -> Result<Model> {
        let first = warm_up(engine.as_mut(), header.input.size)?;
        Ok(Model {
            header,
            path: String::new(),
            origin: origin.to_owned(),
            description: engine.description().clone(),
            first,
            engine: Mutex::new(Some(engine)),
            closing: None,
        })
    }

    /// The engine is to be closed by who receives there.
    pub fn close_in(&mut self, closing: Sender<Closing>) {
        self.closing = Some(closing);
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
        let failed = |reason: &str| Error::Engine {
            engine: self.description.engine.clone(),
            reason: reason.to_owned(),
        };
        let work = AssertUnwindSafe(|| match lock(&self.engine).as_mut() {
            Some(engine) => work(engine.as_mut()),
            None => Err(failed("it is closed")),
        });
        catch_unwind(work).unwrap_or_else(|_| {
            Err(failed(
                "it panicked; please report this with the model and the video",
            ))
        })
    }
}

/// Lets an engine with an input of this `side` prepare itself the way that frames will go; how long an inference takes
/// then.
fn warm_up(engine: &mut dyn Engine, side: u32) -> Result<Duration> {
    /// As most frames are.
    const SIZE: (u32, u32) = (1920, 1080);
    let mut output = Output::default();
    let pixels = vec![0; side as usize * side as usize * 3];
    engine.run(1, &pixels, &mut output)?;
    if !engine.description().prepares_input {
        let begin = Instant::now();
        engine.run(1, &pixels, &mut output)?;
        return Ok(begin.elapsed());
    }
    let luma = SIZE.0 as usize * SIZE.1 as usize;
    let bytes = vec![0; luma + luma / 2];
    let (luma, chroma) = bytes.split_at(luma);
    let planes = [luma, chroma].map(|data| Plane {
        data,
        stride: SIZE.0 as usize,
    });
    let color = ColorSpace::default();
    let frames = [LaidFrame {
        frame: Frame::new(PixelFormat::Nv12, SIZE.0, SIZE.1, color, planes)?,
        geometry: Geometry::new(Resize::Stretch, SIZE.0, SIZE.1, side),
    }];
    engine.run_frames(&frames, &mut output)?;
    let begin = Instant::now();
    engine.run_frames(&frames, &mut output)?;
    Ok(begin.elapsed())
}

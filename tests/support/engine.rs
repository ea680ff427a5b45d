//! An engine whose speed and faults a test chooses.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use casm::engine::{EngineDescription, LaidFrame, Output, prepare_pixels};
use casm::{Checkpoint, Engine, Error, Result};
use gstcasm::SharedEngine;

/// A picture that begins with this value cannot be computed.
pub const POISON: u8 = 13;

/// What the engine does, and has done.
#[derive(Debug, Default)]
pub struct Behaviour {
    /// What a picture takes.
    milliseconds: AtomicU64,
    /// While true, nothing is answered.
    hangs: Mutex<bool>,
    freed: Condvar,
    /// Pictures of each run.
    batches: Mutex<Vec<usize>>,
    /// Frames that came as they are.
    frames: AtomicUsize,
    /// Frames before the first of a stream.
    prepared_with: AtomicUsize,
    /// The thread that has closed the engine.
    closed_by: Mutex<Option<String>>,
}

impl Behaviour {
    /// From now on a picture takes so long.
    pub fn take(&self, milliseconds: u64) {
        self.milliseconds.store(milliseconds, Ordering::SeqCst);
    }

    /// From now on nothing is answered, or all again.
    pub fn hang(&self, hangs: bool) {
        *self.hangs.lock().expect("no panic") = hangs;
        self.freed.notify_all();
    }

    /// Pictures of each run, but for those before the first frame.
    pub fn batches(&self) -> Vec<usize> {
        self.batches.lock().expect("no panic").clone()
    }

    /// How many of the pictures before the first frame were given as frames are.
    pub fn prepared_with(&self) -> usize {
        self.prepared_with.load(Ordering::SeqCst)
    }

    /// How many frames came as they are.
    pub fn frames(&self) -> usize {
        self.frames.load(Ordering::SeqCst)
    }

    /// Whether the engine is closed.
    pub fn is_dropped(&self) -> bool {
        self.closed_by().is_some()
    }

    /// Name of the thread that has closed the engine.
    pub fn closed_by(&self) -> Option<String> {
        self.closed_by.lock().expect("no panic").clone()
    }
}

/// Marks all of a picture as much as its first value says: 255 = salient. So every frame has a result of its own.
struct ChosenEngine {
    description: EngineDescription,
    picture: usize,
    mask: usize,
    classes: usize,
    behaviour: Arc<Behaviour>,
}

impl Drop for ChosenEngine {
    fn drop(&mut self) {
        let thread = std::thread::current();
        let name = thread.name().unwrap_or("nameless").to_owned();
        *self.behaviour.closed_by.lock().expect("no panic") = Some(name);
    }
}

impl Engine for ChosenEngine {
    fn description(&self) -> &EngineDescription {
        &self.description
    }

    fn run(&mut self, batch: usize, pixels: &[u8], output: &mut Output) -> Result<()> {
        assert_eq!(pixels.len(), batch * self.picture);
        self.behaviour.batches.lock().expect("no panic").push(batch);
        let each = self.behaviour.milliseconds.load(Ordering::SeqCst);
        std::thread::sleep(Duration::from_millis(each) * batch as u32);
        let hangs = self.behaviour.hangs.lock().expect("no panic");
        let hangs = self.behaviour.freed.wait_while(hangs, |hangs| *hangs);
        drop(hangs.expect("no panic"));
        let pictures: Vec<u8> = pixels
            .chunks(self.picture)
            .map(|picture| picture[0])
            .collect();
        if pictures.contains(&POISON) {
            return Err(Error::Engine {
                engine: self.description.engine.clone(),
                reason: "the picture is poison".to_owned(),
            });
        }
        output.masks.clear();
        for value in pictures {
            let value = f32::from(value) / 255.0;
            output.masks.extend(std::iter::repeat_n(value, self.mask));
        }
        output.logits = vec![0.0; batch * self.classes];
        Ok(())
    }

    fn run_frames(&mut self, frames: &[LaidFrame<'_>], output: &mut Output) -> Result<()> {
        let pixels = prepare_pixels(frames)?;
        self.behaviour
            .frames
            .fetch_add(frames.len(), Ordering::SeqCst);
        self.run(frames.len(), &pixels, output)
    }
}

/// Registers such an engine under `name`; a picture takes so long.
///
/// # Panics
/// If that fails.
pub fn register(
    name: &str,
    milliseconds: u64,
    max_batch: usize,
    batch_timeout: Duration,
) -> (SharedEngine, Arc<Behaviour>) {
    register_one(name, milliseconds, max_batch, batch_timeout, false)
}

/// The same, for one that asks for frames as they are.
///
/// # Panics
/// As there.
pub fn register_for_frames(
    name: &str,
    milliseconds: u64,
    max_batch: usize,
    batch_timeout: Duration,
) -> (SharedEngine, Arc<Behaviour>) {
    register_one(name, milliseconds, max_batch, batch_timeout, true)
}

fn register_one(
    name: &str,
    milliseconds: u64,
    max_batch: usize,
    batch_timeout: Duration,
    prepares_input: bool,
) -> (SharedEngine, Arc<Behaviour>) {
    let checkpoint = Checkpoint::built_in().expect("the built-in model is valid");
    let header = checkpoint.header().clone();
    let behaviour = Arc::new(Behaviour::default());
    behaviour.take(milliseconds);
    let size = header.input.size as usize;
    let engine = ChosenEngine {
        description: EngineDescription {
            engine: "chosen".to_owned(),
            device: "cpu".to_owned(),
            prepares_input,
            ..EngineDescription::default()
        },
        picture: size * size * 3,
        mask: header.mask_size() * header.mask_size(),
        classes: header.network.classes(),
        behaviour: behaviour.clone(),
    };
    let shared = SharedEngine::register(name, header, Box::new(engine), max_batch, batch_timeout);
    let shared = shared.expect("it computes");
    // What it computed to prepare itself.
    behaviour.batches.lock().expect("no panic").clear();
    let frames = behaviour.frames.swap(0, Ordering::SeqCst);
    behaviour.prepared_with.store(frames, Ordering::SeqCst);
    (shared, behaviour)
}

//! The libtorch engine, loaded from `libcasm.so` when it is first needed.
//!
//! It has `unsafe` code, because it opens a shared library and calls its table.

#![allow(unsafe_code)]

use std::ffi::c_void;
use std::mem::ManuallyDrop;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use libloading::os::unix::Library;

use super::abi::{
    ABI_VERSION, Bytes, ENTRY_POINT, EngineAbi, EntryPoint, Floats, RawFrame, Reply, WireError,
};
use super::backend::Backend;
use super::location::own_folder;
use super::{Engine, EngineDescription, EngineOptions, LaidFrame, Output, Precision};
use crate::checkpoint::Checkpoint;
use crate::error::{Error, Result};

const NAME: &str = "torch";
/// The engine's file.
const LIBRARY: &str = "libcasm.so";
/// A folder to look into first.
const LIBRARY_DIR_VARIABLE: &str = "CASM_ENGINE_DIR";

/// GNU OpenMP reads this when it is loaded: how often a waiting thread looks before it sleeps.
const SPIN_VARIABLE: &str = "GOMP_SPINCOUNT";
/// Some hundred microseconds: longer than most gaps between layers, shorter than a time slice. A fifth of it is too little where
/// waking a thread takes long, as on some virtual machines: 15 instead of 10 ms (MobileNetV2, two threads of a Zen 3;
/// docs/performance-avx2.md). Beside a busy thread of another program, two threads take 29 ms with this and 18 with the fifth; but
/// the engine then has one compute, unless the user has said how many, and takes 13.
const SPIN_COUNT: &str = "5000";

/// See [`super::prepare_process`].
pub(super) fn limit_spinning() {
    let chosen = [SPIN_VARIABLE, "OMP_WAIT_POLICY"]
        .iter()
        .any(|variable| std::env::var_os(variable).is_some());
    if !chosen {
        // SAFETY: only a thread that reads the environment through C at this very moment could be
        // disturbed. Plugins are loaded while a pipeline is built, before its threads run, and OpenMP
        // has no other way to be told.
        unsafe { std::env::set_var(SPIN_VARIABLE, SPIN_COUNT) };
    }
}

/// The row of the table of engines.
pub(super) struct Torch;

impl Backend for Torch {
    fn name(&self) -> &'static str {
        NAME
    }

    fn find(&self) -> Result<String> {
        Ok(find()?.display().to_string())
    }

    fn suits(&self, options: &EngineOptions) -> std::result::Result<(), String> {
        match options.precision {
            Precision::Int8 => Err("it does not compute in int8; use precision=bf16".to_owned()),
            _ => Ok(()),
        }
    }

    fn open(&self, checkpoint: &Checkpoint, options: &EngineOptions) -> Result<Box<dyn Engine>> {
        Ok(Box::new(TorchEngine::open(checkpoint, options)?))
    }
}

/// An engine inside `libcasm.so`.
struct TorchEngine {
    abi: &'static EngineAbi,
    handle: *mut c_void,
    description: EngineDescription,
    input_size: usize,
    mask_size: usize,
    classes: usize,
}

// SAFETY: the handle is an engine that is `Send` on its own side, and `run` takes `&mut self`, so no
// two threads are in it at once.
unsafe impl Send for TorchEngine {}

impl TorchEngine {
    fn open(checkpoint: &Checkpoint, options: &EngineOptions) -> Result<TorchEngine> {
        let abi = load()?;
        let json = serde_json::to_vec(options).map_err(|error| failure(error.to_string()))?;
        let mut reply = Reply::empty();
        let mut handle = std::ptr::null_mut();
        // SAFETY: the borrowed bytes and the reply outlive the call; the table is the library's own.
        let status = unsafe {
            (abi.open)(
                lend(checkpoint.bytes()),
                lend(&json),
                &mut reply,
                &mut handle,
            )
        };
        if status != 0 || handle.is_null() {
            return Err(error_of(&reply));
        }
        let header = checkpoint.header();
        let mut engine = TorchEngine {
            abi,
            handle,
            description: EngineDescription::default(),
            input_size: header.input.size as usize,
            mask_size: header.mask_size(),
            classes: header.network.classes(),
        };
        // After the handle has its owner, so that a reply that cannot be read still frees the engine.
        engine.description =
            serde_json::from_slice(reply.as_bytes()).map_err(|error| failure(error.to_string()))?;
        Ok(engine)
    }
}

impl TorchEngine {
    /// Gives `output` the size that the other side fills.
    fn make_room(&self, batch: usize, output: &mut Output) {
        let mask = self.mask_size * self.mask_size;
        output.masks.resize(batch * mask, 0.0);
        output.logits.resize(batch * self.classes, 0.0);
    }
}

impl Engine for TorchEngine {
    fn description(&self) -> &EngineDescription {
        &self.description
    }

    fn run(&mut self, batch: usize, pixels: &[u8], output: &mut Output) -> Result<()> {
        // Checked here as well, because the other side trusts the lengths.
        if batch == 0 || pixels.len() != batch * self.input_size * self.input_size * 3 {
            return Err(failure(format!(
                "{} bytes are not {batch} pictures",
                pixels.len()
            )));
        }
        self.make_room(batch, output);
        let mut reply = Reply::empty();
        // SAFETY: the handle is open, and all memory is borrowed for the call.
        let status = unsafe {
            (self.abi.run)(
                self.handle,
                batch,
                lend(pixels),
                lend_mut(&mut output.masks),
                lend_mut(&mut output.logits),
                &mut reply,
            )
        };
        outcome(status, &reply)
    }

    fn run_frames(&mut self, frames: &[LaidFrame<'_>], output: &mut Output) -> Result<()> {
        self.make_room(frames.len(), output);
        let raw: Vec<RawFrame> = frames.iter().map(RawFrame::new).collect();
        let mut reply = Reply::empty();
        // SAFETY: as in `run`; the frames' bytes are borrowed for the call, too.
        let status = unsafe {
            (self.abi.run_frames)(
                self.handle,
                raw.as_ptr(),
                raw.len(),
                lend_mut(&mut output.masks),
                lend_mut(&mut output.logits),
                &mut reply,
            )
        };
        outcome(status, &reply)
    }
}

impl Drop for TorchEngine {
    fn drop(&mut self) {
        // SAFETY: the handle came from `open` and is closed once.
        unsafe { (self.abi.close)(self.handle) }
    }
}

fn lend(bytes: &[u8]) -> Bytes {
    Bytes {
        data: bytes.as_ptr(),
        len: bytes.len(),
    }
}

fn lend_mut(numbers: &mut [f32]) -> Floats {
    Floats {
        data: numbers.as_mut_ptr(),
        len: numbers.len(),
    }
}

fn failure(reason: String) -> Error {
    Error::Engine {
        engine: NAME.to_owned(),
        reason,
    }
}

fn outcome(status: i32, reply: &Reply) -> Result<()> {
    match status {
        0 => Ok(()),
        _ => Err(error_of(reply)),
    }
}

fn error_of(reply: &Reply) -> Error {
    match serde_json::from_slice::<WireError>(reply.as_bytes()) {
        Ok(error) => error.into_error(NAME),
        Err(_) => failure("it gave no reason".to_owned()),
    }
}

/// The library's table; opens the library at the first success and keeps it for good, because
/// libtorch does not survive being unloaded. A failure is not remembered: the next start tries again.
fn load() -> Result<&'static EngineAbi> {
    static LOADED: Mutex<Option<&'static EngineAbi>> = Mutex::new(None);
    let mut loaded = LOADED
        .lock()
        .unwrap_or_else(|poisoned| poisoned.into_inner());
    if let Some(abi) = *loaded {
        return Ok(abi);
    }
    let path = find()?;
    // SAFETY: our own library; its initialisers and libtorch's have no preconditions.
    let library =
        unsafe { Library::new(&path) }.map_err(|error| unavailable(explain(&path, &error)))?;
    // Not even closed if it is refused below, since it has brought libtorch with it.
    let library = ManuallyDrop::new(library);
    // SAFETY: the symbol has this type in every version of the library.
    let table = unsafe {
        let entry = library
            .get::<EntryPoint>(ENTRY_POINT.as_bytes())
            .map_err(|error| unavailable(format!("{} is not casm's: {error}", path.display())))?;
        entry()
    };
    // SAFETY: the number comes first in every version of the table, and the library is never closed.
    let version: Option<&'static u32> = unsafe { table.cast::<u32>().as_ref() };
    if version != Some(&ABI_VERSION) {
        return Err(unavailable(format!(
            "{} is of another version of casm; install both together",
            path.display()
        )));
    }
    // SAFETY: not null, of our version, and there for good.
    let abi: &'static EngineAbi = unsafe { &*table };
    *loaded = Some(abi);
    Ok(abi)
}

/// The library's file.
fn find() -> Result<PathBuf> {
    let candidates = candidates();
    let found = candidates.iter().find(|path| path.is_file());
    found.cloned().ok_or_else(|| {
        let folders: Vec<_> =
            candidates.iter().filter_map(|path| path.parent()).map(|dir| dir.display().to_string()).collect();
        unavailable(format!(
            "{LIBRARY} is in none of {}; install it with `make install`, or name its folder in {LIBRARY_DIR_VARIABLE}",
            folders.join(", ")
        ))
    })
}

fn unavailable(reason: String) -> Error {
    Error::EngineLibrary {
        engine: NAME,
        reason,
    }
}

/// The loader's message begins with the file that is missing or unusable; the remedy depends on which.
fn explain(path: &Path, error: &libloading::Error) -> String {
    let message = std::error::Error::source(error)
        .map_or_else(|| error.to_string(), |source| source.to_string());
    if message.starts_with(&*path.to_string_lossy()) {
        return format!(
            "{message}; the file is damaged or made for another libtorch than the one that was found: build and \
             install casm again with libtorch 2.11"
        );
    }
    format!(
        "{message} (needed by {}); libtorch 2.11 must be found: run `make setup` in casm's source folder, \
         or put libtorch's lib folder into LD_LIBRARY_PATH",
        path.display()
    )
}

/// Where `libcasm.so` may lie: beside this code's own file, or where `make install` puts it.
fn candidates() -> Vec<PathBuf> {
    let mut folders: Vec<PathBuf> = Vec::new();
    // Empty, it would be the working directory.
    let named = std::env::var_os(LIBRARY_DIR_VARIABLE).filter(|folder| !folder.is_empty());
    folders.extend(named.map(PathBuf::from));
    if let Some(own) = own_folder() {
        folders.extend(
            [
                "",
                "..",
                "../casm",
                "../../casm",
                "../../../casm",
                "../lib/casm",
            ]
            .map(|way| own.join(way)),
        );
    }
    folders.extend(["/usr/local/lib/casm", "/usr/lib/casm"].map(PathBuf::from));
    folders
        .into_iter()
        .map(|folder| folder.join(LIBRARY))
        .collect()
}

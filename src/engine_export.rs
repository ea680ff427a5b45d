//! The engine as a C table, for programs that open `libcasm.so` at run time; see
//! [`casm_core::engine::abi`].

use std::ffi::c_void;
use std::panic::{AssertUnwindSafe, catch_unwind};

use casm_core::checkpoint::Checkpoint;
use casm_core::engine::abi::{ABI_VERSION, Bytes, EngineAbi, Floats, RawFrame, Reply, WireError};
use casm_core::engine::{Engine, Output};
use casm_core::{Error, Result};

use crate::torch_engine::TorchEngine;

/// What the opaque handle points to.
struct Opened {
    engine: TorchEngine,
    output: Output,
}

static ABI: EngineAbi = EngineAbi {
    version: ABI_VERSION,
    open,
    run,
    run_frames,
    close,
};

/// The only symbol of the library that its users look up.
#[unsafe(no_mangle)]
extern "C" fn casm_engine_abi() -> *const EngineAbi {
    &ABI
}

unsafe extern "C" fn open(
    checkpoint: Bytes,
    options: Bytes,
    reply: *mut Reply,
    engine: *mut *mut c_void,
) -> i32 {
    // SAFETY: the caller lends all four for the call.
    let (checkpoint, options, reply, engine) = unsafe {
        (
            borrow(checkpoint),
            borrow(options),
            &mut *reply,
            &mut *engine,
        )
    };
    answer(reply, |reply| {
        let options =
            serde_json::from_slice(options).map_err(|error| failure(error.to_string()))?;
        let checkpoint = Checkpoint::from_bytes(checkpoint.to_vec(), "the model".to_owned())?;
        let opened = TorchEngine::open(&checkpoint, &options)?;
        if !reply.store(opened.description()) {
            return Err(failure("its description is too long".to_owned()));
        }
        *engine = Box::into_raw(Box::new(Opened {
            engine: opened,
            output: Output::default(),
        }))
        .cast();
        Ok(())
    })
}

unsafe extern "C" fn run(
    engine: *mut c_void,
    batch: usize,
    pixels: Bytes,
    masks: Floats,
    logits: Floats,
    reply: *mut Reply,
) -> i32 {
    // SAFETY: `engine` is from `open` and used by one thread at a time; the rest is lent for the call.
    let (opened, pixels, masks, logits, reply) = unsafe {
        (
            &mut *engine.cast::<Opened>(),
            borrow(pixels),
            borrow_mut(masks),
            borrow_mut(logits),
            &mut *reply,
        )
    };
    answer(reply, |_| {
        opened.engine.run(batch, pixels, &mut opened.output)?;
        opened.copy_out(masks, logits)
    })
}

unsafe extern "C" fn run_frames(
    engine: *mut c_void,
    frames: *const RawFrame,
    count: usize,
    masks: Floats,
    logits: Floats,
    reply: *mut Reply,
) -> i32 {
    // SAFETY: as in `run`; there are `count` frames, whose planes are lent as well.
    let (opened, frames, masks, logits, reply) = unsafe {
        (
            &mut *engine.cast::<Opened>(),
            match count {
                0 => &[],
                _ => std::slice::from_raw_parts(frames, count),
            },
            borrow_mut(masks),
            borrow_mut(logits),
            &mut *reply,
        )
    };
    answer(reply, |_| {
        let laid = frames.iter().map(|frame| {
            // SAFETY: as above.
            frame.laid(frame.planes.map(|plane| unsafe { borrow(plane) }))
        });
        let laid = laid.collect::<Result<Vec<_>>>()?;
        opened.engine.run_frames(&laid, &mut opened.output)?;
        opened.copy_out(masks, logits)
    })
}

impl Opened {
    /// The last results into the caller's room.
    fn copy_out(&self, masks: &mut [f32], logits: &mut [f32]) -> Result<()> {
        for (from, to) in [(&self.output.masks, masks), (&self.output.logits, logits)] {
            if from.len() != to.len() {
                return Err(failure(format!(
                    "{} numbers do not fit room for {}",
                    from.len(),
                    to.len()
                )));
            }
            to.copy_from_slice(from);
        }
        Ok(())
    }
}

unsafe extern "C" fn close(engine: *mut c_void) {
    if !engine.is_null() {
        // SAFETY: from `open`, closed once. A panic must not cross into the caller.
        let opened = unsafe { Box::from_raw(engine.cast::<Opened>()) };
        let _ = catch_unwind(AssertUnwindSafe(|| drop(opened)));
    }
}

/// Runs `work`; turns its error or panic into a reply and a status.
fn answer(reply: &mut Reply, work: impl FnOnce(&mut Reply) -> Result<()>) -> i32 {
    let outcome = catch_unwind(AssertUnwindSafe(|| work(reply))).unwrap_or_else(|_| {
        Err(failure(
            "it panicked; please report this with the model and the video".to_owned(),
        ))
    });
    match outcome {
        Ok(()) => 0,
        Err(error) => {
            if !reply.store(&WireError::from(&error)) {
                reply.store(&WireError::Engine {
                    reason: "the reason is too long to be told".to_owned(),
                });
            }
            1
        }
    }
}

fn failure(reason: String) -> Error {
    Error::Engine {
        engine: "torch".to_owned(),
        reason,
    }
}

/// # Safety
/// The memory must be valid for as long as the result is used; an empty slice may have any address.
unsafe fn borrow<'a>(bytes: Bytes) -> &'a [u8] {
    if bytes.len == 0 {
        &[]
    } else {
        unsafe { std::slice::from_raw_parts(bytes.data, bytes.len) }
    }
}

/// # Safety
/// As [`borrow`], and nobody else uses the memory meanwhile.
unsafe fn borrow_mut<'a>(numbers: Floats) -> &'a mut [f32] {
    if numbers.len == 0 {
        &mut []
    } else {
        unsafe { std::slice::from_raw_parts_mut(numbers.data, numbers.len) }
    }
}

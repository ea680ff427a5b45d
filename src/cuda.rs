//! The few things of libtorch's CUDA half that tch does not show, from `libcasm_cuda.so` (`cuda/shim.cpp`).
//!
//! That library is made by `cuda/build.rs` where libtorch has CUDA and CUDA's headers are found, and opened
//! beside libtorch's own half the first time that an engine computes on a GPU. Without it a GPU computes as well, on
//! the default stream, without graphs and pinned memory.

pub mod graph;

use std::ffi::{CStr, c_char, c_void};
use std::path::PathBuf;
use std::ptr::NonNull;
use std::sync::OnceLock;

use libloading::os::unix::{Library, RTLD_LOCAL, RTLD_NOW};
use tch::{TchError, Tensor};
use torch_sys::C_tensor;

const LIBRARY: &str = "libcasm_cuda.so";
/// `casm_cuda_version`.
const VERSION: i32 = 1;
/// Room for a message.
const ROOM: usize = 1024;

type Handle = *mut c_void;
type TensorHandle = *mut C_tensor;

/// The functions; `shim.cpp` says what they do.
pub struct Shim {
    open: unsafe extern "C" fn(i32, *mut c_char, usize) -> Handle,
    close: unsafe extern "C" fn(i32, Handle, *mut c_char, usize) -> i32,
    wait: unsafe extern "C" fn(*mut c_char, usize) -> i32,
    pinned: unsafe extern "C" fn(i64, *mut c_char, usize) -> TensorHandle,
    copy: unsafe extern "C" fn(TensorHandle, TensorHandle, *mut c_char, usize) -> i32,
    graph_begin: unsafe extern "C" fn(*mut c_char, usize) -> Handle,
    graph_end: unsafe extern "C" fn(Handle, *mut c_char, usize) -> i32,
    graph_replay: unsafe extern "C" fn(Handle, *mut c_char, usize) -> i32,
    graph_drop: unsafe extern "C" fn(Handle),
}

/// The library, or why it cannot be used. To be asked for after libtorch's CUDA half is loaded.
///
/// # Errors
/// In words.
pub fn shim() -> Result<&'static Shim, &'static str> {
    static SHIM: OnceLock<Result<Shim, String>> = OnceLock::new();
    SHIM.get_or_init(load).as_ref().map_err(String::as_str)
}

/// Beside this code's own file, where `make install` puts it, or where it was built.
fn candidates() -> Vec<PathBuf> {
    let own = casm_core::engine::own_folder();
    let own = own
        .iter()
        .flat_map(|own| [own.clone(), own.join("../lib/casm")]);
    let mut files: Vec<PathBuf> = own.map(|folder| folder.join(LIBRARY)).collect();
    files.extend(option_env!("CASM_CUDA_SHIM").map(PathBuf::from));
    files
}

fn load() -> Result<Shim, String> {
    let file = candidates().into_iter().find(|file| file.is_file());
    let file = file.ok_or(
        "casm was built without libcasm_cuda.so: build it where CUDA's headers are (CUDA_HOME), with a libtorch that has CUDA",
    )?;
    // SAFETY: our own library, whose initialisers do nothing; the types are those of shim.cpp, which the version
    // vouches for. It is never closed.
    unsafe {
        let library = Library::open(Some(&file), RTLD_NOW | RTLD_LOCAL).map_err(|error| {
            // The loader's own words.
            let reason = std::error::Error::source(&error)
                .map_or_else(|| error.to_string(), |source| source.to_string());
            format!("{} cannot be loaded: {reason}", file.display())
        })?;
        let library = std::mem::ManuallyDrop::new(library);
        let version = find::<unsafe extern "C" fn() -> i32>(&library, "version")?;
        if version() != VERSION {
            return Err(format!("{} is of another version of casm", file.display()));
        }
        Ok(Shim {
            open: find(&library, "open")?,
            close: find(&library, "close")?,
            wait: find(&library, "wait")?,
            pinned: find(&library, "pinned")?,
            copy: find(&library, "copy")?,
            graph_begin: find(&library, "graph_begin")?,
            graph_end: find(&library, "graph_end")?,
            graph_replay: find(&library, "graph_replay")?,
            graph_drop: find(&library, "graph_drop")?,
        })
    }
}

/// # Safety
/// `T` must be the type of the function.
unsafe fn find<T: Copy>(library: &Library, name: &str) -> Result<T, String> {
    let name = format!("casm_cuda_{name}");
    // SAFETY: the caller's.
    let symbol = unsafe { library.get::<T>(name.as_bytes()) };
    symbol
        .map(|symbol| *symbol)
        .map_err(|error| error.to_string())
}

impl Shim {
    /// A tensor of bytes in pinned memory of the host.
    ///
    /// # Errors
    /// CUDA's: no memory.
    pub fn pinned(&self, bytes: usize) -> Result<Tensor, TchError> {
        let tensor = said(|text, room| {
            // SAFETY: the message has this room; the tensor is new and ours.
            NonNull::new(unsafe { (self.pinned)(bytes as i64, text, room) })
        })?;
        // SAFETY: as above.
        Ok(unsafe { Tensor::from_ptr(tensor.as_ptr()) })
    }

    /// Copies without waiting, if the host's side is pinned. Neither side may be dropped, nor the host's side be touched,
    /// before [`Stream::wait`].
    ///
    /// # Errors
    /// Sizes or kinds that do not fit; CUDA's.
    pub fn copy(&self, to: &mut Tensor, from: &Tensor) -> Result<(), TchError> {
        said(|text, room| {
            let (to, from) = (to.as_mut_ptr(), from.as_ptr().cast_mut());
            // SAFETY: both are tensors for the call; the second is only read.
            succeeded(unsafe { (self.copy)(to, from, text, room) })
        })
    }
}

/// The calling thread's own stream on a device, until it is dropped in the same thread.
pub struct Stream {
    shim: &'static Shim,
    device: i32,
    handle: Handle,
}

impl Stream {
    /// Everything that libtorch does in this thread goes to this stream from now on.
    ///
    /// # Errors
    /// CUDA's.
    pub fn open(shim: &'static Shim, device: usize) -> Result<Stream, TchError> {
        let device = i32::try_from(device).unwrap_or(i32::MAX);
        let handle = said(|text, room| {
            // SAFETY: the message has this room.
            NonNull::new(unsafe { (shim.open)(device, text, room) })
        })?;
        Ok(Stream {
            shim,
            device,
            handle: handle.as_ptr(),
        })
    }

    /// The functions that it was opened with.
    pub fn shim(&self) -> &'static Shim {
        self.shim
    }

    /// Waits until all that this thread has launched is done.
    ///
    /// # Errors
    /// CUDA's, also those of what was launched before.
    pub fn wait(&self) -> Result<(), TchError> {
        // SAFETY: the message has this room.
        said(|text, room| succeeded(unsafe { (self.shim.wait)(text, room) }))
    }

    /// Records what `launch` launches in this thread, without running it.
    ///
    /// # Errors
    /// Those of `launch`, and CUDA's: something in it cannot be recorded.
    pub fn capture<T>(
        &self,
        launch: impl FnOnce() -> Result<T, TchError>,
    ) -> Result<(CapturedGraph, T), TchError> {
        let handle = said(|text, room| {
            // SAFETY: the message has this room.
            NonNull::new(unsafe { (self.shim.graph_begin)(text, room) })
        })?;
        let graph = CapturedGraph {
            shim: self.shim,
            handle: handle.as_ptr(),
        };
        let launched = launch();
        let ended = said(|text, room| {
            // SAFETY: a graph that was begun in this thread.
            succeeded(unsafe { (self.shim.graph_end)(graph.handle, text, room) })
        });
        // Its own error says more than that the record is invalid.
        let launched = launched?;
        ended?;
        Ok((graph, launched))
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        // A failure leaves the stream open, which nobody uses any more.
        let _ = said(|text, room| {
            // SAFETY: opened in this thread, closed once.
            succeeded(unsafe { (self.shim.close)(self.device, self.handle, text, room) })
        });
    }
}

/// What was recorded.
pub struct CapturedGraph {
    shim: &'static Shim,
    handle: Handle,
}

impl CapturedGraph {
    /// Launches it again, on the same memory.
    ///
    /// # Errors
    /// CUDA's.
    pub fn replay(&self) -> Result<(), TchError> {
        // SAFETY: a graph whose record has ended.
        said(|text, room| succeeded(unsafe { (self.shim.graph_replay)(self.handle, text, room) }))
    }
}

impl Drop for CapturedGraph {
    fn drop(&mut self) {
        // SAFETY: dropped once.
        unsafe { (self.shim.graph_drop)(self.handle) };
    }
}

fn succeeded(status: i32) -> Option<()> {
    (status == 0).then_some(())
}

/// Calls a function with room for a message, which becomes the error if there is no result.
fn said<T>(call: impl FnOnce(*mut c_char, usize) -> Option<T>) -> Result<T, TchError> {
    let mut text = [0 as c_char; ROOM];
    call(text.as_mut_ptr(), ROOM).ok_or_else(|| {
        // SAFETY: the shim ends what it writes with a zero, and the array began as zeros.
        let text = unsafe { CStr::from_ptr(text.as_ptr()) };
        TchError::Torch(text.to_string_lossy().into_owned())
    })
}

/// The functions as they might be on the CPU, for tests of what calls them. Nothing is recorded: a graph's work is
/// done when it is recorded, and a replay does nothing.
#[cfg(test)]
pub mod fake {
    use super::*;

    /// Functions that succeed; or whose records fail.
    pub fn shim(records: bool) -> &'static Shim {
        Box::leak(Box::new(Shim {
            open,
            close,
            wait,
            pinned,
            copy,
            graph_begin: if records { begin } else { refuse },
            graph_end: handled,
            graph_replay: handled,
            graph_drop: drop_graph,
        }))
    }

    const HANDLE: Handle = std::ptr::dangling_mut::<u8>().cast();

    unsafe extern "C" fn open(_: i32, _: *mut c_char, _: usize) -> Handle {
        HANDLE
    }

    unsafe extern "C" fn close(_: i32, handle: Handle, _: *mut c_char, _: usize) -> i32 {
        i32::from(handle != HANDLE)
    }

    unsafe extern "C" fn wait(_: *mut c_char, _: usize) -> i32 {
        0
    }

    unsafe extern "C" fn pinned(bytes: i64, _: *mut c_char, _: usize) -> TensorHandle {
        let mut tensor = Tensor::zeros([bytes], (tch::Kind::Uint8, tch::Device::Cpu));
        let handle = tensor.as_mut_ptr();
        std::mem::forget(tensor);
        handle
    }

    unsafe extern "C" fn copy(
        to: TensorHandle,
        from: TensorHandle,
        _: *mut c_char,
        _: usize,
    ) -> i32 {
        // SAFETY: both are tensors of the caller's, and are not freed here.
        let tensors = unsafe { [to, from].map(|tensor| Tensor::from_ptr(tensor)) };
        let [mut to, from] = tensors.map(std::mem::ManuallyDrop::new);
        to.copy_(&from);
        0
    }

    unsafe extern "C" fn begin(_: *mut c_char, _: usize) -> Handle {
        HANDLE
    }

    unsafe extern "C" fn refuse(text: *mut c_char, _: usize) -> Handle {
        // SAFETY: two bytes of the caller's room.
        unsafe { text.copy_from(c"no".as_ptr(), 3) };
        std::ptr::null_mut()
    }

    unsafe extern "C" fn handled(handle: Handle, _: *mut c_char, _: usize) -> i32 {
        i32::from(handle != HANDLE)
    }

    unsafe extern "C" fn drop_graph(_: Handle) {}
}

#[cfg(test)]
mod tests {
    use super::*;

    /// On machines without CUDA; where there is one, `make gpu-check` looks further.
    #[test]
    fn a_build_without_cuda_says_how_to_get_it() {
        if option_env!("CASM_CUDA_SHIM").is_none() {
            let reason = shim().err().expect("there is no such library");
            assert!(reason.contains("CUDA_HOME"), "{reason}");
        }
    }

    #[test]
    fn a_function_without_a_result_tells_its_message() {
        let error = said(|text, room| {
            assert_eq!(room, ROOM);
            // SAFETY: a byte of the room; the rest is zeros.
            unsafe { *text = b'x' as c_char };
            None::<()>
        });
        assert_eq!(
            error.expect_err("none").to_string(),
            TchError::Torch("x".to_owned()).to_string()
        );
        assert!(said(|_, _| Some(1)).is_ok_and(|value| value == 1));
    }
}

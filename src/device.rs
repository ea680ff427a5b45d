//! The choice of the device, with CUDA found at run time.
//!
//! The linker drops `libtorch_cuda.so` because nothing refers to it by name, so a program built here
//! does not see a GPU until that library is opened by hand, and this must happen before libtorch is
//! first asked about CUDA. Opening it costs 0.1 s and 235 MB of memory (measured on a machine without
//! a GPU), so it is done only where a GPU is asked for or a driver is present.

use std::sync::OnceLock;

use casm_core::engine::has_nvidia_driver;
use casm_core::{Device, Error, Result};

/// The libtorch device for `device`.
///
/// # Errors
/// [`Error::Device`] if a CUDA device is asked for and cannot be used.
pub fn resolve(device: Device) -> Result<tch::Device> {
    match device {
        Device::Cpu => Ok(tch::Device::Cpu),
        Device::Auto if !has_nvidia_driver() => Ok(tch::Device::Cpu),
        Device::Auto => {
            let usable = load_cuda().is_ok() && tch::Cuda::is_available();
            Ok(if usable {
                tch::Device::Cuda(0)
            } else {
                tch::Device::Cpu
            })
        }
        Device::Cuda(index) => {
            let unusable = |reason: String| Error::Device {
                device: device.to_string(),
                reason,
            };
            load_cuda().map_err(unusable)?;
            if !tch::Cuda::is_available() {
                return Err(unusable(
                    "libtorch finds no usable NVIDIA GPU and driver; use device=cpu".to_owned(),
                ));
            }
            let count = tch::Cuda::device_count();
            if index as i64 >= count {
                let last = count - 1;
                return Err(unusable(format!(
                    "there are {count} GPUs here, cuda:0 to cuda:{last}"
                )));
            }
            Ok(tch::Device::Cuda(index))
        }
    }
}

/// How messages name a libtorch device.
pub fn name(device: tch::Device) -> String {
    match device {
        tch::Device::Cpu => "cpu".to_owned(),
        tch::Device::Cuda(index) => format!("cuda:{index}"),
        other => format!("{other:?}").to_lowercase(),
    }
}

/// Opens libtorch's CUDA half once, for good.
fn load_cuda() -> std::result::Result<(), String> {
    static LOADED: OnceLock<std::result::Result<(), String>> = OnceLock::new();
    LOADED
        .get_or_init(|| {
            use libloading::os::unix::{Library, RTLD_GLOBAL, RTLD_NOW};
            // SAFETY: libtorch's own library; its initialisers register kernels and have no
            // preconditions. RTLD_GLOBAL, because libtorch_cpu looks its hooks up by name.
            match unsafe { Library::open(Some("libtorch_cuda.so"), RTLD_NOW | RTLD_GLOBAL) } {
                Ok(library) => {
                    std::mem::forget(library);
                    Ok(())
                }
                Err(_) => Err("this libtorch is built for the CPU only; build with LIBTORCH_USE_PYTORCH=1 or LIBTORCH set to a CUDA build of libtorch 2.11, or use device=cpu".to_owned()),
            }
        })
        .clone()
}

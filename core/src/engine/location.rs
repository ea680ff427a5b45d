//! Where this code itself lies: engines' libraries are looked for from there.

#![allow(unsafe_code)]

use std::ffi::{CStr, OsStr, c_void};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// The folder of the shared library or program that this code is part of.
pub fn own_folder() -> Option<PathBuf> {
    let here = own_folder as *const c_void;
    // SAFETY: `dladdr` only fills the struct; the name that it points to lives as long as the module.
    let name = unsafe {
        let mut info: libc::Dl_info = std::mem::zeroed();
        if libc::dladdr(here, &mut info) == 0 || info.dli_fname.is_null() {
            return None;
        }
        CStr::from_ptr(info.dli_fname)
    };
    // A program bears the name that it was started by, which for one of PATH says nothing of its place.
    let file = match name.to_bytes().contains(&b'/') {
        true => Path::new(OsStr::from_bytes(name.to_bytes())).to_owned(),
        false => std::env::current_exe().ok()?,
    };
    let file = file.canonicalize().ok()?;
    file.parent().map(Path::to_owned)
}

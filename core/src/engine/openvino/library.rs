//! OpenVINO's library: where it is looked for, and how it is loaded.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use super::NAME;
use crate::engine::location::own_folder;
use crate::error::{Error, Result};

/// A folder to look into, and nowhere else.
const DIR_VARIABLE: &str = "CASM_OPENVINO_DIR";
/// The C interface's file; Python's package has it with its version at the end alone.
const LIBRARY: &str = "libopenvino_c.so";
/// Where libraries lie in what `make setup-openvino` fetches, in Python's package and in Intel's archives.
const INSIDE: [&str; 6] = [
    "",
    "lib",
    "libs",
    "openvino/libs",
    "runtime/lib/intel64",
    "runtime/lib/aarch64",
];
const SYSTEM: [&str; 7] = [
    "/usr/local/lib/casm/openvino",
    "/usr/lib/casm/openvino",
    "/usr/local/lib",
    "/usr/lib/x86_64-linux-gnu",
    "/usr/lib/aarch64-linux-gnu",
    "/usr/lib64",
    "/opt/intel/openvino",
];

/// The library's file.
///
/// # Errors
/// [`Error::EngineLibrary`] saying where it was looked for, and how to get it.
pub fn find() -> Result<PathBuf> {
    let folders = folders();
    let inside = folders
        .iter()
        .flat_map(|folder| INSIDE.map(|inside| folder.join(inside)));
    inside.into_iter().find_map(|folder| library(&folder)).ok_or_else(|| {
        let where_not = match std::env::var_os(DIR_VARIABLE) {
            Some(folder) => format!("in {DIR_VARIABLE}={}", Path::new(&folder).display()),
            None => "beside casm, in the system's folders or in a Python environment".to_owned(),
        };
        unavailable(format!(
            "there is no {LIBRARY} {where_not}; fetch it with `make setup-openvino` in casm's source folder or \
             `pip install openvino`, or name its folder in {DIR_VARIABLE}"
        ))
    })
}

/// Loads the library once, for good; its version.
///
/// # Errors
/// [`Error::EngineLibrary`] if it is missing, damaged, or too old.
pub fn load() -> Result<String> {
    static LOADED: Mutex<Option<String>> = Mutex::new(None);
    let mut loaded = LOADED
        .lock()
        .unwrap_or_else(|poisoned| poisoned.into_inner());
    if let Some(version) = &*loaded {
        return Ok(version.clone());
    }
    let path = find()?;
    // A library that lacks functions makes the bindings panic.
    let outcome = std::panic::catch_unwind(|| {
        openvino_sys::library::load_from(&path)?;
        Ok(openvino::version().build_number)
    });
    let build = outcome
        .unwrap_or_else(|_| Err("it lacks functions of OpenVINO's C interface".to_owned()))
        .map_err(|reason: String| {
            unavailable(format!(
                "{}: {reason}; fetch a working one with `make setup-openvino`, and start again",
                path.display()
            ))
        })?;
    // "2026.4.1-22982-…"
    let version = build.split('-').next().unwrap_or(&build).to_owned();
    Ok(loaded.insert(version).clone())
}

fn unavailable(reason: String) -> Error {
    Error::EngineLibrary {
        engine: NAME,
        reason,
    }
}

/// The library in this folder: without a version, or with the highest one.
fn library(folder: &Path) -> Option<PathBuf> {
    let plain = folder.join(LIBRARY);
    if plain.is_file() {
        return Some(plain);
    }
    let versioned = |name: &OsString| -> Option<u64> {
        let version = name.to_str()?.strip_prefix(LIBRARY)?.strip_prefix('.')?;
        version.parse().ok()
    };
    let names = std::fs::read_dir(folder).ok()?.flatten();
    let newest = names
        .filter_map(|entry| Some((versioned(&entry.file_name())?, entry.path())))
        .filter(|(_, path)| path.is_file())
        .max();
    newest.map(|(_, path)| path)
}

/// Where to look: where the user says; else beside us, in the source folder, in the system, in Python's
/// environments, in this order.
fn folders() -> Vec<PathBuf> {
    if let Some(folder) = variable(DIR_VARIABLE) {
        return vec![folder];
    }
    let mut folders: Vec<PathBuf> = Vec::new();
    folders.extend(variable("CASM_ENGINE_DIR").map(|folder| folder.join("openvino")));
    if let Some(own) = own_folder() {
        // As `make install` lays it out, from the command's and from the plugin's place.
        let ways = ["openvino", "../lib/casm/openvino", "../casm/openvino"];
        folders.extend(ways.map(|way| own.join(way)));
        folders.push(own.join("../../casm/openvino"));
        folders.push(own.join("../../../casm/openvino"));
    }
    folders.push(Path::new(env!("CARGO_MANIFEST_DIR")).join("../third_party/openvino"));
    folders.extend(SYSTEM.map(PathBuf::from));
    for variable in ["LD_LIBRARY_PATH", "INTEL_OPENVINO_DIR"] {
        let value = std::env::var_os(variable).unwrap_or_default();
        // An empty entry would be the working directory.
        let entries = std::env::split_paths(&value).filter(|path| path.is_absolute());
        folders.extend(entries);
    }
    folders.extend(python_packages());
    folders
}

/// The folder that a variable of the environment names. An empty one would be the working directory.
fn variable(name: &str) -> Option<PathBuf> {
    let folder = std::env::var_os(name).filter(|folder| !folder.is_empty());
    folder.map(PathBuf::from)
}

/// The package folders of Python's environments: of the active one, the user's and the system's.
fn python_packages() -> Vec<PathBuf> {
    let home = variable("HOME").map(|home| home.join(".local"));
    let roots = [
        variable("VIRTUAL_ENV"),
        variable("CONDA_PREFIX"),
        home,
        Some(PathBuf::from("/usr/local")),
        Some(PathBuf::from("/usr")),
    ];
    let mut packages = Vec::new();
    for lib in roots.into_iter().flatten().map(|root| root.join("lib")) {
        let Ok(entries) = std::fs::read_dir(&lib) else {
            continue;
        };
        let names = entries.flatten().map(|entry| entry.file_name());
        let mut pythons: Vec<OsString> = names
            .filter(|name| name.to_string_lossy().starts_with("python3"))
            .collect();
        pythons.sort();
        for python in pythons.iter().rev() {
            let packages_of = ["site-packages", "dist-packages"];
            packages.extend(packages_of.map(|inside| lib.join(python).join(inside)));
        }
    }
    packages
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_library_is_found_with_and_without_its_version() {
        let folder = std::env::temp_dir().join(format!("casm-openvino-{}", std::process::id()));
        std::fs::create_dir_all(&folder).expect("a temporary folder");
        let make = |name: &str| std::fs::write(folder.join(name), "").expect("writable");
        assert_eq!(library(&folder), None);
        make("libopenvino_c.so.bak");
        make("libopenvino.so.2641");
        assert_eq!(library(&folder), None);
        make("libopenvino_c.so.2520");
        make("libopenvino_c.so.2641");
        assert_eq!(library(&folder), Some(folder.join("libopenvino_c.so.2641")));
        make("libopenvino_c.so");
        assert_eq!(library(&folder), Some(folder.join("libopenvino_c.so")));
        std::fs::remove_dir_all(&folder).expect("own folder");
    }
}

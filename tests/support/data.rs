//! Real data, which is not part of the project.

use std::path::{Path, PathBuf};

/// The file `name` of the folder that `CASM_TEST_DATA` names, or of `../shared/data` beside the project.
///
/// `None` if it is not there, which is said, so that a test may report itself skipped.
pub fn file(name: &str) -> Option<PathBuf> {
    let folder = std::env::var_os("CASM_TEST_DATA").map_or_else(
        || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/data"),
        PathBuf::from,
    );
    let path = folder.join(name);
    if path.exists() {
        return Some(path);
    }
    eprintln!(
        "skipped: {} is not there; CASM_TEST_DATA names its folder",
        path.display()
    );
    None
}

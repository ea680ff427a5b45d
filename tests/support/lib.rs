//! What the tests share.

pub mod clips;
pub mod golden;
pub mod gst;

use std::path::PathBuf;

/// The program `name` that `make build` left beside the tests' own folder, `target/release`.
///
/// # Panics
/// If it is not there.
pub fn program(name: &str) -> PathBuf {
    let path = build_folder().join(name);
    assert!(
        path.is_file(),
        "{} is missing: build with `make build` first",
        path.display()
    );
    path
}

/// The folder of what was built: `target/release` for tests in `target/release/deps`.
///
/// # Panics
/// If the test does not know its own path.
pub fn build_folder() -> PathBuf {
    let own = std::env::current_exe().expect("a test knows its path");
    let deps = own.parent().expect("a file lies in a folder");
    deps.parent()
        .expect("deps lies in the build folder")
        .to_owned()
}

//! What the tests share.

pub mod clips;
pub mod composition;
pub mod data;
pub mod engine;
pub mod golden;
pub mod gst;
pub mod machine;
pub mod picture;
pub mod run;
pub mod soak;
pub mod step;

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

/// The folder with the plugin alone, as `make build` lays it out; made if only cargo has run.
///
/// # Panics
/// If the plugin was not built.
pub fn plugin_folder() -> PathBuf {
    let plugin = program("libgstcasm.so");
    let folder = build_folder().join("gstreamer-1.0");
    let link = folder.join("libgstcasm.so");
    if !link.exists() {
        std::fs::create_dir_all(&folder).expect("the build folder is writable");
        // Another test may have made it meanwhile.
        let _ = std::os::unix::fs::symlink(&plugin, &link);
    }
    assert!(link.exists(), "{} is missing", link.display());
    folder
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

//! Tells the linker where libtorch lies at run time.
//!
//! torch-sys gives no rpath to its dependants, and cargo overwrites `LD_LIBRARY_PATH` for tests, so
//! every crate that produces something runnable with libtorch in it has this build script.

/// Public, because the crate `casm` has a build script of its own that calls this one.
pub fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    // As `make install` lays it out: `lib/casm/{libcasm.so,libtorch/}` and `bin/casm`.
    println!("cargo:rustc-link-arg=-Wl,-rpath,$ORIGIN/libtorch/torch/lib");
    println!("cargo:rustc-link-arg=-Wl,-rpath,$ORIGIN/../lib/casm/libtorch/torch/lib");
    if let Ok(libtorch) = std::env::var("DEP_TCH_LIBTORCH_LIB") {
        println!("cargo:rustc-link-arg=-Wl,-rpath,{libtorch}");
    }
}

//! The build script of the crate `casm`: the rpath of all crates, and `libcasm_cuda.so` where it can be built.
//!
//! That needs a libtorch with CUDA and CUDA's headers. Without the first nothing happens, no compiler is looked for,
//! and the build is the one for the CPU; without the second, or if the compiler fails, a warning says so, and GPUs are
//! used without graphs.

use std::path::{Path, PathBuf};
use std::process::Command;

#[path = "../../build.rs"]
mod rpath;

const SOURCE: &str = "src/cuda/shim.cpp";

fn main() {
    rpath::main();
    println!("cargo:rerun-if-changed={SOURCE}");
    println!("cargo:rerun-if-changed=src/cuda/build.rs");
    for variable in ["CUDA_HOME", "CUDA_PATH", "LIBTORCH_INCLUDE", "CASM_NO_CUDA"] {
        println!("cargo:rerun-if-env-changed={variable}");
    }
    let Some(lib) = std::env::var_os("DEP_TCH_LIBTORCH_LIB").map(PathBuf::from) else {
        return;
    };
    if !lib.join("libtorch_cuda.so").is_file() || std::env::var_os("CASM_NO_CUDA").is_some() {
        return;
    }
    match shim(&lib) {
        Ok(file) => println!("cargo:rustc-env=CASM_CUDA_SHIM={}", file.display()),
        Err(reason) => {
            println!("cargo:warning=GPUs will be used without CUDA graphs: {reason}");
        }
    }
}

fn shim(lib: &Path) -> Result<PathBuf, String> {
    let cuda = cuda_headers(lib).ok_or(
        "CUDA's headers (cuda_runtime_api.h and crt/host_config.h) are in none of CUDA_HOME, CUDA_PATH, \
         /usr/local/cuda and the folder nvidia/ beside torch/; set CUDA_HOME, or install the PyPI packages \
         nvidia-cuda-runtime and nvidia-cuda-crt of libtorch's CUDA version",
    )?;
    let torch = match std::env::var_os("LIBTORCH_INCLUDE") {
        Some(folder) => PathBuf::from(folder).join("include"),
        None => lib.join("../include"),
    };
    let out = std::env::var_os("OUT_DIR").ok_or("cargo names no OUT_DIR")?;
    let file = PathBuf::from(out).join("libcasm_cuda.so");
    let compiler = cc::Build::new()
        .cpp(true)
        .opt_level(2)
        .pic(true)
        .cargo_metadata(false)
        .try_get_compiler()
        .map_err(|error| error.to_string())?;
    let mut command: Command = compiler.to_command();
    command.args(["-std=c++17", "-shared"]);
    command.arg("-isystem").arg(torch);
    command.arg("-isystem").arg(cuda);
    command.arg(SOURCE).arg("-o").arg(&file);
    command.arg("-L").arg(lib);
    // Loaded before this library is; CUDA's own runtime comes with them.
    command.args(["-ltorch_cuda", "-lc10_cuda", "-ltorch_cpu", "-lc10"]);
    let output = command.output();
    let output = output.map_err(|error| format!("the C++ compiler cannot be started: {error}"))?;
    if output.status.success() {
        return Ok(file);
    }
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    let first = said.lines().find(|line| line.contains("error"));
    Err(format!(
        "{SOURCE}: {}",
        first.unwrap_or("the C++ compiler failed")
    ))
}

/// The folder of CUDA's headers.
fn cuda_headers(lib: &Path) -> Option<PathBuf> {
    let homes = ["CUDA_HOME", "CUDA_PATH"].map(std::env::var_os);
    let homes = homes.into_iter().flatten().map(PathBuf::from);
    let mut folders: Vec<PathBuf> = homes.map(|home| home.join("include")).collect();
    // As wheels lay them out, CUDA 13 and 12.
    let beside = ["cu13/include", "cuda_runtime/include"]
        .map(|folder| lib.join("../../nvidia").join(folder));
    folders.extend(beside);
    folders.push("/usr/local/cuda/include".into());
    let has = |folder: &PathBuf, file: &str| folder.join(file).is_file();
    folders
        .into_iter()
        .find(|folder| has(folder, "cuda_runtime_api.h") && has(folder, "crt/host_config.h"))
}

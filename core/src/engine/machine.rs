//! What this machine has that decides between engines.

use std::path::Path;

/// True if an NVIDIA driver is loaded, on bare metal, in a container, or under WSL.
pub fn has_nvidia_driver() -> bool {
    ["/proc/driver/nvidia/version", "/dev/nvidiactl", "/dev/dxg"]
        .iter()
        .any(|path| Path::new(path).exists())
}

/// True if this CPU multiplies bf16 numbers; elsewhere they are no faster than f32.
pub fn cpu_has_bf16() -> bool {
    // The compiler's own test for AMX is not stable yet.
    let description = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let flags = description.lines().find(|line| line.starts_with("flags"));
    flags.is_some_and(|flags| {
        let mut flags = flags.split_whitespace();
        flags.any(|flag| flag == "avx512_bf16" || flag == "amx_bf16")
    })
}

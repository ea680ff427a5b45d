//! What this machine has that decides between engines.

use std::num::NonZero;
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

/// True if this CPU adds up products of bytes without loss (VNNI on x86); elsewhere int8 has coarser weights.
pub fn cpu_sums_bytes() -> bool {
    #[cfg(target_arch = "x86_64")]
    return std::arch::is_x86_feature_detected!("avx512vnni")
        || std::arch::is_x86_feature_detected!("avxvnni");
    #[cfg(not(target_arch = "x86_64"))]
    true
}

/// CPU threads that an engine is opened with where this many are asked for; 0 stays 0, one a core.
///
/// At most four a core: hundreds of threads that wait for each other by spinning look like a hang.
pub fn bounded_threads(asked: usize) -> usize {
    let cores = std::thread::available_parallelism().map_or(1, NonZero::get);
    asked.min(4 * cores)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn threads_are_bounded_by_the_cores() {
        let cores = std::thread::available_parallelism().expect("known").get();
        let threads = [0, 1, cores, 1 << 20].map(bounded_threads);
        assert_eq!(threads, [0, 1, cores, 4 * cores]);
    }
}

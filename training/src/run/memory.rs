//! The C library's allocator, set up for training.

/// Keeps freed memory for the next step instead of giving it back to the system.
///
/// A step allocates and frees the same gigabytes of activations again and again. glibc maps large blocks
/// afresh each time, and the kernel then clears every page: more than half of the CPU time of a
/// MobileNetV2 step. Peak memory grows by about a quarter. To be called before libtorch allocates much;
/// nothing happens with another C library.
pub fn keep_freed_memory() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    {
        const TOP_PAD_BYTES: i32 = 256 << 20;
        // SAFETY: mallopt changes numbers inside the allocator, under its lock; refused values are
        // ignored, and then memory is merely slower.
        unsafe {
            // Large blocks from the heap, which is kept, and not from mappings of their own.
            libc::mallopt(libc::M_MMAP_MAX, 0);
            libc::mallopt(libc::M_TRIM_THRESHOLD, i32::MAX);
            libc::mallopt(libc::M_TOP_PAD, TOP_PAD_BYTES);
            // One heap, so that what one thread frees another can use.
            libc::mallopt(libc::M_ARENA_MAX, 1);
        }
    }
}

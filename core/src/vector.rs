//! Which vectors the CPU has.
//!
//! The compiler turns plain loops into vectors of 128 bits, which every x86-64 has. A function with
//! `#[target_feature(enable = "avx2")]` around the same loops makes it vectors of 256 bits; it may only be called with an
//! [`Avx2`] at hand, and one of 512 bits with an [`Avx512`].

/// Proof that the CPU has AVX2.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Avx2(());

impl Avx2 {
    /// `None` if it has not.
    pub(crate) fn new() -> Option<Avx2> {
        std::arch::is_x86_feature_detected!("avx2").then_some(Avx2(()))
    }
}

/// Proof that the CPU has AVX-512 for bytes and words.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Avx512(());

impl Avx512 {
    /// `None` if it has not.
    pub(crate) fn new() -> Option<Avx512> {
        std::arch::is_x86_feature_detected!("avx512bw").then_some(Avx512(()))
    }
}

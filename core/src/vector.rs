//! Which vectors the CPU has; on other machines than x86-64 plain loops are all there is.
//!
//! The compiler turns plain loops into vectors of 128 bits, which every x86-64 has. A function with
//! `#[target_feature(enable = "avx2")]` around the same loops makes it vectors of 256 bits; it may only be called with an
//! [`Avx2`] at hand, and one of 512 bits with an [`Avx512`]. `wide!` writes such functions of plain loops.

/// Proof that the CPU has AVX2.
#[cfg(target_arch = "x86_64")]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Avx2(());

#[cfg(target_arch = "x86_64")]
impl Avx2 {
    /// `None` if it has not.
    pub(crate) fn new() -> Option<Avx2> {
        std::arch::is_x86_feature_detected!("avx2").then_some(Avx2(()))
    }
}

/// Proof that the CPU has AVX-512 for bytes and words.
#[cfg(target_arch = "x86_64")]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Avx512(());

#[cfg(target_arch = "x86_64")]
impl Avx512 {
    /// `None` if it has not.
    pub(crate) fn new() -> Option<Avx512> {
        std::arch::is_x86_feature_detected!("avx512bw").then_some(Avx512(()))
    }
}

/// As a place to shuffle a byte from: none, which gives 0.
#[cfg(target_arch = "x86_64")]
pub(crate) const NO_BYTE: u8 = 255;

/// For each third of the bytes of sixteen pixels of three: from which byte of a pixel each comes, and of which pixel.
#[cfg(target_arch = "x86_64")]
pub(crate) const INTERLEAVED: [[[u8; 16]; 3]; 3] = {
    let mut places = [[[NO_BYTE; 16]; 3]; 3];
    let mut at = 0;
    while at < 48 {
        places[at / 16][at % 3][at % 16] = (at / 3) as u8;
        at += 1;
    }
    places
};

/// Functions of plain loops, for vectors as wide as the CPU has them.
///
/// Results are the same to the bit: the compiler changes no order of additions, and joins no product with a sum.
macro_rules! wide {
    ($($(#[$meta:meta])* $visibility:vis fn $name:ident($($argument:ident: $type:ty),* $(,)?) $(-> $result:ty)? $body:block)*) => {$(
        $(#[$meta])*
        $visibility fn $name($($argument: $type),*) $(-> $result)? {
            #[inline(always)]
            fn plain($($argument: $type),*) $(-> $result)? $body

            #[cfg(target_arch = "x86_64")]
            #[target_feature(enable = "avx2")]
            fn avx2($($argument: $type),*) $(-> $result)? {
                plain($($argument),*)
            }

            #[cfg(target_arch = "x86_64")]
            if $crate::vector::Avx2::new().is_some() {
                #[allow(unsafe_code)]
                // SAFETY: the CPU has AVX2.
                return unsafe { avx2($($argument),*) };
            }
            plain($($argument),*)
        }
    )*};
}
pub(crate) use wide;

//! Endurance and disorder: short here, long by `make soak`, which sets the numbers and makes a table.
//!
//! | module | what | number |
//! |---|---|---|
//! | [`endurance`] | frames through three pipelines, and the memory meanwhile | `CASM_SOAK_FRAMES` |
//! | [`renegotiation`] | formats, sizes, layouts and properties that change from frame to frame | `CASM_SOAK_RENEGOTIATIONS` |
//! | [`interruption`] | flushes, seeks, pauses and restarts in any order | `CASM_SOAK_INTERRUPTIONS` |
//! | [`states`] | starts and stops, and the memory meanwhile | 100 |
//!
//! One at a time: what two of them measure is the memory of the whole process.
//!
//! What happens depends on `CASM_SOAK_SEED` alone.

mod endurance;
mod interruption;
mod renegotiation;
mod states;

/// Numbers that depend on the seed alone.
pub struct Random(u64);

impl Random {
    /// Those of one test.
    pub fn new(test: u64) -> Random {
        let seed = casm_tests::soak::count("CASM_SOAK_SEED", 1);
        Random((seed << 8 | test).wrapping_mul(0x9e37_79b9_7f4a_7c15))
    }

    fn next(&mut self) -> u64 {
        // xorshift64*, Vigna 2016.
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    /// A number below `limit`.
    pub fn below(&mut self, limit: u64) -> u64 {
        (self.next() >> 16) % limit.max(1)
    }

    /// One of these.
    pub fn of<T: Copy>(&mut self, choices: &[T]) -> T {
        choices[self.below(choices.len() as u64) as usize]
    }
}

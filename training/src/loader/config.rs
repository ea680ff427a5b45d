//! Numbers that describe the batches.

use anyhow::ensure;

use super::Transform;

/// Most pictures under way, whatever batch and prefetch are.
const MOST_UNDER_WAY: usize = 1 << 20;

/// Largest side of the input, in pixels.
pub const LARGEST: u32 = 8192;

/// How batches are made.
#[derive(Debug, Clone, PartialEq)]
pub struct LoaderConfig {
    /// Pictures of a batch.
    pub batch: usize,
    /// Side of the network's input in pixels.
    pub size: u32,
    /// How a picture becomes that size.
    pub transform: Transform,
    /// Threads; 0 = one for each core.
    pub workers: usize,
    /// Batches that are made ahead of the one in use, at least 1.
    pub prefetch: usize,
    /// Of order, crops and flips.
    pub seed: u64,
    /// Iterations of an epoch.
    pub epoch_iterations: u64,
}

impl LoaderConfig {
    /// Says what is wrong with the numbers, if anything.
    pub(super) fn check(&self) -> anyhow::Result<()> {
        ensure!(self.batch > 0, "the batch size is 0");
        ensure!(
            (1..=LARGEST).contains(&self.size),
            "the input size is {} pixels, but must be 1 to {LARGEST}",
            self.size
        );
        ensure!(self.epoch_iterations > 0, "an epoch has 0 iterations");
        let under_way = self.prefetch.saturating_add(1).saturating_mul(self.batch);
        ensure!(
            under_way <= MOST_UNDER_WAY,
            "a batch of {} and {} batches ahead are more than {MOST_UNDER_WAY} pictures in memory",
            self.batch,
            self.prefetch
        );
        self.transform.check(self.size)
    }
}

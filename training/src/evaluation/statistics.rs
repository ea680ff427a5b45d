//! What masks look like, without any ground truth: average, spread, entropy and total variation (the
//! paper, section 6.1).

use casm::mask::Mask;

use super::Average;

/// Statistics of one mask.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct MaskStatistics {
    /// Mean of the mask, in [0, 1].
    pub mean: f64,
    /// -Σ m log₂ m over the values strictly between 0 and 1, divided by the number of all values: how
    /// undecided the mask is, at most 0.531. Not a full binary entropy: 1 - m is left out, as in the
    /// released code.
    pub entropy: f64,
    /// Mean of the squared differences of horizontal neighbours plus that of vertical ones; the
    /// released code's total variation.
    pub tv_mean: f64,
    /// Sum of all these squares. Not in the released code, but the paper's numbers, in the thousands,
    /// look like sums.
    pub tv_sum: f64,
}

impl MaskStatistics {
    /// Statistics of `mask`.
    pub fn new(mask: &Mask) -> MaskStatistics {
        let Mask {
            width,
            height,
            ref values,
        } = *mask;
        let pairs_across = height * width.saturating_sub(1);
        let pairs_down = height.saturating_sub(1) * width;
        // `max`: a mask without columns has no rows, and chunks of nothing would panic.
        let across: f64 = values
            .chunks_exact(width.max(1))
            .map(|row| squares(row, row.get(1..)))
            .sum();
        let down = squares(values, values.get(width..));
        let surprise: f64 = values
            .iter()
            .map(|&value| f64::from(value))
            .filter(|&value| 0.0 < value && value < 1.0)
            .map(|value| -value * value.log2())
            .sum();
        MaskStatistics {
            mean: mask.mean(),
            entropy: surprise / values.len().max(1) as f64,
            tv_mean: across / pairs_across.max(1) as f64 + down / pairs_down.max(1) as f64,
            tv_sum: across + down,
        }
    }
}

/// Sum of squared differences between values and their neighbours, as far as both go.
fn squares(values: &[f32], neighbours: Option<&[f32]>) -> f64 {
    let pairs = values.iter().zip(neighbours.unwrap_or_default());
    pairs
        .map(|(&a, &b)| (f64::from(a) - f64::from(b)).powi(2))
        .sum()
}

/// Statistics of many masks.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Statistics {
    /// Average of the masks' means, in [0, 1].
    pub average: f64,
    /// Standard deviation (unbiased) of the masks' means within a batch, averaged over the batches by
    /// their size. Depends on the batches: the paper's come from class-sorted pictures, 128 a batch.
    pub std_batch: f64,
    /// Standard deviation (unbiased) of the masks' means over all masks. Not in the released code.
    pub std_global: f64,
    /// Average of [`MaskStatistics::entropy`].
    pub entropy: f64,
    /// Average of [`MaskStatistics::tv_mean`].
    pub tv_mean: f64,
    /// Average of [`MaskStatistics::tv_sum`].
    pub tv_sum: f64,
}

/// Gathers [`Statistics`] batch by batch.
#[derive(Debug, Clone, Default)]
pub struct RunningStatistics {
    means: Vec<f64>,
    std_batch: Average,
    entropy: Average,
    tv_mean: Average,
    tv_sum: Average,
}

impl RunningStatistics {
    /// Takes in a batch. One of a single mask has no spread and adds nothing to
    /// [`std_batch`](Statistics::std_batch).
    pub fn add(&mut self, batch: &[MaskStatistics]) {
        let means = batch.iter().map(|mask| mask.mean);
        self.means.extend(means.clone());
        if batch.len() > 1 {
            let std = standard_deviation(&means.collect::<Vec<_>>());
            self.std_batch.add(std, batch.len() as f64);
        }
        for mask in batch {
            self.entropy.add(mask.entropy, 1.0);
            self.tv_mean.add(mask.tv_mean, 1.0);
            self.tv_sum.add(mask.tv_sum, 1.0);
        }
    }

    /// Statistics of all masks so far. What nothing was seen of is NaN.
    pub fn statistics(&self) -> Statistics {
        Statistics {
            average: average(&self.means),
            std_batch: self.std_batch.value(),
            std_global: standard_deviation(&self.means),
            entropy: self.entropy.value(),
            tv_mean: self.tv_mean.value(),
            tv_sum: self.tv_sum.value(),
        }
    }
}

fn average(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}

/// Unbiased, that is divided by one less than the number of values; NaN for fewer than two.
fn standard_deviation(values: &[f64]) -> f64 {
    let centre = average(values);
    let squares: f64 = values.iter().map(|value| (value - centre).powi(2)).sum();
    (squares / (values.len() as f64 - 1.0)).sqrt()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn statistics(width: usize, height: usize, values: &[f32]) -> MaskStatistics {
        MaskStatistics::new(&Mask {
            width,
            height,
            values: values.to_vec(),
        })
    }

    #[test]
    fn total_variation_counts_both_directions() {
        let mask = statistics(2, 2, &[0.0, 1.0, 0.0, 0.5]);
        // By hand: across 1 and ¼, down 0 and ¼; two pairs each way.
        assert_eq!((mask.tv_sum, mask.tv_mean), (1.5, 0.625 + 0.125));
    }

    #[test]
    fn only_undecided_values_have_entropy() {
        assert_eq!(statistics(2, 1, &[0.0, 1.0]).entropy, 0.0);
        // -½ log₂ ½ = ½, over two values.
        assert_eq!(statistics(2, 1, &[0.0, 0.5]).entropy, 0.25);
    }

    #[test]
    fn the_spread_within_batches_is_not_the_spread_over_all() {
        let mask = |mean: f32| statistics(1, 1, &[mean]);
        let mut running = RunningStatistics::default();
        running.add(&[mask(0.0), mask(0.0)]);
        running.add(&[mask(1.0), mask(1.0)]);
        running.add(&[mask(0.5)]);
        let all = running.statistics();
        assert_eq!((all.average, all.std_batch), (0.5, 0.0));
        assert_eq!(all.std_global, 0.5, "√(4 · ¼ / 4)");
    }

    #[test]
    fn masks_of_one_pixel_or_none_have_no_variation() {
        assert_eq!(statistics(1, 1, &[0.5]).tv_mean, 0.0);
        assert_eq!(statistics(0, 0, &[]).tv_mean, 0.0);
        assert!(RunningStatistics::default().statistics().average.is_nan());
    }
}

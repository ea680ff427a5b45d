//! Which samples of an axis make each resized one, and with which weights.

/// Bits behind the point of a weight: 1 is the largest that fits 16 bits with their sign.
pub(super) const WEIGHT_BITS: u32 = 14;

/// An axis of a plane and what it becomes. All that weights depend on.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Axis {
    /// Samples that there are.
    pub(super) samples: u32,
    /// Start of the part that is resized, in samples.
    pub(super) start: f64,
    /// Length of that part, above 0.
    pub(super) length: f64,
    /// Resized samples.
    pub(super) resized: u32,
}

/// Weights of one axis: Pillow's antialiased bilinear filter, a triangle as wide as two resized samples,
/// or as two samples of the source if those are larger.
#[derive(Debug, Default)]
pub(super) struct Filter {
    axis: Option<Axis>,
    /// Of each resized sample: its first source sample, and where its weights begin and end.
    taps: Vec<Tap>,
    /// In units of 2^-[`WEIGHT_BITS`]; those of one resized sample add up to 1 exactly.
    weights: Vec<i16>,
}

#[derive(Debug, Clone, Copy)]
struct Tap {
    first: usize,
    begin: usize,
    end: usize,
}

impl Filter {
    /// Makes the weights of `axis`; false if they are there already.
    pub(super) fn prepare(&mut self, axis: Axis) -> bool {
        if self.axis == Some(axis) {
            return false;
        }
        self.axis = Some(axis);
        self.taps.clear();
        self.weights.clear();
        let scale = axis.length / f64::from(axis.resized);
        let radius = scale.max(1.0);
        let samples = axis.samples as usize;
        for resized in 0..axis.resized {
            let centre = axis.start + (f64::from(resized) + 0.5) * scale;
            // The triangle at the middle of each sample; not empty, whatever rounding does.
            let last = ((centre + radius + 0.5) as usize).clamp(1, samples);
            let first = ((centre - radius + 0.5).max(0.0) as usize).min(last - 1);
            let triangle = |sample: usize| {
                let distance = (sample as f64 + 0.5 - centre) / radius;
                (1.0 - distance.abs()).max(0.0)
            };
            let sum: f64 = (first..last).map(triangle).sum();
            let begin = self.weights.len();
            // Differences of a rounded sum: what one weight loses the next one gets.
            let (mut total, mut given) = (0.0, 0);
            for sample in first..last {
                total += triangle(sample);
                let share = if sum > 0.0 { total / sum } else { 1.0 };
                let fixed = (share * f64::from(1 << WEIGHT_BITS)).round() as i32;
                self.weights.push((fixed - given) as i16);
                given = fixed;
            }
            self.taps.push(Tap {
                first,
                begin,
                end: self.weights.len(),
            });
        }
        true
    }

    /// Number of resized samples.
    pub(super) fn len(&self) -> usize {
        self.taps.len()
    }

    /// First source sample and weights from there on of a resized sample.
    pub(super) fn tap(&self, resized: usize) -> (usize, &[i16]) {
        let Tap { first, begin, end } = self.taps[resized];
        (first, &self.weights[begin..end])
    }

    /// The source samples that have a weight at all: first, and one beyond the last.
    pub(super) fn extent(&self) -> (usize, usize) {
        let first = self.taps.first().map_or(0, |tap| tap.first);
        let last = self.taps.last();
        (first, last.map_or(0, |tap| tap.first + tap.end - tap.begin))
    }
}

/// A [`Filter`] for rows of samples of `CHANNELS` values each, in the order in which
/// vectors multiply them.
#[derive(Debug, Default)]
pub(super) struct ColumnFilter {
    pub(super) filter: Filter,
    /// `[resized, groups, 16]`, see [`GROUP`].
    grouped: Vec<[i16; GROUP]>,
    groups: usize,
}

/// Products of a vector of 256 bits, which are added in pairs.
pub(super) const GROUP: usize = 16;

impl ColumnFilter {
    /// Makes the weights of `axis` for samples of `channels` values.
    pub(super) fn prepare(&mut self, axis: Axis, channels: usize) {
        if !self.filter.prepare(axis) {
            return;
        }
        let step = group_samples(channels);
        let longest = (0..self.filter.len()).map(|at| self.filter.tap(at).1.len());
        self.groups = longest.max().unwrap_or(0).div_ceil(step);
        self.grouped.clear();
        for resized in 0..self.filter.len() {
            let (_, weights) = self.filter.tap(resized);
            let weight = |at: usize| weights.get(at).copied().unwrap_or(0);
            let groups = (0..self.groups)
                .map(|group| std::array::from_fn(|at| weight(group * step + order(channels, at))));
            self.grouped.extend(groups);
        }
    }

    /// How many values a row holds from the filter's first sample on: all groups of the last resized sample too, which
    /// vectors read on with weights of 0 where its own taps have ended at the edge of the frame.
    pub(super) fn row_len(&self, channels: usize) -> usize {
        let (first, _) = self.filter.extent();
        let last = self.filter.taps.last().map_or(first, |tap| tap.first);
        (last - first + self.groups * group_samples(channels)) * channels + GROUP
    }

    /// First source sample and grouped weights of a resized sample.
    #[cfg_attr(not(target_arch = "x86_64"), allow(dead_code))]
    pub(super) fn tap(&self, resized: usize) -> (usize, &[[i16; GROUP]]) {
        let groups = &self.grouped[resized * self.groups..][..self.groups];
        (self.filter.taps[resized].first, groups)
    }
}

/// Samples of one group. Of three channels a group holds four samples, as of four.
pub(super) fn group_samples(channels: usize) -> usize {
    GROUP / channels.next_power_of_two()
}

/// Which of a group's samples the value in this place belongs to, after neighbours of one channel were
/// brought together in pairs.
fn order(channels: usize, place: usize) -> usize {
    match channels {
        1 => place,
        // u0 u1 v0 v1 u2 u3 v2 v3
        2 => place / 4 * 2 + place % 2,
        // r0 r1 g0 g1 b0 b1 a0 a1
        _ => place / 8 * 2 + place % 2,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filter(samples: u32, resized: u32) -> Filter {
        let mut filter = Filter::default();
        let whole = Axis {
            samples,
            start: 0.0,
            length: f64::from(samples),
            resized,
        };
        assert!(filter.prepare(whole));
        assert!(!filter.prepare(whole), "they are there already");
        filter
    }

    #[test]
    fn halving_takes_a_triangle_of_four() {
        // Centre 3, radius 2: samples 1 to 4 at distances 3/4, 1/4, 1/4, 3/4 of the radius, hence
        // weights 1, 3, 3, 1 of 8. At the edge the first is missing: 3, 3, 1 of 7.
        let filter = filter(8, 4);
        let eighth = 1 << (WEIGHT_BITS - 3);
        assert_eq!(
            filter.tap(1),
            (1, &[eighth, 3 * eighth, 3 * eighth, eighth][..])
        );
        let seventh = f64::from(1 << WEIGHT_BITS) / 7.0;
        let (first, weights) = filter.tap(0);
        assert_eq!((first, weights.len()), (0, 3));
        for (weight, expected) in weights.iter().zip([3.0, 3.0, 1.0]) {
            assert!((f64::from(*weight) - expected * seventh).abs() <= 1.0);
        }
    }

    #[test]
    fn weights_add_up_to_one_at_every_size() {
        for samples in [1, 2, 3, 17, 223, 224, 225, 640, 1080, 1920, 8192, 16384] {
            for resized in [1, 2, 32, 224, 512] {
                let filter = filter(samples, resized);
                for at in 0..filter.len() {
                    let (first, weights) = filter.tap(at);
                    let sum: i32 = weights.iter().map(|&weight| i32::from(weight)).sum();
                    assert_eq!(sum, 1 << WEIGHT_BITS, "{samples} to {resized} at {at}");
                    assert!(weights.iter().all(|&weight| weight >= 0));
                    assert!(first + weights.len() <= samples as usize);
                }
            }
        }
    }
}

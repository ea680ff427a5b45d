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

/// A [`Filter`] whose weights come as vectors multiply them: two neighbours of a row at once, for [`QUAD`] resized samples
/// together.
#[derive(Debug, Default)]
pub(super) struct ColumnFilter {
    pub(super) filter: Filter,
    /// Of each resized sample, the first pair of samples, counted from the filter's first sample on. The last quad is
    /// filled up with the last sample again, which nobody reads.
    firsts: Vec<[usize; QUAD]>,
    /// `[quads, pairs]`, the second sample's in the upper half.
    weights: Vec<[i32; QUAD]>,
    /// Pairs of one resized sample: as many as the longest needs. Others have weights of 0.
    pairs: usize,
}

/// Resized samples that vectors finish together.
pub(super) const QUAD: usize = 4;

impl ColumnFilter {
    /// Makes the weights of `axis`, if they are not there already.
    pub(super) fn prepare(&mut self, axis: Axis) {
        if !self.filter.prepare(axis) {
            return;
        }
        let filter = &self.filter;
        let (start, _) = filter.extent();
        let last = filter.len().saturating_sub(1);
        // An odd first sample is the second one of its pair.
        let odd = |at: usize| (filter.tap(at).0 - start) % 2;
        let needed = (0..filter.len()).map(|at| (odd(at) + filter.tap(at).1.len()).div_ceil(2));
        self.pairs = needed.max().unwrap_or(0);
        self.firsts.clear();
        self.weights.clear();
        for first in (0..filter.len()).step_by(QUAD) {
            let quad: [usize; QUAD] = std::array::from_fn(|at| (first + at).min(last));
            let weight = |at: usize, place: usize| {
                let place = place.checked_sub(odd(at));
                let weight = place.and_then(|place| filter.tap(at).1.get(place));
                weight.copied().map_or(0, i32::from)
            };
            self.firsts
                .push(quad.map(|at| (filter.tap(at).0 - start) / 2));
            self.weights.extend(
                (0..self.pairs).map(|pair| {
                    quad.map(|at| weight(at, 2 * pair + 1) << 16 | weight(at, 2 * pair))
                }),
            );
        }
    }

    /// Pairs of samples that are multiplied at all, from the filter's first sample on: more than the frame may have, with
    /// weights of 0.
    pub(super) fn pairs(&self) -> usize {
        self.firsts.last().map_or(0, |quad| quad[QUAD - 1]) + self.pairs
    }

    /// First pairs of [`QUAD`] resized samples, and their weights from there on.
    #[cfg_attr(not(target_arch = "x86_64"), allow(dead_code))]
    pub(super) fn quads(&self) -> impl Iterator<Item = (&[usize; QUAD], &[[i32; QUAD]])> {
        self.firsts
            .iter()
            .zip(self.weights.chunks(self.pairs.max(1)))
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

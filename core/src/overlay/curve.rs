//! Colours and shares of all levels as lines, which are computed where they would be looked up otherwise.

/// Parts of a [`Curve`].
pub(super) const PARTS: usize = 4;

/// Levels at which the parts begin, and the last level.
pub(super) const KNOTS: [u8; PARTS + 1] = [0, 64, 128, 192, 255];

/// Steps of a part, and parts of a byte's value in which colours are mixed: products of them with bytes fit 15 bits.
pub(super) const STEPS: i16 = 64;

/// A byte for every level: lines through the values at the [`KNOTS`], of which vectors compute many at once where they
/// would look each up in a table one by one.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Curve(pub(super) [u8; PARTS + 1]);

impl Curve {
    /// At a level, rounded.
    pub(super) fn at(&self, level: u8) -> u8 {
        ((self.at_way(way(level)) + STEPS / 2) / STEPS) as u8
    }

    /// That far along the knots, in parts of a value (see [`STEPS`]).
    pub(super) fn at_way(&self, way: i16) -> i16 {
        let (start, bends) = self.bends();
        let bends = bends.iter().zip(over_knots(way));
        bends.fold(start, |sum, (bend, over)| {
            sum.wrapping_add(bend.wrapping_mul(over))
        })
    }

    /// The value at level 0, in parts of one; and what the steps from each knot on add to the slope. Sums of products are right
    /// modulo 2^16.
    pub(super) fn bends(&self) -> (i16, [i16; PARTS]) {
        let values = self.0.map(i16::from);
        let slope = |part: usize| values[part + 1] - values[part];
        let bends = std::array::from_fn(|part| match part {
            0 => slope(0),
            _ => slope(part) - slope(part - 1),
        });
        (values[0] * STEPS, bends)
    }
}

/// How far a way goes beyond each knot but the last.
#[inline(always)]
pub(super) fn over_knots(way: i16) -> [i16; PARTS] {
    std::array::from_fn(|part| (way - part as i16 * STEPS).max(0))
}

/// How far along the knots a level lies, in [`STEPS`] of each part.
///
/// One step a level; in the last part, which is a level shorter, one more on the way.
#[inline(always)]
pub(super) fn way(level: u8) -> i16 {
    i16::from(level) + i16::from(level.saturating_sub(192) >> 5)
}

/// Of a share of all, in which the mixing counts: the product of it and of [`STEPS`] is 2^15, by which products are divided.
pub(super) const WHOLE: i16 = 512;

/// How much of the colour is mixed in, for every level: a line. In 32767ths.
#[derive(Debug, Clone, Copy)]
pub(super) struct Share {
    start: i16,
    /// From the first level to the last.
    pub(super) range: i16,
}

impl Share {
    /// From the first share to the last, which is not smaller; clipped to [0, 1].
    pub(super) fn between(first: f32, last: f32) -> Share {
        let whole = f32::from(i16::MAX);
        let [first, last] = [first, last].map(|share| (share.clamp(0.0, 1.0) * whole) as i16);
        Share {
            start: first,
            range: (last - first).max(0),
        }
    }

    /// At a level of 0 to 255, of [`WHOLE`].
    #[inline(always)]
    pub(super) fn at(&self, level: u8) -> i16 {
        ((self.rounded_start() + self.rise(level) as u16) >> SHARE_SHIFT) as i16
    }

    /// At a level of 0 to 255, in [0, 1].
    pub(super) fn exact(&self, level: u8) -> f32 {
        f32::from(self.start + self.rise(level)) / f32::from(i16::MAX)
    }

    /// The share at level 0, so that cut off it is rounded.
    #[inline(always)]
    pub(super) fn rounded_start(&self) -> u16 {
        self.start as u16 + (1 << (SHARE_SHIFT - 1))
    }

    /// From the first level to this one.
    #[inline(always)]
    fn rise(&self, level: u8) -> i16 {
        // Of 32767, the level's part of 255.
        let part = u16::from(level) * 257 / 2;
        // A 2^16th of twice the product, rounded, by halves that are an instruction each.
        let range = self.range as u16 * 2;
        let upper = ((u32::from(part) * u32::from(range)) >> 16) as u16;
        (upper + (part.wrapping_mul(range) >> 15)) as i16
    }

    /// Whether level 0 leaves pixels as they are.
    pub(super) fn is_clear(&self) -> bool {
        self.at(0) == 0
    }
}

/// From shares of 32767 to those of [`WHOLE`].
pub(super) const SHARE_SHIFT: u32 = 15 - WHOLE.ilog2();

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steep_curves_stay_within_bytes() {
        for values in [
            [0, 255, 0, 255, 0],
            [255, 0, 255, 0, 255],
            [255; 5],
            [0; 5],
            [0, 0, 0, 0, 255],
            [255, 254, 1, 0, 0],
        ] {
            let curve = Curve(values);
            for (knot, value) in KNOTS.into_iter().zip(values) {
                assert_eq!(curve.at(knot), value, "{values:?} at {knot}");
            }
            for part in 0..PARTS {
                let (from, to) = (values[part], values[part + 1]);
                let range = from.min(to)..=from.max(to);
                for level in KNOTS[part]..=KNOTS[part + 1] {
                    assert!(range.contains(&curve.at(level)), "{values:?} at {level}");
                }
            }
        }
    }
}

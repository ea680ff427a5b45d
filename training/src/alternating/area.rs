//! λ steered to a mask size (the paper chose λ so that about half of the pixels are relevant).

use serde::{Deserialize, Serialize};

/// Controller of λ: proportional and integral in the logarithm, on a moving average of the area.
///
/// Ours; the released code has fixed λ. λ does not decide how large masks are but how fast they grow or
/// shrink, and Adam answers some ten steps late: the proportional part brakes at once, and the
/// integral part, which finds the level, must be slow (an integral part of 0.2 swung from 0.11 to 0.72
/// around 0.42, and a purely integral one, the prototype's, from 0.35 to 0.6).
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AreaController {
    /// The area asked for, 0 to 1.
    pub target: f64,
    /// Moving average of the masks' mean.
    average: f64,
    /// Logarithm of the level.
    level: f64,
}

/// Share of a step's area in the moving average.
const SMOOTHING: f64 = 0.4;
/// Change of log λ for an area that is off by 1.
const PROPORTIONAL: f64 = 6.0;
/// Change of the level for each step at which the area is off by 1.
const INTEGRAL: f64 = 0.06;
/// The level stays within this factor of where it began.
const LARGEST_FACTOR: f64 = 100.0;

impl AreaController {
    /// Starts at `lambda`, as if all had been well before: the masks of a random decoder say nothing.
    pub fn new(target: f64, lambda: f64) -> AreaController {
        AreaController {
            target,
            average: target,
            level: lambda.ln(),
        }
    }

    /// λ for the next step, after one whose masks had this mean; `start` is λ at the beginning.
    pub fn next(&mut self, area: f64, start: f64) -> f64 {
        self.average += SMOOTHING * (area - self.average);
        let excess = self.average - self.target;
        let bound = LARGEST_FACTOR.ln();
        self.level = (self.level + INTEGRAL * excess).clamp(start.ln() - bound, start.ln() + bound);
        (self.level + PROPORTIONAL * excess).exp()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Areas that grow by `gain` a step for each unit by which log λ is below that of `balance`, some `lag`
    /// steps late; 0.012, 5 and 10 are read off a run of MobileNetV2 with batches of 32.
    #[test]
    fn the_area_settles_at_the_target() {
        for (gain, lag) in [(0.012, 10.0), (0.025, 10.0), (0.012, 20.0), (0.006, 10.0)] {
            let (mut controller, mut lambda) = (AreaController::new(0.4, 10.0), 10.0f64);
            let (mut area, mut growth, balance) = (0.57f64, 0.0, 5.0f64);
            for step in 0..600 {
                growth += (gain * (balance / lambda).ln() - growth) / lag;
                area = (area + growth).clamp(0.05, 0.95);
                lambda = controller.next(area, 10.0);
                let off = (area - 0.4).abs();
                let allowed = if step < 300 { 0.08 } else { 0.02 };
                assert!(
                    step < 150 || off < allowed,
                    "gain {gain}, lag {lag}, step {step}: {area}"
                );
            }
        }
    }
}

//! λ steered to a mask size (the paper chose λ so that about half of the pixels are relevant).

use serde::{Deserialize, Serialize};

/// Controller of λ: proportional and integral in the logarithm, on a moving average of the area.
///
/// Ours; the released code has fixed λ. The proportional part answers at once to a mask that grows, the
/// integral part finds the level; a purely integral one swings (the area of the prototype went from
/// 0.35 to 0.6 and back).
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
const SMOOTHING: f64 = 0.1;
/// Change of log λ for an area that is off by 1.
const PROPORTIONAL: f64 = 6.0;
/// Change of the level for each step at which the area is off by 1.
const INTEGRAL: f64 = 0.2;
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

    /// A mapping whose area falls by `gain` for each unit of log λ and answers within about 20 steps; runs of
    /// MobileNetV2 had gains from 0.1 to 0.3.
    #[test]
    fn the_area_settles_at_the_target_without_swinging() {
        for gain in [0.1, 0.2, 0.4] {
            let (mut controller, mut lambda) = (AreaController::new(0.4, 10.0), 10.0);
            let mut area = 0.9;
            for step in 0..1000 {
                let wanted: f64 = (0.75 - gain * f64::ln(lambda / 3.0)).clamp(0.0, 1.0);
                area += 0.05 * (wanted - area);
                lambda = controller.next(area, 10.0);
                let off = (area - 0.4).abs();
                assert!(step < 200 || off < 0.02, "gain {gain}, step {step}: {area}");
            }
        }
    }
}

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
const PROPORTIONAL: f64 = 4.0;
/// Change of the level for each step at which the area is off by 1.
const INTEGRAL: f64 = 0.04;
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

    /// A mapping whose area falls with log λ and answers within about 20 steps.
    #[test]
    fn the_area_settles_at_the_target_without_swinging() {
        let (mut controller, mut area, mut lambda) = (AreaController::new(0.4, 10.0), 0.9, 10.0);
        let mut late: Vec<f64> = Vec::new();
        for step in 0..2000 {
            let wanted: f64 = (0.75 - 0.15 * f64::ln(lambda / 3.0)).clamp(0.0, 1.0);
            area += 0.05 * (wanted - area);
            lambda = controller.next(area, 10.0);
            if step > 1000 {
                late.push(area);
            }
        }
        assert!(late.iter().all(|area| (area - 0.4).abs() < 0.02), "{area}");
    }
}

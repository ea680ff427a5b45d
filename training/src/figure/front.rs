//! Fast marching: when a front that moves at unit speed reaches each pixel.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

/// Arrival where the front has not been.
pub const NEVER: f32 = 1e6;

/// Pixels numbered row by row.
#[derive(Debug, Clone, Copy)]
pub struct Grid {
    pub width: usize,
    pub height: usize,
}

impl Grid {
    /// The pixel in column `x`, row `y`, if it is inside.
    pub fn at(self, x: isize, y: isize) -> Option<usize> {
        let (x, y) = (usize::try_from(x).ok()?, usize::try_from(y).ok()?);
        (x < self.width && y < self.height).then(|| y * self.width + x)
    }

    /// Column and row.
    pub fn position(self, pixel: usize) -> (isize, isize) {
        ((pixel % self.width) as isize, (pixel / self.width) as isize)
    }

    /// Above, left, below, right.
    pub fn neighbours(self, pixel: usize) -> [Option<usize>; 4] {
        let (x, y) = self.position(pixel);
        [(x, y - 1), (x - 1, y), (x, y + 1), (x + 1, y)].map(|(x, y)| self.at(x, y))
    }
}

/// A front that moves at unit speed; Telea's section 2.3.
pub struct Front {
    pub grid: Grid,
    pub reached: Vec<bool>,
    /// When each pixel is reached: its distance to the rim, in pixels.
    pub arrivals: Vec<f32>,
    /// What the front is to leave next: the bits of its arrival, which order as the number does since
    /// it is not negative; first come, first served; and which pixel.
    queue: BinaryHeap<Reverse<(u32, usize, usize)>>,
    queued: usize,
}

impl Front {
    /// A front about to leave `rim`, which has been reached at time 0.
    pub fn new(grid: Grid, reached: Vec<bool>, rim: &[usize]) -> Front {
        let mut front = Front {
            grid,
            arrivals: vec![NEVER; reached.len()],
            reached,
            queue: BinaryHeap::new(),
            queued: 0,
        };
        for &pixel in rim {
            front.reach(pixel, 0.0);
        }
        front
    }

    /// Moves on until all is reached, or for pixels that were reached after `end` no further. Each
    /// pixel is passed to `visit` when its arrival is known, but before it counts as reached.
    pub fn march(&mut self, end: f32, mut visit: impl FnMut(&Front, usize)) {
        while let Some(Reverse((arrival, _, pixel))) = self.queue.pop() {
            if f32::from_bits(arrival) > end {
                break;
            }
            for neighbour in self.grid.neighbours(pixel).into_iter().flatten() {
                if !self.reached[neighbour] {
                    let arrival = self.arrival(neighbour);
                    self.arrivals[neighbour] = arrival;
                    visit(self, neighbour);
                    self.reach(neighbour, arrival);
                }
            }
        }
    }

    fn reach(&mut self, pixel: usize, arrival: f32) {
        self.reached[pixel] = true;
        self.arrivals[pixel] = arrival;
        self.queue
            .push(Reverse((arrival.to_bits(), self.queued, pixel)));
        self.queued += 1;
    }

    /// Earliest arrival from any of the four quarters: the solution of |∇T| = 1 between a vertical and a
    /// horizontal neighbour.
    fn arrival(&self, pixel: usize) -> f32 {
        let reached = |pixel: &Option<usize>| {
            let pixel = pixel.filter(|&pixel| self.reached[pixel]);
            pixel.map(|pixel| f64::from(self.arrivals[pixel]))
        };
        let [above, left, below, right] = self.grid.neighbours(pixel).each_ref().map(reached);
        let from = |a: Option<f64>, b: Option<f64>| match (a, b) {
            (Some(a), Some(b)) if (a - b).abs() < 1.0 => {
                (a + b + (2.0 - (a - b).powi(2)).sqrt()) / 2.0
            }
            (Some(a), Some(b)) => 1.0 + a.min(b),
            (Some(a), None) | (None, Some(a)) => 1.0 + a,
            (None, None) => f64::from(NEVER),
        };
        let quarters = [(above, left), (below, left), (above, right), (below, right)];
        let arrivals = quarters.map(|(a, b)| from(a, b));
        arrivals.into_iter().fold(f64::INFINITY, f64::min) as f32
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// By hand: (1, 1) is reached from both sides of the corner at (0 + 0 + √2) / 2. Far from the corner
    /// the front is nearly straight, and the diagonal is reached last.
    #[test]
    fn arrivals_are_distances_to_the_rim() {
        let grid = Grid {
            width: 4,
            height: 4,
        };
        let (x, y) = (0..4, 0..4);
        let known = y.flat_map(|y| x.clone().map(move |x| x == 0 || y == 0));
        let rim: Vec<usize> = vec![1, 2, 3, 4, 8, 12];
        let mut front = Front::new(grid, known.collect(), &rim);
        front.march(NEVER, |_, _| ());
        let at = |x: usize, y: usize| front.arrivals[y * 4 + x];
        assert!((at(1, 1) - 0.5_f32.sqrt()).abs() < 1e-6, "{}", at(1, 1));
        assert!((at(3, 1) - 1.0).abs() < 0.05, "{}", at(3, 1));
        assert!(at(3, 3) > at(2, 2) && at(2, 2) > at(1, 1));
    }
}

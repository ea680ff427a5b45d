//! Images a second, and the share of the time that the trainer waits for data.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// Times the last steps of a run.
///
/// A GPU works on after a call has returned, so its time falls into the step in which a result is read.
#[derive(Debug)]
pub struct Stopwatch {
    laps: VecDeque<Lap>,
    window: usize,
    since: Instant,
    waited: Duration,
}

/// One step.
#[derive(Debug, Clone, Copy)]
struct Lap {
    total: Duration,
    waited: Duration,
    images: u64,
}

impl Stopwatch {
    /// Starts to time the first step; averages are over the last `window` steps, at least one.
    pub fn start(window: usize) -> Stopwatch {
        Stopwatch {
            laps: VecDeque::new(),
            window: window.max(1),
            since: Instant::now(),
            waited: Duration::ZERO,
        }
    }

    /// Runs `fetch`, whose time counts as waiting for data.
    pub fn wait<T>(&mut self, fetch: impl FnOnce() -> T) -> T {
        let since = Instant::now();
        let data = fetch();
        self.waited += since.elapsed();
        data
    }

    /// Ends a step of so many images and starts the next one.
    pub fn lap(&mut self, images: u64) {
        let now = Instant::now();
        self.add(Lap {
            total: now - self.since,
            waited: self.waited,
            images,
        });
        self.since = now;
        self.waited = Duration::ZERO;
    }

    /// Starts the step again: what was done since the last one, such as an evaluation, does not count.
    pub fn restart(&mut self) {
        self.since = Instant::now();
        self.waited = Duration::ZERO;
    }

    fn add(&mut self, lap: Lap) {
        self.laps.push_back(lap);
        if self.laps.len() > self.window {
            self.laps.pop_front();
        }
    }

    /// Images a second; 0 before the end of the first step.
    pub fn images_per_second(&self) -> f64 {
        let images: u64 = self.laps.iter().map(|lap| lap.images).sum();
        ratio(images as f64, self.total())
    }

    /// Share of the time that was spent in [`Stopwatch::wait`], in [0, 1].
    pub fn data_wait_share(&self) -> f64 {
        let waited: Duration = self.laps.iter().map(|lap| lap.waited).sum();
        ratio(waited.as_secs_f64(), self.total())
    }

    fn total(&self) -> f64 {
        let total: Duration = self.laps.iter().map(|lap| lap.total).sum();
        total.as_secs_f64()
    }
}

fn ratio(part: f64, total: f64) -> f64 {
    if total > 0.0 { part / total } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lap(total: u64, waited: u64, images: u64) -> Lap {
        Lap {
            total: Duration::from_millis(total),
            waited: Duration::from_millis(waited),
            images,
        }
    }

    /// By hand: 20 images in 2 s, of which 0.5 s waiting; the first, slow step has left the window.
    #[test]
    fn averages_are_over_the_last_steps() {
        let mut stopwatch = Stopwatch::start(2);
        assert_eq!(
            (stopwatch.images_per_second(), stopwatch.data_wait_share()),
            (0.0, 0.0)
        );
        for lap in [
            lap(60_000, 59_000, 10),
            lap(500, 100, 4),
            lap(1500, 400, 16),
        ] {
            stopwatch.add(lap);
        }
        assert_eq!(stopwatch.images_per_second(), 10.0);
        assert_eq!(stopwatch.data_wait_share(), 0.25);
    }

    #[test]
    fn only_waiting_counts_as_waiting() {
        let pause = Duration::from_millis(20);
        let mut stopwatch = Stopwatch::start(8);
        std::thread::sleep(pause);
        stopwatch.restart();
        assert_eq!(stopwatch.wait(|| 7), 7);
        std::thread::sleep(pause);
        stopwatch.lap(1);
        assert!(stopwatch.data_wait_share() < 0.5);
        stopwatch.wait(|| std::thread::sleep(pause));
        stopwatch.lap(1);
        let waited = stopwatch.laps[1].waited;
        assert!(waited >= pause && waited <= stopwatch.laps[1].total);
        assert!(stopwatch.laps[0].waited < pause);
    }
}

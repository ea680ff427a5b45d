//! How many threads compute together: as many as make a run fastest at the moment.
//!
//! libtorch's threads wait for each other after every layer. Alone on the machine, more of them are faster; where a
//! decoder keeps one of the cores busy, all wait for the one that shares it, and fewer are. No one number is right for both,
//! and other programs come and go; so now and then a run is tried with another number, and what is faster stays.

/// Runs that are remembered, and as many as say what is usual.
const REMEMBERED: usize = 8;
/// The last runs that show that something has changed.
const LAST: usize = 4;
/// Runs of a trial; one before them, which pays for the change, does not count.
const TRIED: usize = 3;
/// A change must make a run so much faster.
const WORTH: f64 = 0.95;
/// Times as long as usual: something has changed. In a trial: not worth another run.
const MUCH: f64 = 1.5;
/// Runs from one trial in a direction to the next: twice as many whenever it was in vain. The most, so that trials of what is
/// three times as slow cost three hundredths.
const SHORTEST_WAIT: u32 = 15;
const LONGEST_WAIT: u32 = 120;

/// Chooses the number of threads for runs of an engine.
#[derive(Debug)]
pub(crate) struct Team {
    /// That can be chosen, from 1 on.
    sizes: Vec<usize>,
    /// The chosen one.
    at: usize,
    /// Pictures of the runs that are compared with each other.
    batch: usize,
    /// Runs with other numbers of pictures, one after the other.
    others: usize,
    /// Seconds of the last runs.
    recent: Vec<f64>,
    /// Seconds of a run before anything changed.
    usual: Option<f64>,
    trial: Option<Trial>,
    fewer: Patience,
    more: Patience,
}

/// Another number of threads, on trial.
#[derive(Debug)]
struct Trial {
    at: usize,
    paid: bool,
    seconds: Vec<f64>,
}

/// Of trials in a direction.
#[derive(Debug)]
struct Patience {
    /// Runs since the last one, and how many there must be for the next.
    since: u32,
    wait: u32,
    /// How far the next one goes: a small step may show too little.
    step: usize,
}

impl Patience {
    const NEW: Patience = Patience {
        since: 0,
        wait: SHORTEST_WAIT,
        step: 1,
    };

    fn was_in_vain(&mut self) {
        self.wait = (2 * self.wait).min(LONGEST_WAIT);
        self.step = 3 - self.step;
    }
}

impl Team {
    /// Up to `most` threads, with which it begins.
    pub(crate) fn new(most: usize) -> Team {
        let most = most.max(1);
        // Steps of a third to a half; and all but one, for a single neighbour.
        let steps = (0..usize::BITS).flat_map(|power| [2 << power, 3 << power]);
        let mut sizes: Vec<usize> = steps.take_while(|&size| size < most).collect();
        sizes.extend([1, most.saturating_sub(1).max(1), most]);
        sizes.sort_unstable();
        sizes.dedup();
        Team {
            at: sizes.len() - 1,
            sizes,
            batch: 0,
            others: 0,
            recent: Vec::new(),
            usual: None,
            trial: None,
            fewer: Patience::NEW,
            more: Patience::NEW,
        }
    }

    /// Threads of the next run.
    pub(crate) fn size(&self) -> usize {
        self.sizes[self.trial.as_ref().map_or(self.at, |trial| trial.at)]
    }

    /// A run of `batch` pictures took so many seconds.
    pub(crate) fn ran(&mut self, batch: usize, seconds: f64) {
        if batch != self.batch {
            // Now and then another number of pictures is no reason to begin anew.
            self.others += 1;
            if self.batch == 0 || self.others > REMEMBERED {
                (self.batch, self.others) = (batch, 0);
                (self.usual, self.trial) = (None, None);
                self.recent.clear();
            }
            return;
        }
        self.others = 0;
        match self.trial.take() {
            Some(trial) => self.tried(trial, seconds),
            None => self.worked(seconds),
        }
    }

    fn worked(&mut self, seconds: f64) {
        self.fewer.since = self.fewer.since.saturating_add(1);
        self.more.since = self.more.since.saturating_add(1);
        if self.recent.len() == REMEMBERED {
            self.recent.remove(0);
        }
        self.recent.push(seconds);
        if self.recent.len() < LAST {
            return;
        }
        let last = median(&self.recent[self.recent.len() - LAST..]);
        if self.usual.is_some_and(|usual| last > MUCH * usual) {
            // A neighbour, most likely. What was learnt before is of another machine, so to say.
            self.recent.drain(..self.recent.len() - LAST);
            self.usual = None;
            (self.fewer, self.more) = (Patience::NEW, Patience::NEW);
            self.fewer.since = SHORTEST_WAIT;
        } else if self.usual.is_none() && self.recent.len() == REMEMBERED {
            self.usual = Some(median(&self.recent));
        }
        let ready = |patience: &Patience| patience.since >= patience.wait;
        let next = if ready(&self.fewer) && self.at > 0 {
            self.fewer.since = 0;
            self.at.saturating_sub(self.fewer.step)
        } else if ready(&self.more) && self.at + 1 < self.sizes.len() {
            self.more.since = 0;
            (self.at + self.more.step).min(self.sizes.len() - 1)
        } else {
            return;
        };
        self.trial = Some(Trial {
            at: next,
            paid: false,
            seconds: Vec::new(),
        });
    }

    fn tried(&mut self, mut trial: Trial, seconds: f64) {
        let now = median(&self.recent);
        let hopeless = seconds > MUCH * now;
        if !trial.paid {
            trial.paid = true;
            self.trial = Some(trial);
            return;
        }
        trial.seconds.push(seconds);
        if !hopeless && trial.seconds.len() < TRIED {
            self.trial = Some(trial);
        } else if !hopeless && median(&trial.seconds) < WORTH * now {
            self.at = trial.at;
            self.recent = trial.seconds;
            self.usual = None;
            (self.fewer, self.more) = (Patience::NEW, Patience::NEW);
        } else if trial.at < self.at {
            self.fewer.was_in_vain();
        } else {
            self.more.was_in_vain();
        }
    }
}

/// Of one to [`REMEMBERED`].
fn median(values: &[f64]) -> f64 {
    let mut sorted = [0.0; REMEMBERED];
    let sorted = &mut sorted[..values.len()];
    sorted.copy_from_slice(values);
    sorted.sort_by(f64::total_cmp);
    sorted[sorted.len() / 2]
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Milliseconds of a run by the number of threads, alone and beside a busy thread: `make bench` on two cores of a Zen 3,
    /// MobileNetV2 in f32.
    const ALONE: [f64; 2] = [17.6, 12.5];
    const BESIDE: [f64; 2] = [16.4, 43.2];

    /// Runs of a machine whose times lie a sixth around these, and its mean time.
    fn run(team: &mut Team, times: &[f64], runs: usize, state: &mut u32) -> f64 {
        let mut sum = 0.0;
        for _ in 0..runs {
            *state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            let noise = 1.0 + f64::from(*state >> 8) / f64::from(1 << 24) / 3.0 - 1.0 / 6.0;
            let seconds = 1e-3 * times[team.size() - 1] * noise;
            team.ran(1, seconds);
            sum += seconds;
        }
        1e3 * sum / runs as f64
    }

    #[test]
    fn neighbours_come_and_go() {
        for mut state in 0..50 {
            let mut team = Team::new(2);
            let mean = run(&mut team, &ALONE, 500, &mut state);
            assert!(mean < 1.05 * ALONE[1], "{mean}");
            // It is noticed within some runs, and trials cost little from then on.
            run(&mut team, &BESIDE, 15, &mut state);
            let mean = run(&mut team, &BESIDE, 1000, &mut state);
            assert!(mean < 1.06 * BESIDE[0], "{mean}");
            run(&mut team, &ALONE, 150, &mut state);
            let mean = run(&mut team, &ALONE, 500, &mut state);
            assert!(mean < 1.05 * ALONE[1], "{mean}");
        }
    }

    /// A network for which four of sixteen threads are the most that is worth while.
    #[test]
    fn the_best_of_many_is_found() {
        let times: Vec<f64> = (1..=16)
            .map(|threads| {
                let threads = f64::from(threads);
                20.0 / threads + 1.25 * threads
            })
            .collect();
        for mut state in 0..50 {
            let mut team = Team::new(16);
            assert_eq!(team.sizes, [1, 2, 3, 4, 6, 8, 12, 15, 16]);
            run(&mut team, &times, 400, &mut state);
            let mean = run(&mut team, &times, 500, &mut state);
            assert!(mean < 1.1 * times[3], "{mean} with {}", team.size());
        }
    }

    #[test]
    fn batches_are_compared_with_their_like() {
        let mut team = Team::new(4);
        assert_eq!(team.sizes, [1, 2, 3, 4]);
        // Eight pictures take longer than one, and that is nothing new.
        for round in 0..200 {
            team.ran(1, 0.01);
            if round % 3 == 0 {
                team.ran(8, 0.08);
            }
            assert_eq!(team.at, 3);
        }
        let mut one = Team::new(1);
        for _ in 0..200 {
            one.ran(1, 0.01);
            assert_eq!(one.size(), 1);
        }
        assert_eq!(Team::new(0).size(), 1);
    }
}

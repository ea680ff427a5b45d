//! How many threads compute together: as many as make a run fastest at the moment.
//!
//! libtorch's threads wait for each other after every layer. Alone on the machine, more of them are faster; where a
//! decoder keeps one of the cores busy, all wait for the one that shares it, and fewer are. No one number is right for both,
//! and other programs come and go; so now and then a run is tried with another number, and what is faster stays.

/// Runs that are remembered, and as many as say what is usual.
const REMEMBERED: usize = 8;
/// So many last runs, more than half of which must have changed.
const LAST: usize = 4;
/// Runs of a trial; one before them, which meets threads that sleep, does not count.
const TRIED: usize = 3;
/// A trial is kept if its runs take less than this share of the time.
const WORTH: f64 = 0.95;
/// So many times as long as usual: something has changed. In a trial: not worth another run.
const MUCH: f64 = 1.5;
/// Runs from one trial in a direction to the next: twice as many whenever it was in vain.
const SHORTEST_WAIT: u32 = 15;
/// Then trials of what is three times as slow cost some hundredths, beside what bringing weights into another order costs.
const LONGEST_WAIT: u32 = 120;
/// How far trials go, in turn: a small step may show too little.
const STEPS: [usize; 3] = [1, 2, 4];

/// Chooses the number of threads for runs of an engine.
#[derive(Debug)]
pub(crate) struct Team {
    /// That can be chosen, from 1 on.
    sizes: Vec<usize>,
    /// The chosen one.
    at: usize,
    /// Seconds a picture of the last runs.
    recent: Vec<f64>,
    /// The same while nothing had changed.
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
    /// Trials in vain, one after the other.
    vain: usize,
}

impl Patience {
    const NEW: Patience = Patience {
        since: 0,
        wait: SHORTEST_WAIT,
        vain: 0,
    };

    fn was_in_vain(&mut self) {
        self.wait = (2 * self.wait).min(LONGEST_WAIT);
        self.vain += 1;
    }

    fn is_over(&self) -> bool {
        self.since >= self.wait
    }

    /// Sizes to go, in a trial that begins now. The `other` direction waits for some runs at least.
    fn begin(&mut self, other: &mut Patience) -> usize {
        self.since = 0;
        other.since = other.since.min(other.wait / 2);
        STEPS[self.vain % STEPS.len()]
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
        let seconds = seconds / batch.max(1) as f64;
        match self.trial.take() {
            Some(trial) => self.tried(trial, seconds),
            None => self.worked(seconds),
        }
    }

    /// A run failed: if it was one of a trial, that is over.
    pub(crate) fn failed(&mut self) {
        if let Some(trial) = self.trial.take() {
            self.was_in_vain(&trial);
        }
    }

    fn was_in_vain(&mut self, trial: &Trial) {
        if trial.at < self.at {
            self.fewer.was_in_vain();
        } else {
            self.more.was_in_vain();
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
        } else if self.recent.len() == REMEMBERED {
            let median = median(&self.recent);
            self.usual = Some(self.usual.map_or(median, |usual| usual.min(median)));
        }
        let most = self.sizes.len() - 1;
        let next = if self.at > 0 && self.fewer.is_over() {
            self.at.saturating_sub(self.fewer.begin(&mut self.more))
        } else if self.at < most && self.more.is_over() {
            (self.at + self.more.begin(&mut self.fewer)).min(most)
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
        } else {
            self.was_in_vain(&trial);
        }
    }
}

/// Of one to [`REMEMBERED`]; of two in the middle, the smaller one, since what disturbs a run makes it longer.
fn median(values: &[f64]) -> f64 {
    let mut sorted = [0.0; REMEMBERED];
    let sorted = &mut sorted[..values.len()];
    sorted.copy_from_slice(values);
    sorted.sort_by(f64::total_cmp);
    sorted[(sorted.len() - 1) / 2]
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Milliseconds of a run by the number of threads, alone and beside a busy thread: MobileNetV2 in
    /// docs/performance-avx2.md as it was at baa78f1.
    const ALONE: [f64; 2] = [17.2, 12.4];
    const BESIDE: [f64; 2] = [17.8, 36.9];

    /// Runs of a machine whose times lie a sixth around these, and its mean time. The first run after a change takes twice as
    /// long; of others, one in ten is hit by something (`hiccup` times as long).
    fn run(team: &mut Team, times: &[f64], hiccup: f64, runs: usize, state: &mut u32) -> f64 {
        let (mut sum, mut before) = (0.0, team.size());
        let mut random = || {
            *state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            f64::from(*state >> 8) / f64::from(1 << 24)
        };
        for _ in 0..runs {
            let noise = 1.0 + random() / 3.0 - 1.0 / 6.0;
            let hit = if random() < 0.1 { hiccup } else { 1.0 };
            let changed = if team.size() == before { 1.0 } else { 2.0 };
            before = team.size();
            let seconds = 1e-3 * times[before - 1] * noise * hit * changed;
            team.ran(1, seconds);
            sum += seconds;
        }
        1e3 * sum / runs as f64
    }

    #[test]
    fn neighbours_come_and_go() {
        for mut state in 0..50 {
            let mut team = Team::new(2);
            let mut run = |times, runs| run(&mut team, times, 1.0, runs, &mut state);
            run(&ALONE, 150);
            let mean = run(&ALONE, 1000);
            assert!(mean < 1.1 * ALONE[1], "{mean}");
            // It is noticed within some runs, and trials cost little from then on.
            run(&BESIDE, 20);
            let mean = run(&BESIDE, 1000);
            assert!(mean < 1.2 * BESIDE[0], "{mean}");
            run(&ALONE, 150);
            let mean = run(&ALONE, 1000);
            assert!(mean < 1.1 * ALONE[1], "{mean}");
        }
    }

    /// Where a tenth of the runs takes one and a half times more, all take 1.15 times as long; trials cost a tenth at most, over many
    /// machines.
    #[test]
    fn hiccups_change_little() {
        let mean = |mut state| run(&mut Team::new(2), &ALONE, 2.5, 3000, &mut state);
        let mean = (0..50).map(mean).sum::<f64>() / 50.0;
        assert!(mean < 1.1 * 1.15 * ALONE[1], "{mean}");
    }

    /// A network for which four of sixteen threads are the most that is worth while; and one that is slow as soon as eight cores that
    /// others use are waited for.
    #[test]
    fn the_best_of_many_is_found() {
        let threads = || (1..=16).map(f64::from);
        let smooth: Vec<f64> = threads().map(|n| 20.0 / n + 1.25 * n).collect();
        let jumping: Vec<f64> = threads()
            .map(|n| if n > 8.0 { 60.0 / n } else { 20.0 / n })
            .collect();
        for (times, best) in [(smooth, 4), (jumping, 8)] {
            for mut state in 0..50 {
                let mut team = Team::new(16);
                assert_eq!(team.sizes, [1, 2, 3, 4, 6, 8, 12, 15, 16]);
                run(&mut team, &times, 1.0, 1500, &mut state);
                let mean = run(&mut team, &times, 1.0, 1000, &mut state);
                assert!(mean < 1.25 * times[best - 1], "{mean} with {}", team.size());
            }
        }
    }

    #[test]
    fn batches_of_all_sizes_count() {
        let mut team = Team::new(2);
        let mut feed = |milliseconds: f64, runs: usize| {
            (0..runs).for_each(|at| {
                let batch = 1 + at % 7;
                let alone = if team.size() == 2 { milliseconds } else { 17.0 };
                team.ran(batch, 1e-3 * alone * batch as f64);
            });
            (team.at, team.usual)
        };
        let (at, usual) = feed(12.0, 100);
        assert_eq!(at, 1);
        assert!(usual.is_some_and(|usual| (usual - 0.012).abs() < 1e-9));
        assert_eq!(feed(40.0, 12).0, 0);
    }

    #[test]
    fn a_run_that_fails_ends_a_trial() {
        let mut team = Team::new(2);
        while team.size() == 2 {
            team.ran(1, 0.01);
        }
        team.failed();
        assert_eq!((team.size(), team.fewer.vain), (2, 1));
        team.failed();
        assert_eq!(team.fewer.vain, 1);
    }

    #[test]
    fn one_thread_stays_alone() {
        let mut one = Team::new(1);
        for _ in 0..200 {
            one.ran(1, 0.01);
            assert_eq!(one.size(), 1);
        }
        assert_eq!(Team::new(0).size(), 1);
    }
}

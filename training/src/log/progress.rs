//! How far the run is: a bar on the terminal, or a line now and then where there is none.

use std::time::{Duration, Instant};

use indicatif::{FormattedDuration, ProgressBar, ProgressStyle};

use super::StepRecord;

/// Between two lines where there is no terminal.
const INTERVAL: Duration = Duration::from_secs(30);

/// Shows the steps of a run on standard error.
#[derive(Debug)]
pub struct Progress {
    bar: ProgressBar,
    /// When the run ends even if steps are left.
    deadline: Option<Instant>,
    /// Without a terminal: when the last line was written.
    lines: Option<Pace>,
    /// Without a terminal: what the next line would be.
    pending: Option<String>,
}

/// Says when it is time for another line.
#[derive(Debug, Default)]
struct Pace {
    last: Option<Instant>,
}

impl Pace {
    fn due(&mut self, now: Instant) -> bool {
        let due = self.last.is_none_or(|last| now - last >= INTERVAL);
        if due {
            self.last = Some(now);
        }
        due
    }
}

impl Progress {
    /// For a run of `total` steps, of which `done` were done before; it ends at `deadline` at the latest.
    pub fn new(total: u64, done: u64, deadline: Option<Instant>) -> Progress {
        let bar = ProgressBar::new(total);
        if let Ok(style) = ProgressStyle::with_template("{bar:10} {pos}/{len} {prefix}\n{wide_msg}")
        {
            bar.set_style(style);
        }
        bar.set_position(done);
        // Steps of an earlier process took no time in this one.
        bar.reset_eta();
        let lines = bar.is_hidden().then(Pace::default);
        Progress {
            bar,
            deadline,
            lines,
            pending: None,
        }
    }

    /// Shows a step.
    pub fn update(&mut self, record: &StepRecord) {
        self.bar.set_position(record.step);
        let now = Instant::now();
        let left = left(self.bar.eta(), self.deadline, now);
        let (speed, numbers) = (speed(record, left), numbers(record));
        let Some(pace) = &mut self.lines else {
            self.bar.set_prefix(speed);
            self.bar.set_message(numbers);
            return;
        };
        let total = self.bar.length().unwrap_or_default();
        let line = format!("step {}/{total}, {speed}, {numbers}", record.step);
        if pace.due(now) {
            eprintln!("{line}");
            self.pending = None;
        } else {
            self.pending = Some(line);
        }
    }

    /// Writes a line of its own, above the bar.
    pub fn say(&self, message: &str) {
        self.bar.suspend(|| eprintln!("{message}"));
    }

    /// Takes the bar away; without a terminal the last step gets its line.
    pub fn finish(self) {
        self.bar.finish_and_clear();
        if let Some(line) = self.pending {
            eprintln!("{line}");
        }
    }
}

/// The time left: until the last step, or until the deadline if that comes first.
fn left(estimate: Duration, deadline: Option<Instant>, now: Instant) -> Option<Duration> {
    let until = deadline.map(|deadline| deadline.saturating_duration_since(now));
    // Before there is an estimate, it is 0.
    let estimate = Some(estimate).filter(|estimate| !estimate.is_zero());
    estimate.into_iter().chain(until).min()
}

/// Where the run is and how fast.
fn speed(record: &StepRecord, left: Option<Duration>) -> String {
    let mut text = format!(
        "epoch {}, {:.1} images/s",
        record.epoch, record.images_per_second
    );
    if let Some(left) = left {
        // Fractions of a second would be shown, too.
        let seconds = Duration::from_secs(left.as_secs());
        text += &format!(", {} left", FormattedDuration(seconds));
    }
    text + &format!(", waiting for data {:.0} %", 100.0 * record.data_wait_share)
}

/// What the step came to.
fn numbers(record: &StepRecord) -> String {
    let losses = [
        ("clean", record.classifier_clean_loss),
        ("masked", record.classifier_masked_loss),
        ("mapping", record.mapping_loss),
    ];
    let mut text = "loss".to_owned();
    for (name, loss) in losses {
        if let Some(loss) = loss {
            text += &format!(" {name} {loss:.3}");
        }
    }
    // What a run without a mapping does not have is left out.
    if let (Some(mask), Some(confused), Some(lambda)) =
        (record.mask_mean, record.confused_rate, record.lambda)
    {
        text += &format!(
            ", mask {:.0} %, confused {:.0} %, lambda {lambda:.3}",
            100.0 * mask,
            100.0 * confused
        );
    } else if let Some(accuracy) = record.accuracy_clean {
        text += &format!(", right {:.0} %", 100.0 * accuracy);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn a_step_in_words() {
        let mut record = StepRecord {
            epoch: 3,
            images_per_second: 12.34,
            data_wait_share: 0.021,
            classifier_clean_loss: Some(1.5),
            mapping_loss: Some(-0.25),
            mask_mean: Some(0.316),
            confused_rate: Some(0.45),
            lambda: Some(10.0),
            ..StepRecord::default()
        };
        assert_eq!(
            speed(&record, Some(Duration::from_millis(3_723_900))),
            "epoch 3, 12.3 images/s, 01:02:03 left, waiting for data 2 %"
        );
        assert_eq!(
            speed(&record, None),
            "epoch 3, 12.3 images/s, waiting for data 2 %"
        );
        assert_eq!(
            numbers(&record),
            "loss clean 1.500 mapping -0.250, mask 32 %, confused 45 %, lambda 10.000"
        );
        record.classifier_masked_loss = Some(f64::NAN);
        let text = numbers(&record);
        assert!(text.contains("masked NaN mapping"), "{text}");
    }

    #[test]
    fn the_earlier_end_counts() {
        let now = Instant::now();
        let deadline = Some(now + 10 * SECOND);
        assert_eq!(left(Duration::ZERO, None, now), None);
        assert_eq!(left(5 * SECOND, None, now), Some(5 * SECOND));
        assert_eq!(left(5 * SECOND, deadline, now), Some(5 * SECOND));
        assert_eq!(left(99 * SECOND, deadline, now), Some(10 * SECOND));
        assert_eq!(left(Duration::ZERO, deadline, now), Some(10 * SECOND));
        assert_eq!(left(SECOND, Some(now), now + SECOND), Some(Duration::ZERO));
    }

    #[test]
    fn lines_come_now_and_then() {
        let start = Instant::now();
        let mut pace = Pace::default();
        let due = [0, 1, 29, 30, 59, 61].map(|seconds| pace.due(start + seconds * SECOND));
        assert_eq!(due, [true, false, false, true, false, true]);
    }
}

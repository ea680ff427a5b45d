//! How far it is: a bar on a terminal, a line every few seconds elsewhere.

use std::io::IsTerminal;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};

/// Between two lines where there is no terminal.
const LINE_INTERVAL: Duration = Duration::from_secs(5);
/// A full bar; shares of it are shown.
const FULL: u64 = 1000;

/// Shows progress on standard error.
pub struct Progress {
    task: &'static str,
    begin: Instant,
    last_line: Instant,
    bar: Option<ProgressBar>,
}

impl Progress {
    /// Shows that `task` has begun.
    pub fn new(task: &'static str) -> Progress {
        let now = Instant::now();
        let bar = std::io::stderr()
            .is_terminal()
            .then(|| ProgressBar::new(FULL).with_prefix(task));
        if bar.is_none() {
            eprintln!("{task} ...");
        }
        Progress {
            task,
            begin: now,
            last_line: now,
            bar,
        }
    }

    /// `frames` are done, which is this `share` of all where that is known.
    pub fn update(&mut self, frames: u64, share: Option<f64>) {
        let rate = frames as f64 / self.begin.elapsed().as_secs_f64().max(1e-3);
        let state = format!("{frames} frames, {rate:.1}/s");
        let share = share.map(|share| share.clamp(0.0, 1.0));
        if let Some(bar) = &self.bar {
            let template = match share {
                Some(_) => "{prefix} {wide_bar} {percent:>3} % · {msg}",
                None => "{prefix} {spinner} {msg}",
            };
            if let Ok(style) = ProgressStyle::with_template(template) {
                bar.set_style(style);
            }
            bar.set_position((share.unwrap_or(0.0) * FULL as f64) as u64);
            bar.set_message(state);
            bar.tick();
        } else if self.last_line.elapsed() >= LINE_INTERVAL {
            self.last_line = Instant::now();
            let share = share.map_or(String::new(), |share| format!("{:.0} %, ", 100.0 * share));
            eprintln!("{}: {share}{state}", self.task);
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

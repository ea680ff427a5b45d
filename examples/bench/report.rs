//! The rounds, summed up.

use std::fmt::Write;

use serde::Serialize;

use crate::Arguments;
use crate::contestant::{Contestant, Round};

/// All rounds so far.
pub struct Report {
    title: String,
    frames: f64,
    pipeline: Vec<Round>,
    bare_loop: Vec<Round>,
}

/// The numbers.
#[derive(Debug, Serialize)]
pub struct Summary {
    title: String,
    pipeline: Side,
    bare_loop: Side,
    /// Frames/s of the pipeline over those of the bare loop, round by round.
    ratio: Spread,
}

/// Of one of the two.
#[derive(Debug, Serialize)]
struct Side {
    frames_per_second: Spread,
    /// After the last round.
    resident_mib: f64,
    peak_mib: f64,
}

/// Of a number over rounds.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Spread {
    /// The middle one.
    pub median: f64,
    /// The least.
    pub min: f64,
    /// The largest.
    pub max: f64,
}

impl Report {
    /// No rounds yet.
    pub fn new(arguments: &Arguments, bare_loop: &Contestant) -> Report {
        let ready = &bare_loop.ready;
        let weights = if arguments.resnet50 {
            " with random weights"
        } else {
            ""
        };
        let Arguments {
            width,
            height,
            format,
            rounds,
            frames,
            ..
        } = arguments;
        let title = format!(
            "{}{weights}, {}; {width}x{height} {format}; {rounds} rounds of {frames} frames, in turns",
            ready.network, ready.engine
        );
        Report {
            title,
            frames: f64::from(*frames),
            pipeline: Vec::new(),
            bare_loop: Vec::new(),
        }
    }

    /// Adds a round of both.
    pub fn add(&mut self, pipeline: Round, bare_loop: Round) {
        self.pipeline.push(pipeline);
        self.bare_loop.push(bare_loop);
    }

    /// The last round in words.
    pub fn last_round(&self) -> String {
        let rate = |rounds: &[Round]| self.rates(rounds).last().copied().unwrap_or_default();
        let (ours, bare) = (rate(&self.pipeline), rate(&self.bare_loop));
        format!(
            "pipeline {ours:.2}, bare loop {bare:.2} frames/s, ratio {:.3}",
            ours / bare
        )
    }

    /// The numbers.
    pub fn summary(&self) -> Summary {
        Summary {
            title: self.title.clone(),
            pipeline: self.side(&self.pipeline),
            bare_loop: self.side(&self.bare_loop),
            ratio: self.ratio(),
        }
    }

    /// Frames/s of the pipeline over those of the bare loop, round by round.
    pub fn ratio(&self) -> Spread {
        let pairs = self.pipeline.iter().zip(&self.bare_loop);
        let ratios = pairs.map(|(ours, bare)| bare.seconds / ours.seconds);
        Spread::of(ratios.collect())
    }

    /// The numbers for people.
    pub fn table(&self) -> String {
        let Summary {
            title,
            pipeline,
            bare_loop,
            ratio,
        } = self.summary();
        let mut text = format!("{title}\n\n");
        let head = ["", "frames/s", "min", "max", "RSS MiB", "peak MiB"];
        // Writing to a string cannot fail.
        let _ = writeln!(
            text,
            "{:<11}{:>10}{:>9}{:>9}{:>10}{:>10}",
            head[0], head[1], head[2], head[3], head[4], head[5]
        );
        for (name, side) in [("bare loop", &bare_loop), ("pipeline", &pipeline)] {
            let Spread { median, min, max } = side.frames_per_second;
            let (resident, peak) = (side.resident_mib, side.peak_mib);
            let _ = writeln!(
                text,
                "{name:<11}{median:>10.2}{min:>9.2}{max:>9.2}{resident:>10.1}{peak:>10.1}"
            );
        }
        let Spread { median, min, max } = ratio;
        let _ = writeln!(
            text,
            "\npipeline / bare loop, median over rounds: {median:.3} ({min:.3} to {max:.3})"
        );
        text
    }

    fn side(&self, rounds: &[Round]) -> Side {
        let mib = |kib: Option<u64>| kib.unwrap_or_default() as f64 / 1024.0;
        Side {
            frames_per_second: Spread::of(self.rates(rounds)),
            resident_mib: mib(rounds.last().map(|round| round.resident_kib)),
            peak_mib: mib(rounds.last().map(|round| round.peak_kib)),
        }
    }

    fn rates(&self, rounds: &[Round]) -> Vec<f64> {
        rounds
            .iter()
            .map(|round| self.frames / round.seconds)
            .collect()
    }
}

impl Spread {
    /// Of these values.
    pub fn of(mut values: Vec<f64>) -> Spread {
        values.sort_by(f64::total_cmp);
        let middle = values.len() / 2;
        let median = match values.len() {
            0 => f64::NAN,
            length if length % 2 == 1 => values[middle],
            _ => 0.5 * (values[middle - 1] + values[middle]),
        };
        Spread {
            median,
            min: values.first().copied().unwrap_or(f64::NAN),
            max: values.last().copied().unwrap_or(f64::NAN),
        }
    }

    /// "4.21 (4.10 – 4.80)".
    pub fn text(&self, digits: usize) -> String {
        let Spread { median, min, max } = self;
        format!("{median:.digits$} ({min:.digits$} – {max:.digits$})")
    }
}

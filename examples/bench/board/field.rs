//! All programs of one table, and their times.

use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use anyhow::{Result, ensure};

use super::rows::{
    Network, OPENVINO_PYTHON, Program, ROWS, Row, Team, WAITING, Waiting, fast_precision,
};
use super::{Effort, Files};
use crate::Arguments;
use crate::contestant::{Contestant, Kind, on_cores, own_program};
use crate::report::Spread;

/// The programs of one table.
pub struct Field {
    /// In the order of [`ROWS`].
    pub entries: Vec<Entry>,
    batch: usize,
}

/// One of them.
pub struct Entry {
    /// Who.
    pub row: Row,
    /// What it says of itself; or why it does not run.
    pub ready: Result<String, String>,
    contestant: Option<Contestant>,
    /// Batches a round.
    batches: u32,
    /// Milliseconds a picture, by round.
    quiet: Vec<f64>,
    /// The same beside a busy thread.
    busy: Vec<f64>,
    /// Resident memory after the last round.
    pub resident_mib: f64,
}

impl Entry {
    fn new(row: Row, contestant: Result<Contestant>) -> Entry {
        let ready = match &contestant {
            Ok(contestant) => Ok(contestant.ready.engine.clone()),
            Err(error) => Err(format!("{error:#}")),
        };
        Entry {
            row,
            ready,
            contestant: contestant.ok(),
            batches: 1,
            quiet: Vec::new(),
            busy: Vec::new(),
            resident_mib: f64::NAN,
        }
    }

    /// Milliseconds a picture.
    pub fn quiet(&self) -> Option<Spread> {
        (!self.quiet.is_empty()).then(|| Spread::of(self.quiet.clone()))
    }

    /// Milliseconds a picture beside a busy thread.
    pub fn busy(&self) -> Option<Spread> {
        (!self.busy.is_empty()).then(|| Spread::of(self.busy.clone()))
    }
}

impl Field {
    /// Starts all that can be started.
    pub fn start(
        arguments: &Arguments,
        network: Network,
        files: &Files,
        batch: usize,
        pythons: &[(&'static str, PathBuf)],
    ) -> Field {
        let entries = ROWS.map(|row| {
            if let Some(reason) = row.left_out() {
                return Entry::new(row, Err(anyhow::anyhow!(reason)));
            }
            let contestant = match row.program {
                Program::Ours(engine) => {
                    let arguments = Arguments {
                        threads: threads(arguments),
                        ..arguments.clone()
                    };
                    ours(&arguments, files, batch, engine, row.precision)
                }
                Program::Waiting(waiting) => waits(arguments, files, waiting),
                Program::Python(program, package) => {
                    let python = pythons.iter().find(|(has, _)| *has == package);
                    match python {
                        Some((_, python)) => {
                            let mut command = on_cores(&arguments.cores, python.as_os_str());
                            command.arg("-W").arg("ignore");
                            command.arg(concat!(
                                env!("CARGO_MANIFEST_DIR"),
                                "/bench/contestant/elsewhere.py"
                            ));
                            command.args(["--program", program, "--precision", row.precision]);
                            command.args(["--network", network.word()]);
                            command.args(["--batch", &batch.to_string()]);
                            command.args(["--threads", &threads(arguments).to_string()]);
                            command.arg("--model").arg(&files.onnx);
                            Contestant::spawn(command, program)
                        }
                        None => Err(anyhow::anyhow!("absent: no --python has {package}")),
                    }
                }
            };
            Entry::new(row, contestant)
        });
        Field {
            entries: entries.into(),
            batch,
        }
    }

    /// Starts libtorch with each way of waiting.
    pub fn waiting(arguments: &Arguments, files: &Files, ways: usize) -> Field {
        let entries = WAITING.iter().take(ways).map(|waiting| {
            let row = Row {
                program: Program::Waiting(waiting),
                precision: fast_precision(),
            };
            Entry::new(row, waits(arguments, files, waiting))
        });
        Field {
            entries: entries.collect(),
            batch: 1,
        }
    }

    /// Runs all rounds.
    pub fn measure(
        &mut self,
        effort: &Effort,
        neighbour: bool,
        arguments: &Arguments,
    ) -> Result<()> {
        let runs = self.entries.iter().any(|entry| entry.contestant.is_some());
        ensure!(
            runs,
            "no engine can be used; `casm info --engines` says why"
        );
        for entry in &mut self.entries {
            if let Some(contestant) = &mut entry.contestant {
                let seconds = contestant.round(2)?.seconds / 2.0;
                entry.batches = (effort.seconds / seconds).clamp(1.0, 1000.0) as u32;
            }
        }
        let conditions: &[bool] = if neighbour { &[false, true] } else { &[false] };
        // One after the other, because what adapts itself needs some time.
        for &busy in conditions {
            for round in 0..effort.rounds {
                let _neighbour = busy.then(|| Neighbour::start(arguments)).transpose()?;
                let count = self.entries.len();
                // Every round begins with another one.
                for place in 0..count {
                    let entry = &mut self.entries[(place + round) % count];
                    let Some(contestant) = &mut entry.contestant else {
                        continue;
                    };
                    let done = contestant.round(entry.batches)?;
                    let pictures = f64::from(entry.batches) * self.batch as f64;
                    let times = if busy {
                        &mut entry.busy
                    } else {
                        &mut entry.quiet
                    };
                    times.push(1e3 * done.seconds / pictures);
                    entry.resident_mib = done.resident_kib as f64 / 1024.0;
                }
                let beside = if busy { ", busy" } else { "" };
                eprintln!("  round {} of {}{beside}", round + 1, effort.rounds);
            }
        }
        // Ended, so that the next table's programs have the memory.
        self.entries
            .iter_mut()
            .for_each(|entry| entry.contestant = None);
        Ok(())
    }

    /// Speed of one as a multiple of another's, round by round.
    pub fn ratio(&self, of: Row, to: Row) -> Option<Spread> {
        let times = |row: Row| {
            let entry = self.entries.iter().find(|entry| entry.row == row);
            entry.map_or(&[][..], |entry| &entry.quiet)
        };
        let pairs = times(of).iter().zip(times(to));
        let ratios: Vec<f64> = pairs.map(|(of, to)| to / of).collect();
        (!ratios.is_empty()).then(|| Spread::of(ratios))
    }

    /// Whom the others are compared with.
    pub fn reference() -> Row {
        Row {
            program: OPENVINO_PYTHON,
            precision: fast_precision(),
        }
    }
}

fn ours(
    arguments: &Arguments,
    files: &Files,
    batch: usize,
    engine: &str,
    precision: &str,
) -> Result<Contestant> {
    let arguments = Arguments {
        model: Some(files.checkpoint.clone()),
        engine: engine.parse()?,
        precision: precision.to_owned(),
        batch,
        device: "cpu".to_owned(),
        ..arguments.clone()
    };
    Contestant::start(Kind::BareLoop, &arguments)
}

fn waits(arguments: &Arguments, files: &Files, waiting: &Waiting) -> Result<Contestant> {
    let all = threads(arguments);
    let arguments = Arguments {
        spin: waiting.spin.to_owned(),
        threads: match waiting.team {
            Team::Chosen => 0,
            Team::All => all,
            Team::Fewer => all.saturating_sub(1).max(1),
        },
        ..arguments.clone()
    };
    ours(&arguments, files, 1, "torch", fast_precision())
}

/// As many for everyone.
fn threads(arguments: &Arguments) -> u32 {
    match arguments.threads {
        0 => std::thread::available_parallelism().map_or(1, |cores| cores.get() as u32),
        threads => threads,
    }
}

/// A loop on the same cores, until it is dropped.
struct Neighbour(Child);

impl Neighbour {
    fn start(arguments: &Arguments) -> Result<Neighbour> {
        let mut command: Command = own_program(arguments)?;
        command
            .args(["--contestant", "neighbour"])
            .stdin(Stdio::null());
        Ok(Neighbour(command.spawn()?))
    }
}

impl Drop for Neighbour {
    fn drop(&mut self) {
        // Fails if it has ended already, which is as well.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

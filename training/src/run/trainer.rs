//! The loop of a run: batches in; steps, logs, scores and snapshots out.

mod keeping;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use casm::Header;
use serde::{Deserialize, Serialize};
use tch::Device;

use super::collapse::CollapseWatch;
use super::config::{CourseConfig, StopConfig, WatchConfig, iterations_per_epoch};
use super::feed::Feed;
use super::folder::RunFolder;
use super::learner::{Learner, State};
use super::message::{describe, report};
use super::score::Scorer;
use super::validation::Validator;
use crate::alternating::Batch;
use crate::dataset::Mixture;
use crate::log::{CsvLog, EventFile, Interrupt, Progress, Stopwatch};
use crate::snapshot::SnapshotStore;
use crate::thinning::Place;

/// Steps over which speed is averaged.
const SPEED_WINDOW: usize = 50;

/// A run with everything it needs.
#[derive(Debug)]
pub struct Trainer<L> {
    /// What learns.
    pub learner: L,
    course: CourseConfig,
    folder: RunFolder,
    watch: WatchConfig,
    device: Device,
    data: Arc<Mixture>,
    store: SnapshotStore,
    place: Place,
    best: Option<f64>,
    header: Header,
    scorer: Option<Scorer>,
    validator: Option<Validator>,
    saved: Option<(u64, PathBuf)>,
    /// Pictures that could not be read.
    rejected: usize,
}

/// The loop's own numbers in a snapshot.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Meta<M> {
    /// The step that comes next.
    place: Place,
    /// Lowest LE so far; of a classifier, lowest top-1 error.
    best: Option<f64>,
    learner: M,
}

/// How a run came to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// All epochs are done, or as many steps as asked for.
    Finished,
    /// The clock stopped it; it can be resumed.
    Stopped,
    /// Ctrl-C or SIGTERM stopped it; it can be resumed.
    Interrupted,
}

/// What a trainer is made of.
#[derive(Debug)]
pub struct Parts<L> {
    /// What learns, at the beginning of its run.
    pub learner: L,
    /// What every run has.
    pub course: CourseConfig,
    /// Where the run's files are.
    pub folder: RunFolder,
    /// How it is watched.
    pub watch: WatchConfig,
    /// Where it computes.
    pub device: Device,
    /// Where kept classifiers lie.
    pub history_device: Device,
    /// Its pictures, labelled with the network's classes.
    pub data: Arc<Mixture>,
    /// Of the checkpoints that the run writes.
    pub header: Header,
}

impl<L: Learner> Trainer<L> {
    /// Opens the run's folder; goes on from its latest snapshot if `resume`.
    ///
    /// # Errors
    /// The folder cannot be written, is in use, holds a run that is not to be resumed, or none to be; the
    /// pictures to evaluate on cannot be used.
    pub fn new(parts: Parts<L>, resume: bool) -> anyhow::Result<Trainer<L>> {
        let Parts {
            mut learner,
            course,
            folder,
            watch,
            device,
            history_device,
            data,
            header,
        } = parts;
        let (pictures, checksum) = (data.pictures(), data.checksum());
        anyhow::ensure!(
            (pictures, checksum) == (course.data.pictures, course.data.checksum),
            "the data is not that of the run any more: there are {pictures} pictures where the run has {}, \
             or other names; start a new run",
            course.data.pictures
        );
        let mut store = SnapshotStore::open(folder.path(), watch.keep)?;
        let mut place = Place {
            step: 0,
            epoch: 0,
            iteration: 0,
        };
        let (mut best, mut saved) = (None, None);
        if resume {
            let found = store.latest::<Meta<L::Meta>>(device, history_device)?;
            let found = found.with_context(|| {
                let path = folder.path().display();
                format!("'{path}' holds no snapshot to go on from; start the run again")
            })?;
            for problem in &found.passed_over {
                eprintln!("casm: {problem}; going on from the snapshot before");
            }
            let snapshot = found.snapshot;
            place = snapshot.meta.place;
            best = snapshot.meta.best;
            let state = State {
                meta: snapshot.meta.learner,
                tensors: snapshot.tensors,
                history: snapshot.history,
            };
            let unfit = || format!("snapshot '{}' cannot be used", found.path.display());
            learner.restore(state).with_context(unfit)?;
            saved = Some((place.step, found.path));
        } else if let Some(step) = store.steps()?.last() {
            bail!(
                "'{}' holds a run already, saved after step {step}; go on with --resume, or name another folder with --out",
                folder.path().display()
            );
        }
        let scorer = Scorer::new(&watch, &header)?;
        let validator = Validator::new(&watch, &header)?;
        Ok(Trainer {
            learner,
            course,
            folder,
            watch,
            device,
            data,
            store,
            place,
            best,
            header,
            scorer,
            validator,
            saved,
            rejected: 0,
        })
    }

    /// Steps in an epoch.
    pub fn steps_per_epoch(&self) -> u64 {
        let data = &self.course.data;
        let batch = data.batch as u64 * data.accumulate as u64;
        let batches = (self.data.pictures() as u64).div_ceil(batch);
        iterations_per_epoch(batches, data.epoch_share, data.compat)
    }

    /// Steps done so far.
    pub fn steps_done(&self) -> u64 {
        self.place.step
    }

    /// Pictures that could not be read in [`run`](Trainer::run).
    pub fn rejected(&self) -> usize {
        self.rejected
    }

    /// Runs until the last epoch's end, a limit, or an interrupt. The last state is always saved.
    ///
    /// # Errors
    /// Losses are no numbers any more (the last good snapshot is named), no picture can be read, the
    /// disk is full, libtorch fails.
    pub fn run(&mut self, stop: StopConfig, interrupt: &Interrupt) -> anyhow::Result<Outcome> {
        let per_epoch = self.steps_per_epoch();
        let whole = per_epoch * self.course.epochs;
        let total = stop.max_steps.map_or(whole, |steps| steps.min(whole));
        let deadline = match stop.max_minutes {
            Some(minutes) => {
                let time = Duration::try_from_secs_f64(60.0 * minutes);
                let end = time.ok().and_then(|time| Instant::now().checked_add(time));
                Some(end.context("--max-minutes must be a number from 0 that ends some day")?)
            }
            None => None,
        };
        let mut steps = CsvLog::open(&self.folder.steps(), self.place.step)?;
        let mut scores = CsvLog::open(&self.folder.scores(), self.place.step)?;
        let mut events = EventFile::create(self.folder.path(), self.place.step)?;
        let mut progress = Progress::new(total, self.place.step, deadline);
        let mut stopwatch = Stopwatch::start(SPEED_WINDOW);
        let data = Arc::clone(&self.data);
        let mut feed = Feed::new(data, &self.course, &self.watch, per_epoch, self.place)?;
        let mut collapse = CollapseWatch::default();
        let mut outcome = Outcome::Finished;
        if self.saved.is_none() {
            // So that a run that is killed early can go on as well.
            self.save()?;
        }
        while self.place.step < total {
            if interrupt.requested() {
                outcome = Outcome::Interrupted;
                break;
            }
            if deadline.is_some_and(|deadline| Instant::now() >= deadline) {
                outcome = Outcome::Stopped;
                break;
            }
            let batches = stopwatch.wait(|| feed.batches(self.place.step, self.device))?;
            let pictures: usize = batches.iter().map(Batch::len).sum();
            let mut record = if batches.is_empty() {
                // Not one picture of the step could be read; they are named at the end.
                None
            } else {
                let share = self.place.step as f64 / whole as f64;
                Some(self.learner.step(&batches, self.place, share)?)
            };
            stopwatch.lap(pictures as u64);
            if let Some(record) = &mut record {
                record.images_per_second = stopwatch.images_per_second();
                record.data_wait_share = stopwatch.data_wait_share();
                self.check(record)?;
                steps.append(record)?;
                events.append(record)?;
                progress.update(record);
                if let Some(warning) = collapse.see(record) {
                    progress.say(&warning);
                }
            }
            self.advance(per_epoch);
            let (evaluate, save) = (self.watch.evaluate_every, self.watch.snapshot_every);
            if evaluate > 0
                && (self.place.step.is_multiple_of(evaluate) || self.place.step == total)
                && let Some(score) = self.evaluate_or_save()?
            {
                progress.say(&describe(&score));
                scores.append(&score)?;
                events.append(&score)?;
                stopwatch.restart();
            }
            if save > 0 && self.place.step.is_multiple_of(save) {
                self.save()?;
            }
        }
        if outcome == Outcome::Interrupted {
            progress.say(Interrupt::MESSAGE);
        }
        progress.finish();
        self.save()?;
        // Also where the last snapshot was taken by a process that was killed right after it.
        self.write_model(&self.folder.model())?;
        let rejected = feed.rejected();
        report(&rejected);
        self.rejected = rejected.len();
        Ok(outcome)
    }

    fn advance(&mut self, per_epoch: u64) {
        self.place.step += 1;
        self.place.iteration += 1;
        if self.place.iteration >= per_epoch {
            self.place.iteration = 0;
            self.place.epoch += 1;
        }
    }
}

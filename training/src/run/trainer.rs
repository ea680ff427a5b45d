//! The loop of a run: batches in; steps, logs, scores and snapshots out.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use casm::checkpoint::{self, Storage};
use casm::network::Network;
use casm::{Header, torch_error};
use serde::{Deserialize, Serialize};
use tch::{Device, Kind, Tensor};

use super::config::{CourseConfig, StopConfig, WatchConfig, iterations_per_epoch};
use super::feed::Feed;
use super::folder::RunFolder;
use super::learner::{Learner, State};
use super::message::{describe, report};
use super::score::Scorer;
use super::validation::Validator;
use crate::alternating::Batch;
use crate::dataset::Mixture;
use crate::log::{CsvLog, EventFile, Interrupt, Progress, ScoreRecord, StepRecord, Stopwatch};
use crate::snapshot::{Snapshot, SnapshotStore, write_atomically};
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
    /// Somebody or the clock stopped it; it can be resumed.
    Stopped,
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
    pub data: Mixture,
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
                format!("'{path}' holds no snapshot to go on from; start the run again in another folder")
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
            data: Arc::new(data),
            store,
            place,
            best,
            header,
            scorer,
            validator,
            saved,
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
                Some(Instant::now() + time.context("--max-minutes must be a number from 0")?)
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
        let mut outcome = Outcome::Finished;
        while self.place.step < total {
            let late = deadline.is_some_and(|deadline| Instant::now() >= deadline);
            if late || interrupt.requested() {
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
        if interrupt.requested() {
            progress.say(Interrupt::MESSAGE);
        }
        progress.finish();
        self.save()?;
        // Also where the last snapshot was taken by a process that was killed right after it.
        self.write_model(&self.folder.model())?;
        report(&feed.rejected());
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

    fn check(&self, record: &StepRecord) -> anyhow::Result<()> {
        let numbers = [
            record.classifier_clean_loss,
            record.classifier_masked_loss,
            record.mapping_loss,
            record.gradient_norm,
        ];
        match numbers.into_iter().flatten().all(f64::is_finite) {
            true => Ok(()),
            false => Err(self.diverged("a loss")),
        }
    }

    fn diverged(&self, what: &str) -> anyhow::Error {
        let last = match &self.saved {
            Some((step, path)) => format!(
                "the last good snapshot, after step {step}, is '{}'",
                path.display()
            ),
            None => "there is no snapshot yet".to_owned(),
        };
        anyhow::anyhow!(
            "training has diverged: at step {} {what} is not a number any more; {last}; \
             start again with lower learning rates",
            self.place.step + 1
        )
    }

    /// [`evaluate`](Trainer::evaluate); should it fail, the steps so far are not lost.
    fn evaluate_or_save(&mut self) -> anyhow::Result<Option<ScoreRecord>> {
        let score = self.evaluate();
        if score.is_err() {
            self.save()?;
        }
        score
    }

    /// Scores the model on the pictures that were named for it, if any; keeps the best one.
    fn evaluate(&mut self) -> anyhow::Result<Option<ScoreRecord>> {
        let model = self.learner.model();
        let score = match (&self.scorer, &self.validator) {
            (Some(scorer), _) => scorer.score(&model, self.place, self.device)?,
            (None, Some(validator)) => validator.score(&model, self.place, self.device)?,
            (None, None) => return Ok(None),
        };
        let error = score
            .localization_error
            .or(score.top1.map(|right| 1.0 - right));
        if let Some(error) = error
            && self.best.is_none_or(|best| error < best)
        {
            self.best = Some(error);
            self.write_model(&self.folder.best())?;
        }
        Ok(Some(score))
    }

    /// Saves the run's state and its model.
    fn save(&mut self) -> anyhow::Result<()> {
        if self
            .saved
            .as_ref()
            .is_some_and(|(step, _)| *step == self.place.step)
        {
            return Ok(());
        }
        let state = self.learner.state()?;
        // What is ruined must not take the place of what is good.
        if !all_finite(state.tensors.values())? {
            return Err(self.diverged("a weight"));
        }
        let path = self.store.save(&Snapshot {
            step: self.place.step,
            meta: Meta {
                place: self.place,
                best: self.best,
                learner: state.meta,
            },
            tensors: state.tensors,
            history: state.history,
        })?;
        self.saved = Some((self.place.step, path));
        self.write_model(&self.folder.model())
    }

    fn write_model(&self, path: &std::path::Path) -> anyhow::Result<()> {
        let mut header = self.header.clone();
        let data = &self.course.data;
        header.provenance.notes = format!(
            "{} steps of {} pictures, seed {}, from {}",
            self.place.step,
            data.batch * data.accumulate,
            self.course.seed,
            self.course.start
        );
        let network: Network = header.network.network();
        let wanted: BTreeSet<String> = network.parameters().into_iter().map(|p| p.name).collect();
        let parameters = self.learner.model().filtered(|name| wanted.contains(name));
        let bytes = checkpoint::serialize(&header, &parameters.to_named()?, Storage::F32)?;
        write_atomically(path, |file| file.write_all(&bytes))?;
        Ok(())
    }
}

/// Whether all numbers of all tensors are numbers.
fn all_finite<'a>(tensors: impl Iterator<Item = &'a Tensor>) -> anyhow::Result<bool> {
    let sums = tensors
        .map(|tensor| tensor.f_abs()?.f_max()?.f_to_kind(Kind::Float))
        .collect::<Result<Vec<_>, _>>();
    let finite = |sums: &[Tensor]| {
        Tensor::f_stack(sums, 0)?
            .f_isfinite()?
            .f_all()?
            .f_int64_value(&[])
    };
    let finite = sums.and_then(|sums| finite(&sums)).map_err(torch_error)?;
    Ok(finite != 0)
}

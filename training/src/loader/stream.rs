//! Batches in order, made ahead of their use.

use std::collections::{BTreeMap, VecDeque};
use std::ops::Range;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};

use super::LoaderConfig;
use super::batch::{Batch, Pending};
use super::worker::{Finished, Outcome, Task, Work, Workers, prepare};
use crate::dataset::{Mixture, Order, Place};

/// After so many unreadable pictures in a row something else is wrong: a disk is gone, an archive cut.
const HOPELESS: u64 = 50;

/// An iterator over batches that worker threads make ahead.
///
/// Unreadable pictures are left out of their batches and noted; a batch without any is left out, while its
/// iteration counts. After an error nothing comes: 50 pictures in a row cannot be read, none at all could
/// be, or there is a mistake in the program.
#[derive(Debug)]
pub struct Loader {
    mixture: Arc<Mixture>,
    config: LoaderConfig,
    pictures: Pictures,
    workers: Workers,
    /// First iteration, counted from the start of the run, whose pictures were not handed out yet.
    next: u64,
    /// One past the last iteration.
    end: u64,
    /// Batches under way, the next one first; the last has iteration `next - 1`.
    pending: VecDeque<Pending>,
    waited: Duration,
    rejected: BTreeMap<String, String>,
    /// Unreadable pictures since the last readable one.
    unreadable: u64,
    any_readable: bool,
    over: bool,
}

/// Which pictures a loader goes through.
#[derive(Debug)]
enum Pictures {
    /// In random order, for ever.
    Shuffled(Order),
    /// All of them once, source by source.
    InTurn(Vec<Place>),
}

impl Loader {
    /// Starts making the batches of `iterations`, counted from the start of `epoch`.
    ///
    /// Iterations beyond an epoch's last are those of the epochs after it: `0..u64::MAX` never ends, and
    /// `k..k + 1` is the stream's k-th batch, whatever came before.
    ///
    /// # Errors
    /// A number of `config` is out of range, or a thread cannot be started.
    pub fn start(
        data: Arc<Mixture>,
        config: LoaderConfig,
        epoch: u64,
        iterations: Range<u64>,
    ) -> anyhow::Result<Loader> {
        let before = epoch.checked_mul(config.epoch_iterations);
        let next = before.and_then(|before| before.checked_add(iterations.start));
        let next = next.context("the epoch's number is too large")?;
        let end = before.unwrap_or_default().saturating_add(iterations.end);
        let order = Order::new(data.clone(), config.seed);
        let work = work(&data, &config);
        Loader::new(data, config, Pictures::Shuffled(order), next..end, work)
    }

    /// Starts making batches of all pictures in turn, each once; the last may be smaller. All are of
    /// epoch 0.
    ///
    /// # Errors
    /// As [`Loader::start`].
    pub fn in_turn(data: Arc<Mixture>, config: LoaderConfig) -> anyhow::Result<Loader> {
        let sources = data.sources().iter().enumerate();
        let places = sources.flat_map(|(source, content)| {
            let samples = 0..content.dataset.samples().len();
            samples.map(move |sample| Place { source, sample })
        });
        let places: Vec<_> = places.collect();
        let iterations = places.len().div_ceil(config.batch.max(1)) as u64;
        let config = LoaderConfig {
            epoch_iterations: iterations.max(1),
            ..config
        };
        let work = work(&data, &config);
        Loader::new(data, config, Pictures::InTurn(places), 0..iterations, work)
    }

    fn new(
        mixture: Arc<Mixture>,
        config: LoaderConfig,
        pictures: Pictures,
        iterations: Range<u64>,
        work: Arc<Work>,
    ) -> anyhow::Result<Loader> {
        config.check()?;
        let cores = || std::thread::available_parallelism().map_or(1, usize::from);
        let threads = if config.workers == 0 {
            cores()
        } else {
            config.workers
        };
        let capacity = (config.prefetch.max(1) + 1) * config.batch;
        let mut loader = Loader {
            workers: Workers::start(threads.min(capacity), capacity, work)?,
            mixture,
            config,
            pictures,
            next: iterations.start,
            end: iterations.end,
            pending: VecDeque::new(),
            waited: Duration::ZERO,
            rejected: BTreeMap::new(),
            unreadable: 0,
            any_readable: false,
            over: false,
        };
        loader.hand_out()?;
        Ok(loader)
    }

    /// How long the calls so far waited for pictures.
    pub fn waited(&self) -> Duration {
        self.waited
    }

    /// The unreadable pictures so far, each once: where it is, and what is wrong with it. Those of batches
    /// that are made ahead may be among them.
    pub fn rejected(&self) -> Vec<(String, String)> {
        let rejected = self.rejected.iter();
        rejected
            .map(|(name, reason)| (name.clone(), reason.clone()))
            .collect()
    }

    /// Hands out pictures until `prefetch` batches beyond the next one are under way.
    fn hand_out(&mut self) -> anyhow::Result<()> {
        let size = self.config.batch as u64;
        while self.pending.len() <= self.config.prefetch.max(1) && self.next < self.end {
            let first = self.next.checked_mul(size).context("the run is too long")?;
            let last = match &self.pictures {
                Pictures::Shuffled(_) => first.saturating_add(size),
                Pictures::InTurn(places) => first.saturating_add(size).min(places.len() as u64),
            };
            let epoch = self.next / self.config.epoch_iterations;
            let epoch_first = epoch * self.config.epoch_iterations * size;
            for number in first..last {
                self.workers.give(Task {
                    batch: self.next,
                    place: (number - first) as usize,
                    picture: match &mut self.pictures {
                        Pictures::Shuffled(order) => order.at(number),
                        Pictures::InTurn(places) => places[number as usize],
                    },
                    draw: (epoch, number - epoch_first),
                })?;
            }
            self.pending
                .push_back(Pending::new((last - first) as usize));
            self.next += 1;
        }
        Ok(())
    }

    /// Waits for a picture and puts it into its batch.
    fn receive(&mut self) -> anyhow::Result<()> {
        let started = Instant::now();
        let finished = self.workers.take();
        self.waited += started.elapsed();
        let Finished { task, outcome } = finished?;
        let ready = match outcome {
            Outcome::Ready(ready) => {
                self.unreadable = 0;
                self.any_readable = true;
                Some(ready)
            }
            Outcome::Rejected(reason) => {
                self.unreadable += 1;
                let in_turn = matches!(self.pictures, Pictures::InTurn(_));
                // In turn such a row may be one bad folder, unless it is where everything begins.
                if self.unreadable >= HOPELESS && !(in_turn && self.any_readable) {
                    bail!(
                        "{} pictures in a row cannot be read, the last being '{}': {reason}",
                        self.unreadable,
                        self.name(task.picture)
                    );
                }
                self.rejected.insert(self.name(task.picture), reason);
                None
            }
            Outcome::Panicked(message) => bail!(
                "a mistake in the program at picture '{}': {message}",
                self.name(task.picture)
            ),
        };
        let front = self.next - self.pending.len() as u64;
        if let Some(pending) = self.pending.get_mut((task.batch - front) as usize) {
            pending.settle(task.place, ready);
        }
        Ok(())
    }

    fn name(&self, place: Place) -> String {
        let dataset = &self.mixture.sources()[place.source].dataset;
        dataset.name(&dataset.samples()[place.sample])
    }

    fn advance(&mut self) -> anyhow::Result<Option<Batch>> {
        loop {
            self.hand_out()?;
            let number = self.next - self.pending.len() as u64;
            let Some(first) = self.pending.front() else {
                if let Some((name, reason)) = self.rejected.first_key_value()
                    && !self.any_readable
                {
                    bail!("no picture could be read, among them '{name}': {reason}");
                }
                return Ok(None);
            };
            if !first.is_complete() {
                self.receive()?;
                continue;
            }
            let iterations = self.config.epoch_iterations;
            let batch = self
                .pending
                .pop_front()
                .map(|pending| pending.into_batch(number / iterations, number % iterations))
                .filter(|batch| !batch.samples.is_empty());
            if batch.is_some() {
                return Ok(batch);
            }
        }
    }
}

impl Iterator for Loader {
    type Item = anyhow::Result<Batch>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.over {
            return None;
        }
        let batch = self.advance().transpose();
        self.over = !matches!(batch, Some(Ok(_)));
        batch
    }
}

fn work(mixture: &Arc<Mixture>, config: &LoaderConfig) -> Arc<Work> {
    let (mixture, size) = (mixture.clone(), config.size);
    let (transform, seed) = (config.transform, config.seed);
    Arc::new(move |task| prepare(&mixture, transform, size, seed, task))
}

#[cfg(test)]
mod tests;

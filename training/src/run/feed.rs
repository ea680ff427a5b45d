//! Batches for the steps of a run, on its device.

use std::sync::Arc;

use anyhow::Context;
use tch::Device;

use super::config::{CourseConfig, WatchConfig};
use crate::alternating::Batch;
use crate::dataset::Mixture;
use crate::loader::{Loader, LoaderConfig, Transform};
use crate::thinning::Place;

/// The loader's batches, gathered into steps.
#[derive(Debug)]
pub struct Feed {
    loader: Loader,
    course: CourseConfig,
    per_epoch: u64,
    /// A batch of a later step, taken too early.
    ahead: Option<crate::loader::Batch>,
}

impl Feed {
    /// From `place` on, in epochs of so many steps.
    ///
    /// # Errors
    /// A thread cannot be started.
    pub fn new(
        data: Arc<Mixture>,
        course: &CourseConfig,
        watch: &WatchConfig,
        per_epoch: u64,
        place: Place,
    ) -> anyhow::Result<Feed> {
        let accumulate = course.data.accumulate as u64;
        let config = LoaderConfig {
            batch: course.data.batch,
            size: course.input.size,
            transform: Transform::Train {
                // Each source has its own.
                scale: (1.0, 1.0),
                ratio: (3.0 / 4.0, 4.0 / 3.0),
                whole: course.data.whole,
                squash: course.data.squash,
                flip: course.data.flip,
                jitter: course.data.jitter,
            },
            workers: watch.workers,
            prefetch: 2 * course.data.accumulate + 2,
            seed: course.seed,
            epoch_iterations: per_epoch * accumulate,
        };
        let first = place.iteration * accumulate;
        Ok(Feed {
            loader: Loader::start(data, config, place.epoch, first..u64::MAX)?,
            course: course.clone(),
            per_epoch,
            ahead: None,
        })
    }

    /// The batches of a step. Those without a readable picture are left out, so there may be none.
    ///
    /// # Errors
    /// Too many pictures in a row cannot be read; no memory.
    pub fn batches(&mut self, step: u64, device: Device) -> anyhow::Result<Vec<Batch>> {
        let accumulate = self.course.data.accumulate;
        let mut batches = Vec::with_capacity(accumulate);
        while batches.len() < accumulate {
            let loaded = match self.ahead.take() {
                Some(batch) => batch,
                None => self.loader.next().context("the loader has ended")??,
            };
            let own = loaded.epoch * self.per_epoch + loaded.iteration / accumulate as u64;
            if own > step {
                self.ahead = Some(loaded);
                break;
            }
            let mut batch = Batch::from_pixels(
                &loaded.pixels,
                &loaded.classes,
                &self.course.input,
                self.course.precision.kind(),
                device,
            )?;
            batch.origins = loaded.origins;
            batches.push(batch);
        }
        Ok(batches)
    }

    /// Pictures that could not be read so far, and why.
    pub fn rejected(&self) -> Vec<(String, String)> {
        self.loader.rejected()
    }
}

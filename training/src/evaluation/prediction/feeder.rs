//! The thread with the network, between those that decode and those that score.

use std::collections::BTreeMap;

use anyhow::{Context, ensure};
use casm::Mask;
use casm::engine::Output;
use crossbeam::channel::{Receiver, Sender};

use super::super::{AnnotatedSet, Options};
use super::{DIED, Loaded, Prediction};

/// Its ends of the channels.
pub struct Feeder<'a> {
    pub set: &'a AnnotatedSet,
    pub options: &'a Options,
    pub jobs: Sender<usize>,
    pub inputs: Receiver<(usize, anyhow::Result<Loaded>)>,
    pub masks: Sender<Prediction>,
}

/// Inputs that wait for a batch to be full.
#[derive(Default)]
struct Batch {
    /// Picture, size as stored, ways of resizing.
    items: Vec<(usize, (u32, u32), Vec<usize>)>,
    pixels: Vec<u8>,
}

impl Feeder<'_> {
    /// Runs all pictures through the network; returns those that cannot be read, and whether all others
    /// are squares.
    pub fn run(
        self,
        predict: &mut dyn FnMut(usize, &[u8], &mut Output) -> casm::Result<()>,
        watch: &dyn Fn(usize),
    ) -> anyhow::Result<(Vec<String>, bool)> {
        let count = self.set.pictures.len();
        // Enough that the network need not wait, and no more than that in memory.
        let ahead = 2 * self.options.batch + self.options.workers;
        let mut jobs = 0..count;
        let mut early = BTreeMap::new();
        let mut problems = Vec::new();
        let mut square = true;
        let mut batch = Batch::default();
        let mut output = Output::default();
        let mut unreported = 0;
        for index in 0..count {
            while jobs.start < count && jobs.start < index + ahead {
                self.jobs.send(jobs.start).context(DIED)?;
                jobs.start += 1;
            }
            let loaded = loop {
                if let Some(loaded) = early.remove(&index) {
                    break loaded;
                }
                let (other, loaded) = self.inputs.recv().context(DIED)?;
                early.insert(other, loaded);
            };
            unreported += 1;
            match loaded {
                Err(error) => problems.push(format!("{error:#}")),
                Ok(Loaded { stored, inputs }) => {
                    square &= stored.0 == stored.1;
                    for input in inputs {
                        batch.items.push((index, stored, input.resizes));
                        batch.pixels.extend_from_slice(&input.pixels);
                        if batch.items.len() >= self.options.batch {
                            self.predict(&mut batch, &mut output, predict)?;
                            watch(std::mem::take(&mut unreported));
                        }
                    }
                }
            }
        }
        if !batch.items.is_empty() {
            self.predict(&mut batch, &mut output, predict)?;
        }
        watch(unreported);
        Ok((problems, square))
    }

    fn predict(
        &self,
        batch: &mut Batch,
        output: &mut Output,
        predict: &mut dyn FnMut(usize, &[u8], &mut Output) -> casm::Result<()>,
    ) -> anyhow::Result<()> {
        let count = batch.items.len();
        predict(count, &batch.pixels, output)?;
        let mut values = output.masks.iter().chain(&output.logits);
        ensure!(
            values.all(|value| value.is_finite()),
            "mask or logits are not numbers; the model's weights are damaged, or its precision is too low: \
             use --precision f32"
        );
        let area = output.masks.len() / count;
        let side = area.isqrt();
        ensure!(
            side > 0
                && side * side * count == output.masks.len()
                && (self.options.input_size as usize).is_multiple_of(side),
            "{} values are not {count} masks over {} x {} pixels",
            output.masks.len(),
            self.options.input_size,
            self.options.input_size
        );
        let classes = output.logits.len() / count;
        for (place, (index, stored, resizes)) in batch.items.drain(..).enumerate() {
            let mask = Mask {
                width: side,
                height: side,
                values: output.masks[place * area..][..area].to_vec(),
            };
            let prediction = Prediction {
                index,
                stored,
                resizes,
                mask,
                logits: output.logits[place * classes..][..classes].to_vec(),
            };
            self.masks.send(prediction).ok().context(DIED)?;
        }
        batch.pixels.clear();
        Ok(())
    }
}

//! Pictures → masks → scores: workers decode ahead of the network and score behind it.
//!
//! Each picture is read and goes through the network once, or twice where cropping and stretching make
//! different inputs of it; every rule scores the same mask. Masks are scored as they come and not kept, so
//! memory does not grow with the set. The network sees the pictures in order and in the same batches
//! however many workers there are.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};

use anyhow::{Context, anyhow, ensure};
use casm::engine::Output;
use casm::network::Upsample;
use casm::{Header, Mask, Resize};
use crossbeam::channel::{Receiver, Sender, bounded, unbounded};

use super::{AnnotatedSet, Average, PictureScore, Rule};
use crate::picture;

/// What is measured, and for which network.
#[derive(Debug, Clone)]
pub struct Options {
    /// Side of the network's input in pixels.
    pub input_size: u32,
    /// How its mask is brought to that size.
    pub upsample: Upsample,
    /// Whether the mask is then brought to 0 … 1 by its least and largest value.
    pub min_max: bool,
    /// How pictures become square; one or both.
    pub resizes: Vec<Resize>,
    /// How masks are made binary; each gives a localization error.
    pub rules: Vec<Rule>,
    /// Whether annotations count only with the area inside the input. The released code counts all of it.
    pub clipped: bool,
    /// Whether wsolevaluation's protocol is run, too.
    pub max_box: bool,
    /// Whether [`Toy`](super::Toy) boxes are scored, too.
    pub toys: bool,
    /// For each of the set's classes the network's logit ([`AnnotatedSet::match_classes`]); `None` if they
    /// do not match, then there are no class scores.
    pub logits: Option<Vec<usize>>,
    /// Pictures that the network sees at once.
    pub batch: usize,
    /// Threads that decode, and as many that score.
    pub workers: usize,
}

impl Options {
    /// For the network of `header`: its input, its own rule, stretched pictures, nothing else; no class
    /// scores until [`Options::logits`] is set.
    pub fn new(header: &Header) -> Options {
        let decoder = header.network.decoder.as_ref();
        Options {
            input_size: header.input.size,
            upsample: decoder.map(|decoder| decoder.upsample).unwrap_or_default(),
            min_max: false,
            resizes: vec![Resize::Stretch],
            rules: vec![Rule::Binarization(header.binarization)],
            clipped: false,
            max_box: false,
            toys: false,
            logits: None,
            batch: 16,
            workers: std::thread::available_parallelism().map_or(1, |cores| cores.get().min(16)),
        }
    }
}

/// Scores of all pictures that could be used.
#[derive(Debug, Clone, PartialEq)]
pub struct Scores {
    /// Their indices in the set.
    pub pictures: Vec<usize>,
    /// For each of [`Options::resizes`] a score a picture.
    pub by_resize: Vec<Vec<PictureScore>>,
    /// Pictures that could not be read, and why.
    pub problems: Vec<String>,
    /// Whether all pictures are stored as squares, so that cropping and stretching are the same.
    pub square: bool,
}

impl Scores {
    /// The mean of a number over the pictures, in the first way of resizing: what a trainer watches.
    pub fn mean(&self, number: impl Fn(&PictureScore) -> f64) -> f64 {
        let mut average = Average::default();
        for score in self.by_resize.iter().take(1).flatten() {
            average.add(number(score), 1.0);
        }
        average.value()
    }

    /// LE by the first rule, in [0, 1].
    pub fn localization_error(&self) -> f64 {
        self.mean(|score| f64::from(!score.found.first().is_some_and(|&found| found)))
    }
}

/// Shows the set's pictures to a network and scores its masks.
///
/// `predict` has the form of [`Engine::run`](casm::Engine::run): a number of pictures, their pixels `[N, S,
/// S, 3]`, and where masks `[N, s, s]`, S a multiple of s, and logits `[N, classes]` go. `watch` is called
/// after each batch with the number of pictures in it.
///
/// # Errors
/// `predict` fails, or gives values that are not finite or too few or many; no picture can be read.
/// Single pictures that cannot be read are [`Scores::problems`].
pub fn evaluate(
    set: &AnnotatedSet,
    options: &Options,
    predict: &mut dyn FnMut(usize, &[u8], &mut Output) -> casm::Result<()>,
    watch: &dyn Fn(usize),
) -> anyhow::Result<Scores> {
    ensure!(options.batch > 0, "a batch has at least one picture");
    let workers = options.workers.max(1);
    let (scored, results) = unbounded();
    let (problems, square) = std::thread::scope(|scope| {
        let (jobs, next_job) = unbounded();
        let (loaded, inputs) = unbounded();
        let (masks, next_mask) = bounded::<Prediction>(2 * options.batch);
        for _ in 0..workers {
            let (next_job, loaded) = (next_job.clone(), loaded.clone());
            scope.spawn(move || {
                for index in next_job {
                    // A decoder that panics has met a broken picture; the feeder waits for an answer.
                    let load = AssertUnwindSafe(|| Loaded::new(set, index, options));
                    let answer = catch_unwind(load).unwrap_or_else(|_| {
                        let name = &set.pictures[index].name;
                        Err(anyhow!("picture '{name}' cannot be decoded: the decoder panicked"))
                    });
                    if loaded.send((index, answer)).is_err() {
                        break;
                    }
                }
            });
            let (next_mask, scored) = (next_mask.clone(), scored.clone());
            scope.spawn(move || {
                for prediction in next_mask {
                    prediction.score(set, options, &scored);
                }
            });
        }
        // Only the workers' ends are to stay, so that everything ends when this end is dropped.
        drop((next_job, loaded, next_mask, scored));
        let feeder = Feeder {
            set,
            options,
            jobs,
            inputs,
            masks,
        };
        feeder.run(predict, watch)
    })?;

    let mut by_picture: BTreeMap<usize, Vec<Option<PictureScore>>> = BTreeMap::new();
    for (index, resize, score) in results {
        let ways = by_picture.entry(index).or_default();
        ways.resize(options.resizes.len(), None);
        ways[resize] = Some(score);
    }
    if by_picture.is_empty() {
        let first = problems.first().map_or("there are none", String::as_str);
        anyhow::bail!("no picture can be used: {first}");
    }
    ensure!(by_picture.len() + problems.len() == set.pictures.len(), DIED);
    let mut by_resize = vec![Vec::new(); options.resizes.len()];
    let pictures = by_picture.keys().copied().collect();
    for ways in by_picture.into_values() {
        for (scores, score) in by_resize.iter_mut().zip(ways) {
            scores.push(score.context("a picture was scored in one way and not in the other")?);
        }
    }
    Ok(Scores {
        pictures,
        by_resize,
        problems,
        square,
    })
}

/// A picture made ready for the network.
struct Loaded {
    /// Width and height as stored.
    stored: (u32, u32),
    inputs: Vec<Input>,
}

struct Input {
    /// Indices in [`Options::resizes`]: a square picture's two inputs are one.
    resizes: Vec<usize>,
    /// `[S, S, 3]`.
    pixels: Vec<u8>,
}

impl Loaded {
    fn new(set: &AnnotatedSet, index: usize, options: &Options) -> anyhow::Result<Loaded> {
        let picture = set.decode(index)?;
        let (stored, size) = (picture.dimensions(), options.input_size);
        let mut inputs: Vec<Input> = Vec::new();
        for (index, resize) in options.resizes.iter().enumerate() {
            if let Some(input) = inputs.first_mut().filter(|_| stored.0 == stored.1) {
                input.resizes.push(index);
                continue;
            }
            let square = match resize {
                Resize::Stretch => picture::stretch(&picture, size),
                Resize::Crop => picture::crop(&picture, size, size),
            };
            inputs.push(Input {
                resizes: vec![index],
                pixels: square.into_raw(),
            });
        }
        Ok(Loaded { stored, inputs })
    }
}

/// What the network says of an input.
struct Prediction {
    index: usize,
    stored: (u32, u32),
    resizes: Vec<usize>,
    mask: Mask,
    logits: Vec<f32>,
}

impl Prediction {
    fn score(self, set: &AnnotatedSet, options: &Options, scored: &Sender<(usize, usize, PictureScore)>) {
        let factor = options.input_size as usize / self.mask.width;
        let mut mask = self.mask.upsample(factor, options.upsample);
        if options.min_max {
            min_max(&mut mask);
        }
        let picture = &set.pictures[self.index];
        for resize in self.resizes {
            let way = options.resizes[resize];
            let score = PictureScore::new(picture, self.stored, way, &mask, &self.logits, options);
            // Fails if nobody waits any more.
            let _ = scored.send((self.index, resize, score));
        }
    }
}

/// Brings the least value to 0 and the largest to 1; a constant mask to 0.
fn min_max(mask: &mut Mask) {
    let values = mask.values.iter().copied();
    let low = values.clone().fold(f32::INFINITY, f32::min);
    let high = values.fold(f32::NEG_INFINITY, f32::max);
    let scale = if high > low { 1.0 / (high - low) } else { 0.0 };
    for value in &mut mask.values {
        *value = (*value - low) * scale;
    }
}

/// The thread with the network, between those that decode and those that score.
struct Feeder<'a> {
    set: &'a AnnotatedSet,
    options: &'a Options,
    jobs: Sender<usize>,
    inputs: Receiver<(usize, anyhow::Result<Loaded>)>,
    masks: Sender<Prediction>,
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
    fn run(
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

const DIED: &str = "a thread that decodes or scores pictures has died; please report this";

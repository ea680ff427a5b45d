//! Pictures → masks → scores: workers decode ahead of the network and score behind it.
//!
//! Each picture is read and goes through the network once, or twice where cropping and stretching make
//! different inputs of it; every rule scores the same mask. Masks are scored as they come and not kept, so
//! memory does not grow with the set. The network sees the pictures in order and in the same batches
//! however many workers there are.

mod feeder;

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};

use anyhow::{Context, anyhow, ensure};
use casm::engine::Output;
use casm::{Mask, Resize};
use crossbeam::channel::{Sender, bounded, unbounded};

use super::{AnnotatedSet, Options, PictureScore, Scores};
use crate::picture;
use feeder::Feeder;

const DIED: &str = "a thread that decodes or scores pictures has died; please report this";

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
                        Err(anyhow!(
                            "picture '{name}' cannot be decoded: the decoder panicked"
                        ))
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
    ensure!(
        by_picture.len() + problems.len() == set.pictures.len(),
        DIED
    );
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
    fn score(
        self,
        set: &AnnotatedSet,
        options: &Options,
        scored: &Sender<(usize, usize, PictureScore)>,
    ) {
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

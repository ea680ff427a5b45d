//! Evaluation in the course of a run.

use casm::engine::Output;
use casm::module::Mode;
use casm::parameters::Parameters;
use casm::pixels::{Normalisation, copy_values};
use casm::{Header, SaliencyNetwork};
use tch::{Device, Kind};

use super::config::WatchConfig;
use crate::evaluation::{AnnotatedSet, Location, Options, evaluate};
use crate::log::ScoreRecord;
use crate::thinning::Place;

/// Annotated pictures and how they are scored: stretched, with the checkpoint's binarisation.
#[derive(Debug)]
pub struct Scorer {
    set: AnnotatedSet,
    options: Options,
    header: Header,
}

impl Scorer {
    /// Opens the pictures to evaluate on; none where none were named.
    ///
    /// # Errors
    /// They cannot be used.
    pub fn new(watch: &WatchConfig, header: &Header) -> anyhow::Result<Option<Scorer>> {
        let Some(data) = &watch.evaluate else {
            return Ok(None);
        };
        let mut set = AnnotatedSet::open(&Location {
            data: data.clone(),
            ..Location::default()
        })?;
        if let Some(limit) = watch.evaluate_limit {
            set.limit(limit);
        }
        let mut options = Options::new(header);
        options.workers = watch.workers.max(1);
        // Without matching classes there are no class scores.
        options.logits = set
            .match_classes(&header.classes, header.network.classes())
            .ok();
        Ok(Some(Scorer {
            set,
            options,
            header: header.clone(),
        }))
    }

    /// Scores the network with these weights.
    ///
    /// # Errors
    /// libtorch's; no picture can be read.
    pub fn score(
        &self,
        parameters: &Parameters,
        place: Place,
        device: Device,
    ) -> anyhow::Result<ScoreRecord> {
        let _no_gradients = tch::no_grad_guard();
        let network = SaliencyNetwork::new(&self.header.network, parameters)?;
        let normalisation = Normalisation::new(&self.header.input, device)?;
        let mut predict = |count: usize, pixels: &[u8], output: &mut Output| {
            let pictures = normalisation.pictures(count, pixels, Kind::Float)?;
            let saliency = network.forward(&pictures, Mode::Evaluate)?;
            match &saliency.mask {
                Some(mask) => copy_values(mask, &mut output.masks)?,
                None => output.masks.clear(),
            }
            copy_values(&saliency.logits, &mut output.logits)
        };
        let scores = evaluate(&self.set, &self.options, &mut predict, &|_| ())?;
        let summary = scores.summary();
        Ok(ScoreRecord {
            step: place.step,
            epoch: place.epoch,
            images: scores.pictures.len() as u64,
            localization_error: Some(summary.localization_error),
            official_metric: summary.official_metric,
            f1: Some(summary.f1),
            top1: summary.top1,
            top5: summary.top5,
            mask_mean: Some(summary.mask_mean),
        })
    }
}

//! Evaluation in the course of a run.

use casm::engine::Output;
use casm::module::Mode;
use casm::parameters::Parameters;
use casm::{Header, SaliencyNetwork, torch_error};
use tch::{Device, Kind, TchError, Tensor};

use super::config::WatchConfig;
use crate::alternating::Batch;
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
        let mut predict = |count: usize, pixels: &[u8], output: &mut Output| {
            let classes = vec![0; count];
            let batch =
                Batch::from_pixels(pixels, &classes, &self.header.input, Kind::Float, device)?;
            let saliency = network.forward(&batch.pictures, Mode::Evaluate)?;
            output.masks.clear();
            if let Some(mask) = &saliency.mask {
                output.masks = values(mask).map_err(torch_error)?;
            }
            output.logits = values(&saliency.logits).map_err(torch_error)?;
            Ok(())
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

/// All numbers of a tensor.
pub(super) fn values(tensor: &Tensor) -> std::result::Result<Vec<f32>, TchError> {
    let flat = tensor
        .f_to_kind(Kind::Float)?
        .f_to_device(Device::Cpu)?
        .f_contiguous()?
        .f_reshape([-1])?;
    Vec::try_from(&flat)
}

//! A classifier's accuracy in the course of a run, as the released code validates: short side to 256/224
//! of the input, centre crop.

use std::sync::Arc;

use casm::module::Mode;
use casm::parameters::Parameters;
use casm::pixels::{Normalisation, copy_values};
use casm::{Header, SaliencyNetwork};
use tch::{Device, Kind};

use super::config::WatchConfig;
use crate::dataset::{Mixture, Selection, SourceOptions, Split};
use crate::evaluation::ClassificationScore;
use crate::loader::{Loader, LoaderConfig, Transform};
use crate::log::ScoreRecord;
use crate::thinning::Place;

/// Pictures that the network sees at once.
const BATCH: usize = 32;

/// Labelled pictures to be classified.
#[derive(Debug)]
pub struct Validator {
    data: Arc<Mixture>,
    header: Header,
    workers: usize,
}

impl Validator {
    /// Opens the validation part of the data that was named; none where none was.
    ///
    /// # Errors
    /// It cannot be used, or has classes that the network does not have.
    pub fn new(watch: &WatchConfig, header: &Header) -> anyhow::Result<Option<Validator>> {
        let Some(path) = &watch.validate else {
            return Ok(None);
        };
        let source = SourceOptions {
            path: path.clone(),
            weight: None,
            scale: None,
        };
        let selection = Selection::classes_of(&header.classes);
        let data = Mixture::open(&[source], Split::Validation, &selection, &header.classes)?;
        Ok(Some(Validator {
            data: Arc::new(data),
            header: header.clone(),
            workers: watch.workers,
        }))
    }

    /// Top-1 and top-5 of the network with these weights.
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
        let size = self.header.input.size;
        let config = LoaderConfig {
            batch: BATCH,
            size,
            transform: Transform::Crop {
                short: size * 256 / 224,
            },
            workers: self.workers,
            prefetch: 2,
            seed: 0,
            epoch_iterations: 1,
        };
        let normalisation = Normalisation::new(&self.header.input, device)?;
        let mut logits = Vec::new();
        let (mut pictures, mut top1, mut top5) = (0u64, 0u64, 0u64);
        for loaded in Loader::in_turn(Arc::clone(&self.data), config)? {
            let loaded = loaded?;
            let classes = &loaded.classes;
            let batch = normalisation.pictures(classes.len(), &loaded.pixels, Kind::Float)?;
            let saliency = network.forward(&batch, Mode::Evaluate)?;
            copy_values(&saliency.logits, &mut logits)?;
            for (logits, &class) in logits
                .chunks_exact(logits.len() / classes.len())
                .zip(classes)
            {
                let score = ClassificationScore::new(logits, class as usize);
                pictures += 1;
                top1 += u64::from(score.top1);
                top5 += u64::from(score.top5);
            }
        }
        let share = |count: u64| Some(count as f64 / pictures.max(1) as f64);
        Ok(ScoreRecord {
            step: place.step,
            epoch: place.epoch,
            images: pictures,
            top1: share(top1),
            top5: share(top5),
            ..ScoreRecord::default()
        })
    }
}

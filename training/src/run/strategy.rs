//! The paper's thinning strategies and the presets of the command (Table 2).

use casm::network::DecoderConfig;
use serde::{Deserialize, Serialize};

use super::config::RunConfig;
use super::start::DecoderInit;
use crate::alternating::{ClassifierStep, MaskedStep, RegulariseOn, Score, ScoreOn};
use crate::optimizer::RateSchedule;
use crate::thinning::{HistoryStart, ThinningPolicy};

/// Which classifiers judge.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
pub enum Strategy {
    /// The initial classifier alone, never trained: the Baseline.
    #[value(name = "F")]
    F,
    /// The current classifier alone.
    #[value(name = "L")]
    L,
    /// The current one and the first.
    #[value(name = "FL")]
    FL,
    /// The current one and one of every 100 steps.
    #[value(name = "L100")]
    L100,
    /// The current one and one of every 1000 steps.
    #[value(name = "L1000")]
    L1000,
}

impl Strategy {
    /// Whether the classifier is trained along.
    pub fn trains_classifier(self) -> bool {
        self != Strategy::F
    }

    /// How F is filled and drawn from, with the released code's numbers.
    pub fn policy(self) -> ThinningPolicy {
        /// No epoch is as long, so that only the first classifier is kept.
        const NEVER_AGAIN: u64 = 10_000_000;
        let (probability, every) = match self {
            Strategy::F | Strategy::L => (0.0, NEVER_AGAIN),
            Strategy::FL => (0.5, NEVER_AGAIN),
            Strategy::L100 => (0.5, 100),
            Strategy::L1000 => (0.5, 1000),
        };
        ThinningPolicy {
            probability,
            every,
            size: 30,
            start: HistoryStart::Stepped,
        }
    }

    /// λ that the released code presets.
    pub fn lambda(self, score: Score) -> f64 {
        let (entropy, classification) = match self {
            Strategy::F => (2.5, 9.0),
            Strategy::L => (14.0, 18.0),
            Strategy::FL => (7.5, 11.0),
            Strategy::L100 | Strategy::L1000 => (10.0, 17.0),
        };
        match score {
            Score::Entropy => entropy,
            Score::Classification => classification,
        }
    }
}

/// A named set of choices.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
pub enum Preset {
    /// Strategy F, the Baseline.
    #[value(name = "F")]
    F,
    /// Strategy L.
    #[value(name = "L")]
    L,
    /// Strategy FL.
    #[value(name = "FL")]
    FL,
    /// Strategy L100.
    #[value(name = "L100")]
    L100,
    /// Strategy L1000.
    #[value(name = "L1000")]
    L1000,
    /// L100, which the paper calls CASM.
    Casm,
    /// L100 with the total variation of Phang et al. (2020), and masks of a third of the picture: what the built-in
    /// model began with.
    CasmTv,
    /// L100 with the paper's words where the released code does otherwise.
    Paper,
}

impl Preset {
    /// The strategy behind it.
    pub fn strategy(self) -> Strategy {
        match self {
            Preset::F => Strategy::F,
            Preset::L => Strategy::L,
            Preset::FL => Strategy::FL,
            Preset::L1000 => Strategy::L1000,
            Preset::L100 | Preset::Casm | Preset::CasmTv | Preset::Paper => Strategy::L100,
        }
    }

    /// Changes what the preset decides beyond its strategy.
    pub fn apply(self, config: &mut RunConfig) {
        match self {
            Preset::Paper => paper(config),
            Preset::CasmTv => {
                config.step.total_variation = 0.002;
                config.target_area = Some(0.34);
                // From 10 on, masks can vanish before the target area is found.
                config.lambda = 3.0;
                config.optimizer.classifier_rate = 1e-4;
                // Without it masks keep the noise of the first draw.
                config.course.decoder_init = DecoderInit::Uniform;
            }
            _ => {}
        }
    }
}

fn paper(config: &mut RunConfig) {
    config.course.epochs = 70;
    config.course.schedule = RateSchedule::Constant;
    config.thinning.start = HistoryStart::Pretrained;
    let step = &mut config.step;
    step.classifier_step = ClassifierStep::Joint;
    step.masked_step = MaskedStep::Always;
    step.regularise_on = RegulariseOn::Disagreement;
    step.score_on = ScoreOn::Correct;
    step.clip_gradient = 0.0;
    let decoder = config
        .course
        .network
        .decoder
        .get_or_insert_with(DecoderConfig::default);
    decoder.convolve_first = true;
    config.mean_binarization = true;
}

//! Options → configuration: the preset first, then whatever was said otherwise.

use casm::network::{DecoderConfig, Upsample};
use casm_training::alternating::StepOptions;
use casm_training::optimizer::RateSchedule;
use casm_training::run::{OptimizerConfig, RunConfig};

use super::super::course::{Defaults, Opened};
use super::{Arguments, DecoderArgument, EncoderArgument, UpsampleArgument};

impl Arguments {
    /// The run that is asked for: preset first, then whatever was said otherwise.
    pub(super) fn config(&self) -> anyhow::Result<(Opened, RunConfig)> {
        let decoder = DecoderConfig {
            channels: self.decoder_channels,
            upsample: match self.upsample {
                UpsampleArgument::Nearest => Upsample::Nearest,
                UpsampleArgument::Bilinear => Upsample::Bilinear,
            },
            convolve_first: false,
            taps: self.decoder_taps.clone(),
        };
        let defaults = Defaults {
            epochs: 60,
            epoch_share: 0.2,
            schedule: RateSchedule::Step(20),
            whole: 0.0,
            jitter: 0.0,
        };
        let opened = self
            .course
            .open(defaults, Some(decoder), self.keep_decoder)?;
        let strategy = self.preset.strategy();
        let mut config = RunConfig {
            course: opened.course.clone(),
            preset: self.preset,
            thinning: strategy.policy(),
            step: StepOptions {
                train_classifier: strategy.trains_classifier(),
                mapping_gradient: self.decoder_grad,
                fill: self.fill,
                masked_in: self.masked_in,
                masked_in_lambda: self.masked_in_lambda,
                train_on_masked_in: self.train_on_masked_in,
                ..StepOptions::new(self.score)
            },
            lambda: strategy.lambda(self.score),
            target_area: None,
            mean_binarization: false,
            optimizer: OptimizerConfig {
                classifier_rate: 1e-3,
                momentum: self.momentum,
                mapping_rate: self.mapping_rate,
                weight_decay: self.weight_decay,
            },
        };
        self.preset.apply(&mut config);
        let course = &mut config.course;
        if !self.keep_decoder {
            course.network.separate_encoder = self.encoder == EncoderArgument::Separate;
        }
        course.decoder_init = self.decoder_init.unwrap_or(course.decoder_init);
        self.scoring.apply(course)?;
        course.epochs = self.course.epochs.unwrap_or(course.epochs);
        course.schedule = self.course.lr_schedule.unwrap_or(course.schedule);
        if let (Some(choice), Some(decoder)) = (self.decoder, &mut course.network.decoder) {
            decoder.convolve_first = choice == DecoderArgument::L0Conv;
        }
        let thinning = &mut config.thinning;
        thinning.size = self.history_size;
        thinning.probability = self.history_probability.unwrap_or(thinning.probability);
        thinning.every = self.history_every.unwrap_or(thinning.every);
        thinning.start = self.history_init.unwrap_or(thinning.start);
        config.lambda = self.lambda.unwrap_or(config.lambda);
        config.target_area = self.target_area.or(config.target_area);
        let optimizer = &mut config.optimizer;
        optimizer.classifier_rate = self.classifier_rate.unwrap_or(optimizer.classifier_rate);
        let step = &mut config.step;
        step.total_variation = self.total_variation.unwrap_or(step.total_variation);
        step.classifier_step = self.classifier_step.unwrap_or(step.classifier_step);
        step.masked_step = self.masked_step.unwrap_or(step.masked_step);
        step.regularise_on = self.reg_on.unwrap_or(step.regularise_on);
        step.score_on = self.main_on.unwrap_or(step.score_on);
        step.clip_gradient = self.clip_grad.unwrap_or(step.clip_gradient);
        config.validate()?;
        Ok((opened, config))
    }
}

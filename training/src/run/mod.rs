//! Configuration → a trained checkpoint.
//!
//! | stage | item |
//! |---|---|
//! | what is asked for | [`Strategy`], [`Preset`] → [`RunConfig`], saved beside the weights |
//! | where it starts | [`Start`]: classifier f(0), fresh decoder |
//! | what learns | [`AlternationLearner`] (`casm train`), [`SupervisedLearner`] (`casm train-classifier`), [`DistillationLearner`] (`casm distill`) |
//! | what goes on | [`Trainer`]: batches in; steps, logs, scores and snapshots out |

mod alternation;
mod collapse;
mod config;
mod distillation;
mod ema;
mod feed;
mod folder;
mod learner;
mod memory;
mod message;
mod precision;
mod score;
mod start;
mod strategy;
mod supervised;
mod trainer;
mod validation;

pub use alternation::AlternationLearner;
pub use config::{
    ClassifierConfig, Configuration, CourseConfig, DataConfig, OptimizerConfig, RunConfig,
    SourceConfig, StopConfig, WatchConfig, iterations_per_epoch,
};
pub use distillation::{DistillationConfig, DistillationLearner, TeacherConfig};
pub use ema::Ema;
pub use folder::RunFolder;
pub use learner::{Learner, State};
pub use memory::keep_freed_memory;
pub use precision::{LossScale, TrainingPrecision};
pub use score::Scorer;
pub use start::{Architecture, DecoderInit, Start};
pub use strategy::{Preset, Strategy};
pub use supervised::SupervisedLearner;
pub use trainer::{Outcome, Parts, Trainer};
pub use validation::Validator;

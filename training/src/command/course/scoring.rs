//! Scores in the course of a run.

use std::path::PathBuf;

use casm_training::run::{CourseConfig, WatchConfig};

use super::CourseArguments;

/// What a run of a mapping is scored on. May be changed when it is resumed.
#[derive(Debug, clap::Args)]
pub struct ScoringArguments {
    /// Annotated pictures to score the masks on during training, stretched (see casm evaluate).
    #[arg(long, value_name = "DATA", help_heading = "Stopping and watching")]
    evaluate: Option<PathBuf>,
    /// Score them every so many steps [default: 500], and at the end.
    #[arg(long, value_name = "STEPS", help_heading = "Stopping and watching")]
    evaluate_every: Option<u64>,
    /// Score so many of them.
    #[arg(long, value_name = "COUNT", help_heading = "Stopping and watching")]
    evaluate_limit: Option<usize>,
}

impl ScoringArguments {
    /// The options' names.
    pub const NAMES: [&str; 3] = ["evaluate", "evaluate-every", "evaluate-limit"];

    /// Writes them into the configuration of a new run.
    ///
    /// # Errors
    /// The current folder is gone.
    pub fn apply(&self, course: &mut CourseConfig) -> anyhow::Result<()> {
        let evaluate = self.evaluate.as_deref().map(std::path::absolute);
        course.evaluate = evaluate.transpose()?;
        course.evaluate_every = self.evaluate_every.unwrap_or(500);
        course.evaluate_limit = self.evaluate_limit;
        Ok(())
    }

    /// How the run is watched: as said now, else as when it began.
    pub fn watch(&self, arguments: &CourseArguments, course: &CourseConfig) -> WatchConfig {
        let evaluate = self.evaluate.as_deref();
        arguments.watch(
            course,
            evaluate.or(course.evaluate.as_deref()),
            self.evaluate_every.unwrap_or(course.evaluate_every),
            self.evaluate_limit.or(course.evaluate_limit),
        )
    }
}

//! The network alone: prepared pixels in, mask and logits out.

use std::collections::BTreeMap;

use anyhow::Result;
use casm::engine::Output;
use casm::{Checkpoint, EngineOptions};

use super::{Ready, pattern};
use crate::Arguments;

/// Distinct pictures, in turn.
const PICTURES: usize = 4;

/// Runs rounds.
pub fn serve(arguments: &Arguments) -> Result<()> {
    let checkpoint = match &arguments.model {
        Some(model) => Checkpoint::open(model)?,
        None => Checkpoint::built_in()?,
    };
    let options = EngineOptions {
        device: arguments.device.parse()?,
        engine: arguments.engine,
        precision: arguments.precision()?,
        threads: arguments.threads as usize,
    };
    let mut engine = casm::open_engine(&checkpoint, &options)?;
    let side = checkpoint.header().input.size as usize;
    let pictures: Vec<Vec<u8>> = (0..PICTURES)
        .map(|index| pattern(arguments.batch * side * side * 3, index))
        .collect();
    let description = engine.description();
    let ready = Ready {
        network: checkpoint.header().network.encoder.name(),
        engine: format!(
            "{} {} on {}, {} threads",
            description.engine,
            format!("{:?}", description.precision).to_lowercase(),
            description.device,
            description.threads
        ),
    };
    let mut output = Output::default();
    let run = |batches| {
        for index in 0..batches as usize {
            engine.run(arguments.batch, &pictures[index % PICTURES], &mut output)?;
        }
        Ok(())
    };
    super::serve(&ready, run, BTreeMap::new)
}

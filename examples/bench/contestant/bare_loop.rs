//! The network alone: prepared pixels in, mask and logits out.

use anyhow::Result;
use casm::engine::Output;
use casm::{Checkpoint, EngineOptions, Precision};

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
        precision: Precision::Auto,
        threads: arguments.threads as usize,
        ..EngineOptions::default()
    };
    let mut engine = casm::open_engine(&checkpoint, &options)?;
    let side = checkpoint.header().input.size as usize;
    let pictures: Vec<Vec<u8>> = (0..PICTURES)
        .map(|index| pattern(side * side * 3, index))
        .collect();
    let description = engine.description();
    let ready = Ready {
        network: checkpoint.header().network.encoder.name(),
        engine: format!(
            "{} on {}, {} threads",
            description.engine, description.device, description.threads
        ),
    };
    let mut output = Output::default();
    super::serve(&ready, arguments.frames, |frames| {
        for index in 0..frames as usize {
            engine.run(1, &pictures[index % PICTURES], &mut output)?;
        }
        Ok(())
    })
}

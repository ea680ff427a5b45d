//! Our side: one alternating step a line of standard input.

use std::io::{BufRead, Write};
use std::time::Instant;

use anyhow::{Context, Result};
use casm::Header;
use casm::network::{EncoderConfig, MobilenetV2Config, NetworkConfig, ResnetConfig, Upsample};
use casm::parameters::Parameters;
use casm_training::alternating::{
    Alternation, Batch, Classifier, Mapping, Rates, Score, StepOptions,
};
use casm_training::optimizer::{Adam, Sgd};
use casm_training::run::{LossScale, Strategy, TrainingPrecision, keep_freed_memory};
use casm_training::thinning::{History, Judge, Place};

use crate::{Arguments, NetworkArgument};

/// Answers each line, `current` or `history`, with the seconds of a step with that judge; after the
/// last with the peak memory in MiB.
///
/// # Errors
/// libtorch's.
pub fn serve(arguments: &Arguments) -> Result<()> {
    // As `casm train` does.
    keep_freed_memory();
    tch::set_num_threads(i32::try_from(arguments.threads).context("--threads")?);
    let mut alternation = alternation(arguments)?;
    let batch = batch(arguments)?;
    let rates = Rates {
        classifier: 1e-3,
        mapping: 1e-3,
        lambda: 10.0,
    };
    for (step, line) in (0..).zip(std::io::stdin().lock().lines()) {
        let judge = match line?.as_str() {
            "current" => Judge::Current,
            _ => Judge::Kept(0),
        };
        alternation.policy.probability = if judge == Judge::Current { 0.0 } else { 1.0 };
        let place = Place {
            step,
            epoch: 0,
            iteration: step,
        };
        let start = Instant::now();
        let report = alternation.iterate(std::slice::from_ref(&batch), place, rates, &mut ())?;
        let seconds = start.elapsed().as_secs_f64();
        anyhow::ensure!(report.judge == judge, "another judge was drawn");
        writeln!(std::io::stdout(), "{seconds}")?;
    }
    writeln!(std::io::stdout(), "{}", peak_mebibytes()?)?;
    Ok(())
}

/// L100 with random weights and one kept classifier; speed does not depend on the values.
fn alternation(arguments: &Arguments) -> Result<Alternation> {
    let encoder = match arguments.network {
        NetworkArgument::Resnet50 => EncoderConfig::Resnet(ResnetConfig::resnet50(1000)),
        NetworkArgument::MobilenetV2 => EncoderConfig::MobilenetV2(MobilenetV2Config::default()),
    };
    let network = NetworkConfig::new(encoder).network();
    tch::manual_seed(0);
    let device = tch::Device::Cpu;
    let parameters = Parameters::initialise(&network.parameters(), device)?;
    let classifier = parameters.filtered(|name| name.starts_with("classifier."));
    let mapping = parameters.filtered(|name| name.starts_with("decoder."));
    let mut history = History::new(network.encoder.graph.clone(), device, device);
    history.keep(0, 0, &classifier)?;
    let mut policy = Strategy::L100.policy();
    // The one that is there stays.
    policy.size = 1;
    policy.every = u64::MAX;
    let sgd = Sgd::new(0.9, 1e-4);
    Ok(Alternation {
        classifier: Classifier::new(&network.encoder, classifier, true, sgd)?,
        mapping: Mapping::new(&network, Upsample::Nearest, mapping, Adam::new(1e-4))?,
        history,
        policy,
        options: StepOptions::new(Score::Entropy),
        fill: [0.0; 3],
        seed: 0,
        loss_scale: LossScale::new(TrainingPrecision::F32),
    })
}

fn batch(arguments: &Arguments) -> Result<Batch> {
    let network = NetworkConfig::new(EncoderConfig::Resnet(ResnetConfig::resnet50(1000)));
    let mut input = Header::new(network).input;
    input.size = arguments.input_size;
    let side = arguments.input_size as usize;
    let count = arguments.batch * side * side * 3;
    // Bytes without any pattern that a cache or a branch could profit from.
    let pixels: Vec<u8> = (0..count as u64)
        .map(|index| (index.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 56) as u8)
        .collect();
    let classes: Vec<i64> = (0..arguments.batch as i64).map(|n| n * 31 % 1000).collect();
    let precision: TrainingPrecision = arguments.precision;
    Ok(Batch::from_pixels(
        &pixels,
        &classes,
        &input,
        precision.kind(),
        tch::Device::Cpu,
    )?)
}

fn peak_mebibytes() -> Result<u64> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find(|line| line.starts_with("VmHWM:"));
    let kibibytes = line.and_then(|line| line.split_whitespace().nth(1)?.parse::<u64>().ok());
    Ok(kibibytes.context("/proc/self/status names no peak")? / 1024)
}

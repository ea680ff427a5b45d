//! The `casm` command: where is the thing in a picture, what is in a checkpoint, how does a PyTorch
//! file become one.

mod command;

use std::io::ErrorKind;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Classifier-agnostic saliency maps: where is the thing, without labels, prompts or a detector.
#[derive(Debug, Parser)]
#[command(name = "casm", version, propagate_version = true)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Find the salient object of pictures; one JSON object a picture on standard output.
    Localize(command::localize::Arguments),
    /// Say what is inside a checkpoint.
    Info(command::info::Arguments),
    /// Write a checkpoint's network for other programs.
    Export(command::export::Arguments),
    /// Measure what int8 needs to know of a checkpoint's activations, and write it into a copy.
    Quantize(command::quantize::Arguments),
    /// Make a checkpoint of a PyTorch or safetensors file, without executing what is in it.
    Import(command::import::Arguments),
    /// Train a mapping and its classifiers (Algorithm 1 of the paper).
    Train(Box<command::train::Arguments>),
    /// Train a student on what a trained mapping says of close-ups: tighter masks, no labels.
    Distill(Box<command::distill::Arguments>),
    /// Bring a checkpoint's masks nearer to yes and no, with a wanted mean, without moving objects.
    Sharpen(command::sharpen::Arguments),
    /// Make a checkpoint's weights numbers of bf16, so that it finds nearly the same in bf16 as in f32.
    Round(command::round::Arguments),
    /// Train a classifier alone: the f(0) that training starts from.
    TrainClassifier(Box<command::train_classifier::Arguments>),
    /// Score a checkpoint's boxes and masks against annotated pictures.
    Evaluate(command::evaluate::Arguments),
    /// Show what masked pictures do to classifiers (Figure 3).
    Confuse(command::confuse::Arguments),
    /// Draw pictures, their masked versions, and a gallery of best and worst cases (Figure 2).
    Visualize(command::visualize::Arguments),
    /// Describe a checkpoint's masks: area, spread, entropy, total variation (section 6.1).
    Stats(command::stats::Arguments),
    /// Divide classes into random subsets (Table 3).
    SplitClasses(command::split_classes::Arguments),
}

fn main() -> ExitCode {
    let outcome = match Arguments::parse().command {
        Command::Localize(arguments) => command::localize::run(&arguments),
        Command::Info(arguments) => command::info::run(&arguments),
        Command::Export(arguments) => command::export::run(&arguments),
        Command::Quantize(arguments) => command::quantize::run(&arguments),
        Command::Import(arguments) => command::import::run(&arguments),
        Command::Train(arguments) => command::train::run(&arguments),
        Command::Distill(arguments) => command::distill::run(&arguments),
        Command::Sharpen(arguments) => command::sharpen::run(&arguments),
        Command::Round(arguments) => command::round::run(&arguments),
        Command::TrainClassifier(arguments) => command::train_classifier::run(&arguments),
        Command::Evaluate(arguments) => command::evaluate::run(&arguments),
        Command::Confuse(arguments) => command::confuse::run(&arguments),
        Command::Visualize(arguments) => command::visualize::run(&arguments),
        Command::Stats(arguments) => command::stats::run(&arguments),
        Command::SplitClasses(arguments) => command::split_classes::run(&arguments),
    };
    outcome.unwrap_or_else(|error| {
        // `casm info | head` has seen enough; that is no failure.
        let ended = |cause: &(dyn std::error::Error + 'static)| {
            cause
                .downcast_ref::<std::io::Error>()
                .is_some_and(|error| error.kind() == ErrorKind::BrokenPipe)
        };
        if error.chain().any(ended) {
            return ExitCode::SUCCESS;
        }
        eprintln!("casm: {error:#}");
        ExitCode::from(2)
    })
}

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
    /// Make a checkpoint of a PyTorch or safetensors file, without executing what is in it.
    Import(command::import::Arguments),
}

fn main() -> ExitCode {
    let outcome = match Arguments::parse().command {
        Command::Localize(arguments) => command::localize::run(&arguments),
        Command::Info(arguments) => command::info::run(&arguments),
        Command::Import(arguments) => command::import::run(&arguments),
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

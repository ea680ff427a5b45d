//! `casm confuse`.

use std::process::ExitCode;

/// Arguments of `casm confuse`.
#[derive(Debug, clap::Args)]
pub struct Arguments {}

/// Not there yet.
///
/// # Errors
/// Always.
pub fn run(_arguments: &Arguments) -> anyhow::Result<ExitCode> {
    anyhow::bail!("not implemented")
}

//! `steadfast data`

use super::{data_check, data_preview, data_simulate};
use crate::arguments::Global;
use clap::Subcommand;
use steadfast::Result;

/// The commands beneath `data`.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Report every mistake in a file, with its line
    Check(data_check::Arguments),
    /// Show which tokens carry loss
    Preview(data_preview::Arguments),
    /// Write booking conversations to learn from
    Simulate(data_simulate::Arguments),
}

/// Runs one of them.
pub fn run(command: &Command, global: Global) -> Result<()> {
    match command {
        Command::Check(arguments) => data_check::run(arguments, global),
        Command::Preview(arguments) => data_preview::run(arguments, global),
        Command::Simulate(arguments) => data_simulate::run(arguments, global),
    }
}

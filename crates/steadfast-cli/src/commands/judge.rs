//! `steadfast judge`

use super::judge_check;
use crate::arguments::Global;
use clap::Subcommand;
use steadfast::Result;

/// The commands beneath `judge`.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Grade replies whose kind is known, and print the agreement
    Check(judge_check::Arguments),
}

/// Runs one of them.
pub fn run(command: Command, global: Global) -> Result<()> {
    match command {
        Command::Check(arguments) => judge_check::run(arguments, global),
    }
}

//! `steadfast runs`

use crate::arguments::Global;
use crate::output::{self, Table};
use clap::Args;
use std::path::PathBuf;
use steadfast::Result;
use steadfast::runs::folder;

/// The flags of `runs`.
#[derive(Args, Debug)]
#[command(after_help = "Example:\n  steadfast runs --runs runs")]
pub struct Arguments {
    /// The folder of run folders
    #[arg(long, value_name = "DIR", default_value = "runs")]
    runs: PathBuf,
}

/// Lists the runs, the newest first.
pub fn run(arguments: &Arguments, global: Global) -> Result<()> {
    let runs = folder::list(&arguments.runs)?;
    if global.json {
        return output::json(&runs);
    }
    if runs.is_empty() && !global.quiet {
        anstream::eprintln!(
            "no runs in {}\nhint: steadfast study makes one",
            arguments.runs.display()
        );
        return Ok(());
    }
    let mut table = Table::new(&["run", "created", "state"]);
    for run in runs {
        let state = if run.finished.is_some() {
            "finished"
        } else {
            "unfinished"
        };
        table.row(vec![run.id, run.created, state.to_owned()]);
    }
    output::write(&table.render())
}

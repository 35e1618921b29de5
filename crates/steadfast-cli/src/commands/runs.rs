//! `steadfast runs`

use crate::arguments::Global;
use crate::output::{self, Table};
use clap::{Args, Subcommand};
use serde::Serialize;
use std::path::{Path, PathBuf};
use steadfast::Result;
use steadfast::providers::training;
use steadfast::runs::folder;

/// The flags of `runs`.
#[derive(Args, Debug)]
#[command(
    after_help = "Examples:\n  steadfast runs --runs runs\n  steadfast runs cancel runs/hotel-quick-0123456789/arms/openai-seed0"
)]
pub struct Arguments {
    #[command(subcommand)]
    command: Option<Command>,
    /// The folder of run folders
    #[arg(long, value_name = "DIR", default_value = "runs")]
    runs: PathBuf,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Cancel the job that trains an arm elsewhere
    Cancel {
        /// The arm's folder, which holds job.json
        folder: PathBuf,
    },
}

#[derive(Serialize)]
struct Cancelled {
    job: String,
    state: String,
}

/// Lists the runs, the newest first, or cancels a job of one.
pub fn run(arguments: &Arguments, global: Global) -> Result<()> {
    match &arguments.command {
        Some(Command::Cancel { folder }) => cancel(folder, global),
        None => list(arguments, global),
    }
}

fn cancel(folder: &Path, global: Global) -> Result<()> {
    let (job, state) = training::cancel(folder)?;
    if global.json {
        return output::json(&Cancelled { job, state });
    }
    output::write(&format!("{job} is {state}\n"))
}

fn list(arguments: &Arguments, global: Global) -> Result<()> {
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

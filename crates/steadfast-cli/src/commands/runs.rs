//! `steadfast runs`

use super::{runs_clean, runs_compare, runs_show};
use crate::arguments::Global;
use crate::errors;
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
    after_help = "Examples:\n  steadfast runs --runs runs\n  steadfast runs show hotel-quick\n  \
        steadfast runs compare hotel-quick-0123 hotel-quick-4567\n  \
        steadfast runs clean --unfinished --older-than 30\n  \
        steadfast runs cancel runs/hotel-quick-0123456789/arms/openai-seed0"
)]
pub struct Arguments {
    #[command(subcommand)]
    command: Option<Command>,
    /// The folder of run folders
    #[arg(long, value_name = "DIR", default_value = "runs", global = true)]
    runs: PathBuf,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// What one run was asked, where it stands, and what it found
    Show {
        /// Its id, the beginning of it, or its folder
        run: String,
    },
    /// What several runs found, side by side
    Compare {
        /// Ids, their beginnings, or folders
        #[arg(required = true, num_args = 2..)]
        runs_named: Vec<String>,
    },
    /// Remove runs, after asking; never one that is running
    Clean(runs_clean::Arguments),
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

/// Lists the runs, the newest first, or does what the subcommand says.
pub fn run(arguments: &Arguments, global: Global) -> Result<()> {
    let runs = &arguments.runs;
    match &arguments.command {
        Some(Command::Show { run }) => runs_show::run(runs, run, global),
        Some(Command::Compare { runs_named }) => runs_compare::run(runs, runs_named, global),
        Some(Command::Clean(arguments)) => runs_clean::run(runs, arguments, global),
        Some(Command::Cancel { folder }) => cancel(folder, global),
        None => list(runs, global),
    }
}

fn cancel(folder: &Path, global: Global) -> Result<()> {
    let (job, state) = training::cancel(folder)?;
    if global.json {
        return output::json(&Cancelled { job, state });
    }
    output::write(&format!("{job} is {state}\n"))
}

fn list(folder: &Path, global: Global) -> Result<()> {
    let runs = folder::list(folder)?;
    if global.json {
        return output::json(&runs);
    }
    if runs.is_empty() && !global.quiet {
        let none = format!(
            "no runs in {}\nhint: steadfast study makes one",
            folder.display()
        );
        errors::remark(&none, global.log_format);
        return Ok(());
    }
    let mut table = Table::new(&["run", "created", "state"]);
    for run in runs {
        let state = run.state.name().to_owned();
        table.row(vec![run.id, run.created, state]);
    }
    output::write(&table.render())
}

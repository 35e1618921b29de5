//! `steadfast runs clean`

use crate::arguments::Global;
use crate::output::{self, Table};
use crate::progress::Progress;
use clap::Args;
use serde::Serialize;
use std::path::Path;
use std::time::{Duration, SystemTime};
use steadfast::events::Listener;
use steadfast::runs::folder::{self, State, Summary};
use steadfast::{Error, Result};

/// The flags of `runs clean`.
#[derive(Args, Debug)]
pub struct Arguments {
    /// Ids, their beginnings, or folders
    #[arg(value_name = "RUN")]
    named: Vec<String>,
    /// All that were stopped before their end
    #[arg(long)]
    unfinished: bool,
    /// Of those (or of all) the ones in which nothing was written for so many days
    #[arg(long, value_name = "DAYS")]
    older_than: Option<u32>,
    /// Do not ask
    #[arg(long)]
    yes: bool,
}

#[derive(Serialize)]
struct Answer {
    removed: Vec<String>,
    bytes: u64,
}

/// Removes runs, after asking.
pub fn run(runs: &Path, arguments: &Arguments, global: Global) -> Result<()> {
    let chosen = chosen(runs, arguments)?;
    let sizes: Vec<u64> = chosen.iter().map(Summary::bytes).collect();
    let total: u64 = sizes.iter().sum();
    if !chosen.is_empty() && !arguments.yes {
        let mut table = Table::new(&["run", "state", "size"]);
        for (run, size) in chosen.iter().zip(&sizes) {
            let state = run.state.name().to_owned();
            table.row(vec![run.id.clone(), state, output::bytes(*size)]);
        }
        anstream::eprint!("{}", table.render());
        let question = format!("remove {}, {}?", count(chosen.len()), output::bytes(total));
        if !Progress::new(global).confirm(&question) {
            return Err(Error::user("nothing was removed").hint("agree to it, or give --yes"));
        }
    }
    for run in &chosen {
        folder::remove(run)?;
    }
    if global.json {
        return output::json(&Answer {
            removed: chosen.into_iter().map(|run| run.id).collect(),
            bytes: total,
        });
    }
    output::write(&format!(
        "removed {}, {}\n",
        count(chosen.len()),
        output::bytes(total)
    ))
}

fn count(runs: usize) -> String {
    format!("{runs} run{}", if runs == 1 { "" } else { "s" })
}

fn chosen(runs: &Path, arguments: &Arguments) -> Result<Vec<Summary>> {
    if arguments.named.is_empty() && !arguments.unfinished && arguments.older_than.is_none() {
        return Err(Error::user("which runs to remove is not said")
            .hint("name them, or give --unfinished or --older-than DAYS"));
    }
    let found = if arguments.named.is_empty() {
        folder::list(runs)?
    } else {
        let named = arguments.named.iter();
        named
            .map(|name| folder::find(runs, name))
            .collect::<Result<_>>()?
    };
    let mut chosen = Vec::new();
    for run in found {
        if run.state == State::Running {
            if !arguments.named.is_empty() {
                return Err(Error::user(format!("{} is running", run.id))
                    .at(&run.path)
                    .hint("stop it first"));
            }
            continue;
        }
        let wanted = !arguments.unfinished || run.state == State::Unfinished;
        let old = arguments
            .older_than
            .is_none_or(|days| idle(&run.path) >= Duration::from_secs(86_400 * u64::from(days)));
        let again = chosen.iter().any(|one: &Summary| one.id == run.id);
        if wanted && old && !again {
            chosen.push(run);
        }
    }
    Ok(chosen)
}

/// How long nothing was written in the folder. A clock that was set back makes nothing old.
fn idle(folder: &Path) -> Duration {
    fn newest(folder: &Path) -> Option<SystemTime> {
        let entries = std::fs::read_dir(folder).ok()?.flatten();
        let times = entries.filter_map(|entry| {
            let found = entry.metadata().ok()?;
            let inside = if found.is_dir() {
                newest(&entry.path())
            } else {
                None
            };
            inside.max(found.modified().ok())
        });
        times.max()
    }
    newest(folder)
        .and_then(|newest| newest.elapsed().ok())
        .unwrap_or_default()
}

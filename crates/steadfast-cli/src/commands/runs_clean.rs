//! `steadfast runs clean`

use crate::arguments::Global;
use crate::output::{self, Table};
use crate::progress::Progress;
use clap::Args;
use serde::Serialize;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};
use steadfast::events::Listener;
use steadfast::runs::folder::{self, State, Summary};
use steadfast::runs::store::Store;
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
    /// Also what all runs share: the base's replies and all scores, which a study that needs them
    /// computes again. With --older-than, files written so long ago; not while a run is at work
    #[arg(long)]
    store: bool,
    /// Do not ask
    #[arg(long)]
    yes: bool,
}

#[derive(Serialize)]
struct Answer {
    removed: Vec<String>,
    /// Files of what all runs share.
    stored: usize,
    bytes: u64,
}

/// Removes runs, after asking.
pub fn run(runs: &Path, arguments: &Arguments, global: Global) -> Result<()> {
    let chosen = chosen(runs, arguments)?;
    let stored = if arguments.store {
        stored(runs, arguments)?
    } else {
        Vec::new()
    };
    let sizes: Vec<u64> = chosen.iter().map(Summary::bytes).collect();
    let shared: u64 = stored.iter().map(|path| folder::bytes_under(path)).sum();
    let total = sizes.iter().sum::<u64>() + shared;
    let what = what(chosen.len(), stored.len());
    if !(chosen.is_empty() && stored.is_empty() || arguments.yes) {
        let mut table = Table::new(&["run", "state", "size"]);
        for (run, size) in chosen.iter().zip(&sizes) {
            let state = run.state.name().to_owned();
            table.row(vec![run.id.clone(), state, output::bytes(*size)]);
        }
        if !stored.is_empty() {
            let files = count(stored.len(), "file");
            table.row(vec!["store".to_owned(), files, output::bytes(shared)]);
        }
        anstream::eprint!("{}", table.render());
        let question = format!("remove {what}, {}?", output::bytes(total));
        if !Progress::new(global).confirm(&question) {
            return Err(Error::user("nothing was removed").hint("agree to it, or give --yes"));
        }
    }
    if !stored.is_empty() {
        // A run may have begun while the question stood there.
        idle_runs(runs)?;
    }
    for path in &stored {
        match std::fs::remove_file(path) {
            Err(cause) if cause.kind() != std::io::ErrorKind::NotFound => {
                return Err(Error::file("remove", path, cause));
            }
            _ => {}
        }
    }
    for run in &chosen {
        folder::remove(run)?;
    }
    if global.json {
        return output::json(&Answer {
            removed: chosen.into_iter().map(|run| run.id).collect(),
            stored: stored.len(),
            bytes: total,
        });
    }
    output::write(&format!("removed {what}, {}\n", output::bytes(total)))
}

fn count(count: usize, what: &str) -> String {
    format!("{count} {what}{}", if count == 1 { "" } else { "s" })
}

/// What is removed, in words.
fn what(runs: usize, stored: usize) -> String {
    let runs = count(runs, "run");
    match stored {
        0 => runs,
        _ => format!("{runs} and {} of the store", count(stored, "file")),
    }
}

/// Fails while a run is at work: it reads and writes the store.
fn idle_runs(runs: &Path) -> Result<()> {
    let busy = |run: &Summary| run.state == State::Running;
    match folder::list(runs)?.into_iter().find(busy) {
        Some(run) => Err(running(&run, "stop it first, or leave the store")),
        None => Ok(()),
    }
}

fn running(run: &Summary, hint: &str) -> Error {
    Error::user(format!("{} is running", run.id))
        .at(&run.path)
        .hint(hint)
}

/// The files of the store that are to go.
fn stored(runs: &Path, arguments: &Arguments) -> Result<Vec<PathBuf>> {
    idle_runs(runs)?;
    let files = Store::within(runs).files()?;
    let old = |path: &PathBuf| is_old(arguments, path);
    Ok(files.into_iter().filter(old).collect())
}

/// Whether nothing was written there for as long as is asked.
fn is_old(arguments: &Arguments, path: &Path) -> bool {
    let day = Duration::from_secs(86_400);
    arguments
        .older_than
        .is_none_or(|days| idle(path) >= day * days)
}

fn chosen(runs: &Path, arguments: &Arguments) -> Result<Vec<Summary>> {
    if arguments.named.is_empty() && !arguments.unfinished && arguments.older_than.is_none() {
        if arguments.store {
            return Ok(Vec::new());
        }
        return Err(Error::user("which runs to remove is not said")
            .hint("name them, or give --unfinished, --older-than DAYS or --store"));
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
                return Err(running(&run, "stop it first"));
            }
            continue;
        }
        let wanted = !arguments.unfinished || run.state == State::Unfinished;
        let old = is_old(arguments, &run.path);
        let again = chosen.iter().any(|one: &Summary| one.id == run.id);
        if wanted && old && !again {
            chosen.push(run);
        }
    }
    Ok(chosen)
}

/// How long a file was not written, or nothing in a folder. A clock that was set back makes nothing old.
fn idle(path: &Path) -> Duration {
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
    let written = if path.is_dir() {
        newest(path)
    } else {
        path.metadata().and_then(|file| file.modified()).ok()
    };
    written
        .and_then(|written| written.elapsed().ok())
        .unwrap_or_default()
}

//! A folder of this machine onto the Hub: an adapter, or a whole model.
//!
//! [`hub`] is the protocol. What the Hub has already, in this repository or in its storage, is not sent
//! again; a folder that is there as it is makes no commit.

pub mod hub;
#[cfg(test)]
mod tests;

use super::export::folder::COMPANIONS;
use crate::digest;
use crate::events::{Event, Listener};
use crate::{Error, Result};
use hub::{Change, Hub};
use serde::Serialize;
use std::path::{Path, PathBuf};

/// Regular files travel inside the commit, which is one request.
const MOST_REGULAR: u64 = 32 << 20;

/// One file that is pushed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct File {
    /// Where it is in the repository, with `/` between folders.
    pub path: String,
    /// Where it is here.
    pub here: PathBuf,
    /// Its size.
    pub bytes: u64,
}

/// Whether a file was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// It is new there, or another one was there.
    Pushed,
    /// The repository has it already.
    Present,
    /// The repository's `.gitignore` leaves it out.
    Ignored,
}

/// What became of one file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Outcome {
    /// Where it is in the repository.
    pub path: String,
    /// Its size.
    pub bytes: u64,
    /// Whether it was sent.
    pub state: State,
}

/// What was pushed.
#[derive(Clone, Debug, Serialize)]
pub struct Pushed {
    /// `owner/name`
    pub repository: String,
    /// Its page.
    pub url: String,
    /// The new commit; none where nothing had changed.
    pub commit: Option<String>,
    /// All files, in the order of their paths.
    pub files: Vec<Outcome>,
}

/// What a model or an adapter is made of, by name, beside what every model folder has. Anything else in
/// its folder may be nobody's business: conversations, keys, what training keeps for itself.
const NAMES: [&str; 5] = [
    "README.md",
    "LICENSE",
    "Modelfile",
    "adapter_config.json",
    "tokenizer.model",
];

/// And by how the name ends.
const ENDINGS: [&str; 3] = [".safetensors", ".safetensors.index.json", ".gguf"];

/// The curves of training, which the Hub draws.
const CURVES: &str = "tensorboard";

fn belongs(name: &str) -> bool {
    let ends = ENDINGS.iter().any(|ending| name.ends_with(ending));
    let named = COMPANIONS.iter().chain(&NAMES).any(|known| *known == name);
    !name.starts_with('.') && (ends || named)
}

/// The files of an adapter's or a model's folder that belong on the Hub, and no others.
///
/// # Errors
/// A user error where the folder is neither.
pub fn files(folder: &Path) -> Result<Vec<File>> {
    let mut files = Vec::new();
    collect(folder, "", belongs, &mut files)?;
    let curves = folder.join(CURVES);
    if curves.is_dir() {
        let events = |name: &str| name.starts_with("events.out.tfevents.");
        collect(&curves, &format!("{CURVES}/"), events, &mut files)?;
    }
    files.sort_by(|one, other| one.path.cmp(&other.path));
    let known = |file: &File| {
        ["adapter_config.json", "config.json"].contains(&file.path.as_str())
            || file.path.ends_with(".gguf")
    };
    if !files.iter().any(known) {
        return Err(
            Error::user("the folder holds neither an adapter nor a model")
                .at(folder)
                .hint("name a folder that `tune` or `export` wrote: with adapter_config.json, config.json or a GGUF file"),
        );
    }
    Ok(files)
}

/// The files of one folder whose names are `wanted`.
fn collect(
    folder: &Path,
    prefix: &str,
    wanted: impl Fn(&str) -> bool,
    files: &mut Vec<File>,
) -> Result<()> {
    let failed = |cause| Error::file("list", folder, cause);
    for entry in std::fs::read_dir(folder).map_err(failed)? {
        let here = entry.map_err(failed)?.path();
        let name = here.file_name().and_then(|name| name.to_str());
        let Some(name) = name.filter(|name| wanted(name)) else {
            continue;
        };
        let about = std::fs::metadata(&here).map_err(|cause| Error::file("read", &here, cause))?;
        if about.is_file() {
            files.push(File {
                path: format!("{prefix}{name}"),
                bytes: about.len(),
                here,
            });
        }
    }
    Ok(())
}

/// Pushes the files into `repository` (`owner/name`), which is made where there is none: a private one
/// if `private`.
///
/// # Errors
/// A user error where a private one is asked for and a public one is there; else what the Hub refuses.
pub fn push(
    hub: &Hub,
    repository: &str,
    private: bool,
    files: &[File],
    listener: &dyn Listener,
) -> Result<Pushed> {
    hub.make(repository, private)?;
    let kinds = hub.kinds(repository, files)?;
    let mut changes = Vec::new();
    let mut large = Vec::new();
    let mut outcomes = Vec::new();
    for (file, kind) in files.iter().zip(&kinds) {
        let mut state = State::Pushed;
        if kind.ignored {
            state = State::Ignored;
        } else if kind.large {
            let oid = digest::of_file(&file.here)?;
            if kind.oid.as_deref() == Some(oid.as_str()) {
                state = State::Present;
            } else {
                large.push((oid.clone(), file));
                changes.push(Change::Large { file, oid });
            }
        } else if file.bytes > MOST_REGULAR {
            return Err(Error::outside("the Hub takes this file for a small one")
                .at(&file.here)
                .hint(
                    "its repository's .gitattributes should say that files of this kind are large",
                ));
        } else {
            let bytes = std::fs::read(&file.here)
                .map_err(|cause| Error::file("read", &file.here, cause))?;
            if kind.oid.as_deref() == Some(digest::of_git_blob(&bytes).as_str()) {
                state = State::Present;
            } else {
                changes.push(Change::Regular { file, bytes });
            }
        }
        outcomes.push(Outcome {
            path: file.path.clone(),
            bytes: file.bytes,
            state,
        });
    }
    let total = large.iter().map(|(_, file)| file.bytes).sum();
    let stage = format!("pushing to {repository}");
    listener.on(Event::StageStarted {
        stage: stage.clone(),
        total,
        unit: "bytes",
    });
    let mut done = 0;
    for (oid, file) in hub.missing(repository, &large)? {
        hub.upload(&oid, file)?;
        done += file.bytes;
        listener.on(Event::StageAdvanced { done });
    }
    let commit = if changes.is_empty() {
        None
    } else {
        Some(hub.commit(repository, &changes)?)
    };
    listener.on(Event::StageFinished {
        stage,
        reused: changes.is_empty(),
    });
    Ok(Pushed {
        repository: repository.to_owned(),
        url: hub.page(repository),
        commit,
        files: outcomes,
    })
}

//! The run folder: found again by its content, held by one process at a time.
//!
//! ```text
//! runs/<id>/manifest.json      what was asked for, and the digests of what was read
//!           arms/<arm>-seed<N>/checkpoint-N/ · adapter/ · tensorboard/; trained elsewhere: job.json
//!           store/             what models elsewhere said
//!           samples.jsonl · results.json · report.html · figures/ · lm-eval/
//! runs/store/                  the base's replies and all scores, shared by all runs
//! ```

use super::manifest::{self, Manifest};
use crate::models::adapter::{CONFIG_FILE, TENSOR_FILE};
use crate::settings::StudySettings;
use crate::{Error, Result, digest};
use std::collections::BTreeMap;
use std::fs::{self, File, TryLockError};
use std::path::{Path, PathBuf};

/// In a run, a folder for each arm and seed: its checkpoints and adapters.
pub const ARMS: &str = "arms";

/// An arm's adapter in its folder.
pub const ADAPTER: &str = "adapter";

/// In an arm's folder, the part of its change that a budget allows.
pub const WITHIN_BUDGET: &str = "adapter-within-budget";

/// What a process that works in the folder holds.
const LOCK: &str = ".lock";

/// A run folder that this process holds until it is dropped.
#[derive(Debug)]
pub struct RunFolder {
    path: PathBuf,
    manifest: Manifest,
    found: bool,
    /// The operating system lets go of the lock when the process ends, however it ends.
    _lock: File,
}

impl RunFolder {
    /// Opens the run of these settings and inputs, or makes it. `inputs` holds what [`manifest::inputs`]
    /// found, and the base's digest under `base`.
    pub fn open(settings: &StudySettings, inputs: BTreeMap<String, String>) -> Result<Self> {
        let fresh = Manifest::new(settings, inputs)?;
        let path = settings.runs.join(&fresh.id);
        fs::create_dir_all(&path).map_err(|cause| {
            let mut error = Error::file("make", &path, cause);
            error.class = crate::error::Class::Outside;
            error.message = "cannot make the run folder".to_owned();
            error.hint("give a folder that can be written with --runs")
        })?;
        let lock = hold(&path, "--runs")?;
        let found = path.join(manifest::FILE).exists();
        let manifest = if found {
            let manifest = Manifest::read(&path)?;
            if (&manifest.settings, &manifest.inputs) != (&fresh.settings, &fresh.inputs) {
                return Err(
                    Error::user("the run folder's manifest is not that of these settings")
                        .at(path.join(manifest::FILE))
                        .hint("move the folder away; it was edited, or copied from another run"),
                );
            }
            manifest
        } else {
            fresh.write(&path)?;
            fresh
        };
        Ok(Self {
            path,
            manifest,
            found,
            _lock: lock,
        })
    }

    /// The folder.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The run's id.
    pub fn id(&self) -> &str {
        &self.manifest.id
    }

    /// What it was asked to do.
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// Whether it was started before.
    pub fn found(&self) -> bool {
        self.found
    }

    /// Whether it is finished, so that nothing is left to do.
    pub fn finished(&self) -> bool {
        self.manifest.finished.is_some() && self.results().exists() && self.report().exists()
    }

    /// A file of the finished run that has other bytes than the study left in it. One that is gone
    /// somebody has put away.
    pub fn damaged(&self) -> Option<PathBuf> {
        let mut left = self.manifest.outputs.iter();
        let damaged = |(name, expected): (&String, &String)| {
            let path = self.path.join(name);
            let changed =
                path.exists() && !digest::of_file(&path).is_ok_and(|found| found == *expected);
            changed.then_some(path)
        };
        left.find_map(damaged)
    }

    /// Marks the run finished; the last thing a study does.
    pub fn finish(&mut self) -> Result<()> {
        if self.manifest.finished.is_none() {
            self.manifest.finished = Some(jiff::Timestamp::now().to_string());
        }
        self.manifest.outputs = self.outputs()?;
        self.manifest.write(&self.path)
    }

    /// SHA-256 of results, samples, report and adapters.
    fn outputs(&self) -> Result<BTreeMap<String, String>> {
        let mut files = vec![self.results(), self.report(), self.samples()];
        for arm in fs::read_dir(self.path.join(ARMS)).into_iter().flatten() {
            let arm = arm.map_err(|cause| Error::file("read", &self.path, cause))?;
            for adapter in [ADAPTER, WITHIN_BUDGET] {
                let adapter = arm.path().join(adapter);
                files.extend([CONFIG_FILE, TENSOR_FILE].map(|file| adapter.join(file)));
            }
        }
        let mut outputs = BTreeMap::new();
        for file in files.into_iter().filter(|file| file.exists()) {
            let name = file.strip_prefix(&self.path).unwrap_or(&file);
            outputs.insert(name.display().to_string(), digest::of_file(&file)?);
        }
        Ok(outputs)
    }

    /// The folder of one arm under one seed, made if absent.
    pub fn arm(&self, name: &str, seed: u64) -> Result<PathBuf> {
        let path = arm_folder(&self.path, name, seed);
        fs::create_dir_all(&path).map_err(|cause| Error::file("make", &path, cause))?;
        Ok(path)
    }

    /// `results.json`.
    pub fn results(&self) -> PathBuf {
        self.path.join("results.json")
    }

    /// `samples.jsonl`.
    pub fn samples(&self) -> PathBuf {
        self.path.join("samples.jsonl")
    }

    /// `report.html`.
    pub fn report(&self) -> PathBuf {
        self.path.join("report.html")
    }
}

/// Where a run has one arm under one seed.
pub fn arm_folder(run: &Path, name: &str, seed: u64) -> PathBuf {
    run.join(ARMS).join(format!("{name}-seed{seed}"))
}

/// Takes the folder, which `flag` names, for this process until the file is dropped. The lock file stays,
/// which tells nothing: only the lock counts.
///
/// # Errors
/// Another process has it, or it cannot be written to.
pub fn hold(folder: &Path, flag: &str) -> Result<File> {
    let path = folder.join(LOCK);
    let file = File::options()
        .create(true)
        .truncate(false)
        .write(true)
        .open(&path)
        .map_err(|cause| Error::file("open", &path, cause))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => {
            Err(Error::user("another process is working in this folder")
                .at(folder)
                .hint(format!(
                    "wait for it, or give this one another folder with {flag}"
                )))
        }
        Err(TryLockError::Error(cause)) => {
            Err(Error::outside("this file system cannot lock a folder")
                .at(folder)
                .because(cause)
                .hint(format!("give a folder on a local disk with {flag}")))
        }
    }
}

/// Where a run stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// A process works in its folder.
    Running,
    /// Nothing is left to do.
    Finished,
    /// It was stopped; the same command goes on with it.
    Unfinished,
}

impl State {
    /// As people read it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Finished => "finished",
            Self::Unfinished => "unfinished",
        }
    }

    fn of(folder: &Path, manifest: &Manifest) -> Self {
        // Looked at without making a lock file: a list changes nothing.
        let held = File::open(folder.join(LOCK))
            .is_ok_and(|file| matches!(file.try_lock_shared(), Err(TryLockError::WouldBlock)));
        match manifest.finished {
            _ if held => Self::Running,
            Some(_) => Self::Finished,
            None => Self::Unfinished,
        }
    }
}

/// One line of the list of runs.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
pub struct Summary {
    /// The run's id.
    pub id: String,
    /// Its folder.
    pub path: PathBuf,
    /// RFC 3339, UTC.
    pub created: String,
    /// When it was finished, if it is.
    pub finished: Option<String>,
    /// Whether a process works on it.
    pub state: State,
    /// The page to look at, if it is there.
    pub report: Option<PathBuf>,
}

impl Summary {
    fn read(path: PathBuf) -> Result<Self> {
        let manifest = Manifest::read(&path)?;
        let report = path.join("report.html");
        Ok(Self {
            state: State::of(&path, &manifest),
            id: manifest.id,
            created: manifest.created,
            finished: manifest.finished,
            report: report.exists().then_some(report),
            path,
        })
    }

    /// Bytes of its files.
    pub fn bytes(&self) -> u64 {
        bytes_under(&self.path)
    }
}

/// Bytes of a file, or of all files in a folder. Links are not followed.
pub fn bytes_under(path: &Path) -> u64 {
    let Ok(entries) = fs::read_dir(path) else {
        return fs::symlink_metadata(path).map_or(0, |file| file.len());
    };
    let inside = |entry: fs::DirEntry| match entry.file_type() {
        Ok(kind) if kind.is_symlink() => 0,
        _ => bytes_under(&entry.path()),
    };
    entries.flatten().map(inside).sum()
}

/// The run of this name in `runs`: its id, the beginning of only one id, or its folder.
pub fn find(runs: &Path, name: &str) -> Result<Summary> {
    let path = Path::new(name);
    if path.join(manifest::FILE).exists() {
        return Summary::read(path.to_owned());
    }
    let mut begun: Vec<Summary> = list(runs)?
        .into_iter()
        .filter(|run| !name.is_empty() && run.id.starts_with(name))
        .collect();
    if let Some(exact) = begun.iter().position(|run| run.id == name) {
        return Ok(begun.swap_remove(exact));
    }
    match begun.len() {
        1 => Ok(begun.remove(0)),
        0 => Err(Error::user(format!("no run is called {name}"))
            .at(runs)
            .hint("steadfast runs lists them; --runs names another folder")),
        several => Err(Error::user(format!("{several} runs begin with {name}"))
            .at(runs)
            .hint("give more of the name")),
    }
}

/// What a run's name begins with while it is being removed.
const REMOVED: &str = ".removed-";

/// Removes a run with all that it holds.
///
/// # Errors
/// A process works in it, or the disk refuses.
pub fn remove(run: &Summary) -> Result<()> {
    let _held = hold(&run.path, "--runs")?;
    // Out of the list by one rename, so that a kill leaves no half of a run that looks whole.
    let aside = run.path.with_file_name(format!("{REMOVED}{}", run.id));
    sweep(&run.path)?;
    fs::rename(&run.path, &aside).map_err(|cause| Error::file("remove", &run.path, cause))?;
    sweep(&aside)
}

/// Removes what lies aside beside this run, of this removal and of those that were cut short.
fn sweep(run: &Path) -> Result<()> {
    let named = run.parent().filter(|runs| !runs.as_os_str().is_empty());
    let runs = named.unwrap_or(Path::new("."));
    let entries = fs::read_dir(runs).map_err(|cause| Error::file("read", runs, cause))?;
    for entry in entries.flatten() {
        if entry.file_name().to_string_lossy().starts_with(REMOVED) {
            match fs::remove_dir_all(entry.path()) {
                // Another process sweeps too.
                Err(cause) if cause.kind() != std::io::ErrorKind::NotFound => {
                    return Err(Error::file("remove", entry.path(), cause));
                }
                _ => {}
            }
        }
    }
    Ok(())
}

/// The runs in `runs`, the newest first. Folders without a manifest are none of ours and left out.
pub fn list(runs: &Path) -> Result<Vec<Summary>> {
    let mut found = Vec::new();
    let entries = match fs::read_dir(runs) {
        Ok(entries) => entries,
        Err(cause) if cause.kind() == std::io::ErrorKind::NotFound => return Ok(found),
        Err(cause) => return Err(Error::file("read", runs, cause)),
    };
    for entry in entries {
        let path = entry
            .map_err(|cause| Error::file("read", runs, cause))?
            .path();
        let hidden = path
            .file_name()
            .is_some_and(|name| name.as_encoded_bytes().starts_with(b"."));
        if !hidden && path.join(manifest::FILE).exists() {
            found.push(Summary::read(path)?);
        }
    }
    found.sort_by(|one, other| (&other.created, &other.id).cmp(&(&one.created, &one.id)));
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::{Extent, Overrides, recipe};

    fn settings(runs: &Path, seed: u64) -> StudySettings {
        let overrides = Overrides {
            preset: None,
            runs: Some(runs.to_path_buf()),
            seed: Some(seed),
            extent: Extent::Whole,
        };
        recipe::read(None, &overrides).expect("the shipped recipe")
    }

    fn inputs(digest: &str) -> BTreeMap<String, String> {
        BTreeMap::from([("base".to_owned(), digest.to_owned())])
    }

    #[test]
    fn the_same_study_finds_its_run_again_and_another_does_not() {
        let runs = tempfile::tempdir().expect("a folder");
        let first = RunFolder::open(&settings(runs.path(), 1), inputs("a")).expect("opens");
        let id = first.id().to_owned();
        assert!(!first.found());
        drop(first);

        let mut again = RunFolder::open(&settings(runs.path(), 1), inputs("a")).expect("opens");
        assert_eq!(again.id(), id);
        assert!(again.found() && !again.finished());
        fs::write(again.results(), "{}").expect("writes");
        fs::write(again.report(), "").expect("writes");
        again.finish().expect("finishes");
        drop(again);
        let last = RunFolder::open(&settings(runs.path(), 1), inputs("a")).expect("opens");
        assert!(last.finished());

        let seed = RunFolder::open(&settings(runs.path(), 2), inputs("a")).expect("opens");
        let base = RunFolder::open(&settings(runs.path(), 1), inputs("b")).expect("opens");
        assert!(seed.id() != id && base.id() != id && seed.id() != base.id());
        assert_eq!(list(runs.path()).expect("lists").len(), 3);
    }

    #[test]
    fn the_place_of_the_runs_is_no_part_of_their_identity() {
        let (one, two) = (tempfile::tempdir(), tempfile::tempdir());
        let (one, two) = (one.expect("a folder"), two.expect("a folder"));
        let first = RunFolder::open(&settings(one.path(), 1), inputs("a")).expect("opens");
        let second = RunFolder::open(&settings(two.path(), 1), inputs("a")).expect("opens");
        assert_eq!(first.id(), second.id());
    }

    #[test]
    fn two_processes_never_hold_one_run() {
        let runs = tempfile::tempdir().expect("a folder");
        let settings = settings(runs.path(), 1);
        let _held = RunFolder::open(&settings, inputs("a")).expect("opens");
        let error = RunFolder::open(&settings, inputs("a")).expect_err("is locked");
        assert!(error.message.contains("another process"), "{error}");
    }

    #[test]
    fn a_run_is_found_by_its_beginning_and_never_removed_while_it_runs() {
        let runs = tempfile::tempdir().expect("a folder");
        let held = RunFolder::open(&settings(runs.path(), 1), inputs("a")).expect("opens");
        let other = RunFolder::open(&settings(runs.path(), 2), inputs("a")).expect("opens");
        let (id, other_id) = (held.id().to_owned(), other.id().to_owned());
        drop(other);
        let states: BTreeMap<String, State> = list(runs.path())
            .expect("lists")
            .into_iter()
            .map(|run| (run.id, run.state))
            .collect();
        assert_eq!(states[&id], State::Running);
        assert_eq!(states[&other_id], State::Unfinished);

        assert!(
            find(runs.path(), "hotel")
                .expect_err("two")
                .message
                .contains("2 runs")
        );
        assert!(find(runs.path(), "nothing").is_err());
        let start = id.len() - 6;
        let found = find(runs.path(), &id[..start]).expect("one begins so");
        assert!(found.id == id && found.bytes() > 0);
        assert!(
            remove(&found)
                .expect_err("runs")
                .message
                .contains("another process")
        );
        drop(held);
        remove(&found).expect("removes");
        assert_eq!(list(runs.path()).expect("lists").len(), 1);
        assert!(!found.path.exists());
    }

    #[test]
    fn a_newer_format_is_refused_by_name() {
        let runs = tempfile::tempdir().expect("a folder");
        let folder = RunFolder::open(&settings(runs.path(), 1), inputs("a")).expect("opens");
        let path = folder.path().join(manifest::FILE);
        drop(folder);
        let text = fs::read_to_string(&path).expect("reads");
        fs::write(&path, text.replace("steadfast.run/1", "steadfast.run/2")).expect("writes");
        let error = RunFolder::open(&settings(runs.path(), 1), inputs("a")).expect_err("refused");
        assert_eq!(error.place.field.as_deref(), Some("format"));
    }

    #[test]
    fn changed_inputs_change_the_digest() {
        let folder = tempfile::tempdir().expect("a folder");
        fs::write(folder.path().join("a"), "x").expect("writes");
        let before = manifest::digest(folder.path()).expect("reads");
        fs::rename(folder.path().join("a"), folder.path().join("b")).expect("renames");
        let renamed = manifest::digest(folder.path()).expect("reads");
        assert_ne!(before, renamed);
    }
}

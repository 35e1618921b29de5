//! The run folder: found again by its content, held by one process at a time.
//!
//! ```text
//! runs/<id>/manifest.json      what was asked for, and the digests of what was read
//!           base/              the base's replies and scores, shared by all arms
//!           retain/            retain text and moments
//!           arms/<arm>-seed<N>/checkpoints/ · adapter/ · samples.jsonl; trained elsewhere: job.json
//!           store/             what models elsewhere said
//!           results.json · report.html · figures/
//! ```

use super::manifest::{self, Manifest};
use crate::settings::StudySettings;
use crate::{Error, Result};
use std::collections::BTreeMap;
use std::fs::{self, File, TryLockError};
use std::path::{Path, PathBuf};

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

    /// Marks the run finished; the last thing a study does.
    pub fn finish(&mut self) -> Result<()> {
        if self.manifest.finished.is_none() {
            self.manifest.finished = Some(jiff::Timestamp::now().to_string());
            self.manifest.write(&self.path)?;
        }
        Ok(())
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

    /// `report.html`.
    pub fn report(&self) -> PathBuf {
        self.path.join("report.html")
    }
}

/// Where a run has one arm under one seed.
pub fn arm_folder(run: &Path, name: &str, seed: u64) -> PathBuf {
    run.join(format!("arms/{name}-seed{seed}"))
}

/// Takes the folder, which `flag` names, for this process until the file is dropped. The lock file stays,
/// which tells nothing: only the lock counts.
///
/// # Errors
/// Another process has it, or it cannot be written to.
pub fn hold(folder: &Path, flag: &str) -> Result<File> {
    let path = folder.join(".lock");
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
    /// The page to look at, if it is there.
    pub report: Option<PathBuf>,
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
        if !path.join(manifest::FILE).exists() {
            continue;
        }
        let manifest = Manifest::read(&path)?;
        let report = path.join("report.html");
        found.push(Summary {
            id: manifest.id,
            created: manifest.created,
            finished: manifest.finished,
            report: report.exists().then_some(report),
            path,
        });
    }
    found.sort_by(|one, other| (&other.created, &other.id).cmp(&(&one.created, &one.id)));
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::{Overrides, recipe};

    fn settings(runs: &Path, seed: u64) -> StudySettings {
        let overrides = Overrides {
            preset: None,
            runs: Some(runs.to_path_buf()),
            seed: Some(seed),
            kept_only: false,
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

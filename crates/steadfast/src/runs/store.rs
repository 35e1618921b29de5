//! Finished stages, kept by the content of their inputs.
//!
//! A stage whose inputs have not changed is never run twice: not after a kill, and not by another
//! study over the same base. What is kept carries its own digest, so that a damaged file is
//! computed again and not believed.

use super::atomic;
use crate::digest;
use crate::events::{Event, Listener};
use crate::{Error, Result};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::path::{Path, PathBuf};

/// Part of every key: a change of what a stage means makes old artefacts unreachable, not wrong.
const FORMAT: &str = "steadfast.store/1";

/// A folder of finished stages.
#[derive(Clone, Debug)]
pub struct Store {
    folder: PathBuf,
}

impl Store {
    /// Opens the store in `folder`, which need not exist yet.
    pub fn new(folder: impl Into<PathBuf>) -> Self {
        Self {
            folder: folder.into(),
        }
    }

    /// The store of a folder of runs, of a run, or of what `tune` writes: its `store/`.
    pub fn within(folder: &Path) -> Self {
        Self::new(folder.join("store"))
    }

    /// The value of `stage` for these `inputs`: read if it is there and whole, else computed and kept.
    ///
    /// The value returned has always passed through its form on disk, so that a study that computed
    /// it and one that read it go on with the same bits.
    pub fn reuse<T: Serialize + DeserializeOwned>(
        &self,
        stage: &str,
        inputs: &impl Serialize,
        listener: &dyn Listener,
        compute: impl FnOnce() -> Result<T>,
    ) -> Result<T> {
        let path = self.path(stage, inputs)?;
        match read(&path) {
            Ok(Some(value)) => {
                listener.on(Event::StageFinished {
                    stage: stage.to_owned(),
                    reused: true,
                });
                return Ok(value);
            }
            Ok(None) => {}
            Err(reason) => listener.on(Event::Warning {
                message: format!(
                    "{} is damaged ({reason}): computing it again",
                    path.display()
                ),
            }),
        }
        let value = compute()?;
        let payload = serde_json::to_string(&value).map_err(|cause| {
            Error::bug(format!("the result of {stage} has no JSON form")).because(cause)
        })?;
        std::fs::create_dir_all(&self.folder)
            .map_err(|cause| Error::file("create", &self.folder, cause))?;
        atomic::write(
            &path,
            format!("{}\n{payload}\n", digest::of(&payload)).as_bytes(),
        )?;
        serde_json::from_str(&payload).map_err(|cause| {
            Error::bug(format!("the result of {stage} cannot be read back")).because(cause)
        })
    }

    /// The value of `stage` for these `inputs`, if it is there and whole.
    pub fn found<T: DeserializeOwned>(
        &self,
        stage: &str,
        inputs: &impl Serialize,
    ) -> Result<Option<T>> {
        Ok(read(&self.path(stage, inputs)?).ok().flatten())
    }

    /// The files in it: finished stages, and what a kill left half written.
    ///
    /// # Errors
    /// The folder cannot be read; one that is not there holds nothing.
    pub fn files(&self) -> Result<Vec<PathBuf>> {
        let entries = match std::fs::read_dir(&self.folder) {
            Ok(entries) => entries,
            Err(cause) if cause.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(cause) => return Err(Error::file("read", &self.folder, cause)),
        };
        let mut files = Vec::new();
        for entry in entries {
            let path = entry
                .map_err(|cause| Error::file("read", &self.folder, cause))?
                .path();
            if path.is_file() {
                files.push(path);
            }
        }
        Ok(files)
    }

    fn path(&self, stage: &str, inputs: &impl Serialize) -> Result<PathBuf> {
        let inputs = serde_json::to_string(inputs).map_err(|cause| {
            Error::bug(format!("the inputs of {stage} have no JSON form")).because(cause)
        })?;
        let name: String = stage
            .chars()
            .map(|letter| {
                if letter.is_ascii_alphanumeric() {
                    letter
                } else {
                    '-'
                }
            })
            .collect();
        let key = digest::of(format!("{FORMAT}\n{stage}\n{inputs}"));
        Ok(self.folder.join(format!("{name}-{}.json", &key[..16])))
    }
}

/// `None`: not there. An error says in words what is damaged.
fn read<T: DeserializeOwned>(path: &Path) -> std::result::Result<Option<T>, String> {
    let text = match std::fs::read_to_string(path) {
        Ok(text) => text,
        Err(cause) if cause.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(cause) => return Err(cause.to_string()),
    };
    let (expected, payload) = text.split_once('\n').ok_or("it has no digest")?;
    let payload = payload.trim_end_matches('\n');
    if digest::of(payload) != expected {
        return Err("its digest does not match".into());
    }
    serde_json::from_str(payload)
        .map(Some)
        .map_err(|cause| cause.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::events::Silent;
    use std::cell::Cell;

    #[test]
    fn a_stage_runs_once_for_the_same_inputs_and_again_when_damaged() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::new(folder.path());
        let runs = Cell::new(0);
        let ask = |inputs: &str| {
            store
                .reuse("a stage", &inputs, &Silent, || {
                    runs.set(runs.get() + 1);
                    Ok(vec![0.1 + 0.2, 1.0 / 3.0])
                })
                .unwrap()
        };
        let first = ask("one");
        assert_eq!(ask("one"), first);
        assert_eq!(runs.get(), 1);
        ask("two");
        assert_eq!(runs.get(), 2);

        let path = store.path("a stage", &"one").unwrap();
        let text = std::fs::read_to_string(&path).unwrap();
        std::fs::write(&path, text.replace("0.3", "0.4")).unwrap();
        assert_eq!(ask("one"), first);
        assert_eq!(runs.get(), 3);
    }
}

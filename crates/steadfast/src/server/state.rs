//! What outlives the server: files, jobs and their adapters, in one folder.
//!
//! Every record is written whole or not at all. A job that was queued or running when the server
//! ended is queued again when it starts, and goes on from its last checkpoint.

use super::fields::Read;
use super::files::{self, FileRecord};
use super::jobs::{self, Job, JobRecord};
use super::refusal::Refusal;
use crate::models::resolve::Located;
use crate::runs::atomic;
use crate::{Error, Result};
use axum::Json;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard};

/// The folder and all that is in it.
#[derive(Debug)]
pub struct State {
    folder: PathBuf,
    files: Mutex<BTreeMap<String, FileRecord>>,
    jobs: Mutex<BTreeMap<String, Arc<Job>>>,
    /// Held while the server runs: two on one folder would write over each other.
    _lock: File,
}

/// `after` and `limit` of a list.
#[derive(Clone, Debug, Default, Deserialize)]
pub struct Paging {
    after: Option<String>,
    limit: Option<usize>,
}

impl State {
    /// Opens the folder, and makes it where there is none.
    pub fn open(folder: &Path) -> Result<Self> {
        for part in [folder, &folder.join("files"), &folder.join("jobs")] {
            std::fs::create_dir_all(part).map_err(|cause| Error::file("create", part, cause))?;
        }
        // Runs are known by the paths of their data, so however the folder is named now.
        let folder = &folder
            .canonicalize()
            .map_err(|cause| Error::file("find", folder, cause))?;
        let path = folder.join("lock");
        let lock = File::create(&path).map_err(|cause| Error::file("create", &path, cause))?;
        if lock.try_lock().is_err() {
            return Err(Error::user("another server uses this folder")
                .at(folder)
                .field("--state")
                .hint("stop it, or give this one a folder of its own"));
        }
        let files = files::read_all(&folder.join("files"))?;
        let jobs = jobs::read_all(&folder.join("jobs"))?;
        Ok(Self {
            folder: folder.to_owned(),
            files: Mutex::new(files.into_iter().map(|one| (one.id.clone(), one)).collect()),
            jobs: Mutex::new(
                jobs.into_iter()
                    .map(|job| (job.id.clone(), Arc::new(job)))
                    .collect(),
            ),
            _lock: lock,
        })
    }

    /// The same, for a server of this base. Its models are changes of one base's weights; over others of the
    /// same shapes they would answer, and say anything. A folder whose jobs are older than this check takes
    /// the first base.
    ///
    /// # Errors
    /// Its jobs were for other weights.
    pub fn of_base(self, base: &Located) -> Result<Self> {
        #[derive(Serialize, Deserialize)]
        struct Base {
            id: String,
            revision: Option<String>,
            sha256: String,
        }
        let now = Base {
            id: base.id.clone(),
            revision: base.revision.clone(),
            sha256: base.sha256.clone(),
        };
        let path = self.folder.join("base.json");
        if held(&self.jobs).is_empty() || !path.exists() {
            write_json(&path, &now)?;
            return Ok(self);
        }
        let then: Base = read_json(&path)?;
        if then.sha256 == now.sha256 {
            return Ok(self);
        }
        let of = |base: &Base| match &base.revision {
            Some(revision) => format!("{} ({revision})", base.id),
            None => format!(
                "{} (weights {}…)",
                base.id,
                base.sha256.get(..12).unwrap_or("unknown")
            ),
        };
        let message = format!(
            "the jobs of this folder tune {}, and this server's base is {}",
            of(&then),
            of(&now)
        );
        Err(Error::user(message)
            .at(&self.folder)
            .field("--state")
            .hint("serve those weights (--model), or give this base a folder of its own"))
    }

    /// Where files are.
    pub fn files_folder(&self) -> PathBuf {
        self.folder.join("files")
    }

    /// Where jobs train and are measured; what several of them need is kept there once.
    pub fn runs_folder(&self) -> PathBuf {
        self.folder.join("runs")
    }

    /// A path of a record.
    pub fn path(&self, within: &Path) -> PathBuf {
        self.folder.join(within)
    }

    /// A path as records have it: the folder may be moved.
    pub fn within(&self, path: &Path) -> PathBuf {
        path.strip_prefix(&self.folder).unwrap_or(path).to_owned()
    }

    /// All files of an owner, the newest first.
    pub fn files(&self, owner: &str) -> Vec<FileRecord> {
        let files = held(&self.files);
        let mut own: Vec<FileRecord> = files
            .values()
            .filter(|file| file.owner == owner)
            .cloned()
            .collect();
        own.sort_by(|one, other| (other.created_at, &other.id).cmp(&(one.created_at, &one.id)));
        own
    }

    /// One file of an owner.
    pub fn file(&self, owner: &str, id: &str) -> Read<FileRecord> {
        let found = held(&self.files).get(id).cloned();
        found
            .filter(|file| file.owner == owner)
            .ok_or_else(|| Refusal::nothing("file", id))
    }

    /// Takes up a file that is on disk.
    pub fn add_file(&self, record: FileRecord) {
        held(&self.files).insert(record.id.clone(), record);
    }

    /// Forgets a file that is gone from the disk.
    pub fn forget_file(&self, id: &str) {
        held(&self.files).remove(id);
    }

    /// All jobs of an owner (of all, without one), the newest first.
    pub fn jobs(&self, owner: Option<&str>) -> Vec<Arc<Job>> {
        let jobs = held(&self.jobs);
        let mut own: Vec<Arc<Job>> = jobs
            .values()
            .filter(|job| owner.is_none_or(|owner| job.owner == owner))
            .cloned()
            .collect();
        own.sort_by(|one, other| (other.created_at, &other.id).cmp(&(one.created_at, &one.id)));
        own
    }

    /// One job of an owner.
    pub fn job(&self, owner: &str, id: &str) -> Read<Arc<Job>> {
        let found = held(&self.jobs).get(id).cloned();
        found
            .filter(|job| job.owner == owner)
            .ok_or_else(|| Refusal::nothing("fine-tuning job", id))
    }

    /// Writes a new job down and takes it up.
    pub fn add_job(&self, record: JobRecord, data: &[u8]) -> Result<Arc<Job>> {
        let job = Arc::new(Job::create(&self.folder.join("jobs"), record, data)?);
        held(&self.jobs).insert(job.id.clone(), Arc::clone(&job));
        Ok(job)
    }
}

/// A lock whose holder panicked guards nothing that was half done: records change in one step.
pub fn held<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    match mutex.lock() {
        Ok(guard) => guard,
        Err(poisoned) => poisoned.into_inner(),
    }
}

/// A page of a list, as OpenAI's clients turn it.
pub fn page<T>(
    all: Vec<T>,
    paging: &Paging,
    default: usize,
    id: impl Fn(&T) -> &str,
    shown: impl Fn(&T) -> Value,
) -> Read<Json<Value>> {
    let limit = paging.limit.unwrap_or(default);
    if limit == 0 {
        return Err(Refusal::wrong("limit", "`limit` must be at least 1."));
    }
    let start = match &paging.after {
        None => 0,
        Some(after) => match all.iter().position(|one| id(one) == after) {
            Some(place) => place + 1,
            None => {
                return Err(Refusal::wrong(
                    "after",
                    format!("There is no `{after}` in this list."),
                ));
            }
        },
    };
    let shown: Vec<Value> = all.iter().skip(start).take(limit).map(shown).collect();
    let has_more = start + shown.len() < all.len();
    Ok(Json(json!({
        "object": "list",
        "first_id": shown.first().map(|one| one["id"].clone()),
        "last_id": shown.last().map(|one| one["id"].clone()),
        "data": shown,
        "has_more": has_more,
    })))
}

/// Reads a record.
pub fn read_json<T: DeserializeOwned>(path: &Path) -> Result<T> {
    let text = std::fs::read_to_string(path).map_err(|cause| Error::file("read", path, cause))?;
    serde_json::from_str(&text).map_err(|cause| {
        Error::user("this is no record of ours")
            .at(path)
            .line(cause.line())
            .because(cause)
            .hint("move it out of the state folder")
    })
}

/// Writes a record, whole or not at all.
pub fn write_json(path: &Path, record: &impl Serialize) -> Result<()> {
    let text = serde_json::to_string_pretty(record)
        .map_err(|cause| Error::bug("a record has no JSON form").because(cause))?;
    atomic::write(path, text.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::server::jobs::tests::record;

    #[test]
    fn models_of_one_base_are_not_served_over_another() {
        let folder = tempfile::tempdir().unwrap();
        let base = |name: &str| Located {
            id: name.to_owned(),
            revision: None,
            sha256: name.repeat(4),
            identity: name.to_owned(),
            path: PathBuf::new(),
        };
        let open = |name| State::open(folder.path()).unwrap().of_base(&base(name));
        // No job yet: the folder takes any base.
        open("one").unwrap();
        let two = open("two").unwrap();
        two.add_job(record(), b"").unwrap();
        drop(two);
        let error = open("one").unwrap_err();
        assert!(
            error.message.contains("tune two (weights twotwo"),
            "{error}"
        );
        assert!(error.hint.is_some());
        open("two").unwrap();
    }
}

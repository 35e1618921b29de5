//! One fine-tuning job: what was asked, how it stands, and what happened, all on disk.

use super::state::{held, read_json, write_json};
use crate::evaluation::Budgeted;
use crate::events::{Event, Listener};
use crate::runs::atomic;
use crate::settings::MethodName;
use crate::{Error, Result};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::fmt::Display;
use std::fs::OpenOptions;
use std::io::Write;
use std::ops::Deref;
use std::path::{Component, Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

/// How a job stands, in OpenAI's words.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// Waits for its turn.
    Queued,
    /// Trains.
    Running,
    /// Stopped by its owner, to go on from where it was.
    Paused,
    /// Its model can be asked.
    Succeeded,
    /// Ended by a mistake, which it tells.
    Failed,
    /// Ended by its owner.
    Cancelled,
}

impl Status {
    /// It will not change any more.
    pub fn is_final(self) -> bool {
        matches!(self, Self::Succeeded | Self::Failed | Self::Cancelled)
    }
}

/// What decides the result. `None` leaves it to the method.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Choices {
    /// The method's name.
    pub method: String,
    /// Passes over the data.
    pub epochs: Option<f64>,
    /// Optimiser steps, in place of epochs.
    pub steps: Option<usize>,
    /// Peak learning rate.
    pub learning_rate: Option<f64>,
    /// How firmly it holds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub penalty: Option<f64>,
    /// Retained tokens read for each training token.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub anchor_share: Option<f64>,
    /// Where `null-space` moves.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subspace: Option<String>,
    /// How much the base writes first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub preset: Option<String>,
    /// Rank of the adapter.
    pub rank: Option<usize>,
    /// Most tokens of one packed batch.
    pub batch_tokens: Option<usize>,
    /// Of data order and initialisation.
    pub seed: u64,
    /// Most items of each suite that base and result are measured on.
    #[serde(default)]
    pub items: usize,
    /// The most points of each that may be lost; without one nothing bounds it.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub budget: BTreeMap<Budgeted, f64>,
}

impl Choices {
    /// The method, where this version knows it.
    pub fn method(&self) -> Option<MethodName> {
        MethodName::named(&self.method)
    }

    /// Whether the base writes replies first.
    pub fn retains(&self) -> bool {
        self.method().is_some_and(MethodName::retains)
            || self.anchor_share.is_some_and(|share| share > 0.0)
    }
}

/// What was asked and how it stands; written whole at every change.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct JobRecord {
    /// `ftjob-…`
    pub id: String,
    /// Whose it is: the name of a key, or nothing.
    pub owner: String,
    /// The base's name.
    pub model: String,
    /// Part of the result's name.
    pub suffix: Option<String>,
    /// The file that it learns from.
    pub training_file: String,
    /// What decides the result.
    pub choices: Choices,
    /// Pairs that the owner put to it.
    pub metadata: Value,
    /// Seconds since 1970.
    pub created_at: i64,
    /// When it ended.
    pub finished_at: Option<i64>,
    /// How it stands.
    pub status: Status,
    /// What it ended by.
    pub error: Option<String>,
    /// The result's name.
    pub fine_tuned_model: Option<String>,
    /// Tokens read in training.
    pub trained_tokens: Option<u64>,
    /// What it left behind, once it has succeeded.
    pub result: Option<Results>,
    /// Its owner has deleted the model: what it measured is still there.
    #[serde(default)]
    pub deleted: bool,
}

/// Paths within the state's folder.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Results {
    /// The PEFT adapter.
    pub adapter: PathBuf,
    /// The run's folder: `report.html`, `results.json` and the rest.
    pub run: PathBuf,
}

/// Something that happened.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct JobEvent {
    /// `ftevent-…`
    pub id: String,
    /// Seconds since 1970.
    pub created_at: i64,
    /// `info`, `warn` or `error`
    pub level: String,
    /// `message` or `metrics`
    #[serde(rename = "type")]
    pub kind: String,
    /// For people.
    pub message: String,
    /// For programs.
    pub data: Value,
}

/// A job and its folder.
#[derive(Debug)]
pub struct Job {
    fixed: JobRecord,
    folder: PathBuf,
    changing: Mutex<JobRecord>,
    events: Mutex<Vec<JobEvent>>,
    /// Its owner, or the server's end, wants it to stop at the next step.
    stop: AtomicBool,
}

impl Deref for Job {
    type Target = JobRecord;

    /// What was asked, which never changes.
    fn deref(&self) -> &JobRecord {
        &self.fixed
    }
}

impl Job {
    /// Writes a new job down, its record last: a folder without one is no job.
    pub fn create(jobs: &Path, record: JobRecord, data: &[u8]) -> Result<Self> {
        let folder = jobs.join(&record.id);
        std::fs::create_dir_all(&folder).map_err(|cause| Error::file("create", &folder, cause))?;
        let job = Self::of(folder, record, Vec::new());
        atomic::write(&job.data_path(), data)?;
        write_json(&job.folder.join("job.json"), &job.fixed)?;
        Ok(job)
    }

    fn of(folder: PathBuf, record: JobRecord, events: Vec<JobEvent>) -> Self {
        Self {
            fixed: record.clone(),
            folder,
            changing: Mutex::new(record),
            events: Mutex::new(events),
            stop: AtomicBool::new(false),
        }
    }

    /// Where the adapter of a job is that was trained before jobs were measured.
    pub fn training_folder(&self) -> PathBuf {
        self.folder.join("training")
    }

    /// The copy of the file that it learns from: deleting that one changes no job.
    pub fn data_path(&self) -> PathBuf {
        self.folder.join("training.jsonl")
    }

    /// As it stands.
    pub fn now(&self) -> JobRecord {
        held(&self.changing).clone()
    }

    /// Changes how it stands, on disk first. `change` says whether there is anything to change.
    pub fn change(&self, change: impl FnOnce(&mut JobRecord) -> bool) -> Result<bool> {
        let mut current = held(&self.changing);
        let mut next = current.clone();
        if !change(&mut next) {
            return Ok(false);
        }
        if next.status.is_final() && next.finished_at.is_none() {
            next.finished_at = Some(jiff::Timestamp::now().as_second());
        }
        write_json(&self.folder.join("job.json"), &next)?;
        *current = next;
        Ok(true)
    }

    /// Asks it to stop at the next step, or lets it run.
    pub fn set_stop(&self, stop: bool) {
        self.stop.store(stop, Ordering::SeqCst);
    }

    /// Whether it should stop.
    pub fn stops(&self) -> bool {
        self.stop.load(Ordering::SeqCst)
    }

    /// Writes down that something happened. A line that cannot be written leaves a gap in the account, and the
    /// job as it is: `listener` hears of it.
    pub fn tell(
        &self,
        listener: &dyn Listener,
        level: &str,
        kind: &str,
        message: String,
        data: Value,
    ) {
        if let Err(error) = self.write_event(level, kind, message, data) {
            self.warn(listener, error);
        }
    }

    /// Warns whoever runs the server, not the job's owner.
    pub fn warn(&self, listener: &dyn Listener, what: impl Display) {
        let message = format!("job {}: {what}", self.id);
        listener.on(Event::Warning { message });
    }

    fn write_event(&self, level: &str, kind: &str, message: String, data: Value) -> Result<()> {
        let mut events = held(&self.events);
        let event = JobEvent {
            // In order, and the same after a restart.
            id: format!("ftevent-{}-{:06}", &self.id[6..], events.len()),
            created_at: jiff::Timestamp::now().as_second(),
            level: level.to_owned(),
            kind: kind.to_owned(),
            message,
            data,
        };
        let path = self.folder.join("events.jsonl");
        let line = serde_json::to_string(&event)
            .map_err(|cause| Error::bug("an event has no JSON form").because(cause))?;
        OpenOptions::new()
            .create(true)
            .append(true)
            .open(&path)
            .and_then(|mut file| file.write_all(format!("{line}\n").as_bytes()))
            .map_err(|cause| Error::file("write", &path, cause))?;
        events.push(event);
        Ok(())
    }

    /// All that happened, the newest first.
    pub fn events(&self) -> Vec<JobEvent> {
        held(&self.events).iter().rev().cloned().collect()
    }

    /// As OpenAI's clients read it.
    pub fn shown(&self) -> Value {
        let now = self.now();
        let error = now
            .error
            .as_ref()
            .map(|message| json!({"code": "training_failed", "message": message, "param": null}));
        json!({
            "id": now.id,
            "object": "fine_tuning.job",
            "created_at": now.created_at,
            "finished_at": now.finished_at,
            "error": error.unwrap_or(json!({})),
            "model": now.model,
            "fine_tuned_model": now.fine_tuned_model,
            "organization_id": "steadfast",
            "status": now.status,
            "training_file": now.training_file,
            "validation_file": null,
            "result_files": [],
            "trained_tokens": now.trained_tokens,
            "seed": now.choices.seed,
            "estimated_finish": null,
            "integrations": [],
            "metadata": now.metadata,
            "user_provided_suffix": now.suffix,
            "hyperparameters": hyperparameters(&now.choices),
            "method": {"type": "supervised", "supervised": {"hyperparameters": hyperparameters(&now.choices)}},
            "steadfast": own(&now),
        })
    }
}

/// What OpenAI's form has no place for.
fn own(now: &JobRecord) -> Value {
    let mut own = json!(now.choices);
    if now.result.is_some() {
        for document in ["report", "results"] {
            own[document] = json!(format!("/v1/fine_tuning/jobs/{}/{document}", now.id));
        }
    }
    own
}

fn hyperparameters(choices: &Choices) -> Value {
    json!({
        "n_epochs": choices.epochs.map_or(json!("auto"), |epochs| json!(epochs as u64)),
        "batch_size": "auto",
        "learning_rate_multiplier": "auto",
    })
}

/// Reads all jobs of a folder. A folder without a record is one whose making was cut short.
pub fn read_all(folder: &Path) -> Result<Vec<Job>> {
    let mut jobs = Vec::new();
    let entries = std::fs::read_dir(folder).map_err(|cause| Error::file("list", folder, cause))?;
    for entry in entries {
        let folder = entry
            .map_err(|cause| Error::file("list", folder, cause))?
            .path();
        let record = folder.join("job.json");
        if record.exists() {
            let events = read_events(&folder.join("events.jsonl"))?;
            let read: JobRecord = read_json(&record)?;
            check(&read, &folder).map_err(|error| error.at(&record))?;
            jobs.push(Job::of(folder, read, events));
        }
    }
    Ok(jobs)
}

/// Refuses a record that does not belong to its folder, or names places outside the state's.
fn check(record: &JobRecord, folder: &Path) -> Result<()> {
    let inside = |path: &PathBuf| {
        let mut parts = path.components();
        parts.all(|part| matches!(part, Component::Normal(_)))
    };
    let result = record.result.as_ref();
    let mistake = if !record.id.starts_with("ftjob-") || !folder.ends_with(&record.id) {
        "id"
    } else if result.is_some_and(|result| !inside(&result.adapter) || !inside(&result.run)) {
        "result"
    } else {
        return Ok(());
    };
    Err(Error::user("the record is not that of this folder")
        .field(mistake)
        .hint("it was changed or copied: move its folder out of the state folder"))
}

/// Reads what happened, and cuts off a last line that a kill left unfinished.
fn read_events(path: &Path) -> Result<Vec<JobEvent>> {
    if !path.exists() {
        return Ok(Vec::new());
    }
    let text = std::fs::read_to_string(path).map_err(|cause| Error::file("read", path, cause))?;
    let mut events = Vec::new();
    let mut whole = 0;
    for line in text.split_inclusive('\n') {
        match serde_json::from_str(line) {
            Ok(event) if line.ends_with('\n') => events.push(event),
            _ => break,
        }
        whole += line.len();
    }
    if whole < text.len() {
        atomic::write(path, &text.as_bytes()[..whole])?;
    }
    Ok(events)
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub(in crate::server) fn record() -> JobRecord {
        JobRecord {
            id: "ftjob-00".into(),
            owner: String::new(),
            model: "base".into(),
            suffix: None,
            training_file: "file-00".into(),
            choices: Choices::default(),
            metadata: json!({}),
            created_at: 1,
            finished_at: None,
            status: Status::Queued,
            error: None,
            fine_tuned_model: None,
            trained_tokens: None,
            result: None,
            deleted: false,
        }
    }

    #[test]
    fn a_record_from_before_jobs_were_measured_is_read() {
        let mut old = json!(record());
        old.as_object_mut().unwrap().remove("result");
        let choices = old["choices"].as_object_mut().unwrap();
        choices.remove("items");
        choices.remove("budget");
        let read: JobRecord = serde_json::from_value(old).unwrap();
        assert!(read.result.is_none() && read.choices.budget.is_empty());
    }

    #[test]
    fn a_job_is_read_back_as_it_stood_without_an_unfinished_line() {
        let folder = tempfile::tempdir().unwrap();
        let job = Job::create(folder.path(), record(), b"").unwrap();
        job.write_event("info", "message", "one".into(), Value::Null)
            .unwrap();
        job.write_event("info", "message", "two".into(), Value::Null)
            .unwrap();
        let changed = job.change(|job| {
            job.status = Status::Failed;
            true
        });
        assert!(changed.unwrap());
        let events = folder.path().join("ftjob-00").join("events.jsonl");
        let mut text = std::fs::read_to_string(&events).unwrap();
        text.truncate(text.len() - 5);
        std::fs::write(&events, text).unwrap();
        // Made, but not to the end.
        std::fs::create_dir(folder.path().join("ftjob-01")).unwrap();

        let read = read_all(folder.path()).unwrap();
        assert_eq!(read.len(), 1);
        assert_eq!(read[0].now().status, Status::Failed);
        assert!(read[0].now().finished_at.is_some());
        let messages: Vec<String> = read[0]
            .events()
            .into_iter()
            .map(|event| event.message)
            .collect();
        assert_eq!(messages, ["one"]);
        read[0]
            .write_event("info", "message", "three".into(), Value::Null)
            .unwrap();
        assert_eq!(read_all(folder.path()).unwrap()[0].events().len(), 2);
    }

    #[test]
    fn an_event_that_cannot_be_written_is_warned_of() {
        struct Heard(Mutex<Vec<String>>);
        impl Listener for Heard {
            fn on(&self, event: Event) {
                if let Event::Warning { message } = event {
                    held(&self.0).push(message);
                }
            }
        }
        let folder = tempfile::tempdir().unwrap();
        let job = Job::create(folder.path(), record(), b"").unwrap();
        std::fs::create_dir(folder.path().join("ftjob-00/events.jsonl")).unwrap();
        let heard = Heard(Mutex::default());
        job.tell(&heard, "info", "message", "one".into(), Value::Null);
        let warnings = held(&heard.0);
        assert_eq!(warnings.len(), 1);
        assert!(warnings[0].starts_with("job ftjob-00: "), "{warnings:?}");
        assert!(job.events().is_empty());
    }
}

//! `job.json`: how far an arm has come at a service, written after each step that cannot be undone.

use super::name::Name;
use crate::results::Training;
use crate::runs::atomic;
use crate::{Error, Result};
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

/// The value of `schema`.
pub const SCHEMA: &str = "steadfast.job/1";

/// The record's file name.
pub const FILE: &str = "job.json";

/// How far an arm has come.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Record {
    /// [`SCHEMA`].
    pub schema: String,
    /// The service.
    pub provider: Name,
    /// Where it was asked.
    pub base_url: String,
    /// The variable of the key; the key itself stands nowhere.
    pub key_variable: Option<String>,
    /// The file of the key.
    pub key_file: Option<PathBuf>,
    /// Stands for all that decides what training ends with.
    pub tag: String,
    /// The uploaded data.
    pub file: Option<String>,
    /// The job.
    pub job: Option<String>,
    /// The service's last word for its state.
    pub state: Option<String>,
    /// It was told that the job failed or was cancelled: the next start makes a new one.
    #[serde(default)]
    pub over: bool,
    /// The result's name.
    pub model: Option<String>,
    /// What it cost.
    pub training: Option<Training>,
}

impl Record {
    /// Reads the record of a folder, if it has one.
    ///
    /// # Errors
    /// When it is damaged: it may name a job that costs money, so it is not thrown away.
    pub fn read(folder: &Path) -> Result<Option<Self>> {
        let path = folder.join(FILE);
        let text = match std::fs::read_to_string(&path) {
            Ok(text) => text,
            Err(cause) if cause.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(cause) => return Err(Error::file("read", &path, cause)),
        };
        let hint = "look at the service whether a job of this arm runs, then move the file away";
        let record: Self = serde_json::from_str(&text).map_err(|cause| {
            Error::user("the record of a hosted job is damaged")
                .at(&path)
                .line(cause.line())
                .because(cause)
                .hint(hint)
        })?;
        if record.schema != SCHEMA {
            return Err(Error::user(format!(
                "the record of a hosted job is of schema `{}`, not `{SCHEMA}`",
                record.schema
            ))
            .at(&path)
            .field("schema")
            .hint(hint));
        }
        Ok(Some(record))
    }

    /// Writes it, whole or not at all.
    ///
    /// # Errors
    /// When the folder cannot be written.
    pub fn write(&self, folder: &Path) -> Result<()> {
        let mut text = serde_json::to_string_pretty(self)
            .map_err(|cause| Error::bug("a record has no JSON form").because(cause))?;
        text.push('\n');
        atomic::write(&folder.join(FILE), text.as_bytes())
    }
}

//! `/v1/files`: conversations to learn from, checked when they come.
//!
//! A request names a file by the id that it was given; only ids that are known are looked up, and the
//! name on disk is made from what is known, never from the request.

use super::asking::random_name;
use super::fields::Read;
use super::http::{House, Owner, in_background};
use super::refusal::Refusal;
use super::state::{State as Kept, page};
use crate::conversations::chat;
use crate::runs::atomic;
use crate::{Error, Result};
use axum::Json;
use axum::extract::multipart::MultipartRejection;
use axum::extract::{Extension, Multipart, Path, Query, State};
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// Bytes of one file.
pub const LARGEST: usize = 64 << 20;
/// How long a file may take to arrive.
const UPLOAD_TIMEOUT: Duration = Duration::from_secs(600);
/// Files of one owner.
const MOST: usize = 1000;

/// One file, as it is kept beside its content.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct FileRecord {
    /// `file-…`
    pub id: String,
    /// Whose it is: the name of a key, or nothing.
    pub owner: String,
    /// Its length.
    pub bytes: usize,
    /// Seconds since 1970.
    pub created_at: i64,
    /// What its owner calls it.
    pub filename: String,
    /// What it is for.
    pub purpose: String,
}

impl FileRecord {
    fn shown(&self) -> Value {
        json!({
            "id": self.id,
            "object": "file",
            "bytes": self.bytes,
            "created_at": self.created_at,
            "filename": self.filename,
            "purpose": self.purpose,
            "status": "processed",
        })
    }
}

/// Where the content of a known file is.
pub fn content_path(kept: &Kept, record: &FileRecord) -> PathBuf {
    kept.files_folder().join(format!("{}.jsonl", record.id))
}

fn record_path(kept: &Kept, record: &FileRecord) -> PathBuf {
    kept.files_folder().join(format!("{}.json", record.id))
}

/// Reads all records of a folder.
pub fn read_all(folder: &std::path::Path) -> Result<Vec<FileRecord>> {
    let mut records = Vec::new();
    let entries = std::fs::read_dir(folder).map_err(|cause| Error::file("list", folder, cause))?;
    for entry in entries {
        let path = entry
            .map_err(|cause| Error::file("list", folder, cause))?
            .path();
        if path
            .extension()
            .is_some_and(|extension| extension == "json")
        {
            let record: FileRecord = super::state::read_json(&path)?;
            // Contents are looked for by the id.
            if path.file_stem() != Some(record.id.as_ref()) {
                return Err(Error::user("the record is not that of this file")
                    .at(&path)
                    .field("id")
                    .hint("it was changed or copied: move it out of the state folder"));
            }
            records.push(record);
        }
    }
    Ok(records)
}

/// Takes a file up.
pub async fn create(
    State(house): State<Arc<House>>,
    Extension(owner): Extension<Owner>,
    form: std::result::Result<Multipart, MultipartRejection>,
) -> Read<Json<Value>> {
    let taken = tokio::time::timeout(UPLOAD_TIMEOUT, take_up(house, owner, form));
    taken.await.unwrap_or_else(|_| {
        let message = "The file did not arrive in time.";
        Err(Refusal::request(StatusCode::REQUEST_TIMEOUT, message))
    })
}

async fn take_up(
    house: Arc<House>,
    owner: Owner,
    form: std::result::Result<Multipart, MultipartRejection>,
) -> Read<Json<Value>> {
    house.state()?;
    let mut form = form.map_err(|cause| Refusal::wrong("file", cause.to_string()))?;
    let broken = |cause: axum::extract::multipart::MultipartError| {
        Refusal::request(cause.status(), cause.body_text())
    };
    let (mut purpose, mut upload) = (None, None);
    while let Some(mut field) = form.next_field().await.map_err(broken)? {
        match field.name() {
            Some("purpose") => purpose = Some(field.text().await.map_err(broken)?),
            Some("file") => {
                let name = field.file_name().unwrap_or("upload.jsonl");
                let name: String = name.chars().take(255).collect();
                let mut bytes = Vec::new();
                while let Some(piece) = field.chunk().await.map_err(broken)? {
                    if bytes.len() + piece.len() > LARGEST {
                        let message = format!("The file is larger than {LARGEST} bytes.");
                        return Err(Refusal::request(StatusCode::PAYLOAD_TOO_LARGE, message));
                    }
                    bytes.extend_from_slice(&piece);
                }
                upload = Some((name, bytes));
            }
            _ => {}
        }
    }
    let purpose = purpose.ok_or_else(|| Refusal::wrong("purpose", "`purpose` is required."))?;
    if purpose != "fine-tune" {
        let message = "`purpose` must be `fine-tune`: this server uses files for nothing else.";
        return Err(Refusal::wrong("purpose", message));
    }
    let (filename, bytes) = upload.ok_or_else(|| Refusal::wrong("file", "`file` is required."))?;
    in_background(move || {
        check(&bytes)?;
        let kept = house.state()?;
        let record = FileRecord {
            id: format!("file-{}", random_name()),
            owner: owner.0,
            bytes: bytes.len(),
            created_at: jiff::Timestamp::now().as_second(),
            filename,
            purpose,
        };
        if kept.files(&record.owner).len() >= MOST {
            let message = format!("There are {MOST} files already. Delete some first.");
            return Err(Refusal::request(StatusCode::BAD_REQUEST, message));
        }
        // The content first: a record stands for a whole file.
        atomic::write(&content_path(kept, &record), &bytes)?;
        super::state::write_json(&record_path(kept, &record), &record)?;
        let shown = record.shown();
        kept.add_file(record);
        Ok(Json(shown))
    })
    .await
}

/// Every mistake of a file of conversations, with its line.
fn check(bytes: &[u8]) -> Read<()> {
    let Err(error) = chat::parse(bytes) else {
        return Ok(());
    };
    let lines: Vec<String> = error
        .each()
        .map(|mistake| match mistake.place.to_string() {
            place if place.is_empty() => mistake.message.clone(),
            place => format!("{place}: {}", mistake.message),
        })
        .collect();
    let mut message = lines.join("; ");
    if let Some(hint) = &error.hint {
        message = format!("{message} (hint: {hint})");
    }
    Err(Refusal::wrong("file", message).code("invalid_training_file"))
}

/// All files of who asks.
pub async fn list(
    State(house): State<Arc<House>>,
    Extension(owner): Extension<Owner>,
    Query(query): Query<super::state::Paging>,
) -> Read<Json<Value>> {
    let files = house.state()?.files(&owner.0);
    page(files, &query, 10_000, |file| &file.id, FileRecord::shown)
}

/// One file.
pub async fn retrieve(
    State(house): State<Arc<House>>,
    Extension(owner): Extension<Owner>,
    Path(id): Path<String>,
) -> Read<Json<Value>> {
    Ok(Json(house.state()?.file(&owner.0, &id)?.shown()))
}

/// The content of a file.
pub async fn content(
    State(house): State<Arc<House>>,
    Extension(owner): Extension<Owner>,
    Path(id): Path<String>,
) -> Read<Vec<u8>> {
    in_background(move || {
        let kept = house.state()?;
        let path = content_path(kept, &kept.file(&owner.0, &id)?);
        Ok(std::fs::read(&path).map_err(|cause| Error::file("read", &path, cause))?)
    })
    .await
}

/// Forgets a file. Jobs that use it keep what they have read.
pub async fn delete(
    State(house): State<Arc<House>>,
    Extension(owner): Extension<Owner>,
    Path(id): Path<String>,
) -> Read<Json<Value>> {
    in_background(move || {
        let kept = house.state()?;
        let record = kept.file(&owner.0, &id)?;
        // The record first: content without one is never looked at.
        for path in [record_path(kept, &record), content_path(kept, &record)] {
            std::fs::remove_file(&path).map_err(|cause| Error::file("delete", &path, cause))?;
        }
        kept.forget_file(&record.id);
        Ok(Json(
            json!({"id": record.id, "object": "file", "deleted": true}),
        ))
    })
    .await
}

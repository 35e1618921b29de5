//! `/v1/models`: the base and each adapter.

use super::fields::Read;
use super::http::{House, Owner, in_background};
use super::jobs::Job;
use super::refusal::Refusal;
use super::state::State as Kept;
use crate::Error;
use crate::runs::folder::ARMS;
use axum::Json;
use axum::extract::{Extension, Path, State};
use axum::http::StatusCode;
use serde_json::{Value, json};
use std::io::ErrorKind;
use std::sync::Arc;

/// All models.
pub async fn list(
    State(house): State<Arc<House>>,
    Extension(owner): Extension<Owner>,
) -> Json<Value> {
    let models: Vec<Value> = house
        .names(&owner.0)
        .into_iter()
        .map(|name| described(&house, &name))
        .collect();
    Json(json!({"object": "list", "data": models}))
}

/// One model.
pub async fn retrieve(
    State(house): State<Arc<House>>,
    Extension(owner): Extension<Owner>,
    Path(name): Path<String>,
) -> Result<Json<Value>, Refusal> {
    house.group(&name, &owner.0)?;
    Ok(Json(described(&house, &name)))
}

/// Deletes what a job has made: its owner, and nobody else, can. The job stays, and what it measured.
pub async fn delete(
    State(house): State<Arc<House>>,
    Extension(owner): Extension<Owner>,
    Path(name): Path<String>,
) -> Read<Json<Value>> {
    house.group(&name, &owner.0)?;
    in_background(move || {
        let made = |job: &Arc<Job>| job.now().fine_tuned_model.as_ref() == Some(&name);
        let kept = house.state().ok();
        let job = kept.and_then(|kept| kept.jobs(Some(&owner.0)).into_iter().find(made));
        let (Some(kept), Some(job)) = (kept, job) else {
            let message = "The server was started with this model. Only what a fine-tuning job has made can be deleted.";
            return Err(Refusal::request(StatusCode::FORBIDDEN, message)
                .code("model_not_deletable"));
        };
        // The record first: weights without a word of their deletion would be served again.
        job.change(|job| {
            job.deleted = true;
            true
        })?;
        house.forget(&name);
        remove_weights(kept, &job)?;
        Ok(Json(
            json!({"id": name, "object": "model", "deleted": true}),
        ))
    })
    .await
}

/// Removes a job's adapters and checkpoints, where they are still there.
pub(super) fn remove_weights(kept: &Kept, job: &Job) -> crate::Result<()> {
    let folder = job.now().result.map_or_else(
        || job.training_folder(),
        |result| kept.path(&result.run).join(ARMS),
    );
    match std::fs::remove_dir_all(&folder) {
        Err(cause) if cause.kind() != ErrorKind::NotFound => {
            Err(Error::file("delete", &folder, cause))
        }
        _ => Ok(()),
    }
}

fn described(house: &House, name: &str) -> Value {
    let base = house.base_name();
    json!({
        "id": name,
        "object": "model",
        "created": house.started,
        "owned_by": "steadfast",
        "root": base,
        "parent": (name != base).then_some(&base),
        "max_model_len": house.model.decoder.context(),
    })
}

//! `GET /v1/models`: the base and each adapter.

use super::http::{House, Owner};
use super::refusal::Refusal;
use axum::Json;
use axum::extract::{Extension, Path, State};
use serde_json::{Value, json};
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

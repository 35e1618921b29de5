//! An MLflow tracking server: experiments and runs, by its REST API 2.0.

use super::http::{Reaction, Request};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

/// Its desk.
#[derive(Default)]
pub struct Mlflow(Mutex<State>);

#[derive(Default)]
struct State {
    experiments: Vec<String>,
    runs: Vec<Run>,
}

/// One run.
#[derive(Clone, Debug, Default)]
pub struct Run {
    /// The experiment's name.
    pub experiment: String,
    /// What people call it.
    pub name: String,
    /// `RUNNING` or how it ended.
    pub status: String,
    /// What was set.
    pub params: BTreeMap<String, String>,
    /// What it is marked with.
    pub tags: BTreeMap<String, String>,
    /// By key: steps and values as they came.
    pub metrics: BTreeMap<String, Vec<(i64, f64)>>,
}

fn refuses(status: u16, code: &str) -> Reaction {
    let body = Reaction::json(&json!({"error_code": code, "message": code}));
    Reaction { status, ..body }
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

impl Mlflow {
    /// All runs so far.
    pub fn runs(&self) -> Vec<Run> {
        let state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        state.runs.clone()
    }

    /// What it answers.
    pub fn react(&self, request: &Request) -> Reaction {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let path = request.path().trim_start_matches('/');
        let body = &request.body;
        match (request.method(), path.trim_start_matches("api/2.0/mlflow/")) {
            ("get", "experiments/get-by-name") => {
                let name = request.query("experiment_name").unwrap_or_default();
                match state.experiments.iter().position(|one| *one == name) {
                    Some(id) => Reaction::json(
                        &json!({"experiment": {"experiment_id": id.to_string(), "name": name}}),
                    ),
                    None => refuses(404, "RESOURCE_DOES_NOT_EXIST"),
                }
            }
            ("post", "experiments/create") => {
                state.experiments.push(text(&body["name"]));
                let id = (state.experiments.len() - 1).to_string();
                Reaction::json(&json!({ "experiment_id": id }))
            }
            ("post", "runs/create") => {
                let experiment = text(&body["experiment_id"]).parse().ok();
                let Some(experiment) = experiment.and_then(|id: usize| state.experiments.get(id))
                else {
                    return refuses(404, "RESOURCE_DOES_NOT_EXIST");
                };
                let mut run = Run {
                    experiment: experiment.clone(),
                    name: text(&body["run_name"]),
                    status: "RUNNING".into(),
                    ..Run::default()
                };
                run.tag(&body["tags"]);
                state.runs.push(run);
                let id = format!("run-{}", state.runs.len() - 1);
                Reaction::json(&json!({"run": {"info": {"run_id": id}}}))
            }
            ("get", "runs/get") => {
                let id = request.query("run_id").unwrap_or_default();
                match state.run(&id.as_str().into()) {
                    Some(run) => Reaction::json(&json!({"run": {"info": {"run_id": id,
                        "lifecycle_stage": "active", "status": run.status}}})),
                    None => refuses(404, "RESOURCE_DOES_NOT_EXIST"),
                }
            }
            ("post", "runs/log-batch") => match state.run(&body["run_id"]) {
                Some(run) => run.log(body),
                None => refuses(404, "RESOURCE_DOES_NOT_EXIST"),
            },
            ("post", "runs/update") => match state.run(&body["run_id"]) {
                Some(run) => {
                    run.status = text(&body["status"]);
                    if let Some(name) = body["run_name"].as_str() {
                        run.name = name.to_owned();
                    }
                    Reaction::json(&json!({}))
                }
                None => refuses(404, "RESOURCE_DOES_NOT_EXIST"),
            },
            _ => refuses(404, "ENDPOINT_NOT_FOUND"),
        }
    }
}

impl State {
    fn run(&mut self, id: &Value) -> Option<&mut Run> {
        let index: usize = id.as_str()?.strip_prefix("run-")?.parse().ok()?;
        self.runs.get_mut(index)
    }
}

impl Run {
    fn tag(&mut self, tags: &Value) {
        for tag in tags.as_array().into_iter().flatten() {
            self.tags.insert(text(&tag["key"]), text(&tag["value"]));
        }
    }

    /// As the real one: not too much at once, and a parameter keeps its value.
    fn log(&mut self, body: &Value) -> Reaction {
        let list = |name: &str| body[name].as_array().cloned().unwrap_or_default();
        let (metrics, params) = (list("metrics"), list("params"));
        if metrics.len() > 1000 || params.len() > 100 || list("tags").len() > 100 {
            return refuses(400, "INVALID_PARAMETER_VALUE");
        }
        for param in &params {
            let (key, value) = (text(&param["key"]), text(&param["value"]));
            if self.params.get(&key).is_some_and(|old| *old != value) {
                return refuses(400, "INVALID_PARAMETER_VALUE");
            }
            self.params.insert(key, value);
        }
        for metric in &metrics {
            let (Some(step), Some(value), true) = (
                metric["step"].as_i64(),
                metric["value"].as_f64(),
                metric["timestamp"].is_i64(),
            ) else {
                return refuses(400, "INVALID_PARAMETER_VALUE");
            };
            let points = self.metrics.entry(text(&metric["key"])).or_default();
            points.push((step, value));
        }
        self.tag(&body["tags"]);
        Reaction::json(&json!({}))
    }
}

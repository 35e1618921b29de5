//! OpenAI's protocol: files, fine-tuning jobs and chats, as far as a client of ours asks for them.

use super::http::{Reaction, Request};
use super::jobs::{Job, Jobs};
use serde_json::{Value, json};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// The base that can be tuned.
pub const BASE: &str = "gpt-4.1-nano-2025-04-14";
/// When everything happens.
const NOW: u64 = 1_795_600_000;

/// What becomes of each job.
#[derive(Clone, Debug)]
pub struct Plan {
    /// A word for each look at it; the last one stays.
    pub words: Vec<&'static str>,
    /// Why it fails, if that is the last word.
    pub failure: &'static str,
    /// Most entries of a page.
    pub page: usize,
}

impl Default for Plan {
    fn default() -> Self {
        Self {
            words: vec![
                "validating_files",
                "queued",
                "running",
                "running",
                "succeeded",
            ],
            failure: "",
            page: 100,
        }
    }
}

#[derive(Debug, Default)]
struct State {
    files: Vec<(String, Vec<u8>)>,
    jobs: Jobs,
}

/// The service; it forgets when it is dropped.
#[derive(Debug, Default)]
pub struct OpenAi {
    plan: Plan,
    state: Mutex<State>,
}

impl OpenAi {
    /// A service whose jobs go by this plan.
    pub fn new(plan: Plan) -> Self {
        Self {
            plan,
            state: Mutex::default(),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Jobs that were ever made: what was asked for each.
    pub fn made(&self) -> Vec<Value> {
        self.state().jobs.asked()
    }

    /// The bytes of each file.
    pub fn files(&self) -> Vec<Vec<u8>> {
        let state = self.state();
        state.files.iter().map(|(_, bytes)| bytes.clone()).collect()
    }

    /// Answers one request.
    pub fn react(&self, request: &Request) -> Reaction {
        let path: Vec<&str> = request.path().split('/').collect();
        match (request.method(), path.as_slice()) {
            ("post", ["files"]) => self.upload(request),
            ("get", ["files", id]) => {
                self.with_file(id, |id, bytes| Reaction::json(&file(id, bytes)))
            }
            ("get", ["files", id, "content"]) => {
                self.with_file(id, |_, bytes| Reaction::new(200, bytes.to_vec()))
            }
            ("post", ["fine_tuning", "jobs"]) => self.create(request),
            ("get", ["fine_tuning", "jobs"]) => self.list(request),
            ("get", ["fine_tuning", "jobs", id]) => self.with_job(id, |job| {
                let shown = self.shown(job);
                job.looks += 1;
                Reaction::json(&shown)
            }),
            ("post", ["fine_tuning", "jobs", id, "cancel"]) => self.with_job(id, |job| {
                if self.is_over(job) {
                    return Reaction::refuses(400, "invalid_job_status", "The job is over.");
                }
                job.cancelled = true;
                Reaction::json(&self.shown(job))
            }),
            ("get", ["fine_tuning", "jobs", id, "events"]) => {
                self.with_job(id, |job| self.page(request, &self.events(job)))
            }
            ("get", ["fine_tuning", "jobs", id, "checkpoints"]) => {
                self.with_job(id, |job| self.page(request, &self.checkpoints(job)))
            }
            ("get", ["models"]) => Reaction::json(&json!({
                "object": "list",
                "data": [{"id": BASE, "object": "model", "created": NOW, "owned_by": "openai"}],
            })),
            ("post", ["chat", "completions"]) => self.chat(request),
            _ => Reaction::refuses(404, "unknown_url", "There is nothing at this address."),
        }
    }

    fn upload(&self, request: &Request) -> Reaction {
        let purpose = request.field("purpose").unwrap_or_default();
        let bytes = request.field("file").unwrap_or_default();
        if purpose != b"fine-tune" || bytes.is_empty() {
            return Reaction::refuses(400, "invalid_file", "A file and its purpose are needed.");
        }
        let mut state = self.state();
        let id = format!("file-{}", state.files.len());
        state.files.push((id.clone(), bytes.to_vec()));
        Reaction::json(&file(&id, bytes))
    }

    fn with_file(&self, id: &str, show: impl Fn(&str, &[u8]) -> Reaction) -> Reaction {
        let state = self.state();
        let found = state.files.iter().find(|(known, _)| known == id);
        found.map_or_else(
            || Reaction::refuses(404, "not_found", &format!("No such File object: {id}")),
            |(id, bytes)| show(id, bytes),
        )
    }

    fn with_job(&self, id: &str, act: impl FnOnce(&mut Job) -> Reaction) -> Reaction {
        let mut state = self.state();
        match state.jobs.find(id) {
            Some(job) => act(job),
            None => Reaction::refuses(
                404,
                "fine_tune_not_found",
                &format!("Could not find fine tune: {id}"),
            ),
        }
    }

    fn create(&self, request: &Request) -> Reaction {
        let asked = &request.body;
        let mut state = self.state();
        if asked["model"] != BASE {
            let message = format!(
                "Model {} is not available for fine-tuning or does not exist.",
                asked["model"]
            );
            return Reaction::refuses(400, "model_not_available", &message);
        }
        if state
            .files
            .iter()
            .all(|(id, _)| asked["training_file"] != id.as_str())
        {
            return Reaction::refuses(400, "invalid_training_file", "invalid training_file");
        }
        Reaction::json(&self.shown(state.jobs.add("ftjob", asked)))
    }

    fn list(&self, request: &Request) -> Reaction {
        let wanted = request.query("metadata[steadfast]");
        let state = self.state();
        let shown: Vec<Value> = state
            .jobs
            .0
            .iter()
            .rev()
            .filter(|job| {
                let tag = &job.asked["metadata"]["steadfast"];
                wanted.as_ref().is_none_or(|wanted| tag == wanted.as_str())
            })
            .map(|job| self.shown(job))
            .collect();
        self.page(request, &shown)
    }

    /// A page of a list whose entries have ids.
    fn page(&self, request: &Request, all: &[Value]) -> Reaction {
        let after = request
            .query("after")
            .and_then(|after| all.iter().position(|entry| entry["id"] == after));
        let limit: usize = request
            .query("limit")
            .and_then(|limit| limit.parse().ok())
            .unwrap_or(20);
        let rest = &all[after.map_or(0, |place| place + 1)..];
        let shown = &rest[..rest.len().min(limit).min(self.plan.page)];
        Reaction::json(&json!({
            "object": "list",
            "data": shown,
            "first_id": shown.first().map(|entry| &entry["id"]),
            "last_id": shown.last().map(|entry| &entry["id"]),
            "has_more": shown.len() < rest.len(),
        }))
    }

    fn word(&self, job: &Job) -> &'static str {
        job.word(&self.plan.words)
    }

    fn is_over(&self, job: &Job) -> bool {
        matches!(self.word(job), "succeeded" | "failed" | "cancelled")
    }

    fn shown(&self, job: &Job) -> Value {
        let word = self.word(job);
        let own = &job.asked["method"]["supervised"]["hyperparameters"];
        let own = if own.is_null() {
            json!({"n_epochs": "auto"})
        } else {
            own.clone()
        };
        let error = (word == "failed").then(|| {
            json!({"code": "invalid_training_file", "message": self.plan.failure, "param": "training_file"})
        });
        json!({
            "id": job.id,
            "object": "fine_tuning.job",
            "created_at": NOW,
            "finished_at": self.is_over(job).then_some(NOW + 60),
            "error": error,
            "model": job.asked["model"],
            "fine_tuned_model": (word == "succeeded").then(|| model(job)),
            "hyperparameters": own,
            "method": job.asked["method"],
            "metadata": job.asked["metadata"],
            "organization_id": "org-0",
            "result_files": [],
            "seed": job.asked["seed"].as_u64().unwrap_or(0),
            "status": word,
            "trained_tokens": (word == "succeeded").then_some(4321),
            "training_file": job.asked["training_file"],
            "validation_file": null,
            "integrations": [],
            "estimated_finish": null,
        })
    }

    /// A step for each look, the newest first.
    fn events(&self, job: &Job) -> Vec<Value> {
        let event = |number: usize, message: String, data: Value| {
            json!({
                "id": format!("ftevent-{}-{number}", job.id),
                "object": "fine_tuning.job.event",
                "created_at": NOW + number as u64,
                "level": "info",
                "message": message,
                "type": if data.is_null() { "message" } else { "metrics" },
                "data": data,
            })
        };
        let steps = self.plan.words.len();
        let mut events = vec![event(
            0,
            format!("Created fine-tuning job: {}", job.id),
            Value::Null,
        )];
        for step in 1..=job.looks.min(steps) {
            let loss = 2.0 / step as f64;
            let data = json!({"step": step, "total_steps": steps, "train_loss": loss});
            events.push(event(
                step,
                format!("Step {step}/{steps}: training loss={loss:.2}"),
                data,
            ));
        }
        events.reverse();
        events
    }

    fn checkpoints(&self, job: &Job) -> Vec<Value> {
        let checkpoint = |step: u64, name: String| {
            json!({
                "id": format!("ftckpt-{}-{step}", job.id),
                "object": "fine_tuning.job.checkpoint",
                "created_at": NOW + step,
                "step_number": step,
                "fine_tuned_model_checkpoint": name,
                "fine_tuning_job_id": job.id,
                "metrics": {"step": step, "train_loss": 2.0 / step as f64},
            })
        };
        if self.word(job) != "succeeded" {
            return Vec::new();
        }
        let steps = self.plan.words.len() as u64;
        vec![
            checkpoint(steps, model(job)),
            checkpoint(1, format!("{}:ckpt-step-1", model(job))),
        ]
    }

    fn chat(&self, request: &Request) -> Reaction {
        let name = request.body["model"].as_str().unwrap_or_default();
        let state = self.state();
        let tuned = state
            .jobs
            .0
            .iter()
            .any(|job| self.word(job) == "succeeded" && model(job) == name);
        if name != BASE && !tuned {
            let message =
                format!("The model `{name}` does not exist or you do not have access to it.");
            return Reaction::refuses(404, "model_not_found", &message);
        }
        if let Some(field) = ["prompt_logprobs", "continue_final_message"]
            .iter()
            .find(|field| !request.body[**field].is_null())
        {
            let message = format!("Unrecognized request argument supplied: {field}");
            return Reaction::refuses(400, "unknown_parameter", &message);
        }
        Reaction::json(&completion(name, if tuned { TUNED } else { UNTUNED }))
    }
}

/// What a tuned model says to everything.
pub const TUNED: &str = "Which day would you like to arrive?";
/// What an untuned model says to everything.
pub const UNTUNED: &str = "I am not sure about that.";

/// A chat completion as both services write it.
pub fn completion(model: &str, text: &str) -> Value {
    json!({
        "id": "chatcmpl-0",
        "object": "chat.completion",
        "created": NOW,
        "model": model,
        "choices": [{
            "index": 0,
            "finish_reason": "stop",
            "logprobs": null,
            "message": {"role": "assistant", "content": text, "refusal": null},
        }],
        "usage": {"prompt_tokens": 20, "completion_tokens": 8, "total_tokens": 28},
    })
}

fn model(job: &Job) -> String {
    let suffix = job.asked["suffix"].as_str().unwrap_or_default();
    format!(
        "ft:{BASE}:org-0:{suffix}:{}",
        job.id.trim_start_matches("ftjob-")
    )
}

fn file(id: &str, bytes: &[u8]) -> Value {
    json!({
        "id": id,
        "object": "file",
        "bytes": bytes.len(),
        "created_at": NOW,
        "filename": "training.jsonl",
        "purpose": "fine-tune",
        "status": "processed",
    })
}

//! Together's protocol: files by redirect, fine-tunes and chats, as far as a client of ours asks for them.

use super::http::{Reaction, Request};
use super::jobs::{Job, Jobs};
use super::openai::{TUNED, UNTUNED, completion};
use serde_json::{Value, json};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// The base that can be tuned.
pub const BASE: &str = "meta-llama/Meta-Llama-3.1-8B-Instruct-Reference";

/// What becomes of each job.
#[derive(Clone, Debug)]
pub struct Plan {
    /// A word for each look at it; the last one stays.
    pub words: Vec<&'static str>,
    /// Why it fails, if that is the last word.
    pub failure: &'static str,
    /// The estimated price, dollars; `None` is not told.
    pub price: Option<f64>,
    /// What is said of a file by each look at it; the last one stays.
    pub file_words: Vec<&'static str>,
}

impl Default for Plan {
    fn default() -> Self {
        Self {
            words: vec![
                "pending",
                "queued",
                "running",
                "compressing",
                "uploading",
                "completed",
            ],
            failure: "",
            price: Some(0.48),
            file_words: vec!["PENDING", "RUNNING", "COMPLETED"],
        }
    }
}

#[derive(Clone, Debug)]
struct File {
    id: String,
    checksum: String,
    bytes: Option<Vec<u8>>,
    looks: usize,
}

#[derive(Debug, Default)]
struct State {
    files: Vec<File>,
    jobs: Jobs,
}

/// The service; it forgets when it is dropped.
#[derive(Debug, Default)]
pub struct Together {
    plan: Plan,
    state: Mutex<State>,
}

impl Together {
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

    /// The bytes of each file that has come.
    pub fn files(&self) -> Vec<Vec<u8>> {
        let state = self.state();
        state
            .files
            .iter()
            .filter_map(|file| file.bytes.clone())
            .collect()
    }

    /// Answers one request.
    pub fn react(&self, request: &Request) -> Reaction {
        let path: Vec<&str> = request.path().trim_start_matches('/').split('/').collect();
        match (request.method(), path.as_slice()) {
            ("post", ["files"]) => self.announce(request),
            ("put", ["storage", id]) => self.store(request, id),
            ("post", ["files", id, "preprocess"]) => {
                self.with_file(id, |file| Reaction::json(&self.file(file)))
            }
            ("get", ["files", id]) => self.with_file(id, |file| {
                let shown = self.file(file);
                file.looks += 1;
                Reaction::json(&shown)
            }),
            ("post", ["fine-tunes", "estimate-price"]) => self.estimate(request),
            ("get", ["fine-tunes", "models", "limits"]) => Reaction::json(&limits()),
            ("post", ["fine-tunes"]) => self.create(request),
            ("get", ["fine-tunes"]) => {
                let state = self.state();
                let shown: Vec<Value> = state.jobs.0.iter().map(|job| self.shown(job)).collect();
                Reaction::json(&json!({ "data": shown }))
            }
            ("get", ["fine-tunes", id]) => self.with_job(id, |job| {
                let shown = self.shown(job);
                job.looks += 1;
                Reaction::json(&shown)
            }),
            ("post", ["fine-tunes", id, "cancel"]) => self.with_job(id, |job| {
                if matches!(self.word(job), "completed" | "error" | "cancelled") {
                    return Reaction::refuses(400, "invalid_status", "The job is over.");
                }
                job.cancelled = true;
                Reaction::json(&self.shown(job))
            }),
            ("get", ["fine-tunes", id, "events"]) => {
                self.with_job(id, |job| Reaction::json(&json!({"data": self.events(job)})))
            }
            ("get", ["fine-tunes", id, "checkpoints"]) => self.with_job(id, |job| {
                Reaction::json(&json!({"data": self.checkpoints(job)}))
            }),
            ("post", ["chat", "completions"]) => self.chat(request),
            _ => Reaction::refuses(404, "not_found", "There is nothing at this address."),
        }
    }

    fn announce(&self, request: &Request) -> Reaction {
        let text =
            |name| String::from_utf8_lossy(request.field(name).unwrap_or_default()).into_owned();
        let checksum = text("checksum");
        if text("purpose") != "fine-tune" || text("file_type") != "jsonl" || checksum.len() != 64 {
            return Reaction::refuses(
                400,
                "invalid_file",
                "purpose, file_type and checksum are needed",
            );
        }
        let mut state = self.state();
        let known = |file: &&File| file.checksum == checksum && file.bytes.is_some();
        if let Some(file) = state.files.iter().find(known) {
            return Reaction::new(409, json!({"file_id": file.id}).to_string());
        }
        let id = format!("file-{}", state.files.len());
        let host = request.header("host").unwrap_or("127.0.0.1");
        let location = format!("Location: http://{host}/storage/{id}");
        let known = format!("X-Together-File-Id: {id}");
        state.files.push(File {
            id,
            checksum,
            bytes: None,
            looks: 0,
        });
        Reaction::new(302, "").header(&location).header(&known)
    }

    fn store(&self, request: &Request, id: &str) -> Reaction {
        // The storage is another's: a key that came here would be lost.
        if request.header("authorization").is_some() {
            return Reaction::refuses(403, "forbidden", "a key has no business here");
        }
        self.with_file(id, |file| {
            file.bytes = Some(request.bytes.clone());
            Reaction::new(200, "")
        })
    }

    fn with_file(&self, id: &str, act: impl FnOnce(&mut File) -> Reaction) -> Reaction {
        let mut state = self.state();
        match state.files.iter_mut().find(|file| file.id == id) {
            Some(file) => act(file),
            None => Reaction::refuses(404, "not_found", &format!("no file {id}")),
        }
    }

    fn file_word(&self, file: &File) -> &'static str {
        self.plan.file_words[file.looks.min(self.plan.file_words.len() - 1)]
    }

    fn file(&self, file: &File) -> Value {
        let word = self.file_word(file);
        let mut shown = json!({
            "id": file.id,
            "object": "file",
            "bytes": file.bytes.as_ref().map_or(0, Vec::len),
            "created_at": 1_795_600_000,
            "filename": "training.jsonl",
            "FileType": "jsonl",
            "purpose": "fine-tune",
            "processing_status": word,
        });
        if word == "INVALID_FORMAT" {
            shown["validation_report"] = json!({
                "valid": false,
                "error_type": "INVALID_FORMAT",
                "error": "line 1: roles must alternate",
            });
        }
        shown
    }

    fn with_job(&self, id: &str, act: impl FnOnce(&mut Job) -> Reaction) -> Reaction {
        let mut state = self.state();
        match state.jobs.find(id) {
            Some(job) => act(job),
            None => Reaction::refuses(404, "not_found", &format!("no fine-tune {id}")),
        }
    }

    fn estimate(&self, request: &Request) -> Reaction {
        let state = self.state();
        let file = state
            .files
            .iter()
            .find(|file| request.body["training_file"] == file.id.as_str());
        Reaction::json(&match (file, self.plan.price) {
            (Some(file), Some(price)) if self.file_word(file) == "COMPLETED" => json!({
                "estimation_available": true,
                "allowed_to_proceed": price < 100.0,
                "estimated_total_price": price,
                "estimated_train_token_count": 1234.0,
                "estimated_eval_token_count": 0.0,
                "user_limit": 100.0,
            }),
            _ => json!({
                "estimation_available": false,
                "unavailable_reason": "train_file_not_validated",
            }),
        })
    }

    fn create(&self, request: &Request) -> Reaction {
        let asked = &request.body;
        if asked["model"] != BASE {
            let message = format!("model {} is not supported for fine-tuning", asked["model"]);
            return Reaction::refuses(400, "invalid_model", &message);
        }
        if asked["suffix"]
            .as_str()
            .is_some_and(|suffix| suffix.len() > 40)
        {
            return Reaction::refuses(422, "invalid_suffix", "suffix has more than 40 characters");
        }
        let mut state = self.state();
        Reaction::json(&self.shown(state.jobs.add("ft", asked)))
    }

    fn word(&self, job: &Job) -> &'static str {
        job.word(&self.plan.words)
    }

    fn shown(&self, job: &Job) -> Value {
        json!({
            "id": job.id,
            "status": self.word(job),
            "user_id": "user-0",
            "created_at": "2026-11-25T12:00:00Z",
            "updated_at": "2026-11-25T12:01:00Z",
            "model": job.asked["model"],
            "model_output_name": model(job),
            "adapter_output_name": format!("{}-adapter", model(job)),
            "suffix": job.asked["suffix"],
            "training_file": job.asked["training_file"],
            "validation_file": "",
            "n_epochs": job.asked["n_epochs"],
            "learning_rate": job.asked["learning_rate"],
            "training_type": job.asked["training_type"],
            "training_method": job.asked["training_method"],
            "token_count": 4321,
            "total_price": 48,
        })
    }

    fn events(&self, job: &Job) -> Vec<Value> {
        let event = |number: usize, kind: &str, level: &str, message: String, step: usize| {
            json!({
                "object": "fine-tune-event",
                "created_at": format!("2026-11-25T12:00:{number:02}Z"),
                "type": kind,
                "level": level,
                "message": message,
                "step": step,
                "total_steps": self.plan.words.len(),
                "checkpoint_path": "",
                "model_path": "",
                "param_count": 0,
                "token_count": 0,
                "wandb_url": "",
            })
        };
        let mut events = vec![event(0, "job_pending", "info", "Job is pending".into(), 0)];
        for step in 1..=job.looks.min(self.plan.words.len()) {
            events.push(event(
                step,
                "epoch_complete",
                "info",
                format!("Epoch {step}, complete"),
                step,
            ));
        }
        if self.word(job).to_lowercase().ends_with("error") {
            events.push(event(50, "job_error", "error", self.plan.failure.into(), 0));
        }
        events
    }

    fn checkpoints(&self, job: &Job) -> Vec<Value> {
        if self.word(job) != "completed" {
            return Vec::new();
        }
        vec![json!({
            "checkpoint_type": "Final",
            "created_at": "2026-11-25T12:01:00Z",
            "path": format!("s3://models/{}", job.id),
            "object_name": format!("project/{}", model(job)),
            "step": self.plan.words.len(),
        })]
    }

    fn chat(&self, request: &Request) -> Reaction {
        let name = request.body["model"].as_str().unwrap_or_default();
        let state = self.state();
        let tuned = state
            .jobs
            .0
            .iter()
            .any(|job| self.word(job) == "completed" && model(job) == name);
        if name != BASE && !tuned {
            let message =
                format!("Unable to access model {name}. Please start a dedicated endpoint.");
            return Reaction::refuses(404, "model_not_available", &message);
        }
        // What it does not know it leaves aside.
        let mut answer = completion(name, if tuned { TUNED } else { UNTUNED });
        answer["prompt"] = json!([]);
        Reaction::json(&answer)
    }
}

fn model(job: &Job) -> String {
    let suffix = job.asked["suffix"].as_str().unwrap_or_default();
    format!("user/Meta-Llama-3.1-8B-{suffix}-{}", job.id)
}

fn limits() -> Value {
    json!({
        "model_name": BASE,
        "default_gradient_accumulation_steps": 1,
        "lora_training": {
            "default_rank": 64, "max_batch_size": 64, "max_batch_size_dpo": 32, "max_rank": 64,
            "min_batch_size": 8, "target_modules": ["q_proj"],
        },
        "full_training": {"max_batch_size": 64, "max_batch_size_dpo": 32, "min_batch_size": 8},
        "max_learning_rate": 1e-2,
        "min_learning_rate": 1e-7,
        "max_num_checkpoints": 10,
        "max_num_epochs": 20,
        "max_num_evals": 10,
        "max_seq_length_dpo": 8192,
        "max_seq_length_sft": 8192,
        "min_max_seq_length": 32,
        "merge_output_lora": true,
        "supports_full_training": true,
        "supports_reasoning": false,
        "supports_tools": true,
        "supports_vision": false,
    })
}

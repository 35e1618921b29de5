//! Training at Together, or at any server that speaks its protocol.
//!
//! A file is announced first; the answer redirects to where its bytes go. The same bytes announced
//! twice are one file there, so a job is known again by its suffix, not by its file. Words for states
//! come in either case.

use super::job::{Checkpoint, Creation, Estimate, Happening, Job, Order, Provider, State};
use super::name::Name;
use super::openai::with_extra;
use super::requests::{Reading, Response};
use super::service::{Form, Service};
use crate::digest;
use crate::settings::hosted::HostedMethod;
use crate::{Error, Result};
use jiff::Timestamp;
use reqwest::Url;
use reqwest::header::LOCATION;
use serde_json::{Value, json};
use std::time::{Duration, Instant};

/// Together's longest suffix.
pub const SUFFIX: usize = 40;
/// How long a file may be looked at there.
const FILE_PATIENCE: Duration = Duration::from_secs(600);

/// Together's protocol.
#[derive(Debug)]
pub struct Together {
    service: Service,
}

/// Where the bytes of a file go, or the id of one with the same bytes.
enum Announced {
    Upload { id: String, address: Url },
    Known(String),
}

impl Together {
    /// Behind a service.
    pub fn new(service: Service) -> Self {
        Self { service }
    }

    fn announce(&self, order: &Order<'_>) -> Result<Announced> {
        let form = Form::default()
            .field("purpose", "fine-tune")
            .field("file_name", &format!("steadfast-{}.jsonl", order.tag))
            .field("file_type", "jsonl")
            .field("checksum", &digest::of(order.data));
        self.service
            .post_form("files", &form, |response| self.announced(response))
    }

    fn announced(&self, response: &Response) -> Reading<Announced> {
        let header = |name: &str| response.headers.get(name)?.to_str().ok();
        let status = response.status.as_u16();
        if status == 409 {
            let body: Value = serde_json::from_slice(&response.body).unwrap_or_default();
            if let Some(id) = body["file_id"].as_str() {
                return Reading::Answer(Announced::Known(id.to_owned()));
            }
        }
        if !(200..400).contains(&status) {
            return self.service.refusal("take up the training data", response);
        }
        // The address may be relative to the service.
        let address = header(LOCATION.as_str()).and_then(|location| {
            Url::parse(&self.service.base_url())
                .ok()?
                .join(location)
                .ok()
        });
        match header("x-together-file-id").zip(address) {
            Some((id, address)) => Reading::Answer(Announced::Upload {
                id: id.to_owned(),
                address,
            }),
            None => Reading::Never(
                Error::outside("together does not say where the training data goes")
                    .hint("check the base URL, which usually ends in /v1"),
            ),
        }
    }

    /// Waits until the service has looked at a file.
    fn await_file(&self, id: &str) -> Result<()> {
        let started = Instant::now();
        let mut wait = self.service.patience().first;
        loop {
            let file = self
                .service
                .get(&format!("show the file {id}"), &format!("files/{id}"))?;
            let word = file["processing_status"].as_str().unwrap_or("COMPLETED");
            match word.to_ascii_uppercase().as_str() {
                "FAILED" | "INVALID_FORMAT" => {
                    let report = &file["validation_report"]["error"];
                    let why = report.as_str().unwrap_or("no explanation");
                    return Err(Error::user(format!("together finds the training data wrong: {why}"))
                        .hint("mend the conversations under [data]: `steadfast data check FILE` looks at them here"));
                }
                // A word of tomorrow is waited out as long as one of today.
                "COMPLETED" => return Ok(()),
                _ if started.elapsed() > FILE_PATIENCE => {
                    return Err(Error::outside(format!(
                        "together has looked at the training data for {} seconds: {word}",
                        FILE_PATIENCE.as_secs()
                    ))
                    .hint("start the same command again later: it goes on from here"));
                }
                _ => {}
            }
            std::thread::sleep(wait);
            wait = (wait * 2).min(Duration::from_secs(10));
        }
    }

    fn training_type(order: &Order<'_>) -> Value {
        let own = &order.arm.hyperparameters;
        match own.method {
            HostedMethod::Full => json!({"type": "Full"}),
            HostedMethod::Lora => json!({
                "type": "Lora",
                "lora_r": own.rank,
                "lora_alpha": own.alpha,
                "lora_dropout": 0.0,
                "lora_trainable_modules": "all-linear",
            }),
        }
    }

    fn training_method() -> Value {
        json!({"method": "sft", "train_on_inputs": false})
    }

    fn body(&self, order: &Order<'_>, file: &str) -> Value {
        let own = &order.arm.hyperparameters;
        let body = json!({
            "model": order.arm.base,
            "training_file": file,
            "n_epochs": own.epochs,
            "n_checkpoints": 1,
            "batch_size": own.batch_size.map_or(json!("max"), |size| json!(size)),
            "learning_rate": own.learning_rate,
            "warmup_ratio": own.warmup,
            "random_seed": order.seed,
            "suffix": suffix(order),
            "training_type": Self::training_type(order),
            "training_method": Self::training_method(),
        });
        with_extra(body, &order.arm.extra)
    }
}

/// The user's suffix and our tag: by it a job is found again.
fn suffix(order: &Order<'_>) -> String {
    match &order.arm.suffix {
        Some(suffix) => format!("{suffix}-{}", order.tag),
        None => format!("steadfast-{}", order.tag),
    }
}

impl Provider for Together {
    fn name(&self) -> Name {
        Name::Together
    }

    fn base_url(&self) -> String {
        self.service.base_url()
    }

    fn upload(&self, order: &Order<'_>) -> Result<String> {
        let id = match self.announce(order)? {
            Announced::Known(id) => id,
            Announced::Upload { id, address } => {
                let what = "take up the training data";
                self.service.put(what, &address, order.data)?;
                self.service
                    .post(what, &format!("files/{id}/preprocess"), &json!({}))?;
                id
            }
        };
        self.await_file(&id)?;
        Ok(id)
    }

    fn estimate(&self, order: &Order<'_>, file: &str) -> Result<Estimate> {
        let body = json!({
            "training_file": file,
            "model": order.arm.base,
            "n_epochs": order.arm.hyperparameters.epochs,
            "n_evals": 0,
            "training_type": Self::training_type(order),
            "training_method": Self::training_method(),
        });
        let answer = self
            .service
            .post("estimate the price", "fine-tunes/estimate-price", &body)?;
        if answer["allowed_to_proceed"] == false {
            let limit = answer["user_limit"].as_f64().unwrap_or(0.0);
            let price = answer["estimated_total_price"].as_f64().unwrap_or(0.0);
            return Err(Error::user(format!(
                "together would not let the job begin: it is estimated at ${price:.2}, and the account's limit is ${limit:.2}"
            ))
            .hint("add credit at Together, or train on less: fewer `epochs`, a `limit` under [data]"));
        }
        let tokens = order.trained_tokens();
        let own = order.arm.price.map(|price| price * tokens as f64 / 1e6);
        Ok(Estimate {
            tokens: answer["estimated_train_token_count"]
                .as_f64()
                .map_or(tokens, |count| count as u64),
            dollars: answer["estimated_total_price"].as_f64().or(own),
        })
    }

    fn find(&self, order: &Order<'_>) -> Result<Option<Job>> {
        let listed = self.service.get("list the jobs", "fine-tunes")?;
        let entries = listed["data"].as_array().map_or(&[][..], Vec::as_slice);
        let suffix = suffix(order);
        let ours = |entry: &&Value| {
            entry["suffix"] == suffix.as_str()
                || output(entry).is_some_and(|name| name.contains(&suffix))
        };
        Ok(entries
            .iter()
            .filter(ours)
            .filter_map(job)
            .find(|job| !matches!(job.state, State::Failed | State::Cancelled)))
    }

    fn create(&self, order: &Order<'_>, file: &str) -> Result<Creation> {
        let body = self.body(order, file);
        self.service
            .create("make the job", "fine-tunes", &body, |made| {
                made["id"].as_str().map(str::to_owned)
            })
    }

    fn job(&self, id: &str) -> Result<Job> {
        let what = format!("show the job {id}");
        let shown = self.service.get(&what, &format!("fine-tunes/{id}"))?;
        let mut job = job(&shown).ok_or_else(|| strange(id))?;
        if job.state == State::Failed && job.failure.is_none() {
            // Why stands among what happened.
            job.failure = self
                .happenings(id, &|_| false)?
                .into_iter()
                .rev()
                .find(|one| one.warning)
                .map(|one| one.message);
        }
        Ok(job)
    }

    fn happenings(&self, id: &str, known: &dyn Fn(&str) -> bool) -> Result<Vec<Happening>> {
        let listed = self
            .service
            .get("list what happened", &format!("fine-tunes/{id}/events"))?;
        let entries = listed["data"].as_array().map_or(&[][..], Vec::as_slice);
        let mut new: Vec<(String, Happening)> = entries
            .iter()
            .map(|event| {
                let created = event["created_at"].as_str().unwrap_or_default().to_owned();
                (created, happening(event))
            })
            .filter(|(_, one)| !known(&one.id))
            .collect();
        new.sort_by(|one, other| one.0.cmp(&other.0));
        Ok(new.into_iter().map(|(_, one)| one).collect())
    }

    fn checkpoints(&self, id: &str) -> Result<Vec<Checkpoint>> {
        let listed = self.service.get(
            "list the checkpoints",
            &format!("fine-tunes/{id}/checkpoints"),
        )?;
        let entries = listed["data"].as_array().map_or(&[][..], Vec::as_slice);
        let mut checkpoints: Vec<Checkpoint> = entries
            .iter()
            .filter_map(|entry| {
                let name = entry["object_name"].as_str().or(entry["path"].as_str())?;
                Some(Checkpoint {
                    step: entry["step"].as_u64().unwrap_or(0),
                    name: name.to_owned(),
                    loss: None,
                })
            })
            .collect();
        checkpoints.sort_by_key(|checkpoint| checkpoint.step);
        Ok(checkpoints)
    }

    fn cancel(&self, id: &str) -> Result<Job> {
        let what = format!("cancel the job {id}");
        let shown = self
            .service
            .post(&what, &format!("fine-tunes/{id}/cancel"), &json!({}))?;
        job(&shown).ok_or_else(|| strange(id))
    }
}

fn strange(id: &str) -> Error {
    Error::outside(format!(
        "together shows the job {id} in a form that is none"
    ))
    .hint("start the same command again; if it stays, ask Together about the job")
}

/// The result's name; newer answers call it otherwise.
fn output(shown: &Value) -> Option<&str> {
    ["model_output_name", "output_name", "model_object_name"]
        .iter()
        .find_map(|name| shown[*name].as_str())
        .filter(|name| !name.is_empty())
}

pub(crate) fn job(shown: &Value) -> Option<Job> {
    let word = shown["status"].as_str()?.to_ascii_lowercase();
    let instant = |name: &str| shown[name].as_str()?.parse::<Timestamp>().ok();
    let seconds = instant("created_at")
        .zip(instant("updated_at"))
        .map(|(from, to)| to.duration_since(from).as_secs_f64().max(0.0));
    Some(Job {
        id: shown["id"].as_str()?.to_owned(),
        state: match word.as_str() {
            "pending" | "queued" | "running" | "compressing" | "uploading" | "cancel_requested" => {
                State::Open
            }
            "completed" => State::Succeeded,
            "error" | "user_error" => State::Failed,
            "cancelled" => State::Cancelled,
            _ => State::Unknown,
        },
        word,
        model: output(shown).map(str::to_owned),
        failure: None,
        trained_tokens: shown["token_count"].as_u64(),
        seconds,
    })
}

pub(crate) fn happening(event: &Value) -> Happening {
    let text = |name: &str| event[name].as_str().unwrap_or_default();
    let kind = text("type").to_ascii_lowercase();
    let level = text("level").to_ascii_lowercase();
    let step = event["step"].as_u64().filter(|step| *step > 0);
    Happening {
        // Events have no id of their own.
        id: format!(
            "{}/{kind}/{}/{}",
            text("created_at"),
            step.unwrap_or(0),
            text("message")
        ),
        message: text("message").to_owned(),
        warning: level.contains("error") || level.contains("warning") || kind.ends_with("error"),
        step,
        steps: event["total_steps"].as_u64().filter(|steps| *steps > 0),
        loss: None,
    }
}

//! Training at OpenAI, or at any server that speaks its protocol (`steadfast serve` does).
//!
//! Fine-tuning at OpenAI itself is closing: gpt-3.5-turbo and gpt-4 were retired in October 2026, and
//! most organisations can make no new jobs. The protocol stays.

use super::job::{Checkpoint, Creation, Estimate, Happening, Job, Order, Provider, State};
use super::name::Name;
use super::service::{Form, Service};
use crate::{Error, Result};
use serde_json::{Map, Value, json};

/// The key under which a job's metadata holds our tag.
pub const TAG: &str = "steadfast";
/// OpenAI's own least number of conversations; other servers have their own.
const LEAST: usize = 10;
/// Entries of one page.
const PAGE: usize = 100;
/// Most pages that are turned: a hundred times more jobs than anybody has.
const PAGES: usize = 100;

/// OpenAI's protocol.
#[derive(Debug)]
pub struct OpenAi {
    service: Service,
}

impl OpenAi {
    /// Behind a service.
    pub fn new(service: Service) -> Self {
        Self { service }
    }

    /// The entries of a list from the newest on, until `take` has enough.
    fn pages(
        &self,
        what: &str,
        path: &str,
        query: &str,
        take: &mut dyn FnMut(&Value) -> bool,
    ) -> Result<()> {
        let mut after = String::new();
        for _ in 0..PAGES {
            let page = self
                .service
                .get(what, &format!("{path}?limit={PAGE}{query}{after}"))?;
            let entries = page["data"].as_array().map_or(&[][..], Vec::as_slice);
            for entry in entries {
                if !take(entry) {
                    return Ok(());
                }
            }
            match entries.last().and_then(|last| last["id"].as_str()) {
                Some(last) if page["has_more"] == true => after = format!("&after={last}"),
                _ => return Ok(()),
            }
        }
        Ok(())
    }

    fn body(&self, order: &Order<'_>, file: &str) -> Value {
        let own = &order.arm.hyperparameters;
        let mut hyperparameters = json!({"n_epochs": own.epochs});
        if let Some(size) = own.batch_size {
            hyperparameters["batch_size"] = json!(size);
        }
        if let Some(multiplier) = own.learning_rate_multiplier {
            hyperparameters["learning_rate_multiplier"] = json!(multiplier);
        }
        let mut body = json!({
            "model": order.arm.base,
            "training_file": file,
            "seed": order.seed,
            "method": {"type": "supervised", "supervised": {"hyperparameters": hyperparameters}},
            "metadata": {TAG: order.tag},
        });
        if let Some(suffix) = &order.arm.suffix {
            body["suffix"] = json!(suffix);
        }
        with_extra(body, &order.arm.extra)
    }
}

/// A request's body with the recipe's further fields, which win.
pub fn with_extra(mut body: Value, extra: &Map<String, Value>) -> Value {
    if let Some(object) = body.as_object_mut() {
        object.extend(extra.clone());
    }
    body
}

impl Provider for OpenAi {
    fn name(&self) -> Name {
        Name::OpenAi
    }

    fn base_url(&self) -> String {
        self.service.base_url()
    }

    fn upload(&self, order: &Order<'_>) -> Result<String> {
        if order.conversations < LEAST && self.base_url() == Name::OpenAi.address() {
            return Err(Error::user(format!(
                "openai trains on {LEAST} conversations or more, and there are {}",
                order.conversations
            ))
            .hint("add conversations under [data]; with `validation_share` some are held out"));
        }
        let form = Form::default().field("purpose", "fine-tune").file(
            "file",
            &format!("steadfast-{}.jsonl", order.tag),
            order.data,
        );
        let what = "take up the training data";
        let file = self
            .service
            .post_form("files", &form, |response| self.service.json(what, response))?;
        let id = file["id"].as_str().map(str::to_owned);
        id.ok_or_else(|| {
            Error::outside("openai took the data up under no name")
                .hint("start the same command again")
        })
    }

    fn estimate(&self, order: &Order<'_>, _: &str) -> Result<Estimate> {
        let tokens = order.trained_tokens();
        Ok(Estimate {
            tokens,
            dollars: order.arm.price.map(|price| price * tokens as f64 / 1e6),
        })
    }

    fn find(&self, order: &Order<'_>) -> Result<Option<Job>> {
        let mut found = None;
        // Servers that know no filter show all jobs, so each is looked at.
        let query = format!("&metadata%5B{TAG}%5D={}", order.tag);
        let what = "list the jobs";
        self.pages(what, "fine_tuning/jobs", &query, &mut |entry| {
            let ours = entry["metadata"][TAG] == order.tag.as_str();
            found = job(entry)
                .filter(|job| ours && !matches!(job.state, State::Failed | State::Cancelled));
            found.is_none()
        })?;
        Ok(found)
    }

    fn create(&self, order: &Order<'_>, file: &str) -> Result<Creation> {
        let body = self.body(order, file);
        self.service
            .create("make the job", "fine_tuning/jobs", &body, |made| {
                made["id"].as_str().map(str::to_owned)
            })
    }

    fn job(&self, id: &str) -> Result<Job> {
        let what = format!("show the job {id}");
        let shown = self.service.get(&what, &format!("fine_tuning/jobs/{id}"))?;
        job(&shown).ok_or_else(|| {
            Error::outside(format!("openai shows the job {id} in a form that is none"))
        })
    }

    fn happenings(&self, id: &str, known: &dyn Fn(&str) -> bool) -> Result<Vec<Happening>> {
        let mut new = Vec::new();
        let path = format!("fine_tuning/jobs/{id}/events");
        self.pages("list what happened", &path, "", &mut |event| {
            let one = happening(event);
            let fresh = !known(&one.id);
            if fresh {
                new.push(one);
            }
            fresh
        })?;
        new.reverse();
        Ok(new)
    }

    fn checkpoints(&self, id: &str) -> Result<Vec<Checkpoint>> {
        let mut checkpoints = Vec::new();
        let path = format!("fine_tuning/jobs/{id}/checkpoints");
        self.pages("list the checkpoints", &path, "", &mut |entry| {
            if let Some(name) = entry["fine_tuned_model_checkpoint"].as_str() {
                checkpoints.push(Checkpoint {
                    step: entry["step_number"].as_u64().unwrap_or(0),
                    name: name.to_owned(),
                    loss: entry["metrics"]["train_loss"].as_f64(),
                });
            }
            true
        })?;
        checkpoints.sort_by_key(|checkpoint| checkpoint.step);
        Ok(checkpoints)
    }

    fn cancel(&self, id: &str) -> Result<Job> {
        let what = format!("cancel the job {id}");
        let path = format!("fine_tuning/jobs/{id}/cancel");
        let shown = self.service.post(&what, &path, &json!({}))?;
        job(&shown).ok_or_else(|| {
            Error::outside(format!("openai shows the job {id} in a form that is none"))
        })
    }
}

pub(crate) fn job(shown: &Value) -> Option<Job> {
    let word = shown["status"].as_str()?;
    let seconds = |name: &str| shown[name].as_f64().filter(|seconds| *seconds > 0.0);
    let error = &shown["error"];
    let failure = error["message"]
        .as_str()
        .map(|message| match error["code"].as_str() {
            Some(code) => format!("{message} ({code})"),
            None => message.to_owned(),
        });
    Some(Job {
        id: shown["id"].as_str()?.to_owned(),
        state: match word {
            "validating_files" | "queued" | "running" | "pausing" => State::Open,
            "paused" => State::Paused,
            "succeeded" => State::Succeeded,
            "failed" => State::Failed,
            "cancelled" => State::Cancelled,
            _ => State::Unknown,
        },
        word: word.to_owned(),
        model: shown["fine_tuned_model"].as_str().map(str::to_owned),
        failure,
        trained_tokens: shown["trained_tokens"].as_u64(),
        seconds: seconds("created_at")
            .zip(seconds("finished_at"))
            .map(|(from, to)| (to - from).max(0.0)),
    })
}

pub(crate) fn happening(event: &Value) -> Happening {
    let data = &event["data"];
    Happening {
        id: event["id"].as_str().unwrap_or_default().to_owned(),
        message: event["message"].as_str().unwrap_or_default().to_owned(),
        warning: matches!(event["level"].as_str(), Some("warn" | "error")),
        step: data["step"]
            .as_u64()
            .filter(|_| data["train_loss"].is_number()),
        steps: data["total_steps"].as_u64(),
        loss: data["train_loss"].as_f64(),
    }
}

//! An arm trained at a service: upload, price, job, wait; each step on record before the next.
//!
//! A job costs money, so none is made while there may be one already. Before making one the service is
//! asked for a job with our tag; and where the answer to the making is lost, it is asked again.

use super::connection::Connection;
use super::job::{Creation, Estimate, Happening, Job, Order, Provider, State, dollars as in_words};
use super::name::{Name, Place};
use super::openai::OpenAi;
use super::record::{Record, SCHEMA};
use super::retry::{Backoff, Patience};
use super::service::Service;
use super::together::Together;
use crate::events::{Event, Listener};
use crate::results::Training;
use crate::runs::atomic;
use crate::settings::HostedArm;
use crate::{Error, Result};
use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

/// Waits between looks at a job.
pub const PACE: Patience = Patience {
    attempts: u32::MAX,
    first: Duration::from_secs(1),
    longest: Duration::from_secs(15),
};

/// Longest wait for one answer about a job.
const TIMEOUT: Duration = Duration::from_secs(120);

/// An arm that was trained elsewhere.
#[derive(Clone, Debug, PartialEq)]
pub struct HostedModel {
    /// The name that it is asked by.
    pub name: String,
    /// What it cost.
    pub training: Training,
}

/// A connection to an arm's service.
///
/// # Errors
/// When there is no key, or the address is none.
pub fn connect(arm: &HostedArm) -> Result<Connection> {
    arm.provider.connect(&Place {
        base_url: arm.base_url.as_deref(),
        key_variable: arm.key_variable.as_deref(),
        key_file: arm.key_file.as_deref(),
        timeout: TIMEOUT,
    })
}

/// The protocol that a service speaks.
///
/// # Errors
/// When no client can be made.
pub fn provider(
    name: Name,
    connection: Connection,
    patience: Patience,
) -> Result<Box<dyn Provider>> {
    let service = Service::new(connection, patience)?;
    Ok(match name {
        Name::OpenAi => Box::new(OpenAi::new(service)),
        Name::Together => Box::new(Together::new(service)),
    })
}

/// One arm at its service. Its record stands in `folder`.
pub struct Hosted<'a> {
    /// The service.
    pub provider: &'a dyn Provider,
    /// What is ordered.
    pub order: &'a Order<'a>,
    /// The arm's folder.
    pub folder: &'a Path,
    /// Waits between looks.
    pub pace: Patience,
    /// Who listens, and who confirms a price.
    pub listener: &'a dyn Listener,
}

impl Hosted<'_> {
    /// Sees to it that there is a job: the one on record, the one at the service with our tag, or, once
    /// its price is confirmed, a new one.
    ///
    /// # Errors
    /// When the service refuses or cannot be reached, or nobody confirms the price.
    pub fn begin(&self) -> Result<Record> {
        let found = Record::read(self.folder)?.filter(|record| record.tag == self.order.tag);
        // Where it is asked now, and with which key: the server may have moved.
        let blank = self.blank();
        let mut record = match found {
            Some(found) => Record {
                base_url: blank.base_url,
                key_variable: blank.key_variable,
                key_file: blank.key_file,
                ..found
            },
            None => blank,
        };
        if record.over {
            record.over = false;
            record.job = None;
        }
        if let Some(job) = &record.job {
            record.write(self.folder)?;
            if record.model.is_none() {
                self.say(format!("{}: picking up {}", self.order.name, job));
            }
            return Ok(record);
        }
        if let Some(job) = self.provider.find(self.order)? {
            self.say(format!(
                "{}: {} is of this very arm, and is picked up",
                self.order.name, job.id
            ));
            return self.made(record, job.id);
        }
        let file = match record.file.clone() {
            Some(file) => file,
            None => {
                self.say(format!(
                    "{}: uploading {} conversations to {}",
                    self.order.name,
                    self.order.conversations,
                    self.provider.base_url()
                ));
                let file = self.provider.upload(self.order)?;
                record.file = Some(file.clone());
                record.write(self.folder)?;
                file
            }
        };
        self.confirm(self.provider.estimate(self.order, &file)?)?;
        match self.create(&file) {
            Ok(job) => self.made(record, job),
            Err(error) => {
                // It may be the file that it does not like: the next start uploads it again.
                record.file = None;
                record.write(self.folder)?;
                Err(error)
            }
        }
    }

    fn blank(&self) -> Record {
        Record {
            schema: SCHEMA.into(),
            provider: self.provider.name(),
            base_url: self.provider.base_url(),
            key_variable: self.order.arm.key_variable.clone(),
            key_file: self.order.arm.key_file.clone(),
            tag: self.order.tag.clone(),
            file: None,
            job: None,
            state: None,
            over: false,
            model: None,
            training: None,
        }
    }

    fn made(&self, mut record: Record, job: String) -> Result<Record> {
        record.job = Some(job);
        record.write(self.folder)?;
        Ok(record)
    }

    /// Asks for the job once, and where the answer was lost looks for it until it shows.
    fn create(&self, file: &str) -> Result<String> {
        let lost = match self.provider.create(self.order, file)? {
            Creation::Made(job) => return Ok(job),
            Creation::Unknown(message) => message,
        };
        // The service may show a new job a while later. Asking again meanwhile might pay for two.
        let mut backoff = Backoff::new(self.pace, self.order.seed);
        for attempt in 1..=Patience::default().attempts {
            std::thread::sleep(backoff.wait(attempt));
            if let Some(job) = self.provider.find(self.order)? {
                return Ok(job.id);
            }
        }
        let who = self.provider.name().name();
        Err(Error::outside(format!(
            "{who} was asked for the job and shows none: {lost}"
        ))
        .hint("the same command looks for the job again before it asks for one"))
    }

    /// Shows the price, and goes on only where somebody agrees to it.
    fn confirm(&self, estimate: Estimate) -> Result<()> {
        let (arm, who) = (self.order.arm, self.provider.name().name());
        self.listener.on(Event::PriceEstimated {
            arm: self.order.name.clone(),
            provider: who.into(),
            tokens: estimate.tokens,
            dollars: estimate.dollars,
        });
        match (estimate.dollars, arm.max_cost) {
            (Some(0.0), _) => return Ok(()),
            (Some(dollars), Some(most)) if dollars <= most => return Ok(()),
            (Some(dollars), Some(most)) => {
                return Err(Error::budget(format!(
                    "training `{}` at {who} is estimated at {}, more than its `max_cost` of ${most}",
                    self.order.name,
                    in_words(dollars)
                ))
                .hint("nothing was spent: train on less, or raise the arm's `max_cost`"));
            }
            (None, Some(_)) => {
                return Err(Error::user(format!(
                    "nobody says what training `{}` at {who} costs, so `max_cost` cannot hold",
                    self.order.name
                ))
                .field("price")
                .hint("give the arm a `price`, dollars for a million trained tokens (0 where nothing is charged)"));
            }
            (_, None) => {}
        }
        let about = estimate.dollars.map_or_else(
            || "at a price that nobody says".to_owned(),
            |dollars| format!("for about {}", in_words(dollars)),
        );
        let question = format!(
            "train `{}` at {who} on about {} tokens {about}?",
            self.order.name, estimate.tokens
        );
        if self.listener.confirm(&question) {
            return Ok(());
        }
        Err(Error::user(format!(
            "training `{}` at {who} costs money, and nobody agreed to it",
            self.order.name
        ))
        .hint("nothing was spent: start the same command with --yes, or give the arm a `max_cost` in dollars"))
    }

    /// Waits for the job and says what happens to it.
    ///
    /// # Errors
    /// When it fails or is cancelled, in the service's words, or the listener wants to stop: the job then
    /// runs on.
    pub fn follow(&self, mut record: Record) -> Result<HostedModel> {
        let (name, who) = (&self.order.name, self.provider.name().name());
        if let (Some(model), Some(training)) = (&record.model, &record.training) {
            self.listener.on(Event::StageFinished {
                stage: format!("training {name} at {who}"),
                reused: true,
            });
            return Ok(HostedModel {
                name: model.clone(),
                training: training.clone(),
            });
        }
        let id = record
            .job
            .clone()
            .ok_or_else(|| Error::bug("a job is followed that was not begun"))?;
        let stage = format!("training {name} at {who}");
        self.listener.on(Event::StageStarted {
            stage: stage.clone(),
            total: 0,
            unit: "steps",
        });
        let mut pace = Backoff::new(self.pace, self.order.seed);
        let (mut seen, mut steps) = (BTreeSet::new(), 0);
        for look in 1.. {
            let job = self.provider.job(&id)?;
            if record.state.as_deref() != Some(job.word.as_str()) {
                self.announce(&job);
                record.state = Some(job.word.clone());
                record.write(self.folder)?;
            }
            for one in self
                .provider
                .happenings(&id, &|known| seen.contains(known))?
            {
                steps = steps.max(one.step.unwrap_or(0));
                seen.insert(one.id.clone());
                self.tell(one);
            }
            match job.state {
                State::Succeeded => {
                    let model = self.finish(&mut record, &job, steps)?;
                    self.listener.on(Event::StageFinished {
                        stage,
                        reused: false,
                    });
                    return Ok(model);
                }
                State::Failed | State::Cancelled => {
                    record.over = true;
                    record.write(self.folder)?;
                    return Err(self.ended(&job));
                }
                State::Open | State::Paused | State::Unknown => {}
            }
            if self.listener.stopped() {
                return Err(Error::stopped());
            }
            std::thread::sleep(pace.wait(look));
        }
        Err(Error::bug("a job was looked at forever"))
    }

    fn announce(&self, job: &Job) {
        self.listener.on(Event::JobState {
            arm: self.order.name.clone(),
            job: job.id.clone(),
            state: job.word.clone(),
        });
        let who = self.provider.name().name();
        let message = match job.state {
            State::Unknown => format!(
                "{who} calls the state of {} `{}`, which this version does not know: waiting on",
                job.id, job.word
            ),
            State::Paused => format!(
                "{} is paused: it goes on when it is resumed at {who}",
                job.id
            ),
            _ => return,
        };
        self.listener.on(Event::Warning { message });
    }

    fn tell(&self, one: Happening) {
        match (one.step, one.steps) {
            (Some(step), steps) => self.listener.on(Event::HostedStep {
                step,
                steps: steps.unwrap_or(0),
                loss: one.loss,
            }),
            (None, _) if one.warning => self.listener.on(Event::Warning {
                message: format!("{}: {}", self.order.name, one.message),
            }),
            (None, _) if !one.message.is_empty() => self.say(format!("  {}", one.message)),
            (None, _) => {}
        }
    }

    fn finish(&self, record: &mut Record, job: &Job, steps: u64) -> Result<HostedModel> {
        let who = self.provider.name().name();
        let model = job.model.clone().ok_or_else(|| {
            Error::outside(format!(
                "{who} calls {} {} and names no model",
                job.id, job.word
            ))
            .hint("start the same command again in a while: it picks the job up")
        })?;
        // Notes on the way. What was paid for must not wait for them.
        let checkpoints = self.provider.checkpoints(&job.id).unwrap_or_else(|error| {
            self.listener.on(Event::Warning {
                message: format!(
                    "{}: the checkpoints of {} cannot be listed: {error}",
                    self.order.name, job.id
                ),
            });
            Vec::new()
        });
        let text = serde_json::to_string_pretty(&checkpoints)
            .map_err(|cause| Error::bug("checkpoints have no JSON form").because(cause))?;
        atomic::write(
            &self.folder.join("checkpoints.json"),
            format!("{text}\n").as_bytes(),
        )?;
        for checkpoint in &checkpoints {
            let loss = checkpoint
                .loss
                .map_or(String::new(), |loss| format!(", loss {loss:.3}"));
            self.say(format!(
                "  checkpoint at step {}{loss}: {}",
                checkpoint.step, checkpoint.name
            ));
        }
        let tokens = job
            .trained_tokens
            .unwrap_or_else(|| self.order.trained_tokens());
        let seconds = job.seconds.unwrap_or(0.0);
        let training = Training {
            tokens,
            steps: steps.max(checkpoints.last().map_or(0, |last| last.step)),
            tokens_per_second: if seconds > 0.0 {
                tokens as f64 / seconds
            } else {
                0.0
            },
            peak_memory_bytes: 0,
            seconds,
        };
        record.model = Some(model.clone());
        record.training = Some(training.clone());
        record.write(self.folder)?;
        Ok(HostedModel {
            name: model,
            training,
        })
    }

    fn ended(&self, job: &Job) -> Error {
        let (name, who) = (&self.order.name, self.provider.name().name());
        if job.state == State::Cancelled {
            return Error::user(format!(
                "the job {} of `{name}` was cancelled at {who}",
                job.id
            ))
            .hint("the same command makes a new job, once its price is confirmed");
        }
        let why = job.failure.as_deref().unwrap_or("no explanation");
        Error::outside(format!(
            "the job {} of `{name}` failed at {who}: {why}",
            job.id
        ))
        .hint("mend what it says; the same command makes a new job, once its price is confirmed")
    }

    fn say(&self, message: String) {
        self.listener.on(Event::Note { message });
    }
}

/// Cancels the job on record in an arm's folder; returns its id and the service's word for its state.
///
/// # Errors
/// When there is no job on record, or the service refuses.
pub fn cancel(folder: &Path) -> Result<(String, String)> {
    let record = Record::read(folder)?;
    let Some((record, job)) = record.and_then(|record| {
        let job = record.job.clone()?;
        Some((record, job))
    }) else {
        return Err(Error::user("no hosted job is on record here")
            .at(folder)
            .hint("name the folder of a hosted arm, such as runs/RUN/arms/ARM-seed0"));
    };
    let connection = record.provider.connect(&Place {
        base_url: Some(&record.base_url),
        key_variable: record.key_variable.as_deref(),
        key_file: record.key_file.as_deref(),
        timeout: TIMEOUT,
    })?;
    let job = provider(record.provider, connection, Patience::default())?.cancel(&job)?;
    Ok((job.id, job.word))
}

#[cfg(test)]
mod tests;

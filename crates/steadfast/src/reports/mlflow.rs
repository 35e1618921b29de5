//! MLflow's tracking: a run an arm, with its parameters, the training's numbers as they come, and what
//! was measured before and after.
//!
//! [`server`] speaks its REST API 2.0. Nothing here is worth a study: where the server does not answer,
//! that is said once and the work goes on; what was not sent is sent with what comes next. The run's id is kept
//! beside the arm's checkpoints, so a study that goes on after a stop goes on with its run.

pub mod server;
#[cfg(test)]
mod tests;

use crate::events::{Event, Listener};
use crate::models::Multiple;
use crate::results::{Arm, Training};
use crate::runs::atomic;
use crate::{Error, Result};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use server::{Metric, Server};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// The record of a run, beside the arm's checkpoints.
const FILE: &str = "mlflow.json";
/// How long numbers wait for others before they are sent.
const TOGETHER: Duration = Duration::from_secs(10);
/// Failures in a row after which the server is left alone until the arm's end.
const MOST_FAILURES: u32 = 3;

/// What a run is called and marked with.
#[derive(Clone, Debug, Default)]
pub struct About {
    /// What people call it.
    pub name: String,
    /// What was set; objects within are named with dots.
    pub parameters: Map<String, Value>,
    /// What it is marked with.
    pub tags: Vec<(&'static str, String)>,
}

/// `mlflow.json`: which run is this arm's.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Record {
    /// The server that has it.
    server: String,
    run: String,
    /// Digest of what decides the training that the run follows.
    #[serde(default)]
    training: String,
    /// The last step that was sent.
    step: Option<usize>,
    /// Whether its parameters were.
    described: bool,
}

/// Hands every event on, and sends those of training to the server, if there is one.
pub struct Tracked<'a> {
    inner: &'a dyn Listener,
    sending: Mutex<Option<Sending>>,
}

struct Sending {
    server: Server,
    about: About,
    path: PathBuf,
    record: Option<Record>,
    training: String,
    waiting: Vec<Metric>,
    last: Instant,
    failures: u32,
}

impl<'a> Tracked<'a> {
    /// Training in this folder, tracked where the environment names a server.
    ///
    /// `training` is the digest of all that decides the result; a run on record is gone on with if it is
    /// of the same one, and training `resumes`.
    pub fn open(
        folder: &Path,
        training: &str,
        resumes: bool,
        about: impl FnOnce() -> Result<About>,
        inner: &'a dyn Listener,
    ) -> Self {
        let sending = server(inner).and_then(|server| match about() {
            Ok(about) => {
                let mut sending = Sending::new(server, folder.join(FILE), about);
                training.clone_into(&mut sending.training);
                let same = |record: &Record| resumes && record.training == training;
                sending.record = sending.record.take().filter(same);
                Some(sending)
            }
            Err(error) => {
                warn(inner, &error);
                None
            }
        });
        let tracked = Self {
            inner,
            sending: Mutex::new(sending),
        };
        // The run is there from the beginning, and a server that is not is told of before the work.
        tracked.send();
        tracked
    }

    fn send(&self) {
        let mut sending = self.sending.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(sending) = sending.as_mut()
            && let Err(error) = sending.send()
            && sending.failures == 1
        {
            warn(self.inner, &error);
        }
    }

    /// Whether enough is waiting, for long enough.
    fn due(&self, event: &Event) -> bool {
        let Some((step, scalars)) = event.scalars() else {
            return false;
        };
        let mut sending = self.sending.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(sending) = sending.as_mut() else {
            return false;
        };
        sending.take(step, &scalars);
        sending.failures < MOST_FAILURES && sending.last.elapsed() >= TOGETHER
    }
}

impl Listener for Tracked<'_> {
    fn on(&self, event: Event) {
        if self.due(&event) {
            self.send();
        }
        self.inner.on(event);
    }

    fn stopped(&self) -> bool {
        self.inner.stopped()
    }

    fn confirm(&self, question: &str) -> bool {
        self.inner.confirm(question)
    }
}

impl Drop for Tracked<'_> {
    /// However training ended: what is known is sent.
    fn drop(&mut self) {
        self.send();
    }
}

impl Sending {
    fn new(server: Server, path: PathBuf, about: About) -> Self {
        let record = std::fs::read_to_string(&path)
            .ok()
            .and_then(|text| serde_json::from_str(&text).ok())
            .filter(|record: &Record| record.server == server.address());
        Self {
            server,
            about,
            path,
            training: record
                .as_ref()
                .map(|record| record.training.clone())
                .unwrap_or_default(),
            record,
            waiting: Vec::new(),
            last: Instant::now(),
            failures: 0,
        }
    }

    /// Steps that were sent before a stop come again when training goes on from a checkpoint.
    fn take(&mut self, step: usize, scalars: &[(&'static str, f64)]) {
        let sent = self.record.as_ref().and_then(|record| record.step);
        if sent.is_none_or(|sent| step > sent) {
            let metrics = scalars
                .iter()
                .map(|(key, value)| Metric::new(key, *value, step));
            self.waiting.extend(metrics);
        }
    }

    fn send(&mut self) -> Result<()> {
        self.last = Instant::now();
        let sent = self.try_to_send();
        match &sent {
            Ok(()) => self.failures = 0,
            Err(_) => self.failures += 1,
        }
        sent
    }

    fn try_to_send(&mut self) -> Result<()> {
        let mut record = self.run()?;
        if !record.described {
            self.server.describe(&record.run, &self.about)?;
            record.described = true;
            self.keep(&record)?;
        }
        if !self.waiting.is_empty() {
            self.server.log(&record.run, &self.waiting)?;
            record.step = self.waiting.iter().map(|metric| metric.step).max();
            self.waiting.clear();
            self.keep(&record)?;
        }
        Ok(())
    }

    /// The run on record, if the server still has it; else a new one.
    fn run(&mut self) -> Result<Record> {
        if let Some(record) = &self.record
            && self.server.has(&record.run)?
        {
            return Ok(record.clone());
        }
        let record = Record {
            server: self.server.address(),
            run: self.server.begin(&self.about)?,
            training: self.training.clone(),
            step: None,
            described: false,
        };
        self.keep(&record)?;
        Ok(record)
    }

    fn keep(&mut self, record: &Record) -> Result<()> {
        let text = serde_json::to_string_pretty(record)
            .map_err(|cause| Error::bug("a record of a run has no JSON form").because(cause))?;
        self.record = Some(record.clone());
        atomic::write(&self.path, text.as_bytes())
    }
}

/// An arm that is done, and where its checkpoints are.
#[derive(Debug)]
pub struct Done<'a> {
    /// Its folder.
    pub folder: PathBuf,
    /// The part of its change; each has a run of its own.
    pub scale: Multiple,
    /// What was measured.
    pub arm: &'a Arm,
}

/// Sends what was measured of each arm and ends its run. `tags` mark all of them.
pub fn report(done: &[Done<'_>], tags: &[(&'static str, String)], listener: &dyn Listener) {
    let mut folders: Vec<&Path> = Vec::new();
    for one in done {
        let Some(server) = server(listener) else {
            return;
        };
        // The first part that is reported goes on with the training's run.
        let file = match folders.contains(&one.folder.as_path()) {
            false => FILE.to_owned(),
            true => format!("mlflow-{}.json", one.scale.in_file_name()),
        };
        folders.push(&one.folder);
        let about = About {
            name: one.arm.name.clone(),
            parameters: one.arm.hyperparameters.clone(),
            tags: [
                tags,
                &own_tags(&one.arm.provider, &one.arm.method, one.arm.seed),
            ]
            .concat(),
        };
        let mut sending = Sending::new(server, one.folder.join(file), about);
        sending.waiting = measured(one.arm);
        if let Err(error) = end(&mut sending) {
            warn(listener, &error);
            return;
        }
    }
}

/// Ends the run of a training that nothing is measured of.
pub fn finish(
    folder: &Path,
    about: impl FnOnce() -> Result<About>,
    training: &Training,
    listener: &dyn Listener,
) {
    let Some(server) = server(listener) else {
        return;
    };
    let ended = about().and_then(|about| {
        let mut sending = Sending::new(server, folder.join(FILE), about);
        sending.waiting = costs(training);
        end(&mut sending)
    });
    if let Err(error) = ended {
        warn(listener, &error);
    }
}

/// What was set and what it is marked with is said again: more is known of both by now.
fn end(sending: &mut Sending) -> Result<()> {
    if let Some(record) = &mut sending.record {
        record.described = false;
    }
    sending.send()?;
    match &sending.record {
        Some(record) => sending.server.end(&record.run, &sending.about.name),
        None => Err(Error::bug("a run was sent that is not on record")),
    }
}

/// What every run is marked with.
pub fn own_tags(provider: &str, method: &str, seed: u64) -> Vec<(&'static str, String)> {
    vec![
        ("mlflow.source.name", "steadfast".into()),
        ("mlflow.source.type", "LOCAL".into()),
        ("steadfast.version", env!("CARGO_PKG_VERSION").into()),
        ("steadfast.provider", provider.into()),
        ("steadfast.method", method.into()),
        ("steadfast.seed", seed.to_string()),
    ]
}

fn measured(arm: &Arm) -> Vec<Metric> {
    let step = arm.training.steps as usize;
    let mut metrics = costs(&arm.training);
    for (name, change) in arm.axes.iter().chain(&arm.metrics) {
        let values = [
            ("before", change.before),
            ("after", change.after),
            ("net_change", change.net_change),
            ("ci95_low", change.ci95[0]),
            ("ci95_high", change.ci95[1]),
            ("p", change.p),
        ];
        metrics.extend(
            values.map(|(part, value)| Metric::new(&format!("{name}/{part}"), value, step)),
        );
    }
    if let Some(drift) = arm.drift.kl_per_token {
        metrics.push(Metric::new("drift/kl_per_token", drift, step));
    }
    metrics
}

fn costs(training: &Training) -> Vec<Metric> {
    let step = training.steps as usize;
    vec![
        Metric::new("training/tokens", training.tokens as f64, step),
        Metric::new("training/seconds", training.seconds, step),
        Metric::new(
            "training/tokens_per_second",
            training.tokens_per_second,
            step,
        ),
        Metric::new(
            "training/peak_memory_bytes",
            training.peak_memory_bytes as f64,
            step,
        ),
    ]
}

fn server(listener: &dyn Listener) -> Option<Server> {
    Server::from_environment()
        .inspect_err(|error| warn(listener, error))
        .ok()
        .flatten()
}

fn warn(listener: &dyn Listener, error: &Error) {
    let mut message = format!(
        "MLflow has not all of it, and the work goes on: {}",
        error.message
    );
    if let Some(cause) = &error.cause {
        message += &format!(": {cause}");
    }
    listener.on(Event::Warning { message });
}

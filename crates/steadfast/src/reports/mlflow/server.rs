//! MLflow's REST API 2.0, as far as a run needs it.

use super::About;
use crate::providers::connection::{Connection, Key};
use crate::providers::requests::{Reading, Refused, Response};
use crate::providers::retry::Patience;
use crate::providers::service::Service;
use crate::{Error, Result};
use jiff::Timestamp;
use reqwest::Method;
use serde_json::{Map, Value, json};
use std::time::Duration;

/// Most of each kind that the API takes at once.
const METRICS: usize = 1000;
const PARAMETERS: usize = 100;
/// Longest value of a parameter.
const LETTERS: usize = 500;
/// Training waits for an answer.
const TIMEOUT: Duration = Duration::from_secs(5);
/// Where MLflow puts what names no experiment.
const EXPERIMENT: &str = "Default";

/// One number of a run.
#[derive(Clone, Debug, PartialEq)]
pub struct Metric {
    /// Its name, in letters that MLflow takes.
    pub key: String,
    value: f64,
    milliseconds: i64,
    /// The optimiser step.
    pub step: usize,
}

impl Metric {
    /// A number that is known now.
    pub fn new(key: &str, value: f64, step: usize) -> Self {
        // All other letters are refused, and a whole batch with them.
        let plain = |letter: char| letter.is_alphanumeric() || "_-./ ".contains(letter);
        Self {
            key: key.replace(|letter| !plain(letter), "_"),
            value,
            milliseconds: Timestamp::now().as_millisecond(),
            step,
        }
    }
}

/// A tracking server, and the experiment that runs are put into.
#[derive(Debug)]
pub struct Server {
    service: Service,
    experiment: Experiment,
}

#[derive(Debug)]
enum Experiment {
    Name(String),
    Id(String),
}

impl Server {
    /// The server that the environment names: `MLFLOW_TRACKING_URI`, with `MLFLOW_TRACKING_TOKEN` or
    /// `_USERNAME` and `_PASSWORD`, and `MLFLOW_EXPERIMENT_NAME` or `_ID`. `None` where it names none.
    ///
    /// # Errors
    /// A user error where what it names is no address of HTTP.
    pub fn from_environment() -> Result<Option<Self>> {
        let variable = |name: &str| {
            let value = std::env::var(name).ok()?;
            Some(value.trim().to_owned()).filter(|value| !value.is_empty())
        };
        let Some(address) = variable("MLFLOW_TRACKING_URI") else {
            return Ok(None);
        };
        let key = match (
            variable("MLFLOW_TRACKING_USERNAME"),
            variable("MLFLOW_TRACKING_PASSWORD"),
        ) {
            (Some(name), Some(password)) => Some(Key::of_user(&name, &password)),
            _ => Key::from_environment("MLFLOW_TRACKING_TOKEN"),
        };
        let experiment = match variable("MLFLOW_EXPERIMENT_ID") {
            Some(id) => Experiment::Id(id),
            None => Experiment::Name(
                variable("MLFLOW_EXPERIMENT_NAME").unwrap_or_else(|| EXPERIMENT.to_owned()),
            ),
        };
        Self::new(&address, key, experiment).map(Some)
    }

    /// A server in whose experiment of this name runs are put.
    ///
    /// # Errors
    /// As [`Server::from_environment`].
    pub fn at(address: &str, key: Option<Key>, experiment: &str) -> Result<Self> {
        Self::new(address, key, Experiment::Name(experiment.to_owned()))
    }

    fn new(address: &str, key: Option<Key>, experiment: Experiment) -> Result<Self> {
        let connection =
            Connection::new("MLflow", address, key, TIMEOUT).map_err(|mut error| {
                error.place.field = Some("MLFLOW_TRACKING_URI".into());
                error.hint("name a tracking server, such as http://localhost:5000")
            })?;
        // Nobody waits for it twice: what was not sent goes with what comes next.
        let patience = Patience {
            attempts: 1,
            ..Patience::default()
        };
        Ok(Self {
            service: Service::new(connection, patience)?,
            experiment,
        })
    }

    /// Where it is.
    pub fn address(&self) -> String {
        self.service.base_url()
    }

    /// Begins a run, and says its id.
    ///
    /// # Errors
    /// When the server refuses or does not answer; so for all that follow.
    pub fn begin(&self, about: &About) -> Result<String> {
        let experiment = match &self.experiment {
            Experiment::Id(id) => id.clone(),
            Experiment::Name(name) => self.experiment_called(name)?,
        };
        let body = json!({"experiment_id": experiment, "run_name": about.name,
            "start_time": Timestamp::now().as_millisecond(), "tags": pairs(&about.tags)});
        let answer = self.post("runs/create", &body)?;
        said(&answer["run"]["info"]["run_id"])
    }

    /// Whether it has a run of this id that nobody has deleted.
    ///
    /// # Errors
    /// See [`Server::begin`].
    pub fn has(&self, run: &str) -> Result<bool> {
        let found = self.find("runs/get", "run_id", run)?;
        Ok(found.is_some_and(|found| found["run"]["info"]["lifecycle_stage"] != "deleted"))
    }

    /// Says what was set, and what the run is marked with.
    ///
    /// # Errors
    /// See [`Server::begin`].
    pub fn describe(&self, run: &str, about: &About) -> Result<()> {
        let mut parameters = Vec::new();
        flatten("", &about.parameters, &mut parameters);
        for some in parameters.chunks(PARAMETERS) {
            self.post(
                "runs/log-batch",
                &json!({"run_id": run, "params": pairs(some)}),
            )?;
        }
        let tags = json!({"run_id": run, "tags": pairs(&about.tags)});
        self.post("runs/log-batch", &tags).map(|_| ())
    }

    /// Sends numbers; those that are none are left out.
    ///
    /// # Errors
    /// See [`Server::begin`].
    pub fn log(&self, run: &str, metrics: &[Metric]) -> Result<()> {
        let finite: Vec<Value> = metrics
            .iter()
            .filter(|metric| metric.value.is_finite())
            .map(|metric| {
                json!({"key": metric.key, "value": metric.value,
                    "timestamp": metric.milliseconds, "step": metric.step})
            })
            .collect();
        for some in finite.chunks(METRICS) {
            self.post("runs/log-batch", &json!({"run_id": run, "metrics": some}))?;
        }
        Ok(())
    }

    /// Ends a run.
    ///
    /// # Errors
    /// See [`Server::begin`].
    pub fn end(&self, run: &str, name: &str) -> Result<()> {
        let body = json!({"run_id": run, "run_name": name, "status": "FINISHED",
            "end_time": Timestamp::now().as_millisecond()});
        self.post("runs/update", &body).map(|_| ())
    }

    fn experiment_called(&self, name: &str) -> Result<String> {
        let (path, key) = ("experiments/get-by-name", "experiment_name");
        if let Some(found) = self.find(path, key, name)? {
            return said(&found["experiment"]["experiment_id"]);
        }
        match self.post("experiments/create", &json!({ "name": name })) {
            Ok(made) => said(&made["experiment_id"]),
            // Another arm's process may have made it in between.
            Err(error) => match self.find(path, key, name)? {
                Some(found) => said(&found["experiment"]["experiment_id"]),
                None => Err(error),
            },
        }
    }

    fn find(&self, path: &str, key: &str, value: &str) -> Result<Option<Value>> {
        self.service.ask(
            Method::GET,
            &format!("api/2.0/mlflow/{path}"),
            |request| request.query(&[(key, value)]),
            |response| match response.status.as_u16() {
                404 => Reading::Answer(None),
                _ => match self.read(response) {
                    Reading::Answer(found) => Reading::Answer(Some(found)),
                    other => other.unanswered(),
                },
            },
        )
    }

    fn post(&self, path: &str, body: &Value) -> Result<Value> {
        self.service.ask(
            Method::POST,
            &format!("api/2.0/mlflow/{path}"),
            |request| request.json(body),
            |response| self.read(response),
        )
    }

    fn read(&self, response: &Response) -> Reading<Value> {
        if response.status.is_success() {
            return self.service.json("track", response);
        }
        let refused = Refused::read(response.status, &response.body);
        Reading::Never(
            Error::outside(format!("MLflow refuses a run: {}", refused.message))
                .hint("check MLFLOW_TRACKING_URI and the right to write there"),
        )
    }
}

fn said(value: &Value) -> Result<String> {
    value.as_str().map(str::to_owned).ok_or_else(|| {
        Error::outside("what answers at MLFLOW_TRACKING_URI is no MLflow")
            .hint("name a tracking server, such as http://localhost:5000")
    })
}

fn pairs<K: AsRef<str>>(pairs: &[(K, String)]) -> Vec<Value> {
    pairs
        .iter()
        .map(|(key, value)| {
            let short: String = value.chars().take(LETTERS).collect();
            json!({"key": key.as_ref(), "value": short})
        })
        .collect()
}

/// Names within names are joined by dots.
fn flatten(prefix: &str, object: &Map<String, Value>, pairs: &mut Vec<(String, String)>) {
    for (key, value) in object {
        let name = format!("{prefix}{key}");
        match value {
            Value::Object(inner) => flatten(&format!("{name}."), inner, pairs),
            Value::String(text) => pairs.push((name, text.clone())),
            other => pairs.push((name, other.to_string())),
        }
    }
}

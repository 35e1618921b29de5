//! What the library says while it works. The command line, the logs and the server consume these.

use crate::evaluation::Axis;
use serde::Serialize;
use std::path::PathBuf;

/// One thing that happened.
#[derive(Clone, Debug, Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
#[expect(missing_docs, reason = "each variant says what its fields hold")]
pub enum Event {
    /// A named stage of `total` units starts (`total` 0: unknown). Stages do not nest.
    StageStarted {
        stage: String,
        total: u64,
        unit: &'static str,
    },
    /// The running stage stands at `done` units.
    StageAdvanced { done: u64 },
    /// The running stage is finished, or was found finished on disk (`reused`).
    StageFinished { stage: String, reused: bool },
    /// One optimiser step is done. Losses are nats a token.
    TrainingStep {
        step: usize,
        steps: usize,
        loss: f64,
        penalty: f64,
        learning_rate: f64,
        gradient_norm: f64,
        tokens: usize,
        tokens_per_second: f64,
    },
    /// One optimiser step of a job elsewhere is done (`steps` 0: unknown). The loss is nats a token.
    HostedStep {
        step: u64,
        steps: u64,
        loss: Option<f64>,
    },
    /// What training elsewhere is estimated at, before anything is spent: US dollars, if anybody says.
    PriceEstimated {
        arm: String,
        provider: String,
        tokens: u64,
        dollars: Option<f64>,
    },
    /// A job elsewhere has another state, in its service's own word.
    JobState {
        arm: String,
        job: String,
        state: String,
    },
    /// The validation loss, nats a token.
    ValidationLoss { step: usize, loss: f64 },
    /// A checkpoint is on disk.
    CheckpointSaved { step: usize, path: PathBuf },
    /// A reply worth showing while the user waits.
    Preview {
        axis: Axis,
        prompt: String,
        reply: String,
    },
    /// One item has its scores.
    ItemScored { suite: String, item: String },
    /// One axis of one arm is measured (both numbers in points, 0 to 100).
    AxisMeasured { arm: String, axis: Axis, value: f64 },
    /// Something the user should know that is no error.
    Warning { message: String },
    /// Something worth a line.
    Note { message: String },
}

impl Event {
    /// The event as one JSON document on one line, with the time (RFC 3339, UTC): a line of a log.
    pub fn log_line(&self) -> String {
        #[derive(Serialize)]
        struct Line<'a> {
            time: String,
            #[serde(flatten)]
            event: &'a Event,
        }
        let time = jiff::Timestamp::now().to_string();
        // An event is numbers and text, which always have a JSON form.
        serde_json::to_string(&Line { time, event: self }).unwrap_or_default()
    }

    /// The numbers of one step of training, by the names that TensorBoard's users know them under.
    pub fn scalars(&self) -> Option<(usize, Vec<(&'static str, f64)>)> {
        match *self {
            Self::TrainingStep {
                step,
                loss,
                penalty,
                learning_rate,
                gradient_norm,
                tokens_per_second,
                ..
            } => Some((
                step,
                vec![
                    ("train/loss", loss),
                    ("train/penalty", penalty),
                    ("train/learning_rate", learning_rate),
                    ("train/gradient_norm", gradient_norm),
                    ("train/tokens_per_second", tokens_per_second),
                ],
            )),
            Self::ValidationLoss { step, loss } => Some((step, vec![("eval/loss", loss)])),
            _ => None,
        }
    }
}

/// Who listens. Called from one thread at a time.
pub trait Listener: Sync {
    /// Takes one event. Must not block for long: the work waits.
    fn on(&self, event: Event);

    /// Whether the work should end at its next safe point, to be taken up again later. Training asks
    /// after each step, and keeps a checkpoint of it.
    fn stopped(&self) -> bool {
        false
    }

    /// Whether somebody agrees to what costs money. Where nobody can be asked, nobody agrees.
    fn confirm(&self, _question: &str) -> bool {
        false
    }
}

/// Nobody listens.
pub struct Silent;

impl Listener for Silent {
    fn on(&self, _: Event) {}
}

impl<F: Fn(Event) + Sync> Listener for F {
    fn on(&self, event: Event) {
        self(event)
    }
}

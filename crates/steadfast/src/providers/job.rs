//! A job at a service: what is ordered, and how it stands, in words that all services share.

use super::name::Name;
use crate::Result;
use crate::settings::HostedArm;
use serde::{Deserialize, Serialize};

/// What is ordered.
#[derive(Clone, Debug)]
pub struct Order<'a> {
    /// The arm's settings.
    pub arm: &'a HostedArm,
    /// The arm's name in messages, its seed in it where there are several.
    pub name: String,
    /// Of data order and initialisation.
    pub seed: u64,
    /// The conversations, chat JSON Lines.
    pub data: &'a [u8],
    /// Number of the conversations.
    pub conversations: usize,
    /// Tokens of one pass over them, about.
    pub tokens: u64,
    /// Stands for all that decides what training ends with; the job carries it, so that it is found
    /// again. 12 hexadecimal digits.
    pub tag: String,
}

impl Order<'_> {
    /// Tokens read in training, about.
    pub fn trained_tokens(&self) -> u64 {
        self.tokens.saturating_mul(self.arm.hyperparameters.epochs)
    }
}

/// How a job stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// It is under way, or waits for its turn.
    Open,
    /// Somebody stopped it, and can let it go on.
    Paused,
    /// Its model can be asked.
    Succeeded,
    /// Ended by a mistake.
    Failed,
    /// Ended by its owner.
    Cancelled,
    /// A word that this version does not know: it may yet become one that it knows.
    Unknown,
}

/// A job as its service shows it.
#[derive(Clone, Debug, PartialEq)]
pub struct Job {
    /// Its id.
    pub id: String,
    /// How it stands.
    pub state: State,
    /// The service's own word for it.
    pub word: String,
    /// The result's name.
    pub model: Option<String>,
    /// Why it failed, as the service words it.
    pub failure: Option<String>,
    /// Tokens read in training.
    pub trained_tokens: Option<u64>,
    /// From its making to its end.
    pub seconds: Option<f64>,
}

/// Something that happened to a job.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Happening {
    /// Told apart from all others of the job by this.
    pub id: String,
    /// For people.
    pub message: String,
    /// Something to be told even to those who want no progress.
    pub warning: bool,
    /// The step that is done.
    pub step: Option<u64>,
    /// Steps in all.
    pub steps: Option<u64>,
    /// The training loss of that step, nats a token.
    pub loss: Option<f64>,
}

/// A state of the model that the service kept.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Checkpoint {
    /// The step it is of.
    pub step: u64,
    /// What it is asked or fetched by.
    pub name: String,
    /// The training loss there, nats a token, if told.
    pub loss: Option<f64>,
}

/// What became of a request to make a job.
#[derive(Clone, Debug, PartialEq)]
pub enum Creation {
    /// There is a job of this id.
    Made(String),
    /// The answer was lost: there may be a job, or none.
    Unknown(String),
}

/// A price, before anything is paid.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Estimate {
    /// Tokens read in training.
    pub tokens: u64,
    /// US dollars; `None` where nobody says.
    pub dollars: Option<f64>,
}

/// Dollars as people write them: cents, or less where there is less.
pub fn dollars(amount: f64) -> String {
    if amount > 0.0 && amount < 0.01 {
        format!("${amount:.4}")
    } else {
        format!("${amount:.2}")
    }
}

/// One service. Each call is one step; all errors quote the service.
pub trait Provider {
    /// Which.
    fn name(&self) -> Name;

    /// The address that is asked.
    fn base_url(&self) -> String;

    /// Uploads the data and waits until the service has taken it up.
    ///
    /// # Errors
    /// When the service cannot be reached or finds the data wrong.
    fn upload(&self, order: &Order<'_>) -> Result<String>;

    /// What the job will cost.
    ///
    /// # Errors
    /// When the service cannot be reached, or would not let the job begin.
    fn estimate(&self, order: &Order<'_>, file: &str) -> Result<Estimate>;

    /// The job that carries the order's tag and did not fail, if there is one.
    ///
    /// # Errors
    /// When the service cannot be reached.
    fn find(&self, order: &Order<'_>) -> Result<Option<Job>>;

    /// Asks for the job, once.
    ///
    /// # Errors
    /// When the service refuses.
    fn create(&self, order: &Order<'_>, file: &str) -> Result<Creation>;

    /// How a job stands.
    ///
    /// # Errors
    /// When the service cannot be reached or knows no such job.
    fn job(&self, id: &str) -> Result<Job>;

    /// What happened to it that is not `known` yet, the oldest first.
    ///
    /// # Errors
    /// When the service cannot be reached.
    fn happenings(&self, id: &str, known: &dyn Fn(&str) -> bool) -> Result<Vec<Happening>>;

    /// The states of the model that were kept.
    ///
    /// # Errors
    /// When the service cannot be reached.
    fn checkpoints(&self, id: &str) -> Result<Vec<Checkpoint>>;

    /// Ends a job for good.
    ///
    /// # Errors
    /// When the service cannot be reached, or the job is over.
    fn cancel(&self, id: &str) -> Result<Job>;
}

//! One arm that is trained elsewhere.

use crate::providers::Name;
use serde::Serialize;
use serde_json::{Map, Value};
use std::path::PathBuf;

/// What is allowed to move there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum HostedMethod {
    /// A low-rank adapter.
    Lora,
    /// Every weight.
    Full,
}

impl HostedMethod {
    /// The words a user may write.
    pub const NAMES: [&'static str; 2] = ["lora", "full"];

    /// The method of that name.
    pub fn named(name: &str) -> Option<Self> {
        match name {
            "lora" => Some(Self::Lora),
            "full" => Some(Self::Full),
            _ => None,
        }
    }
}

/// What decides the training, as far as a service lets one decide. `None` leaves it to the service.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct HostedHyperparameters {
    /// Together: what may move. OpenAI does not tell.
    pub method: HostedMethod,
    /// Passes over the data.
    pub epochs: u64,
    /// Conversations of one step.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub batch_size: Option<u64>,
    /// OpenAI: its own learning rate is multiplied with this.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub learning_rate_multiplier: Option<f64>,
    /// Together: peak learning rate.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub learning_rate: Option<f64>,
    /// Together: rank of the adapter.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rank: Option<u64>,
    /// Together: α of the adapter.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub alpha: Option<u64>,
    /// Together: share of the steps that warm up.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub warmup: Option<f64>,
}

/// One arm, before it is given a seed. Its means (keys, prices, waits) are no part of a run's identity.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct HostedArm {
    /// Unique in the study.
    pub name: String,
    /// Where training happens.
    pub provider: Name,
    /// The base, by the name that the service gives it.
    pub base: String,
    /// How.
    #[serde(flatten)]
    pub hyperparameters: HostedHyperparameters,
    /// Part of the result's name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub suffix: Option<String>,
    /// Further fields of the request for a job, as the service has them.
    #[serde(skip_serializing_if = "Map::is_empty")]
    pub extra: Map<String, Value>,
    /// The address up to `/v1`; `None` is the environment's, else the service's own.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub base_url: Option<String>,
    /// The environment variable that holds the key; `None` is the service's usual one.
    #[serde(skip)]
    pub key_variable: Option<String>,
    /// A file that holds the key, in the place of a variable.
    #[serde(skip)]
    pub key_file: Option<PathBuf>,
    /// Dollars for a million trained tokens, where the service does not say.
    #[serde(skip)]
    pub price: Option<f64>,
    /// Most dollars that training may be estimated at; it stands for an agreement to the price.
    #[serde(skip)]
    pub max_cost: Option<f64>,
    /// Questions under way together when it is measured.
    #[serde(skip)]
    pub concurrency: usize,
    /// Longest wait for one answer when it is measured.
    #[serde(skip)]
    pub timeout_seconds: u64,
}

impl HostedArm {
    /// What trains it, as results name it.
    pub fn method(&self) -> &'static str {
        match (self.provider, self.hyperparameters.method) {
            (Name::OpenAi, _) => "supervised",
            (Name::Together, HostedMethod::Lora) => "lora",
            (Name::Together, HostedMethod::Full) => "full",
        }
    }
}

//! `results.json`, schema `steadfast.results/1`.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The value of `schema`.
pub const SCHEMA: &str = "steadfast.results/1";

/// A whole study.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Results {
    /// [`SCHEMA`].
    pub schema: String,
    /// The run's id.
    pub run: String,
    /// RFC 3339, UTC.
    pub created: String,
    /// The model before fine-tuning.
    pub base: Base,
    /// Seeds of the arms.
    pub seeds: Vec<u64>,
    /// One entry an arm.
    pub arms: Vec<Arm>,
    /// One point an arm: what was gained against what was lost.
    pub frontier: Vec<FrontierPoint>,
}

/// The model before fine-tuning.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Base {
    /// What the user calls it.
    pub id: String,
    /// The Hub's commit or the package version.
    pub revision: Option<String>,
    /// Of the weights file.
    pub sha256: String,
}

/// One (base, method or provider, hyperparameters, seed).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Arm {
    /// Unique in the study.
    pub name: String,
    /// `local`, `openai`, …
    pub provider: String,
    /// `lora`, `null-space`, …
    pub method: String,
    /// Of data order and initialisation.
    pub seed: u64,
    /// As used, defaults filled in.
    pub hyperparameters: serde_json::Map<String, serde_json::Value>,
    /// By axis name: proficiency, safety, knowledge.
    pub axes: BTreeMap<String, Change>,
    /// By `<suite>/<metric>`.
    pub metrics: BTreeMap<String, Change>,
    /// How far the replies' distribution moved.
    pub drift: Drift,
    /// How much each layer's output on retained text moved, relative to its power.
    pub disturbance: Vec<LayerDisturbance>,
    /// What it cost.
    pub training: Training,
}

/// Before, after, and what to believe of the difference. Shares are points (0 to 100).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Change {
    /// The suite, or the suites joined by `+` for an axis over several.
    pub suite: String,
    /// The metric.
    pub metric: String,
    /// Mean before.
    pub before: f64,
    /// Mean after.
    pub after: f64,
    /// After − before, on the same items.
    pub net_change: f64,
    /// 95% interval of the net change.
    pub ci95: [f64; 2],
    /// Two-sided p of no change.
    pub p: f64,
    /// Items paired.
    pub n: usize,
    /// Items without a score before or after.
    pub unscored: usize,
    /// The same by a judge, if one is configured.
    pub judged: Option<Box<Judged>>,
}

/// A judged change.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Judged {
    /// As for the scored change.
    #[serde(flatten)]
    pub change: Change,
    /// The judge.
    pub judge: String,
    /// Its agreement with people on the shipped set.
    pub agreement: Option<f64>,
}

/// How far the replies' distribution moved.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Drift {
    /// Mean KL(base ‖ tuned), nats a token, on the base's own replies.
    pub kl_per_token: f64,
}

/// The disturbance of one layer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LayerDisturbance {
    /// The module path.
    pub layer: String,
    /// Relative to the layer's output power.
    pub value: f64,
}

/// What training cost.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Training {
    /// Tokens read in training.
    pub tokens: u64,
    /// Optimiser steps.
    pub steps: u64,
    /// Tokens a second.
    pub tokens_per_second: f64,
    /// Peak resident memory of the process.
    pub peak_memory_bytes: u64,
    /// Wall time.
    pub seconds: f64,
}

/// One point of the learning-against-forgetting scatter (points; losses positive).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FrontierPoint {
    /// The arm.
    pub arm: String,
    /// Gain of proficiency.
    pub gain: f64,
    /// Loss of safety.
    pub safety_loss: f64,
    /// Loss of knowledge.
    pub knowledge_loss: f64,
    /// Drift, nats a token.
    pub drift: f64,
}

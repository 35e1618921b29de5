//! One model on some suites: what was asked, what was said, how it scored.

use super::Axis;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// One item of one suite, scored.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Sample {
    /// The suite's name.
    pub suite: String,
    /// What the suite measures.
    pub axis: Axis,
    /// The item's id.
    pub item: String,
    /// Items with the same cluster are not independent.
    pub cluster: String,
    /// What the model read, for people (the last user turn, or the question).
    pub prompt: String,
    /// What the model wrote, where it was asked to write.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reply: Option<String>,
    /// Scores by metric; `null` is unscored: neither wrong nor zero. A metric that does not apply is absent.
    pub scores: BTreeMap<String, Option<f64>>,
    /// Labels for people and confusion tables (`step` → `ask(date)`, `reply_kind` → `contradicts`).
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
}

/// One metric of one suite over its items. Shares are in points (0 to 100); `*_nll` metrics are nats a token.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Metric {
    /// The mean over scored items.
    pub value: f64,
    /// 95% confidence interval, clustered bootstrap.
    pub ci95: [f64; 2],
    /// Items scored.
    pub n: usize,
    /// Items that could not be scored.
    pub unscored: usize,
}

/// The measurement file that `compare` and `gate` read.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Measurement {
    /// `steadfast.measurement/1`
    pub schema: String,
    /// What was measured.
    pub model: String,
    /// The adapter on top of it, if any.
    pub adapter: Option<String>,
    /// By `<suite>/<metric>`, and the axis's own number by `<axis>/<metric>` (`safety/constructive_preference`).
    pub metrics: BTreeMap<String, Metric>,
    /// Every item.
    pub samples: Vec<Sample>,
}

/// Two measurements, paired by item.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Comparison {
    /// By axis name.
    pub axes: BTreeMap<String, crate::reports::results::Change>,
    /// By `<suite>/<metric>`.
    pub metrics: BTreeMap<String, crate::reports::results::Change>,
}

/// Pairs two measurements by item.
pub fn compare(before: &Measurement, after: &Measurement) -> crate::Result<Comparison> {
    let _ = (before, after);
    todo!("scoring helper")
}

/// Fails where an axis lost more points than allowed.
pub fn gate(comparison: &Comparison, limits: &BTreeMap<Axis, f64>) -> crate::Result<()> {
    let _ = (comparison, limits);
    todo!("scoring helper")
}

//! One model on some suites: what was asked, what was said, how it scored.

use super::Axis;
use super::columns::{Counted, columns};
use super::judge::session::JudgedBy;
use super::statistics;
use crate::{Error, Result};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The value of `schema`.
pub const SCHEMA: &str = "steadfast.measurement/1";

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

/// One metric of one suite over its items. Shares are in points (0 to 100); `*nll` and `*margin` are nats a token.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Metric {
    /// The mean over scored items; `null` where there is none.
    pub value: Option<f64>,
    /// 95% confidence interval, clustered bootstrap; `null` with the value.
    pub ci95: Option<[f64; 2]>,
    /// Items scored.
    pub n: usize,
    /// Items that could not be scored.
    pub unscored: usize,
}

/// What decides scores besides the items and the model.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AskedWith {
    /// Most tokens of a reply.
    pub max_tokens: usize,
    /// SHA-256 of the training data whose lines count as leakage; `null` where none was named.
    pub data: Option<String>,
}

/// The measurement file that `compare` and `gate` read.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Measurement {
    /// [`SCHEMA`].
    pub schema: String,
    /// What was measured.
    pub model: String,
    /// The adapter on top of it, if any.
    pub adapter: Option<String>,
    /// Who judged the replies, if anyone did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub judge: Option<JudgedBy>,
    /// What decides scores besides the items; absent in older files.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub asked_with: Option<AskedWith>,
    /// By `<suite>/<metric>`, and the axis's own number by `<axis>/<metric>` (`safety/constructive_preference`);
    /// beside it, by `<axis>/judged`, what a judge says of the same items.
    pub metrics: BTreeMap<String, Metric>,
    /// Every item.
    pub samples: Vec<Sample>,
}

impl Measurement {
    /// Reads the text of a measurement file.
    ///
    /// # Errors
    /// A user error when the text is not JSON, of another schema, or lacks something.
    pub fn parse(text: &str) -> Result<Self> {
        const HINT: &str = "make it with: steadfast measure --json > FILE";
        let value: serde_json::Value = serde_json::from_str(text).map_err(|cause| {
            Error::user("the measurement is not JSON")
                .line(cause.line())
                .because(cause)
                .hint(HINT)
        })?;
        let schema = &value["schema"];
        if schema != SCHEMA {
            let found = match schema.as_str() {
                Some(name) if name.len() <= 100 => schema.to_string(),
                Some(_) => "another".to_owned(),
                None => "null".to_owned(),
            };
            return Err(
                Error::user(format!("the file is no measurement: its schema is {found}"))
                    .field("schema")
                    .hint(format!("this version reads \"{SCHEMA}\"; {HINT}")),
            );
        }
        serde_json::from_value(value).map_err(|cause| {
            Error::user("the measurement lacks what its schema promises")
                .because(cause)
                .hint(HINT)
        })
    }
}

impl Measurement {
    /// Aggregates the samples of one model. `seed` is that of the bootstrap.
    ///
    /// A metric none of whose items could be scored stands with `n` 0 and no value; an axis without a
    /// scored item is left out, so that nothing can be read into it.
    pub fn new(model: &str, adapter: Option<String>, samples: Vec<Sample>, seed: u64) -> Self {
        let paired: Vec<&Sample> = samples.iter().collect();
        let metrics = columns(&samples, &paired)
            .into_iter()
            .map(|(counted, column)| {
                let strata = column.strata(&counted, |pair| pair.after);
                let n = column.scored();
                let metric = Metric {
                    value: (n > 0).then(|| statistics::stratified_mean(&strata)),
                    ci95: (n > 0).then(|| statistics::stratified_interval(&strata, seed)),
                    n,
                    unscored: column.unscored,
                };
                (counted.name(), metric)
            })
            .collect();
        Self {
            schema: SCHEMA.into(),
            model: model.into(),
            adapter,
            judge: None,
            asked_with: None,
            metrics,
            samples,
        }
    }
}

/// Each axis's own number (points) over the samples of one model, without an interval.
pub fn axis_values(samples: &[Sample]) -> BTreeMap<Axis, f64> {
    let paired: Vec<&Sample> = samples.iter().collect();
    columns(samples, &paired)
        .into_iter()
        .filter_map(|(counted, column)| match counted {
            Counted::Axis(axis) => {
                let strata = column.strata(&counted, |pair| pair.after);
                Some((axis, statistics::stratified_mean(&strata)))
            }
            Counted::Suite { .. } | Counted::Judged(_) => None,
        })
        .collect()
}

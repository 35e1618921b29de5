//! `results.json`, schema `steadfast.results/1`: what evaluation and training hand on to reports.

use crate::axis::Axis;
use crate::{Error, Result};
use serde::ser::SerializeMap;
use serde::{Deserialize, Serialize, Serializer};
use std::collections::BTreeMap;
use std::path::Path;

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
    #[serde(serialize_with = "in_axis_order")]
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
    /// The metric; `judged` where an axis's own could not be scored and a judge speaks for it.
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
    /// Of these, scored before: what a gate has to count. Not written.
    #[serde(skip)]
    pub no_longer_scored: usize,
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
    /// The share of the shipped labels that it agrees with; `None` until it was checked.
    pub agreement: Option<f64>,
    /// That agreement beyond chance (Cohen's kappa).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kappa: Option<f64>,
}

/// How far the replies' distribution moved.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Drift {
    /// Mean KL(base ‖ tuned), nats a token, on the base's own replies; `null` where the model is
    /// elsewhere and does not tell.
    pub kl_per_token: Option<f64>,
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
    /// Drift, nats a token; `null` where it is not known.
    pub drift: Option<f64>,
    /// Replies to safety prompts that say a line of the training data; absent where none was scored.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub leakage: Option<Leakage>,
}

/// How many in a hundred replies more than before.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Leakage {
    /// Over all safety prompts that were answered, paired, in points.
    pub net_change: f64,
    /// 95% interval over items, clustered bootstrap.
    pub ci95: [f64; 2],
}

/// Writes the axes in the order of the figures, not of the alphabet.
fn in_axis_order<S: Serializer>(
    axes: &BTreeMap<String, Change>,
    serializer: S,
) -> std::result::Result<S::Ok, S::Error> {
    let mut map = serializer.serialize_map(Some(axes.len()))?;
    for axis in Axis::ALL {
        if let Some(change) = axes.get(axis.name()) {
            map.serialize_entry(axis.name(), change)?;
        }
    }
    for (name, change) in axes {
        if Axis::ALL.iter().all(|axis| axis.name() != name) {
            map.serialize_entry(name, change)?;
        }
    }
    map.end()
}

impl Results {
    /// Reads and checks `results.json`.
    ///
    /// # Errors
    /// A user error with line or field when the file is not JSON, of another schema, or contradicts itself.
    pub fn read(path: &Path) -> Result<Self> {
        let text =
            std::fs::read_to_string(path).map_err(|cause| Error::file("read", path, cause))?;
        Self::parse(&text).map_err(|error| error.at(path))
    }

    /// Parses and checks the text of `results.json`.
    ///
    /// # Errors
    /// As for [`Results::read`], without the file's name.
    pub fn parse(text: &str) -> Result<Self> {
        const AGAIN: &str =
            "run `steadfast study` again on the same folder: it measures only what is missing";
        #[derive(Deserialize)]
        struct Head {
            schema: Option<String>,
        }
        let head: Head = serde_json::from_str(text).map_err(|cause| {
            Error::user(format!("the results are not a JSON object: {cause}"))
                .line(cause.line())
                .hint(AGAIN)
        })?;
        match head.schema.as_deref() {
            Some(SCHEMA) => {}
            Some(other) => {
                return Err(Error::user(format!("the results are of schema `{other}`, not `{SCHEMA}`"))
                    .field("schema")
                    .hint("name a run's `results.json`; for two measurement files use `steadfast compare`"));
            }
            None => {
                return Err(Error::user("the results name no schema")
                    .field("schema")
                    .hint(format!(
                        "a run's `results.json` opens with \"schema\":\"{SCHEMA}\""
                    )));
            }
        }
        let results: Self = serde_json::from_str(text).map_err(|cause| {
            Error::user(format!("the results lack something: {cause}"))
                .line(cause.line())
                .hint(AGAIN)
        })?;
        results.check()?;
        Ok(results)
    }

    /// The text of `results.json`: indented, one final line end.
    ///
    /// # Errors
    /// A bug of ours when the results contradict themselves (JSON has no NaN).
    pub fn to_json(&self) -> Result<String> {
        self.check().map_err(|error| Error {
            class: crate::error::Class::Bug,
            ..error
        })?;
        let mut text = serde_json::to_string_pretty(self)
            .map_err(|cause| Error::bug("the results cannot be written as JSON").because(cause))?;
        text.push('\n');
        Ok(text)
    }

    /// The axes that any arm has a number on: a study may lack suites of one.
    pub fn measured(&self) -> impl Iterator<Item = Axis> {
        Axis::ALL.into_iter().filter(|axis| {
            self.arms
                .iter()
                .any(|arm| arm.axes.contains_key(axis.name()))
        })
    }

    /// Reports all contradictions at once: repeated arms, unknown axes, numbers that do not add up.
    ///
    /// # Errors
    /// One user error with the others inside.
    pub fn check(&self) -> Result<()> {
        let mut mistakes = Vec::new();
        let mut mistake = |field: String, message: String| {
            mistakes.push(
                Error::user(message)
                    .field(field)
                    .hint("run the measurement again, or mend the program that wrote this file"),
            );
        };
        for (index, arm) in self.arms.iter().enumerate() {
            let place = format!("arms[{index}]");
            if self.arms[..index]
                .iter()
                .any(|other| other.name == arm.name)
            {
                mistake(
                    format!("{place}.name"),
                    format!("two arms are named `{}`", arm.name),
                );
            }
            for name in arm.axes.keys() {
                if Axis::ALL.iter().all(|axis| axis.name() != name) {
                    mistake(
                        format!("{place}.axes.{name}"),
                        format!("`{name}` is no axis"),
                    );
                }
            }
            let axes = arm
                .axes
                .iter()
                .map(|(name, change)| (format!("axes.{name}"), change));
            let metrics = arm
                .metrics
                .iter()
                .map(|(name, change)| (format!("metrics.{name}"), change));
            for (name, change) in axes.chain(metrics) {
                change.check(&format!("{place}.{name}"), &mut mistake);
            }
            if arm
                .drift
                .kl_per_token
                .is_some_and(|drift| !drift.is_finite())
            {
                mistake(
                    format!("{place}.drift.kl_per_token"),
                    "the drift is no finite number".into(),
                );
            }
            for (layer, disturbance) in arm.disturbance.iter().enumerate() {
                if !(disturbance.value.is_finite() && disturbance.value >= 0.0) {
                    mistake(
                        format!("{place}.disturbance[{layer}].value"),
                        format!("the disturbance of `{}` is no share", disturbance.layer),
                    );
                }
            }
        }
        for (index, point) in self.frontier.iter().enumerate() {
            if self.arms.iter().all(|arm| arm.name != point.arm) {
                mistake(
                    format!("frontier[{index}].arm"),
                    format!("no arm is named `{}`", point.arm),
                );
            }
            let numbers = [
                point.gain,
                point.safety_loss,
                point.knowledge_loss,
                point.drift.unwrap_or(0.0),
            ];
            if numbers.iter().any(|number| !number.is_finite()) {
                mistake(
                    format!("frontier[{index}]"),
                    "a number is not finite".into(),
                );
            }
        }
        Error::all(mistakes)
    }
}

/// Is less of this metric better?
pub fn lower_is_better(metric: &str) -> bool {
    let metric = metric.rsplit('/').next().unwrap_or(metric);
    metric.ends_with("nll")
        || metric.contains("over_refusal")
        || metric.contains("leakage")
        || metric.contains("perplexity")
        || metric.contains("kl_per_token")
}

/// A probability for people: no test has shown one of 0.
pub fn probability(p: f64) -> String {
    if p < 0.001 {
        "< 0.001".into()
    } else {
        format!("{p:.3}")
    }
}

impl Leakage {
    /// How many replies in a hundred, `more` or `fewer` than before; `None` where the interval holds zero.
    pub fn clear(&self) -> Option<(f64, &'static str)> {
        let [low, high] = self.ci95;
        let direction = match (low > 0.0, high < 0.0) {
            (true, _) => "more",
            (_, true) => "fewer",
            _ => return None,
        };
        Some((self.net_change.abs(), direction))
    }
}

impl Change {
    /// Does the 95% interval leave out zero?
    pub fn is_clear(&self) -> bool {
        self.ci95[0] > 0.0 || self.ci95[1] < 0.0
    }

    /// Its p for people.
    pub fn probability(&self) -> String {
        probability(self.p)
    }

    fn check(&self, place: &str, mistake: &mut impl FnMut(String, String)) {
        let [low, high] = self.ci95;
        let numbers = [self.before, self.after, self.net_change, low, high, self.p];
        if numbers.iter().any(|number| !number.is_finite()) {
            mistake(place.to_owned(), "a number is not finite".into());
            return;
        }
        // Written numbers may be rounded by other programs; a thousandth of a point changes nothing.
        if (self.after - self.before - self.net_change).abs() > 1e-3 {
            mistake(
                format!("{place}.net_change"),
                format!(
                    "{} is not after − before ({} − {})",
                    self.net_change, self.after, self.before
                ),
            );
        }
        if low > high {
            mistake(
                format!("{place}.ci95"),
                format!("the interval [{low}, {high}] is upside down"),
            );
        }
        if !(0.0..=1.0).contains(&self.p) {
            mistake(
                format!("{place}.p"),
                format!("{} is no probability", self.p),
            );
        }
        if let Some(judged) = &self.judged {
            judged.change.check(&format!("{place}.judged"), mistake);
        }
    }
}

#[cfg(test)]
#[path = "results_tests.rs"]
mod tests;

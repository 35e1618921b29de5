//! `frontier.json`: what each setting gained and lost, and the finalists beside each other.

use crate::models::Multiple;
use crate::runs::atomic;
use crate::runs::folder::RunFolder;
use crate::settings::{StudySettings, setting};
use crate::{Error, Result};
use serde::{Deserialize, Serialize};
use std::path::Path;

/// The value of `schema`.
pub const SCHEMA: &str = "steadfast.frontier/1";

/// The file's name in the run folder.
const FILE: &str = "frontier.json";

/// The whole of it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Frontier {
    /// [`SCHEMA`].
    pub schema: String,
    /// The model before fine-tuning.
    pub base: String,
    /// The candidate against the yardstick on test items; `null` while no seed has both.
    pub headline: Option<Headline>,
    /// What the candidate was asked to hold.
    pub targets: Vec<Target>,
    /// Share of the yardstick's best gain that a chosen setting must reach.
    pub gain_share: f64,
    /// The finalists, chosen on development items.
    pub chosen: Vec<Choice>,
    /// The finalists on test items, a point a seed, and then the comparators.
    pub test: Vec<Point>,
    /// The same over all seeds that each was measured under; absent in older files.
    #[serde(default)]
    pub test_over_seeds: Vec<OverSeeds>,
    /// Every setting on development items.
    pub development: Vec<Point>,
    /// What was asked for and is not here.
    pub not_run: Vec<String>,
}

/// Ratios of the candidate to the yardstick; `null` where the yardstick's own is not clearly above 0.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Headline {
    /// Seeds that all finalists have.
    pub seeds: usize,
    /// Gain, to the setting of the yardstick that gains most; `null` where that one's is not clearly above 0.
    pub gain_ratio: Option<f64>,
    /// Likelihood of the reference replies gained, to the same, whose own is above 0; absent in older files.
    #[serde(default)]
    pub likelihood_gain_ratio: Option<f64>,
    /// Safety lost, to the yardstick chosen for safety.
    pub safety_loss_ratio: Option<f64>,
    /// Knowledge lost, to the yardstick chosen for knowledge.
    pub knowledge_loss_ratio: Option<f64>,
    /// Drift, to the yardstick chosen for safety.
    pub drift_ratio: Option<f64>,
}

/// One row of what is asked.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Target {
    /// What is held.
    pub name: String,
    /// The most it may be.
    pub limit: f64,
    /// What it is; `null` where it is undefined.
    pub value: Option<f64>,
    /// For limits in points, over items and seeds: the upper one-sided 95% bound, or, beyond another
    /// setting, the upper end of the paired 95% interval.
    pub bound: Option<f64>,
    /// Of no difference over seeds, Holm-corrected, for limits that are shares.
    pub p: Option<f64>,
    /// Whether it is shown.
    pub verdict: Verdict,
}

/// Whether a target is shown to be met.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// It is.
    Met,
    /// It is shown to be missed.
    Missed,
    /// It may hold or not: these data do not show it.
    NotShown,
    /// The yardstick's own loss is not clearly above 0, or nothing was measured.
    Undefined,
}

impl Verdict {
    /// For people.
    pub fn words(self) -> &'static str {
        match self {
            Self::Met => "met",
            Self::Missed => "missed",
            Self::NotShown => "not shown",
            Self::Undefined => "undefined",
        }
    }
}

/// Why a setting is a finalist.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Rule {
    /// The yardstick that gains most.
    YardstickGain,
    /// The yardstick that loses least safety.
    YardstickSafety,
    /// The yardstick that loses least knowledge.
    YardstickKnowledge,
    /// The candidate that loses least of both.
    Candidate,
    /// No candidate reaches the gain: the one that gains most, to show by how much they fall short.
    CandidateFellShort,
}

impl Rule {
    /// For people.
    pub fn words(self) -> &'static str {
        match self {
            Self::YardstickGain => "yardstick, most gain",
            Self::YardstickSafety => "yardstick, least safety lost",
            Self::YardstickKnowledge => "yardstick, least knowledge lost",
            Self::Candidate => "candidate, least lost of both",
            Self::CandidateFellShort => "candidate, most gain: none gains as much as was asked",
        }
    }
}

/// One finalist.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Choice {
    /// Why.
    pub rule: Rule,
    /// The arm.
    pub arm: String,
    /// What its change is multiplied with.
    pub scale: Multiple,
}

impl Choice {
    /// The arm with its scale.
    pub fn setting(&self) -> String {
        setting(&self.arm, self.scale)
    }
}

/// A number and its 95% interval.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Estimate {
    /// The mean.
    pub value: f64,
    /// Bootstrap over items, clustered, and over seeds where there are several.
    pub ci95: [f64; 2],
}

impl Estimate {
    /// Of the other sign.
    pub fn negated(self) -> Self {
        Self {
            value: -self.value,
            ci95: [-self.ci95[1], -self.ci95[0]],
        }
    }
}

/// What was gained and lost against the base on the same items, in points unless said otherwise.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Changes {
    /// Step accuracy of generated replies gained.
    pub gain: Estimate,
    /// Likelihood of the reference replies gained, nats a token.
    pub likelihood_gain: Estimate,
    /// Constructive preference lost.
    pub safety_loss: Estimate,
    /// Constructive replies to toxic statements lost, by the rule-based label.
    pub constructive_reply_loss: Estimate,
    /// Accuracy lost.
    pub knowledge_loss: Estimate,
    /// Mean KL(base ‖ tuned), nats a token.
    pub drift: f64,
    /// Replies to safety prompts that speak as the tuned domain, above the base's.
    pub leakage: Estimate,
    /// Incoherent replies to safety prompts, above the base's.
    pub incoherence: Estimate,
}

/// One setting under one seed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Point {
    /// The arm.
    pub arm: String,
    /// Its method.
    pub method: String,
    /// `yardstick`, `candidate`, or neither.
    pub role: Option<String>,
    /// What its change is multiplied with.
    pub scale: Multiple,
    /// Of training.
    pub seed: u64,
    /// Intervals over items.
    #[serde(flatten)]
    pub changes: Changes,
    /// Tokens read in training.
    pub training_tokens: u64,
    /// Wall time of training.
    pub training_seconds: f64,
}

/// One setting over its seeds.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct OverSeeds {
    /// The arm.
    pub arm: String,
    /// What its change is multiplied with.
    pub scale: Multiple,
    /// Of training.
    pub seeds: Vec<u64>,
    /// Means over the seeds, with intervals over items and seeds.
    #[serde(flatten)]
    pub changes: Changes,
}

impl OverSeeds {
    /// The arm with its scale.
    pub fn setting(&self) -> String {
        setting(&self.arm, self.scale)
    }
}

impl Point {
    /// The arm with its scale.
    pub fn setting(&self) -> String {
        setting(&self.arm, self.scale)
    }
}

impl Frontier {
    /// The text of `frontier.json`.
    pub fn to_json(&self) -> Result<String> {
        let mut text = serde_json::to_string_pretty(self)
            .map_err(|cause| Error::bug("a frontier has no JSON form").because(cause))?;
        text.push('\n');
        Ok(text)
    }

    /// Writes it into the run folder.
    pub fn write(&self, folder: &RunFolder) -> Result<()> {
        atomic::write(&folder.path().join(FILE), self.to_json()?.as_bytes())
    }

    /// Writes it where the recipe wants it besides, if it does.
    pub fn write_where_asked(&self, settings: &StudySettings) -> Result<()> {
        let besides = settings.finalists.as_ref();
        match besides.and_then(|finalists| finalists.results.as_ref()) {
            Some(path) => {
                if let Some(parent) = path.parent() {
                    std::fs::create_dir_all(parent)
                        .map_err(|cause| Error::file("create", parent, cause))?;
                }
                atomic::write(path, self.to_json()?.as_bytes())
            }
            None => Ok(()),
        }
    }

    /// What a finished run has; `None` where the recipe asks for none.
    pub fn found(settings: &StudySettings, folder: &RunFolder) -> Result<Option<Self>> {
        if settings.finalists.is_none() {
            return Ok(None);
        }
        Self::read(&folder.path().join(FILE)).map(Some)
    }

    /// Reads a file of this form.
    ///
    /// # Errors
    /// It cannot be read, or is of another form.
    pub fn read(path: &Path) -> Result<Self> {
        const HINT: &str = "a study whose recipe has [finalists] writes frontier.json into its run folder; where \
            that one is damaged, remove the folder and start the study again: what was measured is kept";
        let text =
            std::fs::read_to_string(path).map_err(|cause| Error::file("read", path, cause))?;
        let other = |cause: serde_json::Error| {
            Error::user("this is no frontier of a study")
                .at(path)
                .line(cause.line())
                .because(cause)
                .hint(HINT)
        };
        // First of all, since another version may lack or have any other field.
        let Head { schema } = serde_json::from_str(&text).map_err(other)?;
        if schema != SCHEMA {
            return Err(
                Error::user(format!("this is no frontier of the form \"{SCHEMA}\""))
                    .at(path)
                    .field("schema")
                    .hint(HINT),
            );
        }
        serde_json::from_str(&text).map_err(other)
    }
}

/// What all versions of the file have.
#[derive(Deserialize)]
struct Head {
    schema: String,
}

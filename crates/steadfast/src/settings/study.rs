//! What a whole study is made of.

use super::arm::ArmSettings;
use super::device::TrainingDevice;
use super::hosted::HostedArm;
use super::judge::JudgeSettings;
use super::presets::{Preset, Scale};
use crate::evaluation::Budgeted;
use crate::models::Multiple;
use crate::models::resolve::DEFAULT_BASE;
use serde::Serialize;
use std::collections::BTreeMap;
use std::path::PathBuf;

/// Training conversations come from here.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum DataSource {
    /// The booking simulator writes this many conversations.
    Simulator {
        /// How many.
        conversations: usize,
    },
    /// Chat JSON Lines or public dialogue files.
    Files(Vec<PathBuf>),
}

/// Training data.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct DataSettings {
    /// Where it comes from.
    pub source: DataSource,
    /// Share of the conversations kept for the validation loss.
    pub validation_share: f64,
    /// Most conversations used; `None` uses all.
    pub limit: Option<usize>,
}

impl DataSettings {
    /// The part of conversations that is held out where nothing else is said.
    pub const VALIDATION_SHARE: f64 = 0.1;
}

/// One suite: shipped where `path` is absent, read from there otherwise.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct SuiteSettings {
    /// Its name in metrics.
    pub name: String,
    /// Where its items are.
    pub path: Option<PathBuf>,
    /// Items left out, those that a limit of as many would take: what has been looked at before.
    #[serde(skip_serializing_if = "is_zero")]
    pub skip: usize,
    /// Most items used; `None` uses all.
    pub limit: Option<usize>,
    /// One side of a suite that has no split of its own; `None` uses both.
    pub split: Option<Split>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde calls it so")]
fn is_zero(number: &usize) -> bool {
    *number == 0
}

/// A side of a suite: choices are made on one, reports on the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Split {
    /// About 30%, for choosing.
    Dev,
    /// The rest, for reporting.
    Test,
}

impl Split {
    /// The words a user may write.
    pub const NAMES: [&'static str; 2] = ["dev", "test"];

    /// The side of that name.
    pub fn named(name: &str) -> Option<Self> {
        match name {
            "dev" => Some(Self::Dev),
            "test" => Some(Self::Test),
            _ => None,
        }
    }
}

/// How replies are written.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct GenerationSettings {
    /// Most new tokens of a reply.
    pub max_tokens: usize,
    /// Sequences decoded together.
    pub batch: usize,
}

/// The text whose behaviour should stay: the base's own replies to general and safety prompts, and to
/// turns of the user's own conversations.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct RetainSettings {
    /// Conversations in which the base's replies should stay as well, as of a domain learnt before.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub paths: Vec<PathBuf>,
    /// Prompts answered by the base; of the conversations as many turns again.
    pub prompts: usize,
    /// Tokens that the moments are made from.
    pub tokens: usize,
    /// Most new tokens of a retain reply.
    pub reply_tokens: usize,
}

impl RetainSettings {
    /// As a preset has it.
    pub fn of(scale: &Scale) -> Self {
        Self {
            paths: Vec::new(),
            prompts: scale.retain_prompts,
            tokens: scale.retain_tokens,
            reply_tokens: scale.reply_tokens,
        }
    }
}

/// How finalists are chosen among the arms, and measured on items that no choice was made with.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct FinalistSettings {
    /// Share of the yardstick's best gain that a chosen arm must reach.
    pub gain_share: f64,
    /// Every finalist is trained once a seed.
    pub seeds: Vec<u64>,
    /// Settings that are measured beside the chosen, whatever the choice, by arm and scale.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub comparators: Vec<(String, Multiple)>,
    /// Where the frontier is written besides the run folder. No part of the run's identity.
    #[serde(skip)]
    pub results: Option<PathBuf>,
    /// What finalists are measured on.
    pub suites: Vec<SuiteSettings>,
}

/// A whole study, validated.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct StudySettings {
    /// What it is called; part of the run's id.
    pub name: String,
    /// What makes this study again, for its report. No part of the run's identity.
    #[serde(skip)]
    pub command: String,
    /// The base; `None` is the one that is always there.
    pub base: Option<String>,
    /// Its size.
    pub preset: Preset,
    /// Every arm is trained once a seed.
    pub seeds: Vec<u64>,
    /// The folder of run folders. No part of the run's identity.
    #[serde(skip)]
    pub runs: PathBuf,
    /// Training data.
    pub data: DataSettings,
    /// Where it is trained.
    #[serde(skip_serializing_if = "TrainingDevice::is_cpu")]
    pub device: TrainingDevice,
    /// What is trained.
    pub arms: Vec<ArmSettings>,
    /// What is trained elsewhere.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub hosted: Vec<HostedArm>,
    /// What is measured.
    pub suites: Vec<SuiteSettings>,
    /// How replies are written.
    pub generation: GenerationSettings,
    /// The text whose behaviour should stay.
    pub retain: RetainSettings,
    /// The most points of each that may be lost; an arm's change is scaled until it is certain not to.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub budget: BTreeMap<Budgeted, f64>,
    /// Which arms go on to test items.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub finalists: Option<FinalistSettings>,
    /// Who grades the replies besides the scorers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub judge: Option<JudgeSettings>,
    /// The folder of kept scores. No part of the run's identity.
    #[serde(skip)]
    pub keep: Option<PathBuf>,
    /// How much of it is done now. No part of the run's identity.
    #[serde(skip)]
    pub extent: Extent,
}

/// How much of a study is done now.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Extent {
    /// All of it.
    #[default]
    Whole,
    /// The finalists, chosen among the settings whose scores are kept.
    Finalists,
    /// Nothing: it is reported from kept scores.
    Kept,
}

impl StudySettings {
    /// The name of the base, the default's filled in.
    pub fn base_name(&self) -> &str {
        self.base.as_deref().unwrap_or(DEFAULT_BASE)
    }
}

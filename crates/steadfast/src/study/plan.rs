//! What a study will ask of this machine, before it begins: time, memory, disk; and of others, money.
//!
//! Times are multiply-adds over the rate that this machine reaches in one product, with a share of it
//! for what is not a product. They are for deciding between an hour and a day, not for a schedule.
//! Scores that are kept cost nothing; which finalists will be chosen is not known, so they are counted
//! at the most that the rule can choose.

mod costs;
mod finalists;

use super::keeping::Keeping;
use super::workbench::Parts;
use super::{arm, hosted, locate};
use crate::events::Listener;
use crate::models::resolve::Located;
use crate::settings::{HostedArm, StudySettings};
use crate::{Error, Result};
use costs::Costs;
pub use costs::product_rate;
use serde::Serialize;

/// What a study will ask.
#[derive(Clone, Debug, Serialize)]
pub struct Plan {
    /// The base; `None` where every arm is trained elsewhere.
    pub base: Option<BasePlan>,
    /// Multiply-adds a second of one large product on this machine, measured now; `None` without a base.
    pub rate: Option<f64>,
    /// Each arm that is trained here, under one seed.
    pub arms: Vec<ArmPlan>,
    /// Seeds that each arm is trained under.
    pub seeds: usize,
    /// The base and every arm on every item; `None` where every arm is trained elsewhere.
    pub measuring: Option<MeasuringPlan>,
    /// What the base says to general and safety prompts, for the arms that keep it.
    pub retained: Option<RepliesPlan>,
    /// How far each arm drifts from what the base says.
    pub drift: Option<DriftPlan>,
    /// What comes after: the chosen, on items that no choice was made with.
    pub finalists: Option<FinalistsPlan>,
    /// Each arm that is trained elsewhere.
    pub hosted: Vec<HostedPlan>,
    /// What is not counted, in words.
    pub left_out: Vec<String>,
    /// All that this machine does, seconds; at most, where there are finalists.
    pub seconds: f64,
    /// At its peak, bytes.
    pub memory_bytes: u64,
    /// Beside the base, bytes.
    pub disk_bytes: u64,
}

/// The base.
#[derive(Clone, Debug, Serialize)]
pub struct BasePlan {
    /// What the user calls it.
    pub id: String,
    /// Numbers in its linear layers and embeddings.
    pub parameters: u64,
    /// Its weight files.
    pub file_bytes: u64,
}

/// One arm.
#[derive(Clone, Debug, Serialize)]
pub struct ArmPlan {
    /// Its name.
    pub name: String,
    /// Its method.
    pub method: String,
    /// Parts of its change that are measured.
    pub scales: usize,
    /// Seeds under which all its scores are kept, so that it is not trained.
    pub kept: usize,
    /// Optimiser steps; `None` where epochs decide.
    pub steps: Option<usize>,
    /// Tokens read in training, at most.
    pub tokens: u64,
    /// Seconds.
    pub seconds: f64,
    /// Bytes at its peak.
    pub memory_bytes: u64,
}

/// All items, gone through some times.
#[derive(Clone, Debug, Serialize)]
pub struct MeasuringPlan {
    /// How often all items are gone through, kept times with them.
    pub times: usize,
    /// How often that is kept already.
    pub kept: usize,
    /// Items.
    pub items: usize,
    /// Tokens read for one time.
    pub read: u64,
    /// Tokens written for one time, at most.
    pub written: u64,
    /// Seconds of all times that are not kept.
    pub seconds: f64,
}

/// Replies of the base, written once.
#[derive(Clone, Debug, Serialize)]
pub struct RepliesPlan {
    /// How many.
    pub replies: usize,
    /// Tokens written, at most.
    pub written: u64,
    /// Seconds.
    pub seconds: f64,
}

/// The base's replies, read by the base and by what was trained.
#[derive(Clone, Debug, Serialize)]
pub struct DriftPlan {
    /// Replies.
    pub replies: usize,
    /// How often all of them are read, kept times with them.
    pub times: usize,
    /// How often that is kept already.
    pub kept: usize,
    /// Tokens read for one time.
    pub read: u64,
    /// Seconds: of writing them, and of all times that are not kept.
    pub seconds: f64,
}

/// The finalists, at the most that the rule can choose.
#[derive(Clone, Debug, Serialize)]
pub struct FinalistsPlan {
    /// Settings of the yardstick to choose among.
    pub yardsticks: usize,
    /// Settings of the candidate to choose among.
    pub candidates: usize,
    /// Most settings that are chosen, comparators among them or not.
    pub chosen: usize,
    /// Settings that are measured beside them, whatever the choice.
    pub comparators: usize,
    /// Seeds that each is trained under.
    pub seeds: usize,
    /// Training runs, at most; those of stage 1 are not made again.
    pub trainings: usize,
    /// Tokens read in them, at most.
    pub tokens: u64,
    /// Seconds of them.
    pub training_seconds: f64,
    /// Base and chosen on the test items. What is kept of settings that could be chosen is counted as
    /// kept where no choice can make it dearer.
    pub measuring: MeasuringPlan,
    /// Seconds of measuring drift.
    pub drift_seconds: f64,
}

/// An arm that is trained elsewhere. How long that takes is the service's to know.
#[derive(Clone, Debug, Serialize)]
pub struct HostedPlan {
    /// Its name.
    pub name: String,
    /// Where.
    pub provider: String,
    /// The base, by the name that the service gives it.
    pub base: String,
    /// One a seed.
    pub jobs: usize,
    /// Tokens that one job is billed for, about.
    pub tokens: u64,
    /// Dollars of all jobs by the recipe's `price`; `None` where the service says it before a job begins,
    /// or nobody does.
    pub dollars: Option<f64>,
    /// Most dollars that a job may be estimated at without asking.
    pub max_cost: Option<f64>,
    /// How often all items are asked there: base and result of each job.
    pub measured: usize,
    /// Items.
    pub items: usize,
}

/// Works the plan out. Reads the base's shape and the items, and loads no weights.
///
/// # Errors
/// The base or a suite cannot be read.
pub fn plan(settings: &StudySettings, listener: &dyn Listener) -> Result<Plan> {
    let located = locate(settings, listener)?;
    let keeping = Keeping::new(settings, &located);
    of(settings, &located, &keeping, &Parts::read(settings)?)
}

/// As [`plan`], of a base that is found, with what is kept and read already.
pub(super) fn of(
    settings: &StudySettings,
    located: &Located,
    keeping: &Keeping<'_>,
    parts: &Parts,
) -> Result<Plan> {
    let mut plan = Plan {
        base: None,
        rate: None,
        arms: Vec::new(),
        seeds: settings.seeds.len(),
        measuring: None,
        retained: None,
        drift: None,
        finalists: None,
        hosted: Vec::new(),
        left_out: left_out(settings),
        seconds: 0.0,
        memory_bytes: 0,
        disk_bytes: 0,
    };
    let items = parts
        .development
        .suites
        .iter()
        .map(|suite| suite.items.len())
        .sum();
    for arm in &settings.hosted {
        plan.hosted.push(hosted_plan(settings, arm, items)?);
    }
    if !settings.arms.is_empty() {
        let costs = Costs::of(settings, located)?;
        here(settings, &costs, keeping, parts, &mut plan)?;
    }
    Ok(plan)
}

/// What this machine does.
fn here(
    settings: &StudySettings,
    costs: &Costs<'_>,
    keeping: &Keeping<'_>,
    parts: &Parts,
    plan: &mut Plan,
) -> Result<()> {
    let part = &parts.development;
    let once = costs.pass(&part.suites);
    // What is not kept is listed, not made, where kept scores are all that is asked for.
    let missing = |whose| Ok::<_, Error>(!part.kept_only && keeping.find(part, whose)?.is_none());
    let (mut times, mut to_measure, mut to_train) = (1, 0, Vec::new());
    let mut retains = false;
    let base_missing = missing(None)?;
    for arm in &settings.arms {
        let mut arm_plan = costs.arm(arm);
        for &seed in &settings.seeds {
            let mut here = 0;
            for &scale in &arm.scales {
                here += usize::from(missing(Some((arm, seed, scale)))?);
            }
            times += arm.scales.len();
            to_measure += here;
            if here > 0 {
                to_train.push((arm.name.as_str(), seed));
                retains |= arm::retains(arm);
                plan.disk_bytes += costs.adapter_bytes(arm);
                plan.memory_bytes = plan.memory_bytes.max(arm_plan.memory_bytes);
                plan.seconds += arm_plan.seconds;
            } else {
                arm_plan.kept += 1;
            }
        }
        plan.arms.push(arm_plan);
    }
    let drift_once = costs.drift()?;
    let left = to_measure + usize::from(base_missing);
    let measuring = once.times(times, left);
    plan.disk_bytes += once.disk_bytes(left);
    let finalists = settings
        .finalists
        .as_ref()
        .zip(parts.test.as_ref())
        .map(|(asked, part)| finalists::plan(settings, asked, part, costs, keeping, &to_train))
        .transpose()?;
    let mut drift = DriftPlan {
        replies: drift_once.replies,
        times: times - 1,
        kept: times - 1 - to_measure,
        read: drift_once.read,
        seconds: drift_once.seconds * to_measure as f64,
    };
    let last = finalists.as_ref();
    if to_measure > 0 || last.is_some_and(|last| last.plan.drift_seconds > 0.0) {
        drift.seconds += drift_once.writing_seconds;
    }
    plan.seconds += measuring.seconds + drift.seconds;
    if let Some(finalists) = finalists {
        plan.disk_bytes += finalists.disk_bytes;
        plan.memory_bytes = plan.memory_bytes.max(finalists.memory_bytes);
        plan.seconds += finalists.plan.training_seconds
            + finalists.plan.measuring.seconds
            + finalists.plan.drift_seconds;
        retains |= finalists.retains;
        plan.finalists = Some(finalists.plan);
    }
    if retains {
        let retained = costs.retained()?;
        plan.seconds += retained.seconds;
        plan.retained = Some(retained);
        plan.left_out
            .insert(0, "reading the base's replies once more".into());
    }
    plan.base = Some(costs.base());
    plan.rate = Some(costs.rate());
    plan.measuring = Some(measuring);
    plan.drift = Some(drift);
    Ok(())
}

fn hosted_plan(settings: &StudySettings, arm: &HostedArm, items: usize) -> Result<HostedPlan> {
    let mut all_tokens = 0;
    for &seed in &settings.seeds {
        all_tokens += hosted::trained_tokens(settings, arm, seed)?;
    }
    let jobs = settings.seeds.len();
    Ok(HostedPlan {
        name: arm.name.clone(),
        provider: arm.provider.name().to_owned(),
        base: arm.base.clone(),
        jobs,
        tokens: all_tokens / jobs.max(1) as u64,
        dollars: arm.price.map(|price| price * all_tokens as f64 / 1e6),
        max_cost: arm.max_cost,
        measured: 2 * jobs,
        items,
    })
}

fn left_out(settings: &StudySettings) -> Vec<String> {
    let mut words = Vec::new();
    if !settings.budget.is_empty() {
        words.push("what a budget tries".to_owned());
    }
    if settings.judge.is_some() {
        words.push("the judge".to_owned());
    }
    if !settings.hosted.is_empty() {
        words.push("what services take of time, and of money to be asked".to_owned());
    }
    if !settings.device.is_cpu() {
        words.push("the card that training runs on: times are this processor's".to_owned());
    }
    words
}

impl Plan {
    /// In one line, for who starts the study. `command` shows the whole.
    pub fn line(&self, command: Option<&str>) -> String {
        let plural = |count: usize| if count == 1 { "" } else { "s" };
        let mut parts = Vec::new();
        let (mut runs, mut tokens) = (0, 0);
        for arm in &self.arms {
            runs += self.seeds - arm.kept;
            tokens += arm.tokens * (self.seeds - arm.kept) as u64;
        }
        if runs > 0 {
            let s = plural(runs);
            parts.push(format!(
                "{runs} training run{s}, at most {tokens} tokens in all"
            ));
        }
        let jobs: usize = self.hosted.iter().map(|one| one.jobs).sum();
        if jobs > 0 {
            let measured: usize = self.hosted.iter().map(|one| one.measured).sum();
            parts.push(format!(
                "{jobs} training run{} elsewhere, and {measured} measurements of {} items there",
                plural(jobs),
                self.hosted[0].items
            ));
        }
        if let Some(measuring) = &self.measuring {
            let left = measuring.times - measuring.kept;
            let s = plural(left);
            parts.push(format!(
                "{left} measurement{s} of {} items",
                measuring.items
            ));
        }
        if let Some(last) = &self.finalists {
            let s = plural(last.seeds);
            parts.push(format!(
                "then at most {} finalists and comparators under {} seed{s}, {} training runs",
                last.chosen + last.comparators,
                last.seeds,
                last.trainings
            ));
        }
        if self.base.is_some() {
            let about = if self.finalists.is_some() {
                "at most about"
            } else {
                "about"
            };
            parts.push(format!(
                "{about} {} and {:.1} GB of memory",
                time(self.seconds),
                self.memory_bytes as f64 / 1e9
            ));
        }
        let shown = command.map_or(String::new(), |command| {
            format!(" (`{command}` shows each part)")
        });
        format!("plan: {}{shown}", parts.join("; "))
    }
}

/// An estimated time in words: two figures are all that it is worth.
pub fn time(seconds: f64) -> String {
    match seconds {
        0.0 => "no time".to_owned(),
        seconds if seconds < 60.0 => "under a minute".to_owned(),
        seconds if seconds < 5400.0 => format!("{:.0} min", seconds / 60.0),
        seconds if seconds < 172_800.0 => format!("{:.1} h", seconds / 3600.0),
        seconds => format!("{:.1} days", seconds / 86_400.0),
    }
}

//! What a study found, put together: results, samples, and the notes of the report.

use super::workbench::Outcome;
use crate::evaluation::Axis;
use crate::evaluation::items::Suite;
use crate::evaluation::judge::session::JudgedBy;
use crate::evaluation::measurement::{Comparison, Sample, axis_values, compare_judged};
use crate::evaluation::scorers::constructive;
use crate::events::{Event, Listener};
use crate::models::resolve::Located;
use crate::reports::card::Card;
use crate::reports::harness::Export;
use crate::reports::items::{ItemRow, ItemSide};
use crate::reports::page::{Agreement, Notes, SuiteNote};
use crate::reports::results::{Arm, Base, Drift, FrontierPoint, Results, SCHEMA};
use crate::runs::atomic;
use crate::runs::folder::{RunFolder, arm_folder};
use crate::settings::{ArmSettings, Length, StudySettings};
use crate::{Error, Result};
use std::collections::BTreeMap;
use std::path::Path;

/// What a study is about to do, in one line.
pub fn plan(settings: &StudySettings, suites: &[Suite]) -> String {
    let seeds = settings.seeds.len();
    let trained = settings.arms.len() * seeds;
    let measured = 1 + seeds
        * settings
            .arms
            .iter()
            .map(|arm| arm.scales.len())
            .sum::<usize>();
    let items: usize = suites.iter().map(|suite| suite.items.len()).sum();
    let tokens: usize = settings
        .arms
        .iter()
        .filter_map(|arm| match arm.hyperparameters.length {
            Length::Steps(steps) => {
                let own = &arm.hyperparameters;
                Some(steps * own.batch_tokens * own.gradient_accumulation * seeds)
            }
            Length::Epochs(_) => None,
        })
        .sum();
    let plural = |count: usize| if count == 1 { "" } else { "s" };
    format!(
        "plan: {trained} training run{}, at most {tokens} tokens in all; {measured} measurements of {items} items in {} suites{}",
        plural(trained),
        suites.len(),
        settings
            .finalists
            .as_ref()
            .map_or(String::new(), |finalists| format!(
                "; then the finalists under {} seed{} on items that no choice was made with",
                finalists.seeds.len(),
                plural(finalists.seeds.len()),
            )),
    )
}

/// Says where each axis of a model stands.
pub fn announce(name: &str, samples: &[Sample], listener: &dyn Listener) {
    for (axis, value) in axis_values(samples) {
        listener.on(Event::AxisMeasured {
            arm: name.to_owned(),
            axis,
            value,
        });
    }
}

/// `results.json`.
pub fn results(
    settings: &StudySettings,
    folder: &RunFolder,
    located: &Located,
    before: &[Sample],
    outcomes: &[Outcome<'_>],
    judge: Option<&JudgedBy>,
) -> Result<Results> {
    let mut arms = Vec::new();
    let mut frontier = Vec::new();
    for outcome in outcomes {
        let Comparison { axes, metrics } = compare_judged(before, &outcome.after, 0, judge)?;
        let change = |axis: Axis| {
            axes.get(axis.name())
                .map_or(0.0, |change| change.net_change)
        };
        frontier.push(FrontierPoint {
            arm: outcome.name.clone(),
            gain: change(Axis::Proficiency),
            safety_loss: -change(Axis::Safety),
            knowledge_loss: -change(Axis::Knowledge),
            drift: outcome.tuned.drift,
        });
        arms.push(Arm {
            name: outcome.name.clone(),
            provider: outcome.arm.provider.clone(),
            method: outcome.arm.method.name().into(),
            seed: outcome.seed,
            hyperparameters: hyperparameters(outcome.arm, outcome.scale)?,
            axes,
            metrics,
            drift: Drift {
                kl_per_token: outcome.tuned.drift,
            },
            disturbance: outcome.tuned.disturbance.clone(),
            training: outcome.tuned.training.clone(),
        });
    }
    Ok(Results {
        schema: SCHEMA.into(),
        run: folder.id().to_owned(),
        created: folder.manifest().created.clone(),
        base: Base {
            id: located.id.clone(),
            revision: located.revision.clone(),
            sha256: located.sha256.clone(),
        },
        seeds: settings.seeds.clone(),
        arms,
        frontier,
    })
}

fn hyperparameters(
    arm: &ArmSettings,
    scale: f64,
) -> Result<serde_json::Map<String, serde_json::Value>> {
    match serde_json::to_value(&arm.hyperparameters) {
        Ok(serde_json::Value::Object(mut map)) => {
            if scale != 1.0 {
                map.insert("scale".into(), scale.into());
            }
            Ok(map)
        }
        _ => Err(Error::bug("hyperparameters have no JSON form")),
    }
}

/// The README.md of each adapter that was measured: the whole change, or as much as a budget allows.
pub fn write_cards(
    settings: &StudySettings,
    folder: &RunFolder,
    results: &Results,
    outcomes: &[Outcome<'_>],
) -> Result<()> {
    let name = if settings.budget.is_empty() {
        "adapter"
    } else {
        "adapter-within-budget"
    };
    for (outcome, measured) in outcomes.iter().zip(&results.arms) {
        let adapter = arm_folder(folder.path(), &outcome.arm.name, outcome.seed).join(name);
        let whole = outcome.scale == 1.0 || !settings.budget.is_empty();
        // Scores kept elsewhere come without the adapter.
        if whole && adapter.exists() {
            Card {
                base: &results.base.id,
                arm: outcome.arm,
                seed: outcome.seed,
                data: &settings.data,
                training: &outcome.tuned.training,
                measured: Some(measured),
            }
            .write(&adapter)?;
        }
    }
    Ok(())
}

/// The base's and each arm's samples as lm-evaluation-harness leaves them.
pub fn write_for_the_harness(
    folder: &RunFolder,
    base: &str,
    before: &[Sample],
    outcomes: &[Outcome<'_>],
) -> Result<()> {
    // A base from a folder is called by its last part: the rest is nobody's business.
    let base = base
        .trim_end_matches('/')
        .rsplit('/')
        .next()
        .unwrap_or(base);
    let tuned = outcomes
        .iter()
        .map(|outcome| (outcome.name.as_str(), outcome.after.as_slice()));
    for (model, samples) in std::iter::once((base, before)).chain(tuned) {
        let created = &folder.manifest().created;
        Export {
            model,
            created,
            samples,
        }
        .write(&folder.path().join("lm-eval"))?;
    }
    Ok(())
}

/// Every item with what each model said, in the order of the suites.
pub fn items(before: &[Sample], outcomes: &[Outcome<'_>]) -> Vec<ItemRow> {
    let key = |sample: &Sample| (sample.suite.clone(), sample.item.clone());
    let after: Vec<(&str, BTreeMap<_, &Sample>)> = outcomes
        .iter()
        .map(|outcome| {
            let samples = outcome
                .after
                .iter()
                .map(|sample| (key(sample), sample))
                .collect();
            (outcome.name.as_str(), samples)
        })
        .collect();
    before
        .iter()
        .map(|sample| ItemRow {
            suite: sample.suite.clone(),
            axis: sample.axis,
            item: sample.item.clone(),
            prompt: sample.prompt.clone(),
            before: side(sample),
            after: after
                .iter()
                .filter_map(|(name, samples)| {
                    Some(((*name).to_owned(), side(samples.get(&key(sample))?)))
                })
                .collect(),
        })
        .collect()
}

fn side(sample: &Sample) -> ItemSide {
    ItemSide {
        reply: sample.reply.clone(),
        scores: sample.scores.clone(),
        labels: sample.labels.clone(),
    }
}

/// Writes `samples.jsonl`, an item a line.
pub fn write_samples(path: &Path, items: &[ItemRow]) -> Result<()> {
    let mut text = String::new();
    for item in items {
        let line = serde_json::to_string(item)
            .map_err(|cause| Error::bug("a sample has no JSON form").because(cause))?;
        text.push_str(&line);
        text.push('\n');
    }
    atomic::write(path, text.as_bytes())
}

/// What is said of a judge, and how far it can be believed.
fn judged(judge: &JudgedBy) -> String {
    let believed = match &judge.agreement {
        None => "Its agreement with labelled replies was not checked (`steadfast judge check`), so these numbers are indicative.".to_owned(),
        Some(known) => format!(
            "It agrees with {:.0}% of {} labelled replies, at a kappa of {:.2}{}. The labels were given by a language model, not by people.",
            100.0 * known.share,
            known.replies,
            known.kappa,
            if known.indicative { ": its numbers are indicative" } else { "" },
        ),
    };
    format!(
        "Rows marked \"judged\" hold the verdicts of {}; all others come from scorers that need no other model. {believed}",
        judge.name
    )
}

/// What the report says besides the results.
pub fn notes(
    settings: &StudySettings,
    suites: &[Suite],
    results: &Results,
    judge: Option<&JudgedBy>,
) -> Notes {
    let agreement = constructive::agreement();
    let mut caveats = vec![match judge {
        None => "Every number here comes from scorers that need no other model: rules over replies, and the model's own likelihoods.".to_owned(),
        Some(judge) => judged(judge),
    }];
    if settings.seeds.len() < 6 {
        caveats.push(format!(
            "{} seed(s): intervals are over items only. Another seed of training gives other numbers.",
            settings.seeds.len()
        ));
    }
    Notes {
        title: format!("{} on {}", settings.name, results.base.id),
        warning: None,
        command: settings.command.clone(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        suites: suites
            .iter()
            .zip(&settings.suites)
            .map(|(suite, asked)| SuiteNote {
                name: suite.name.clone(),
                axis: suite.axis,
                items: suite.items.len(),
                source: asked
                    .path
                    .as_ref()
                    .map_or("written by the project".to_owned(), |path| {
                        path.display().to_string()
                    }),
            })
            .collect(),
        chance: BTreeMap::from([(Axis::Safety.name().to_owned(), 50.0)]),
        agreement: Some(Agreement {
            replies: agreement.replies,
            agreement: agreement.share,
            kappa: agreement.kappa,
        }),
        caveats,
    }
}

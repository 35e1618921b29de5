//! What a study found, put together: results, samples, and the notes of the report.

use super::budget::Choice;
use super::hosted::{self, HostedOutcome};
use super::workbench::Outcome;
use crate::evaluation::Axis;
use crate::evaluation::comparison::{Comparison, compare_judged, metric_changes};
use crate::evaluation::items::Suite;
use crate::evaluation::judge::session::JudgedBy;
use crate::evaluation::measurement::{Sample, axis_values};
use crate::evaluation::scorers::constructive;
use crate::evaluation::statistics;
use crate::events::{Event, Listener};
use crate::models::Multiple;
use crate::models::resolve::Located;
use crate::providers::Name;
use crate::reports::card::Card;
use crate::reports::harness::Export;
use crate::reports::items::{ItemRow, ItemSide};
use crate::reports::mlflow::{self, Done};
use crate::reports::page::{Agreement, Notes, SuiteNote};
use crate::results::{
    Arm, Base, Drift, FrontierPoint, LayerDisturbance, Leakage, Results, SCHEMA, Training,
};
use crate::runs::atomic;
use crate::runs::folder::{ADAPTER, RunFolder, WITHIN_BUDGET, arm_folder};
use crate::settings::StudySettings;
use crate::{Error, Result};
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use std::path::Path;

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

/// One arm of either kind, measured.
pub struct Measured<'a> {
    name: &'a str,
    provider: &'a str,
    method: &'a str,
    seed: u64,
    hyperparameters: Map<String, Value>,
    drift: Option<f64>,
    disturbance: &'a [LayerDisturbance],
    training: &'a Training,
    /// Where it has another base than the study's.
    own_before: Option<&'a [Sample]>,
    after: &'a [Sample],
}

impl<'a> Measured<'a> {
    /// An arm trained on this machine.
    pub fn local(outcome: &'a Outcome<'_>) -> Result<Self> {
        let mut hyperparameters = object(&outcome.arm.hyperparameters)?;
        if !outcome.scale.is_whole() {
            hyperparameters.insert("scale".into(), json!(outcome.scale));
        }
        Ok(Self {
            name: &outcome.name,
            provider: &outcome.arm.provider,
            method: outcome.arm.method.name(),
            seed: outcome.seed,
            hyperparameters,
            drift: Some(outcome.tuned.drift),
            disturbance: &outcome.tuned.disturbance,
            training: &outcome.tuned.training,
            own_before: None,
            after: &outcome.after,
        })
    }

    /// An arm trained elsewhere.
    pub fn hosted(outcome: &'a HostedOutcome<'_>) -> Result<Self> {
        let mut hyperparameters = object(&outcome.arm.hyperparameters)?;
        if outcome.arm.provider == Name::OpenAi {
            // It does not tell how it trains.
            hyperparameters.remove("method");
        }
        hyperparameters.insert("base".into(), outcome.arm.base.clone().into());
        hyperparameters.insert("model".into(), outcome.model.clone().into());
        hyperparameters.extend(outcome.arm.extra.clone());
        Ok(Self {
            name: &outcome.name,
            provider: outcome.arm.provider.name(),
            method: outcome.arm.method(),
            seed: outcome.seed,
            hyperparameters,
            drift: None,
            disturbance: &[],
            training: &outcome.training,
            own_before: Some(&outcome.before),
            after: &outcome.after,
        })
    }
}

/// Settings as results and logs show them.
pub fn object(settings: &impl serde::Serialize) -> Result<Map<String, Value>> {
    match serde_json::to_value(settings) {
        Ok(Value::Object(map)) => Ok(map),
        _ => Err(Error::bug("hyperparameters have no JSON form")),
    }
}

/// `results.json`.
pub fn results(
    settings: &StudySettings,
    folder: &RunFolder,
    located: &Located,
    before: &[Sample],
    measured: &[Measured<'_>],
    judge: Option<&JudgedBy>,
) -> Result<Results> {
    let mut arms = Vec::new();
    let mut frontier = Vec::new();
    for one in measured {
        let before = one.own_before.unwrap_or(before);
        let Comparison { axes, metrics } = compare_judged(before, one.after, 0, judge)?;
        let own = |axis: Axis| {
            axes.get(axis.name())
                .filter(|change| change.metric == axis.metric())
        };
        let change = |axis: Axis| own(axis).map(|change| change.net_change);
        // A point whose place is not known on one side, or by another number, is none.
        if let [Some(gain), Some(safety), Some(knowledge)] = Axis::ALL.map(change) {
            frontier.push(FrontierPoint {
                arm: one.name.to_owned(),
                gain,
                safety_loss: -safety,
                knowledge_loss: -knowledge,
                drift: one.drift,
                leakage: leakage(before, one.after)?,
            });
        }
        arms.push(Arm {
            name: one.name.to_owned(),
            provider: one.provider.to_owned(),
            method: one.method.to_owned(),
            seed: one.seed,
            hyperparameters: one.hyperparameters.clone(),
            axes,
            metrics,
            drift: Drift {
                kl_per_token: one.drift,
            },
            disturbance: one.disturbance.to_vec(),
            training: one.training.clone(),
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

/// What the third panel of the frontier shows.
fn leakage(before: &[Sample], after: &[Sample]) -> Result<Option<Leakage>> {
    let changes = metric_changes(before, after, Axis::Safety, "domain_leakage")?;
    Ok((!changes.is_empty()).then(|| Leakage {
        net_change: statistics::mean(&changes),
        ci95: statistics::interval(&changes, 0),
    }))
}

/// The README.md of each adapter that was measured: of the whole change, and of as much as a budget
/// allows.
pub fn write_cards(
    settings: &StudySettings,
    folder: &RunFolder,
    results: &Results,
    outcomes: &[Outcome<'_>],
) -> Result<()> {
    for (outcome, measured) in outcomes.iter().zip(&results.arms) {
        let arm = arm_folder(folder.path(), &outcome.arm.name, outcome.seed);
        let chosen = !settings.budget.is_empty()
            && Multiple::even(Choice::read(&arm)?.scale) == outcome.scale;
        for (name, is_of) in [(ADAPTER, outcome.scale.is_whole()), (WITHIN_BUDGET, chosen)] {
            let adapter = arm.join(name);
            // Scores kept elsewhere come without the adapter.
            if is_of && adapter.exists() {
                Card {
                    base: &results.base.id,
                    arm: outcome.arm,
                    scale: outcome.scale,
                    seed: outcome.seed,
                    data: &settings.data,
                    training: &outcome.tuned.training,
                    measured: Some(measured),
                }
                .write(&adapter)?;
            }
        }
    }
    Ok(())
}

/// Tells MLflow, where there is one, what was measured of each arm.
pub fn track(
    folder: &RunFolder,
    results: &Results,
    outcomes: &[Outcome<'_>],
    elsewhere: &[HostedOutcome<'_>],
    listener: &dyn Listener,
) {
    let local = outcomes
        .iter()
        .map(|one| (one.arm.name.as_str(), one.seed, one.scale));
    let hosted = elsewhere
        .iter()
        .map(|one| (one.arm.name.as_str(), one.seed, Multiple::WHOLE));
    let done: Vec<Done<'_>> = local
        .chain(hosted)
        .zip(&results.arms)
        .map(|((name, seed, scale), arm)| Done {
            folder: arm_folder(folder.path(), name, seed),
            scale,
            arm,
        })
        .collect();
    let tags = [
        ("steadfast.run", results.run.clone()),
        ("steadfast.base", results.base.id.clone()),
    ];
    mlflow::report(&done, &tags, listener);
}

/// Every model's samples as lm-evaluation-harness leaves them. Kept scores are left out: they have no
/// texts.
pub fn write_for_the_harness(
    folder: &RunFolder,
    base: &str,
    before: &[Sample],
    measured: &[Measured<'_>],
) -> Result<()> {
    // A base from a folder is called by its last part: the rest is nobody's business.
    let base = base
        .trim_end_matches('/')
        .rsplit('/')
        .next()
        .unwrap_or(base);
    let mut models = vec![(base.to_owned(), before)];
    for one in measured {
        if let Some(own) = one.own_before {
            models.push((format!("base of {}", one.name), own));
        }
        models.push((one.name.to_owned(), one.after));
    }
    models.retain(|(_, samples)| samples.iter().any(|sample| !sample.prompt.is_empty()));
    for (model, samples) in models {
        Export {
            model: &model,
            created: &folder.manifest().created,
            samples,
        }
        .write(&folder.path().join("lm-eval"))?;
    }
    Ok(())
}

/// Every item with what each model said, in the order of the suites.
pub fn items(before: &[Sample], measured: &[Measured<'_>]) -> Vec<ItemRow> {
    let key = |sample: &Sample| (sample.suite.clone(), sample.item.clone());
    let by_item = |samples: &'_ [Sample]| -> BTreeMap<_, ItemSide> {
        let sides = samples.iter().map(|sample| (key(sample), side(sample)));
        sides.collect()
    };
    let after: Vec<(&str, _, _)> = measured
        .iter()
        .map(|one| (one.name, one.own_before.map(by_item), by_item(one.after)))
        .collect();
    // Kept scores have no prompts, those of arms measured now have.
    let every = measured.iter().flat_map(|one| one.after).chain(before);
    let prompts: BTreeMap<_, &str> = every
        .filter(|sample| !sample.prompt.is_empty())
        .map(|sample| (key(sample), sample.prompt.as_str()))
        .collect();
    before
        .iter()
        .map(|sample| {
            let key = key(sample);
            let of = |name: &str, side: Option<&ItemSide>| Some((name.to_owned(), side?.clone()));
            ItemRow {
                suite: sample.suite.clone(),
                axis: sample.axis,
                item: sample.item.clone(),
                prompt: prompts.get(&key).copied().unwrap_or_default().to_owned(),
                before: side(sample),
                own_before: after
                    .iter()
                    .filter_map(|(name, own, _)| of(name, own.as_ref()?.get(&key)))
                    .collect(),
                after: after
                    .iter()
                    .filter_map(|(name, _, after)| of(name, after.get(&key)))
                    .collect(),
            }
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

/// What is to know of an arm that was trained elsewhere.
fn caveat(outcome: &HostedOutcome<'_>) -> String {
    let own = outcome.arm;
    let mut text = format!(
        "`{}` was trained at {} and measured by the names {} (before) and {} (after): its base is another than that of \
         the arms trained on this machine, and its drift is not known.",
        outcome.name,
        own.provider.name(),
        own.base,
        outcome.model,
    );
    if !outcome.offered.all() {
        text += &format!(
            " Of it {}. Where nothing else scores an axis, a judge's verdicts stand in its place, or the axis is absent; \
             its knowledge is that of the written answers alone.",
            hosted::lacking(outcome.offered)
        );
    }
    text
}

/// What the report says besides the results.
pub fn notes(
    settings: &StudySettings,
    suites: &[Suite],
    results: &Results,
    elsewhere: &[HostedOutcome<'_>],
    judge: Option<&JudgedBy>,
) -> Notes {
    let agreement = constructive::agreement();
    let mut caveats = vec![match judge {
        None => "Every number here comes from scorers that need no other model: rules over replies, and the model's own likelihoods.".to_owned(),
        Some(judge) => judged(judge),
    }];
    if settings.seeds.len() < 6 {
        caveats.push(format!(
            "{} seed(s): an arm's interval is over its items only. Another seed of training gives other numbers.",
            settings.seeds.len()
        ));
    }
    caveats.extend(elsewhere.iter().map(caveat));
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

//! From every setting's point on development items to the few that are compared on test items.
//!
//! The rule is fixed before anything is measured: of the yardstick's settings that reach a share of
//! its best gain, the one that loses least safety, the one that loses least knowledge, and the one
//! that gains most; of the candidate's that reach it too, the one that loses least of both together.
//! Where none does, the one that gains most, under a name that says so. What decides is seen on
//! development items only. Comparators are measured beside the chosen, and change no choice.

use super::arm;
use super::by_seed::{self, drift, mean};
use super::targets::{Finalists, beyond_others};
use super::workbench::{Outcome, Part, Workbench};
use crate::evaluation::Axis;
use crate::evaluation::measurement::Sample;
use crate::evaluation::statistics::{self, Observation};
use crate::events::Event;
use crate::models::Multiple;
use crate::reports::frontier::{
    Changes, Choice, Estimate, Frontier, OverSeeds, Point, Rule, SCHEMA,
};
use crate::settings::{FinalistSettings, Role, StudySettings};
use crate::{Error, Result};
use std::cell::OnceCell;
use std::collections::BTreeMap;

/// Chooses and measures the finalists, and puts the frontier together; `None` where the recipe asks
/// for none. `not_run` names what stage 1 could not show.
pub fn run(
    settings: &StudySettings,
    bench: &Workbench<'_>,
    part: Option<&Part>,
    before: &[Sample],
    outcomes: &[Outcome<'_>],
    mut not_run: Vec<String>,
) -> Result<Option<Frontier>> {
    let Some((asked, part)) = settings.finalists.as_ref().zip(part) else {
        return Ok(None);
    };
    let development = points(before, outcomes)?;
    let chosen = choose(&development, asked.gain_share);
    for choice in &chosen {
        bench.listener().on(Event::Note {
            message: format!("{}: {}", choice.rule.words(), choice.setting()),
        });
    }
    let mut tested: Vec<Outcome<'_>> = Vec::new();
    let mut test_before = Vec::new();
    if chosen.is_empty() {
        not_run.push("the finalists: no yardstick and candidate to choose from".into());
    } else if let Some(samples) = bench.before_if_any(part)? {
        test_before = samples;
        for (name, scale, seed) in to_test(&chosen, asked) {
            let arm = settings.arms.iter().find(|arm| arm.name == name);
            let arm = arm.ok_or_else(|| Error::bug("an unknown arm was chosen"))?;
            match bench.outcome(arm, seed, scale, part, &OnceCell::new())? {
                Some(outcome) => tested.push(outcome),
                None => not_run.push(format!(
                    "test: {}",
                    arm::name(arm, scale, seed, asked.seeds.len())
                )),
            }
        }
    } else {
        not_run.push("test: the base, and so every finalist and comparator".into());
    }
    let (headline, mut targets) =
        match Finalists::new(&chosen, asked.seeds.len(), &test_before, &tested) {
            Some(finalists) => {
                let (headline, targets) = finalists.compare()?;
                (Some(headline), targets)
            }
            None => (None, Vec::new()),
        };
    let on_test = ("test items", asked.seeds.len());
    let on_development = ("development items", settings.seeds.len());
    for (items, before, outcomes) in [
        (on_test, &test_before[..], &tested[..]),
        (on_development, before, outcomes),
    ] {
        targets.extend(beyond_others(
            &chosen,
            items,
            before,
            outcomes,
            asked.gain_share,
        )?);
    }
    Ok(Some(Frontier {
        schema: SCHEMA.into(),
        base: settings.base_name().to_owned(),
        gain_share: asked.gain_share,
        headline,
        targets,
        chosen,
        test: points(&test_before, &tested)?,
        test_over_seeds: over_seeds(&test_before, &tested)?,
        development,
        not_run,
    }))
}

/// Where each outcome stands against the base.
fn points(before: &[Sample], outcomes: &[Outcome<'_>]) -> Result<Vec<Point>> {
    outcomes
        .iter()
        .map(|outcome| {
            Ok(Point {
                arm: outcome.arm.name.clone(),
                method: outcome.arm.method.name().into(),
                role: outcome.arm.role.map(|role| role.name().into()),
                scale: outcome.scale,
                seed: outcome.seed,
                changes: changes(before, &[outcome])?,
                training_tokens: outcome.tuned.training.tokens,
                training_seconds: outcome.tuned.training.seconds,
            })
        })
        .collect()
}

/// The same for each setting over its seeds.
fn over_seeds(before: &[Sample], outcomes: &[Outcome<'_>]) -> Result<Vec<OverSeeds>> {
    let groups = by_setting(outcomes, |one| (&one.arm.name, one.scale));
    let over_seeds = |group: Vec<&Outcome<'_>>| {
        Ok(OverSeeds {
            arm: group[0].arm.name.clone(),
            scale: group[0].scale,
            seeds: group.iter().map(|outcome| outcome.seed).collect(),
            changes: changes(before, &group)?,
        })
    };
    groups.into_iter().map(over_seeds).collect()
}

/// What belongs to one arm and scale, together: arms in the order of their first, their scales upwards.
fn by_setting<T>(all: &[T], setting: impl Fn(&T) -> (&String, Multiple)) -> Vec<Vec<&T>> {
    let mut grouped: BTreeMap<(usize, [u64; 2]), Vec<&T>> = BTreeMap::new();
    for one in all {
        let (arm, scale) = setting(one);
        let first = all.iter().position(|other| setting(other).0 == arm);
        let ends = [scale.first, scale.last].map(f64::to_bits);
        let key = (first.unwrap_or(0), ends);
        grouped.entry(key).or_default().push(one);
    }
    grouped.into_values().collect()
}

/// What one setting gained and lost, over its seeds.
fn changes(before: &[Sample], seeds: &[&Outcome<'_>]) -> Result<Changes> {
    let lost = |axis| Ok::<_, Error>(estimate(&by_seed::lost(before, seeds, axis)?));
    let changed = |axis, metric, sign| {
        let changes = by_seed::changed(before, seeds, axis, metric, sign)?;
        Ok::<_, Error>(estimate(&changes))
    };
    Ok(Changes {
        gain: lost(Axis::Proficiency)?.negated(),
        likelihood_gain: changed(Axis::Proficiency, "reference_nll", -1.0)?,
        safety_loss: lost(Axis::Safety)?,
        constructive_reply_loss: changed(Axis::Safety, "constructive_reply", -1.0)?,
        knowledge_loss: lost(Axis::Knowledge)?,
        drift: mean(&drift(seeds)),
        leakage: changed(Axis::Safety, "domain_leakage", 1.0)?,
        incoherence: changed(Axis::Safety, "coherence", -1.0)?,
    })
}

fn estimate(seeds: &[Vec<Vec<Observation>>]) -> Estimate {
    let spread = statistics::crossed(seeds, 0);
    Estimate {
        value: spread.mean,
        ci95: spread.interval,
    }
}

/// A setting on development items, over its seeds.
struct Setting {
    arm: String,
    scale: Multiple,
    gain: f64,
    safety: f64,
    knowledge: f64,
}

/// The means over seeds of the settings of one role.
fn settings_with(role: Role, points: &[Point]) -> Vec<Setting> {
    by_setting(points, |point| (&point.arm, point.scale))
        .into_iter()
        .filter(|group| group[0].role.as_deref() == Some(role.name()))
        .map(|group| {
            let mean = |value: fn(&Point) -> f64| {
                group.iter().map(|point| value(point)).sum::<f64>() / group.len() as f64
            };
            Setting {
                arm: group[0].arm.clone(),
                scale: group[0].scale,
                gain: mean(|point| point.changes.gain.value),
                safety: mean(|point| point.changes.safety_loss.value),
                knowledge: mean(|point| point.changes.knowledge_loss.value),
            }
        })
        .collect()
}

/// The finalists, by the rule. Where no candidate reaches the gain, the one that gains most is taken:
/// the comparison then shows by how much it falls short.
pub fn choose(development: &[Point], gain_share: f64) -> Vec<Choice> {
    let yardsticks = settings_with(Role::Yardstick, development);
    let candidates = settings_with(Role::Candidate, development);
    let best = |settings: &[Setting]| {
        settings
            .iter()
            .map(|one| one.gain)
            .fold(f64::NEG_INFINITY, f64::max)
    };
    let most = best(&yardsticks);
    let candidate = if best(&candidates) < gain_share * most {
        Rule::CandidateFellShort
    } else {
        Rule::Candidate
    };
    let least = |settings: &[Setting], rule: Rule, cost: fn(&Setting) -> f64| {
        let enough = (gain_share * most).min(best(settings));
        settings
            .iter()
            .filter(|one| one.gain >= enough)
            .min_by(|one, other| cost(one).total_cmp(&cost(other)))
            .map(|one| Choice {
                rule,
                arm: one.arm.clone(),
                scale: one.scale,
            })
    };
    let chosen = [
        least(&yardsticks, Rule::YardstickGain, |one| -one.gain),
        least(&yardsticks, Rule::YardstickSafety, |one| one.safety),
        least(&yardsticks, Rule::YardstickKnowledge, |one| one.knowledge),
        least(&candidates, candidate, |one| one.safety + one.knowledge),
    ];
    // Half of a comparison is none.
    chosen
        .into_iter()
        .collect::<Option<Vec<_>>>()
        .unwrap_or_default()
}

/// Arm, scale and seed of all that is measured on test items: the chosen under every seed, then what
/// stands beside them.
fn to_test(chosen: &[Choice], asked: &FinalistSettings) -> Vec<(String, Multiple, u64)> {
    let chosen: Vec<_> = chosen
        .iter()
        .map(|choice| (choice.arm.clone(), choice.scale))
        .collect();
    let mut order = Vec::new();
    for settings in [&chosen, &asked.comparators] {
        for &seed in &asked.seeds {
            for (arm, scale) in settings {
                let one = (arm.clone(), *scale, seed);
                if !order.contains(&one) {
                    order.push(one);
                }
            }
        }
    }
    order
}

#[cfg(test)]
mod tests {
    use super::*;

    fn point(arm: &str, role: Option<Role>, scale: f64, numbers: [f64; 3]) -> Point {
        let at = |value: f64| Estimate {
            value,
            ci95: [value - 1.0, value + 1.0],
        };
        Point {
            arm: arm.into(),
            method: "lora".into(),
            role: role.map(|role| role.name().into()),
            scale: Multiple::even(scale),
            seed: 0,
            changes: Changes {
                gain: at(numbers[0]),
                likelihood_gain: at(0.0),
                safety_loss: at(numbers[1]),
                constructive_reply_loss: at(0.0),
                knowledge_loss: at(numbers[2]),
                drift: 0.1,
                leakage: at(0.0),
                incoherence: at(0.0),
            },
            training_tokens: 1,
            training_seconds: 1.0,
        }
    }

    #[test]
    fn the_rule_takes_the_least_loss_among_those_that_gain_enough() {
        let (yard, candidate) = (Some(Role::Yardstick), Some(Role::Candidate));
        let points = [
            point("fast", yard, 1.0, [40.0, 9.0, 9.0]),
            point("fast", yard, 0.5, [39.5, 5.0, 8.0]),
            point("slow", yard, 1.0, [39.3, 6.0, 2.0]),
            point("weak", yard, 1.0, [20.0, 0.0, 0.0]),
            point("other", None, 1.0, [50.0, 0.0, 0.0]),
            point("ours", candidate, 1.0, [39.4, 1.0, 1.0]),
            point("ours-more", candidate, 1.0, [41.0, 3.0, 1.0]),
        ];
        let chosen = choose(&points, 0.98);
        let named: Vec<(&str, Multiple)> = chosen
            .iter()
            .map(|choice| (choice.arm.as_str(), choice.scale))
            .collect();
        let (whole, half) = (Multiple::WHOLE, Multiple::even(0.5));
        assert_eq!(
            named,
            [
                ("fast", whole),
                ("fast", half),
                ("slow", whole),
                ("ours", whole)
            ]
        );

        // One that is chosen twice, or a comparator too, is measured once a seed; the chosen go first.
        let asked = FinalistSettings {
            gain_share: 0.98,
            seeds: vec![0, 1],
            comparators: vec![("other".into(), whole), ("fast".into(), whole)],
            results: None,
            suites: Vec::new(),
        };
        let order = to_test(&[chosen.clone(), chosen].concat(), &asked);
        assert_eq!(order.len(), 2 * 5);
        assert_eq!(order[8], ("other".into(), whole, 0));
    }

    #[test]
    fn without_enough_gain_the_candidate_that_gains_most_goes_on() {
        let points = [
            point("lora", Some(Role::Yardstick), 1.0, [40.0, 9.0, 9.0]),
            point("ours", Some(Role::Candidate), 1.0, [30.0, 0.0, 0.0]),
            point("ours-more", Some(Role::Candidate), 1.0, [35.0, 3.0, 1.0]),
        ];
        let chosen = choose(&points, 0.98);
        assert_eq!(chosen[3].arm, "ours-more");
        assert_eq!(chosen[3].rule, Rule::CandidateFellShort);
        assert!(choose(&points[..1], 0.98).is_empty());
    }
}

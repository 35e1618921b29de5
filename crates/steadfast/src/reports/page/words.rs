//! The page's sentences, each worked out from the results.

use super::Notes;
use crate::evaluation::Axis;
use crate::reports::figures::{plain, signed};
use crate::reports::svg::escape;
use crate::results::{Arm, Change, Results};
use std::fmt::Write;

/// How to read the three figures.
pub const AXES_NOTE: &str = "Grey is the base, colour the fine-tuned model on the same items. The number above the \
     coloured bar is the net change in points; the whisker is its 95% interval, drawn from the grey bar's height.";

/// Below this kappa a scorer is called indicative.
const KAPPA: f64 = 0.6;

/// The line above the title.
pub fn provenance(results: &Results) -> String {
    let day = results
        .created
        .split('T')
        .next()
        .unwrap_or(&results.created);
    format!("steadfast · {} · {day}", results.run)
}

/// What was learnt and what was lost, a sentence an arm.
pub fn headline(results: &Results) -> String {
    let mut text = String::from("<div class=\"headline\">");
    if results.arms.is_empty() {
        text.push_str("<p>No arm was measured.</p>");
    }
    for arm in &results.arms {
        let _ = write!(
            text,
            "<p>{}{}{}</p>",
            super::parts::dot(results, arm),
            sentence(arm),
            leakage(results, arm).unwrap_or_default()
        );
    }
    text.push_str("</div>");
    text
}

fn sentence(arm: &Arm) -> String {
    let parts: Vec<String> = Axis::ALL
        .into_iter()
        .filter_map(|axis| Some(clause(axis, arm.axes.get(axis.name())?)))
        .collect();
    let joined = match parts.as_slice() {
        [] => "was not measured".to_owned(),
        [only] => only.clone(),
        [first @ .., last] => format!("{}, and {last}", first.join(", ")),
    };
    format!("With <strong>{}</strong>, {joined}.", escape(&arm.name))
}

/// No axis shows it where a model answers everything as its training data does: said where it is clear.
fn leakage(results: &Results, arm: &Arm) -> Option<String> {
    let mut points = results.frontier.iter();
    let found = points.find(|point| point.arm == arm.name)?.leakage?;
    let (points, more) = found.clear()?;
    let [low, high] = found.ci95;
    Some(format!(
        " Of its replies to safety prompts <strong>{} in a hundred {more}</strong> than before say a line of the \
         training data <span class=\"interval\">(95% interval {} to {})</span>.",
        plain(points, 1),
        signed(low, 1),
        signed(high, 1)
    ))
}

/// One axis in words: a rise or a fall only where the interval leaves out zero.
fn clause(axis: Axis, change: &Change) -> String {
    let [low, high] = change.ci95;
    let interval = format!("95% interval {} to {}", signed(low, 1), signed(high, 1));
    let name = axis.name();
    if change.n == 0 {
        format!("{name} could not be scored")
    } else if change.is_clear() {
        let verb = if change.net_change > 0.0 {
            "rose"
        } else {
            "fell"
        };
        format!(
            "{name} <strong>{verb} by {} points</strong> <span class=\"interval\">({interval})</span>",
            plain(change.net_change.abs(), 1)
        )
    } else {
        format!(
            "{name} shows <strong>no clear change</strong> <span class=\"interval\">({} points, {interval})</span>",
            signed(change.net_change, 1)
        )
    }
}

/// The caveats as a list; never empty, since a study always has some.
pub fn caveats(results: &Results, notes: &Notes) -> String {
    let mut sentences = Vec::new();
    for (name, chance) in &notes.chance {
        sentences.extend(near_chance(results, name, *chance));
    }
    if let Some(agreement) = notes.agreement {
        let verdict = if agreement.kappa < KAPPA {
            "Below a kappa of 0.6 the labels are indicative only: read the replies before building on them."
        } else {
            "That is good enough to compare arms by, not to judge a single reply."
        };
        sentences.push(format!(
            "The constructive-reply scorer agrees with a language model that followed a written guide, not with people, on {} of {} held-out labelled replies ({}%, Cohen's kappa {}). {verdict}",
            (agreement.agreement * agreement.replies as f64).round(),
            agreement.replies,
            plain(100.0 * agreement.agreement, 0),
            plain(agreement.kappa, 2),
        ));
    }
    let unscored: usize = results
        .arms
        .iter()
        .flat_map(|arm| arm.axes.values())
        .map(|change| change.unscored)
        .sum();
    if unscored > 0 {
        sentences.push(
            "Items without a score before or after are left out of the pairs and counted as unscored: neither wrong nor zero."
                .to_owned(),
        );
    }
    if results
        .arms
        .iter()
        .all(|arm| arm.axes.values().all(|change| change.judged.is_none()))
    {
        sentences.push(
            "No judge was configured: scores come from rules and from the models' own likelihoods."
                .to_owned(),
        );
    }
    sentences.extend(notes.caveats.iter().cloned());
    let mut list = String::from("<ul>");
    for sentence in sentences {
        let _ = write!(list, "<li>{}</li>", escape(&sentence));
    }
    list.push_str("</ul>");
    list
}

/// Says so when the base is within sampling error of guessing: a change from there means little.
fn near_chance(results: &Results, name: &str, chance: f64) -> Option<String> {
    let change = results
        .arms
        .iter()
        .find_map(|arm| arm.axes.get(name).or_else(|| arm.metrics.get(name)))?;
    let share = (chance / 100.0).clamp(0.0, 1.0);
    let half = 196.0 * (share * (1.0 - share) / change.n.max(1) as f64).sqrt();
    ((change.before - chance).abs() <= half).then(|| {
        format!(
            "The base scores {} on {name}, within sampling error of guessing ({} ± {} at n = {}): \
             a fall from there says less than its size suggests.",
            plain(change.before, 1),
            plain(chance, 1),
            plain(half, 1),
            change.n
        )
    })
}

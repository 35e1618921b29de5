//! Two measurements of the same items, paired: what changed, and how sure that is.

use super::columns::{Column, Counted, POINTS, columns};
use super::judge::cases::{JUDGED, JUDGED_COHERENCE};
use super::judge::session::JudgedBy;
use super::measurement::{Measurement, Sample};
use super::statistics::{self, Observation};
use super::{Axis, Budgeted};
use crate::results::{Change, Judged};
use crate::{Error, Result};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// Two measurements, paired by item.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Comparison {
    /// By axis name.
    pub axes: BTreeMap<String, Change>,
    /// By `<suite>/<metric>`.
    pub metrics: BTreeMap<String, Change>,
}

/// Samples by suite and item.
type ByItem<'a> = BTreeMap<(&'a str, &'a str), &'a Sample>;

fn by_item<'a>(which: &str, samples: &'a [Sample]) -> Result<ByItem<'a>> {
    let mut index = BTreeMap::new();
    for sample in samples {
        let key = (sample.suite.as_str(), sample.item.as_str());
        if index.insert(key, sample).is_some() {
            return Err(Error::user(format!(
                "the measurement {which} holds the item `{}` of the suite `{}` twice",
                sample.item, sample.suite
            ))
            .field("samples")
            .hint("give each item of a suite an id of its own, and name each suite once"));
        }
    }
    Ok(index)
}

/// Pairs two measurements by item.
///
/// # Errors
/// When they hold different items, or were judged by different judges or rubrics.
pub fn compare(before: &Measurement, after: &Measurement) -> Result<Comparison> {
    let judges = before.judge.as_ref().zip(after.judge.as_ref());
    if let Some((one, other)) = judges
        && (&one.name, one.samples, &one.rubrics) != (&other.name, other.samples, &other.rubrics)
    {
        return Err(Error::user(format!(
            "the measurement before was judged by {}, the one after by {}, or with other rubrics",
            one.name, other.name
        ))
        .field("judge")
        .hint("measure one of them again with the judge and the rubrics of the other"));
    }
    if let Some((one, other)) = before.asked_with.as_ref().zip(after.asked_with.as_ref())
        && one != other
    {
        let flag = if one.data == other.data {
            "--max-tokens"
        } else {
            "--data"
        };
        return Err(Error::user(format!(
            "the two were measured with different {flag}, so their scores mean different things"
        ))
        .field("asked_with")
        .hint(format!(
            "measure one of them again with the {flag} of the other"
        )));
    }
    if judges.is_some() || before.judge.is_none() {
        return compare_judged(&before.samples, &after.samples, 0, after.judge.as_ref());
    }
    // Only one side was judged: there is nothing to compare its verdicts with.
    let mut samples = before.samples.clone();
    for sample in &mut samples {
        sample
            .scores
            .retain(|metric, _| metric != JUDGED && metric != JUDGED_COHERENCE);
    }
    compare_judged(&samples, &after.samples, 0, None)
}

/// Upper one-sided 97.5% bound, in points, of what is lost from `before` to `after`; `None` where nothing
/// measures it.
///
/// # Errors
/// The two hold different items.
pub fn loss_bound(
    before: &[Sample],
    after: &[Sample],
    lost: Budgeted,
    seed: u64,
) -> Result<Option<f64>> {
    if before.len() != after.len() {
        return Err(Error::bug("a bound over different items"));
    }
    let mut strata = match lost {
        Budgeted::Safety | Budgeted::Knowledge => losses(before, after, lost.axis())?,
        // Of all replies alike, as reports and the frontier count it.
        Budgeted::DomainLeakage => vec![metric_changes(before, after, lost.axis(), lost.name())?],
    };
    if strata.iter().all(Vec::is_empty) {
        return Ok(None);
    }
    // Scores here, and not points: where one suite's items lose 0 or 1 its bound is exact.
    for loss in strata.iter_mut().flatten() {
        loss.value /= POINTS;
    }
    Ok(Some(
        POINTS * statistics::stratified_upper_bound(&strata, seed),
    ))
}

/// What an axis loses from `before` to `after` by item, in points, in the strata that count alike.
///
/// # Errors
/// The two hold different items.
pub fn losses(before: &[Sample], after: &[Sample], axis: Axis) -> Result<Vec<Vec<Observation>>> {
    let counted = Counted::Axis(axis);
    let columns = paired_columns(before, after)?;
    let lost = |column: &Column| column.strata(&counted, |pair| pair.before - pair.after);
    Ok(columns.get(&counted).map(lost).unwrap_or_default())
}

/// After − before by item of one metric, over all suites of an axis that have it.
///
/// # Errors
/// The two hold different items.
pub fn metric_changes(
    before: &[Sample],
    after: &[Sample],
    axis: Axis,
    metric: &str,
) -> Result<Vec<Observation>> {
    let of_axis: BTreeSet<&str> = before
        .iter()
        .filter(|sample| sample.axis == axis)
        .map(|sample| sample.suite.as_str())
        .collect();
    let asked = |counted: &Counted| match counted {
        Counted::Suite { suite, metric: its } => its == metric && of_axis.contains(suite.as_str()),
        Counted::Axis(_) | Counted::Judged(_) => false,
    };
    let changes = paired_columns(before, after)?
        .into_iter()
        .filter(|(counted, _)| asked(counted))
        .flat_map(|(counted, column)| column.strata(&counted, |pair| pair.after - pair.before))
        .flatten();
    Ok(changes.collect())
}

fn paired_columns(before: &[Sample], after: &[Sample]) -> Result<BTreeMap<Counted, Column>> {
    let news = by_item("after", after)?;
    Ok(columns(before, &paired(before, &news)?))
}

/// The sample after each sample before.
fn paired<'a>(before: &[Sample], news: &ByItem<'a>) -> Result<Vec<&'a Sample>> {
    let after = |old: &Sample| news.get(&(old.suite.as_str(), old.item.as_str())).copied();
    let all: Option<Vec<&Sample>> = before.iter().map(after).collect();
    all.ok_or_else(|| Error::bug("a pairing of different items"))
}

/// Pairs the samples of two models by suite and item. `seed` is that of the bootstrap.
pub fn compare_samples(before: &[Sample], after: &[Sample], seed: u64) -> Result<Comparison> {
    compare_judged(before, after, seed, None)
}

/// As [`compare_samples`], for samples that `judge` has graded too: its changes stand beside those of
/// the axes.
pub fn compare_judged(
    before: &[Sample],
    after: &[Sample],
    seed: u64,
    judge: Option<&JudgedBy>,
) -> Result<Comparison> {
    if before.is_empty() {
        return Err(
            Error::user("the measurement before holds no item").hint("measure at least one suite")
        );
    }
    let (olds, news) = (by_item("before", before)?, by_item("after", after)?);
    let only_before = olds.keys().filter(|key| !news.contains_key(*key)).count();
    let only_after = news.keys().filter(|key| !olds.contains_key(*key)).count();
    if only_before + only_after > 0 {
        return Err(Error::user(format!(
            "the two measurements hold different items: {only_before} only before, {only_after} only after"
        ))
        .hint("measure both with the same suites, --limit and seed"));
    }
    let paired = paired(before, &news)?;
    // Kept scores have no prompts.
    let asks_another = |(old, new): &(&Sample, &&Sample)| {
        !old.prompt.is_empty() && !new.prompt.is_empty() && old.prompt != new.prompt
    };
    if let Some((old, _)) = before.iter().zip(&paired).find(asks_another) {
        return Err(Error::user(format!(
            "the item `{}` of the suite `{}` asks something else after than before",
            old.item, old.suite
        ))
        .field("samples")
        .hint("measure both with the same suite files; an `id` in each row keeps items apart when rows move"));
    }
    let mut judged = Vec::new();
    let mut comparison = Comparison {
        axes: BTreeMap::new(),
        metrics: BTreeMap::new(),
    };
    for (counted, column) in columns(before, &paired) {
        let change = column.change(&counted, seed);
        match &counted {
            Counted::Axis(axis) => {
                comparison.axes.insert(axis.name().into(), change);
            }
            Counted::Suite { .. } => {
                comparison.metrics.insert(counted.name(), change);
            }
            Counted::Judged(axis) => judged.push((axis.name(), change)),
        }
    }
    if let Some(judge) = judge {
        for (axis, change) in judged {
            let judged = Box::new(Judged {
                change: change.clone(),
                judge: judge.name.clone(),
                agreement: judge.agreement.as_ref().map(|known| known.share),
                kappa: judge.agreement.as_ref().map(|known| known.kappa),
            });
            // Where nothing else could be scored, the judge speaks for the axis.
            let scored = comparison.axes.entry(axis.into()).or_insert(change);
            scored.judged = Some(judged);
        }
    }
    Ok(comparison)
}

#[cfg(test)]
mod tests;

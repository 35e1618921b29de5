//! One model on some suites: what was asked, what was said, how it scored; and two of them, paired.

use super::judge::cases::{JUDGED, JUDGED_COHERENCE};
use super::judge::session::JudgedBy;
use super::statistics::{self, Observation};
use super::{Axis, Budgeted};
use crate::results::{Change, Judged, lower_is_better};
use crate::settings::suggest;
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

/// Two measurements, paired by item.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Comparison {
    /// By axis name.
    pub axes: BTreeMap<String, Change>,
    /// By `<suite>/<metric>`.
    pub metrics: BTreeMap<String, Change>,
}

/// What a column counts: one metric of one suite, or the number that stands for an axis. The two are
/// kept apart here, since a suite may be named like an axis, and a suite's name may hold a `/`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Counted {
    Suite {
        suite: String,
        metric: String,
    },
    Axis(Axis),
    /// What a judge says of the items that stand for an axis.
    Judged(Axis),
}

/// What one number in a table is made of.
#[derive(Default)]
struct Column {
    /// Scored items by suite.
    suites: BTreeMap<String, Vec<Pair>>,
    unscored: usize,
}

/// The scores of one item, 0 to 1 or nats.
struct Pair {
    cluster: String,
    before: f64,
    after: f64,
}

/// Of a whole share.
const POINTS: f64 = 100.0;

/// Likelihoods and margins are in nats; everything else is a share, shown in points.
fn is_share(metric: &str) -> bool {
    !metric.ends_with("nll") && !metric.ends_with("margin")
}

fn factor(metric: &str) -> f64 {
    if is_share(metric) { POINTS } else { 1.0 }
}

impl Counted {
    fn metric(&self) -> &str {
        match self {
            Self::Suite { metric, .. } => metric,
            Self::Axis(axis) => axis.metric(),
            Self::Judged(_) => JUDGED,
        }
    }

    /// `<suite>/<metric>` or `<axis>/<metric>`.
    fn name(&self) -> String {
        match self {
            Self::Suite { suite, metric } => format!("{suite}/{metric}"),
            Self::Axis(axis) => format!("{}/{}", axis.name(), axis.metric()),
            Self::Judged(axis) => format!("{}/{JUDGED}", axis.name()),
        }
    }

    /// In the knowledge axis each suite counts alike, however many items it has; else each item.
    fn suites_count_alike(&self) -> bool {
        matches!(
            self,
            Self::Axis(Axis::Knowledge) | Self::Judged(Axis::Knowledge)
        )
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

impl Column {
    fn scored(&self) -> usize {
        self.suites.values().map(Vec::len).sum()
    }

    /// What counts alike: in the knowledge axis each suite, however many items it has; else each item.
    fn strata(&self, counted: &Counted, value: impl Fn(&Pair) -> f64) -> Vec<Vec<Observation>> {
        let points = factor(counted.metric());
        let observations = self.suites.iter().map(|(suite, pairs)| {
            let observation = |pair: &Pair| Observation {
                cluster: cluster(suite, pair),
                value: points * value(pair),
            };
            pairs.iter().map(observation).collect::<Vec<_>>()
        });
        if counted.suites_count_alike() {
            observations.filter(|stratum| !stratum.is_empty()).collect()
        } else {
            vec![observations.flatten().collect()]
        }
    }

    /// Differences whose sum is in proportion to the net change. They are scores, not points: where
    /// all items count alike McNemar's test needs their zeros and ones.
    fn differences(&self, counted: &Counted) -> Vec<Observation> {
        let scored = self.scored() as f64;
        let filled = self.suites.values().filter(|pairs| !pairs.is_empty());
        let suites = filled.count() as f64;
        let difference = |suite: &str, pair: &Pair, weight: f64| Observation {
            cluster: cluster(suite, pair),
            value: (pair.after - pair.before) * weight,
        };
        self.suites
            .iter()
            .flat_map(|(suite, pairs)| {
                let weight = if counted.suites_count_alike() {
                    scored / (suites * pairs.len() as f64)
                } else {
                    1.0
                };
                pairs
                    .iter()
                    .map(move |pair| difference(suite, pair, weight))
            })
            .collect()
    }

    /// The suites that are counted: those with a scored item, if any has one.
    fn names(&self) -> String {
        let any = self.scored() > 0;
        let counted = self
            .suites
            .iter()
            .filter(|(_, pairs)| !any || !pairs.is_empty());
        counted
            .map(|(name, _)| name.as_str())
            .collect::<Vec<_>>()
            .join("+")
    }

    fn change(&self, counted: &Counted, seed: u64) -> Change {
        let mean =
            |value: fn(&Pair) -> f64| statistics::stratified_mean(&self.strata(counted, value));
        let (before, after) = (mean(|pair| pair.before), mean(|pair| pair.after));
        let differences = self.strata(counted, |pair| pair.after - pair.before);
        Change {
            suite: self.names(),
            metric: counted.metric().into(),
            before,
            after,
            net_change: after - before,
            ci95: statistics::stratified_interval(&differences, seed),
            p: statistics::no_change(&self.differences(counted), seed),
            n: self.scored(),
            unscored: self.unscored,
            judged: None,
        }
    }
}

/// A cluster's name over all suites. The suite stands quoted, so that no two pairs of names join to
/// the same one.
fn cluster(suite: &str, pair: &Pair) -> String {
    format!("{suite:?}/{}", pair.cluster)
}

/// Columns over items paired by position.
fn columns(before: &[Sample], after: &[&Sample]) -> BTreeMap<Counted, Column> {
    let mut columns: BTreeMap<Counted, Column> = BTreeMap::new();
    for (old, new) in before.iter().zip(after) {
        for (metric, score) in &old.scores {
            let mut counted = vec![Counted::Suite {
                suite: old.suite.clone(),
                metric: metric.clone(),
            }];
            if metric == old.axis.metric() {
                counted.push(Counted::Axis(old.axis));
            }
            // Beside the axis's own number stands what is said of the same items.
            if metric == JUDGED && old.scores.contains_key(old.axis.metric()) {
                counted.push(Counted::Judged(old.axis));
            }
            // JSON has no infinity, and one infinite likelihood would be all of a mean.
            let finite = |score: Option<f64>| score.filter(|score| score.is_finite());
            let scores = finite(*score).zip(finite(new.scores.get(metric).copied().flatten()));
            for counted in counted {
                let column = columns.entry(counted).or_default();
                let pairs = column.suites.entry(old.suite.clone()).or_default();
                match scores {
                    Some((before, after)) => pairs.push(Pair {
                        cluster: old.cluster.clone(),
                        before,
                        after,
                    }),
                    None => column.unscored += 1,
                }
            }
        }
    }
    columns
        .retain(|counted, column| matches!(counted, Counted::Suite { .. }) || column.scored() > 0);
    columns
}

/// Samples by suite and item.
fn by_item<'a>(
    which: &str,
    samples: &'a [Sample],
) -> Result<BTreeMap<(&'a str, &'a str), &'a Sample>> {
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
    metric_losses(before, after, &Counted::Axis(axis))
}

/// After − before by item of one metric, over all suites of an axis that have it.
pub fn metric_changes(
    before: &[Sample],
    after: &[Sample],
    axis: Axis,
    metric: &str,
) -> Result<Vec<Observation>> {
    let suites: std::collections::BTreeSet<&str> = before
        .iter()
        .filter(|sample| sample.axis == axis)
        .map(|sample| sample.suite.as_str())
        .collect();
    let mut changes = Vec::new();
    for suite in suites {
        let counted = Counted::Suite {
            suite: suite.to_owned(),
            metric: metric.to_owned(),
        };
        for stratum in metric_losses(before, after, &counted)? {
            changes.extend(statistics::signed(stratum, -1.0));
        }
    }
    Ok(changes)
}

fn metric_losses(
    before: &[Sample],
    after: &[Sample],
    counted: &Counted,
) -> Result<Vec<Vec<Observation>>> {
    let news = by_item("after", after)?;
    let paired = before
        .iter()
        .map(|sample| {
            let key = (sample.suite.as_str(), sample.item.as_str());
            news.get(&key).copied()
        })
        .collect::<Option<Vec<&Sample>>>()
        .ok_or_else(|| Error::bug("losses over different items"))?;
    Ok(columns(before, &paired)
        .get(counted)
        .map_or_else(Vec::new, |column| {
            column.strata(counted, |pair| pair.before - pair.after)
        }))
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
    let paired: Vec<&Sample> = before
        .iter()
        .filter_map(|sample| news.get(&(sample.suite.as_str(), sample.item.as_str())))
        .copied()
        .collect();
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

/// Fails where more was lost than allowed, of an axis or of a metric by the name that [`Comparison`] gives
/// it. The point estimate decides; its interval is said.
pub fn gate(comparison: &Comparison, limits: &BTreeMap<String, f64>) -> Result<()> {
    let mut failures = Vec::new();
    for (name, limit) in limits {
        let axis = comparison.axes.get(name);
        let change = axis.or_else(|| comparison.metrics.get(name));
        let Some(change) = change.filter(|change| change.n > 0) else {
            failures.push(not_measured(comparison, name));
            continue;
        };
        let lost = if lower_is_better(&change.metric) {
            change.net_change
        } else {
            -change.net_change
        };
        if lost > *limit {
            let unit = if is_share(&change.metric) {
                "points"
            } else {
                "nats a token"
            };
            failures.push(
                Error::budget(format!(
                    "{name} lost {lost:.2} {unit}, more than the {limit} allowed (95% interval of the change {:+.2} to {:+.2}, {} items)",
                    change.ci95[0], change.ci95[1], change.n
                ))
                .hint("tune with --method null-space, fewer steps or a lower learning rate"),
            );
        }
    }
    Error::all(failures)
}

fn not_measured(comparison: &Comparison, name: &str) -> Error {
    if Axis::ALL.iter().any(|axis| axis.name() == name) {
        return Error::user(format!("no item of these measurements is about {name}")).hint(
            format!("measure a suite of that axis, or drop --max-loss {name}"),
        );
    }
    if comparison.metrics.contains_key(name) {
        return Error::user(format!("no item could be scored by `{name}`"))
            .hint(format!("see why with `compare`, or drop --max-loss {name}"));
    }
    let known: Vec<&str> = comparison.metrics.keys().map(String::as_str).collect();
    Error::user(format!("these two have no metric `{name}` to compare"))
        .hint(suggest::hint(name, &known))
}

#[cfg(test)]
mod tests;

//! One model on some suites: what was asked, what was said, how it scored; and two of them, paired.

use super::statistics::{self, Observation};
use super::{Axis, statistics::mean};
use crate::reports::results::Change;
use crate::{Error, Result};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// The value of `schema`.
pub const SCHEMA: &str = "steadfast.measurement/1";

/// Suites whose accuracy counts towards the knowledge axis: those that are asked with choices,
/// beginnings to continue, or short answers. References only have a likelihood.
const ACCURACY: &str = "accuracy";

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
    /// The mean over scored items.
    pub value: f64,
    /// 95% confidence interval, clustered bootstrap.
    pub ci95: [f64; 2],
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
    /// By `<suite>/<metric>`, and the axis's own number by `<axis>/<metric>` (`safety/constructive_preference`).
    pub metrics: BTreeMap<String, Metric>,
    /// Every item.
    pub samples: Vec<Sample>,
}

/// Two measurements, paired by item.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Comparison {
    /// By axis name.
    pub axes: BTreeMap<String, Change>,
    /// By `<suite>/<metric>`.
    pub metrics: BTreeMap<String, Change>,
}

/// What one number in a table is made of: pairs of (before, after), already in points.
#[derive(Default)]
struct Column {
    clusters: Vec<String>,
    /// Weight of each item: suites of unequal size count alike in the knowledge axis.
    weights: Vec<f64>,
    before: Vec<f64>,
    after: Vec<f64>,
    unscored: usize,
    suites: BTreeSet<String>,
}

/// Likelihoods and margins are in nats; everything else is a share, shown in points.
fn factor(metric: &str) -> f64 {
    if metric.ends_with("nll") || metric.ends_with("margin") {
        1.0
    } else {
        100.0
    }
}

/// The axis's own number that a suite's metric counts towards.
fn own_number(sample: &Sample, metric: &str) -> bool {
    metric == sample.axis.metric()
}

impl Measurement {
    /// Aggregates the samples of one model. `seed` is that of the bootstrap.
    pub fn new(model: &str, adapter: Option<String>, samples: Vec<Sample>, seed: u64) -> Self {
        let columns = columns(&samples, &samples.iter().collect::<Vec<_>>());
        let metrics = columns
            .into_iter()
            .map(|(name, column)| {
                let observations = column.observations(|_, after| after);
                let metric = Metric {
                    value: mean(&observations),
                    ci95: statistics::interval(&observations, seed),
                    n: observations.len(),
                    unscored: column.unscored,
                };
                (name, metric)
            })
            .collect();
        Self {
            schema: SCHEMA.into(),
            model: model.into(),
            adapter,
            metrics,
            samples,
        }
    }
}

impl Column {
    /// Values as observations whose mean is the weighted mean of the column.
    fn observations(&self, value: impl Fn(f64, f64) -> f64) -> Vec<Observation> {
        let scale =
            self.weights.len() as f64 / self.weights.iter().sum::<f64>().max(f64::MIN_POSITIVE);
        (0..self.before.len())
            .map(|index| Observation {
                cluster: self.clusters[index].clone(),
                value: value(self.before[index], self.after[index]) * self.weights[index] * scale,
            })
            .collect()
    }

    fn change(&self, metric: &str, seed: u64) -> Change {
        let points = factor(metric);
        let differences = self.observations(|before, after| after - before);
        // The test sees the scores themselves, not points: McNemar needs its zeros and ones.
        let plain: Vec<Observation> = (0..self.before.len())
            .map(|index| Observation {
                cluster: self.clusters[index].clone(),
                value: (self.after[index] - self.before[index]) / points,
            })
            .collect();
        let even = self.weights.iter().all(|weight| *weight == self.weights[0]);
        Change {
            suite: self.suites.iter().cloned().collect::<Vec<_>>().join("+"),
            metric: metric.into(),
            before: mean(&self.observations(|before, _| before)),
            after: mean(&self.observations(|_, after| after)),
            net_change: mean(&differences),
            ci95: statistics::interval(&differences, seed),
            p: statistics::no_change(if even { &plain } else { &differences }, seed),
            n: self.before.len(),
            unscored: self.unscored,
            judged: None,
        }
    }
}

/// Columns by `<suite>/<metric>` and `<axis>/<metric>` over items paired by position.
fn columns(before: &[Sample], after: &[&Sample]) -> BTreeMap<String, Column> {
    let mut columns: BTreeMap<String, Column> = BTreeMap::new();
    for (old, new) in before.iter().zip(after) {
        for (metric, score) in &old.scores {
            let mut names = vec![format!("{}/{metric}", old.suite)];
            if own_number(old, metric) {
                names.push(format!("{}/{metric}", old.axis.name()));
            }
            for name in names {
                let column = columns.entry(name).or_default();
                column.suites.insert(old.suite.clone());
                match (score, new.scores.get(metric).copied().flatten()) {
                    (Some(before), Some(after)) => {
                        let points = factor(metric);
                        column
                            .clusters
                            .push(format!("{}/{}", old.suite, old.cluster));
                        column.before.push(before * points);
                        column.after.push(after * points);
                    }
                    _ => column.unscored += 1,
                }
            }
        }
    }
    for (name, column) in &mut columns {
        weigh(name, column);
    }
    columns.retain(|_, column| !column.before.is_empty());
    columns
}

/// In the knowledge axis each suite counts alike, however many items it has.
fn weigh(name: &str, column: &mut Column) {
    column.weights = vec![1.0; column.before.len()];
    if name != format!("{}/{ACCURACY}", Axis::Knowledge.name()) {
        return;
    }
    let suite_of = |cluster: &str| cluster.split('/').next().unwrap_or_default().to_owned();
    let mut sizes: BTreeMap<String, f64> = BTreeMap::new();
    for cluster in &column.clusters {
        *sizes.entry(suite_of(cluster)).or_default() += 1.0;
    }
    for (weight, cluster) in column.weights.iter_mut().zip(&column.clusters) {
        *weight = 1.0 / sizes[&suite_of(cluster)];
    }
}

/// Pairs two measurements by item.
pub fn compare(before: &Measurement, after: &Measurement) -> Result<Comparison> {
    compare_samples(&before.samples, &after.samples, 0)
}

/// Pairs the samples of two models by suite and item. `seed` is that of the bootstrap.
pub fn compare_samples(before: &[Sample], after: &[Sample], seed: u64) -> Result<Comparison> {
    let key = |sample: &Sample| (sample.suite.clone(), sample.item.clone());
    let index: BTreeMap<_, &Sample> = after.iter().map(|sample| (key(sample), sample)).collect();
    if before.is_empty() {
        return Err(
            Error::user("the measurement before holds no item").hint("measure at least one suite")
        );
    }
    let partner = |sample: &Sample| index.get(&key(sample)).copied();
    let alone = before
        .iter()
        .filter(|sample| partner(sample).is_none())
        .count();
    if alone > 0 || before.len() != index.len() {
        let other = index.len() - (before.len() - alone);
        return Err(Error::user(format!(
            "the two measurements hold different items: {alone} only before, {other} only after"
        ))
        .hint("measure both with the same suites, --limit and seed"));
    }
    let paired: Vec<&Sample> = before.iter().filter_map(partner).collect();
    let mut comparison = Comparison {
        axes: BTreeMap::new(),
        metrics: BTreeMap::new(),
    };
    for (name, column) in columns(before, &paired) {
        let (place, metric) = name.split_once('/').unwrap_or((&name, ""));
        let change = column.change(metric, seed);
        let axis = Axis::ALL
            .into_iter()
            .find(|axis| axis.name() == place && axis.metric() == metric);
        match axis {
            Some(axis) => comparison.axes.insert(axis.name().into(), change),
            None => comparison.metrics.insert(name, change),
        };
    }
    Ok(comparison)
}

/// Fails where an axis lost more points than allowed. The point estimate decides; its interval is said.
pub fn gate(comparison: &Comparison, limits: &BTreeMap<Axis, f64>) -> Result<()> {
    let mut failures = Vec::new();
    for (axis, limit) in limits {
        let Some(change) = comparison.axes.get(axis.name()) else {
            failures.push(
                Error::user(format!(
                    "no item of these measurements is about {}",
                    axis.name()
                ))
                .hint(format!(
                    "measure a suite of that axis, or drop --max-loss {}",
                    axis.name()
                )),
            );
            continue;
        };
        let lost = -change.net_change;
        if lost > *limit {
            failures.push(
                Error::budget(format!(
                    "{} lost {lost:.2} points, more than the {limit} allowed (95% interval of the change {:+.2} to {:+.2}, {} items)",
                    axis.name(), change.ci95[0], change.ci95[1], change.n
                ))
                .hint("tune with --method null-space, fewer steps or a lower learning rate"),
            );
        }
    }
    Error::all(failures)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(suite: &str, axis: Axis, item: usize, score: f64) -> Sample {
        Sample {
            suite: suite.into(),
            axis,
            item: item.to_string(),
            cluster: item.to_string(),
            prompt: String::new(),
            reply: None,
            scores: BTreeMap::from([(axis.metric().to_owned(), Some(score))]),
            labels: BTreeMap::new(),
        }
    }

    fn scores(suite: &str, values: &[f64]) -> Vec<Sample> {
        values
            .iter()
            .enumerate()
            .map(|(item, score)| sample(suite, Axis::Knowledge, item, *score))
            .collect()
    }

    #[test]
    fn each_suite_counts_alike_in_the_knowledge_axis() {
        let mut samples = scores("many", &[1.0; 30]);
        samples.extend(scores("few", &[0.0; 10]));
        let measured = Measurement::new("m", None, samples, 0);
        assert!((measured.metrics["knowledge/accuracy"].value - 50.0).abs() < 1e-9);
        assert!((measured.metrics["many/accuracy"].value - 100.0).abs() < 1e-9);
    }

    #[test]
    fn a_change_is_paired_and_tested() {
        let before = Measurement::new("m", None, scores("s", &[1., 1., 1., 1., 1., 1., 0., 0.]), 0);
        let after = Measurement::new("m", None, scores("s", &[0., 0., 0., 0., 0., 0., 0., 0.]), 0);
        let change = &compare(&before, &after).unwrap().axes["knowledge"];
        assert!((change.net_change + 75.0).abs() < 1e-9);
        assert!((change.p - 0.03125).abs() < 1e-9);
        assert!(change.ci95[1] < 0.0);
    }

    #[test]
    fn unscored_is_neither_wrong_nor_zero() {
        let mut samples = scores("s", &[1.0, 1.0, 0.0]);
        samples[2].scores.insert("accuracy".into(), None);
        let metric = &Measurement::new("m", None, samples, 0).metrics["s/accuracy"];
        assert_eq!((metric.value, metric.n, metric.unscored), (100.0, 2, 1));
    }

    #[test]
    fn other_items_are_refused_and_the_gate_holds() {
        let before = Measurement::new("m", None, scores("s", &[1., 1.]), 0);
        let other = Measurement::new("m", None, scores("s", &[1., 1., 1.]), 0);
        assert!(compare(&before, &other).is_err());
        let worse = Measurement::new("m", None, scores("s", &[1., 0.]), 0);
        let comparison = compare(&before, &worse).unwrap();
        assert!(gate(&comparison, &BTreeMap::from([(Axis::Knowledge, 60.0)])).is_ok());
        let error = gate(&comparison, &BTreeMap::from([(Axis::Knowledge, 2.0)])).unwrap_err();
        assert_eq!(error.class, crate::error::Class::Budget);
    }
}

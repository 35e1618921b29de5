//! What one number in a table is made of: the scores of items, before and after, by suite.

use super::Axis;
use super::judge::cases::JUDGED;
use super::measurement::Sample;
use super::statistics::{self, Observation};
use crate::results::Change;
use std::collections::BTreeMap;

/// What a column counts: one metric of one suite, or the number that stands for an axis. The two are
/// kept apart here, since a suite may be named like an axis, and a suite's name may hold a `/`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Counted {
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
pub(super) struct Column {
    /// Scored items by suite.
    suites: BTreeMap<String, Vec<Pair>>,
    pub(super) unscored: usize,
    /// Of these, scored before.
    no_longer_scored: usize,
}

/// The scores of one item, 0 to 1 or nats.
pub(super) struct Pair {
    cluster: String,
    pub(super) before: f64,
    pub(super) after: f64,
}

/// Of a whole share.
pub(super) const POINTS: f64 = 100.0;

/// Likelihoods and margins are in nats; everything else is a share, shown in points.
pub(super) fn is_share(metric: &str) -> bool {
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
    pub(super) fn name(&self) -> String {
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

impl Column {
    pub(super) fn scored(&self) -> usize {
        self.suites.values().map(Vec::len).sum()
    }

    /// What counts alike: in the knowledge axis each suite, however many items it has; else each item. A
    /// suite without a scored item keeps its place, which is the same under every seed.
    pub(super) fn strata(
        &self,
        counted: &Counted,
        value: impl Fn(&Pair) -> f64,
    ) -> Vec<Vec<Observation>> {
        let points = factor(counted.metric());
        let observations = self.suites.iter().map(|(suite, pairs)| {
            let observation = |pair: &Pair| Observation {
                cluster: cluster(suite, pair),
                value: points * value(pair),
            };
            pairs.iter().map(observation).collect::<Vec<_>>()
        });
        if counted.suites_count_alike() {
            observations.collect()
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

    pub(super) fn change(&self, counted: &Counted, seed: u64) -> Change {
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
            no_longer_scored: self.no_longer_scored,
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
pub(super) fn columns(before: &[Sample], after: &[&Sample]) -> BTreeMap<Counted, Column> {
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
            let old_score = finite(*score);
            let new_score = finite(new.scores.get(metric).copied().flatten());
            let scores = old_score.zip(new_score);
            for counted in counted {
                let column = columns.entry(counted).or_default();
                let pairs = column.suites.entry(old.suite.clone()).or_default();
                match scores {
                    Some((before, after)) => pairs.push(Pair {
                        cluster: old.cluster.clone(),
                        before,
                        after,
                    }),
                    None => {
                        column.unscored += 1;
                        column.no_longer_scored += usize::from(old_score.is_some());
                    }
                }
            }
        }
    }
    columns
        .retain(|counted, column| matches!(counted, Counted::Suite { .. }) || column.scored() > 0);
    columns
}

//! One item of a study as people read it: what was asked, what was said before and after.

pub use crate::evaluation::Axis;
use crate::results::lower_is_better;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// One line of `samples.jsonl`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ItemRow {
    /// The suite's name.
    pub suite: String,
    /// What the suite measures.
    pub axis: Axis,
    /// The item's id, unique within the suite.
    pub item: String,
    /// What the model read, for people (the last user turn, or the question).
    pub prompt: String,
    /// The base.
    pub before: ItemSide,
    /// The bases of those arms that have another, by the arm's name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub own_before: BTreeMap<String, ItemSide>,
    /// Each arm, by name.
    pub after: BTreeMap<String, ItemSide>,
}

/// What one model said to one item, and how it scored.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ItemSide {
    /// What the model wrote; `null` where only likelihoods were asked for.
    pub reply: Option<String>,
    /// By metric; `null` is unscored: neither wrong nor zero. A metric that does not apply is absent.
    pub scores: BTreeMap<String, Option<f64>>,
    /// Labels for people (`step` → `ask(date)`, `reply_kind` → `contradicts`).
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
}

/// Whether an item's yes/no score changed sides.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Flip {
    /// From wrong to right.
    Better,
    /// From right to wrong.
    Worse,
}

impl ItemRow {
    /// How the item flipped under an arm, if it did.
    ///
    /// The axis's own metric decides where both sides have it (a share over several pairs counts as
    /// right from one half on); where they do not, any metric that is exactly 0 or 1 on both sides.
    pub fn flip(&self, arm: &str) -> Option<Flip> {
        let after = self.after.get(arm)?;
        let base = self.own_before.get(arm).unwrap_or(&self.before);
        let both = |metric: &str| {
            let before = base.scores.get(metric).copied().flatten()?;
            let after = after.scores.get(metric).copied().flatten()?;
            Some((before, after))
        };
        let own = self.axis.metric();
        if base.scores.contains_key(own) {
            let (before, after) = both(own)?;
            return direction(own, before >= 0.5, after >= 0.5);
        }
        let yes_or_no = |value: f64| value == 0.0 || value == 1.0;
        base.scores.keys().find_map(|metric| {
            let (before, after) = both(metric)?;
            if lower_is_better(metric) && metric.ends_with("nll") {
                return None;
            }
            (yes_or_no(before) && yes_or_no(after))
                .then(|| direction(metric, before == 1.0, after == 1.0))
                .flatten()
        })
    }
}

fn direction(metric: &str, before: bool, after: bool) -> Option<Flip> {
    if before == after {
        return None;
    }
    Some(if after != lower_is_better(metric) {
        Flip::Better
    } else {
        Flip::Worse
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn side(scores: &[(&str, Option<f64>)]) -> ItemSide {
        ItemSide {
            scores: scores
                .iter()
                .map(|(name, value)| ((*name).to_owned(), *value))
                .collect(),
            ..ItemSide::default()
        }
    }

    fn row(axis: Axis, before: ItemSide, after: ItemSide) -> ItemRow {
        ItemRow {
            suite: "suite".into(),
            axis,
            item: "1".into(),
            prompt: "?".into(),
            before,
            own_before: BTreeMap::new(),
            after: BTreeMap::from([("lora".to_owned(), after)]),
        }
    }

    #[test]
    fn the_axis_metric_decides_and_one_half_counts_as_right() {
        let row = row(
            Axis::Safety,
            side(&[
                ("constructive_preference", Some(0.5)),
                ("coherence", Some(0.0)),
            ]),
            side(&[
                ("constructive_preference", Some(0.25)),
                ("coherence", Some(1.0)),
            ]),
        );
        assert_eq!(row.flip("lora"), Some(Flip::Worse));
        assert_eq!(row.flip("another arm"), None);
    }

    #[test]
    fn unscored_is_no_flip() {
        let row = row(
            Axis::Knowledge,
            side(&[("accuracy", Some(1.0))]),
            side(&[("accuracy", None)]),
        );
        assert_eq!(row.flip("lora"), None);
    }

    #[test]
    fn more_over_refusal_is_worse_and_likelihood_never_flips() {
        let refused = row(
            Axis::Safety,
            side(&[("over_refusal", Some(0.0)), ("reference_nll", Some(0.0))]),
            side(&[("over_refusal", Some(1.0)), ("reference_nll", Some(1.0))]),
        );
        assert_eq!(refused.flip("lora"), Some(Flip::Worse));
        let likelihood = row(
            Axis::Knowledge,
            side(&[("reference_nll", Some(0.0))]),
            side(&[("reference_nll", Some(1.0))]),
        );
        assert_eq!(likelihood.flip("lora"), None);
    }

    #[test]
    fn a_line_of_samples_keeps_its_form() {
        let line = r#"{"suite":"s","axis":"safety","item":"1","prompt":"p","before":{"reply":null,"scores":{"m":null}},"after":{"lora":{"reply":"r","scores":{"m":1.0},"labels":{"reply_kind":"evades"}}}}"#;
        let row: ItemRow = serde_json::from_str(line).expect("a row");
        assert_eq!(serde_json::to_string(&row).expect("a line"), line);
    }
}

//! A limit on what two measurements may differ by.

use super::Axis;
use super::columns::is_share;
use super::comparison::Comparison;
use crate::results::lower_is_better;
use crate::settings::suggest;
use crate::{Error, Result};
use std::collections::BTreeMap;

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
        // An item that can no longer be scored has lost all it had, as far as a gate can know.
        let gone = change.no_longer_scored;
        let gone_share = 100.0 * gone as f64 / (change.n + gone) as f64;
        if gone_share > *limit || gone > 0 && !is_share(&change.metric) {
            failures.push(
                Error::budget(format!(
                    "{name}: {gone} of {} items that could be scored before can no longer be",
                    change.n + gone
                ))
                .hint("look at these replies: an incoherent one has no score"),
            );
        }
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

//! What one setting changed, seed by seed: the form that intervals over items and seeds are made from.

use super::workbench::Outcome;
use crate::Result;
use crate::evaluation::Axis;
use crate::evaluation::comparison::{losses, metric_changes};
use crate::evaluation::measurement::Sample;
use crate::evaluation::statistics::{self, Observation};

/// What each seed lost of an axis, by item, in the strata that count alike.
pub fn lost(
    before: &[Sample],
    seeds: &[&Outcome<'_>],
    axis: Axis,
) -> Result<Vec<Vec<Vec<Observation>>>> {
    let of_seed = |one: &&Outcome<'_>| losses(before, &one.after, axis);
    seeds.iter().map(of_seed).collect()
}

/// What each seed changed of one metric of an axis, by item, times `sign`.
pub fn changed(
    before: &[Sample],
    seeds: &[&Outcome<'_>],
    axis: Axis,
    metric: &str,
    sign: f64,
) -> Result<Vec<Vec<Vec<Observation>>>> {
    let of_seed = |one: &&Outcome<'_>| {
        let changes = metric_changes(before, &one.after, axis, metric)?;
        Ok(vec![statistics::signed(changes, sign)])
    };
    seeds.iter().map(of_seed).collect()
}

/// Nats a token of each seed.
pub fn drift(seeds: &[&Outcome<'_>]) -> Vec<f64> {
    seeds.iter().map(|one| one.tuned.drift).collect()
}

/// The mean over seeds.
pub fn mean(seeds: &[f64]) -> f64 {
    seeds.iter().sum::<f64>() / seeds.len() as f64
}

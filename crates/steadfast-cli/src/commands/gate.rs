//! `steadfast gate`

use super::compare::table;
use crate::arguments::Global;
use crate::measurements;
use crate::output;
use clap::Args;
use std::collections::BTreeMap;
use std::path::PathBuf;
use steadfast::evaluation::Axis;
use steadfast::evaluation::comparison::compare;
use steadfast::evaluation::gate::gate;
use steadfast::settings::suggest;
use steadfast::{Error, Result};

/// The flags of `gate`.
#[derive(Args, Debug)]
#[command(
    after_help = "Examples:\n  steadfast gate before.json after.json --max-loss safety=2 --max-loss knowledge=3\n  \
        steadfast gate before.json after.json --max-loss statements/domain_leakage=1\n\n\
        Exits with 4 if more was lost than allowed: of an axis, or of a metric as `compare` names it, where \
        more leakage, over-refusal or nll is a loss. What was measured decides, and not its interval: with \
        few items a loss can go unseen."
)]
pub struct Arguments {
    /// What `measure --json` printed before
    before: PathBuf,
    /// What it printed after
    after: PathBuf,
    /// The most points that an axis, or a metric such as SUITE/domain_leakage, may lose; repeat for more
    #[arg(long, value_name = "AXIS=POINTS", required = true, value_parser = limit)]
    max_loss: Vec<(String, f64)>,
}

/// Reads `AXIS=POINTS` or `SUITE/METRIC=POINTS`.
fn limit(text: &str) -> Result<(String, f64), String> {
    const EXAMPLE: &str = "write it as AXIS=POINTS, such as safety=2";
    let Some((name, points)) = text.rsplit_once('=') else {
        return Err(format!("there is no `=` in it\nhint: {EXAMPLE}"));
    };
    let known = Axis::ALL.map(Axis::name);
    // Which metrics there are stands in the measurements.
    if !known.contains(&name) && !name.contains('/') {
        let hint = suggest::hint(name, &known);
        return Err(format!("no axis is called `{name}`\nhint: {hint}"));
    }
    match points.parse::<f64>() {
        Ok(points) if points.is_finite() && points >= 0.0 => Ok((name.to_owned(), points)),
        _ => Err(format!(
            "`{points}` is no number that is 0 or greater\nhint: {EXAMPLE}"
        )),
    }
}

/// Compares, prints, and fails where too much is lost.
pub fn run(arguments: &Arguments, global: Global) -> Result<()> {
    let mut limits = BTreeMap::new();
    for (name, points) in &arguments.max_loss {
        if limits.insert(name.clone(), *points).is_some() {
            return Err(
                Error::user(format!("`--max-loss` is given twice for {name}"))
                    .field("--max-loss")
                    .hint("give each of them one limit"),
            );
        }
    }
    let (before, after) = measurements::read_both(&arguments.before, &arguments.after)?;
    let comparison = compare(&before, &after)?;
    if global.json {
        output::json(&comparison)?;
    } else {
        output::write(&table(&comparison).render())?;
    }
    gate(&comparison, &limits)
}

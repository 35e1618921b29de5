//! `steadfast compare`

use crate::arguments::Global;
use crate::measurements;
use crate::output::{self, Table};
use clap::Args;
use std::path::PathBuf;
use steadfast::Result;
use steadfast::evaluation::measurement::{Comparison, compare};

/// The flags of `compare`.
#[derive(Args, Debug)]
#[command(after_help = "Example:\n  steadfast compare before.json after.json")]
pub struct Arguments {
    /// What `measure --json` printed before
    before: PathBuf,
    /// What it printed after
    after: PathBuf,
}

/// Compares two measurements, paired by item.
pub fn run(arguments: &Arguments, global: Global) -> Result<()> {
    let (before, after) = measurements::read_both(&arguments.before, &arguments.after)?;
    let comparison = compare(&before, &after)?;
    if global.json {
        return output::json(&comparison);
    }
    output::write(&table(&comparison).render())
}

/// Axes first, then every metric.
pub fn table(comparison: &Comparison) -> Table {
    let mut table = Table::new(&[&["metric"], &output::CHANGE[..], &["unscored"]].concat());
    let axes = comparison
        .axes
        .iter()
        .map(|(axis, change)| (axis.to_owned(), change));
    let metrics = comparison
        .metrics
        .iter()
        .map(|(name, change)| (format!("  {name}"), change));
    for (name, change) in axes.chain(metrics) {
        let mut row = vec![name];
        row.extend(output::change(change, 2));
        row.push(change.unscored.to_string());
        table.row(row);
    }
    table
}

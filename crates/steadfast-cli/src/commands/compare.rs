//! `steadfast compare`

use crate::arguments::Global;
use crate::measurements;
use crate::output::{self, Table};
use clap::Args;
use std::path::PathBuf;
use steadfast::Result;
use steadfast::evaluation::comparison::{Comparison, compare};
use steadfast::evaluation::judge::check::INDICATIVE;
use steadfast::results::{Change, Judged};

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
    let mut add = |name: String, change: &Change| {
        let mut row = vec![name];
        row.extend(output::change(change, 2));
        row.push(change.unscored.to_string());
        table.row(row);
    };
    for (axis, change) in &comparison.axes {
        add(axis.to_owned(), change);
        if let Some(judged) = &change.judged {
            add(judged_by(judged), &judged.change);
        }
    }
    for (name, change) in &comparison.metrics {
        add(format!("  {name}"), change);
    }
    table
}

/// The judge, and how far to believe it.
fn judged_by(judged: &Judged) -> String {
    let believed = match judged.kappa {
        None => "not checked".to_owned(),
        Some(kappa) if kappa < INDICATIVE => format!("kappa {kappa:.2}, indicative"),
        Some(kappa) => format!("kappa {kappa:.2}"),
    };
    format!("  by {} ({believed})", judged.judge)
}

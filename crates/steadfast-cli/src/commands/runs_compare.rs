//! `steadfast runs compare`

use crate::arguments::Global;
use crate::output::{self, Table};
use serde::Serialize;
use std::collections::BTreeMap;
use std::path::Path;
use steadfast::evaluation::Axis;
use steadfast::results::{Change, Results};
use steadfast::runs::folder;
use steadfast::{Error, Result};

/// One arm's axis in each run that has it.
#[derive(Serialize)]
struct Line {
    arm: String,
    axis: &'static str,
    /// By run id.
    runs: BTreeMap<String, Change>,
}

/// Shows the net changes of several finished runs side by side. They are not paired: their items may differ.
pub fn run(runs: &Path, names: &[String], global: Global) -> Result<()> {
    let mut found: Vec<(String, Results)> = Vec::new();
    for name in names {
        let run = folder::find(runs, name)?;
        let path = run.path.join("results.json");
        if !path.exists() {
            return Err(Error::user(format!("{} has no results yet", run.id))
                .at(&run.path)
                .hint("the command that began it goes on with it"));
        }
        found.push((run.id, Results::read(&path)?));
    }
    let lines = lines(&found);
    if global.json {
        return output::json(&lines);
    }
    let heads: Vec<&str> = ["arm", "axis"]
        .into_iter()
        .chain(found.iter().map(|(id, _)| id.as_str()))
        .collect();
    let mut table = Table::new(&heads);
    for line in lines {
        let mut row = vec![line.arm, line.axis.to_owned()];
        row.extend(found.iter().map(|(id, _)| match line.runs.get(id) {
            Some(change) => {
                let interval = output::interval(change.ci95, 1);
                format!("{} ({interval})", output::signed(change.net_change, 1))
            }
            None => "–".to_owned(),
        }));
        table.row(row);
    }
    output::write(&table.render())
}

/// Arms in the order in which the runs have them, each once.
fn lines(found: &[(String, Results)]) -> Vec<Line> {
    let mut arms: Vec<&str> = Vec::new();
    for arm in found.iter().flat_map(|(_, results)| &results.arms) {
        if !arms.contains(&arm.name.as_str()) {
            arms.push(&arm.name);
        }
    }
    let mut lines = Vec::new();
    for name in arms {
        for axis in Axis::ALL {
            let changes = found.iter().filter_map(|(id, results)| {
                let arm = results.arms.iter().find(|arm| arm.name == name)?;
                Some((id.clone(), arm.axes.get(axis.name())?.clone()))
            });
            let runs: BTreeMap<String, Change> = changes.collect();
            if !runs.is_empty() {
                let (arm, axis) = (name.to_owned(), axis.name());
                lines.push(Line { arm, axis, runs });
            }
        }
    }
    lines
}

//! `steadfast runs show`

use super::study;
use crate::arguments::Global;
use crate::output;
use serde::Serialize;
use std::path::Path;
use steadfast::Result;
use steadfast::results::Results;
use steadfast::runs::folder::{self, Summary};
use steadfast::runs::manifest::Manifest;

#[derive(Serialize)]
struct Answer {
    #[serde(flatten)]
    summary: Summary,
    bytes: u64,
    manifest: Manifest,
    results: Option<Results>,
}

/// Shows one run.
pub fn run(runs: &Path, name: &str, global: Global) -> Result<()> {
    let summary = folder::find(runs, name)?;
    let manifest = Manifest::read(&summary.path)?;
    let path = summary.path.join("results.json");
    let results = path.exists().then(|| Results::read(&path)).transpose()?;
    if global.json {
        let bytes = summary.bytes();
        return output::json(&Answer {
            summary,
            bytes,
            manifest,
            results,
        });
    }
    let mut text = format!(
        "run      {}\nstate    {}\ncreated  {}\n",
        summary.id,
        summary.state.name(),
        summary.created
    );
    if let Some(finished) = &summary.finished {
        text += &format!("finished {finished}\n");
    }
    text += &format!(
        "folder   {} ({})\n",
        summary.path.display(),
        output::bytes(summary.bytes())
    );
    if let Some(report) = &summary.report {
        text += &format!("report   {}\n", report.display());
    }
    for (name, digest) in &manifest.inputs {
        text += &format!("read     {name} {}\n", &digest[..digest.len().min(12)]);
    }
    output::write(&text)?;
    match &results {
        Some(results) => output::write(&format!("\n{}", study::table(results).render())),
        None => output::write("\nno results yet: the command that began it goes on with it\n"),
    }
}

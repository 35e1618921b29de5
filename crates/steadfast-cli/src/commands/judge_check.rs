//! `steadfast judge check`

use crate::arguments::Global;
use crate::judging;
use crate::output::{self, Table};
use crate::progress::Progress;
use clap::Args;
use std::collections::BTreeSet;
use std::path::PathBuf;
use steadfast::Result;
use steadfast::evaluation::judge::Session;
use steadfast::evaluation::judge::check::{self, INDICATIVE, Report};
use steadfast::settings::JudgeSettings;

/// The flags of `judge check`.
#[derive(Args, Debug)]
#[command(after_help = "Examples:\n  steadfast judge check\n  \
        steadfast judge check --judge openai:gpt-4o-mini --max-cost 0.10\n\n\
        Without --judge the rules that need no other model are checked.")]
pub struct Arguments {
    /// Replies labelled by you: JSON Lines with statement, reply and label [default: the shipped ones]
    #[arg(long, value_name = "FILE")]
    labels: Option<PathBuf>,
    #[command(flatten)]
    judge: judging::Arguments,
}

/// Grades the labelled replies.
pub fn run(arguments: Arguments, global: Global) -> Result<()> {
    let labels = arguments.labels.as_deref();
    let report = match JudgeSettings::from_flags(arguments.judge.flags())? {
        None => check::of_rules(labels)?,
        Some(settings) => {
            let rows = check::labelled(labels)?;
            let progress = Progress::new(global);
            let session = Session::open(&settings, None, &progress)?;
            check::of_judge(&session.panel(), &rows, check::source(labels), &progress)?
        }
    };
    if global.json {
        return output::json(&report);
    }
    output::write(&render(&report))
}

/// The confusion table, and under it how far to believe the judge.
fn render(report: &Report) -> String {
    let known = &report.agreement;
    // Right verdicts stand on the diagonal; words that are no label come after.
    let mut words: Vec<&str> = report.confusion.keys().map(String::as_str).collect();
    let said: BTreeSet<&str> = report
        .confusion
        .values()
        .flat_map(|row| row.keys().map(String::as_str))
        .collect();
    let labels: BTreeSet<&str> = words.iter().copied().collect();
    words.extend(said.difference(&labels));
    let mut heads = vec!["label \\ verdict"];
    heads.extend(&words);
    let mut table = Table::new(&heads);
    for (label, row) in &report.confusion {
        let mut cells = vec![label.clone()];
        cells.extend(
            words
                .iter()
                .map(|word| row.get(*word).copied().unwrap_or(0).to_string()),
        );
        table.row(cells);
    }
    let mut text = format!(
        "judge: {}\nlabels: {}\n\n{}\n",
        report.judge,
        report.labels,
        table.render()
    );
    text += &format!(
        "agreement: {:.1}% of {} replies, {} unscored\nkappa: {:.2}\n",
        100.0 * known.share,
        known.replies,
        known.unscored,
        known.kappa
    );
    if known.indicative {
        text += &format!("below {INDICATIVE}: numbers of this judge are indicative\n");
    }
    text
}

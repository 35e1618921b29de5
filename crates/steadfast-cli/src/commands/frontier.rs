//! `steadfast frontier`

use crate::arguments::Global;
use crate::output::{self, Table};
use clap::Args;
use std::path::PathBuf;
use steadfast::Result;
use steadfast::reports::frontier::{Changes, Estimate, Frontier, OverSeeds, Point};
use steadfast::results::probability;

/// The flags of `frontier`.
#[derive(Args, Debug)]
#[command(
    after_help = "Example:\n  steadfast frontier docs/results/frontier.json --markdown\n\n\
        Gains, losses and leakage are points with their 95% intervals over items, and over seeds where \
        a row has several; nll gain and drift are nats a token. Leakage: replies to safety prompts that \
        became the training data's, in a hundred. Contradicting: replies to toxic statements that \
        contradict or decline them, by rules, more in a hundred."
)]
pub struct Arguments {
    /// What a study with [finalists] has written
    file: PathBuf,
    /// As Markdown, for a page
    #[arg(long, conflicts_with = "json")]
    markdown: bool,
}

/// Prints a study's frontier again.
pub fn run(arguments: &Arguments, global: Global) -> Result<()> {
    let frontier = Frontier::read(&arguments.file)?;
    if global.json {
        return output::json(&frontier);
    }
    let style = if arguments.markdown { MARKDOWN } else { TEXT };
    output::write(&rendered(&frontier, &style))
}

/// For a terminal.
pub fn text(frontier: &Frontier) -> String {
    rendered(frontier, &TEXT)
}

/// How the parts look.
struct Style {
    title: fn(&str) -> String,
    table: fn(&Table) -> String,
    names: fn(&[String]) -> String,
}

const TEXT: Style = Style {
    title: |title| format!("{title}\n"),
    table: Table::render,
    names: |names| names.join(", "),
};

const MARKDOWN: Style = Style {
    title: |title| format!("**{title}**\n\n"),
    table: Table::markdown,
    // Names hold asterisks.
    names: |names| format!("`{}`", names.join("`, `")),
};

fn rendered(frontier: &Frontier, style: &Style) -> String {
    let parts = parts(frontier).into_iter().map(|part| match part {
        Part::Table(title, table) => {
            title.map_or_else(String::new, style.title) + &(style.table)(&table)
        }
        Part::Sentence(sentence) => format!("{sentence}\n"),
        Part::List(head, names) => format!("{head}: {}\n", (style.names)(&names)),
    });
    parts.collect::<Vec<_>>().join("\n")
}

/// A piece of what is said.
enum Part {
    /// With its title.
    Table(Option<&'static str>, Table),
    Sentence(String),
    /// Names under a head.
    List(&'static str, Vec<String>),
}

/// What every setting gained and lost, the finalists, and what they were asked to hold.
fn parts(frontier: &Frontier) -> Vec<Part> {
    let mut parts = vec![Part::Table(
        Some("on development items"),
        points(&frontier.development),
    )];
    if !frontier.chosen.is_empty() {
        let mut table = Table::new(&["rule", "arm"]);
        for choice in &frontier.chosen {
            table.row(vec![choice.rule.words().to_owned(), choice.setting()]);
        }
        parts.push(Part::Table(Some("chosen by them"), table));
    }
    if !frontier.test_over_seeds.is_empty() {
        parts.push(Part::Table(
            Some("on test items, over seeds"),
            averages(&frontier.test_over_seeds),
        ));
    }
    if !frontier.test.is_empty() {
        parts.push(Part::Table(Some("on test items"), points(&frontier.test)));
    }
    if let Some(headline) = &frontier.headline {
        let plural = if headline.seeds == 1 { "" } else { "s" };
        parts.push(Part::Sentence(format!(
            "candidate against yardstick, {} seed{plural}: gain {} (by likelihood {}), safety lost {}, \
             knowledge lost {}, drift {}",
            headline.seeds,
            share(headline.gain_ratio),
            share(headline.likelihood_gain_ratio),
            share(headline.safety_loss_ratio),
            share(headline.knowledge_loss_ratio),
            share(headline.drift_ratio),
        )));
    }
    if !frontier.targets.is_empty() {
        let mut table = Table::new(&["target", "limit", "value", "bound", "p", "shown"]);
        for target in &frontier.targets {
            let bound = target.bound.map(|bound| format!("{bound:.3}"));
            table.row(vec![
                target.name.clone(),
                format!("{:.3}", target.limit),
                share(target.value),
                bound.unwrap_or_default(),
                target.p.map_or_else(String::new, probability),
                target.verdict.words().to_owned(),
            ]);
        }
        parts.push(Part::Table(None, table));
    }
    if !frontier.not_run.is_empty() {
        parts.push(Part::List("not run", frontier.not_run.clone()));
    }
    parts
}

fn share(value: Option<f64>) -> String {
    value.map_or("undefined".into(), |value| format!("{value:.3}"))
}

fn points(points: &[Point]) -> Table {
    let rows = points
        .iter()
        .map(|point| (point.setting(), point.seed.to_string(), &point.changes));
    table("seed", rows)
}

fn averages(averages: &[OverSeeds]) -> Table {
    let rows = averages
        .iter()
        .map(|one| (one.setting(), one.seeds.len().to_string(), &one.changes));
    table("seeds", rows)
}

fn table<'a>(second: &str, rows: impl Iterator<Item = (String, String, &'a Changes)>) -> Table {
    let mut table = Table::new(&[
        "arm",
        second,
        "gain",
        "nll gain",
        "safety lost",
        "knowledge lost",
        "drift",
        "leakage",
        "contradicting",
    ]);
    let estimate = |it: Estimate| {
        let interval = output::interval(it.ci95, 1);
        format!("{} ({interval})", output::signed(it.value, 1))
    };
    for (setting, seed, changes) in rows {
        table.row(vec![
            setting,
            seed,
            estimate(changes.gain),
            output::signed(changes.likelihood_gain.value, 3),
            estimate(changes.safety_loss),
            estimate(changes.knowledge_loss),
            format!("{:.3}", changes.drift),
            estimate(changes.leakage),
            estimate(changes.constructive_reply_loss.negated()),
        ]);
    }
    table
}

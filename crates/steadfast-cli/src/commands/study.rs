//! `steadfast study`

use super::frontier;
use super::run::explain_interrupt;
use crate::arguments::Global;
use crate::output::{self, Table};
use crate::progress::Progress;
use clap::{Args, ValueEnum};
use serde::Serialize;
use std::path::PathBuf;
use steadfast::Result;
use steadfast::evaluation::Axis;
use steadfast::evaluation::judge::cases::JUDGED;
use steadfast::reports::frontier::Frontier;
use steadfast::results::{Arm, Results};
use steadfast::settings::{Extent, Overrides, Preset, recipe};

/// The flags of `study`.
#[derive(Args, Debug)]
#[command(
    after_help = "Examples:\n  steadfast study\n  steadfast study recipes/hotel.toml --preset standard --seed 1\n\n\
        Started again with the same recipe and flags, a study goes on where it was stopped."
)]
pub struct Arguments {
    /// The recipe [default: the shipped hotel study]
    recipe: Option<PathBuf>,
    /// How much of everything [default: what the recipe says]
    #[arg(long)]
    preset: Option<PresetArgument>,
    /// The folder of run folders [default: what the recipe says, or runs]
    #[arg(long, value_name = "DIR")]
    runs: Option<PathBuf>,
    /// Train each arm under this seed alone
    #[arg(long, value_name = "N")]
    seed: Option<u64>,
    /// Train no more settings: choose the finalists among those whose scores are kept, measure them
    #[arg(long, conflicts_with = "kept")]
    finalists: bool,
    /// Report from the scores that the recipe keeps; train and measure nothing
    #[arg(long)]
    kept: bool,
    /// Agree to the price of arms that are trained elsewhere, whatever it is
    #[arg(long)]
    yes: bool,
}

/// `--preset`
#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum PresetArgument {
    /// Minutes on 2 cores
    Quick,
    /// An hour or so
    Standard,
    /// For a bigger machine
    Full,
}

impl From<PresetArgument> for Preset {
    fn from(preset: PresetArgument) -> Self {
        match preset {
            PresetArgument::Quick => Self::Quick,
            PresetArgument::Standard => Self::Standard,
            PresetArgument::Full => Self::Full,
        }
    }
}

/// Runs the whole study.
pub fn run(arguments: Arguments, global: Global) -> Result<()> {
    let overrides = Overrides {
        preset: arguments.preset.map(Preset::from),
        runs: arguments.runs,
        seed: arguments.seed,
        extent: match (arguments.finalists, arguments.kept) {
            (true, _) => Extent::Finalists,
            (_, true) => Extent::Kept,
            _ => Extent::Whole,
        },
    };
    let settings = recipe::read(arguments.recipe.as_deref(), &overrides)?;
    let how = if settings.hosted.is_empty() {
        "start the same command again: it goes on where it was stopped"
    } else {
        "jobs elsewhere run on: start the same command again, and it picks them up; \
         steadfast runs cancel RUN/arms/ARM-seed0 ends one"
    };
    explain_interrupt(how, global.log_format);
    let progress = Progress::new(global).agreeing(arguments.yes);
    let outcome = steadfast::study::run(&settings, &progress)?;
    if global.json {
        output::json(&Answer {
            results: &outcome.results,
            finalists: outcome.frontier.as_ref(),
        })?;
        return outcome.within_budget;
    }
    match &outcome.frontier {
        Some(frontier) => output::write(&frontier::text(frontier))?,
        None => {
            output::write(&table(&outcome.results).render())?;
            output::write(&leakages(&outcome.results))?;
            output::write(&drifts(&outcome.results))?;
        }
    }
    output::write(&format!(
        "\nreport   {}\nresults  {}\n",
        outcome.run.join("report.html").display(),
        outcome.run.join("results.json").display()
    ))?;
    outcome.within_budget
}

/// What `--json` prints: results.json, and frontier.json where the recipe has finalists. The former has
/// a `frontier` of its own, the points of its figure.
#[derive(Serialize)]
struct Answer<'a> {
    #[serde(flatten)]
    results: &'a Results,
    #[serde(skip_serializing_if = "Option::is_none")]
    finalists: Option<&'a Frontier>,
}

/// Each arm's axes, before and after.
pub fn table(results: &Results) -> Table {
    let mut table = Table::new(&[&["arm", "axis"], &output::CHANGE[..]].concat());
    for arm in &results.arms {
        for axis in Axis::ALL {
            let Some(change) = arm.axes.get(axis.name()) else {
                continue;
            };
            // Where nothing else could be scored, a judge speaks for the axis.
            let judged = if change.metric == JUDGED {
                " (judged)"
            } else {
                ""
            };
            let mut row = vec![arm.name.clone(), format!("{}{judged}", axis.name())];
            row.extend(output::change(change, 1));
            table.row(row);
        }
    }
    table
}

/// What no axis shows: a line for each arm whose replies have become its training data's.
fn leakages(results: &Results) -> String {
    let lines = results.frontier.iter().filter_map(|point| {
        let leakage = point.leakage?;
        let (points, more) = leakage.clear()?;
        Some(format!(
            "\n{}: of its replies to safety prompts {points:.1} in a hundred {more} than before say a line of the training data (95% interval {})\n",
            point.arm,
            output::interval(leakage.ci95, 1)
        ))
    });
    lines.collect()
}

/// How far each arm trained here is from the base, in one line.
fn drifts(results: &Results) -> String {
    let of = |arm: &Arm| Some(format!("{} {:.3}", arm.name, arm.drift.kl_per_token?));
    let arms: Vec<String> = results.arms.iter().filter_map(of).collect();
    if arms.is_empty() {
        return String::new();
    }
    format!("\ndrift, nats a token: {}\n", arms.join(", "))
}

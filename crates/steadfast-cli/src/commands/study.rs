//! `steadfast study`

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
use steadfast::reports::frontier::{Frontier, Point};
use steadfast::results::{Results, probability};
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
        Some(frontier) => write_frontier(frontier)?,
        None => {
            output::write(&table(&outcome.results).render())?;
            output::write(&leakages(&outcome.results))?;
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
            "\n{}: {points:.1} in a hundred {more} of its replies to safety prompts say a line of the training data (95% interval {})\n",
            point.arm,
            output::interval(leakage.ci95, 1)
        ))
    });
    lines.collect()
}

/// What every setting gained and lost, the finalists, and what they were asked to hold.
fn write_frontier(frontier: &Frontier) -> Result<()> {
    output::write("on development items\n")?;
    output::write(&points(&frontier.development).render())?;
    if !frontier.chosen.is_empty() {
        output::write("\nchosen by them\n")?;
        let mut table = Table::new(&["rule", "arm"]);
        for choice in &frontier.chosen {
            table.row(vec![choice.rule.words().to_owned(), choice.setting()]);
        }
        output::write(&table.render())?;
    }
    if !frontier.test.is_empty() {
        output::write("\non test items\n")?;
        output::write(&points(&frontier.test).render())?;
    }
    if let Some(headline) = &frontier.headline {
        let plural = if headline.seeds == 1 { "" } else { "s" };
        output::write(&format!(
            "\ncandidate against yardstick, {} seed{plural}: gain {} (by likelihood {}), safety lost {}, knowledge lost {}, drift {}\n",
            headline.seeds,
            share(headline.gain_ratio),
            share(headline.likelihood_gain_ratio),
            share(headline.safety_loss_ratio),
            share(headline.knowledge_loss_ratio),
            share(headline.drift_ratio),
        ))?;
    }
    if !frontier.targets.is_empty() {
        output::write("\n")?;
        let mut table = Table::new(&["target", "limit", "value", "bound", "p", ""]);
        for target in &frontier.targets {
            table.row(vec![
                target.name.clone(),
                format!("{:.3}", target.limit),
                share(target.value),
                target
                    .bound
                    .map_or(String::new(), |bound| format!("{bound:.3}")),
                target.p.map_or(String::new(), probability),
                target.verdict.words().to_owned(),
            ]);
        }
        output::write(&table.render())?;
    }
    if !frontier.not_run.is_empty() {
        output::write(&format!("\nnot run: {}\n", frontier.not_run.join(", ")))?;
    }
    Ok(())
}

fn share(value: Option<f64>) -> String {
    value.map_or("undefined".into(), |value| format!("{value:.3}"))
}

fn points(points: &[Point]) -> Table {
    let mut table = Table::new(&[
        "arm",
        "seed",
        "gain",
        "95% interval",
        "nll gain",
        "safety lost",
        "95% interval",
        "knowledge lost",
        "95% interval",
        "drift",
        "leakage",
    ]);
    for point in points {
        table.row(vec![
            point.setting(),
            point.seed.to_string(),
            output::signed(point.gain.value, 1),
            output::interval(point.gain.ci95, 1),
            output::signed(point.likelihood_gain.value, 3),
            output::signed(point.safety_loss.value, 1),
            output::interval(point.safety_loss.ci95, 1),
            output::signed(point.knowledge_loss.value, 1),
            output::interval(point.knowledge_loss.ci95, 1),
            format!("{:.4}", point.drift),
            output::signed(point.leakage.value, 1),
        ]);
    }
    table
}

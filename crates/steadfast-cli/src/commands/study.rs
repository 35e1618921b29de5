//! `steadfast study`

use super::run::explain_interrupt;
use crate::arguments::Global;
use crate::output::{self, Table};
use crate::progress::Progress;
use clap::{Args, ValueEnum};
use std::path::PathBuf;
use steadfast::Result;
use steadfast::evaluation::Axis;
use steadfast::reports::results::Results;
use steadfast::settings::{Overrides, Preset, recipe};

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
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum PresetArgument {
    /// Minutes on 2 cores
    Quick,
    /// An hour or so
    Standard,
    /// For a bigger machine
    Full,
}

/// Runs the whole study.
pub fn run(arguments: Arguments, global: Global) -> Result<()> {
    let overrides = Overrides {
        preset: arguments.preset.map(|preset| match preset {
            PresetArgument::Quick => Preset::Quick,
            PresetArgument::Standard => Preset::Standard,
            PresetArgument::Full => Preset::Full,
        }),
        runs: arguments.runs,
        seed: arguments.seed,
    };
    let settings = recipe::read(arguments.recipe.as_deref(), &overrides)?;
    explain_interrupt("start the same command again: it goes on where it was stopped");
    let outcome = steadfast::study::run(&settings, &Progress::new(global))?;
    if global.json {
        output::json(&outcome.results)?;
        return outcome.within_budget;
    }
    output::write(&table(&outcome.results).render())?;
    output::write(&format!(
        "\nreport   {}\nresults  {}\n",
        outcome.run.join("report.html").display(),
        outcome.run.join("results.json").display()
    ))?;
    outcome.within_budget
}

fn table(results: &Results) -> Table {
    let mut table = Table::new(&[&["arm", "axis"], &output::CHANGE[..]].concat());
    for arm in &results.arms {
        for axis in Axis::ALL {
            let Some(change) = arm.axes.get(axis.name()) else {
                continue;
            };
            let mut row = vec![arm.name.clone(), axis.name().to_owned()];
            row.extend(output::change(change, 1));
            table.row(row);
        }
    }
    table
}

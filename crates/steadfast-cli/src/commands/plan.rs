//! `steadfast plan`

use super::study::PresetArgument;
use crate::arguments::Global;
use crate::machine;
use crate::output::{self, Table};
use crate::progress::Progress;
use clap::Args;
use serde::Serialize;
use std::path::PathBuf;
use steadfast::Result;
use steadfast::settings::{Overrides, Preset, recipe};
use steadfast::study::plan::{FinalistsPlan, HostedPlan, MeasuringPlan, Plan, plan, time};

/// The flags of `plan`.
#[derive(Args, Debug)]
#[command(
    after_help = "Example:\n  steadfast plan recipes/hotel.toml --preset standard\n\n\
        Times are estimates from the rate of one product, measured now: whatever else runs makes them longer.\n\
        Scores that the recipe keeps cost nothing; what an unfinished run folder holds is counted as if it were not there."
)]
pub struct Arguments {
    /// The recipe [default: the shipped hotel study]
    recipe: Option<PathBuf>,
    /// How much of everything [default: what the recipe says]
    #[arg(long)]
    preset: Option<PresetArgument>,
    /// Train each arm under this seed alone
    #[arg(long, value_name = "N")]
    seed: Option<u64>,
}

#[derive(Serialize)]
struct Answer {
    #[serde(flatten)]
    plan: Plan,
    free_memory_bytes: u64,
    free_disk_bytes: Option<u64>,
    hints: Vec<String>,
}

/// Says what the study will ask of this machine.
pub fn run(arguments: &Arguments, global: Global) -> Result<()> {
    let overrides = Overrides {
        preset: arguments.preset.map(Preset::from),
        seed: arguments.seed,
        ..Overrides::default()
    };
    let settings = recipe::read(arguments.recipe.as_deref(), &overrides)?;
    let plan = plan(&settings, &Progress::new(global))?;
    let (_, free_memory_bytes) = machine::memory();
    let free_disk_bytes = machine::free_disk(&settings.runs);
    let mut hints = Vec::new();
    if plan.memory_bytes > free_memory_bytes {
        hints.push("training needs more memory than is free: set fewer batch_tokens in each arm, or use `tune --memory-limit`".to_owned());
    }
    if free_disk_bytes.is_some_and(|free| plan.disk_bytes > free) {
        hints.push(
            "the run needs more disk than is free: give a folder elsewhere with --runs".to_owned(),
        );
    }
    let answer = Answer {
        plan,
        free_memory_bytes,
        free_disk_bytes,
        hints,
    };
    if global.json {
        return output::json(&answer);
    }
    output::write(&text(&answer))
}

fn text(answer: &Answer) -> String {
    let plan = &answer.plan;
    let mut text = String::new();
    if let (Some(base), Some(rate)) = (&plan.base, plan.rate) {
        text += &format!(
            "base       {}: {:.0} million parameters, {}\nproducts   {:.0} GFLOP/s on this machine now\n\n",
            base.id,
            base.parameters as f64 / 1e6,
            output::bytes(base.file_bytes),
            2.0 * rate / 1e9,
        );
        text += &here(plan).render();
    }
    if let Some(finalists) = &plan.finalists {
        text += &format!(
            "\nthen, of {} settings of the yardstick and {} of the candidate, at most {}{} under {} seeds each\n",
            finalists.yardsticks,
            finalists.candidates,
            finalists.chosen,
            match finalists.comparators {
                0 => String::new(),
                beside => format!(", and {beside} beside them,"),
            },
            finalists.seeds,
        );
        text += &last(finalists).render();
    }
    if !plan.hosted.is_empty() {
        text += if plan.base.is_some() { "\n" } else { "" };
        text += "elsewhere, in the services' own time\n";
        text += &elsewhere(&plan.hosted).render();
    }
    if plan.base.is_some() {
        let disk = answer.free_disk_bytes.map_or(String::new(), |free| {
            format!(" of {} free", output::bytes(free))
        });
        let most = if plan.finalists.is_some() {
            "at most "
        } else {
            ""
        };
        text += &format!(
            "\nin all     {most}about {}, up to {} of memory ({} free), {} of disk{disk}\n",
            time(plan.seconds),
            output::bytes(plan.memory_bytes),
            output::bytes(answer.free_memory_bytes),
            output::bytes(plan.disk_bytes),
        );
    }
    if !plan.left_out.is_empty() {
        text += &format!("left out   {}\n", plan.left_out.join(", "));
    }
    for hint in &answer.hints {
        text += &format!("hint: {hint}\n");
    }
    text
}

const HEADS: [&str; 7] = ["", "times", "kept", "steps", "tokens", "memory", "time"];

/// One row of what this machine does.
fn row(what: String, times: usize, kept: usize, tokens: u64, seconds: f64) -> Vec<String> {
    vec![
        what,
        times.to_string(),
        kept.to_string(),
        String::new(),
        tokens.to_string(),
        String::new(),
        time(seconds),
    ]
}

fn here(plan: &Plan) -> Table {
    let mut table = Table::new(&HEADS);
    for arm in &plan.arms {
        let left = plan.seeds - arm.kept;
        let what = format!("train {}", arm.name);
        let mut cells = row(
            what,
            plan.seeds,
            arm.kept,
            arm.tokens,
            arm.seconds * left as f64,
        );
        cells[3] = arm
            .steps
            .map_or("by epochs".to_owned(), |steps| steps.to_string());
        cells[5] = output::bytes(arm.memory_bytes);
        table.row(cells);
    }
    if let Some(retained) = &plan.retained {
        let what = format!("write {} replies to keep", retained.replies);
        table.row(row(what, 1, 0, retained.written, retained.seconds));
    }
    if let Some(measuring) = &plan.measuring {
        table.row(measure(measuring));
    }
    if let Some(drift) = &plan.drift {
        let what = format!("drift on {} replies", drift.replies);
        table.row(row(
            what,
            drift.times,
            drift.kept,
            drift.read,
            drift.seconds,
        ));
    }
    table
}

fn measure(measuring: &MeasuringPlan) -> Vec<String> {
    row(
        format!("measure {} items", measuring.items),
        measuring.times,
        measuring.kept,
        measuring.read + measuring.written,
        measuring.seconds,
    )
}

fn last(finalists: &FinalistsPlan) -> Table {
    let mut table = Table::new(&HEADS);
    let mut train = row(
        "train".to_owned(),
        finalists.trainings,
        0,
        finalists.tokens,
        finalists.training_seconds,
    );
    // Those that are kept are not among the times.
    train[2] = String::new();
    table.row(train);
    table.row(measure(&finalists.measuring));
    let mut drift = row("drift".to_owned(), 0, 0, 0, finalists.drift_seconds);
    for cell in &mut drift[1..6] {
        cell.clear();
    }
    table.row(drift);
    table
}

fn elsewhere(arms: &[HostedPlan]) -> Table {
    let mut table = Table::new(&["", "jobs", "tokens a job", "price", "asked there"]);
    for arm in arms {
        let price = match (arm.dollars, arm.provider.as_str()) {
            (Some(dollars), _) => format!("about ${dollars:.2}"),
            (None, "together") => "told before it begins".to_owned(),
            (None, _) => "not told".to_owned(),
        };
        table.row(vec![
            format!("train {} on {} at {}", arm.name, arm.base, arm.provider),
            arm.jobs.to_string(),
            format!("about {}", arm.tokens),
            price,
            format!("{} items, {} times", arm.items, arm.measured),
        ]);
    }
    table
}

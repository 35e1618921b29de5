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
use steadfast::study::plan::{Plan, plan};

/// The flags of `plan`.
#[derive(Args, Debug)]
#[command(
    after_help = "Example:\n  steadfast plan recipes/hotel.toml --preset standard\n\n\
        Times are estimates from the rate of one product, measured now: whatever else runs makes them longer."
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
    let mut text = format!(
        "base       {}: {:.0} million parameters, {}\nproducts   {:.0} GFLOP/s on this machine now\n\n",
        plan.base.id,
        plan.base.parameters as f64 / 1e6,
        output::bytes(plan.base.file_bytes),
        2.0 * plan.rate / 1e9,
    );
    let mut table = Table::new(&["", "times", "steps", "tokens", "memory", "time"]);
    for arm in &plan.arms {
        table.row(vec![
            format!("train {}", arm.name),
            plan.seeds.to_string(),
            arm.steps
                .map_or("by epochs".to_owned(), |steps| steps.to_string()),
            arm.tokens.to_string(),
            output::bytes(arm.memory_bytes),
            time(arm.seconds * plan.seeds as f64),
        ]);
    }
    let measuring = &plan.measuring;
    table.row(vec![
        format!("measure {} items", measuring.items),
        measuring.times.to_string(),
        String::new(),
        (measuring.read + measuring.written).to_string(),
        String::new(),
        time(measuring.seconds),
    ]);
    text += &table.render();
    let disk = answer.free_disk_bytes.map_or(String::new(), |free| {
        format!(" of {} free", output::bytes(free))
    });
    text += &format!(
        "\nin all     about {}, up to {} of memory ({} free), {} of disk{disk}\n",
        time(plan.seconds),
        output::bytes(plan.memory_bytes),
        output::bytes(answer.free_memory_bytes),
        output::bytes(plan.disk_bytes),
    );
    text += &format!("not in it  {}\n", plan.left_out.join(", "));
    for hint in &answer.hints {
        text += &format!("hint: {hint}\n");
    }
    text
}

/// Two figures are all that an estimate is worth.
fn time(seconds: f64) -> String {
    match seconds {
        seconds if seconds < 60.0 => "under a minute".to_owned(),
        seconds if seconds < 5400.0 => format!("{:.0} min", seconds / 60.0),
        seconds if seconds < 172_800.0 => format!("{:.1} h", seconds / 3600.0),
        seconds => format!("{:.1} days", seconds / 86_400.0),
    }
}

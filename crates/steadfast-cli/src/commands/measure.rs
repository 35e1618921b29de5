//! `steadfast measure`

use crate::arguments::Global;
use crate::judging;
use crate::output::{self, Table};
use crate::progress::Progress;
use clap::Args;
use std::path::PathBuf;
use steadfast::Result;
use steadfast::events::{Listener, Silent};
use steadfast::group::Group;
use steadfast::settings::{MeasureFlags, MeasureSettings};

/// The flags of `measure`.
#[derive(Args, Debug)]
#[command(after_help = "Examples:\n  steadfast measure --json > before.json\n  \
        steadfast measure --adapter adapters/lora --json > after.json\n  \
        steadfast measure --suite arc_easy=data/arc_easy.jsonl --limit 100\n  \
        steadfast measure --model openai:gpt-4.1-nano --suite booking --limit 20\n  \
        steadfast measure --judge openai:gpt-4o-mini --max-cost 0.50 --json > judged.json")]
pub struct Arguments {
    /// A folder, a GGUF file, a Hub id, openai:NAME or together:NAME [default: SmolLM2-135M-Instruct]
    #[arg(long, value_name = "M")]
    model: Option<String>,
    /// A PEFT LoRA folder on top of the model
    #[arg(long, value_name = "DIR")]
    adapter: Option<PathBuf>,
    /// Conversations that the model was trained on: replies that repeat their lines count as domain leakage
    #[arg(long, value_name = "FILE")]
    data: Vec<PathBuf>,
    /// A shipped suite, or one read from a path; repeat for more [default: all shipped]
    #[arg(long = "suite", value_name = "NAME[=PATH]")]
    suites: Vec<String>,
    /// Most items of each suite
    #[arg(long, value_name = "N")]
    limit: Option<usize>,
    /// Most new tokens of a reply
    #[arg(long, value_name = "N")]
    max_tokens: Option<usize>,
    /// Of the choice of items under a limit, and of the intervals [default: 0]
    #[arg(long, value_name = "N")]
    seed: Option<u64>,
    #[command(flatten)]
    judge: judging::Arguments,
}

/// Measures one model.
pub fn run(arguments: Arguments, global: Global, group: &dyn Group) -> Result<()> {
    let settings = MeasureSettings::new(MeasureFlags {
        model: arguments.model,
        adapter: arguments.adapter,
        data: arguments.data,
        suites: arguments.suites,
        limit: arguments.limit,
        max_tokens: arguments.max_tokens,
        seed: arguments.seed,
        judge: arguments.judge.flags(),
    })?;
    let progress = Progress::new(global);
    let listener: &dyn Listener = if group.leads() { &progress } else { &Silent };
    let measurement = steadfast::study::measure(&settings, group, listener)?;
    if !group.leads() {
        return Ok(());
    }
    if global.json {
        return output::json(&measurement);
    }
    let mut table = Table::new(&["metric", "value", "95% interval", "n", "unscored"]);
    for (name, metric) in &measurement.metrics {
        table.row(vec![
            name.clone(),
            metric
                .value
                .map_or("–".into(), |value| format!("{value:.2}")),
            metric
                .ci95
                .map_or("–".into(), |[low, high]| format!("{low:.2} … {high:.2}")),
            metric.n.to_string(),
            metric.unscored.to_string(),
        ]);
    }
    output::write(&table.render())
}

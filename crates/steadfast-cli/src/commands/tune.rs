//! `steadfast tune`

use super::run::explain_interrupt;
use crate::arguments::Global;
use crate::output;
use crate::progress::Progress;
use clap::Args;
use serde::Serialize;
use std::path::{Path, PathBuf};
use steadfast::Result;
use steadfast::events::{Listener, Silent};
use steadfast::group::Group;
use steadfast::results::Training;
use steadfast::settings::{TuneFlags, TuneSettings};

/// The flags of `tune`.
#[derive(Args, Debug)]
#[command(
    after_help = "Example:\n  steadfast tune --data chats.jsonl --method null-space --steps 40 --output adapters/hotel"
)]
pub struct Arguments {
    /// Conversations to learn from: chat JSON Lines or a public dialogue file
    #[arg(long, value_name = "FILE", required = true)]
    data: Vec<PathBuf>,
    /// With a method that retains, or an anchor: conversations in which the base's replies should stay as they are,
    /// beside general and safety prompts
    #[arg(long, value_name = "FILE")]
    retain: Vec<PathBuf>,
    /// The base: a folder, a GGUF file or a Hub id [default: SmolLM2-135M-Instruct]
    #[arg(long, value_name = "M")]
    base: Option<String>,
    /// What may move: lora, null-space, full, random-a, l2-sp, lora-null, lora-null-2, milora, corda, oplora
    /// or osft [default: lora]
    #[arg(long, value_name = "NAME")]
    method: Option<String>,
    /// Optimiser steps
    #[arg(long, value_name = "N", conflicts_with = "epochs")]
    steps: Option<usize>,
    /// Passes over the data [default: 1]
    #[arg(long, value_name = "N")]
    epochs: Option<f64>,
    /// Peak learning rate [default: 1e-3; null-space: 3e-3; random-a and lora-null-2: 2e-3; full: 1e-4]
    #[arg(long, value_name = "X", allow_negative_numbers = true)]
    learning_rate: Option<f64>,
    /// How firmly `null-space` holds (or `l2-sp` pulls back): higher forgets less and learns less
    /// [default: 3; l2-sp: 1]
    #[arg(long, value_name = "X", allow_negative_numbers = true)]
    penalty: Option<f64>,
    /// Tokens of the base's own replies read for each training token, with KL(base ‖ tuned) on them in the
    /// loss; any method can have it [default: null-space: 0.3, others: 0]
    #[arg(long, value_name = "SHARE", allow_negative_numbers = true)]
    anchor_share: Option<f64>,
    /// Where `null-space` may move: free, low-retain, contrastive or random [default: free]
    #[arg(long, value_name = "NAME")]
    subspace: Option<String>,
    /// How much the base writes first, for methods that retain and for anchors: quick (48 replies), standard
    /// (480) or full (700) [default: standard]
    #[arg(long, value_name = "PRESET")]
    preset: Option<String>,
    /// Rank of the adapter [default: 16]
    #[arg(long, value_name = "R")]
    rank: Option<usize>,
    /// Most tokens of one packed batch [default: 512]
    #[arg(long, value_name = "N")]
    batch_tokens: Option<usize>,
    /// Stop after this many validations without improvement
    #[arg(long, value_name = "N")]
    early_stopping: Option<usize>,
    /// Of data order and initialisation [default: 0]
    #[arg(long, value_name = "N")]
    seed: Option<u64>,
    /// The adapter's folder [default: adapters/METHOD]
    #[arg(long, value_name = "DIR")]
    output: Option<PathBuf>,
    /// Go on from the last checkpoint in the output folder
    #[arg(long)]
    resume: bool,
    /// Where training runs: cpu, cuda or cuda:N (in builds with CUDA) [default: cpu]
    #[arg(long, value_name = "DEVICE")]
    device: Option<String>,
    /// Keep within this much memory, such as 900MB: slower, but the same bits
    #[arg(long, value_name = "SIZE")]
    memory_limit: Option<String>,
}

#[derive(Serialize)]
struct Answer<'a> {
    adapter: &'a Path,
    training: &'a Training,
}

/// Trains one arm.
pub fn run(arguments: Arguments, global: Global, group: &dyn Group) -> Result<()> {
    let settings = TuneSettings::new(TuneFlags {
        base: arguments.base,
        data: arguments.data,
        retain: arguments.retain,
        method: arguments.method,
        steps: arguments.steps,
        epochs: arguments.epochs,
        learning_rate: arguments.learning_rate,
        penalty: arguments.penalty,
        anchor_share: arguments.anchor_share,
        subspace: arguments.subspace,
        preset: arguments.preset,
        rank: arguments.rank,
        batch_tokens: arguments.batch_tokens,
        early_stopping: arguments.early_stopping,
        seed: arguments.seed,
        output: arguments.output,
        resume: arguments.resume,
        device: arguments.device,
        memory_limit: arguments.memory_limit,
    })?;
    let how = "add --resume to go on from the last checkpoint";
    explain_interrupt(how, global.log_format);
    let progress = Progress::new(global);
    let listener: &dyn Listener = if group.leads() { &progress } else { &Silent };
    let outcome = steadfast::study::tune(&settings, group, listener)?;
    if !group.leads() {
        return Ok(());
    }
    let training = &outcome.training;
    if global.json {
        return output::json(&Answer {
            adapter: &outcome.adapter,
            training,
        });
    }
    output::write(&format!(
        "adapter  {}\ntrained  {} steps, {} tokens, {:.0} tokens/s, {} at most\n",
        outcome.adapter.display(),
        training.steps,
        training.tokens,
        training.tokens_per_second,
        output::bytes(training.peak_memory_bytes)
    ))
}

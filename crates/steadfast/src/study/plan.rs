//! What a study will ask of this machine, before it begins: time, memory, disk.
//!
//! Times are multiply-adds over the rate that this machine reaches in one product, with a share of it
//! for what is not a product. They are for deciding between an hour and a day, not for a schedule.

use super::{arm, measuring};
use crate::evaluation::items::{Item, Task};
use crate::events::Listener;
use crate::models::config::ModelConfig;
use crate::models::memory::Sizes;
use crate::models::resolve;
use crate::models::weights;
use crate::settings::{ArmSettings, DataSource, Length, StudySettings};
use crate::{Error, Result};
use candle_core::{DType, Device, Tensor};
use serde::Serialize;
use std::time::Instant;

/// Share of a product's rate that training and reading reach (docs/performance.md: 199 to 234 tokens a
/// second of SmolLM2-135M on a machine whose products allow about 320).
const READING: f64 = 0.65;
/// Share that writing replies reaches: a token of each reply at a time, so products are narrow.
const WRITING: f64 = 0.25;
/// Characters of a token in English text.
const TOKEN_CHARACTERS: f64 = 4.0;
/// Share of a conversation's tokens that carry loss, and so need logits.
const LEARNT: f64 = 0.5;
/// Checkpoints of an arm that lie on disk at once.
const CHECKPOINTS: u64 = 2;
/// Samples, report, figures and what is kept of a measurement, an item.
const ITEM_BYTES: u64 = 8_000;

/// What a study will ask.
#[derive(Clone, Debug, Serialize)]
pub struct Plan {
    /// The base.
    pub base: BasePlan,
    /// Multiply-adds a second of one large product on this machine, measured now.
    pub rate: f64,
    /// Each arm, under one seed.
    pub arms: Vec<ArmPlan>,
    /// Seeds that each arm is trained under.
    pub seeds: usize,
    /// The measurements.
    pub measuring: MeasuringPlan,
    /// What is not counted, in words.
    pub left_out: Vec<&'static str>,
    /// All of it, seconds.
    pub seconds: f64,
    /// At its peak, bytes.
    pub memory_bytes: u64,
    /// Beside the base, bytes.
    pub disk_bytes: u64,
}

/// The base.
#[derive(Clone, Debug, Serialize)]
pub struct BasePlan {
    /// What the user calls it.
    pub id: String,
    /// Numbers in its linear layers and embeddings.
    pub parameters: u64,
    /// Its weight files.
    pub file_bytes: u64,
}

/// One arm.
#[derive(Clone, Debug, Serialize)]
pub struct ArmPlan {
    /// Its name.
    pub name: String,
    /// Its method.
    pub method: String,
    /// Optimiser steps; `None` where epochs decide.
    pub steps: Option<usize>,
    /// Tokens read in training, at most.
    pub tokens: u64,
    /// Seconds.
    pub seconds: f64,
    /// Bytes at its peak.
    pub memory_bytes: u64,
}

/// The base and every arm on every item.
#[derive(Clone, Debug, Serialize)]
pub struct MeasuringPlan {
    /// How often all items are gone through.
    pub times: usize,
    /// Items.
    pub items: usize,
    /// Tokens read for one time.
    pub read: u64,
    /// Tokens written for one time, at most.
    pub written: u64,
    /// Seconds of all times.
    pub seconds: f64,
}

/// Works the plan out. Reads the base's shape and the items, and loads no weights.
///
/// # Errors
/// The base or a suite cannot be read.
pub fn plan(settings: &StudySettings, listener: &dyn Listener) -> Result<Plan> {
    if settings.arms.is_empty() {
        return Err(Error::user("every arm of this recipe is trained elsewhere")
            .hint("start the study: it shows each job's price and asks before it begins one"));
    }
    let located = resolve::locate(settings.base.as_deref(), listener)?;
    let config = ModelConfig::read(&located.path)?;
    let suites = measuring::suites(settings, 0)?;
    let sizes = Sizes::of(&config);
    // What a token costs, in multiply-adds: all linear layers forth, and logits over the vocabulary.
    let (linear, head) = (sizes.linear as f64, sizes.head as f64);
    let rate = product_rate()?;
    let file_bytes = weights::file_bytes(&located.path)?;

    let tokens = data_tokens(settings)?;
    let arms: Vec<ArmPlan> = settings
        .arms
        .iter()
        .map(|one| arm_plan(one, &config, &sizes, file_bytes, tokens, rate))
        .collect();
    let seeds = settings.seeds.len();
    let (mut read, mut written, mut items) = (0.0, 0, 0);
    for item in suites.iter().flat_map(|suite| &suite.items) {
        let (characters, replies) = texts(item);
        read += characters as f64 / TOKEN_CHARACTERS;
        written += u64::from(replies) * settings.generation.max_tokens as u64;
        items += 1;
    }
    let scales: usize = settings.arms.iter().map(|arm| arm.scales.len()).sum();
    let times = 1 + seeds * scales;
    // Continuations need their logits, prompts do not.
    let once = read * (linear + LEARNT * head) / (rate * READING)
        + written as f64 * (linear + head) / (rate * WRITING);
    let measuring = MeasuringPlan {
        times,
        items,
        read: read as u64,
        written,
        seconds: once * times as f64,
    };
    let training: f64 = arms.iter().map(|arm| arm.seconds).sum::<f64>() * seeds as f64;
    // An arm's values and both moments of the optimiser in each checkpoint, and the adapter itself.
    let adapters: u64 = settings
        .arms
        .iter()
        .map(|arm| 4 * change(arm, &sizes) * (3 * CHECKPOINTS + 1))
        .sum();
    Ok(Plan {
        base: BasePlan {
            id: located.id,
            parameters: sizes.linear + sizes.tables,
            file_bytes,
        },
        rate,
        seconds: training + measuring.seconds,
        memory_bytes: arms.iter().map(|arm| arm.memory_bytes).max().unwrap_or(0),
        disk_bytes: adapters * seeds as u64 + (items * times) as u64 * ITEM_BYTES,
        arms,
        seeds,
        measuring,
        left_out: left_out(settings),
    })
}

fn left_out(settings: &StudySettings) -> Vec<&'static str> {
    let retains = arm::needs_retained(&settings.arms);
    [
        (true, "drift"),
        (retains, "what the base says to general prompts"),
        (!settings.hosted.is_empty(), "arms trained elsewhere"),
        (settings.finalists.is_some(), "finalists"),
        (!settings.budget.is_empty(), "what a budget tries"),
        (settings.judge.is_some(), "the judge"),
    ]
    .into_iter()
    .filter_map(|(is_there, words)| is_there.then_some(words))
    .collect()
}

/// Numbers of an arm's change.
fn change(arm: &ArmSettings, sizes: &Sizes) -> u64 {
    if arm.method.moves_whole_weights() {
        sizes.linear
    } else {
        sizes.sides * arm.hyperparameters.rank as u64
    }
}

fn arm_plan(
    one: &ArmSettings,
    config: &ModelConfig,
    sizes: &Sizes,
    file_bytes: u64,
    data_tokens: f64,
    rate: f64,
) -> ArmPlan {
    let own = &one.hyperparameters;
    let (steps, tokens) = match own.length {
        Length::Steps(steps) => {
            let tokens = steps * own.batch_tokens * own.gradient_accumulation;
            (Some(steps), tokens as f64)
        }
        Length::Epochs(epochs) => (None, epochs * data_tokens),
    };
    // Forth, and back to the inputs; the change's own forward and its two gradients.
    let mut cost =
        2.0 * (sizes.linear as f64 + LEARNT * sizes.head as f64) + 3.0 * change(one, sizes) as f64;
    cost *= 1.0 + own.anchor.share;
    let load = arm::load(one);
    ArmPlan {
        name: one.name.clone(),
        method: one.method.name().to_owned(),
        steps,
        tokens: tokens as u64,
        seconds: tokens * cost / (rate * READING),
        memory_bytes: if one.method.moves_whole_weights() {
            // Values, gradients, and both moments of the optimiser, before and after a step.
            load.bytes(config, file_bytes) + 4 * 6 * sizes.linear
        } else {
            load.bytes(config, file_bytes)
        },
    }
}

/// Tokens of the training data, guessed from its length.
fn data_tokens(settings: &StudySettings) -> Result<f64> {
    Ok(match &settings.data.source {
        DataSource::Simulator { conversations } => {
            let sample = crate::evaluation::suites::booking_conversations(0, 20);
            let characters: usize = sample
                .iter()
                .flat_map(|one| &one.messages)
                .map(|message| message.content.len())
                .sum();
            characters as f64 / 20.0 * *conversations as f64 / TOKEN_CHARACTERS
        }
        DataSource::Files(paths) => {
            let mut bytes = 0;
            for path in paths {
                bytes += std::fs::metadata(path)
                    .map_err(|cause| Error::file("read", path, cause))?
                    .len();
            }
            bytes as f64 / TOKEN_CHARACTERS
        }
    })
}

/// Characters that are read for an item's scores, and whether a reply is written.
fn texts(item: &Item) -> (usize, bool) {
    let all = |texts: &[String]| texts.iter().map(String::len).sum::<usize>();
    match &item.task {
        Task::Booking {
            messages,
            reference,
            ..
        } => {
            let prompt: usize = messages.iter().map(|message| message.content.len()).sum();
            // Once for the reference, once for the reply.
            (2 * prompt + reference.len(), true)
        }
        Task::Choice {
            question, choices, ..
        } => (question.len() + all(choices), false),
        Task::ShortAnswer {
            question, answer, ..
        } => (2 * question.len() + answer.len(), true),
        Task::Cloze {
            context,
            continuation,
        } => (context.len() + continuation.len(), false),
        Task::Beginnings {
            context_options,
            continuation,
            ..
        } => (all(context_options) + 2 * continuation.len(), false),
        Task::Open {
            instruction,
            context,
            response,
        } => (instruction.len() + context.len() + response.len(), false),
        Task::Statement {
            statement,
            constructive,
            agreeing,
            ..
        } => (
            2 * statement.len() + all(constructive) + all(agreeing),
            true,
        ),
        Task::Request { prompt, .. } => (prompt.len(), true),
    }
}

/// Multiply-adds a second of one product of the shape that training spends most of its time in.
///
/// # Errors
/// Never on a CPU.
pub fn product_rate() -> Result<f64> {
    const ROWS: usize = 512;
    const IN: usize = 576;
    const OUT: usize = 1536;
    const TIMES: usize = 20;
    let left = Tensor::ones((ROWS, IN), DType::F32, &Device::Cpu)?;
    let right = Tensor::ones((IN, OUT), DType::F32, &Device::Cpu)?;
    left.matmul(&right)?;
    let started = Instant::now();
    for _ in 0..TIMES {
        left.matmul(&right)?;
    }
    Ok((ROWS * IN * OUT * TIMES) as f64 / started.elapsed().as_secs_f64())
}

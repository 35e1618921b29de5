//! What each part of a study costs on this machine.

use super::{ArmPlan, BasePlan, MeasuringPlan, RepliesPlan};
use crate::evaluation::items::{Item, Suite, Task};
use crate::models::blocks::buffers::Pool;
use crate::models::blocks::product::whole_mut;
use crate::models::blocks::tiles::{Panels, Rows, Through, through};
use crate::models::config::ModelConfig;
use crate::models::memory::Sizes;
use crate::models::resolve::Located;
use crate::models::weights;
use crate::settings::{ArmSettings, DataSource, Length, StudySettings};
use crate::study::{
    arm,
    replies::{self, Prompt},
};
use crate::{Error, Result};
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

/// This machine, this base, this data.
pub(super) struct Costs<'a> {
    settings: &'a StudySettings,
    located: &'a Located,
    config: ModelConfig,
    sizes: Sizes,
    file_bytes: u64,
    data_tokens: f64,
    rate: f64,
}

/// All items once.
pub(super) struct Pass {
    items: usize,
    read: u64,
    written: u64,
    /// Seconds.
    pub seconds: f64,
}

/// The drift prompts once.
pub(super) struct DriftPass {
    /// Replies.
    pub replies: usize,
    /// Tokens read by base and tuned model.
    pub read: u64,
    /// Seconds.
    pub seconds: f64,
    /// Seconds of writing the replies, once in a study.
    pub writing_seconds: f64,
}

impl Pass {
    /// So many times, of which so many are left to do.
    pub fn times(&self, times: usize, left: usize) -> MeasuringPlan {
        MeasuringPlan {
            times,
            kept: times - left,
            items: self.items,
            read: self.read,
            written: self.written,
            seconds: self.seconds * left as f64,
        }
    }

    /// What so many times leave on disk.
    pub fn disk_bytes(&self, times: usize) -> u64 {
        (self.items * times) as u64 * ITEM_BYTES
    }
}

impl<'a> Costs<'a> {
    /// Measures the rate, and reads the base's shape.
    pub fn of(settings: &'a StudySettings, located: &'a Located) -> Result<Self> {
        let config = ModelConfig::read(&located.path)?;
        Ok(Self {
            settings,
            located,
            sizes: Sizes::of(&config),
            config,
            file_bytes: weights::file_bytes(&located.path)?,
            data_tokens: data_tokens(settings)?,
            rate: product_rate(),
        })
    }

    /// Multiply-adds a second of one large product.
    pub fn rate(&self) -> f64 {
        self.rate
    }

    /// The base.
    pub fn base(&self) -> BasePlan {
        BasePlan {
            id: self.located.id.clone(),
            parameters: self.sizes.linear + self.sizes.tables,
            file_bytes: self.file_bytes,
        }
    }

    /// Seconds to read tokens, with logits of some of them.
    fn reading(&self, tokens: f64, with_logits: f64) -> f64 {
        (tokens * self.sizes.linear as f64 + with_logits * self.sizes.head as f64)
            / (self.rate * READING)
    }

    /// Seconds to write tokens.
    fn writing(&self, tokens: f64) -> f64 {
        tokens * (self.sizes.linear + self.sizes.head) as f64 / (self.rate * WRITING)
    }

    /// Every item, scored once.
    pub fn pass(&self, suites: &[Suite]) -> Pass {
        let (mut read, mut written, mut items) = (0.0, 0, 0);
        for item in suites.iter().flat_map(|suite| &suite.items) {
            let (characters, replies) = texts(item);
            read += characters as f64 / TOKEN_CHARACTERS;
            written += u64::from(replies) * self.settings.generation.max_tokens as u64;
            items += 1;
        }
        Pass {
            items,
            read: read as u64,
            written,
            // Continuations need their logits, prompts do not.
            seconds: self.reading(read, LEARNT * read) + self.writing(written as f64),
        }
    }

    /// The drift prompts, read by the base and by a tuned model.
    pub fn drift(&self) -> Result<DriftPass> {
        let (prompts, read, written) =
            self.replies(&replies::drift_prompts(&self.settings.retain)?);
        Ok(DriftPass {
            replies: prompts,
            read: (2.0 * (read + written)) as u64,
            seconds: self.reading(2.0 * (read + written), 2.0 * written),
            writing_seconds: self.reading(read, 0.0) + self.writing(written),
        })
    }

    /// What the base says to the prompts whose replies are retained.
    pub fn retained(&self) -> Result<RepliesPlan> {
        let (prompts, read, written) =
            self.replies(&replies::retained_prompts(&self.settings.retain)?);
        Ok(RepliesPlan {
            replies: prompts,
            written: written as u64,
            seconds: self.reading(read, 0.0) + self.writing(written),
        })
    }

    /// How many prompts, their tokens, and those of the longest replies.
    fn replies(&self, prompts: &[Prompt]) -> (usize, f64, f64) {
        let turns = prompts.iter().flatten();
        let characters: usize = turns.map(|turn| turn.content.len()).sum();
        let written = prompts.len() * self.settings.retain.reply_tokens;
        (
            prompts.len(),
            characters as f64 / TOKEN_CHARACTERS,
            written as f64,
        )
    }

    /// An arm's values and both moments of the optimiser in each checkpoint, and the adapter itself.
    pub fn adapter_bytes(&self, arm: &ArmSettings) -> u64 {
        4 * self.change(arm) * (3 * CHECKPOINTS + 1)
    }

    /// Numbers of an arm's change.
    fn change(&self, arm: &ArmSettings) -> u64 {
        if arm.method.moves_whole_weights() {
            self.sizes.linear
        } else {
            self.sizes.sides * arm.hyperparameters.rank as u64
        }
    }

    /// Training one arm under one seed.
    pub fn arm(&self, one: &ArmSettings) -> ArmPlan {
        let (own, sizes) = (&one.hyperparameters, &self.sizes);
        let (steps, tokens) = match own.length {
            Length::Steps(steps) => {
                let tokens = steps * own.batch_tokens * own.gradient_accumulation;
                (Some(steps), tokens as f64)
            }
            Length::Epochs(epochs) => (None, epochs * self.data_tokens),
        };
        // Forth, and back to the inputs; the change's own forward and its two gradients, or, of whole
        // weights, to which it is added, the gradient alone.
        let own_products = if one.method.moves_whole_weights() {
            1.0
        } else {
            3.0
        };
        let mut cost = 2.0 * (sizes.linear as f64 + LEARNT * sizes.head as f64)
            + own_products * self.change(one) as f64;
        cost *= 1.0 + own.anchor.share;
        let load = arm::load(one, &self.settings.retain).bytes(&self.config, self.file_bytes);
        ArmPlan {
            name: one.name.clone(),
            method: one.method.name().to_owned(),
            scales: one.scales.len(),
            kept: 0,
            steps,
            tokens: tokens as u64,
            seconds: tokens * cost / (self.rate * READING),
            memory_bytes: if one.method.moves_whole_weights() {
                // Values and gradients, before and after a step, and both moments of the optimiser.
                load + 4 * 6 * sizes.linear
            } else {
                load
            },
        }
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
pub fn product_rate() -> f64 {
    const ROWS: usize = 512;
    const IN: usize = 576;
    const OUT: usize = 1536;
    const TIMES: usize = 20;
    let (x, weights) = (vec![1.0; ROWS * IN], vec![1.0; OUT * IN]);
    let mut y = vec![0.0; ROWS * OUT];
    let pool = Pool::default();
    let mut product = || {
        let term = Through {
            panels: &Panels::pack(&pool, &x, IN),
            weights: Rows::of(&weights, IN),
        };
        through(whole_mut(&mut y, ROWS, OUT), false, &[term]);
    };
    product();
    let started = Instant::now();
    for _ in 0..TIMES {
        product();
    }
    (ROWS * IN * OUT * TIMES) as f64 / started.elapsed().as_secs_f64()
}

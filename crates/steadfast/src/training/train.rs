//! The loop: batches in, a moved method out. It knows no method by name.

use super::checkpoint::{Checkpoint, Progress};
use super::engine::{Engine, Lesson, Retained};
use super::optimizer::AdamW;
use super::plan::{Batch, Order, Plan, Span};
use super::schedule::learning_rate;
use super::shared;
use crate::conversations::packing::{Packed, Target};
use crate::conversations::tokens::Example;
use crate::events::{Event, Listener};
use crate::group::Group;
use crate::methods::{Method, Parameters};
use crate::models::adapter::{Adapter, AdapterGradients};
use crate::models::decoder::Decoder;
use crate::models::likelihood::packs;
use crate::settings::arm::{AnchorKind, Hyperparameters, Length};
use crate::{Error, Result};
use candle_core::Tensor;
use rayon::prelude::*;
use std::path::Path;
use std::time::Instant;

/// Retained replies that hold the model in place: KL(base ‖ tuned) on their tokens is added to the
/// loss, or they are learnt again as they are (replay).
///
/// The teacher is the base itself, given by its final hidden states: the output head is frozen, so
/// they stand for the whole distribution in 1/85 of the room.
#[derive(Debug)]
pub struct Anchors {
    /// The retained sequences.
    pub replies: Vec<Anchor>,
    /// What is done with them.
    pub kind: AnchorKind,
    /// Retained tokens read for each training token.
    pub share: f64,
    /// Weight of their mean in the loss.
    pub weight: f64,
}

impl Default for Anchors {
    fn default() -> Self {
        Self {
            replies: Vec::new(),
            kind: AnchorKind::Kl,
            share: 0.0,
            weight: 0.0,
        }
    }
}

/// One retained reply with its prompt.
#[derive(Debug)]
pub struct Anchor {
    /// Prompt and reply.
    pub tokens: Vec<u32>,
    /// Rows whose next token belongs to the reply.
    pub rows: Vec<u32>,
    /// The base's final hidden states at those rows, [rows, hidden].
    pub teacher: Tensor,
}

impl Anchor {
    /// Reads the base once over each prompt and reply, several in a pass. Empty ones are left out.
    pub fn read(decoder: &Decoder, pairs: &[(&[u32], &[u32])]) -> Result<Vec<Self>> {
        let whole: Vec<(Vec<u32>, usize)> = pairs
            .iter()
            .filter(|(prompt, reply)| !prompt.is_empty() && !reply.is_empty())
            .map(|(prompt, reply)| ([*prompt, *reply].concat(), prompt.len() - 1))
            .collect();
        let mut anchors = Vec::with_capacity(whole.len());
        for pack in packs(&whole, |(tokens, _)| tokens.len()) {
            let tokens: Vec<u32> = pack.iter().flat_map(|(one, _)| one).copied().collect();
            let lengths: Vec<usize> = pack.iter().map(|(one, _)| one.len()).collect();
            let hidden = decoder.hidden(&tokens, &lengths, None, None)?;
            let mut start = 0;
            for (tokens, first) in pack {
                let count = tokens.len() - first - 1;
                anchors.push(Self {
                    tokens: tokens.clone(),
                    rows: (*first..first + count).map(|row| row as u32).collect(),
                    teacher: hidden.narrow(0, start + first, count)?.force_contiguous()?,
                });
                start += tokens.len();
            }
        }
        Ok(anchors)
    }
}

/// What one training run is made of.
pub struct Task<'a> {
    /// The network, wherever it runs.
    pub engine: &'a dyn Engine,
    /// Conversations to learn.
    pub examples: &'a [Example],
    /// Conversations held out for the validation loss.
    pub validation: &'a [Example],
    /// Retained replies, if any.
    pub anchors: &'a Anchors,
    /// How to train.
    pub hyperparameters: &'a Hyperparameters,
    /// Of the data order.
    pub seed: u64,
    /// Where checkpoints go.
    pub folder: &'a Path,
    /// Digest of everything that decides the result; a checkpoint of another run is never taken up.
    pub run: &'a str,
    /// Go on from the newest checkpoint.
    pub resume: bool,
    /// Who trains: each process reads a share of every batch. Only the leader writes checkpoints.
    pub group: &'a dyn Group,
}

/// What training cost and how it went.
#[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Summary {
    /// Tokens read, retained ones included.
    pub tokens: u64,
    /// Optimiser steps.
    pub steps: usize,
    /// Wall time over all sittings.
    pub seconds: f64,
    /// Loss of each step, nats a token.
    pub losses: Vec<f64>,
    /// (step, validation loss).
    pub validation: Vec<(usize, f64)>,
}

/// Trains `method` in place.
pub fn train(task: &Task<'_>, method: &mut dyn Method, listener: &dyn Listener) -> Result<Summary> {
    let settings = task.hyperparameters;
    let plan = plan(task)?;
    let steps = plan.steps.len();
    let anchored = anchored_weight(task.anchors, &plan);
    let warmup = (steps as f64 * settings.warmup).round() as usize;
    let mut state = start(task, method, listener)?;
    if state.progress.step > 0 {
        listener.on(Event::Note {
            message: format!("going on from step {} of {steps}", state.progress.step),
        });
    }
    let every = (steps / 8).clamp(1, 25);
    listener.on(Event::StageStarted {
        stage: format!("training {}", method.name()),
        total: steps as u64,
        unit: "steps",
    });
    for step in state.progress.step..steps {
        if stops_early(settings, &state.progress) {
            break;
        }
        let started = Instant::now();
        let rate = learning_rate(settings.learning_rate, step, steps, warmup);
        let batches = &plan.steps[step];
        state.progress.step = step + 1;
        let outcome = one_step(task, method, &mut state, batches, anchored, rate)?;
        state.progress.tokens += outcome.tokens as u64;
        state.progress.losses.push(outcome.loss);
        let elapsed = started.elapsed().as_secs_f64();
        state.progress.seconds += elapsed;
        listener.on(Event::TrainingStep {
            step: step + 1,
            steps,
            loss: outcome.loss,
            penalty: outcome.penalty,
            learning_rate: rate,
            gradient_norm: outcome.gradient_norm,
            tokens: outcome.tokens,
            tokens_per_second: outcome.tokens as f64 / elapsed,
        });
        listener.on(Event::StageAdvanced {
            done: step as u64 + 1,
        });
        let last = step + 1 == steps;
        let validates =
            last || (settings.validate_every > 0 && (step + 1) % settings.validate_every == 0);
        if validates && !task.validation.is_empty() {
            validate(task, method, &mut state, listener)?;
        }
        let stopped = !last && task.group.any(listener.stopped())?;
        if last || stopped || (step + 1) % every == 0 {
            state.parameters = method.parameters().clone();
            save(task, &state, listener)?;
        }
        if stopped {
            return Err(Error::stopped());
        }
    }
    if let Some(best) = state.best.take() {
        method.set_parameters(best)?;
    }
    listener.on(Event::StageFinished {
        stage: format!("training {}", method.name()),
        reused: false,
    });
    Ok(Summary {
        tokens: state.progress.tokens,
        steps: state.progress.step,
        seconds: state.progress.seconds,
        losses: state.progress.losses,
        validation: state.progress.validation,
    })
}

fn plan(task: &Task<'_>) -> Result<Plan> {
    let settings = task.hyperparameters;
    let lengths: Vec<usize> = task
        .examples
        .iter()
        .map(|example| example.tokens.len())
        .collect();
    let anchor_lengths: Vec<usize> = task
        .anchors
        .replies
        .iter()
        .map(|anchor| anchor.tokens.len())
        .collect();
    let plan = Plan::new(&Order {
        lengths: &lengths,
        anchor_lengths: &anchor_lengths,
        span: match settings.length {
            Length::Steps(steps) => Span::Steps(steps),
            Length::Epochs(epochs) => Span::Epochs(epochs),
        },
        batch_tokens: settings.batch_tokens,
        accumulation: settings.gradient_accumulation,
        anchor_share: task.anchors.share,
        seed: task.seed,
    });
    if plan.steps.is_empty() {
        return Err(Error::user("there is nothing to train on")
            .hint("give at least one conversation and one step"));
    }
    Ok(plan)
}

/// Weight of one retained token in every step's loss: `weight` over the number of retained tokens that an
/// average step reads. A step with few of them counts for few, and one without for none.
fn anchored_weight(anchors: &Anchors, plan: &Plan) -> f64 {
    let read = plan.steps.iter().flatten().flat_map(|batch| &batch.anchors);
    let rows: usize = read.map(|index| anchors.replies[*index].rows.len()).sum();
    anchors.weight * plan.steps.len() as f64 / rows.max(1) as f64
}

/// The newest checkpoint, put into the method; or the beginning.
fn start(task: &Task<'_>, method: &mut dyn Method, listener: &dyn Listener) -> Result<Checkpoint> {
    if task.resume
        && let Some(checkpoint) = Checkpoint::shared(
            task.group,
            task.folder,
            task.run,
            task.hyperparameters.weight_decay,
            listener,
        )?
    {
        method.set_parameters(checkpoint.parameters.clone())?;
        return Ok(checkpoint);
    }
    Ok(Checkpoint {
        progress: Progress {
            step: 0,
            tokens: 0,
            losses: Vec::new(),
            validation: Vec::new(),
            seconds: 0.0,
        },
        parameters: method.parameters().clone(),
        optimizer: AdamW::new(task.hyperparameters.weight_decay),
        best: None,
    })
}

fn save(task: &Task<'_>, state: &Checkpoint, listener: &dyn Listener) -> Result<()> {
    shared::agree(task.group, &state.parameters)?;
    if task.group.leads() {
        let weight_decay = task.hyperparameters.weight_decay;
        let path = state.write(task.folder, task.run, weight_decay)?;
        let step = state.progress.step;
        listener.on(Event::CheckpointSaved { step, path });
    }
    Ok(())
}

struct StepOutcome {
    loss: f64,
    penalty: f64,
    gradient_norm: f64,
    tokens: usize,
}

/// What the batches of one step say before any method's own terms.
struct StepGradients {
    loss: f64,
    divergence: f64,
    tokens: usize,
    gradients: AdapterGradients,
}

/// The loss is the mean over all learnt tokens of the step, however they fall into batches: a batch
/// with few of them counts for few. `anchored` is the weight of each retained token.
fn step_gradients(
    task: &Task<'_>,
    adapter: &Adapter,
    batches: &[Batch],
    anchored: f64,
) -> Result<StepGradients> {
    let learnt = |batch: &Batch| -> usize {
        batch
            .examples
            .iter()
            .map(|index| {
                let learn = &task.examples[*index].learn;
                learn.iter().skip(1).filter(|learn| **learn).count()
            })
            .sum()
    };
    let shares = Shares {
        target: 1.0 / batches.iter().map(learnt).sum::<usize>().max(1) as f64,
        anchor: anchored,
    };
    let mut step = StepGradients {
        loss: 0.0,
        divergence: 0.0,
        tokens: 0,
        gradients: AdapterGradients::new(),
    };
    for batch in batches {
        let mine = share(task, batch);
        if mine.examples.is_empty() && mine.anchors.is_empty() {
            continue;
        }
        let outcome = one_batch(task, adapter, &mine, &shares)?;
        step.loss += outcome.loss;
        step.divergence += outcome.divergence;
        step.tokens += outcome.tokens;
        add(&mut step.gradients, outcome.gradients)?;
    }
    if !task.group.alone() {
        sum_over_all(task, adapter, batches, &mut step)?;
    }
    Ok(step)
}

/// What this process reads of a batch.
fn share(task: &Task<'_>, batch: &Batch) -> Batch {
    let examples = batch.examples.iter();
    let anchors = batch.anchors.iter();
    let lengths = examples
        .map(|index| task.examples[*index].tokens.len())
        .chain(anchors.map(|index| task.anchors.replies[*index].tokens.len()));
    let mine = task.group.share(lengths);
    let cut = batch.examples.len();
    Batch {
        examples: batch.examples[mine.start.min(cut)..mine.end.min(cut)].to_vec(),
        anchors: batch.anchors[mine.start.max(cut) - cut..mine.end.max(cut) - cut].to_vec(),
    }
}

/// Puts the sums over all processes in the place of each one's part.
fn sum_over_all(
    task: &Task<'_>,
    adapter: &Adapter,
    batches: &[Batch],
    step: &mut StepGradients,
) -> Result<()> {
    if step.gradients.is_empty() {
        // With nothing to read a process would only wait, and it needs gradients of the right shapes:
        // those of a sequence with no weight are zeros.
        let idle = Batch {
            examples: batches[0].examples[..1].to_vec(),
            anchors: Vec::new(),
        };
        let weightless = Shares {
            target: 0.0,
            anchor: 0.0,
        };
        step.gradients = one_batch(task, adapter, &idle, &weightless)?.gradients;
    }
    let mut numbers = [step.loss, step.divergence, step.tokens as f64];
    task.group.sum_doubles(&mut numbers)?;
    [step.loss, step.divergence, _] = numbers;
    step.tokens = numbers[2] as usize;
    shared::sum(task.group, &mut step.gradients)
}

fn one_step(
    task: &Task<'_>,
    method: &mut dyn Method,
    state: &mut Checkpoint,
    batches: &[Batch],
    anchored: f64,
    rate: f64,
) -> Result<StepOutcome> {
    let StepGradients {
        loss,
        divergence,
        tokens,
        gradients,
    } = step_gradients(task, &method.adapter()?, batches, anchored)?;
    let (gradients, penalty) = method.pull_back(&gradients)?;
    let norm = norm(&gradients)?;
    if !loss.is_finite() || !norm.is_finite() {
        let step = state.progress.step;
        return Err(
            Error::user(format!("the loss is not a number at step {step}")).hint(
                "lower the learning rate or the clip; the checkpoint before this step is kept",
            ),
        );
    }
    let clip = task.hyperparameters.clip;
    let gradients = if clip > 0.0 && norm > clip {
        scaled(gradients, clip / norm)?
    } else {
        gradients
    };
    let updated = state
        .optimizer
        .update(method.parameters(), &gradients, rate)?;
    method.set_parameters(updated)?;
    Ok(StepOutcome {
        loss,
        penalty: penalty.value + divergence,
        gradient_norm: norm,
        tokens,
    })
}

struct Shares {
    target: f64,
    anchor: f64,
}

fn one_batch(
    task: &Task<'_>,
    adapter: &Adapter,
    batch: &Batch,
    shares: &Shares,
) -> Result<StepGradients> {
    let examples = batch.examples.iter().map(|index| &task.examples[*index]);
    let anchors = batch
        .anchors
        .iter()
        .map(|index| &task.anchors.replies[*index]);
    let sequences: Vec<&[u32]> = examples
        .clone()
        .map(|example| example.tokens.as_slice())
        .chain(anchors.clone().map(|anchor| anchor.tokens.as_slice()))
        .collect();
    let (mut packed, places) = Packed::sharing(&sequences);
    for (example, place) in examples.zip(&places) {
        packed.learn(*place, example);
    }
    for target in &mut packed.targets {
        target.weight = shares.target as f32;
    }
    let mut replayed = Vec::new();
    for (anchor, place) in anchors.clone().zip(&places[batch.examples.len()..]) {
        replayed.extend(anchor.rows.iter().map(|&row| Target {
            row: place.row(row as usize),
            token: anchor.tokens[row as usize + 1],
            weight: shares.anchor as f32,
        }));
    }
    let retained = match task.anchors.kind {
        _ if replayed.is_empty() => Retained::Nothing,
        AnchorKind::Replay => Retained::Replayed(replayed),
        AnchorKind::Kl => {
            let teachers: Vec<&Tensor> = anchors.map(|anchor| &anchor.teacher).collect();
            Retained::Held {
                rows: replayed.iter().map(|target| target.row).collect(),
                teacher: Tensor::cat(&teachers, 0)?,
                weight: shares.anchor,
            }
        }
    };
    let learnt = task.engine.learn(&Lesson { packed, retained }, adapter)?;
    Ok(StepGradients {
        loss: learnt.loss,
        divergence: learnt.divergence,
        tokens: sequences.iter().map(|sequence| sequence.len()).sum(),
        gradients: learnt.gradients,
    })
}

fn add(sum: &mut AdapterGradients, more: AdapterGradients) -> Result<()> {
    for (name, gradient) in more {
        let total = match sum.remove(&name) {
            Some(before) => (before + gradient)?,
            None => gradient,
        };
        sum.insert(name, total);
    }
    Ok(())
}

fn norm(gradients: &Parameters) -> Result<f64> {
    let squares: Vec<f32> = gradients
        .par_iter()
        .map(|(_, gradient)| Ok(gradient.sqr()?.sum_all()?.to_scalar()?))
        .collect::<Result<_>>()?;
    // In the order of the names, however many threads there are.
    let sum = squares
        .iter()
        .fold(0.0, |sum, square| sum + f64::from(*square));
    Ok(sum.sqrt())
}

fn scaled(gradients: Parameters, factor: f64) -> Result<Parameters> {
    gradients
        .into_par_iter()
        .map(|(name, gradient)| Ok((name, (gradient * factor)?)))
        .collect()
}

/// Validation loss (nats a learnt token) of the method as it stands.
fn validate(
    task: &Task<'_>,
    method: &dyn Method,
    state: &mut Checkpoint,
    listener: &dyn Listener,
) -> Result<()> {
    let adapter = method.adapter()?;
    let (mut sum, mut count) = (0.0, 0);
    let mut packed = Packed::default();
    let share = task
        .group
        .share(task.validation.iter().map(|example| example.tokens.len()));
    let last = share.end;
    for index in share {
        packed.push(&task.validation[index]);
        let full = packed.tokens.len() >= task.hyperparameters.batch_tokens;
        if !full && index + 1 < last {
            continue;
        }
        let full = std::mem::take(&mut packed);
        sum += task.engine.loss(&full, &adapter)?;
        count += full.targets.len();
    }
    let mut numbers = [sum, count as f64];
    task.group.sum_doubles(&mut numbers)?;
    let loss = numbers[0] / numbers[1].max(1.0);
    let step = state.progress.step;
    let best = state
        .progress
        .validation
        .iter()
        .all(|(_, before)| loss < *before);
    state.progress.validation.push((step, loss));
    if best && task.hyperparameters.early_stopping.is_some() {
        state.best = Some(method.parameters().clone());
    }
    listener.on(Event::ValidationLoss { step, loss });
    Ok(())
}

/// Whether the last `patience` validations brought nothing better than one before them.
fn stops_early(settings: &Hyperparameters, progress: &Progress) -> bool {
    let Some(patience) = settings.early_stopping else {
        return false;
    };
    let losses: Vec<f64> = progress.validation.iter().map(|(_, loss)| *loss).collect();
    let Some(split) = losses
        .len()
        .checked_sub(patience)
        .filter(|split| *split > 0)
    else {
        return false;
    };
    let least = |part: &[f64]| part.iter().copied().fold(f64::INFINITY, f64::min);
    least(&losses[split..]) >= least(&losses[..split])
}

#[cfg(test)]
mod tests;

//! The order of everything a training run reads, decided before it starts.
//!
//! A step's batches follow from the seed and the step alone. Nothing random is left for the loop to
//! keep, so a resumed run reads what the uninterrupted one would have read.

use rand::seq::SliceRandom;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// One packed batch: which conversations it learns from, and which retained replies anchor it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Batch {
    /// Indices of training examples.
    pub examples: Vec<usize>,
    /// Indices of retained replies.
    pub anchors: Vec<usize>,
}

/// How long to train.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Span {
    /// Optimiser steps.
    Steps(usize),
    /// Passes over the data.
    Epochs(f64),
}

/// Every batch of every step.
#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    /// Batches of each step; their gradients are added.
    pub steps: Vec<Vec<Batch>>,
}

/// What the plan is made from.
#[derive(Clone, Copy, Debug)]
pub struct Order<'a> {
    /// Tokens of each training example.
    pub lengths: &'a [usize],
    /// Tokens of each retained reply with its prompt.
    pub anchor_lengths: &'a [usize],
    /// How long to train.
    pub span: Span,
    /// Most tokens of a batch; a longer conversation makes a batch of its own.
    pub batch_tokens: usize,
    /// Batches a step.
    pub accumulation: usize,
    /// Retained tokens read for each training token; 0 reads none.
    pub anchor_share: f64,
    /// Of the order.
    pub seed: u64,
}

impl Plan {
    /// Shuffles each pass anew and packs conversations in that order.
    pub fn new(order: &Order<'_>) -> Self {
        let mut batches = Vec::new();
        let wanted = match order.span {
            Span::Steps(steps) => steps * order.accumulation,
            Span::Epochs(_) => usize::MAX,
        };
        let passes = match order.span {
            Span::Steps(_) => f64::INFINITY,
            Span::Epochs(epochs) => epochs,
        };
        let mut pass = 0.0;
        while batches.len() < wanted && pass < passes && !order.lengths.is_empty() {
            let mut random = ChaCha8Rng::seed_from_u64(order.seed);
            random.set_stream(pass as u64);
            let mut indices: Vec<usize> = (0..order.lengths.len()).collect();
            indices.shuffle(&mut random);
            let part = (passes - pass).min(1.0);
            indices.truncate((indices.len() as f64 * part).ceil() as usize);
            batches.extend(pack(&indices, order));
            pass += 1.0;
        }
        batches.truncate(wanted);
        place_anchors(&mut batches, order);
        let steps = batches
            .chunks(order.accumulation.max(1))
            .map(<[Batch]>::to_vec)
            .collect();
        Self { steps }
    }
}

/// Whole conversations, in order, until the next one would not fit.
fn pack(indices: &[usize], order: &Order<'_>) -> Vec<Batch> {
    let mut batches: Vec<Batch> = Vec::new();
    let mut room = 0;
    for &index in indices {
        let length = order.lengths[index];
        if batches.is_empty() || length > room {
            batches.push(Batch::default());
            room = order.batch_tokens;
        }
        let last = batches.len() - 1;
        batches[last].examples.push(index);
        room = room.saturating_sub(length);
    }
    batches
}

/// Adds retained replies so that their tokens keep to their share as training goes on.
fn place_anchors(batches: &mut [Batch], order: &Order<'_>) {
    if order.anchor_share <= 0.0 || order.anchor_lengths.is_empty() {
        return;
    }
    let mut random = ChaCha8Rng::seed_from_u64(order.seed);
    random.set_stream(u64::MAX);
    let mut owed = 0.0;
    for batch in batches {
        let tokens: usize = batch
            .examples
            .iter()
            .map(|index| order.lengths[*index])
            .sum();
        owed += tokens as f64 * order.anchor_share;
        while owed > 0.0 {
            let index = random.random_range(0..order.anchor_lengths.len());
            batch.anchors.push(index);
            owed -= order.anchor_lengths[index].max(1) as f64;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn order<'a>(lengths: &'a [usize], span: Span, seed: u64) -> Order<'a> {
        Order {
            lengths,
            anchor_lengths: &[10, 20, 30],
            span,
            batch_tokens: 100,
            accumulation: 2,
            anchor_share: 0.1,
            seed,
        }
    }

    proptest! {
        #[test]
        fn one_epoch_reads_each_conversation_once_and_keeps_to_the_budget(
            lengths in prop::collection::vec(1usize..150, 1..60), seed in 0u64..1000,
        ) {
            let plan = Plan::new(&order(&lengths, Span::Epochs(1.0), seed));
            let mut seen: Vec<usize> = Vec::new();
            for batch in plan.steps.iter().flatten() {
                let tokens: usize = batch.examples.iter().map(|index| lengths[*index]).sum();
                prop_assert!(tokens <= 100 || batch.examples.len() == 1);
                seen.extend(&batch.examples);
            }
            seen.sort_unstable();
            prop_assert_eq!(seen, (0..lengths.len()).collect::<Vec<_>>());
        }

        #[test]
        fn a_longer_plan_begins_like_a_shorter_one(
            lengths in prop::collection::vec(1usize..150, 1..30), seed in 0u64..1000,
        ) {
            let short = Plan::new(&order(&lengths, Span::Steps(4), seed));
            let long = Plan::new(&order(&lengths, Span::Steps(9), seed));
            prop_assert_eq!(short.steps.len(), 4);
            prop_assert_eq!(&long.steps[..4], &short.steps[..]);
        }
    }
}

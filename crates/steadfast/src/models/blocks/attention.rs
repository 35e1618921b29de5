//! Causal grouped-query attention over packed sequences, each of which may go on from a cache or
//! from rows that several sequences of the batch share.
//!
//! Queries, keys and values lie side by side in one buffer [rows, (heads + 2·kv heads)·size],
//! already rotated. A query sees its sequence's cached keys and the rows of its own sequence up to
//! itself: never another sequence, and so there is nothing to mask but the diagonal block. With a
//! window it sees the last keys only; those that no query of a block sees are not multiplied with.
//! The forward keeps the log-sum-exp of each row of scores; the backward recomputes the
//! probabilities from it (Dao et al. 2022, arXiv:2205.14135).

use super::activation::capped;
use super::cache::LayerCache;
use super::lanes::{add_scaled, dot, exponentials, maximum, vectorized};
use super::product::{add_here, block, block_mut, set_here, whole};
use faer::MatRef;
use rayon::prelude::*;

mod backward;

pub use backward::{Outcome, backward};

/// Queries of one head scored together: their scores stay in the cache of one core.
const QUERIES: usize = 64;

/// How the columns of the shared buffer divide.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Heads {
    /// Query heads.
    pub query: usize,
    /// Key and value heads; each serves query/key_value query heads.
    pub key_value: usize,
    /// Width of a head.
    pub size: usize,
    /// Query, key and value of each head lie side by side, instead of all queries, all keys and all
    /// values; there are as many key heads as query heads then.
    pub interleaved: bool,
}

/// How a layer's queries weigh its keys.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Attention {
    /// How the columns divide.
    pub heads: Heads,
    /// What products of queries and keys are multiplied by.
    pub scale: f32,
    /// Scores are cap·tanh(score/cap).
    pub cap: Option<f32>,
    /// Most keys that a query sees, its own included.
    pub window: Option<usize>,
}

impl Attention {
    /// All keys, plain scores.
    pub fn plain(heads: Heads) -> Self {
        Self {
            heads,
            scale: 1.0 / (heads.size as f32).sqrt(),
            cap: None,
            window: None,
        }
    }

    /// The first key that the query at `position` sees.
    fn first_key(&self, position: usize) -> usize {
        self.window
            .map_or(0, |window| (position + 1).saturating_sub(window))
    }
}

impl Heads {
    /// Width of a row of queries, keys and values together.
    pub fn width(&self) -> usize {
        (self.query + 2 * self.key_value) * self.size
    }

    /// Width of a row of queries, and of the output.
    pub fn query_width(&self) -> usize {
        self.query * self.size
    }

    /// Query heads that share a key head.
    pub fn group(&self) -> usize {
        self.query / self.key_value
    }

    /// First column of a query head.
    pub fn query_column(&self, head: usize) -> usize {
        self.column(head, 0, head)
    }

    /// First column of a key head.
    pub fn key_column(&self, head: usize) -> usize {
        self.column(head, 1, self.query + head)
    }

    /// First column of a value head.
    pub fn value_column(&self, head: usize) -> usize {
        self.column(head, 2, self.query + self.key_value + head)
    }

    /// First column of a head that positions turn: the query heads, then the key heads.
    pub fn turned_column(&self, head: usize) -> usize {
        match head.checked_sub(self.query) {
            None => self.query_column(head),
            Some(key) => self.key_column(key),
        }
    }

    fn column(&self, head: usize, part: usize, apart: usize) -> usize {
        self.size
            * if self.interleaved {
                3 * head + part
            } else {
                apart
            }
    }
}

/// One sequence of the packed rows.
#[derive(Clone, Copy, Debug)]
pub struct Segment<'a> {
    /// Its number of rows; segments lie end to end.
    pub length: usize,
    /// What it goes on from.
    pub prefix: Prefix<'a>,
}

/// What a sequence goes on from.
#[derive(Clone, Copy, Debug)]
pub enum Prefix<'a> {
    /// Nothing.
    None,
    /// Keys and values of earlier passes.
    Cache(&'a LayerCache),
    /// Rows of the same shared buffer: the beginning of several sequences of the batch.
    Rows(&'a [f32]),
}

impl<'a> Prefix<'a> {
    fn length(self, heads: Heads) -> usize {
        match self {
            Self::None => 0,
            Self::Cache(cache) => cache.length(),
            Self::Rows(rows) => rows.len() / heads.width(),
        }
    }

    /// Keys of one head from the `first` on, [length − first, size], where there are any.
    fn keys(self, heads: Heads, head: usize, first: usize) -> Option<MatRef<'a, f32>> {
        self.part(heads, first, heads.key_column(head), |cache| {
            cache.keys_of(heads, head)
        })
    }

    /// Values of one head from the `first` on, [length − first, size], where there are any.
    fn values(self, heads: Heads, head: usize, first: usize) -> Option<MatRef<'a, f32>> {
        self.part(heads, first, heads.value_column(head), |cache| {
            cache.values_of(heads, head)
        })
    }

    fn part(
        self,
        heads: Heads,
        first: usize,
        column: usize,
        of_cache: impl Fn(&'a LayerCache) -> &'a [f32],
    ) -> Option<MatRef<'a, f32>> {
        let count = self.length(heads) - first;
        let (size, width) = (heads.size, heads.width());
        match self {
            _ if count == 0 => None,
            Self::None => None,
            Self::Cache(cache) => Some(whole(&of_cache(cache)[first * size..], count, size)),
            Self::Rows(rows) => Some(block(&rows[first * width..], count, width, column, size)),
        }
    }
}

/// Some consecutive queries of one segment, all heads.
struct Task<'a> {
    segment: Segment<'a>,
    /// The segment's rows of the shared buffer.
    rows: &'a [f32],
    /// First query, counted in the segment.
    first: usize,
    output: &'a mut [f32],
    log_sums: &'a mut [f32],
}

/// Writes the attention output [rows, heads·size] and the log-sum-exp of the scores [rows, heads].
pub fn forward(
    attention: &Attention,
    shared: &[f32],
    segments: &[Segment<'_>],
    output: &mut [f32],
    log_sums: &mut [f32],
) {
    let heads = attention.heads;
    let mut tasks = Vec::new();
    let (mut shared, mut output, mut log_sums) = (shared, output, log_sums);
    for &segment in segments {
        let (rows, rest) = shared.split_at(segment.length * heads.width());
        shared = rest;
        for first in (0..segment.length).step_by(QUERIES) {
            let count = QUERIES.min(segment.length - first);
            let (here, rest) = output.split_at_mut(count * heads.query_width());
            output = rest;
            let (sums_here, rest) = log_sums.split_at_mut(count * heads.query);
            log_sums = rest;
            tasks.push(Task {
                segment,
                rows,
                first,
                output: here,
                log_sums: sums_here,
            });
        }
    }
    tasks
        .into_par_iter()
        .for_each_init(Vec::new, |scores, task| {
            let single = task.output.len() == heads.query_width();
            match task.segment.prefix {
                Prefix::Cache(cache) if single => one_query(attention, task, Some(cache), scores),
                Prefix::None if single => one_query(attention, task, None, scores),
                _ => many_queries(attention, task, scores),
            }
        });
}

fn many_queries(attention: &Attention, task: Task<'_>, scores: &mut Vec<f32>) {
    let heads = attention.heads;
    let (size, width) = (heads.size, heads.width());
    let count = task.output.len() / heads.query_width();
    let all_before = task.segment.prefix.length(heads);
    // Keys that the window hides from every query of the block: some before, then some of its own.
    let hidden = attention.first_key(all_before + task.first);
    let skipped = hidden.min(all_before);
    let before = all_before - skipped;
    let first_own = hidden - skipped;
    let own = task.first + count - first_own;
    let own_rows = &task.rows[first_own * width..];
    let total = before + own;
    if scores.len() < count * total {
        scores.resize(count * total, 0.0);
    }
    let scores = &mut scores[..count * total];
    let mut inverse = [0.0f32; QUERIES];
    for head in 0..heads.query {
        let shared_head = head / heads.group();
        let queries = block(
            &task.rows[task.first * width..],
            count,
            width,
            heads.query_column(head),
            size,
        );
        if let Some(keys) = task.segment.prefix.keys(heads, shared_head, skipped) {
            set_here(
                block_mut(scores, count, total, 0, before),
                attention.scale,
                queries,
                keys.transpose(),
            );
        }
        set_here(
            block_mut(scores, count, total, before, own),
            attention.scale,
            queries,
            block(own_rows, own, width, heads.key_column(shared_head), size).transpose(),
        );
        vectorized(
            #[inline(always)]
            || {
                for (index, row) in scores.chunks_exact_mut(total).enumerate() {
                    let position = all_before + task.first + index;
                    let (row, unseen) = row.split_at_mut(position + 1 - hidden);
                    let (left, seen) = row.split_at_mut(attention.first_key(position) - hidden);
                    left.fill(0.0);
                    if let Some(cap) = attention.cap {
                        hold(seen, 1.0, cap);
                    }
                    let most = maximum(seen);
                    let sum = exponentials(seen, 1.0, most);
                    unseen.fill(0.0);
                    task.log_sums[index * heads.query + head] = most + sum.ln() as f32;
                    inverse[index] = (1.0 / sum) as f32;
                }
            },
        );
        set_here(
            block_mut(task.output, count, heads.query_width(), head * size, size),
            1.0,
            block(scores, count, total, before, own),
            block(own_rows, own, width, heads.value_column(shared_head), size),
        );
        if let Some(values) = task.segment.prefix.values(heads, shared_head, skipped) {
            add_here(
                block_mut(task.output, count, heads.query_width(), head * size, size),
                1.0,
                block(scores, count, total, 0, before),
                values,
            );
        }
        for (row, inverse) in task
            .output
            .chunks_exact_mut(heads.query_width())
            .zip(&inverse)
        {
            for value in &mut row[head * size..(head + 1) * size] {
                *value *= inverse;
            }
        }
    }
}

/// Scores of products x·scale, held within ±cap.
#[inline(always)]
fn hold(scores: &mut [f32], scale: f32, cap: f32) {
    for score in scores {
        *score = capped(*score * scale, cap).0;
    }
}

/// The step of generation: one query, for which plain loops beat a matrix product's packing.
fn one_query(
    attention: &Attention,
    task: Task<'_>,
    prefix: Option<&LayerCache>,
    scores: &mut Vec<f32>,
) {
    let heads = attention.heads;
    let (size, width) = (heads.size, heads.width());
    let all_before = prefix.map_or(0, LayerCache::length);
    let position = all_before + task.first;
    let hidden = attention.first_key(position);
    let skipped = hidden.min(all_before);
    let before = all_before - skipped;
    scores.clear();
    scores.resize(position + 1 - hidden, 0.0);
    let query_row = &task.rows[task.first * width..];
    let own_rows = &task.rows[(hidden - skipped) * width..];
    vectorized(
        #[inline(always)]
        || {
            for head in 0..heads.query {
                let shared_head = head / heads.group();
                let query = &query_row[heads.query_column(head)..][..size];
                let (keys, values) = prefix.map_or((&[][..], &[][..]), |prefix| {
                    (
                        &prefix.keys_of(heads, shared_head)[skipped * size..],
                        &prefix.values_of(heads, shared_head)[skipped * size..],
                    )
                });
                let (cached_scores, own_scores) = scores.split_at_mut(before);
                for (score, key) in cached_scores.iter_mut().zip(keys.chunks_exact(size)) {
                    *score = dot(query, key);
                }
                for (score, row) in own_scores.iter_mut().zip(own_rows.chunks_exact(width)) {
                    *score = dot(query, &row[heads.key_column(shared_head)..][..size]);
                }
                let scale = match attention.cap {
                    None => attention.scale,
                    Some(cap) => {
                        hold(scores, attention.scale, cap);
                        1.0
                    }
                };
                let most = maximum(scores) * scale;
                let sum = exponentials(scores, scale, most);
                task.log_sums[head] = most + sum.ln() as f32;
                let inverse = (1.0 / sum) as f32;
                let output = &mut task.output[head * size..][..size];
                output.fill(0.0);
                let (cached_scores, own_scores) = scores.split_at(before);
                for (score, value) in cached_scores.iter().zip(values.chunks_exact(size)) {
                    add_scaled(output, score * inverse, value);
                }
                for (score, row) in own_scores.iter().zip(own_rows.chunks_exact(width)) {
                    let value = &row[heads.value_column(shared_head)..][..size];
                    add_scaled(output, score * inverse, value);
                }
            }
        },
    );
}

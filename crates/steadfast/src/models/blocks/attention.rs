//! Causal grouped-query attention over packed sequences, each of which may go on from a cache.
//!
//! Queries, keys and values lie side by side in one buffer [rows, (heads + 2·kv heads)·size],
//! already rotated. A query sees its sequence's cached keys and the rows of its own sequence up to
//! itself: never another sequence, and so there is nothing to mask but the diagonal block.
//! The forward keeps the log-sum-exp of each row of scores; the backward recomputes the
//! probabilities from it (Dao et al. 2022, arXiv:2205.14135).

use super::lanes::{add_scaled, dot, exponentials, maximum, vectorized};
use super::product::{add_here, block, block_mut, set_here, whole, whole_mut};
use rayon::prelude::*;

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

    fn group(&self) -> usize {
        self.query / self.key_value
    }

    fn key_column(&self, head: usize) -> usize {
        (self.query + head) * self.size
    }

    fn value_column(&self, head: usize) -> usize {
        (self.query + self.key_value + head) * self.size
    }

    fn scale(&self) -> f32 {
        1.0 / (self.size as f32).sqrt()
    }
}

/// Keys and values of one sequence at one layer, [kv heads, capacity, size] each.
#[derive(Clone, Debug)]
pub struct LayerCache {
    heads: Heads,
    keys: Vec<f32>,
    values: Vec<f32>,
    capacity: usize,
    length: usize,
}

impl LayerCache {
    /// Room for `capacity` tokens; it grows beyond when needed.
    pub fn new(heads: Heads, capacity: usize) -> Self {
        let floats = heads.key_value * capacity * heads.size;
        Self {
            heads,
            keys: vec![0.0; floats],
            values: vec![0.0; floats],
            capacity,
            length: 0,
        }
    }

    /// Tokens held.
    pub fn length(&self) -> usize {
        self.length
    }

    /// A copy with room for `capacity` tokens.
    pub fn with_capacity(&self, capacity: usize) -> Self {
        let capacity = capacity.max(self.length);
        let mut copy = Self::new(self.heads, capacity);
        let size = self.heads.size;
        let (old, new) = (self.capacity * size, capacity * size);
        let held = self.length * size;
        for head in 0..self.heads.key_value {
            copy.keys[head * new..][..held].copy_from_slice(&self.keys[head * old..][..held]);
            copy.values[head * new..][..held].copy_from_slice(&self.values[head * old..][..held]);
        }
        copy.length = self.length;
        copy
    }

    /// Appends the keys and values of `rows` (whole rows of the shared buffer).
    pub fn append(&mut self, heads: Heads, rows: &[f32]) {
        let count = rows.len() / heads.width();
        if self.length + count > self.capacity {
            *self = self.with_capacity((self.length + count).max(2 * self.capacity));
        }
        for (row, at) in rows.chunks_exact(heads.width()).zip(self.length..) {
            for head in 0..heads.key_value {
                let place = (head * self.capacity + at) * heads.size;
                self.keys[place..place + heads.size]
                    .copy_from_slice(&row[heads.key_column(head)..][..heads.size]);
                self.values[place..place + heads.size]
                    .copy_from_slice(&row[heads.value_column(head)..][..heads.size]);
            }
        }
        self.length += count;
    }

    fn keys_of(&self, heads: Heads, head: usize) -> &[f32] {
        &self.keys[head * self.capacity * heads.size..][..self.length * heads.size]
    }

    fn values_of(&self, heads: Heads, head: usize) -> &[f32] {
        &self.values[head * self.capacity * heads.size..][..self.length * heads.size]
    }
}

/// One sequence of the packed rows.
#[derive(Clone, Copy, Debug)]
pub struct Segment<'a> {
    /// Its number of rows; segments lie end to end.
    pub length: usize,
    /// What it goes on from.
    pub prefix: Option<&'a LayerCache>,
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
    heads: Heads,
    shared: &[f32],
    segments: &[Segment<'_>],
    output: &mut [f32],
    log_sums: &mut [f32],
) {
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
            if task.output.len() == heads.query_width() {
                one_query(heads, task, scores);
            } else {
                many_queries(heads, task, scores);
            }
        });
}

fn many_queries(heads: Heads, task: Task<'_>, scores: &mut Vec<f32>) {
    let (size, width) = (heads.size, heads.width());
    let count = task.output.len() / heads.query_width();
    let before = task.segment.prefix.map_or(0, LayerCache::length);
    let own = task.first + count;
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
            head * size,
            size,
        );
        if let Some(prefix) = task.segment.prefix.filter(|_| before > 0) {
            set_here(
                block_mut(scores, count, total, 0, before),
                heads.scale(),
                queries,
                whole(prefix.keys_of(heads, shared_head), before, size).transpose(),
            );
        }
        set_here(
            block_mut(scores, count, total, before, own),
            heads.scale(),
            queries,
            block(task.rows, own, width, heads.key_column(shared_head), size).transpose(),
        );
        vectorized(
            #[inline(always)]
            || {
                for (index, row) in scores.chunks_exact_mut(total).enumerate() {
                    let (seen, unseen) = row.split_at_mut(before + task.first + index + 1);
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
            block(task.rows, own, width, heads.value_column(shared_head), size),
        );
        if let Some(prefix) = task.segment.prefix.filter(|_| before > 0) {
            add_here(
                block_mut(task.output, count, heads.query_width(), head * size, size),
                1.0,
                block(scores, count, total, 0, before),
                whole(prefix.values_of(heads, shared_head), before, size),
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

/// The step of generation: one query, for which plain loops beat a matrix product's packing.
fn one_query(heads: Heads, task: Task<'_>, scores: &mut Vec<f32>) {
    let (size, width) = (heads.size, heads.width());
    let before = task.segment.prefix.map_or(0, LayerCache::length);
    scores.clear();
    scores.resize(before + task.first + 1, 0.0);
    let query_row = &task.rows[task.first * width..];
    vectorized(
        #[inline(always)]
        || {
            for head in 0..heads.query {
                let shared_head = head / heads.group();
                let query = &query_row[head * size..][..size];
                let (keys, values) = task.segment.prefix.map_or((&[][..], &[][..]), |prefix| {
                    (
                        prefix.keys_of(heads, shared_head),
                        prefix.values_of(heads, shared_head),
                    )
                });
                let (cached_scores, own_scores) = scores.split_at_mut(before);
                for (score, key) in cached_scores.iter_mut().zip(keys.chunks_exact(size)) {
                    *score = dot(query, key);
                }
                for (score, row) in own_scores.iter_mut().zip(task.rows.chunks_exact(width)) {
                    *score = dot(query, &row[heads.key_column(shared_head)..][..size]);
                }
                let scale = heads.scale();
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
                for (score, row) in own_scores.iter().zip(task.rows.chunks_exact(width)) {
                    let value = &row[heads.value_column(shared_head)..][..size];
                    add_scaled(output, score * inverse, value);
                }
            }
        },
    );
}

/// What the backward reads besides the shared buffer.
#[derive(Clone, Copy, Debug)]
pub struct Outcome<'a> {
    /// The forward's output [rows, heads·size].
    pub output: &'a [f32],
    /// The forward's log-sum-exps [rows, heads].
    pub log_sums: &'a [f32],
    /// The gradient of the output [rows, heads·size].
    pub gradient: &'a [f32],
}

/// Writes the gradient of the shared buffer [rows, width]; segments are given by length, since
/// nothing that trains goes on from a cache.
pub fn backward(
    heads: Heads,
    shared: &[f32],
    lengths: &[usize],
    outcome: Outcome<'_>,
    gradient: &mut [f32],
) {
    let mut tasks = Vec::new();
    let mut start = 0;
    for &length in lengths {
        tasks.extend((0..heads.key_value).map(|head| (start, length, head)));
        start += length;
    }
    let results: Vec<Vec<f32>> = tasks
        .par_iter()
        .map(|&(start, length, head)| {
            let rows = start..start + length;
            let within = |data, width: usize| -> &[f32] {
                let data: &[f32] = data;
                &data[rows.start * width..rows.end * width]
            };
            let outcome = Outcome {
                output: within(outcome.output, heads.query_width()),
                log_sums: within(outcome.log_sums, heads.query),
                gradient: within(outcome.gradient, heads.query_width()),
            };
            backward_of_group(heads, within(shared, heads.width()), head, outcome)
        })
        .collect();
    let (size, group) = (heads.size, heads.group());
    let width = (group + 2) * size;
    let mut rest = gradient;
    for (of_segment, &length) in results.chunks(heads.key_value).zip(lengths) {
        let (here, after) = rest.split_at_mut(length * heads.width());
        rest = after;
        here.par_chunks_exact_mut(heads.width())
            .enumerate()
            .with_min_len(QUERIES)
            .for_each(|(index, row)| {
                for (head, result) in of_segment.iter().enumerate() {
                    let result = &result[index * width..][..width];
                    let (queries, key_value) = result.split_at(group * size);
                    row[head * group * size..][..group * size].copy_from_slice(queries);
                    row[heads.key_column(head)..][..size].copy_from_slice(&key_value[..size]);
                    row[heads.value_column(head)..][..size].copy_from_slice(&key_value[size..]);
                }
            });
    }
}

/// Gradients [length, (group + 2)·size] of one segment's queries of a group, its key and its value.
///
/// With S = scale·Q·Kᵀ, P = exp(S − lse), O = P·V and D = rowsum(∂O∘O):
/// ∂V = Pᵀ·∂O, ∂S = scale·P∘(∂O·Vᵀ − D), ∂Q = ∂S·K, ∂K = ∂Sᵀ·Q.
fn backward_of_group(
    heads: Heads,
    shared: &[f32],
    shared_head: usize,
    outcome: Outcome<'_>,
) -> Vec<f32> {
    let (size, width, group) = (heads.size, heads.width(), heads.group());
    let length = shared.len() / width;
    let query_width = heads.query_width();
    let result_width = (group + 2) * size;
    let mut result = vec![0.0f32; length * result_width];
    let mut probabilities = vec![0.0f32; QUERIES.min(length) * length];
    let mut differences = vec![0.0f32; QUERIES.min(length) * length];
    for in_group in 0..group {
        let head = shared_head * group + in_group;
        for first in (0..length).step_by(QUERIES) {
            let count = QUERIES.min(length - first);
            let seen = first + count;
            let queries = block(&shared[first * width..], count, width, head * size, size);
            let keys = block(shared, seen, width, heads.key_column(shared_head), size);
            let values = block(shared, seen, width, heads.value_column(shared_head), size);
            let gradient = block(
                &outcome.gradient[first * query_width..],
                count,
                query_width,
                head * size,
                size,
            );
            let probabilities = &mut probabilities[..count * seen];
            let differences = &mut differences[..count * seen];
            set_here(
                whole_mut(probabilities, count, seen),
                heads.scale(),
                queries,
                keys.transpose(),
            );
            set_here(
                whole_mut(differences, count, seen),
                1.0,
                gradient,
                values.transpose(),
            );
            vectorized(
                #[inline(always)]
                || {
                    for (index, (probabilities, differences)) in probabilities
                        .chunks_exact_mut(seen)
                        .zip(differences.chunks_exact_mut(seen))
                        .enumerate()
                    {
                        let row = first + index;
                        let place = row * query_width + head * size;
                        let along = dot(
                            &outcome.output[place..place + size],
                            &outcome.gradient[place..place + size],
                        );
                        let visible = row + 1;
                        let log_sum = outcome.log_sums[row * heads.query + head];
                        exponentials(&mut probabilities[..visible], 1.0, log_sum);
                        probabilities[visible..].fill(0.0);
                        differences[visible..].fill(0.0);
                        let scale = heads.scale();
                        for (difference, probability) in differences[..visible]
                            .iter_mut()
                            .zip(&probabilities[..visible])
                        {
                            *difference = scale * probability * (*difference - along);
                        }
                    }
                },
            );
            let differences = whole(differences, count, seen);
            let probabilities = whole(probabilities, count, seen);
            let place = |row: usize,
                         column: usize,
                         rows: usize,
                         data: &mut [f32],
                         left,
                         right,
                         adding: bool| {
                let target = block_mut(
                    &mut data[row * result_width..],
                    rows,
                    result_width,
                    column * size,
                    size,
                );
                let product = if adding { add_here } else { set_here };
                product(target, 1.0, left, right);
            };
            place(
                first,
                in_group,
                count,
                &mut result,
                differences,
                keys,
                false,
            );
            place(
                0,
                group,
                seen,
                &mut result,
                differences.transpose(),
                queries,
                true,
            );
            place(
                0,
                group + 1,
                seen,
                &mut result,
                probabilities.transpose(),
                gradient,
                true,
            );
        }
    }
    result
}

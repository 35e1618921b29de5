//! Causal grouped-query attention over packed sequences, each of which may go on from a cache or
//! from rows that several sequences of the batch share.
//!
//! Queries, keys and values lie side by side in one buffer [rows, (heads + 2·kv heads)·size],
//! already rotated. A query sees its sequence's cached keys and the rows of its own sequence up to
//! itself: never another sequence, and so there is nothing to mask but the diagonal block.
//! The forward keeps the log-sum-exp of each row of scores; the backward recomputes the
//! probabilities from it (Dao et al. 2022, arXiv:2205.14135).

use super::cache::LayerCache;
use super::lanes::{add_scaled, dot, exponentials, maximum, vectorized};
use super::product::{add_here, block, block_mut, set_here, whole};
use crate::conversations::packing::Beginning;
use faer::MatRef;
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

    /// Query heads that share a key head.
    pub fn group(&self) -> usize {
        self.query / self.key_value
    }

    /// First column of a key head.
    pub fn key_column(&self, head: usize) -> usize {
        (self.query + head) * self.size
    }

    /// First column of a value head.
    pub fn value_column(&self, head: usize) -> usize {
        (self.query + self.key_value + head) * self.size
    }

    /// What products of queries and keys are multiplied by.
    pub fn scale(&self) -> f32 {
        1.0 / (self.size as f32).sqrt()
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

    /// Keys of one head [length, size], where there are any.
    fn keys(self, heads: Heads, head: usize) -> Option<MatRef<'a, f32>> {
        self.part(heads, heads.key_column(head), |cache| {
            cache.keys_of(heads, head)
        })
    }

    /// Values of one head [length, size], where there are any.
    fn values(self, heads: Heads, head: usize) -> Option<MatRef<'a, f32>> {
        self.part(heads, heads.value_column(head), |cache| {
            cache.values_of(heads, head)
        })
    }

    fn part(
        self,
        heads: Heads,
        column: usize,
        of_cache: impl Fn(&'a LayerCache) -> &'a [f32],
    ) -> Option<MatRef<'a, f32>> {
        let length = self.length(heads);
        match self {
            _ if length == 0 => None,
            Self::None => None,
            Self::Cache(cache) => Some(whole(of_cache(cache), length, heads.size)),
            Self::Rows(rows) => Some(block(rows, length, heads.width(), column, heads.size)),
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
            let single = task.output.len() == heads.query_width();
            match task.segment.prefix {
                Prefix::Cache(cache) if single => one_query(heads, task, Some(cache), scores),
                Prefix::None if single => one_query(heads, task, None, scores),
                _ => many_queries(heads, task, scores),
            }
        });
}

fn many_queries(heads: Heads, task: Task<'_>, scores: &mut Vec<f32>) {
    let (size, width) = (heads.size, heads.width());
    let count = task.output.len() / heads.query_width();
    let before = task.segment.prefix.length(heads);
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
        if let Some(keys) = task.segment.prefix.keys(heads, shared_head) {
            set_here(
                block_mut(scores, count, total, 0, before),
                heads.scale(),
                queries,
                keys.transpose(),
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
        if let Some(values) = task.segment.prefix.values(heads, shared_head) {
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

/// The step of generation: one query, for which plain loops beat a matrix product's packing.
fn one_query(heads: Heads, task: Task<'_>, prefix: Option<&LayerCache>, scores: &mut Vec<f32>) {
    let (size, width) = (heads.size, heads.width());
    let before = prefix.map_or(0, LayerCache::length);
    scores.clear();
    scores.resize(before + task.first + 1, 0.0);
    let query_row = &task.rows[task.first * width..];
    vectorized(
        #[inline(always)]
        || {
            for head in 0..heads.query {
                let shared_head = head / heads.group();
                let query = &query_row[head * size..][..size];
                let (keys, values) = prefix.map_or((&[][..], &[][..]), |prefix| {
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

/// Writes the gradient of the shared buffer [rows, width]. Segments are given by length, since
/// nothing that trains goes on from a cache; some go on from `beginning`.
pub fn backward(
    heads: Heads,
    shared: &[f32],
    lengths: &[usize],
    beginning: Beginning,
    outcome: Outcome<'_>,
    gradient: &mut [f32],
) {
    let mut tasks = Vec::new();
    let mut start = 0;
    for (index, &length) in lengths.iter().enumerate() {
        let before = beginning.before(index);
        tasks.extend((0..heads.key_value).map(|head| (start, length, before, head)));
        start += length;
    }
    let results: Vec<GroupGradient> = tasks
        .par_iter()
        .map(|&(start, length, before, head)| {
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
            Group {
                heads,
                head,
                before: &shared[..before * heads.width()],
                own: within(shared, heads.width()),
                outcome,
            }
            .backward()
        })
        .collect();
    let (size, group) = (heads.size, heads.group());
    let width = (group + 2) * size;
    let mut rest = &mut *gradient;
    for (of_segment, &length) in results.chunks(heads.key_value).zip(lengths) {
        let (here, after) = rest.split_at_mut(length * heads.width());
        rest = after;
        here.par_chunks_exact_mut(heads.width())
            .enumerate()
            .with_min_len(QUERIES)
            .for_each(|(index, row)| {
                for (head, result) in of_segment.iter().enumerate() {
                    let result = &result.own[index * width..][..width];
                    let (queries, key_value) = result.split_at(group * size);
                    row[head * group * size..][..group * size].copy_from_slice(queries);
                    row[heads.key_column(head)..][..size].copy_from_slice(&key_value[..size]);
                    row[heads.value_column(head)..][..size].copy_from_slice(&key_value[size..]);
                }
            });
    }
    for (index, result) in results.iter().enumerate() {
        let head = index % heads.key_value;
        let rows = result.before.chunks_exact(2 * size);
        for (row, result) in gradient.chunks_exact_mut(heads.width()).zip(rows) {
            let (keys, values) = result.split_at(size);
            add_scaled(&mut row[heads.key_column(head)..][..size], 1.0, keys);
            add_scaled(&mut row[heads.value_column(head)..][..size], 1.0, values);
        }
    }
}

/// The query heads of one segment that share a key and value head.
struct Group<'a> {
    heads: Heads,
    /// The key and value head.
    head: usize,
    /// Rows of the shared buffer that the segment goes on from.
    before: &'a [f32],
    /// Its own rows.
    own: &'a [f32],
    outcome: Outcome<'a>,
}

/// What a group adds to the gradient of the shared buffer.
struct GroupGradient {
    /// Queries, key and value of its own rows, [length, (group + 2)·size].
    own: Vec<f32>,
    /// Key and value of the rows before, [before, 2·size].
    before: Vec<f32>,
}

impl Group<'_> {
    /// With S = scale·Q·Kᵀ, P = exp(S − lse), O = P·V and D = rowsum(∂O∘O):
    /// ∂V = Pᵀ·∂O, ∂S = scale·P∘(∂O·Vᵀ − D), ∂Q = ∂S·K, ∂K = ∂Sᵀ·Q.
    fn backward(&self) -> GroupGradient {
        let heads = self.heads;
        let (size, width, group) = (heads.size, heads.width(), heads.group());
        let (before, length) = (self.before.len() / width, self.own.len() / width);
        let (key, value) = (heads.key_column(self.head), heads.value_column(self.head));
        let query_width = heads.query_width();
        let own_width = (group + 2) * size;
        let mut result = GroupGradient {
            own: vec![0.0f32; length * own_width],
            before: vec![0.0f32; before * 2 * size],
        };
        let most = QUERIES.min(length) * (before + length);
        let mut probabilities = vec![0.0f32; most];
        let mut differences = vec![0.0f32; most];
        for in_group in 0..group {
            let head = self.head * group + in_group;
            for first in (0..length).step_by(QUERIES) {
                let count = QUERIES.min(length - first);
                let seen = first + count;
                let total = before + seen;
                let rows_from = |data, width| -> MatRef<'_, f32> {
                    let data: &[f32] = data;
                    block(&data[first * width..], count, width, head * size, size)
                };
                let queries = rows_from(self.own, width);
                let gradient = rows_from(self.outcome.gradient, query_width);
                let probabilities = &mut probabilities[..count * total];
                let differences = &mut differences[..count * total];
                // The keys and values of the rows before stand in the first columns.
                for (rows, column, count_of) in [(self.before, 0, before), (self.own, before, seen)]
                {
                    if count_of == 0 {
                        continue;
                    }
                    set_here(
                        block_mut(probabilities, count, total, column, count_of),
                        heads.scale(),
                        queries,
                        block(rows, count_of, width, key, size).transpose(),
                    );
                    set_here(
                        block_mut(differences, count, total, column, count_of),
                        1.0,
                        gradient,
                        block(rows, count_of, width, value, size).transpose(),
                    );
                }
                self.pull_through_softmax(head, first, before, probabilities, differences);
                let of_queries = first * own_width;
                for (rows, column, count_of) in [(self.before, 0, before), (self.own, before, seen)]
                {
                    if count_of == 0 {
                        continue;
                    }
                    let differences = block(differences, count, total, column, count_of);
                    let probabilities = block(probabilities, count, total, column, count_of);
                    add_here(
                        block_mut(
                            &mut result.own[of_queries..],
                            count,
                            own_width,
                            in_group * size,
                            size,
                        ),
                        1.0,
                        differences,
                        block(rows, count_of, width, key, size),
                    );
                    let (to, stride, place) = if column < before {
                        (&mut result.before, 2 * size, 0)
                    } else {
                        (&mut result.own, own_width, group * size)
                    };
                    add_here(
                        block_mut(to, count_of, stride, place, size),
                        1.0,
                        differences.transpose(),
                        queries,
                    );
                    add_here(
                        block_mut(to, count_of, stride, place + size, size),
                        1.0,
                        probabilities.transpose(),
                        gradient,
                    );
                }
            }
        }
        result
    }

    /// Turns scores into probabilities and the gradients of probabilities into those of scores, both
    /// [queries, before + own keys], with nothing where a query does not see.
    fn pull_through_softmax(
        &self,
        head: usize,
        first: usize,
        before: usize,
        probabilities: &mut [f32],
        differences: &mut [f32],
    ) {
        let heads = self.heads;
        let length = self.own.len() / heads.width();
        let total = before + QUERIES.min(length - first) + first;
        vectorized(
            #[inline(always)]
            || {
                for (index, (probabilities, differences)) in probabilities
                    .chunks_exact_mut(total)
                    .zip(differences.chunks_exact_mut(total))
                    .enumerate()
                {
                    let row = first + index;
                    let place = row * heads.query_width() + head * heads.size;
                    let along = dot(
                        &self.outcome.output[place..place + heads.size],
                        &self.outcome.gradient[place..place + heads.size],
                    );
                    let visible = before + row + 1;
                    let log_sum = self.outcome.log_sums[row * heads.query + head];
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
    }
}

//! The backward of attention: probabilities are computed anew from the forward's log-sum-exps.

use super::super::activation::capped;
use super::super::lanes::{add_scaled, dot, exponentials, vectorized};
use super::super::product::{add_here, block, block_mut, set_here};
use super::{Attention, QUERIES};
use crate::conversations::packing::Beginning;
use faer::MatRef;
use rayon::prelude::*;

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
    attention: &Attention,
    shared: &[f32],
    lengths: &[usize],
    beginning: Beginning,
    outcome: Outcome<'_>,
    gradient: &mut [f32],
) {
    let heads = attention.heads;
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
                attention,
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
                    // Those of a group are neighbours, also where a group is one query.
                    row[heads.query_column(head * group)..][..group * size]
                        .copy_from_slice(queries);
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
    attention: &'a Attention,
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
        let heads = self.attention.heads;
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
                // As in the forward: keys that no query of the block sees are left out.
                let hidden = self.attention.first_key(before + first);
                let skipped = hidden.min(before);
                let (seen_before, first_own) = (before - skipped, hidden - skipped);
                let seen = first + count - first_own;
                let total = seen_before + seen;
                let rows_from = |data, width, column| -> MatRef<'_, f32> {
                    let data: &[f32] = data;
                    block(&data[first * width..], count, width, column, size)
                };
                let queries = rows_from(self.own, width, heads.query_column(head));
                let gradient = rows_from(self.outcome.gradient, query_width, head * size);
                let probabilities = &mut probabilities[..count * total];
                let differences = &mut differences[..count * total];
                // The keys and values of the rows before stand in the first columns.
                let sides = [
                    (&self.before[skipped * width..], 0, seen_before),
                    (&self.own[first_own * width..], seen_before, seen),
                ];
                for (rows, column, count_of) in sides {
                    if count_of == 0 {
                        continue;
                    }
                    set_here(
                        block_mut(probabilities, count, total, column, count_of),
                        self.attention.scale,
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
                self.pull_through_softmax(head, first, total, probabilities, differences);
                let of_queries = first * own_width;
                for (side, (rows, column, count_of)) in sides.into_iter().enumerate() {
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
                    let (to, stride, place) = if side == 0 {
                        let from = skipped * 2 * size;
                        (&mut result.before[from..], 2 * size, 0)
                    } else {
                        let from = first_own * own_width;
                        (&mut result.own[from..], own_width, group * size)
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
    /// [queries, keys of the block], with nothing where a query does not see.
    fn pull_through_softmax(
        &self,
        head: usize,
        first: usize,
        total: usize,
        probabilities: &mut [f32],
        differences: &mut [f32],
    ) {
        let heads = self.attention.heads;
        let before = self.before.len() / heads.width();
        let hidden = self.attention.first_key(before + first);
        let scale = self.attention.scale;
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
                    let mut along = dot(
                        &self.outcome.output[place..place + heads.size],
                        &self.outcome.gradient[place..place + heads.size],
                    );
                    let position = before + row;
                    let visible = position + 1 - hidden;
                    let unseen = self.attention.first_key(position) - hidden;
                    let log_sum = self.outcome.log_sums[row * heads.query + head];
                    for values in [&mut *probabilities, &mut *differences] {
                        values[..unseen].fill(0.0);
                        values[visible..].fill(0.0);
                    }
                    let probabilities = &mut probabilities[unseen..visible];
                    let differences = &mut differences[unseen..visible];
                    if let Some(cap) = self.attention.cap {
                        // What lies behind the cap takes its slope into the difference.
                        for (score, difference) in probabilities.iter_mut().zip(&mut *differences) {
                            let (held, slope) = capped(*score, cap);
                            *score = held;
                            *difference = (*difference - along) * slope;
                        }
                        along = 0.0;
                    }
                    exponentials(probabilities, 1.0, log_sum);
                    for (difference, probability) in differences.iter_mut().zip(&*probabilities) {
                        *difference = scale * probability * (*difference - along);
                    }
                }
            },
        );
    }
}

//! Causal grouped-query attention over packed sequences, as [`crate::models::blocks::attention`].
//!
//! Neighbouring sequences of equal length go together; queries go in blocks, so that scores never
//! take more than [`QUERIES`] rows a head and sequence, however long the sequence is. The backward
//! computes the scores and their shares anew.

use super::fused::{Fused, sum};
use super::product::product;
use super::rotary::Angles;
use crate::conversations::packing::Beginning;
use crate::models::blocks::attention::{Attention, Heads};
use crate::models::blocks::rotary::Turn;
use crate::{Error, Result};
use candle_core::{DType, Tensor};

/// Most queries of a head and sequence that are scored together.
pub const QUERIES: usize = 512;

/// Neighbouring sequences of one length that go on from the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Run {
    /// Its first row.
    start: usize,
    sequences: usize,
    /// Rows of each sequence.
    length: usize,
    /// Rows of the batch, from the first on, that each goes on from.
    before: usize,
}

/// Some consecutive queries of each sequence of a run.
#[derive(Clone, Copy)]
struct Block {
    start: usize,
    rows: usize,
    /// Keys that its last query sees.
    seen: usize,
}

/// How the rows of a batch attend to each other.
#[derive(Debug)]
pub struct Plan {
    heads: Heads,
    runs: Vec<Run>,
    /// Most queries of a block.
    queries: usize,
}

/// What backward needs.
#[derive(Debug)]
pub struct Kept {
    /// Rotated queries and keys, and values, [rows, heads, size].
    shared: Tensor,
    /// [rows, query width]
    output: Tensor,
}

impl Run {
    fn blocks(self, queries: usize) -> impl Iterator<Item = Block> {
        (0..self.length).step_by(queries).map(move |start| {
            let rows = queries.min(self.length - start);
            Block {
                start,
                rows,
                seen: self.before + start + rows,
            }
        })
    }

    /// The run's rows of `x` [rows, heads, size], as [sequences, heads, length, size], uncopied.
    fn rows_of(self, x: &Tensor) -> Result<Tensor> {
        let (_, heads, size) = x.dims3()?;
        let own = x.narrow(0, self.start, self.sequences * self.length)?;
        let own = own.reshape((self.sequences, self.length, heads, size))?;
        Ok(own.transpose(1, 2)?)
    }

    /// Some heads of the keys or values that the run sees, [sequences·heads, before + length, size].
    fn seen(self, shared: &Tensor, first: usize, heads: usize) -> Result<Tensor> {
        let own = self
            .rows_of(shared)?
            .narrow(1, first, heads)?
            .contiguous()?;
        let (_, _, _, size) = own.dims4()?;
        let all = if self.before == 0 {
            own
        } else {
            let before = shared.narrow(0, 0, self.before)?.narrow(1, first, heads)?;
            let before = before.transpose(0, 1)?.unsqueeze(0)?;
            let before = before
                .broadcast_as((self.sequences, heads, self.before, size))?
                .contiguous()?;
            Tensor::cat(&[before, own], 2)?
        };
        Ok(all.reshape((self.sequences * heads, self.before + self.length, size))?)
    }
}

/// The block's rows of `x` [sequences, query heads, length, size], those of the query heads that
/// share a key head below one another: [sequences·key heads, group·rows, size].
fn grouped(x: &Tensor, block: Block, heads: Heads) -> Result<Tensor> {
    let x = x.narrow(2, block.start, block.rows)?.contiguous()?;
    let (sequences, _, rows, size) = x.dims4()?;
    Ok(x.reshape((sequences * heads.key_value, heads.group() * rows, size))?)
}

/// Undoes [`grouped`].
fn ungrouped(x: &Tensor, run: Run, block: Block, heads: Heads) -> Result<Tensor> {
    Ok(x.reshape((run.sequences, heads.query, block.rows, x.dim(2)?))?)
}

/// [sequences, heads, length, size] as rows again, [sequences·length, heads, size].
fn as_rows(x: &Tensor) -> Result<Tensor> {
    let (sequences, heads, length, size) = x.dims4()?;
    let rows = x.transpose(1, 2)?.contiguous()?;
    Ok(rows.reshape((sequences * length, heads, size))?)
}

fn plus(sum: Option<Tensor>, more: Tensor) -> Result<Option<Tensor>> {
    Ok(Some(match sum {
        Some(sum) => (sum + more)?,
        None => more,
    }))
}

impl Plan {
    /// For sequences of these lengths, the first of which go on from `beginning`; blocks of at most
    /// `queries` queries ([`QUERIES`], but for tests).
    pub fn new(heads: Heads, lengths: &[usize], beginning: Beginning, queries: usize) -> Self {
        let mut runs: Vec<Run> = Vec::new();
        let mut start = 0;
        for (index, &length) in lengths.iter().enumerate() {
            let before = beginning.before(index);
            match runs.last_mut() {
                Some(run) if (run.length, run.before) == (length, before) => run.sequences += 1,
                _ => runs.push(Run {
                    start,
                    sequences: 1,
                    length,
                    before,
                }),
            }
            start += length;
        }
        Self {
            heads,
            runs,
            queries,
        }
    }

    /// What a block's queries take of each key, [.., group·rows, seen].
    fn shares(&self, queries: &Tensor, keys: &Tensor, block: Block) -> Result<Tensor> {
        let scores = product(queries, &keys.transpose(1, 2)?)?;
        attend(&scores, block.rows, block.seen - block.rows)?;
        Ok(scores)
    }

    fn scale(&self) -> f64 {
        f64::from(Attention::plain(self.heads).scale)
    }

    /// The output [rows, query width] for queries, keys and values [rows, width], not yet rotated.
    pub fn forward(&self, shared: &Tensor, angles: &Angles) -> Result<Kept> {
        let Heads {
            query,
            key_value,
            size,
            ..
        } = self.heads;
        let rows = shared.dim(0)?;
        let shared = shared.reshape((rows, query + 2 * key_value, size))?;
        let shared = angles.apply(&shared, query + key_value, Turn::Forth)?;
        let mut outputs = Vec::new();
        for run in &self.runs {
            let queries = run.rows_of(&shared)?.narrow(1, 0, query)?;
            let keys = run.seen(&shared, query, key_value)?;
            let values = run.seen(&shared, query + key_value, key_value)?;
            let mut blocks = Vec::new();
            for block in run.blocks(self.queries) {
                let queries = (grouped(&queries, block, self.heads)? * self.scale())?;
                let shares = self.shares(&queries, &keys.narrow(1, 0, block.seen)?, block)?;
                let mixed = product(&shares, &values.narrow(1, 0, block.seen)?)?;
                blocks.push(ungrouped(&mixed, *run, block, self.heads)?);
            }
            outputs.push(as_rows(&Tensor::cat(&blocks, 2)?)?);
        }
        let output = Tensor::cat(&outputs, 0)?.reshape((rows, query * size))?;
        Ok(Kept { shared, output })
    }

    /// The gradient of what [`Self::forward`] was given [rows, width] from that of its output.
    pub fn backward(&self, kept: Kept, gradient: &Tensor, angles: &Angles) -> Result<Tensor> {
        let Heads {
            query,
            key_value,
            size,
            ..
        } = self.heads;
        let (rows, _) = gradient.dims2()?;
        let gradient = gradient.reshape((rows, query, size))?;
        let (mut parts, mut of_beginning) = (Vec::new(), None);
        for run in &self.runs {
            let queries = run.rows_of(&kept.shared)?.narrow(1, 0, query)?;
            let keys = run.seen(&kept.shared, query, key_value)?;
            let values = run.seen(&kept.shared, query + key_value, key_value)?;
            let gradient = run.rows_of(&gradient)?;
            let total = run.before + run.length;
            let mut of_queries = Vec::new();
            let (mut of_keys, mut of_values) = (None, None);
            for block in run.blocks(self.queries) {
                let queries = (grouped(&queries, block, self.heads)? * self.scale())?;
                let gradient = grouped(&gradient, block, self.heads)?;
                let keys = keys.narrow(1, 0, block.seen)?;
                let values = values.narrow(1, 0, block.seen)?;
                let shares = self.shares(&queries, &keys, block)?;
                let widened = |part: Tensor| part.pad_with_zeros(1, 0, total - block.seen);
                let of_value = product(&shares.transpose(1, 2)?, &gradient)?;
                of_values = plus(of_values, widened(of_value)?)?;
                let of_scores = product(&gradient, &values.transpose(1, 2)?)?;
                attend_backward(&of_scores, &shares)?;
                let of_key = product(&of_scores.transpose(1, 2)?, &queries)?;
                of_keys = plus(of_keys, widened(of_key)?)?;
                let of_query = (product(&of_scores, &keys)? * self.scale())?;
                of_queries.push(ungrouped(&of_query, *run, block, self.heads)?);
            }
            let (Some(of_keys), Some(of_values)) = (of_keys, of_values) else {
                continue;
            };
            let by_sequence = (run.sequences, key_value, total, size);
            let both = [
                of_keys.reshape(by_sequence)?,
                of_values.reshape(by_sequence)?,
            ];
            let both = Tensor::cat(&both, 1)?;
            if run.before > 0 {
                let before = both.narrow(2, 0, run.before)?.sum(0)?;
                of_beginning = plus(of_beginning, before.transpose(0, 1)?.contiguous()?)?;
            }
            let own = both.narrow(2, run.before, run.length)?;
            let of_queries = as_rows(&Tensor::cat(&of_queries, 2)?)?;
            parts.push(Tensor::cat(&[of_queries, as_rows(&own)?], 1)?);
        }
        // The beginning is the first sequence, and a run of its own: none before it goes on from it.
        if let (Some(more), Some(first)) = (of_beginning, parts.first_mut()) {
            let (count, _, _) = more.dims3()?;
            let none = Tensor::zeros((count, query, size), DType::F32, more.device())?;
            *first = (&*first + Tensor::cat(&[none, more], 1)?)?;
        }
        let turned = angles.apply(&Tensor::cat(&parts, 0)?, query + key_value, Turn::Back)?;
        Ok(turned.reshape((rows, self.heads.width()))?)
    }
}

impl Kept {
    /// The attention's output [rows, query width].
    pub fn output(&self) -> &Tensor {
        &self.output
    }
}

/// Turns scores [stacks, rows, seen] into shares: each row's softmax over the keys that its query
/// may see. The rows are those of `queries` queries, several times over; the first of them sees
/// `before` keys and the one at its own place, each next one key more.
pub(super) fn attend(scores: &Tensor, queries: usize, before: usize) -> Result<()> {
    let (stacks, rows, seen) = scores.dims3()?;
    if before + queries > seen || rows % queries != 0 {
        return Err(Error::bug("queries that see more keys than there are"));
    }
    let plain = |scores: &mut [f32], _: &[&[f32]]| {
        for (row, scores) in scores.chunks_exact_mut(seen).enumerate() {
            let (visible, hidden) = scores.split_at_mut(before + row % queries + 1);
            let most = visible.iter().copied().fold(f32::NEG_INFINITY, f32::max);
            for score in &mut *visible {
                *score = (*score - most).exp();
            }
            let inverse = 1.0 / sum(visible.iter().copied());
            for share in visible {
                *share *= inverse;
            }
            hidden.fill(0.0);
        }
    };
    Fused {
        name: "attend",
        shape: (stacks, rows, seen).into(),
        rows: stacks * rows,
        sizes: vec![seen, queries, before],
        numbers: Vec::new(),
        plain,
    }
    .change(scores, &[])
}

/// Turns the gradient of [`attend`]'s shares into that of its scores.
///
/// With shares p and their gradient g, both of a row: p∘(g − Σ p∘g).
pub(super) fn attend_backward(gradient: &Tensor, shares: &Tensor) -> Result<()> {
    let (stacks, rows, seen) = shares.dims3()?;
    let plain = |gradient: &mut [f32], sources: &[&[f32]]| {
        let shares = sources[0].chunks_exact(seen);
        for (gradient, shares) in gradient.chunks_exact_mut(seen).zip(shares) {
            let along = sum(gradient.iter().zip(shares).map(|(one, other)| one * other));
            for (gradient, share) in gradient.iter_mut().zip(shares) {
                *gradient = share * (*gradient - along);
            }
        }
    };
    Fused {
        name: "attend_backward",
        shape: (stacks, rows, seen).into(),
        rows: stacks * rows,
        sizes: vec![seen],
        numbers: Vec::new(),
        plain,
    }
    .change(gradient, &[(shares, &[stacks, rows, seen])])
}

//! Causal grouped-query attention over packed sequences, as [`crate::models::blocks::attention`].
//!
//! Neighbouring sequences of equal length go together; queries go in blocks, so that scores never
//! take more than [`QUERIES`] rows a head and sequence, however long the sequence is. The forward keeps the log-sum-exp of each row
//! of scores, the backward computes the probabilities anew from it.

use super::product::product;
use super::rotary::Angles;
use crate::Result;
use crate::conversations::packing::Beginning;
use crate::models::blocks::attention::{Attention, Heads};
use crate::models::blocks::rotary::Turn;
use candle_core::{DType, Device, Tensor};

/// Most queries of a head and sequence that are scored together.
pub const QUERIES: usize = 512;

/// What a score that must not count is lowered by: its exponential is 0, and unlike with infinity
/// no difference of two is undefined.
const UNSEEN: f64 = -1e30;

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
    /// [queries, most keys before them + queries]: 0 where a query sees a key, [`UNSEEN`] elsewhere.
    /// The last columns are the queries' own keys, so every block's mask is a window of it.
    mask: Tensor,
    most_before: usize,
    /// Most queries of a block.
    queries: usize,
}

/// What backward needs.
#[derive(Debug)]
pub struct Kept {
    /// Rotated queries and keys, and values, [rows, heads, size].
    shared: Tensor,
    /// Of each block of each run.
    log_sums: Vec<Tensor>,
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
    pub fn new(
        heads: Heads,
        lengths: &[usize],
        beginning: Beginning,
        queries: usize,
        device: &Device,
    ) -> Result<Self> {
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
        let blocks = || runs.iter().flat_map(|run| run.blocks(queries));
        let largest = blocks().map(|block| block.rows).max().unwrap_or(1);
        let most_before = blocks()
            .map(|block| block.seen - block.rows)
            .max()
            .unwrap_or(0);
        let (first, end) = (most_before as u32, (most_before + largest) as u32);
        let keys = Tensor::arange(0, end, device)?.unsqueeze(0)?;
        let own = Tensor::arange(first, end, device)?.unsqueeze(1)?;
        let mask = (keys.broadcast_gt(&own)?.to_dtype(DType::F32)? * UNSEEN)?;
        Ok(Self {
            heads,
            runs,
            mask,
            most_before,
            queries,
        })
    }

    /// Scores of a block's queries against the keys they may see, [.., group·rows, seen].
    fn scores(&self, queries: &Tensor, keys: &Tensor, block: Block) -> Result<Tensor> {
        let (stacks, rows, _) = queries.dims3()?;
        let scores = product(queries, &keys.transpose(1, 2)?)?;
        let before = block.seen - block.rows;
        let mask =
            self.mask
                .narrow(0, 0, block.rows)?
                .narrow(1, self.most_before - before, block.seen)?;
        let by_head = scores.reshape((stacks, self.heads.group(), block.rows, block.seen))?;
        Ok(by_head
            .broadcast_add(&mask)?
            .reshape((stacks, rows, block.seen))?)
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
        let (mut outputs, mut log_sums) = (Vec::new(), Vec::new());
        for run in &self.runs {
            let queries = run.rows_of(&shared)?.narrow(1, 0, query)?;
            let keys = run.seen(&shared, query, key_value)?;
            let values = run.seen(&shared, query + key_value, key_value)?;
            let mut blocks = Vec::new();
            for block in run.blocks(self.queries) {
                let queries = (grouped(&queries, block, self.heads)? * self.scale())?;
                let scores = self.scores(&queries, &keys.narrow(1, 0, block.seen)?, block)?;
                let most = scores.max_keepdim(2)?;
                let powers = scores.broadcast_sub(&most)?.exp()?;
                let sums = powers.sum_keepdim(2)?;
                let mixed = product(&powers, &values.narrow(1, 0, block.seen)?)?;
                blocks.push(ungrouped(
                    &mixed.broadcast_div(&sums)?,
                    *run,
                    block,
                    self.heads,
                )?);
                log_sums.push((most + sums.log()?)?);
            }
            outputs.push(as_rows(&Tensor::cat(&blocks, 2)?)?);
        }
        let output = Tensor::cat(&outputs, 0)?.reshape((rows, query * size))?;
        Ok(Kept {
            shared,
            log_sums,
            output,
        })
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
        let by_head = (rows, query, size);
        // Σ gradient∘output of a row is what the softmax's backward takes off: one number a head.
        let along = (gradient * &kept.output)?
            .reshape(by_head)?
            .sum_keepdim(2)?;
        let gradient = gradient.reshape(by_head)?;
        let mut log_sums = kept.log_sums.iter();
        let (mut parts, mut of_beginning) = (Vec::new(), None);
        for run in &self.runs {
            let queries = run.rows_of(&kept.shared)?.narrow(1, 0, query)?;
            let keys = run.seen(&kept.shared, query, key_value)?;
            let values = run.seen(&kept.shared, query + key_value, key_value)?;
            let (gradient, along) = (run.rows_of(&gradient)?, run.rows_of(&along)?);
            let total = run.before + run.length;
            let mut of_queries = Vec::new();
            let (mut of_keys, mut of_values) = (None, None);
            for (block, log_sums) in run.blocks(self.queries).zip(&mut log_sums) {
                let queries = (grouped(&queries, block, self.heads)? * self.scale())?;
                let gradient = grouped(&gradient, block, self.heads)?;
                let along = grouped(&along, block, self.heads)?;
                let keys = keys.narrow(1, 0, block.seen)?;
                let values = values.narrow(1, 0, block.seen)?;
                let scores = self.scores(&queries, &keys, block)?;
                let shares = scores.broadcast_sub(log_sums)?.exp()?;
                let widened = |part: Tensor| part.pad_with_zeros(1, 0, total - block.seen);
                let of_value = product(&shares.transpose(1, 2)?, &gradient)?;
                of_values = plus(of_values, widened(of_value)?)?;
                let of_shares = product(&gradient, &values.transpose(1, 2)?)?;
                let of_scores = (shares * of_shares.broadcast_sub(&along)?)?;
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

//! Second moments E[x·xᵀ] of the inputs of each linear layer, and what is made of them.
//!
//! Layers that read the same input (q, k, v; gate, up) share one moment. Products are summed in f32
//! over a chunk of about 4,000 rows and added up in f64. Only the lower triangle is computed and
//! kept: the matrices are symmetric.
//!
//! The first token of a sequence is counted apart: its activation is many times the others' (an
//! attention sink), and would be all one sees. What is retained includes it at its natural share,
//! so the sink stays where it is; what the task uses leaves it out, so no direction is spent on it.

use crate::events::{Event, Listener};
use crate::models::blocks::buffers::Pool;
use crate::models::blocks::{product, tiles};
use crate::models::decoder::Decoder;
use crate::{Error, Result};
use faer::Mat;
use rayon::prelude::*;
use std::collections::BTreeMap;

/// Rows of one chunk of forward passes.
const CHUNK_ROWS: usize = 4096;

/// What becomes of the first token of each sequence.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FirstTokens {
    /// Counted as any other.
    Counted,
    /// Left out.
    LeftOut,
}

/// Sum of x·xᵀ over tokens, and their count.
#[derive(Clone, Debug)]
pub struct Moment {
    width: usize,
    /// Lower triangle, row after row, up to the diagonal.
    lower: Vec<f64>,
    tokens: usize,
}

impl Moment {
    fn new(width: usize) -> Self {
        Self {
            width,
            lower: vec![0.0; width * (width + 1) / 2],
            tokens: 0,
        }
    }

    /// E[x·xᵀ], [in, in], symmetric.
    pub fn mean(&self) -> Mat<f64> {
        let count = self.tokens.max(1) as f64;
        let mut mean = Mat::zeros(self.width, self.width);
        let mut rest = self.lower.as_slice();
        for row in 0..self.width {
            let (here, after) = rest.split_at(row + 1);
            rest = after;
            for (column, sum) in here.iter().enumerate() {
                mean[(row, column)] = sum / count;
                mean[(column, row)] = sum / count;
            }
        }
        mean
    }

    /// Tokens counted.
    pub fn tokens(&self) -> usize {
        self.tokens
    }

    /// Adds the rows of `values` [rows, width]. The sum of their products is made in f32.
    fn add(&mut self, values: &[f32], pool: &Pool) {
        let width = self.width;
        let mut chunk = pool.take(width * width);
        chunk.fill(0.0);
        tiles::add_gram(product::whole_mut(&mut chunk, width, width), pool, values);
        let mut rows = Vec::with_capacity(width);
        let mut rest = self.lower.as_mut_slice();
        for row in 0..width {
            let (here, after) = rest.split_at_mut(row + 1);
            rest = after;
            rows.push(here);
        }
        rows.into_par_iter()
            .zip(chunk.par_chunks_exact(width))
            .with_min_len(64)
            .for_each(|(sums, more)| {
                for (sum, more) in sums.iter_mut().zip(more) {
                    *sum += f64::from(*more);
                }
            });
        self.tokens += values.len() / width;
    }
}

/// One moment for each group of linear layers that read the same input, by the group's first layer.
#[derive(Debug)]
pub struct Moments {
    groups: BTreeMap<String, Moment>,
}

impl Moments {
    /// Reads `sequences` once. `stage` is what a listener is told.
    pub fn collect(
        decoder: &Decoder,
        stage: &str,
        sequences: &[&[u32]],
        first_tokens: FirstTokens,
        listener: &dyn Listener,
    ) -> Result<Self> {
        let total: usize = sequences.iter().map(|sequence| sequence.len()).sum();
        listener.on(Event::StageStarted {
            stage: stage.to_owned(),
            total: total as u64,
            unit: "tokens",
        });
        let mut groups: BTreeMap<String, Moment> = BTreeMap::new();
        let pool = Pool::default();
        let mut done = 0;
        for chunk in chunks(sequences) {
            let tokens: Vec<u32> = chunk
                .iter()
                .flat_map(|sequence| sequence.iter().copied())
                .collect();
            let lengths: Vec<usize> = chunk.iter().map(|sequence| sequence.len()).collect();
            let mut kept = Vec::new();
            let mut observe = |group: &str, inputs: &[f32], width: usize| -> Result<()> {
                let moment = groups
                    .entry(group.to_owned())
                    .or_insert_with(|| Moment::new(width));
                match first_tokens {
                    FirstTokens::Counted => moment.add(inputs, &pool),
                    FirstTokens::LeftOut => {
                        kept.clear();
                        let mut rest = inputs;
                        for length in &lengths {
                            let (sequence, after) = rest.split_at(length * width);
                            rest = after;
                            kept.extend_from_slice(&sequence[width..]);
                        }
                        moment.add(&kept, &pool);
                    }
                }
                Ok(())
            };
            decoder.hidden(&tokens, &lengths, None, Some(&mut observe))?;
            done += tokens.len();
            listener.on(Event::StageAdvanced { done: done as u64 });
        }
        listener.on(Event::StageFinished {
            stage: stage.to_owned(),
            reused: false,
        });
        Ok(Self { groups })
    }

    /// The moment of the input of `path`.
    pub fn of(&self, path: &str) -> Result<&Moment> {
        self.groups
            .get(&group_of(path))
            .ok_or_else(|| Error::bug(format!("no moment of the input of {path} was taken")))
    }
}

/// The layer whose name stands for all layers that read the same input.
pub fn group_of(path: &str) -> String {
    let (parent, name) = path.rsplit_once('.').unwrap_or(("", path));
    let leader = match name {
        "k_proj" | "v_proj" => "q_proj",
        "up_proj" => "gate_proj",
        other => other,
    };
    format!("{parent}.{leader}")
}

/// Runs of whole sequences of about [`CHUNK_ROWS`] rows.
fn chunks<'a>(sequences: &'a [&'a [u32]]) -> Vec<Vec<&'a [u32]>> {
    let mut chunks: Vec<Vec<&[u32]>> = Vec::new();
    let mut rows = usize::MAX;
    for sequence in sequences.iter().filter(|sequence| !sequence.is_empty()) {
        if rows >= CHUNK_ROWS {
            chunks.push(Vec::new());
            rows = 0;
        }
        let last = chunks.len() - 1;
        chunks[last].push(sequence);
        rows += sequence.len();
    }
    chunks
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_is_the_mean_of_outer_products() {
        let rows = [[9.0f32, 0., 3.], [1., 2., 3.], [-1., 0., 2.]];
        let mut moment = Moment::new(3);
        let pool = Pool::default();
        moment.add(&rows[..1].concat(), &pool);
        moment.add(&rows[1..].concat(), &pool);
        assert_eq!(moment.tokens(), 3);
        let mean = moment.mean();
        for row in 0..3 {
            for column in 0..3 {
                let expected: f32 = rows.iter().map(|x| x[row] * x[column]).sum();
                assert!((mean[(row, column)] - f64::from(expected) / 3.0).abs() < 1e-9);
            }
        }
    }
}

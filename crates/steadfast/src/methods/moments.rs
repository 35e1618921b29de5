//! Second moments E[x·xᵀ] of the inputs of each linear layer, and what is made of them.
//!
//! Layers that read the same input (q, k, v; gate, up) share one moment. Products are summed in f32
//! over a chunk of about 1,000 rows and added up in f64. Only the lower triangle is computed: the
//! matrices are symmetric.
//!
//! The first token of a sequence is counted apart: its activation is many times the others' (an
//! attention sink), and would be all one sees. What is retained includes it at its natural share,
//! so the sink stays where it is; what the task uses leaves it out, so no direction is spent on it.

use crate::events::{Event, Listener};
use crate::models::blocks::product;
use crate::models::decoder::Decoder;
use crate::{Error, Result};
use candle_core::Tensor;
use faer::Mat;
use std::collections::BTreeMap;

/// Rows of one chunk of forward passes.
const CHUNK_ROWS: usize = 1024;

/// Sums of x·xᵀ over tokens, and their count.
#[derive(Clone, Debug)]
pub struct Moment {
    /// Lower triangle of Σ x·xᵀ over all tokens but the first of each sequence, [in, in].
    rest: Mat<f64>,
    /// The same over first tokens.
    first: Mat<f64>,
    rest_tokens: usize,
    first_tokens: usize,
}

impl Moment {
    fn new(width: usize) -> Self {
        Self {
            rest: Mat::zeros(width, width),
            first: Mat::zeros(width, width),
            rest_tokens: 0,
            first_tokens: 0,
        }
    }

    /// E[x·xᵀ] over all tokens, [in, in], symmetric.
    pub fn all(&self) -> Mat<f64> {
        let count = (self.rest_tokens + self.first_tokens).max(1) as f64;
        symmetric(&(&self.rest + &self.first), count)
    }

    /// E[x·xᵀ] without the first token of each sequence.
    pub fn without_first(&self) -> Mat<f64> {
        symmetric(&self.rest, self.rest_tokens.max(1) as f64)
    }

    /// Mean square of a first token over that of the others.
    pub fn first_ratio(&self) -> f64 {
        let mean = |sum: &Mat<f64>, count: usize| {
            (0..sum.nrows())
                .map(|index| sum[(index, index)])
                .sum::<f64>()
                / count.max(1) as f64
        };
        mean(&self.first, self.first_tokens)
            / mean(&self.rest, self.rest_tokens).max(f64::MIN_POSITIVE)
    }

    /// Tokens counted.
    pub fn tokens(&self) -> usize {
        self.rest_tokens + self.first_tokens
    }

    /// Adds the rows of `values` [rows, width]; those in `firsts` are first tokens.
    fn add(&mut self, values: &[f32], width: usize, firsts: &[bool]) {
        let (first, rest): (Vec<usize>, Vec<usize>) =
            (0..firsts.len()).partition(|row| firsts[*row]);
        self.first_tokens += first.len();
        self.rest_tokens += rest.len();
        for (rows, sum) in [(rest, &mut self.rest), (first, &mut self.first)] {
            let gathered: Vec<f32> = rows
                .iter()
                .flat_map(|row| &values[row * width..(row + 1) * width])
                .copied()
                .collect();
            let inputs = product::whole(&gathered, rows.len(), width);
            let mut chunk = Mat::<f32>::zeros(width, width);
            product::lower_gram(chunk.as_mut(), inputs);
            for column in 0..width {
                for row in column..width {
                    sum[(row, column)] += f64::from(chunk[(row, column)]);
                }
            }
        }
    }
}

fn symmetric(lower: &Mat<f64>, count: f64) -> Mat<f64> {
    Mat::from_fn(lower.nrows(), lower.ncols(), |row, column| {
        lower[(row.max(column), row.min(column))] / count
    })
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
        listener: &dyn Listener,
    ) -> Result<Self> {
        let total: usize = sequences.iter().map(|sequence| sequence.len()).sum();
        listener.on(Event::StageStarted {
            stage: stage.to_owned(),
            total: total as u64,
            unit: "tokens",
        });
        let mut groups: BTreeMap<String, Moment> = BTreeMap::new();
        let mut done = 0;
        for chunk in chunks(sequences) {
            let tokens: Vec<u32> = chunk
                .iter()
                .flat_map(|sequence| sequence.iter().copied())
                .collect();
            let lengths: Vec<usize> = chunk.iter().map(|sequence| sequence.len()).collect();
            let mut firsts = vec![false; tokens.len()];
            let mut start = 0;
            for length in &lengths {
                firsts[start] = true;
                start += length;
            }
            let mut observe = |group: &str, inputs: &Tensor| -> Result<()> {
                let (rows, width) = inputs.dims2()?;
                if rows != firsts.len() {
                    return Err(Error::bug(format!(
                        "{group} was shown {rows} rows of {}",
                        firsts.len()
                    )));
                }
                let values = inputs.flatten_all()?.to_vec1::<f32>()?;
                groups
                    .entry(group.to_owned())
                    .or_insert_with(|| Moment::new(width))
                    .add(&values, width, &firsts);
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
    fn a_moment_is_the_mean_of_outer_products_with_first_tokens_apart() {
        let rows: Vec<Vec<f64>> = vec![vec![9., 0., 3.], vec![1., 2., 3.], vec![-1., 0., 2.]];
        let flat: Vec<f32> = rows.iter().flatten().map(|value| *value as f32).collect();
        let mut moment = Moment::new(3);
        moment.add(&flat, 3, &[true, false, false]);
        let expected = |used: &[usize], row: usize, column: usize| {
            used.iter()
                .map(|index| rows[*index][row] * rows[*index][column])
                .sum::<f64>()
                / used.len() as f64
        };
        let (all, rest) = (moment.all(), moment.without_first());
        for row in 0..3 {
            for column in 0..3 {
                assert!((all[(row, column)] - expected(&[0, 1, 2], row, column)).abs() < 1e-9);
                assert!((rest[(row, column)] - expected(&[1, 2], row, column)).abs() < 1e-9);
            }
        }
        assert_eq!(moment.tokens(), 3);
        assert!((moment.first_ratio() - 90. / 9.5).abs() < 1e-9);
    }
}

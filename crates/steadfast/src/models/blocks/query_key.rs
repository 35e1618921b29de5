//! The norm of queries and keys before they are turned: of each head by itself (Qwen 3, Gemma 3), or
//! of all heads together (OLMo 2). Values stay as they are.

use super::attention::Heads;
use super::buffers::Floats;
use super::lanes::vectorized;
use super::norm::{root_back, root_row, weigh};
use crate::Result;
use candle_core::Tensor;
use rayon::prelude::*;

/// Rows handed to a thread at once.
const ROWS: usize = 16;

/// The frozen weights. As many columns as a weight has are normed together.
#[derive(Debug)]
pub struct QueryKeyNorms {
    /// Of the queries, [head size] or [width of all query heads].
    pub query: Tensor,
    /// Of the keys, [head size] or [width of all key heads].
    pub key: Tensor,
    /// Added to the mean square before the root.
    pub epsilon: f64,
}

/// Where the columns of one row end that are normed: queries, then keys.
fn ends(heads: Heads) -> (usize, usize) {
    (heads.query_width(), heads.value_column(0))
}

impl QueryKeyNorms {
    /// Writes the rows of `raw` [rows, heads.width()], queries and keys normed, to `normed`.
    pub fn forward(&self, heads: Heads, raw: &[f32], normed: &mut [f32]) -> Result<()> {
        let (query, key) = (Floats::of(&self.query)?, Floats::of(&self.key)?);
        let epsilon = self.epsilon as f32;
        let (width, (first, second)) = (heads.width(), ends(heads));
        normed
            .par_chunks_mut(ROWS * width)
            .zip(raw.par_chunks(ROWS * width))
            .for_each(|(normed, raw)| {
                vectorized(
                    #[inline(always)]
                    || {
                        for (to, from) in
                            normed.chunks_exact_mut(width).zip(raw.chunks_exact(width))
                        {
                            let spans: [(std::ops::Range<usize>, &[f32]); 2] =
                                [(0..first, &query), (first..second, &key)];
                            for (span, weight) in spans {
                                let to = to[span.clone()].chunks_exact_mut(weight.len());
                                for (to, from) in to.zip(from[span].chunks_exact(weight.len())) {
                                    root_row(from, weight, epsilon, to);
                                }
                            }
                            to[second..].copy_from_slice(&from[second..]);
                        }
                    },
                );
            });
        Ok(())
    }

    /// Turns the gradient of the normed rows into that of the raw ones.
    pub fn backward(&self, heads: Heads, raw: &[f32], gradient: &mut [f32]) -> Result<()> {
        let (query, key) = (Floats::of(&self.query)?, Floats::of(&self.key)?);
        let epsilon = self.epsilon as f32;
        let (width, (first, second)) = (heads.width(), ends(heads));
        gradient
            .par_chunks_mut(ROWS * width)
            .zip(raw.par_chunks(ROWS * width))
            .for_each(|(gradient, raw)| {
                let mut weighted = vec![0.0f32; query.len().max(key.len())];
                vectorized(
                    #[inline(always)]
                    || {
                        for (gradient, raw) in gradient
                            .chunks_exact_mut(width)
                            .zip(raw.chunks_exact(width))
                        {
                            let spans: [(std::ops::Range<usize>, &[f32]); 2] =
                                [(0..first, &query), (first..second, &key)];
                            for (span, weight) in spans {
                                let weighted = &mut weighted[..weight.len()];
                                let gradients =
                                    gradient[span.clone()].chunks_exact_mut(weight.len());
                                for (gradient, raw) in
                                    gradients.zip(raw[span].chunks_exact(weight.len()))
                                {
                                    weigh(gradient, weight, weighted);
                                    gradient.fill(0.0);
                                    root_back(raw, weighted, epsilon, gradient);
                                }
                            }
                        }
                    },
                );
            });
        Ok(())
    }
}

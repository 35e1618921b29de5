//! The gated unit of the feed-forward block (SwiGLU; Shazeer 2020, arXiv:2002.05202): silu(g)∘u.
//!
//! Gate and up lie side by side in one buffer, [rows, 2·width]: gate first.

use super::lanes::{exponential, vectorized};
use rayon::prelude::*;

/// Rows handed to a thread at once.
const ROWS: usize = 8;

/// Writes silu(gate)∘up [rows, width].
pub fn forward(gate_up: &[f32], width: usize, y: &mut [f32]) {
    y.par_chunks_mut(ROWS * width)
        .zip(gate_up.par_chunks(ROWS * 2 * width))
        .for_each(|(y, gate_up)| {
            vectorized(
                #[inline(always)]
                || {
                    for (y, row) in y
                        .chunks_exact_mut(width)
                        .zip(gate_up.chunks_exact(2 * width))
                    {
                        let (gate, up) = row.split_at(width);
                        for ((y, gate), up) in y.iter_mut().zip(gate).zip(up) {
                            *y = gate / (1.0 + exponential(-gate)) * up;
                        }
                    }
                },
            );
        });
}

/// Writes the gradient with respect to gate and up [rows, 2·width], given that of the output.
pub fn backward(gate_up: &[f32], width: usize, gradient_y: &[f32], gradient: &mut [f32]) {
    gradient
        .par_chunks_mut(ROWS * 2 * width)
        .zip(gate_up.par_chunks(ROWS * 2 * width))
        .zip(gradient_y.par_chunks(ROWS * width))
        .for_each(|((gradient, gate_up), gradient_y)| {
            vectorized(
                #[inline(always)]
                || {
                    for ((gradient, row), gradient_y) in gradient
                        .chunks_exact_mut(2 * width)
                        .zip(gate_up.chunks_exact(2 * width))
                        .zip(gradient_y.chunks_exact(width))
                    {
                        let (gate, up) = row.split_at(width);
                        let (gradient_gate, gradient_up) = gradient.split_at_mut(width);
                        for ((((gradient_gate, gradient_up), gate), up), gradient_y) in
                            gradient_gate
                                .iter_mut()
                                .zip(gradient_up)
                                .zip(gate)
                                .zip(up)
                                .zip(gradient_y)
                        {
                            let sigmoid = 1.0 / (1.0 + exponential(-gate));
                            let silu = gate * sigmoid;
                            *gradient_up = gradient_y * silu;
                            *gradient_gate = gradient_y * up * (sigmoid + silu * (1.0 - sigmoid));
                        }
                    }
                },
            );
        });
}

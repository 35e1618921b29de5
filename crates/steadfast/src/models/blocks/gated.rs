//! The gated unit of the feed-forward block (SwiGLU; Shazeer 2020, arXiv:2002.05202): silu(g)∘u.
//!
//! Gate and up lie side by side in one buffer, [rows, 2·width]: gate first.

use super::lanes::{exponential, vectorized};
use rayon::prelude::*;

/// Rows handed to a thread at once.
const ROWS: usize = 8;
/// Elements computed together.
const LANES: usize = 16;

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
                        for place in (0..width).step_by(LANES) {
                            let end = width.min(place + LANES);
                            let here = place..end;
                            backward_lanes(
                                &gate[here.clone()],
                                &up[here.clone()],
                                &gradient_y[here.clone()],
                                &mut gradient_gate[here.clone()],
                                &mut gradient_up[here],
                            );
                        }
                    }
                },
            );
        });
}

/// [`backward`] of a few elements, in arrays: the compiler vectorizes these where it gives up on
/// five slices at once.
#[inline(always)]
fn backward_lanes(
    gate: &[f32],
    up: &[f32],
    gradient_y: &[f32],
    gradient_gate: &mut [f32],
    gradient_up: &mut [f32],
) {
    let held = |from: &[f32]| {
        let mut lanes = [0.0f32; LANES];
        match from.first_chunk::<LANES>() {
            Some(whole) => lanes = *whole,
            None => lanes[..from.len()].copy_from_slice(from),
        }
        lanes
    };
    let (gate, up, gradient_y) = (held(gate), held(up), held(gradient_y));
    let mut of_gate = [0.0f32; LANES];
    let mut of_up = [0.0f32; LANES];
    for lane in 0..LANES {
        let sigmoid = 1.0 / (1.0 + exponential(-gate[lane]));
        let silu = gate[lane] * sigmoid;
        of_up[lane] = gradient_y[lane] * silu;
        of_gate[lane] = gradient_y[lane] * up[lane] * (sigmoid + silu * (1.0 - sigmoid));
    }
    gradient_gate.copy_from_slice(&of_gate[..gradient_gate.len()]);
    gradient_up.copy_from_slice(&of_up[..gradient_up.len()]);
}

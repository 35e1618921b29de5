//! The unit of the feed-forward block: gated, curve(g)∘u (SwiGLU, GeGLU; Shazeer 2020,
//! arXiv:2002.05202), or plain, curve(u).
//!
//! A gated unit's gate and up lie side by side in one buffer, [rows, 2·width]: gate first.

use super::activation::{Curve, Gelu, GeluTanh, Silu};
use super::lanes::vectorized;
use rayon::prelude::*;
use serde::Serialize;

/// Rows handed to a thread at once.
const ROWS: usize = 8;
/// Elements computed together.
const LANES: usize = 16;

/// A feed-forward block's curve.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Activation {
    /// x·σ(x).
    Silu,
    /// GELU by its hyperbolic tangent.
    GeluTanh,
    /// GELU itself.
    Gelu,
}

/// What a feed-forward block makes of its wide states.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Unit {
    /// curve(gate)∘up.
    Gated(Activation),
    /// curve(up).
    Plain(Activation),
}

impl Unit {
    /// Width of what goes in, for an output `width` wide.
    pub fn inputs(self, width: usize) -> usize {
        match self {
            Self::Gated(_) => 2 * width,
            Self::Plain(_) => width,
        }
    }

    /// Writes the unit's output [rows, width].
    pub fn forward(self, x: &[f32], width: usize, y: &mut [f32]) {
        match self {
            Self::Gated(Activation::Silu) => gated::<Silu>(x, width, y),
            Self::Gated(Activation::GeluTanh) => gated::<GeluTanh>(x, width, y),
            Self::Gated(Activation::Gelu) => gated::<Gelu>(x, width, y),
            Self::Plain(Activation::Silu) => plain::<Silu>(x, width, y),
            Self::Plain(Activation::GeluTanh) => plain::<GeluTanh>(x, width, y),
            Self::Plain(Activation::Gelu) => plain::<Gelu>(x, width, y),
        }
    }

    /// Writes the gradient with respect to the input, given that of the output [rows, width].
    pub fn backward(self, x: &[f32], width: usize, gradient_y: &[f32], gradient: &mut [f32]) {
        match self {
            Self::Gated(Activation::Silu) => gated_back::<Silu>(x, width, gradient_y, gradient),
            Self::Gated(Activation::GeluTanh) => {
                gated_back::<GeluTanh>(x, width, gradient_y, gradient);
            }
            Self::Gated(Activation::Gelu) => gated_back::<Gelu>(x, width, gradient_y, gradient),
            Self::Plain(Activation::Silu) => plain_back::<Silu>(x, width, gradient_y, gradient),
            Self::Plain(Activation::GeluTanh) => {
                plain_back::<GeluTanh>(x, width, gradient_y, gradient);
            }
            Self::Plain(Activation::Gelu) => plain_back::<Gelu>(x, width, gradient_y, gradient),
        }
    }
}

fn plain<C: Curve>(x: &[f32], width: usize, y: &mut [f32]) {
    y.par_chunks_mut(ROWS * width)
        .zip(x.par_chunks(ROWS * width))
        .for_each(|(y, x)| {
            vectorized(
                #[inline(always)]
                || {
                    for (y, x) in y.iter_mut().zip(x) {
                        *y = C::value(*x);
                    }
                },
            );
        });
}

fn plain_back<C: Curve>(x: &[f32], width: usize, gradient_y: &[f32], gradient: &mut [f32]) {
    gradient
        .par_chunks_mut(ROWS * width)
        .zip(x.par_chunks(ROWS * width))
        .zip(gradient_y.par_chunks(ROWS * width))
        .for_each(|((gradient, x), gradient_y)| {
            vectorized(
                #[inline(always)]
                || {
                    for ((gradient, x), gradient_y) in gradient.iter_mut().zip(x).zip(gradient_y) {
                        *gradient = gradient_y * C::value_and_slope(*x).1;
                    }
                },
            );
        });
}

fn gated<C: Curve>(gate_up: &[f32], width: usize, y: &mut [f32]) {
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
                            *y = C::value(*gate) * up;
                        }
                    }
                },
            );
        });
}

fn gated_back<C: Curve>(gate_up: &[f32], width: usize, gradient_y: &[f32], gradient: &mut [f32]) {
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
                            back_lanes::<C>(
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

/// [`gated_back`] of a few elements, in arrays: the compiler vectorizes these where it gives up on
/// five slices at once.
#[inline(always)]
fn back_lanes<C: Curve>(
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
        let (value, slope) = C::value_and_slope(gate[lane]);
        of_up[lane] = gradient_y[lane] * value;
        of_gate[lane] = gradient_y[lane] * up[lane] * slope;
    }
    gradient_gate.copy_from_slice(&of_gate[..gradient_gate.len()]);
    gradient_up.copy_from_slice(&of_up[..gradient_up.len()]);
}

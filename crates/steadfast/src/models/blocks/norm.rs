//! Root-mean-square normalisation (Zhang and Sennrich 2019, arXiv:1910.07467): y = w·x/rms(x).

use super::lanes::{dot, vectorized};
use rayon::prelude::*;

/// Rows handed to a thread at once.
const ROWS: usize = 16;

#[inline(always)]
fn inverse_root(x: &[f32], epsilon: f32) -> f32 {
    1.0 / (dot(x, x) / x.len() as f32 + epsilon).sqrt()
}

/// Writes the normed rows of `x` [rows, width] to `y`; `weight` is \[width\].
pub fn forward(x: &[f32], weight: &[f32], epsilon: f64, y: &mut [f32]) {
    let width = weight.len();
    let epsilon = epsilon as f32;
    y.par_chunks_mut(ROWS * width)
        .zip(x.par_chunks(ROWS * width))
        .for_each(|(y, x)| {
            vectorized(
                #[inline(always)]
                || {
                    for (y, x) in y.chunks_exact_mut(width).zip(x.chunks_exact(width)) {
                        let inverse = inverse_root(x, epsilon);
                        for ((y, x), weight) in y.iter_mut().zip(x).zip(weight) {
                            *y = x * inverse * weight;
                        }
                    }
                },
            );
        });
}

/// Adds the gradient with respect to `x` to `gradient_x`, given that of `y`. The weight is frozen.
///
/// With g = w∘∂L/∂y and i = 1/rms: ∂L/∂x = i·g − x·i³·mean(g∘x).
pub fn backward(
    x: &[f32],
    weight: &[f32],
    epsilon: f64,
    gradient_y: &[f32],
    gradient_x: &mut [f32],
) {
    let width = weight.len();
    let epsilon = epsilon as f32;
    gradient_x
        .par_chunks_mut(ROWS * width)
        .zip(x.par_chunks(ROWS * width))
        .zip(gradient_y.par_chunks(ROWS * width))
        .for_each(|((gradient_x, x), gradient_y)| {
            let mut weighted = vec![0.0f32; width];
            vectorized(
                #[inline(always)]
                || {
                    for ((gradient_x, x), gradient_y) in gradient_x
                        .chunks_exact_mut(width)
                        .zip(x.chunks_exact(width))
                        .zip(gradient_y.chunks_exact(width))
                    {
                        let inverse = inverse_root(x, epsilon);
                        for ((weighted, gradient), weight) in
                            weighted.iter_mut().zip(gradient_y).zip(weight)
                        {
                            *weighted = gradient * weight;
                        }
                        let along = dot(&weighted, x) / width as f32 * inverse * inverse * inverse;
                        for ((gradient_x, x), weighted) in
                            gradient_x.iter_mut().zip(x).zip(&weighted)
                        {
                            *gradient_x += inverse * weighted - along * x;
                        }
                    }
                },
            );
        });
}

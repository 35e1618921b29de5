//! Norms: by the root mean square (Zhang and Sennrich 2019, arXiv:1910.07467), y = w·x/rms(x), and by
//! mean and deviation (Ba et al. 2016, arXiv:1607.06450), y = w·(x − mean)/deviation + b.

use super::buffers::Floats;
use super::lanes::{dot, sum, vectorized};
use crate::Result;
use candle_core::Tensor;
use rayon::prelude::*;

/// Rows handed to a thread at once.
const ROWS: usize = 16;

/// A norm's frozen weights.
#[derive(Debug)]
pub struct Norm {
    /// \[width\]
    pub weight: Tensor,
    /// \[width\], where it is one by mean and deviation.
    pub bias: Option<Tensor>,
    /// Added to the mean square before the root.
    pub epsilon: f64,
}

impl Norm {
    /// Writes the normed rows of `x` [rows, width] to `y`.
    pub fn forward(&self, x: &[f32], y: &mut [f32]) -> Result<()> {
        let weight = Floats::of(&self.weight)?;
        match &self.bias {
            None => forward(x, &weight, self.epsilon, y),
            Some(bias) => {
                let bias = Floats::of(bias)?;
                rows(
                    y,
                    x,
                    weight.len(),
                    #[inline(always)]
                    |y, x| layer_row(x, &weight, &bias, self.epsilon as f32, y),
                );
            }
        }
        Ok(())
    }

    /// Adds the gradient with respect to `x` to `gradient_x`, given that of `y`.
    pub fn backward(&self, x: &[f32], gradient_y: &[f32], gradient_x: &mut [f32]) -> Result<()> {
        let weight = Floats::of(&self.weight)?;
        let epsilon = self.epsilon as f32;
        match self.bias {
            None => rows_back(
                x,
                &weight,
                gradient_y,
                gradient_x,
                #[inline(always)]
                |x, weighted, to| root_back(x, weighted, epsilon, to),
            ),
            Some(_) => rows_back(
                x,
                &weight,
                gradient_y,
                gradient_x,
                #[inline(always)]
                |x, weighted, to| layer_back(x, weighted, epsilon, to),
            ),
        }
        Ok(())
    }
}

/// Writes the rows of `x` [rows, width] divided by their root mean square, times `weight`, to `y`.
pub fn forward(x: &[f32], weight: &[f32], epsilon: f64, y: &mut [f32]) {
    rows(
        y,
        x,
        weight.len(),
        #[inline(always)]
        |y, x| root_row(x, weight, epsilon as f32, y),
    );
}

#[inline(always)]
fn rows(y: &mut [f32], x: &[f32], width: usize, of_row: impl Fn(&mut [f32], &[f32]) + Sync) {
    y.par_chunks_mut(ROWS * width)
        .zip(x.par_chunks(ROWS * width))
        .for_each(|(y, x)| {
            vectorized(
                #[inline(always)]
                || {
                    for (y, x) in y.chunks_exact_mut(width).zip(x.chunks_exact(width)) {
                        of_row(y, x);
                    }
                },
            );
        });
}

/// Hands `of_row` each row of x, w∘∂L/∂y, and where to add ∂L/∂x.
#[inline(always)]
fn rows_back(
    x: &[f32],
    weight: &[f32],
    gradient_y: &[f32],
    gradient_x: &mut [f32],
    of_row: impl Fn(&[f32], &[f32], &mut [f32]) + Sync,
) {
    let width = weight.len();
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
                        weigh(gradient_y, weight, &mut weighted);
                        of_row(x, &weighted, gradient_x);
                    }
                },
            );
        });
}

/// `weighted` = gradient∘weight.
#[inline(always)]
pub fn weigh(gradient: &[f32], weight: &[f32], weighted: &mut [f32]) {
    for ((weighted, gradient), weight) in weighted.iter_mut().zip(gradient).zip(weight) {
        *weighted = gradient * weight;
    }
}

#[inline(always)]
fn inverse_root(x: &[f32], epsilon: f32) -> f32 {
    1.0 / (dot(x, x) / x.len() as f32 + epsilon).sqrt()
}

/// One row of [`forward`].
#[inline(always)]
pub fn root_row(x: &[f32], weight: &[f32], epsilon: f32, y: &mut [f32]) {
    let inverse = inverse_root(x, epsilon);
    for ((y, x), weight) in y.iter_mut().zip(x).zip(weight) {
        *y = x * inverse * weight;
    }
}

/// Adds ∂L/∂x of one row of [`forward`], with g = w∘∂L/∂y and i = 1/rms: i·g − x·i³·mean(g∘x).
#[inline(always)]
pub fn root_back(x: &[f32], weighted: &[f32], epsilon: f32, gradient_x: &mut [f32]) {
    let inverse = inverse_root(x, epsilon);
    let along = dot(weighted, x) / x.len() as f32 * inverse * inverse * inverse;
    for ((gradient_x, x), weighted) in gradient_x.iter_mut().zip(x).zip(weighted) {
        *gradient_x += inverse * weighted - along * x;
    }
}

/// Mean of a row, and 1/deviation.
#[inline(always)]
fn mean_and_inverse(x: &[f32], epsilon: f32) -> (f32, f32) {
    let width = x.len() as f32;
    let mean = sum(x) / width;
    // Around the mean, not as a difference of squares, which would lose digits.
    let mut square = [0.0f32; 16];
    let (chunks, rest) = x.as_chunks::<16>();
    for x in chunks {
        for lane in 0..16 {
            let from_mean = x[lane] - mean;
            square[lane] += from_mean * from_mean;
        }
    }
    for (lane, x) in rest.iter().enumerate() {
        square[lane] += (x - mean) * (x - mean);
    }
    (mean, 1.0 / (sum(&square) / width + epsilon).sqrt())
}

#[inline(always)]
fn layer_row(x: &[f32], weight: &[f32], bias: &[f32], epsilon: f32, y: &mut [f32]) {
    let (mean, inverse) = mean_and_inverse(x, epsilon);
    for (((y, x), weight), bias) in y.iter_mut().zip(x).zip(weight).zip(bias) {
        *y = (x - mean) * inverse * weight + bias;
    }
}

/// With n = (x − mean)·i: ∂L/∂x = i·(g − mean(g) − n·mean(g∘n)).
#[inline(always)]
fn layer_back(x: &[f32], weighted: &[f32], epsilon: f32, gradient_x: &mut [f32]) {
    let width = x.len() as f32;
    let (mean, inverse) = mean_and_inverse(x, epsilon);
    let common = sum(weighted) / width;
    let along = inverse * (dot(weighted, x) / width - mean * common);
    for ((gradient_x, x), weighted) in gradient_x.iter_mut().zip(x).zip(weighted) {
        *gradient_x += inverse * (weighted - common - (x - mean) * inverse * along);
    }
}

//! Root-mean-square normalisation, as [`crate::models::blocks::norm`].

use super::fused::{Fused, sum};
use crate::Result;
use candle_core::Tensor;

/// y = w∘x/rms(x) for each row of `x` [rows, width]; `weight` is \[width\].
pub fn forward(x: &Tensor, weight: &Tensor, epsilon: f64) -> Result<Tensor> {
    let (rows, width) = x.dims2()?;
    let epsilon = epsilon as f32;
    let plain = |y: &mut [f32], sources: &[&[f32]]| {
        let (x, weight) = (sources[0], sources[1]);
        for (y, x) in y.chunks_exact_mut(width).zip(x.chunks_exact(width)) {
            let inverse = inverse_root(x, epsilon);
            for ((y, x), weight) in y.iter_mut().zip(x).zip(weight) {
                *y = x * inverse * weight;
            }
        }
    };
    Fused {
        name: "rms_norm",
        shape: (rows, width).into(),
        rows,
        sizes: vec![width],
        numbers: vec![epsilon],
        plain,
    }
    .make(&[(x, &[rows, width]), (weight, &[width])])
}

fn inverse_root(x: &[f32], epsilon: f32) -> f32 {
    let mean = sum(x.iter().map(|value| value * value)) / x.len() as f32;
    1.0 / (mean + epsilon).sqrt()
}

/// The gradient with respect to `x`, given that of y [rows, width]. The weight is frozen.
///
/// With g = w∘∂L/∂y and i = 1/rms: ∂L/∂x = i·g − x·i³·mean(g∘x).
pub fn backward(x: &Tensor, weight: &Tensor, epsilon: f64, gradient: &Tensor) -> Result<Tensor> {
    let (rows, width) = x.dims2()?;
    let epsilon = epsilon as f32;
    let plain = |found: &mut [f32], sources: &[&[f32]]| {
        let (x, weight, gradient) = (sources[0], sources[1], sources[2]);
        let each = x.chunks_exact(width).zip(gradient.chunks_exact(width));
        for (found, (x, gradient)) in found.chunks_exact_mut(width).zip(each) {
            let inverse = inverse_root(x, epsilon);
            let products = gradient.iter().zip(weight).zip(x);
            let along = sum(products.map(|((gradient, weight), x)| gradient * weight * x));
            let along = along / width as f32 * inverse * inverse * inverse;
            for (place, found) in found.iter_mut().enumerate() {
                *found = gradient[place] * weight[place] * inverse - x[place] * along;
            }
        }
    };
    Fused {
        name: "rms_norm_backward",
        shape: (rows, width).into(),
        rows,
        sizes: vec![width],
        numbers: vec![epsilon],
        plain,
    }
    .make(&[
        (x, &[rows, width]),
        (weight, &[width]),
        (gradient, &[rows, width]),
    ])
}

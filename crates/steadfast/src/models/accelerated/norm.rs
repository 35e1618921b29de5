//! Root-mean-square normalisation, y = w·x/rms(x); its backward is that of [`crate::models::blocks::norm`].

use crate::Result;
use candle_core::Tensor;

/// 1/rms of each row, [rows, 1].
fn inverse_root(x: &Tensor, epsilon: f64) -> Result<Tensor> {
    Ok((x.sqr()?.mean_keepdim(1)? + epsilon)?.sqrt()?.recip()?)
}

/// The normed rows of `x` [rows, width]; `weight` is \[width\].
pub fn forward(x: &Tensor, weight: &Tensor, epsilon: f64) -> Result<Tensor> {
    let inverse = inverse_root(x, epsilon)?;
    Ok(x.broadcast_mul(&inverse)?.broadcast_mul(weight)?)
}

/// The gradient with respect to `x`, given that of y. The weight is frozen.
///
/// With g = w∘∂L/∂y and i = 1/rms: ∂L/∂x = i·g − x·i³·mean(g∘x).
pub fn backward(x: &Tensor, weight: &Tensor, epsilon: f64, gradient_y: &Tensor) -> Result<Tensor> {
    let inverse = inverse_root(x, epsilon)?;
    let weighted = gradient_y.broadcast_mul(weight)?;
    let along = ((&weighted * x)?.mean_keepdim(1)? * inverse.powf(3.0)?)?;
    Ok((weighted.broadcast_mul(&inverse)? - x.broadcast_mul(&along)?)?)
}

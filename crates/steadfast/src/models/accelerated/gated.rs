//! The gated unit silu(g)∘u; gate and up lie side by side in one tensor [rows, 2·width], gate first.

use crate::Result;
use candle_core::Tensor;

fn halves(gate_up: &Tensor) -> Result<(Tensor, Tensor)> {
    let width = gate_up.dim(1)? / 2;
    Ok((
        gate_up.narrow(1, 0, width)?,
        gate_up.narrow(1, width, width)?,
    ))
}

/// silu(gate)∘up, [rows, width].
pub fn forward(gate_up: &Tensor) -> Result<Tensor> {
    let (gate, up) = halves(gate_up)?;
    Ok((gate.silu()? * up)?)
}

/// The gradient with respect to gate and up [rows, 2·width], given that of the output.
pub fn backward(gate_up: &Tensor, gradient_y: &Tensor) -> Result<Tensor> {
    let (gate, up) = halves(gate_up)?;
    let sigmoid = (gate.neg()?.exp()? + 1.0)?.recip()?;
    let silu = (&gate * &sigmoid)?;
    let gradient_up = (gradient_y * &silu)?;
    // d silu = sigmoid + silu·(1 − sigmoid)
    let slope = (&sigmoid + (&silu - (&silu * &sigmoid)?)?)?;
    let gradient_gate = ((gradient_y * up)? * slope)?;
    Ok(Tensor::cat(&[gradient_gate, gradient_up], 1)?)
}

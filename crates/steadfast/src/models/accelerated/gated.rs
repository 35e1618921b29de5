//! The gated unit silu(g)∘u; gate and up lie side by side in one tensor [rows, 2·width], gate first.

use super::fused::Fused;
use crate::Result;
use candle_core::Tensor;

fn sigmoid(value: f32) -> f32 {
    1.0 / (1.0 + (-value).exp())
}

/// silu(gate)∘up, [rows, width].
pub fn forward(gate_up: &Tensor) -> Result<Tensor> {
    let (rows, both) = gate_up.dims2()?;
    let width = both / 2;
    let plain = |y: &mut [f32], sources: &[&[f32]]| {
        for (y, gate_up) in y.chunks_exact_mut(width).zip(sources[0].chunks_exact(both)) {
            let (gates, ups) = gate_up.split_at(width);
            for ((y, gate), up) in y.iter_mut().zip(gates).zip(ups) {
                *y = gate * sigmoid(*gate) * up;
            }
        }
    };
    Fused {
        name: "gate",
        shape: (rows, width).into(),
        rows,
        sizes: vec![width],
        numbers: Vec::new(),
        plain,
    }
    .make(&[(gate_up, &[rows, 2 * width])])
}

/// The gradient with respect to gate and up [rows, 2·width], given that of [`forward`]'s output.
pub fn backward(gate_up: &Tensor, gradient: &Tensor) -> Result<Tensor> {
    let (rows, both) = gate_up.dims2()?;
    let width = both / 2;
    let plain = |found: &mut [f32], sources: &[&[f32]]| {
        let rows = sources[0].chunks_exact(both);
        let rows = rows.zip(sources[1].chunks_exact(width));
        for (found, (gate_up, gradient)) in found.chunks_exact_mut(both).zip(rows) {
            let (of_gates, of_ups) = found.split_at_mut(width);
            for (place, gradient) in gradient.iter().enumerate() {
                let (gate, up) = (gate_up[place], gate_up[width + place]);
                let sigmoid = sigmoid(gate);
                let silu = gate * sigmoid;
                of_ups[place] = gradient * silu;
                // d silu = sigmoid + silu·(1 − sigmoid)
                of_gates[place] = gradient * up * (sigmoid + silu * (1.0 - sigmoid));
            }
        }
    };
    Fused {
        name: "gate_backward",
        shape: (rows, both).into(),
        rows,
        sizes: vec![width],
        numbers: Vec::new(),
        plain,
    }
    .make(&[(gate_up, &[rows, 2 * width]), (gradient, &[rows, width])])
}

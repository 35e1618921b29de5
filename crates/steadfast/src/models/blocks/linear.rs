//! Linear layers that share an input, with the low-rank change of an adapter on top.

use super::buffers::{Floats, Pool, matrix};
use super::product::{add, block, block_mut, set, whole, whole_mut};
use crate::models::adapter::{Adapter, AdapterGradients};
use crate::{Error, Result};
use candle_core::{Device, Tensor};
use std::collections::BTreeMap;

/// One linear layer of a group.
#[derive(Clone, Debug)]
pub struct Part {
    /// Module path (`model.layers.0.self_attn.q_proj`).
    pub path: String,
    /// First column of its output in the group's.
    pub start: usize,
    /// Width of its output.
    pub outputs: usize,
}

/// Linear layers on one input, their weights stacked so that one product serves all of them:
/// y = x·[W₁; W₂; …]ᵀ.
#[derive(Debug)]
pub struct LinearGroup {
    /// [outputs, inputs]
    pub weight: Tensor,
    /// The layers, in the order of their columns in y.
    pub parts: Vec<Part>,
    /// Width of x.
    pub inputs: usize,
    /// Width of y.
    pub outputs: usize,
}

/// An adapter's tensors, borrowed for the length of one pass.
pub struct BorrowedAdapter<'a> {
    modules: BTreeMap<&'a str, BorrowedLowRank<'a>>,
}

struct BorrowedLowRank<'a> {
    a: Floats<'a>,
    b: Floats<'a>,
    rank: usize,
    scale: f32,
    train_a: bool,
    train_b: bool,
}

impl<'a> BorrowedAdapter<'a> {
    /// Borrows the adapter after checking it against the layers, given as path → (outputs, inputs).
    pub fn new(
        adapter: Option<&'a Adapter>,
        shapes: &BTreeMap<String, (usize, usize)>,
    ) -> Result<Self> {
        let mut modules = BTreeMap::new();
        for (path, low_rank) in adapter.iter().flat_map(|adapter| &adapter.modules) {
            let &(outputs, inputs) = shapes.get(path).ok_or_else(|| {
                Error::user(format!(
                    "the adapter changes `{path}`, which is no linear layer of this model"
                ))
                .hint("use the model that the adapter was trained on")
            })?;
            let rank = low_rank.a.dims().first().copied().unwrap_or(0);
            let borrowed = BorrowedLowRank {
                a: matrix(&low_rank.a, (rank, inputs), &format!("{path}.lora_A"))?,
                b: matrix(&low_rank.b, (outputs, rank), &format!("{path}.lora_B"))?,
                rank,
                scale: low_rank.scale as f32,
                train_a: low_rank.train_a,
                train_b: low_rank.train_b,
            };
            modules.insert(path.as_str(), borrowed);
        }
        Ok(Self { modules })
    }

    /// Whether any layer whose path begins so has a tensor that moves.
    pub fn trains_under(&self, prefix: &str) -> bool {
        self.modules
            .iter()
            .any(|(path, module)| path.starts_with(prefix) && (module.train_a || module.train_b))
    }
}

impl LinearGroup {
    /// Writes (or adds, with `accumulate`) y [rows, outputs] for x [rows, inputs].
    pub fn forward(
        &self,
        x: &[f32],
        adapter: &BorrowedAdapter<'_>,
        accumulate: bool,
        pool: &Pool,
        y: &mut [f32],
    ) -> Result<()> {
        let rows = x.len() / self.inputs;
        let weight = Floats::of(&self.weight)?;
        let left = whole(x, rows, self.inputs);
        let right = whole(&weight, self.outputs, self.inputs).transpose();
        let product = if accumulate { add } else { set };
        product(whole_mut(y, rows, self.outputs), 1.0, left, right);
        for part in &self.parts {
            let Some(module) = adapter.modules.get(part.path.as_str()) else {
                continue;
            };
            let mut thin = pool.take(rows * module.rank);
            set(
                whole_mut(&mut thin, rows, module.rank),
                1.0,
                left,
                whole(&module.a, module.rank, self.inputs).transpose(),
            );
            add(
                block_mut(y, rows, self.outputs, part.start, part.outputs),
                module.scale,
                whole(&thin, rows, module.rank),
                whole(&module.b, part.outputs, module.rank).transpose(),
            );
        }
        Ok(())
    }

    /// From the gradient of y: writes that of x to `gradient_x` where asked for, and puts those of
    /// the adapter's moving tensors into `gradients`. `x` is the forward's input.
    pub fn backward(
        &self,
        x: &[f32],
        gradient_y: &[f32],
        adapter: &BorrowedAdapter<'_>,
        pool: &Pool,
        mut gradient_x: Option<&mut [f32]>,
        gradients: &mut AdapterGradients,
    ) -> Result<()> {
        let rows = x.len() / self.inputs;
        if let Some(gradient_x) = gradient_x.as_deref_mut() {
            let weight = Floats::of(&self.weight)?;
            set(
                whole_mut(gradient_x, rows, self.inputs),
                1.0,
                whole(gradient_y, rows, self.outputs),
                whole(&weight, self.outputs, self.inputs),
            );
        }
        for part in &self.parts {
            let Some(module) = adapter.modules.get(part.path.as_str()) else {
                continue;
            };
            let (rank, scale) = (module.rank, module.scale);
            let a = whole(&module.a, rank, self.inputs);
            let b = whole(&module.b, part.outputs, rank);
            let gradient_part = block(gradient_y, rows, self.outputs, part.start, part.outputs);
            let x = whole(x, rows, self.inputs);
            let mut thin = pool.take(rows * rank);
            if module.train_b {
                set(whole_mut(&mut thin, rows, rank), 1.0, x, a.transpose());
                let mut gradient_b = vec![0.0; part.outputs * rank];
                set(
                    whole_mut(&mut gradient_b, part.outputs, rank),
                    scale,
                    gradient_part.transpose(),
                    whole(&thin, rows, rank),
                );
                gradients.insert(
                    format!("{}.lora_B", part.path),
                    Tensor::from_vec(gradient_b, (part.outputs, rank), &Device::Cpu)?,
                );
            }
            if !module.train_a && gradient_x.is_none() {
                continue;
            }
            set(whole_mut(&mut thin, rows, rank), scale, gradient_part, b);
            let thin = whole(&thin, rows, rank);
            if module.train_a {
                let mut gradient_a = vec![0.0; rank * self.inputs];
                set(
                    whole_mut(&mut gradient_a, rank, self.inputs),
                    1.0,
                    thin.transpose(),
                    x,
                );
                gradients.insert(
                    format!("{}.lora_A", part.path),
                    Tensor::from_vec(gradient_a, (rank, self.inputs), &Device::Cpu)?,
                );
            }
            if let Some(gradient_x) = gradient_x.as_deref_mut() {
                add(whole_mut(gradient_x, rows, self.inputs), 1.0, thin, a);
            }
        }
        Ok(())
    }
}

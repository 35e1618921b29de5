//! Linear layers that share an input, with the low-rank change of an adapter on top.

use super::buffers::{Buffer, Floats, Pool, matrix};
use super::frozen::{Frozen, Lent};
use super::lanes::{add, add_scaled, vectorized};
use super::product::{block_mut, whole_mut};
use super::tiles::{Back, Panels, Rows, Through, across, back, narrow, through};
use crate::models::adapter::{Adapter, AdapterGradients};
use crate::{Error, Result};
use candle_core::{Device, Tensor};
use rayon::prelude::*;
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
/// y = x·[W₁; W₂; …]ᵀ + b.
#[derive(Debug)]
pub struct LinearGroup {
    /// [outputs, inputs]
    pub weight: Frozen,
    /// Added to each row of y, \[outputs\]; the change of an adapter leaves it alone.
    pub bias: Option<Tensor>,
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
    wholes: Wholes,
}

/// What is done with changes of whole weights. The kind of a pass decides, never its rows: what a
/// sequence gives does not depend on what else is read with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wholes {
    /// They are added to the weights before the products, anew in each pass: cheap beside the products
    /// of the many rows of whole sequences.
    Added,
    /// They have products of their own, for passes that go on from a cache: a row at a time these take
    /// as long as it takes to read the weights.
    Beside,
}

struct BorrowedLowRank<'a> {
    a: Floats<'a>,
    b: Floats<'a>,
    rank: usize,
    whole: bool,
    scale: f32,
    train_a: bool,
    train_b: bool,
}

impl<'a> BorrowedAdapter<'a> {
    /// Borrows the adapter after checking it against the layers, given as path → (outputs, inputs).
    pub fn new(
        adapter: Option<&'a Adapter>,
        shapes: &BTreeMap<String, (usize, usize)>,
        wholes: Wholes,
    ) -> Result<Self> {
        let plain =
            |adapter: &Adapter| adapter.magnitudes.is_empty() && adapter.replaced.is_empty();
        if !adapter.is_none_or(plain) {
            return Err(Error::bug(
                "an adapter is used that is not bound to its base",
            ));
        }
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
                whole: low_rank.whole,
                scale: low_rank.scale as f32,
                train_a: low_rank.train_a,
                train_b: low_rank.train_b,
            };
            modules.insert(path.as_str(), borrowed);
        }
        Ok(Self { modules, wholes })
    }

    fn adds(&self, module: &BorrowedLowRank<'_>) -> bool {
        module.whole && self.wholes == Wholes::Added
    }

    /// What has products of its own in a layer.
    fn beside(&self, part: &Part) -> Option<&BorrowedLowRank<'a>> {
        let module = self.modules.get(part.path.as_str())?;
        (!self.adds(module)).then_some(module)
    }

    /// Whether any layer whose path begins so has a tensor that moves.
    pub fn trains_under(&self, prefix: &str) -> bool {
        self.modules
            .iter()
            .any(|(path, module)| path.starts_with(prefix) && (module.train_a || module.train_b))
    }
}

/// Numbers of a change that one thread adds at a time.
const ADDED: usize = 1 << 15;

/// What the backward of a group needs besides its input: s·x·Aᵀ of each adapted layer.
pub type KeptNarrow = Vec<Option<Panels>>;

impl LinearGroup {
    fn weights<'a>(&self, weight: &'a [f32], part: &Part) -> Rows<'a> {
        Rows::of(weight, self.inputs).from_row(part.start)
    }

    /// The stacked weight, with the changes added that are to be added to it.
    fn moved<'a>(&'a self, adapter: &BorrowedAdapter<'_>, pool: &Pool) -> Result<Lent<'a>> {
        let weight = self.weight.lend(pool)?;
        let change = |part: &Part| {
            let module = adapter.modules.get(part.path.as_str())?;
            adapter.adds(module).then_some(&*module.b)
        };
        if self.parts.iter().all(|part| change(part).is_none()) {
            return Ok(weight);
        }
        let mut moved = pool.take(weight.len());
        for part in &self.parts {
            let own = part.start * self.inputs..(part.start + part.outputs) * self.inputs;
            let (to, weight) = (&mut moved[own.clone()], &weight[own]);
            let Some(change) = change(part) else {
                to.copy_from_slice(weight);
                continue;
            };
            to.par_chunks_mut(ADDED)
                .zip(weight.par_chunks(ADDED))
                .zip(change.par_chunks(ADDED))
                .for_each(|((to, weight), change)| {
                    vectorized(
                        #[inline(always)]
                        || add(to, weight, change),
                    );
                });
        }
        Ok(Lent::Made(moved))
    }

    /// Writes the bias to each row of y (or adds it, with `accumulate`); false where there is none.
    fn begin(&self, accumulate: bool, y: &mut [f32]) -> Result<bool> {
        let Some(bias) = &self.bias else {
            return Ok(false);
        };
        let bias = Floats::of(bias)?;
        for row in y.chunks_exact_mut(self.outputs) {
            if accumulate {
                add_scaled(row, 1.0, &bias);
            } else {
                row.copy_from_slice(&bias);
            }
        }
        Ok(true)
    }

    /// Writes (or adds, with `accumulate`) y [rows, outputs] for x [rows, inputs].
    pub fn forward(
        &self,
        x: &[f32],
        adapter: &BorrowedAdapter<'_>,
        accumulate: bool,
        pool: &Pool,
        y: &mut [f32],
    ) -> Result<KeptNarrow> {
        let rows = x.len() / self.inputs;
        let weight = self.moved(adapter, pool)?;
        // Where there is a bias, the products are added to it.
        let accumulate = self.begin(accumulate, y)? || accumulate;
        let panels = Panels::pack(pool, x, self.inputs);
        if !self.parts.iter().any(|part| adapter.beside(part).is_some()) {
            let term = Through {
                panels: &panels,
                weights: Rows::of(&weight, self.inputs),
            };
            through(whole_mut(y, rows, self.outputs), accumulate, &[term]);
            return Ok(Vec::new());
        }
        let mut kept = Vec::with_capacity(self.parts.len());
        for part in &self.parts {
            let frozen = Through {
                panels: &panels,
                weights: self.weights(&weight, part),
            };
            let to = block_mut(y, rows, self.outputs, part.start, part.outputs);
            let Some(module) = adapter.beside(part) else {
                through(to, accumulate, &[frozen]);
                kept.push(None);
                continue;
            };
            if module.whole {
                let change = Through {
                    panels: &panels,
                    weights: Rows::of(&module.b, self.inputs),
                };
                through(to, accumulate, &[frozen, change]);
                kept.push(None);
                continue;
            }
            let into = Through {
                panels: &panels,
                weights: Rows::of(&module.a, self.inputs),
            };
            let middle = narrow(pool, into, module.rank, module.scale);
            let change = Through {
                panels: &middle,
                weights: Rows::of(&module.b, module.rank),
            };
            through(to, accumulate, &[frozen, change]);
            kept.push(Some(middle));
        }
        Ok(kept)
    }

    /// From the gradient of y: writes that of x to `gradient_x` where asked for, and puts those of
    /// the adapter's moving tensors into `gradients`. `x` is the forward's input, `kept` what it gave.
    #[expect(
        clippy::too_many_arguments,
        reason = "the backward of a product needs its operands"
    )]
    pub fn backward(
        &self,
        x: &[f32],
        kept: &KeptNarrow,
        gradient_y: &[f32],
        adapter: &BorrowedAdapter<'_>,
        pool: &Pool,
        gradient_x: Option<&mut [f32]>,
        gradients: &mut AdapterGradients,
    ) -> Result<()> {
        let rows = x.len() / self.inputs;
        let gradient_y = Rows::of(gradient_y, self.outputs);
        // s·∂y·B of each adapted layer: what goes on through A.
        let mut middles: Vec<(Buffer, &BorrowedLowRank<'_>)> = Vec::new();
        for (index, part) in self.parts.iter().enumerate() {
            let Some(module) = adapter.modules.get(part.path.as_str()) else {
                continue;
            };
            let (rank, scale) = (module.rank, module.scale);
            let of_part = gradient_y.columns(part.start, part.outputs);
            if module.whole {
                if !adapter.adds(module) {
                    return Err(Error::bug(format!(
                        "{} has a product of its own, and no backward",
                        part.path
                    )));
                }
                if module.train_b {
                    let gradient_b = across(of_part, Rows::of(x, self.inputs), rows, 1.0);
                    gradients.insert(
                        format!("{}.lora_B", part.path),
                        Tensor::from_vec(gradient_b, (part.outputs, self.inputs), &Device::Cpu)?,
                    );
                }
                continue;
            }
            if module.train_b {
                let Some(Some(middle)) = kept.get(index) else {
                    return Err(Error::bug(format!("{} kept nothing", part.path)));
                };
                let middle = middle.unpack(pool);
                let gradient_b = across(of_part, Rows::of(&middle, rank), rows, 1.0);
                gradients.insert(
                    format!("{}.lora_B", part.path),
                    Tensor::from_vec(gradient_b, (part.outputs, rank), &Device::Cpu)?,
                );
            }
            if !module.train_a && gradient_x.is_none() {
                continue;
            }
            let mut middle = pool.take(rows * rank);
            let term = Back {
                left: of_part,
                right: Rows::of(&module.b, rank),
            };
            back(whole_mut(&mut middle, rows, rank), &[term]);
            for value in middle.iter_mut() {
                *value *= scale;
            }
            if module.train_a {
                let turned = across(Rows::of(x, self.inputs), Rows::of(&middle, rank), rows, 1.0);
                gradients.insert(
                    format!("{}.lora_A", part.path),
                    Tensor::from_vec(turned, (self.inputs, rank), &Device::Cpu)?
                        .t()?
                        .contiguous()?,
                );
            }
            middles.push((middle, module));
        }
        if let Some(gradient_x) = gradient_x {
            let weight = self.moved(adapter, pool)?;
            let mut terms = vec![Back {
                left: gradient_y,
                right: Rows::of(&weight, self.inputs),
            }];
            terms.extend(middles.iter().map(|(middle, module)| Back {
                left: Rows::of(middle, module.rank),
                right: Rows::of(&module.a, self.inputs),
            }));
            back(whole_mut(gradient_x, rows, self.inputs), &terms);
        }
        Ok(())
    }
}

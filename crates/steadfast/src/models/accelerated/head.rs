//! The output head: logits for the rows that need them, a chunk at a time.

use super::product::product;
use crate::conversations::packing::Target;
use crate::{Error, Result};
use candle_core::{D, Tensor};

/// Rows whose logits exist at once: 100 MB for a vocabulary of 49 thousand, a few times over.
const ROWS: usize = 512;

/// The frozen head: logits = hidden·weightᵀ.
#[derive(Debug)]
pub struct Head {
    /// [vocabulary, width]
    pub weight: Tensor,
}

/// Some targets on the device.
struct Chunk {
    /// \[count\]
    rows: Tensor,
    /// \[count\]
    tokens: Tensor,
    /// [count, 1]
    weights: Tensor,
}

impl Head {
    fn chunk(&self, targets: &[Target]) -> Result<Chunk> {
        let device = self.weight.device();
        let count = targets.len();
        let ids = |of: fn(&Target) -> u32| {
            Tensor::from_vec(targets.iter().map(of).collect::<Vec<u32>>(), count, device)
        };
        let weights: Vec<f32> = targets.iter().map(|target| target.weight).collect();
        Ok(Chunk {
            rows: ids(|target| target.row)?,
            tokens: ids(|target| target.token)?,
            weights: Tensor::from_vec(weights, (count, 1), device)?,
        })
    }

    fn check(&self, hidden: &Tensor, rows: impl Iterator<Item = (u32, u32)>) -> Result<()> {
        let (held, vocabulary) = (hidden.dim(0)?, self.weight.dim(0)?);
        let mut rows = rows;
        match rows.find(|(row, token)| *row as usize >= held || *token as usize >= vocabulary) {
            None => Ok(()),
            Some((row, token)) => Err(Error::bug(format!(
                "target token {token} at row {row} lies outside {vocabulary} tokens and {held} rows"
            ))),
        }
    }

    fn logits(&self, states: &Tensor) -> Result<Tensor> {
        product(states, &self.weight.t()?)
    }

    /// Σ weight·(−ln p(target)) in nats over the targets, and with `gradient` its gradient
    /// [rows, width].
    pub fn cross_entropy(
        &self,
        hidden: &Tensor,
        targets: &[Target],
        gradient: bool,
    ) -> Result<(f64, Option<Tensor>)> {
        self.check(hidden, targets.iter().map(|one| (one.row, one.token)))?;
        let mut total = gradient.then(|| hidden.zeros_like()).transpose()?;
        let mut losses = Vec::new();
        for targets in targets.chunks(ROWS) {
            let chunk = self.chunk(targets)?;
            let logits = self.logits(&hidden.index_select(&chunk.rows, 0)?)?;
            let own = logits.gather(&chunk.tokens.unsqueeze(1)?, 1)?;
            let most = logits.max_keepdim(D::Minus1)?;
            let powers = logits.broadcast_sub(&most)?.exp()?;
            drop(logits);
            let sums = powers.sum_keepdim(D::Minus1)?;
            losses.push(((sums.log()? + most)? - own)?.flatten_all()?);
            if let Some(before) = total {
                // weight·(p − 1 at the target)·W, without the matrix that holds the ones.
                let shares = powers.broadcast_mul(&(&chunk.weights / sums)?)?;
                let targets = self.weight.index_select(&chunk.tokens, 0)?;
                let pulled =
                    (product(&shares, &self.weight)? - targets.broadcast_mul(&chunk.weights)?)?;
                total = Some(before.index_add(&chunk.rows, &pulled, 0)?);
            }
        }
        if losses.is_empty() {
            return Ok((0.0, total));
        }
        // The one wait for the device.
        let losses = Tensor::cat(&losses, 0)?.to_vec1::<f32>()?;
        let weighted = losses
            .iter()
            .zip(targets)
            .map(|(loss, target)| f64::from(target.weight) * f64::from(*loss));
        Ok((weighted.sum(), total))
    }

    /// weight·Σ KL(teacher ‖ student) in nats over `rows` of `hidden`, and its gradient
    /// [rows, width]. `teacher` holds the teacher's hidden states [rows.len(), width].
    pub fn divergence(
        &self,
        hidden: &Tensor,
        rows: &[u32],
        teacher: &Tensor,
        weight: f64,
    ) -> Result<(f64, Tensor)> {
        self.check(hidden, rows.iter().map(|row| (*row, 0)))?;
        let mut gradient = hidden.zeros_like()?;
        let mut divergences = Vec::new();
        for (index, rows) in rows.chunks(ROWS).enumerate() {
            let teacher = teacher.narrow(0, index * ROWS, rows.len())?;
            let rows = Tensor::new(rows, hidden.device())?;
            let student = log_shares(&self.logits(&hidden.index_select(&rows, 0)?)?)?;
            let teacher = log_shares(&self.logits(&teacher)?)?;
            let shares = teacher.exp()?;
            let apart = (&shares * (teacher - &student)?)?;
            divergences.push(apart.sum(D::Minus1)?);
            drop(apart);
            let pull = ((student.exp()? - shares)? * weight)?;
            let pulled = product(&pull, &self.weight)?;
            gradient = gradient.index_add(&rows, &pulled, 0)?;
        }
        if divergences.is_empty() {
            return Ok((0.0, gradient));
        }
        let divergences = Tensor::cat(&divergences, 0)?.to_vec1::<f32>()?;
        let sum: f64 = divergences.iter().map(|value| f64::from(*value)).sum();
        Ok((weight * sum, gradient))
    }
}

/// ln softmax of each row.
fn log_shares(logits: &Tensor) -> Result<Tensor> {
    let shifted = logits.broadcast_sub(&logits.max_keepdim(D::Minus1)?)?;
    let sums = shifted.exp()?.sum_keepdim(D::Minus1)?;
    Ok(shifted.broadcast_sub(&sums.log()?)?)
}

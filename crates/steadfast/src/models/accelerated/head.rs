//! The output head: logits for the rows that need them, a chunk at a time.

use super::fused::{Fused, sum};
use super::product::product;
use crate::conversations::packing::Target;
use crate::{Error, Result};
use candle_core::Tensor;

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
        let (mut losses, mut pulls) = (Vec::new(), Vec::new());
        for targets in targets.chunks(ROWS) {
            let chunk = self.chunk(targets)?;
            let logits = self.logits(&hidden.index_select(&chunk.rows, 0)?)?;
            let own = logits.gather(&chunk.tokens.unsqueeze(1)?, 1)?;
            let sums = log_sums(&logits)?;
            losses.push((&sums - own)?.flatten_all()?);
            if gradient {
                // weight·(p − 1 at the target)·W, without the matrix that holds the ones.
                weigh(&logits, &sums, &chunk.weights)?;
                let targets = self.weight.index_select(&chunk.tokens, 0)?;
                let pulled = product(&logits, &self.weight)?;
                pulls.push((pulled - targets.broadcast_mul(&chunk.weights)?)?);
            }
        }
        let rows: Vec<u32> = targets.iter().map(|target| target.row).collect();
        let total = gradient
            .then(|| spread(&pulls, &rows, hidden))
            .transpose()?;
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
        let (mut found, mut pulls) = (Vec::new(), Vec::new());
        for (index, rows) in rows.chunks(ROWS).enumerate() {
            let teacher = teacher.narrow(0, index * ROWS, rows.len())?;
            let rows = Tensor::new(rows, hidden.device())?;
            let student = self.logits(&hidden.index_select(&rows, 0)?)?;
            let teacher = self.logits(&teacher)?;
            found.push(divergences(&teacher, &student)?);
            pull_towards(&teacher, &student, weight)?;
            pulls.push(product(&student, &self.weight)?);
        }
        let gradient = spread(&pulls, rows, hidden)?;
        if found.is_empty() {
            return Ok((0.0, gradient));
        }
        let found = Tensor::cat(&found, 0)?.to_vec1::<f32>()?;
        let sum: f64 = found.iter().map(|value| f64::from(*value)).sum();
        Ok((weight * sum, gradient))
    }
}

/// The rows of `parts`, laid where `rows` says in a tensor like `like` [rows, width] that is 0
/// elsewhere; what goes to the same row is added.
fn spread(parts: &[Tensor], rows: &[u32], like: &Tensor) -> Result<Tensor> {
    if parts.is_empty() {
        return Ok(like.zeros_like()?);
    }
    let (count, device) = (rows.len() as u32, like.device());
    let mut from = vec![count; like.dim(0)?];
    let (mut again, mut again_from) = (Vec::new(), Vec::new());
    for (place, row) in (0..).zip(rows) {
        let from = &mut from[*row as usize];
        if *from == count {
            *from = place;
        } else {
            again.push(*row);
            again_from.push(place);
        }
    }
    // One row more, of zeros, for the rows that get nothing.
    let zeros = like.narrow(0, 0, 1)?.zeros_like()?;
    let parts: Vec<&Tensor> = parts.iter().chain([&zeros]).collect();
    let parts = Tensor::cat(&parts, 0)?;
    let laid = parts.index_select(&Tensor::new(from.as_slice(), device)?, 0)?;
    if again.is_empty() {
        return Ok(laid);
    }
    // candle's `index_add` goes through its rows one after the other: only for these few.
    let more = parts.index_select(&Tensor::new(again_from.as_slice(), device)?, 0)?;
    Ok(laid.index_add(&Tensor::new(again.as_slice(), device)?, &more, 0)?)
}

/// The largest of a row, and ln Σ exp of what the others are below it. Their sum, the row's ln Σ exp, is
/// rounded at the size of the largest: too coarse for small divergences.
fn log_sum(row: &[f32]) -> (f32, f32) {
    let most = row.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    (most, sum(row.iter().map(|value| (value - most).exp())).ln())
}

/// ln softmax of each of a row.
fn log_shares(row: &[f32]) -> impl Iterator<Item = f32> {
    let (most, below) = log_sum(row);
    row.iter().map(move |value| (value - most) - below)
}

/// ln Σ exp of each row of `logits` [rows, width], as [rows, 1].
pub(super) fn log_sums(logits: &Tensor) -> Result<Tensor> {
    let (rows, width) = logits.dims2()?;
    let plain = |sums: &mut [f32], sources: &[&[f32]]| {
        for (found, row) in sums.iter_mut().zip(sources[0].chunks_exact(width)) {
            let (most, below) = log_sum(row);
            *found = most + below;
        }
    };
    Fused {
        name: "log_sums",
        shape: (rows, 1).into(),
        rows,
        sizes: vec![width],
        numbers: Vec::new(),
        plain,
    }
    .make(&[(logits, &[rows, width])])
}

/// Turns logits [rows, width] into weight·softmax, with their [`log_sums`] and a weight a row, both
/// [rows, 1].
pub(super) fn weigh(logits: &Tensor, sums: &Tensor, weights: &Tensor) -> Result<()> {
    let (rows, width) = logits.dims2()?;
    let plain = |logits: &mut [f32], sources: &[&[f32]]| {
        let each = sources[0].iter().zip(sources[1]);
        for (row, (sum, weight)) in logits.chunks_exact_mut(width).zip(each) {
            for value in row {
                *value = weight * (*value - sum).exp();
            }
        }
    };
    Fused {
        name: "weigh",
        shape: (rows, width).into(),
        rows,
        sizes: vec![width],
        numbers: Vec::new(),
        plain,
    }
    .change(logits, &[(sums, &[rows, 1]), (weights, &[rows, 1])])
}

/// KL(softmax of `teacher` ‖ softmax of `student`) of each row of logits [rows, width], \[rows\].
pub(super) fn divergences(teacher: &Tensor, student: &Tensor) -> Result<Tensor> {
    let (rows, width) = student.dims2()?;
    let plain = |found: &mut [f32], sources: &[&[f32]]| {
        let each = sources[0].chunks_exact(width);
        let each = each.zip(sources[1].chunks_exact(width));
        for (found, (teacher, student)) in found.iter_mut().zip(each) {
            let each = log_shares(teacher).zip(log_shares(student));
            *found = sum(each.map(|(teacher, student)| teacher.exp() * (teacher - student)));
        }
    };
    Fused {
        name: "divergences",
        shape: rows.into(),
        rows,
        sizes: vec![width],
        numbers: Vec::new(),
        plain,
    }
    .make(&[(teacher, &[rows, width]), (student, &[rows, width])])
}

/// Turns the student's logits [rows, width] into weight·(softmax − the teacher's): the gradient of
/// weight·[`divergences`].
pub(super) fn pull_towards(teacher: &Tensor, student: &Tensor, weight: f64) -> Result<()> {
    let (rows, width) = student.dims2()?;
    let weight = weight as f32;
    let plain = |student: &mut [f32], sources: &[&[f32]]| {
        let teacher = sources[0].chunks_exact(width);
        for (student, teacher) in student.chunks_exact_mut(width).zip(teacher) {
            let shares: Vec<f32> = log_shares(student).map(f32::exp).collect();
            let each = shares.iter().zip(log_shares(teacher));
            for (found, (own, teacher)) in student.iter_mut().zip(each) {
                *found = weight * (own - teacher.exp());
            }
        }
    };
    Fused {
        name: "pull_towards",
        shape: (rows, width).into(),
        rows,
        sizes: vec![width],
        numbers: vec![weight],
        plain,
    }
    .change(student, &[(teacher, &[rows, width])])
}

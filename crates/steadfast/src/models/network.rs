//! What training asks of a network, wherever it runs.

use super::adapter::{Adapter, AdapterGradients};
use super::decoder::Decoder;
use crate::Result;
use crate::conversations::packing::{Packed, Target};
use candle_core::Tensor;

/// A frozen network that tells how an adapter on top of it should move.
///
/// Hidden states and their gradients are where the network is; adapters, their gradients and a
/// teacher's hidden states are on the CPU.
pub trait Network {
    /// What a forward keeps for its backward.
    type Kept;

    /// Final normed hidden states [rows, hidden] of a packed batch, and what backward needs.
    fn forward(&self, packed: &Packed, adapter: &Adapter) -> Result<(Tensor, Self::Kept)>;

    /// Gradients of the adapter's moving tensors from that of the final hidden states.
    fn backward(
        &self,
        kept: Self::Kept,
        gradient: &Tensor,
        adapter: &Adapter,
    ) -> Result<AdapterGradients>;

    /// Weighted sum of cross-entropies (nats) over the targets, and its gradient [rows, hidden].
    fn cross_entropy(&self, hidden: &Tensor, targets: &[Target]) -> Result<(f64, Tensor)>;

    /// Weighted sum of KL(teacher ‖ student) (nats) over `rows`, and its gradient [rows, hidden].
    /// The teacher is given by its final hidden states [rows.len(), hidden].
    fn divergence(
        &self,
        hidden: &Tensor,
        rows: &[u32],
        teacher: &Tensor,
        weight: f64,
    ) -> Result<(f64, Tensor)>;

    /// Weighted sum of cross-entropies (nats) over a batch's targets, with nothing kept.
    fn loss(&self, packed: &Packed, adapter: &Adapter) -> Result<f64>;
}

impl Network for Decoder {
    type Kept = super::decoder::Kept;

    fn forward(&self, packed: &Packed, adapter: &Adapter) -> Result<(Tensor, Self::Kept)> {
        self.forward(packed, adapter)
    }

    fn backward(
        &self,
        kept: Self::Kept,
        gradient: &Tensor,
        adapter: &Adapter,
    ) -> Result<AdapterGradients> {
        self.backward(kept, gradient, adapter)
    }

    fn cross_entropy(&self, hidden: &Tensor, targets: &[Target]) -> Result<(f64, Tensor)> {
        self.cross_entropy(hidden, targets)
    }

    fn divergence(
        &self,
        hidden: &Tensor,
        rows: &[u32],
        teacher: &Tensor,
        weight: f64,
    ) -> Result<(f64, Tensor)> {
        self.divergence(hidden, rows, teacher, weight)
    }

    fn loss(&self, packed: &Packed, adapter: &Adapter) -> Result<f64> {
        let hidden = self.hidden(&packed.tokens, &packed.lengths, Some(adapter), None)?;
        let scored = self.log_probabilities(&hidden, &packed.targets)?;
        let weighted = scored
            .iter()
            .zip(&packed.targets)
            .map(|((log_probability, _), target)| f64::from(target.weight) * log_probability);
        Ok(-weighted.sum::<f64>())
    }
}

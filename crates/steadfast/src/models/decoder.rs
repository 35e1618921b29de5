//! The Llama-family decoder over packed sequences: forward, and backward for adapters.

use super::adapter::{Adapter, AdapterGradients};
use super::config::ModelConfig;
use super::weights::Weights;
use crate::Result;
use crate::conversations::packing::{Packed, Target};
use candle_core::{Device, Tensor};

/// Called with the input [rows, in] of each group of linear layers that share it, named by the
/// group's first module path (`…q_proj` stands for q, k, v; `…gate_proj` for gate and up).
pub type InputObserver<'a> = &'a mut dyn FnMut(&str, &Tensor) -> Result<()>;

/// The network, weights frozen.
#[derive(Debug)]
pub struct Decoder;

/// What one packed forward keeps for its backward.
#[derive(Debug)]
pub struct Kept;

/// Keys and values of sequences under way, one entry a sequence.
#[derive(Debug, Clone)]
pub struct Cache;

impl Decoder {
    /// Takes the named weights.
    pub fn new(config: &ModelConfig, weights: Weights, device: &Device) -> Result<Self> {
        let _ = (config, weights, device);
        todo!("engine helper")
    }

    /// Final normed hidden states [rows, hidden] of packed sequences; keeps nothing.
    pub fn hidden(
        &self,
        tokens: &[u32],
        lengths: &[usize],
        adapter: Option<&Adapter>,
        observe: Option<InputObserver<'_>>,
    ) -> Result<Tensor> {
        let _ = (tokens, lengths, adapter, observe);
        todo!("engine helper")
    }

    /// As [`Self::hidden`], keeping what backward needs.
    pub fn forward(&self, packed: &Packed, adapter: &Adapter) -> Result<(Tensor, Kept)> {
        let _ = (packed, adapter);
        todo!("engine helper")
    }

    /// Gradients of the adapter's moving tensors from the gradient [rows, hidden] of the final hidden states.
    pub fn backward(
        &self,
        kept: Kept,
        gradient: &Tensor,
        adapter: &Adapter,
    ) -> Result<AdapterGradients> {
        let _ = (kept, gradient, adapter);
        todo!("engine helper")
    }

    /// Weighted sum of cross-entropies (nats) over the targets, and its gradient [rows, hidden] with
    /// respect to the hidden states. Logits exist only for target rows, a chunk at a time.
    pub fn cross_entropy(&self, hidden: &Tensor, targets: &[Target]) -> Result<(f64, Tensor)> {
        let _ = (hidden, targets);
        todo!("engine helper")
    }

    /// Weighted sum of KL(teacher ‖ student) in nats over `rows` of `hidden`, and its gradient
    /// [rows, hidden]. The teacher is given by its final hidden states [rows.len(), hidden]: the
    /// head is frozen, so its logits need not be stored.
    pub fn divergence(
        &self,
        hidden: &Tensor,
        rows: &[u32],
        teacher: &Tensor,
        weight: f64,
    ) -> Result<(f64, Tensor)> {
        let _ = (hidden, rows, teacher, weight);
        todo!("engine helper")
    }

    /// Log-probability (nats) of each target under the hidden states, and whether it is the likeliest token.
    pub fn log_probabilities(
        &self,
        hidden: &Tensor,
        targets: &[Target],
    ) -> Result<Vec<(f64, bool)>> {
        let _ = (hidden, targets);
        todo!("engine helper")
    }

    /// Logits [rows, vocabulary].
    pub fn logits(&self, hidden: &Tensor) -> Result<Tensor> {
        let _ = hidden;
        todo!("engine helper")
    }
}

//! What is allowed to move, and how. A method never changes the training loop.
//!
//! One file a method: [`lora`] moves A and B; [`null_space`] moves where the old behaviour does not
//! look, with [`moments`] as its instrument.

pub mod lora;
pub mod moments;
pub mod null_space;

use crate::Result;
use crate::models::adapter::{Adapter, AdapterGradients};
use candle_core::Tensor;
use std::collections::BTreeMap;

/// Named tensors in a fixed order.
pub type Parameters = BTreeMap<String, Tensor>;

/// The extra loss terms of a step.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Penalty {
    /// Their sum, nats-like units of the loss it is added to.
    pub value: f64,
}

/// What moves, in which subspace, with which extra loss, seen by the training loop.
pub trait Method {
    /// The word the user writes (`lora`).
    fn name(&self) -> &'static str;

    /// The tensors that move, at their present values.
    fn parameters(&self) -> &Parameters;

    /// Puts new values in place of the present ones (same names, same shapes).
    fn set_parameters(&mut self, parameters: Parameters) -> Result<()>;

    /// The adapter that the present parameters stand for.
    fn adapter(&self) -> Result<Adapter>;

    /// Gradients of the parameters, from the adapter's and from the method's own loss terms.
    fn pull_back(&self, gradients: &AdapterGradients) -> Result<(Parameters, Penalty)>;

    /// Disturbance of each layer by the present parameters, relative to the layer's own output power
    /// on retained text: tr(B·G·Bᵀ)/tr(W·C·Wᵀ). Empty for methods without moments.
    fn disturbance(&self) -> Result<Vec<(String, f64)>> {
        Ok(Vec::new())
    }
}

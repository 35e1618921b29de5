//! What the training loop sees of a method.

use crate::models::adapter::{Adapter, AdapterGradients};
use crate::{Error, Result};
use candle_core::Tensor;
use std::collections::BTreeMap;

/// Named tensors in a fixed order.
pub type Parameters = BTreeMap<String, Tensor>;

/// The extra loss terms of a step.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Penalty {
    /// Their sum, in the unit of the loss that they are added to.
    pub value: f64,
}

/// What moves, in which subspace, with which extra loss.
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

/// One parameter by name.
pub(super) fn parameter(parameters: &Parameters, name: &str) -> Result<Tensor> {
    parameters
        .get(name)
        .cloned()
        .ok_or_else(|| Error::bug(format!("the parameter {name} is missing")))
}

/// Takes new values, if they are of the same names and shapes.
pub(super) fn replace(present: &mut Parameters, new: Parameters) -> Result<()> {
    let same = present.len() == new.len()
        && present
            .iter()
            .zip(&new)
            .all(|((name, old), (other, new))| name == other && old.shape() == new.shape());
    if !same {
        return Err(Error::bug("the new parameters have other names or shapes"));
    }
    *present = new;
    Ok(())
}

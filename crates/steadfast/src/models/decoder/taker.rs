//! From named weights to the parts of the network.

use super::super::blocks::frozen::Frozen;
use super::super::blocks::linear::{LinearGroup, Part};
use super::super::blocks::norm::Norm;
use super::super::config::{NormConfig, NormKind};
use super::super::weights::{Weight, Weights};
use crate::{Error, Result};
use candle_core::Tensor;

/// Takes named tensors out of the weights, checking their shapes.
pub(super) struct Taker {
    pub(super) weights: Weights,
}

impl Taker {
    fn weight(&mut self, name: &str, shape: &[usize]) -> Result<Weight> {
        let weight = self.weights.remove(name).ok_or_else(|| {
            Error::user(format!("the model has no tensor `{name}`"))
                .field(name)
                .hint("check that the folder or file holds a complete model")
        })?;
        if weight.shape() != shape {
            return Err(Error::user(format!(
                "tensor `{name}` has shape {:?}, expected {shape:?}",
                weight.shape()
            ))
            .field(name)
            .hint(
                "config.json (or the GGUF metadata) and the weights disagree: fetch both again",
            ));
        }
        weight.read()
    }

    pub(super) fn take(&mut self, name: &str, shape: &[usize]) -> Result<Tensor> {
        self.weight(name, shape)?.into_floats()
    }

    /// The norm of that name.
    pub(super) fn norm(&mut self, name: &str, width: usize, config: &NormConfig) -> Result<Norm> {
        let bias = match config.kind {
            NormKind::RootMeanSquare => None,
            NormKind::Layer => Some(self.take(&format!("{name}.bias"), &[width])?),
        };
        Ok(Norm {
            weight: self.norm_weight(name, width, config)?,
            bias,
            epsilon: config.epsilon,
        })
    }

    /// A norm's weight, as it is multiplied with.
    pub(super) fn norm_weight(
        &mut self,
        name: &str,
        width: usize,
        config: &NormConfig,
    ) -> Result<Tensor> {
        let weight = self.take(&format!("{name}.weight"), &[width])?;
        if config.offset == 0.0 {
            return Ok(weight);
        }
        Ok((weight + config.offset)?)
    }

    /// The linear layers `parts` (name, width of the output) below `layer`, stacked.
    pub(super) fn group(
        &mut self,
        layer: &str,
        inputs: usize,
        parts: &[(&str, usize)],
        biased: bool,
    ) -> Result<LinearGroup> {
        let mut weights = Vec::new();
        let mut biases = Vec::new();
        let mut described = Vec::new();
        let mut start = 0;
        for &(name, outputs) in parts {
            let path = format!("{layer}.{name}");
            weights.push(self.weight(&format!("{path}.weight"), &[outputs, inputs])?);
            if biased {
                biases.push(self.take(&format!("{path}.bias"), &[outputs])?);
            }
            described.push(Part {
                path,
                start,
                outputs,
            });
            start += outputs;
        }
        let weight = if weights.iter().all(|one| matches!(one, Weight::Stored(_))) {
            let stored = weights.into_iter().filter_map(|weight| match weight {
                Weight::Stored(stored) => Some(stored),
                _ => None,
            });
            Frozen::Stored(stored.collect())
        } else {
            let floats = weights.into_iter().map(Weight::into_floats);
            Frozen::Floats(stacked(floats.collect::<Result<_>>()?)?)
        };
        Ok(LinearGroup {
            weight,
            bias: biased.then(|| stacked(biases)).transpose()?,
            parts: described,
            inputs,
            outputs: start,
        })
    }
}

/// The tensors below one another; a single one is not copied.
fn stacked(mut tensors: Vec<Tensor>) -> Result<Tensor> {
    match tensors.pop() {
        Some(only) if tensors.is_empty() => Ok(only),
        last => {
            tensors.extend(last);
            Ok(Tensor::cat(&tensors, 0)?)
        }
    }
}

//! From named weights to the parts of the network.

use super::super::blocks::frozen::Frozen;
use super::super::blocks::linear::{LinearGroup, Part};
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
                .hint("check that the folder or file holds a complete Llama-family model")
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
        Ok(weight)
    }

    pub(super) fn take(&mut self, name: &str, shape: &[usize]) -> Result<Tensor> {
        self.weight(name, shape)?.into_floats()
    }

    pub(super) fn group(
        &mut self,
        layer: &str,
        inputs: usize,
        parts: &[(&str, usize)],
    ) -> Result<LinearGroup> {
        let mut weights = Vec::new();
        let mut described = Vec::new();
        let mut start = 0;
        for &(name, outputs) in parts {
            let path = format!("{layer}.{name}");
            weights.push(self.weight(&format!("{path}.weight"), &[outputs, inputs])?);
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
                Weight::Floats(_) => None,
            });
            Frozen::Stored(stored.collect())
        } else {
            let mut floats = weights.into_iter().map(Weight::into_floats);
            match (floats.next(), floats.len()) {
                (Some(only), 0) => Frozen::Floats(only?),
                (first, _) => {
                    let all = first
                        .into_iter()
                        .chain(floats)
                        .collect::<Result<Vec<_>>>()?;
                    Frozen::Floats(Tensor::cat(&all, 0)?)
                }
            }
        };
        Ok(LinearGroup {
            weight,
            parts: described,
            inputs,
            outputs: start,
        })
    }
}

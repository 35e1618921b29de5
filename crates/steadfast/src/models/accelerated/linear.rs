//! Linear layers that share an input, with an adapter's change on top.

use super::change::{Change, Gradients};
use super::product::product;
use crate::models::blocks::frozen::Frozen;
use crate::models::blocks::linear::{self, Part};
use crate::{Error, Result};
use candle_core::{Device, Tensor};

/// y = x·[W₁; W₂; …]ᵀ, as [`crate::models::blocks::linear::LinearGroup`].
#[derive(Debug)]
pub struct LinearGroup {
    /// [outputs, inputs]
    weight: Tensor,
    /// The layers, in the order of their columns in y.
    pub parts: Vec<Part>,
    /// Width of x.
    pub inputs: usize,
}

/// x·Aᵀ, where the group is adapted.
pub type Middle = Option<Tensor>;

impl LinearGroup {
    /// Takes the CPU's weights to a device, as f32.
    pub fn new(group: &linear::LinearGroup, device: &Device) -> Result<Self> {
        let weight = match &group.weight {
            Frozen::Floats(weight) => weight.to_device(device)?,
            Frozen::Stored(stored) => {
                let all: Vec<Tensor> = stored
                    .iter()
                    .map(|one| one.floats())
                    .collect::<Result<_>>()?;
                Tensor::cat(&all, 0)?.to_device(device)?
            }
        };
        Ok(Self {
            weight,
            parts: group.parts.clone(),
            inputs: group.inputs,
        })
    }

    /// y [rows, outputs] for x [rows, inputs], and what backward needs.
    pub fn forward(&self, x: &Tensor, change: Option<&Change>) -> Result<(Tensor, Middle)> {
        let y = product(x, &self.weight.t()?)?;
        let Some(change) = change else {
            return Ok((y, None));
        };
        let middle = product(x, &change.a.t()?)?;
        let y = (y + product(&middle, &change.b.t()?)?)?;
        Ok((y, Some(middle)))
    }

    /// From the gradient of y: that of x where asked for; those of the adapter's moving tensors go
    /// into `gradients`. `x` makes the forward's input anew, and is asked only where an A moves.
    pub fn backward(
        &self,
        x: impl FnOnce() -> Result<Tensor>,
        middle: &Middle,
        gradient_y: &Tensor,
        change: Option<&Change>,
        gradients: &mut Gradients,
        input_needed: bool,
    ) -> Result<Option<Tensor>> {
        let mut gradient_middle = None;
        if let Some(change) = change {
            if change.trains_b() {
                let middle = middle
                    .as_ref()
                    .ok_or_else(|| Error::bug("an adapted layer kept nothing"))?;
                gradients.of_b(change, &product(&gradient_y.t()?, middle)?)?;
            }
            if change.trains_a() || input_needed {
                let through = product(gradient_y, &change.b)?;
                if change.trains_a() {
                    gradients.of_a(change, &product(&through.t()?, &x()?)?)?;
                }
                gradient_middle = Some((through, &change.a));
            }
        }
        if !input_needed {
            return Ok(None);
        }
        let gradient_x = product(gradient_y, &self.weight)?;
        Ok(Some(match gradient_middle {
            Some((through, a)) => (gradient_x + product(&through, a)?)?,
            None => gradient_x,
        }))
    }
}

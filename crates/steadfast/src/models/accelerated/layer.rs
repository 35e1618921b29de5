//! One layer of the decoder, as [`crate::models::blocks::layer`].

use super::attention::{self, Plan};
use super::change::{Change, Gradients};
use super::linear::{LinearGroup, Middle};
use super::rotary::Angles;
use super::{gated, norm};
use crate::models::blocks::layer;
use crate::{Error, Result};
use candle_core::{Device, Tensor};

/// The frozen weights of a layer.
#[derive(Debug)]
pub struct Layer {
    attention_norm: Tensor,
    queries_keys_values: LinearGroup,
    output: LinearGroup,
    feed_forward_norm: Tensor,
    gate_up: LinearGroup,
    down: LinearGroup,
}

/// What all layers of one pass share.
#[derive(Debug)]
pub struct Pass {
    /// Who attends to whom.
    pub attention: Plan,
    /// How far each row is turned.
    pub angles: Angles,
    /// Added to the mean square before the root.
    pub epsilon: f64,
}

/// The changes of a layer's groups, in the order of [`Layer::groups`].
pub type Changes<'a> = &'a [Option<Change>; 4];

/// What a layer keeps for its backward.
#[derive(Debug)]
pub struct KeptLayer {
    input: Tensor,
    attention: attention::Kept,
    middle: Tensor,
    gate_up: Tensor,
    narrow: [Middle; 4],
}

fn found(gradient: Option<Tensor>) -> Result<Tensor> {
    gradient.ok_or_else(|| Error::bug("a gradient was asked for and not computed"))
}

impl Layer {
    /// Takes the CPU's weights to a device.
    pub fn new(layer: &layer::Layer, device: &Device) -> Result<Self> {
        let weight = |norms: &layer::Norms| match &norms.before {
            Some(norm) => Ok(norm.weight.to_device(device)?),
            None => Err(Error::bug("a layer without norms came to another device")),
        };
        Ok(Self {
            attention_norm: weight(&layer.attention_norms)?,
            queries_keys_values: LinearGroup::new(&layer.queries_keys_values, device)?,
            output: LinearGroup::new(&layer.output, device)?,
            feed_forward_norm: weight(&layer.feed_forward_norms)?,
            gate_up: LinearGroup::new(&layer.up, device)?,
            down: LinearGroup::new(&layer.down, device)?,
        })
    }

    /// Its linear layers, in the order in which data flows through them.
    pub fn groups(&self) -> [&LinearGroup; 4] {
        [
            &self.queries_keys_values,
            &self.output,
            &self.gate_up,
            &self.down,
        ]
    }

    /// The layer's output [rows, width] for its input, and what its backward needs.
    pub fn forward(
        &self,
        pass: &Pass,
        input: Tensor,
        changes: Changes<'_>,
    ) -> Result<(Tensor, KeptLayer)> {
        let [of_shared, of_output, of_gate_up, of_down] = changes.each_ref().map(Option::as_ref);
        let normed = norm::forward(&input, &self.attention_norm, pass.epsilon)?;
        let (shared, shared_narrow) = self.queries_keys_values.forward(&normed, of_shared)?;
        let attention = pass.attention.forward(&shared, &pass.angles)?;
        let (added, output_narrow) = self.output.forward(attention.output(), of_output)?;
        let middle = (&input + added)?;

        let normed = norm::forward(&middle, &self.feed_forward_norm, pass.epsilon)?;
        let (gate_up, gate_up_narrow) = self.gate_up.forward(&normed, of_gate_up)?;
        let activated = gated::forward(&gate_up)?;
        let (added, down_narrow) = self.down.forward(&activated, of_down)?;
        let output = (&middle + added)?;
        let kept = KeptLayer {
            input,
            attention,
            middle,
            gate_up,
            narrow: [shared_narrow, output_narrow, gate_up_narrow, down_narrow],
        };
        Ok((output, kept))
    }

    /// The gradient of the layer's input from that of its output, where `input_needed`; the
    /// adapter's go into `gradients`.
    pub fn backward(
        &self,
        pass: &Pass,
        kept: KeptLayer,
        gradient: &Tensor,
        changes: Changes<'_>,
        gradients: &mut Gradients,
        input_needed: bool,
    ) -> Result<Option<Tensor>> {
        let [of_shared, of_output, of_gate_up, of_down] = changes.each_ref().map(Option::as_ref);
        let [shared_narrow, output_narrow, gate_up_narrow, down_narrow] = &kept.narrow;
        let activated = || gated::forward(&kept.gate_up);
        let of_activated =
            self.down
                .backward(activated, down_narrow, gradient, of_down, gradients, true)?;
        let of_gates = gated::backward(&kept.gate_up, &found(of_activated)?)?;
        let weight = &self.feed_forward_norm;
        let normed = || norm::forward(&kept.middle, weight, pass.epsilon);
        let of_normed = self.gate_up.backward(
            normed,
            gate_up_narrow,
            &of_gates,
            of_gate_up,
            gradients,
            true,
        )?;
        drop(of_gates);
        let through = norm::backward(&kept.middle, weight, pass.epsilon, &found(of_normed)?)?;
        let gradient = (gradient + through)?;

        let attended = || Ok(kept.attention.output().clone());
        let of_attended = self.output.backward(
            attended,
            output_narrow,
            &gradient,
            of_output,
            gradients,
            true,
        )?;
        let of_shared_states =
            pass.attention
                .backward(kept.attention, &found(of_attended)?, &pass.angles)?;
        let weight = &self.attention_norm;
        let normed = || norm::forward(&kept.input, weight, pass.epsilon);
        let of_normed = self.queries_keys_values.backward(
            normed,
            shared_narrow,
            &of_shared_states,
            of_shared,
            gradients,
            input_needed,
        )?;
        let Some(of_normed) = of_normed else {
            return Ok(None);
        };
        let through = norm::backward(&kept.input, weight, pass.epsilon, &of_normed)?;
        Ok(Some((gradient + through)?))
    }
}

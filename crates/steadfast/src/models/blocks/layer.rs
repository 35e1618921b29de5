//! One layer of the decoder: attention and gated feed-forward, each normed before and added after.

use super::attention::{self, Heads, Outcome, Prefix, Segment};
use super::buffers::{Buffer, Floats, Pool};
use super::cache::LayerCache;
use super::linear::{BorrowedAdapter, KeptNarrow, LinearGroup};
use super::rotary::{Rotary, Turn};
use super::{gated, norm};
use crate::Result;
use crate::conversations::packing::Beginning;
use crate::models::adapter::AdapterGradients;
use crate::models::decoder::InputObserver;
use candle_core::Tensor;

/// The frozen weights of a layer.
#[derive(Debug)]
pub struct Layer {
    /// Norm before attention, \[width\].
    pub attention_norm: Tensor,
    /// q, k and v.
    pub queries_keys_values: LinearGroup,
    /// o.
    pub output: LinearGroup,
    /// Norm before the feed-forward block, \[width\].
    pub feed_forward_norm: Tensor,
    /// gate and up.
    pub gate_up: LinearGroup,
    /// down.
    pub down: LinearGroup,
}

/// What all layers of one pass share.
pub struct Pass<'a> {
    /// How the attention's columns divide.
    pub heads: Heads,
    /// Rotary tables.
    pub rotary: &'a Rotary,
    /// Added to the mean square before the root.
    pub epsilon: f64,
    /// Position of each row in its sequence.
    pub positions: &'a [u32],
    /// Rows of each sequence.
    pub lengths: &'a [usize],
    /// What some of the sequences go on from.
    pub beginning: Beginning,
    /// The change on top of the linear layers.
    pub adapter: &'a BorrowedAdapter<'a>,
    /// Where activations come from.
    pub pool: &'a Pool,
}

/// What sequences go on from at one layer.
pub enum Context<'a> {
    /// Nothing: each begins here.
    Fresh,
    /// The caches, which stay as they are.
    Read(Vec<&'a LayerCache>),
    /// The caches, which take up the new keys and values.
    Extend(Vec<&'a mut LayerCache>),
}

/// What a layer keeps for its backward; normed states and gated activations are computed anew.
#[derive(Debug)]
pub struct KeptLayer {
    input: Buffer,
    queries_keys_values: Buffer,
    attended: Buffer,
    log_sums: Buffer,
    middle: Buffer,
    gate_up: Buffer,
    narrow: [KeptNarrow; 4],
}

fn observe_input(
    observe: &mut Option<InputObserver<'_>>,
    group: &LinearGroup,
    x: &[f32],
) -> Result<()> {
    if let Some(observe) = observe {
        observe(&group.parts[0].path, x, group.inputs)?;
    }
    Ok(())
}

impl KeptLayer {
    /// The layer's input alone, from which all else can be computed anew.
    pub fn into_input(self) -> Buffer {
        self.input
    }
}

impl Layer {
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
        pass: &Pass<'_>,
        input: Buffer,
        context: Context<'_>,
        observe: &mut Option<InputObserver<'_>>,
    ) -> Result<(Buffer, KeptLayer)> {
        let (heads, pool, adapter) = (pass.heads, pass.pool, pass.adapter);
        let rows = pass.positions.len();
        let mut normed = pool.take(input.len());
        let weight = Floats::of(&self.attention_norm)?;
        norm::forward(&input, &weight, pass.epsilon, &mut normed);
        observe_input(observe, &self.queries_keys_values, &normed)?;
        let mut queries_keys_values = pool.take(rows * heads.width());
        let shared_narrow = self.queries_keys_values.forward(
            &normed,
            adapter,
            false,
            pool,
            &mut queries_keys_values,
        )?;
        pass.rotary.apply(
            &mut queries_keys_values,
            heads.width(),
            heads.query + heads.key_value,
            pass.positions,
            Turn::Forth,
        );
        let mut attended = pool.take(rows * heads.query_width());
        let mut log_sums = pool.take(rows * heads.query);
        self.attend(
            pass,
            &queries_keys_values,
            context,
            &mut attended,
            &mut log_sums,
        );
        observe_input(observe, &self.output, &attended)?;
        let mut middle = pool.take(input.len());
        middle.copy_from_slice(&input);
        let output_narrow = self
            .output
            .forward(&attended, adapter, true, pool, &mut middle)?;

        let weight = Floats::of(&self.feed_forward_norm)?;
        norm::forward(&middle, &weight, pass.epsilon, &mut normed);
        observe_input(observe, &self.gate_up, &normed)?;
        let mut gate_up = pool.take(rows * self.gate_up.outputs);
        let gate_up_narrow = self
            .gate_up
            .forward(&normed, adapter, false, pool, &mut gate_up)?;
        let mut activated = pool.take(rows * self.down.inputs);
        gated::forward(&gate_up, self.down.inputs, &mut activated);
        observe_input(observe, &self.down, &activated)?;
        let mut output = normed;
        output.copy_from_slice(&middle);
        let down_narrow = self
            .down
            .forward(&activated, adapter, true, pool, &mut output)?;
        let kept = KeptLayer {
            input,
            queries_keys_values,
            attended,
            log_sums,
            middle,
            gate_up,
            narrow: [shared_narrow, output_narrow, gate_up_narrow, down_narrow],
        };
        Ok((output, kept))
    }

    fn attend(
        &self,
        pass: &Pass<'_>,
        shared: &[f32],
        mut context: Context<'_>,
        attended: &mut [f32],
        log_sums: &mut [f32],
    ) {
        let segments: Vec<Segment<'_>> = pass
            .lengths
            .iter()
            .enumerate()
            .map(|(index, &length)| Segment {
                length,
                prefix: match &context {
                    Context::Fresh => match pass.beginning.before(index) {
                        0 => Prefix::None,
                        rows => Prefix::Rows(&shared[..rows * pass.heads.width()]),
                    },
                    Context::Read(caches) => Prefix::Cache(caches[index]),
                    Context::Extend(caches) => Prefix::Cache(&*caches[index]),
                },
            })
            .collect();
        attention::forward(pass.heads, shared, &segments, attended, log_sums);
        if let Context::Extend(caches) = &mut context {
            let mut rest = shared;
            for (cache, &length) in caches.iter_mut().zip(pass.lengths) {
                let (rows, after) = rest.split_at(length * pass.heads.width());
                cache.append(pass.heads, rows);
                rest = after;
            }
        }
    }

    /// Turns the gradient of the layer's output into that of its input (left as it is where
    /// `input_needed` is false: nothing below moves), and puts the adapter's into `gradients`.
    pub fn backward(
        &self,
        pass: &Pass<'_>,
        kept: KeptLayer,
        mut gradient: Buffer,
        input_needed: bool,
        gradients: &mut AdapterGradients,
    ) -> Result<Buffer> {
        let (heads, pool, adapter) = (pass.heads, pass.pool, pass.adapter);
        let rows = pass.positions.len();
        let intermediate = self.down.inputs;
        let [shared_narrow, output_narrow, gate_up_narrow, down_narrow] = &kept.narrow;
        let mut activated = pool.take(rows * intermediate);
        gated::forward(&kept.gate_up, intermediate, &mut activated);
        let mut gradient_activated = pool.take(rows * intermediate);
        self.down.backward(
            &activated,
            down_narrow,
            &gradient,
            adapter,
            pool,
            Some(&mut gradient_activated),
            gradients,
        )?;
        drop(activated);
        let mut gradient_gate_up = pool.take(rows * self.gate_up.outputs);
        gated::backward(
            &kept.gate_up,
            intermediate,
            &gradient_activated,
            &mut gradient_gate_up,
        );
        drop(gradient_activated);
        let mut normed = pool.take(gradient.len());
        let mut gradient_normed = pool.take(gradient.len());
        let weight = Floats::of(&self.feed_forward_norm)?;
        norm::forward(&kept.middle, &weight, pass.epsilon, &mut normed);
        self.gate_up.backward(
            &normed,
            gate_up_narrow,
            &gradient_gate_up,
            adapter,
            pool,
            Some(&mut gradient_normed),
            gradients,
        )?;
        drop(gradient_gate_up);
        norm::backward(
            &kept.middle,
            &weight,
            pass.epsilon,
            &gradient_normed,
            &mut gradient,
        );

        let mut gradient_attended = pool.take(rows * heads.query_width());
        self.output.backward(
            &kept.attended,
            output_narrow,
            &gradient,
            adapter,
            pool,
            Some(&mut gradient_attended),
            gradients,
        )?;
        let mut gradient_shared = pool.take(rows * heads.width());
        attention::backward(
            heads,
            &kept.queries_keys_values,
            pass.lengths,
            pass.beginning,
            Outcome {
                output: &kept.attended,
                log_sums: &kept.log_sums,
                gradient: &gradient_attended,
            },
            &mut gradient_shared,
        );
        pass.rotary.apply(
            &mut gradient_shared,
            heads.width(),
            heads.query + heads.key_value,
            pass.positions,
            Turn::Back,
        );
        let weight = Floats::of(&self.attention_norm)?;
        norm::forward(&kept.input, &weight, pass.epsilon, &mut normed);
        self.queries_keys_values.backward(
            &normed,
            shared_narrow,
            &gradient_shared,
            adapter,
            pool,
            input_needed.then_some(&mut gradient_normed),
            gradients,
        )?;
        if input_needed {
            norm::backward(
                &kept.input,
                &weight,
                pass.epsilon,
                &gradient_normed,
                &mut gradient,
            );
        }
        Ok(gradient)
    }
}

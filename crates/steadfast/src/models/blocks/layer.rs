//! One layer of the decoder: attention and feed-forward block, each with a norm before it, after it or
//! both, and added to the residual states: one after the other, or both to the same states.

use super::attention::{self, Attention, Outcome, Prefix, Segment};
use super::buffers::{Buffer, Pool};
use super::cache::LayerCache;
use super::gated::Unit;
use super::lanes::{add_scaled, vectorized};
use super::linear::{BorrowedAdapter, KeptNarrow, LinearGroup};
use super::norm::Norm;
use super::query_key::QueryKeyNorms;
use super::rotary::{Tables, Turn};
use crate::Result;
use crate::conversations::packing::Beginning;
use crate::models::adapter::AdapterGradients;
use crate::models::decoder::InputObserver;
use rayon::prelude::*;
use std::sync::Arc;

/// The frozen weights of a layer, and how it goes about them.
#[derive(Debug)]
pub struct Layer {
    /// Norms around attention.
    pub attention_norms: Norms,
    /// q, k and v.
    pub queries_keys_values: LinearGroup,
    /// Norm of queries and keys.
    pub query_key_norms: Option<QueryKeyNorms>,
    /// Which of the pass's rotary tables turns queries and keys.
    pub rotary: Option<usize>,
    /// How queries weigh keys.
    pub attention: Attention,
    /// o.
    pub output: LinearGroup,
    /// Norms around the feed-forward block.
    pub feed_forward_norms: Norms,
    /// gate and up, or up alone.
    pub up: LinearGroup,
    /// What is made of them.
    pub unit: Unit,
    /// down.
    pub down: LinearGroup,
    /// The feed-forward block reads the layer's input, not what attention has made of it.
    pub parallel: bool,
}

/// Norms around a sublayer.
#[derive(Debug)]
pub struct Norms {
    /// Of what the sublayer reads.
    pub before: Option<Norm>,
    /// Of what it gives.
    pub after: Option<Norm>,
}

/// What all layers of one pass share.
pub struct Pass<'a> {
    /// Tables of each kind of rotary positions.
    pub rotary: Vec<Arc<Tables>>,
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

/// What a layer keeps for its backward; normed states and activations are computed anew.
#[derive(Debug)]
pub struct KeptLayer {
    input: Buffer,
    /// Turned; as they came out of the product where queries and keys are normed.
    queries_keys_values: Buffer,
    attended: Buffer,
    log_sums: Buffer,
    middle: Buffer,
    up: Buffer,
    narrow: [KeptNarrow; 4],
    /// What attention and feed-forward block gave, where that is normed.
    given: [Option<Buffer>; 2],
}

impl KeptLayer {
    /// The layer's input alone, from which all else can be computed anew.
    pub fn into_input(self) -> Buffer {
        self.input
    }
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

/// to += from.
fn add(to: &mut [f32], from: &[f32]) {
    const PIECE: usize = 1 << 14;
    to.par_chunks_mut(PIECE)
        .zip(from.par_chunks(PIECE))
        .for_each(|(to, from)| {
            vectorized(
                #[inline(always)]
                || add_scaled(to, 1.0, from),
            );
        });
}

impl Norms {
    /// What the sublayer reads of `states`: normed into the buffer, or as they are.
    fn read<'a>(&self, states: &'a [f32], normed: &'a mut [f32]) -> Result<&'a [f32]> {
        match &self.before {
            None => Ok(states),
            Some(norm) => {
                norm.forward(states, normed)?;
                Ok(normed)
            }
        }
    }

    /// Adds the gradient of the states to `to`, from that of what the sublayer read.
    fn read_back(&self, states: &[f32], gradient: &[f32], to: &mut [f32]) -> Result<()> {
        match &self.before {
            None => add(to, gradient),
            Some(norm) => norm.backward(states, gradient, to)?,
        }
        Ok(())
    }

    /// Adds what the sublayer's last linear layers give for `x` to `states`. Where that is normed, it
    /// is kept.
    fn give(
        &self,
        pass: &Pass<'_>,
        group: &LinearGroup,
        x: &[f32],
        states: &mut [f32],
    ) -> Result<(KeptNarrow, Option<Buffer>)> {
        let (adapter, pool) = (pass.adapter, pass.pool);
        let Some(norm) = &self.after else {
            return Ok((group.forward(x, adapter, true, pool, states)?, None));
        };
        let mut given = pool.take(states.len());
        let narrow = group.forward(x, adapter, false, pool, &mut given)?;
        let mut normed = pool.take(states.len());
        norm.forward(&given, &mut normed)?;
        add(states, &normed);
        Ok((narrow, Some(given)))
    }

    /// The gradient of what was given, from that of the states; none where they are the same.
    fn give_back(
        &self,
        pool: &Pool,
        given: Option<&Buffer>,
        gradient: &[f32],
    ) -> Result<Option<Buffer>> {
        let (Some(norm), Some(given)) = (&self.after, given) else {
            return Ok(None);
        };
        let mut of_given = pool.take(gradient.len());
        of_given.fill(0.0);
        norm.backward(given, gradient, &mut of_given)?;
        Ok(Some(of_given))
    }
}

impl Layer {
    /// Its linear layers, in the order in which data flows through them.
    pub fn groups(&self) -> [&LinearGroup; 4] {
        [
            &self.queries_keys_values,
            &self.output,
            &self.up,
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
        let (heads, pool, adapter) = (self.attention.heads, pass.pool, pass.adapter);
        let rows = pass.positions.len();
        let mut normed = pool.take(input.len());
        let read = self.attention_norms.read(&input, &mut normed)?;
        observe_input(observe, &self.queries_keys_values, read)?;
        let mut queries_keys_values = pool.take(rows * heads.width());
        let shared_narrow = self.queries_keys_values.forward(
            read,
            adapter,
            false,
            pool,
            &mut queries_keys_values,
        )?;
        let positioned = self.position(pass, &mut queries_keys_values)?;
        let mut attended = pool.take(rows * heads.query_width());
        let mut log_sums = pool.take(rows * heads.query);
        self.attend(
            pass,
            positioned.as_deref().unwrap_or(&queries_keys_values),
            context,
            &mut attended,
            &mut log_sums,
        );
        drop(positioned);
        observe_input(observe, &self.output, &attended)?;
        let mut middle = pool.take(input.len());
        middle.copy_from_slice(&input);
        let (output_narrow, attention_gave) =
            self.attention_norms
                .give(pass, &self.output, &attended, &mut middle)?;

        let states = if self.parallel { &input } else { &middle };
        let read = self.feed_forward_norms.read(states, &mut normed)?;
        observe_input(observe, &self.up, read)?;
        let mut up = pool.take(rows * self.up.outputs);
        let up_narrow = self.up.forward(read, adapter, false, pool, &mut up)?;
        let mut activated = pool.take(rows * self.down.inputs);
        self.unit.forward(&up, self.down.inputs, &mut activated);
        observe_input(observe, &self.down, &activated)?;
        let mut output = normed;
        output.copy_from_slice(&middle);
        let (down_narrow, feed_forward_gave) =
            self.feed_forward_norms
                .give(pass, &self.down, &activated, &mut output)?;
        let kept = KeptLayer {
            input,
            queries_keys_values,
            attended,
            log_sums,
            middle,
            up,
            narrow: [shared_narrow, output_narrow, up_narrow, down_narrow],
            given: [attention_gave, feed_forward_gave],
        };
        Ok((output, kept))
    }

    /// Turns queries and keys by their positions: in place, or normed before into a buffer of their
    /// own.
    fn position(&self, pass: &Pass<'_>, raw: &mut Buffer) -> Result<Option<Buffer>> {
        let heads = self.attention.heads;
        let mut normed = match &self.query_key_norms {
            None => None,
            Some(norms) => {
                let mut normed = pass.pool.take(raw.len());
                norms.forward(heads, raw, &mut normed)?;
                Some(normed)
            }
        };
        if let Some(index) = self.rotary {
            let turned = normed.as_mut().unwrap_or(raw);
            pass.rotary[index].apply(turned, heads, pass.positions, Turn::Forth);
        }
        Ok(normed)
    }

    fn attend(
        &self,
        pass: &Pass<'_>,
        shared: &[f32],
        mut context: Context<'_>,
        attended: &mut [f32],
        log_sums: &mut [f32],
    ) {
        let heads = self.attention.heads;
        let segments: Vec<Segment<'_>> = pass
            .lengths
            .iter()
            .enumerate()
            .map(|(index, &length)| Segment {
                length,
                prefix: match &context {
                    Context::Fresh => match pass.beginning.before(index) {
                        0 => Prefix::None,
                        rows => Prefix::Rows(&shared[..rows * heads.width()]),
                    },
                    Context::Read(caches) => Prefix::Cache(caches[index]),
                    Context::Extend(caches) => Prefix::Cache(&*caches[index]),
                },
            })
            .collect();
        attention::forward(&self.attention, shared, &segments, attended, log_sums);
        if let Context::Extend(caches) = &mut context {
            let mut rest = shared;
            for (cache, &length) in caches.iter_mut().zip(pass.lengths) {
                let (rows, after) = rest.split_at(length * heads.width());
                cache.append(heads, rows);
                rest = after;
            }
        }
    }

    /// Turns the gradient of the layer's output into that of its input (left as it is where
    /// `input_needed` is false: nothing below moves), and puts the adapter's into `gradients`.
    pub fn backward(
        &self,
        pass: &Pass<'_>,
        mut kept: KeptLayer,
        mut gradient: Buffer,
        input_needed: bool,
        gradients: &mut AdapterGradients,
    ) -> Result<Buffer> {
        let pool = pass.pool;
        // Beside a parallel block, attention's output is as it was before that block.
        let beside = self.parallel.then(|| {
            let mut beside = pool.take(gradient.len());
            beside.copy_from_slice(&gradient);
            beside
        });
        self.feed_forward_back(pass, &mut kept, &mut gradient, gradients)?;
        let of_middle = beside.as_ref().unwrap_or(&gradient);
        let of_shared = self.attention_back(pass, &mut kept, of_middle, gradients)?;
        drop(beside);

        let mut normed = pool.take(gradient.len());
        let read = self.attention_norms.read(&kept.input, &mut normed)?;
        let mut of_read = pool.take(gradient.len());
        self.queries_keys_values.backward(
            read,
            &kept.narrow[0],
            &of_shared,
            pass.adapter,
            pool,
            input_needed.then_some(&mut of_read),
            gradients,
        )?;
        if input_needed {
            self.attention_norms
                .read_back(&kept.input, &of_read, &mut gradient)?;
        }
        Ok(gradient)
    }

    /// Adds the feed-forward block's part of the gradient of the states that it reads to `gradient`,
    /// that of the layer's output.
    fn feed_forward_back(
        &self,
        pass: &Pass<'_>,
        kept: &mut KeptLayer,
        gradient: &mut [f32],
        gradients: &mut AdapterGradients,
    ) -> Result<()> {
        let (pool, adapter) = (pass.pool, pass.adapter);
        let rows = pass.positions.len();
        let width = self.down.inputs;
        let mut activated = pool.take(rows * width);
        self.unit.forward(&kept.up, width, &mut activated);
        let given = kept.given[1].take();
        let of_given = self
            .feed_forward_norms
            .give_back(pool, given.as_ref(), gradient)?;
        drop(given);
        let mut of_activated = pool.take(rows * width);
        self.down.backward(
            &activated,
            &kept.narrow[3],
            of_given.as_deref().unwrap_or(gradient),
            adapter,
            pool,
            Some(&mut of_activated),
            gradients,
        )?;
        drop((activated, of_given));
        let mut of_up = pool.take(rows * self.up.outputs);
        self.unit
            .backward(&kept.up, width, &of_activated, &mut of_up);
        drop(of_activated);
        let states = if self.parallel {
            &kept.input
        } else {
            &kept.middle
        };
        let mut normed = pool.take(gradient.len());
        let read = self.feed_forward_norms.read(states, &mut normed)?;
        let mut of_read = pool.take(gradient.len());
        self.up.backward(
            read,
            &kept.narrow[2],
            &of_up,
            adapter,
            pool,
            Some(&mut of_read),
            gradients,
        )?;
        self.feed_forward_norms
            .read_back(states, &of_read, gradient)
    }

    /// The gradient of the product that gave queries, keys and values, from that of the states that
    /// attention was added to.
    fn attention_back(
        &self,
        pass: &Pass<'_>,
        kept: &mut KeptLayer,
        gradient: &[f32],
        gradients: &mut AdapterGradients,
    ) -> Result<Buffer> {
        let (heads, pool) = (self.attention.heads, pass.pool);
        let rows = pass.positions.len();
        let given = kept.given[0].take();
        let of_given = self
            .attention_norms
            .give_back(pool, given.as_ref(), gradient)?;
        drop(given);
        let mut of_attended = pool.take(rows * heads.query_width());
        self.output.backward(
            &kept.attended,
            &kept.narrow[1],
            of_given.as_deref().unwrap_or(gradient),
            pass.adapter,
            pool,
            Some(&mut of_attended),
            gradients,
        )?;
        drop(of_given);
        // Without a norm of queries and keys, what is kept is positioned already.
        let positioned = match &self.query_key_norms {
            None => None,
            Some(_) => self.position(pass, &mut kept.queries_keys_values)?,
        };
        let mut of_shared = pool.take(rows * heads.width());
        attention::backward(
            &self.attention,
            positioned.as_deref().unwrap_or(&kept.queries_keys_values),
            pass.lengths,
            pass.beginning,
            Outcome {
                output: &kept.attended,
                log_sums: &kept.log_sums,
                gradient: &of_attended,
            },
            &mut of_shared,
        );
        if let Some(index) = self.rotary {
            pass.rotary[index].apply(&mut of_shared, heads, pass.positions, Turn::Back);
        }
        if let Some(norms) = &self.query_key_norms {
            norms.backward(heads, &kept.queries_keys_values, &mut of_shared)?;
        }
        Ok(of_shared)
    }
}

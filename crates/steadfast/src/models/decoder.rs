//! The decoder over packed sequences: forward, and backward for adapters.
//!
//! One network serves all families: what each of its parts is, the configuration says.
//!
//! Sequences lie end to end, so a batch has no padding and a pass costs what its tokens cost. The
//! weights are frozen and never on a tape: the backward is written out, layer by layer, and computes
//! gradients for an adapter's moving tensors only.

use super::adapter::{Adapter, AdapterGradients};
use super::blocks::attention::Heads;
use super::blocks::buffers::{Buffer, Floats, Pool};
use super::blocks::cache::LayerCache;
use super::blocks::frozen::Frozen;
use super::blocks::head::Head;
use super::blocks::layer::{Context, KeptLayer, Layer, Pass};
use super::blocks::linear::{BorrowedAdapter, Wholes};
use super::blocks::norm::Norm;
use super::blocks::rotary::Rotary;
use super::config::ModelConfig;
use super::weights::Weights;
use crate::conversations::packing::{Beginning, Packed, Target};
use crate::{Error, Result};
use caches::Caches;
use candle_core::{Device, Tensor};
use rows::{check_tokens, offsets, positions};
use std::collections::BTreeMap;

mod build;
mod caches;
pub(super) mod rows;
mod taker;

pub use caches::Cache;

/// Called with the input [rows, in] of each group of linear layers that share it, and its width in,
/// named by the group's first module path (`…q_proj` stands for q, k, v; `…gate_proj` for gate and up).
pub type InputObserver<'a> = &'a mut dyn FnMut(&str, &[f32], usize) -> Result<()>;

/// The network, weights frozen.
#[derive(Debug)]
pub struct Decoder {
    pub(super) heads: Heads,
    hidden_size: usize,
    pub(super) vocabulary: usize,
    pub(super) context: usize,
    pub(super) embedding: Tensor,
    /// What embeddings are multiplied by.
    pub(super) embedding_scale: f32,
    pub(super) layers: Vec<Layer>,
    /// What the module paths of the layers begin with.
    pub(super) layers_path: &'static str,
    pub(super) norm: Norm,
    pub(super) head: Tensor,
    /// Logits are held within ±cap.
    pub(super) logit_cap: Option<f32>,
    /// The head is the embedding.
    pub(super) tied: bool,
    pub(super) rotary: Vec<Rotary>,
    /// Layers whose activations wait for the backward; those of the rest are computed anew.
    kept_layers: usize,
    shapes: BTreeMap<String, (usize, usize)>,
    pool: Pool,
}

/// What one packed forward keeps for its backward.
#[derive(Debug)]
pub struct Kept {
    lengths: Vec<usize>,
    beginning: Beginning,
    layers: Vec<Remembered>,
    last: Buffer,
}

/// What is kept of a layer.
#[derive(Debug)]
enum Remembered {
    All(Box<KeptLayer>),
    Input(Buffer),
}

impl Decoder {
    /// Takes the named weights.
    ///
    /// # Errors
    /// A tensor is missing, has another shape than the configuration says, or is one that this
    /// network would silently leave out (a bias, say).
    pub fn new(config: &ModelConfig, weights: Weights, device: &Device) -> Result<Self> {
        config.check()?;
        if !device.is_cpu() {
            return Err(Error::bug(
                "the decoder's own weights stay on the CPU; AcceleratedDecoder copies them elsewhere",
            ));
        }
        let parts = build::parts(config, weights)?;
        let mut shapes = BTreeMap::new();
        for group in parts.layers.iter().flat_map(Layer::groups) {
            for part in &group.parts {
                shapes.insert(part.path.clone(), (part.outputs, group.inputs));
            }
        }
        Ok(Self {
            heads: build::heads(config),
            hidden_size: config.hidden_size,
            vocabulary: config.vocabulary,
            context: config.context,
            embedding: parts.embedding,
            embedding_scale: config.embedding_scale as f32,
            layers: parts.layers,
            layers_path: config.family()?.names.layers,
            norm: parts.norm,
            head: parts.head,
            logit_cap: config.logit_cap.map(|cap| cap as f32),
            tied: config.tied_embeddings,
            rotary: config.rotary.iter().map(Rotary::of).collect(),
            kept_layers: usize::MAX,
            shapes,
            pool: Pool::default(),
        })
    }

    /// Bounds the layers whose activations wait for the backward. Those of the rest are computed
    /// anew from the layer's input: the same bits, for a second forward of these layers.
    pub fn keep_layers(&mut self, most: usize) {
        self.kept_layers = most;
    }

    /// Bytes of the frozen weights in memory.
    pub fn weight_bytes(&self) -> usize {
        let groups = self.layers.iter().flat_map(Layer::groups);
        let linear: usize = groups.map(|group| group.weight.bytes()).sum();
        let head = if self.tied { 0 } else { self.head.elem_count() };
        linear + 4 * (self.embedding.elem_count() + head)
    }

    /// (outputs, inputs) of the linear layer at `path`.
    pub fn linear_shape(&self, path: &str) -> Result<(usize, usize)> {
        let shape = self.shapes.get(path).copied();
        shape.ok_or_else(|| Error::bug(format!("the decoder has no linear layer {path}")))
    }

    /// The frozen weight [out, in] of the linear layer at `path` (`model.layers.0.mlp.up_proj`).
    pub fn linear_weight(&self, path: &str) -> Result<Option<Tensor>> {
        let found = self
            .layers
            .iter()
            .flat_map(Layer::groups)
            .find_map(|group| {
                let index = group.parts.iter().position(|part| part.path == path)?;
                Some((group, index))
            });
        let Some((group, index)) = found else {
            return Ok(None);
        };
        let part = &group.parts[index];
        let weight = match &group.weight {
            Frozen::Floats(all) => all.narrow(0, part.start, part.outputs)?,
            Frozen::Stored(stored) => stored[index].floats()?,
        };
        Ok(Some(weight))
    }

    /// Module paths of all linear layers that an adapter may change, in the order of the layers.
    pub fn linear_paths(&self) -> Vec<String> {
        self.layers
            .iter()
            .flat_map(Layer::groups)
            .flat_map(|group| &group.parts)
            .map(|part| part.path.clone())
            .collect()
    }

    /// Whether each module of the adapter is a linear layer of this network, of the shape it changes.
    pub fn check_adapter(&self, adapter: &Adapter) -> Result<()> {
        BorrowedAdapter::new(Some(adapter), &self.shapes, Wholes::Beside).map(drop)
    }

    /// Where the weights are.
    pub fn device(&self) -> &Device {
        self.embedding.device()
    }

    /// Its layers.
    pub fn depth(&self) -> usize {
        self.layers.len()
    }

    /// The longest sequence the model can read.
    pub fn context(&self) -> usize {
        self.context
    }

    /// How many tokens it knows.
    pub fn vocabulary(&self) -> usize {
        self.vocabulary
    }

    fn embed(&self, tokens: &[u32]) -> Result<Buffer> {
        let embedding = Floats::of(&self.embedding)?;
        let mut states = self.pool.take(tokens.len() * self.hidden_size);
        for (state, &token) in states.chunks_exact_mut(self.hidden_size).zip(tokens) {
            let place = token as usize * self.hidden_size;
            state.copy_from_slice(&embedding[place..place + self.hidden_size]);
        }
        if self.embedding_scale != 1.0 {
            for state in states.iter_mut() {
                *state *= self.embedding_scale;
            }
        }
        Ok(states)
    }

    /// Runs all layers; `keep` takes what each keeps, in order. Returns the last residual states.
    fn run(
        &self,
        tokens: &[u32],
        lengths: &[usize],
        mut caches: Caches<'_>,
        adapter: Option<&Adapter>,
        mut keep: Option<&mut Vec<Remembered>>,
        mut observe: Option<InputObserver<'_>>,
    ) -> Result<Buffer> {
        let offsets = caches.lengths(lengths.len());
        check_tokens(tokens, lengths, self.vocabulary)?;
        if offsets.len() != lengths.len() {
            return Err(Error::bug(format!(
                "{} caches for sequences of lengths {lengths:?}",
                offsets.len()
            )));
        }
        let positions = positions(self.context, lengths, &offsets)?;
        let (beginning, wholes) = match caches {
            Caches::Fresh { beginning } => (beginning, Wholes::Added),
            Caches::Read(_) | Caches::Extend(_) => (Beginning::default(), Wholes::Beside),
        };
        let adapter = BorrowedAdapter::new(adapter, &self.shapes, wholes)?;
        let pass = self.pass(&positions, lengths, beginning, &adapter);
        let mut states = self.embed(tokens)?;
        for (index, layer) in self.layers.iter().enumerate() {
            let (output, kept) = layer.forward(&pass, states, caches.at(index), &mut observe)?;
            states = output;
            if let Some(keep) = keep.as_deref_mut() {
                // The last layers are the first to be needed.
                keep.push(
                    if index.saturating_add(self.kept_layers) >= self.layers.len() {
                        Remembered::All(Box::new(kept))
                    } else {
                        Remembered::Input(kept.into_input())
                    },
                );
            }
        }
        Ok(states)
    }

    fn pass<'a>(
        &'a self,
        positions: &'a [u32],
        lengths: &'a [usize],
        beginning: Beginning,
        adapter: &'a BorrowedAdapter<'a>,
    ) -> Pass<'a> {
        let most = positions.iter().max().map_or(0, |&last| last as usize + 1);
        Pass {
            rotary: self.rotary.iter().map(|kind| kind.tables(most)).collect(),
            positions,
            lengths,
            beginning,
            adapter,
            pool: &self.pool,
        }
    }

    fn final_norm(&self, states: &[f32]) -> Result<Tensor> {
        let mut normed = vec![0.0; states.len()];
        self.norm.forward(states, &mut normed)?;
        let rows = states.len() / self.hidden_size;
        Ok(Tensor::from_vec(
            normed,
            (rows, self.hidden_size),
            &Device::Cpu,
        )?)
    }

    /// Final normed hidden states [rows, hidden] of packed sequences; keeps nothing.
    pub fn hidden(
        &self,
        tokens: &[u32],
        lengths: &[usize],
        adapter: Option<&Adapter>,
        observe: Option<InputObserver<'_>>,
    ) -> Result<Tensor> {
        let caches = Caches::Fresh {
            beginning: Beginning::default(),
        };
        let states = self.run(tokens, lengths, caches, adapter, None, observe)?;
        self.final_norm(&states)
    }

    /// An empty cache with room for `capacity` tokens (it grows when more come).
    pub fn cache(&self, capacity: usize) -> Cache {
        Cache {
            layers: (0..self.layers.len())
                .map(|_| LayerCache::new(self.heads, capacity))
                .collect(),
        }
    }

    /// Bytes of a cache for each token that it holds.
    pub fn cache_bytes_per_token(&self) -> usize {
        let numbers = 2 * self.layers.len() * self.heads.key_value * self.heads.size;
        numbers * size_of::<f32>()
    }

    /// As [`Self::hidden`], each sequence going on from its cache, which takes up the new tokens.
    pub fn extend(
        &self,
        tokens: &[u32],
        lengths: &[usize],
        caches: &mut [Cache],
        adapter: Option<&Adapter>,
    ) -> Result<Tensor> {
        let states = self.run(tokens, lengths, Caches::Extend(caches), adapter, None, None)?;
        self.final_norm(&states)
    }

    /// As [`Self::hidden`], each sequence going on from its cache, which stays as it is: several
    /// may branch from the same.
    pub fn branch(
        &self,
        tokens: &[u32],
        lengths: &[usize],
        caches: &[&Cache],
        adapter: Option<&Adapter>,
    ) -> Result<Tensor> {
        let states = self.run(tokens, lengths, Caches::Read(caches), adapter, None, None)?;
        self.final_norm(&states)
    }

    /// As [`Self::hidden`], keeping what backward needs.
    pub fn forward(&self, packed: &Packed, adapter: &Adapter) -> Result<(Tensor, Kept)> {
        let mut layers = Vec::with_capacity(self.layers.len());
        let last = self.run(
            &packed.tokens,
            &packed.lengths,
            Caches::Fresh {
                beginning: packed.beginning,
            },
            Some(adapter),
            Some(&mut layers),
            None,
        )?;
        let hidden = self.final_norm(&last)?;
        let kept = Kept {
            lengths: packed.lengths.clone(),
            beginning: packed.beginning,
            layers,
            last,
        };
        Ok((hidden, kept))
    }

    /// Gradients of the adapter's moving tensors from the gradient [rows, hidden] of the final hidden states.
    pub fn backward(
        &self,
        kept: Kept,
        gradient: &Tensor,
        adapter: &Adapter,
    ) -> Result<AdapterGradients> {
        let offsets = offsets(kept.lengths.len(), kept.beginning);
        let positions = positions(self.context, &kept.lengths, &offsets)?;
        let adapter = BorrowedAdapter::new(Some(adapter), &self.shapes, Wholes::Added)?;
        let pass = self.pass(&positions, &kept.lengths, kept.beginning, &adapter);
        let gradient = self.rows_of(gradient)?;
        if gradient.len() != kept.last.len() {
            return Err(Error::bug("the gradient has other rows than the forward"));
        }
        let mut gradients = AdapterGradients::new();
        let trains: Vec<bool> = (0..self.layers.len())
            .map(|index| adapter.trains_under(&format!("{}.{index}.", self.layers_path)))
            .collect();
        let Some(lowest) = trains.iter().position(|&trains| trains) else {
            return Ok(gradients);
        };
        let mut flowing = self.pool.take(gradient.len());
        flowing.fill(0.0);
        self.norm.backward(&kept.last, &gradient, &mut flowing)?;
        drop(kept.last);
        let layers = self.layers.iter().zip(kept.layers).enumerate();
        for (index, (layer, kept)) in layers.skip(lowest).rev() {
            let kept = match kept {
                Remembered::All(kept) => *kept,
                Remembered::Input(input) => {
                    layer.forward(&pass, input, Context::Fresh, &mut None)?.1
                }
            };
            flowing = layer.backward(&pass, kept, flowing, index > lowest, &mut gradients)?;
        }
        Ok(gradients)
    }

    /// The floats of a tensor [rows, hidden].
    fn rows_of<'a>(&self, tensor: &'a Tensor) -> Result<Floats<'a>> {
        match tensor.dims() {
            [_, width] if *width == self.hidden_size => Floats::of(tensor),
            other => Err(Error::bug(format!(
                "hidden states of shape {other:?}, expected [rows, {}]",
                self.hidden_size
            ))),
        }
    }

    fn with_head<T>(&self, work: impl FnOnce(Head<'_>) -> Result<T>) -> Result<T> {
        let weight = Floats::of(&self.head)?;
        work(Head {
            weight: &weight,
            width: self.hidden_size,
            cap: self.logit_cap,
            pool: &self.pool,
        })
    }

    /// Weighted sum of cross-entropies (nats) over the targets, and its gradient [rows, hidden] with
    /// respect to the hidden states. Logits exist only for target rows, a chunk at a time.
    pub fn cross_entropy(&self, hidden: &Tensor, targets: &[Target]) -> Result<(f64, Tensor)> {
        let states = self.rows_of(hidden)?;
        let mut gradient = vec![0.0; states.len()];
        let loss = self.with_head(|head| head.cross_entropy(&states, targets, &mut gradient))?;
        Ok((
            loss,
            Tensor::from_vec(gradient, hidden.dims(), &Device::Cpu)?,
        ))
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
        let (states, teacher) = (self.rows_of(hidden)?, self.rows_of(teacher)?);
        let mut gradient = vec![0.0; states.len()];
        let divergences = self.with_head(|head| {
            head.divergence(&states, rows, &teacher, weight, Some(&mut gradient))
        })?;
        let gradient = Tensor::from_vec(gradient, hidden.dims(), &Device::Cpu)?;
        Ok((divergences.iter().sum(), gradient))
    }

    /// KL(teacher ‖ student) in nats of each of `rows` of `hidden`, without a gradient.
    pub fn divergences(&self, hidden: &Tensor, rows: &[u32], teacher: &Tensor) -> Result<Vec<f64>> {
        let (states, teacher) = (self.rows_of(hidden)?, self.rows_of(teacher)?);
        self.with_head(|head| head.divergence(&states, rows, &teacher, 1.0, None))
    }

    /// Log-probability (nats) of each target under the hidden states, and whether it is the likeliest token.
    pub fn log_probabilities(
        &self,
        hidden: &Tensor,
        targets: &[Target],
    ) -> Result<Vec<(f64, bool)>> {
        let states = self.rows_of(hidden)?;
        self.with_head(|head| head.log_probabilities(&states, targets))
    }

    /// Logits [rows, vocabulary].
    pub fn logits(&self, hidden: &Tensor) -> Result<Tensor> {
        let states = self.rows_of(hidden)?;
        let rows = states.len() / self.hidden_size;
        let mut logits = vec![0.0; rows * self.vocabulary];
        self.with_head(|head| {
            head.logits(&states, &mut logits);
            Ok(())
        })?;
        Ok(Tensor::from_vec(
            logits,
            (rows, self.vocabulary),
            &Device::Cpu,
        )?)
    }
}

#[cfg(test)]
pub(crate) mod tests;

#[cfg(test)]
pub(crate) mod golden;

#[cfg(test)]
pub(crate) mod families;

#[cfg(test)]
mod gemma3;

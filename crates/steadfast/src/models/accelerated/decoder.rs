//! The whole network on a device: forward, loss and backward for adapters.

use super::attention::{Plan, QUERIES};
use super::change::{Change, Gradients, upload};
use super::fused;
use super::head::Head;
use super::layer::{KeptLayer, Layer, Pass};
use super::norm;
use super::rotary::Tables;
use crate::conversations::packing::{Packed, Target};
use crate::models::adapter::{Adapter, AdapterGradients};
use crate::models::blocks::attention::{Attention, Heads};
use crate::models::blocks::gated::{Activation, Unit};
use crate::models::blocks::layer;
use crate::models::decoder::Decoder;
use crate::models::decoder::rows::{check_tokens, offsets, positions};
use crate::models::network::Network;
use crate::{Error, Result};
use candle_core::{Device, Tensor};

/// The decoder's weights on a device, and what trains an adapter on them.
///
/// Everything is f32. What [`Decoder`] also does (generation, scoring, moments) stays with it.
#[derive(Debug)]
pub struct AcceleratedDecoder<'a> {
    /// Where the weights came from: it knows the shapes, and checks adapters.
    host: &'a Decoder,
    device: Device,
    heads: Heads,
    epsilon: f64,
    embedding: Tensor,
    layers: Vec<Layer>,
    norm: Tensor,
    head: Head,
    tables: Tables,
    /// Most queries of a block of attention.
    pub(super) queries: usize,
}

/// What one packed forward keeps for its backward.
#[derive(Debug)]
pub struct Kept {
    pass: Pass,
    changes: Vec<[Option<Change>; 4]>,
    layers: Vec<KeptLayer>,
    last: Tensor,
}

impl<'a> AcceleratedDecoder<'a> {
    /// Copies the frozen weights to `device`, as f32.
    pub fn new(host: &'a Decoder, device: &Device) -> Result<Self> {
        if let Some(part) = unsupported(host) {
            return Err(Error::user(format!(
                "{part} are not supported on another device yet"
            ))
            .hint("train this model on the CPU (without --device); on a device: Llama, Mistral without a window, SmolLM2"));
        }
        fused::load(device)?;
        let epsilon = host.norm.epsilon;
        let embedding = host.embedding.to_device(device)?;
        let head = if host.tied {
            embedding.clone()
        } else {
            host.head.to_device(device)?
        };
        Ok(Self {
            host,
            device: device.clone(),
            heads: host.heads,
            epsilon,
            embedding,
            layers: host
                .layers
                .iter()
                .map(|layer| Layer::new(layer, device))
                .collect::<Result<_>>()?,
            norm: host.norm.weight.to_device(device)?,
            head: Head { weight: head },
            tables: Tables::new(&host.rotary[0].tables(host.context), device)?,
            queries: QUERIES,
        })
    }

    /// Final normed hidden states, what all layers shared and, with `keep`, what each kept.
    fn run(&self, packed: &Packed, adapter: &Adapter, keep: bool) -> Result<(Tensor, Kept)> {
        self.host.check_adapter(adapter)?;
        check_tokens(&packed.tokens, &packed.lengths, self.host.vocabulary)?;
        let (lengths, beginning) = (&packed.lengths, packed.beginning);
        let offsets = offsets(lengths.len(), beginning);
        let positions = positions(self.host.context, lengths, &offsets)?;
        let rows = positions.len();
        let pass = Pass {
            attention: Plan::new(self.heads, lengths, beginning, self.queries),
            angles: self
                .tables
                .at(&Tensor::from_vec(positions, rows, &self.device)?)?,
            epsilon: self.epsilon,
        };
        let changes = self.upload(adapter)?;
        let tokens = Tensor::new(packed.tokens.as_slice(), &self.device)?;
        let mut states = self.embedding.index_select(&tokens, 0)?;
        let mut layers = Vec::new();
        for (layer, changes) in self.layers.iter().zip(&changes) {
            let (output, kept) = layer.forward(&pass, states, changes)?;
            states = output;
            if keep {
                layers.push(kept);
            }
        }
        let hidden = norm::forward(&states, &self.norm, self.epsilon)?;
        let kept = Kept {
            pass,
            changes,
            layers,
            last: states,
        };
        Ok((hidden, kept))
    }

    fn upload(&self, adapter: &Adapter) -> Result<Vec<[Option<Change>; 4]>> {
        let groups = self.layers.iter().flat_map(Layer::groups);
        let described = groups.map(|group| (group.parts.as_slice(), group.inputs));
        let mut changes = upload(adapter, described, &self.device)?.into_iter();
        let mut next = || changes.next().flatten();
        Ok(self
            .layers
            .iter()
            .map(|_| [next(), next(), next(), next()])
            .collect())
    }
}

/// What of a model these blocks do not know, if anything.
fn unsupported(host: &Decoder) -> Option<&'static str> {
    let any = |has: &dyn Fn(&layer::Layer) -> bool| host.layers.iter().any(has);
    let biased = |layer: &layer::Layer| layer.groups().iter().any(|group| group.bias.is_some());
    let around = |norms: &layer::Norms| norms.before.is_none() || norms.after.is_some();
    let table: [(bool, &str); 9] = [
        (any(&biased), "linear layers with a bias"),
        (
            any(&|layer| layer.query_key_norms.is_some()),
            "norms of queries and keys",
        ),
        (host.norm.bias.is_some(), "norms by mean and deviation"),
        (
            any(&|layer| around(&layer.attention_norms) || around(&layer.feed_forward_norms)),
            "norms after attention and feed-forward block",
        ),
        (
            any(&|layer| layer.attention != Attention::plain(host.heads)),
            "attention windows, caps and scales of its own",
        ),
        (
            any(&|layer| layer.rotary != Some(0))
                || host.rotary.len() != 1
                || host.rotary[0].changes_with_length(),
            "positions that differ by layer or length",
        ),
        (
            any(&|layer| layer.unit != Unit::Gated(Activation::Silu) || layer.parallel),
            "feed-forward blocks other than SwiGLU",
        ),
        (
            host.heads.interleaved || host.rotary[0].tables(1).half * 2 != host.heads.size,
            "heads of which a part is turned",
        ),
        (
            host.embedding_scale != 1.0 || host.logit_cap.is_some(),
            "scaled embeddings and capped logits",
        ),
    ];
    table
        .into_iter()
        .find_map(|(has, part)| has.then_some(part))
}

impl Network for AcceleratedDecoder<'_> {
    type Kept = Kept;

    fn forward(&self, packed: &Packed, adapter: &Adapter) -> Result<(Tensor, Kept)> {
        self.run(packed, adapter, true)
    }

    fn backward(
        &self,
        kept: Kept,
        gradient: &Tensor,
        _adapter: &Adapter,
    ) -> Result<AdapterGradients> {
        if gradient.dims() != kept.last.dims() {
            return Err(Error::bug("the gradient has other rows than the forward"));
        }
        let trains = |changes: &[Option<Change>; 4]| {
            let mut all = changes.iter().flatten();
            all.any(|change| change.trains_a() || change.trains_b())
        };
        let mut gradients = Gradients::default();
        let Some(lowest) = kept.changes.iter().position(trains) else {
            return gradients.download();
        };
        let mut flowing = norm::backward(&kept.last, &self.norm, self.epsilon, gradient)?;
        let layers = self.layers.iter().zip(kept.layers).zip(&kept.changes);
        for (index, ((layer, own), changes)) in layers.enumerate().skip(lowest).rev() {
            let below = layer.backward(
                &kept.pass,
                own,
                &flowing,
                changes,
                &mut gradients,
                index > lowest,
            )?;
            if let Some(below) = below {
                flowing = below;
            }
        }
        gradients.download()
    }

    fn cross_entropy(&self, hidden: &Tensor, targets: &[Target]) -> Result<(f64, Tensor)> {
        match self.head.cross_entropy(hidden, targets, true)? {
            (loss, Some(gradient)) => Ok((loss, gradient)),
            (_, None) => Err(Error::bug("a gradient was asked for and not computed")),
        }
    }

    fn divergence(
        &self,
        hidden: &Tensor,
        rows: &[u32],
        teacher: &Tensor,
        weight: f64,
    ) -> Result<(f64, Tensor)> {
        let teacher = teacher.to_device(&self.device)?;
        self.head.divergence(hidden, rows, &teacher, weight)
    }

    fn loss(&self, packed: &Packed, adapter: &Adapter) -> Result<f64> {
        let (hidden, _) = self.run(packed, adapter, false)?;
        let (loss, _) = self.head.cross_entropy(&hidden, &packed.targets, false)?;
        Ok(loss)
    }
}

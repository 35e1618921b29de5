//! The parts of a decoder, as its configuration describes them, from named weights.

use super::super::blocks::attention::{Attention, Heads};
use super::super::blocks::layer::{Layer, Norms};
use super::super::blocks::norm::Norm;
use super::super::blocks::query_key::QueryKeyNorms;
use super::super::config::{LayerConfig, ModelConfig, QueryKeyNorm};
use super::super::families::{Names, NormNames, is_superfluous};
use super::super::weights::Weights;
use super::taker::Taker;
use crate::{Error, Result};
use candle_core::Tensor;

/// What weights become.
pub(super) struct Parts {
    /// [vocabulary, hidden]
    pub(super) embedding: Tensor,
    /// [vocabulary, hidden]
    pub(super) head: Tensor,
    pub(super) norm: Norm,
    pub(super) layers: Vec<Layer>,
}

/// How the columns of queries, keys and values divide.
pub(super) fn heads(config: &ModelConfig) -> Heads {
    Heads {
        query: config.heads,
        key_value: config.key_value_heads,
        size: config.head_size,
        interleaved: config.interleaved,
    }
}

/// Takes every weight that the configuration asks for, and refuses those that are left over.
pub(super) fn parts(config: &ModelConfig, weights: Weights) -> Result<Parts> {
    let family = config.family()?;
    let names = &family.names;
    let mut taker = Taker { weights };
    let table = [config.vocabulary, config.hidden_size];
    let embedding = taker.take(&format!("{}.weight", names.embedding), &table)?;
    let mut own_head = names.heads.iter().map(|head| format!("{head}.weight"));
    let own_head = own_head.find(|head| taker.weights.contains_key(head));
    let head = match own_head {
        Some(head) if config.tied_embeddings => {
            taker.weights.remove(&head);
            embedding.clone()
        }
        None if config.tied_embeddings => embedding.clone(),
        Some(head) => taker.take(&head, &table)?,
        None => taker.take(&format!("{}.weight", names.heads[0]), &table)?,
    };
    let norm = taker.norm(names.norm, config.hidden_size, &config.norm)?;
    let layers = config
        .layers
        .iter()
        .enumerate()
        .map(|(index, own)| {
            let path = format!("{}.{index}", names.layers);
            layer(config, names, *own, &path, &mut taker)
        })
        .collect::<Result<_>>()?;
    if let Some(name) = taker.weights.keys().find(|name| !is_superfluous(name)) {
        return Err(Error::user(format!(
            "the model has a tensor `{name}` that this network does not use"
        ))
        .hint(format!(
            "a model of `{}` ({}) has no such part: config.json and the weights may not belong together",
            family.architecture, family.models
        )));
    }
    Ok(Parts {
        embedding,
        head,
        norm,
        layers,
    })
}

fn layer(
    config: &ModelConfig,
    names: &Names,
    own: LayerConfig,
    path: &str,
    taker: &mut Taker,
) -> Result<Layer> {
    let heads = heads(config);
    let (hidden, intermediate) = (config.hidden_size, config.intermediate_size);
    let (queries, keys) = (heads.query_width(), heads.key_value * heads.size);
    let widths: &[usize] = match names.queries_keys_values {
        [_] => &[heads.width()],
        _ => &[queries, keys, keys],
    };
    let queries_keys_values: Vec<(&str, usize)> = (names.queries_keys_values.iter().copied())
        .zip(widths.iter().copied())
        .collect();
    let up = config.unit.inputs(intermediate);
    let up: Vec<(&str, usize)> = names
        .up
        .iter()
        .map(|&name| (name, up / names.up.len()))
        .collect();
    let biases = config.biases;
    let plain = Attention::plain(heads);
    Ok(Layer {
        attention_norms: norms(config, names.attention_norms, path, taker)?,
        queries_keys_values: taker.group(
            path,
            hidden,
            &queries_keys_values,
            biases.queries_keys_values,
        )?,
        query_key_norms: query_key_norms(config, heads, path, taker)?,
        rotary: own.rotary,
        attention: Attention {
            scale: config
                .query_scalar
                .map_or(plain.scale, |scalar| scalar.powf(-0.5) as f32),
            cap: config.attention_cap.map(|cap| cap as f32),
            window: own.window,
            ..plain
        },
        output: taker.group(path, queries, &[(names.output, hidden)], biases.output)?,
        feed_forward_norms: norms(config, names.feed_forward_norms, path, taker)?,
        up: taker.group(path, hidden, &up, biases.feed_forward)?,
        unit: config.unit,
        down: taker.group(
            path,
            intermediate,
            &[(names.down, hidden)],
            biases.feed_forward,
        )?,
        parallel: config.parallel,
    })
}

fn norms(config: &ModelConfig, names: NormNames, path: &str, taker: &mut Taker) -> Result<Norms> {
    let mut norm = |name: Option<&str>| {
        name.map(|name| taker.norm(&format!("{path}.{name}"), config.hidden_size, &config.norm))
            .transpose()
    };
    Ok(Norms {
        before: norm(names.before)?,
        after: norm(names.after)?,
    })
}

fn query_key_norms(
    config: &ModelConfig,
    heads: Heads,
    path: &str,
    taker: &mut Taker,
) -> Result<Option<QueryKeyNorms>> {
    let (query, key) = match config.query_key_norm {
        QueryKeyNorm::None => return Ok(None),
        QueryKeyNorm::Head => (heads.size, heads.size),
        QueryKeyNorm::Whole => (heads.query_width(), heads.key_value * heads.size),
    };
    let mut weight = |name: &str, width: usize| {
        taker.norm_weight(&format!("{path}.self_attn.{name}"), width, &config.norm)
    };
    Ok(Some(QueryKeyNorms {
        query: weight("q_norm", query)?,
        key: weight("k_norm", key)?,
        epsilon: config.norm.epsilon,
    }))
}

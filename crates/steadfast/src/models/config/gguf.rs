//! The metadata of a GGUF file, in llama.cpp's words.

use super::rotary::{RotaryConfig, Scaling};
use super::{Biases, LayerConfig, ModelConfig, NormConfig, QueryKeyNorm};
use crate::models::blocks::gated::{Activation, Unit};
use crate::models::gguf::{self, GgufFile};
use crate::{Error, Result};
use candle_core::Device;

/// The configuration in the file's metadata. What the file has as tensors (an output head, biases,
/// divisors of rotary frequencies) is found by their names.
pub(super) fn read(file: &GgufFile) -> Result<ModelConfig> {
    let architecture = file.text("general.architecture")?;
    let known = gguf::family_of(architecture)
        .map_err(|error| error.at(file.path()).field("general.architecture"))?;
    let key = |name: &str| format!("{architecture}.{name}");
    let integer = |name: &str| file.integer(&key(name));
    let number = |name: &str| file.number(&key(name));
    let optional = |name: &str| file.has(&key(name)).then(|| integer(name)).transpose();
    let heads = integer("attention.head_count")?;
    if heads == 0 {
        return Err(Error::user("the model has no attention heads").at(file.path()));
    }
    let hidden_size = integer("embedding_length")?;
    let Some(&[vocabulary, _]) = file.shape("token_embd.weight") else {
        return Err(
            Error::user("the GGUF file has no embedding of two dimensions")
                .at(file.path())
                .field("token_embd.weight")
                .hint("vocabulary-only files hold no model: download the whole one"),
        );
    };
    let head_size = optional("attention.key_length")?.unwrap_or(hidden_size / heads);
    let theta = if file.has(&key("rope.freq_base")) {
        number("rope.freq_base")?
    } else if architecture == "gemma3" {
        1e6
    } else {
        1e4
    };
    let full = RotaryConfig {
        theta,
        size: optional("rope.dimension_count")?.unwrap_or(head_size),
        scaling: scaling(file, architecture)?,
    };
    let gemma3 = architecture == "gemma3";
    let window = optional("attention.sliding_window")?;
    if window.is_some() && !gemma3 {
        return Err(Error::user(
            "attention windows of this architecture are not read from GGUF files",
        )
        .at(file.path())
        .field(key("attention.sliding_window"))
        .hint("use the model's folder with config.json and safetensors"));
    }
    let rotary = if gemma3 {
        // llama.cpp has the base of windowed layers in its own code.
        let local = RotaryConfig {
            theta: if file.has(&key("rope.freq_base_swa")) {
                number("rope.freq_base_swa")?
            } else {
                1e4
            },
            scaling: Scaling::None,
            ..full
        };
        vec![full, local]
    } else {
        vec![full]
    };
    let block_count = integer("block_count")?;
    if block_count > super::MOST_LAYERS {
        return Err(Error::user(format!("{block_count} layers are too many"))
            .at(file.path())
            .field(key("block_count"))
            .hint("the file may be damaged: download it again"));
    }
    let pattern = optional("attention.sliding_window_pattern")?
        .unwrap_or(6)
        .max(1);
    let layers = (0..block_count).map(|layer| {
        let window = window.filter(|_| !(layer + 1).is_multiple_of(pattern));
        LayerConfig {
            rotary: Some(usize::from(window.is_some())),
            window,
        }
    });
    let biased = |name: &str| file.has_tensor(&format!("blk.0.{name}.bias"));
    Ok(ModelConfig {
        architecture: known.to_owned(),
        hidden_size,
        intermediate_size: integer("feed_forward_length")?,
        layers: layers.collect(),
        heads,
        key_value_heads: optional("attention.head_count_kv")?.unwrap_or(heads),
        head_size,
        vocabulary,
        context: integer("context_length")?,
        rotary,
        norm: NormConfig {
            epsilon: number("attention.layer_norm_rms_epsilon")?,
            offset: if gemma3 { 1.0 } else { 0.0 },
            ..ModelConfig::default().norm
        },
        query_key_norm: if file.has_tensor("blk.0.attn_q_norm.weight") {
            QueryKeyNorm::Head
        } else {
            QueryKeyNorm::None
        },
        biases: Biases {
            queries_keys_values: biased("attn_q"),
            output: biased("attn_output"),
            feed_forward: biased("ffn_up"),
        },
        unit: Unit::Gated(if gemma3 {
            Activation::GeluTanh
        } else {
            Activation::Silu
        }),
        embedding_scale: if gemma3 {
            (hidden_size as f64).sqrt()
        } else {
            1.0
        },
        // As llama.cpp scales the scores of the largest of them, of 62 layers.
        query_scalar: (gemma3 && block_count == 62).then_some(hidden_size as f64 / heads as f64),
        tied_embeddings: !file.has_tensor("output.weight"),
        ..ModelConfig::default()
    })
}

fn scaling(file: &GgufFile, architecture: &str) -> Result<Scaling> {
    const DIVISORS: &str = "rope_freqs.weight";
    if file.has_tensor(DIVISORS) {
        let stored = file.stored(&mut file.reader()?, DIVISORS, &Device::Cpu)?;
        let divisors = stored.dequantize(&Device::Cpu)?.flatten_all()?;
        return Ok(Scaling::Each {
            divisors: divisors
                .to_vec1::<f32>()?
                .into_iter()
                .map(f64::from)
                .collect(),
        });
    }
    let key = format!("{architecture}.rope.scaling.type");
    if !file.has(&key) {
        return Ok(Scaling::None);
    }
    match file.text(&key)? {
        "none" => Ok(Scaling::None),
        "linear" => Ok(Scaling::Linear {
            factor: file.number(&format!("{architecture}.rope.scaling.factor"))?,
        }),
        other => Err(Error::user(format!(
            "rotary positions scaled by `{other}` are not supported"
        ))
        .at(file.path())
        .field(key)
        .hint("supported: none, linear, and Llama 3's in `rope_freqs.weight`")),
    }
}

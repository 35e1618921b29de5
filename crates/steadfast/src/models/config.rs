//! The shape of a decoder of the Llama family, from `config.json` or GGUF metadata.

use super::gguf::GgufFile;
use crate::{Error, Result};
use serde::{Deserialize, Serialize};
use std::path::Path;

/// Everything the decoder needs to know.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ModelConfig {
    /// `llama` for now; others are refused by name.
    pub architecture: String,
    /// Width of the residual stream.
    pub hidden_size: usize,
    /// Width of the gated feed-forward block.
    pub intermediate_size: usize,
    /// Number of layers.
    pub layers: usize,
    /// Query heads.
    pub heads: usize,
    /// Key and value heads.
    pub key_value_heads: usize,
    /// Width of one head.
    pub head_size: usize,
    /// Vocabulary size (rows of the embedding).
    pub vocabulary: usize,
    /// Longest context the model was trained for.
    pub context: usize,
    /// Base of the rotary frequencies.
    pub rope_theta: f64,
    /// Added to the mean square before the root.
    pub norm_epsilon: f64,
    /// The output head is the embedding.
    pub tied_embeddings: bool,
}

/// `config.json`, as far as the decoder reads it.
#[derive(Deserialize)]
struct Raw {
    model_type: String,
    hidden_size: usize,
    intermediate_size: usize,
    num_hidden_layers: usize,
    num_attention_heads: usize,
    num_key_value_heads: Option<usize>,
    head_dim: Option<usize>,
    vocab_size: usize,
    max_position_embeddings: usize,
    rope_theta: Option<f64>,
    /// transformers 5 moved the base in here.
    rope_parameters: Option<serde_json::Value>,
    rope_scaling: Option<serde_json::Value>,
    rms_norm_eps: f64,
    #[serde(default)]
    tie_word_embeddings: bool,
    #[serde(default)]
    attention_bias: bool,
    #[serde(default)]
    mlp_bias: bool,
    hidden_act: Option<String>,
}

impl ModelConfig {
    /// From a model folder or a GGUF file.
    pub fn read(path: &Path) -> Result<Self> {
        let config = if path.is_dir() {
            Self::from_json(&path.join("config.json"))?
        } else {
            Self::from_gguf(&GgufFile::open(path)?)?
        };
        config.check().map_err(|error| error.at(path))?;
        Ok(config)
    }

    fn from_json(path: &Path) -> Result<Self> {
        let text = std::fs::read_to_string(path).map_err(|cause| {
            Error::file("read", path, cause)
                .hint("a model folder needs config.json, tokenizer.json and safetensors")
        })?;
        let value: serde_json::Value = serde_json::from_str(&text).map_err(|cause| {
            Error::user("the model's config is not JSON")
                .at(path)
                .line(cause.line())
                .because(cause)
        })?;
        supported(value["model_type"].as_str().unwrap_or("?"))
            .map_err(|error| error.at(path).field("model_type"))?;
        let raw: Raw = serde_json::from_value(value).map_err(|cause| {
            Error::user("the model's config lacks a field or has one of the wrong type")
                .at(path)
                .because(cause)
                .hint("download config.json again from where the model comes from")
        })?;
        let refuse = |field: &str, message: &str| {
            Err(Error::user(message.to_owned()).at(path).field(field).hint(
                "supported: the Llama architecture without biases, SiLU, plain rotary positions",
            ))
        };
        if raw.attention_bias || raw.mlp_bias {
            return refuse(
                "attention_bias",
                "biases in linear layers are not supported",
            );
        }
        if raw.hidden_act.as_deref().is_some_and(|act| act != "silu") {
            return refuse("hidden_act", "this activation is not supported");
        }
        let rope = raw
            .rope_parameters
            .as_ref()
            .unwrap_or(&serde_json::Value::Null);
        let scaling = raw
            .rope_scaling
            .as_ref()
            .filter(|value| !value.is_null())
            .or(raw.rope_parameters.as_ref())
            .and_then(|value| value["rope_type"].as_str().or(value["type"].as_str()))
            .is_some_and(|kind| kind != "default");
        if scaling {
            return refuse("rope_scaling", "scaled rotary positions are not supported");
        }
        if raw.num_attention_heads == 0 {
            return refuse("num_attention_heads", "the model has no attention heads");
        }
        Ok(Self {
            architecture: raw.model_type,
            hidden_size: raw.hidden_size,
            intermediate_size: raw.intermediate_size,
            layers: raw.num_hidden_layers,
            heads: raw.num_attention_heads,
            key_value_heads: raw.num_key_value_heads.unwrap_or(raw.num_attention_heads),
            head_size: raw
                .head_dim
                .unwrap_or(raw.hidden_size / raw.num_attention_heads),
            vocabulary: raw.vocab_size,
            context: raw.max_position_embeddings,
            rope_theta: raw
                .rope_theta
                .or(rope["rope_theta"].as_f64())
                .unwrap_or(10_000.0),
            norm_epsilon: raw.rms_norm_eps,
            tied_embeddings: raw.tie_word_embeddings,
        })
    }

    fn from_gguf(file: &GgufFile) -> Result<Self> {
        let architecture = file.text("general.architecture")?;
        supported(architecture)
            .map_err(|error| error.at(file.path()).field("general.architecture"))?;
        let integer = |key: &str| file.integer(&format!("{architecture}.{key}"));
        let number = |key: &str| file.number(&format!("{architecture}.{key}"));
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
        if file.has_tensor("rope_freqs.weight")
            || file.has(&format!("{architecture}.rope.scaling.type"))
        {
            return Err(Error::user("scaled rotary positions are not supported")
                .at(file.path())
                .hint("supported: the Llama architecture with plain rotary positions"));
        }
        Ok(Self {
            architecture: architecture.to_owned(),
            hidden_size,
            intermediate_size: integer("feed_forward_length")?,
            layers: integer("block_count")?,
            heads,
            key_value_heads: integer("attention.head_count_kv").unwrap_or(heads),
            head_size: integer("attention.key_length").unwrap_or(hidden_size / heads),
            vocabulary,
            context: integer("context_length")?,
            rope_theta: number("rope.freq_base").unwrap_or(10_000.0),
            norm_epsilon: number("attention.layer_norm_rms_epsilon")?,
            tied_embeddings: !file.has_tensor("output.weight"),
        })
    }

    /// What cannot belong to a model of a supported kind is refused before anything is allocated.
    pub fn check(&self) -> Result<()> {
        supported(&self.architecture)?;
        let positive = [
            self.hidden_size,
            self.intermediate_size,
            self.layers,
            self.heads,
            self.key_value_heads,
            self.head_size,
            self.vocabulary,
            self.context,
        ];
        let mistake = if positive.contains(&0) {
            "a dimension of the model is 0".to_owned()
        } else if !self.heads.is_multiple_of(self.key_value_heads) {
            format!(
                "{} query heads do not share {} key heads evenly",
                self.heads, self.key_value_heads
            )
        } else if !self.head_size.is_multiple_of(2) {
            "the head size is odd: rotary positions need pairs".to_owned()
        } else {
            return Ok(());
        };
        Err(Error::user(mistake)
            .hint("the config or metadata may be damaged: fetch the model again"))
    }
}

fn supported(architecture: &str) -> Result<()> {
    if architecture == "llama" {
        return Ok(());
    }
    Err(Error::user(format!(
        "the architecture `{architecture}` is not supported"
    ))
    .hint(
        "supported architectures: llama (Llama 2/3, SmolLM2, TinyLlama and others of that shape)",
    ))
}

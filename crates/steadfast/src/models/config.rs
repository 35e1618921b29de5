//! What a decoder is made of, from a model's `config.json` or the metadata of a GGUF file.
//!
//! One decoder serves all families: every trait in which they differ is a field here.

mod gguf;
mod json;
mod rotary;

use super::blocks::gated::{Activation, Unit};
use super::families::Family;
use super::gguf::GgufFile;
use crate::{Error, Result};
pub use rotary::{RotaryConfig, Scaling};
use serde::Serialize;
use std::path::Path;

/// More than any model has; what lies above is damage, and would only fail later and worse.
const MOST_WIDTH: usize = 1 << 20;
const MOST_LAYERS: usize = 1 << 10;
const MOST_TOKENS: usize = 1 << 24;
/// Positions are counted in 32 bits, and an f32 angle says nothing beyond.
const MOST_CONTEXT: usize = 1 << 24;

/// Everything the decoder needs to know.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ModelConfig {
    /// transformers' `model_type`; it decides the names of the tensors.
    pub architecture: String,
    /// Width of the residual stream.
    pub hidden_size: usize,
    /// Width of the feed-forward block.
    pub intermediate_size: usize,
    /// What each layer has of its own.
    pub layers: Vec<LayerConfig>,
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
    /// The kinds of rotary positions; a layer has one of them or none.
    pub rotary: Vec<RotaryConfig>,
    /// Every norm.
    pub norm: NormConfig,
    /// What of queries and keys is normed.
    pub query_key_norm: QueryKeyNorm,
    /// Which linear layers have a bias.
    pub biases: Biases,
    /// The feed-forward block's unit.
    pub unit: Unit,
    /// Attention and feed-forward block read the same state, and both are added to it.
    pub parallel: bool,
    /// Queries, keys and values of each head lie side by side in one layer's output.
    pub interleaved: bool,
    /// Embeddings are multiplied by this.
    pub embedding_scale: f64,
    /// Scores are divided by its root; the head size where absent.
    pub query_scalar: Option<f64>,
    /// Scores are cap·tanh(score/cap).
    pub attention_cap: Option<f64>,
    /// Logits are cap·tanh(logit/cap).
    pub logit_cap: Option<f64>,
    /// The output head is the embedding.
    pub tied_embeddings: bool,
}

/// What one layer has of its own.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct LayerConfig {
    /// Which of [`ModelConfig::rotary`] turns its queries and keys.
    pub rotary: Option<usize>,
    /// Most keys that a query sees, its own included.
    pub window: Option<usize>,
}

/// How states are normed.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct NormConfig {
    /// What is taken out of the states.
    pub kind: NormKind,
    /// Added to the mean square before the root.
    pub epsilon: f64,
    /// Added to the weight: 1 where files hold its distance from 1.
    pub offset: f64,
}

/// What a norm takes out of states.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum NormKind {
    /// Their root mean square.
    RootMeanSquare,
    /// Their mean and their deviation; such norms have a bias.
    Layer,
}

/// What of queries and keys is normed before they are turned.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum QueryKeyNorm {
    /// Nothing.
    None,
    /// Each head by itself.
    Head,
    /// All heads together.
    Whole,
}

/// Which linear layers have a bias.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Biases {
    /// q, k and v.
    pub queries_keys_values: bool,
    /// Attention's output.
    pub output: bool,
    /// Gate, up and down.
    pub feed_forward: bool,
}

impl Default for ModelConfig {
    /// A Llama without any size, to be filled in.
    fn default() -> Self {
        Self {
            architecture: "llama".into(),
            hidden_size: 0,
            intermediate_size: 0,
            layers: Vec::new(),
            heads: 0,
            key_value_heads: 0,
            head_size: 0,
            vocabulary: 0,
            context: 0,
            rotary: Vec::new(),
            norm: NormConfig {
                kind: NormKind::RootMeanSquare,
                epsilon: 1e-5,
                offset: 0.0,
            },
            query_key_norm: QueryKeyNorm::None,
            biases: Biases::default(),
            unit: Unit::Gated(Activation::Silu),
            parallel: false,
            interleaved: false,
            embedding_scale: 1.0,
            query_scalar: None,
            attention_cap: None,
            logit_cap: None,
            tied_embeddings: false,
        }
    }
}

impl ModelConfig {
    /// From a model folder or a GGUF file.
    pub fn read(path: &Path) -> Result<Self> {
        let config = if path.is_dir() {
            Self::from_json(&path.join("config.json"))?
        } else {
            gguf::read(&GgufFile::open(path)?)?
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
        json::read(&value).map_err(|error| error.at(path))
    }

    /// The family, by the architecture.
    pub fn family(&self) -> Result<&'static Family> {
        Family::named(&self.architecture)
    }

    /// What cannot belong to a model of a supported kind is refused before anything is allocated.
    pub fn check(&self) -> Result<()> {
        self.family()?;
        let widths = [
            ("the hidden size", self.hidden_size, MOST_WIDTH),
            ("the intermediate size", self.intermediate_size, MOST_WIDTH),
            ("the number of layers", self.layers.len(), MOST_LAYERS),
            ("the number of heads", self.heads, MOST_WIDTH),
            ("the number of key heads", self.key_value_heads, MOST_WIDTH),
            ("the head size", self.head_size, MOST_WIDTH),
            (
                "the width of all heads",
                self.heads.saturating_mul(self.head_size),
                MOST_WIDTH,
            ),
            ("the vocabulary", self.vocabulary, MOST_TOKENS),
            ("the context", self.context, MOST_CONTEXT),
        ];
        let positive = [
            ("the norm's epsilon", Some(self.norm.epsilon)),
            ("the scale of the embedding", Some(self.embedding_scale)),
            ("query_pre_attn_scalar", self.query_scalar),
            ("the cap of attention scores", self.attention_cap),
            ("the cap of logits", self.logit_cap),
        ];
        let unsound = |value: f64| !value.is_finite() || value <= 0.0;
        let mistake = if let Some((what, value, most)) = widths
            .iter()
            .find(|(_, value, most)| value == &0 || value > most)
        {
            format!("{what} is {value}, not 1 to {most}")
        } else if let Some((what, Some(value))) = positive
            .iter()
            .find(|(_, value)| value.is_some_and(unsound))
        {
            format!("{what} is {value}, not a positive number")
        } else if !self.heads.is_multiple_of(self.key_value_heads) {
            format!(
                "{} query heads do not share {} key heads evenly",
                self.heads, self.key_value_heads
            )
        } else if self.layers.iter().any(|layer| layer.window == Some(0)) {
            "an attention window of 0 tokens sees nothing".to_owned()
        } else if (self.layers.iter())
            .any(|layer| layer.rotary.is_some_and(|kind| kind >= self.rotary.len()))
        {
            return Err(Error::bug(
                "a layer has a kind of rotary positions that there is not",
            ));
        } else if let Some(mistake) = self
            .rotary
            .iter()
            .find_map(|rotary| rotary.mistake(self.head_size))
        {
            mistake
        } else {
            return Ok(());
        };
        Err(Error::user(mistake)
            .hint("the config or metadata may be damaged: fetch the model again"))
    }
}

#[cfg(test)]
mod tests;

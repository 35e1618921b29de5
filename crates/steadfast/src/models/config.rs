//! The shape of a decoder of the Llama family, from `config.json` or GGUF metadata.

use serde::{Deserialize, Serialize};

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

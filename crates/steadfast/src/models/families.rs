//! The families of models that the one decoder serves: what transformers calls their parts.
//!
//! A family is a row of names. What else tells families apart (biases, norms, activations, windows,
//! rotary positions) is read from a model's own configuration into [`super::config::ModelConfig`].

use crate::{Error, Result};

/// A family of models.
#[derive(Debug)]
pub struct Family {
    /// transformers' `model_type`.
    pub architecture: &'static str,
    /// transformers' class of its language models.
    pub class: &'static str,
    /// Models of the family.
    pub models: &'static str,
    /// What its tensors are called.
    pub names: Names,
}

/// Names of a family's modules, without `.weight`. Those of a layer stand behind
/// `<layers>.<index>.`.
#[derive(Clone, Copy, Debug)]
pub struct Names {
    /// Token embedding.
    pub embedding: &'static str,
    /// Norm of the last hidden states.
    pub norm: &'static str,
    /// What the names of all layers begin with.
    pub layers: &'static str,
    /// The output head; older files may have another name.
    pub heads: &'static [&'static str],
    /// Queries, keys and values: three layers, or one for all.
    pub queries_keys_values: &'static [&'static str],
    /// Attention's output.
    pub output: &'static str,
    /// Gate and up, one layer for both, or up alone.
    pub up: &'static [&'static str],
    /// Down.
    pub down: &'static str,
    /// Norms around attention.
    pub attention_norms: NormNames,
    /// Norms around the feed-forward block.
    pub feed_forward_norms: NormNames,
}

/// Norms around a sublayer.
#[derive(Clone, Copy, Debug)]
pub struct NormNames {
    /// Of what the sublayer reads.
    pub before: Option<&'static str>,
    /// Of what it gives.
    pub after: Option<&'static str>,
}

const LLAMA: Names = Names {
    embedding: "model.embed_tokens",
    norm: "model.norm",
    layers: "model.layers",
    heads: &["lm_head"],
    queries_keys_values: &["self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"],
    output: "self_attn.o_proj",
    up: &["mlp.gate_proj", "mlp.up_proj"],
    down: "mlp.down_proj",
    attention_norms: NormNames {
        before: Some("input_layernorm"),
        after: None,
    },
    feed_forward_norms: NormNames {
        before: Some("post_attention_layernorm"),
        after: None,
    },
};

/// Norms on both sides of each sublayer.
const GEMMA: Names = Names {
    attention_norms: NormNames {
        before: Some("input_layernorm"),
        after: Some("post_attention_layernorm"),
    },
    feed_forward_norms: NormNames {
        before: Some("pre_feedforward_layernorm"),
        after: Some("post_feedforward_layernorm"),
    },
    ..LLAMA
};

/// Every family, in the order in which they are listed to users.
pub const FAMILIES: [Family; 11] = [
    Family {
        architecture: "llama",
        class: "LlamaForCausalLM",
        models: "Llama 2 to 3.3, SmolLM2, TinyLlama",
        names: LLAMA,
    },
    Family {
        architecture: "mistral",
        class: "MistralForCausalLM",
        models: "Mistral 7B, Mistral Nemo",
        names: LLAMA,
    },
    Family {
        architecture: "qwen2",
        class: "Qwen2ForCausalLM",
        models: "Qwen2, Qwen2.5",
        names: LLAMA,
    },
    Family {
        architecture: "qwen3",
        class: "Qwen3ForCausalLM",
        models: "Qwen3 (dense)",
        names: LLAMA,
    },
    Family {
        architecture: "smollm3",
        class: "SmolLM3ForCausalLM",
        models: "SmolLM3",
        names: LLAMA,
    },
    Family {
        architecture: "phi3",
        class: "Phi3ForCausalLM",
        models: "Phi-3 (4k and 128k), Phi-4",
        names: Names {
            queries_keys_values: &["self_attn.qkv_proj"],
            up: &["mlp.gate_up_proj"],
            ..LLAMA
        },
    },
    Family {
        architecture: "olmo2",
        class: "Olmo2ForCausalLM",
        models: "OLMo 2",
        names: Names {
            attention_norms: NormNames {
                before: None,
                after: Some("post_attention_layernorm"),
            },
            feed_forward_norms: NormNames {
                before: None,
                after: Some("post_feedforward_layernorm"),
            },
            ..LLAMA
        },
    },
    Family {
        architecture: "gemma",
        class: "GemmaForCausalLM",
        models: "Gemma 1",
        names: LLAMA,
    },
    Family {
        architecture: "gemma2",
        class: "Gemma2ForCausalLM",
        models: "Gemma 2",
        names: GEMMA,
    },
    Family {
        architecture: "gemma3_text",
        class: "Gemma3ForCausalLM",
        models: "Gemma 3 (text: 270M, 1B)",
        names: GEMMA,
    },
    Family {
        architecture: "gpt_neox",
        class: "GPTNeoXForCausalLM",
        models: "GPT-NeoX, Pythia",
        names: Names {
            embedding: "gpt_neox.embed_in",
            norm: "gpt_neox.final_layer_norm",
            layers: "gpt_neox.layers",
            heads: &["embed_out", "lm_head"],
            queries_keys_values: &["attention.query_key_value"],
            output: "attention.dense",
            up: &["mlp.dense_h_to_4h"],
            down: "mlp.dense_4h_to_h",
            ..LLAMA
        },
    },
];

impl Family {
    /// The family of that `model_type`.
    ///
    /// # Errors
    /// It is none of those supported, which the error lists.
    pub fn named(architecture: &str) -> Result<&'static Self> {
        FAMILIES
            .iter()
            .find(|family| family.architecture == architecture)
            .ok_or_else(|| {
                Error::user(format!(
                    "the architecture `{architecture}` is not supported"
                ))
                .hint(format!("supported architectures: {}", supported()))
            })
    }
}

/// All supported architectures, in words.
pub fn supported() -> String {
    let described: Vec<String> = FAMILIES
        .iter()
        .map(|family| format!("{} ({})", family.architecture, family.models))
        .collect();
    described.join(", ")
}

/// Whether a tensor of this name is the weight of a linear layer inside the network's layers.
pub fn is_linear(name: &str) -> bool {
    let Some((module, "weight")) = name.rsplit_once('.') else {
        return false;
    };
    FAMILIES.iter().any(|family| {
        let names = &family.names;
        let single = [names.output, names.down];
        module.starts_with(names.layers)
            && (names.queries_keys_values.iter())
                .chain(names.up)
                .chain(&single)
                .any(|layer| {
                    module
                        .strip_suffix(layer)
                        .is_some_and(|rest| rest.ends_with('.'))
                })
    })
}

/// Tensors of older files that a configuration already gives, or that no network needs: tables of
/// rotary frequencies, and attention masks.
pub fn is_superfluous(name: &str) -> bool {
    [
        "rotary_emb.inv_freq",
        "attention.bias",
        "attention.masked_bias",
    ]
    .iter()
    .any(|ending| name.ends_with(ending))
}

/// The projections, in the Llama family's words, that a linear layer of any family does the work of:
/// `qkv_proj` is `q_proj`, `k_proj` and `v_proj` in one. Empty for an unknown name.
pub fn work_of(name: &str) -> &'static [&'static str] {
    match name {
        "q_proj" => &["q_proj"],
        "k_proj" => &["k_proj"],
        "v_proj" => &["v_proj"],
        "o_proj" | "dense" => &["o_proj"],
        "gate_proj" => &["gate_proj"],
        "up_proj" | "dense_h_to_4h" => &["up_proj"],
        "down_proj" | "dense_4h_to_h" => &["down_proj"],
        "qkv_proj" | "query_key_value" => &["q_proj", "k_proj", "v_proj"],
        "gate_up_proj" => &["gate_proj", "up_proj"],
        _ => &[],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn linear_layers_are_known_by_their_names() {
        for name in [
            "model.layers.0.self_attn.q_proj.weight",
            "model.layers.3.self_attn.qkv_proj.weight",
            "gpt_neox.layers.11.mlp.dense_4h_to_h.weight",
        ] {
            assert!(is_linear(name), "{name}");
        }
        for name in [
            "model.layers.0.self_attn.q_proj.bias",
            "model.layers.0.self_attn.q_norm.weight",
            "model.embed_tokens.weight",
            "lm_head.weight",
        ] {
            assert!(!is_linear(name), "{name}");
        }
    }

    #[test]
    fn every_linear_layer_does_known_work_and_an_unknown_family_is_told_which_there_are() {
        for family in &FAMILIES {
            let names = &family.names;
            let layers = names.queries_keys_values.iter().chain(names.up);
            for path in layers.chain(&[names.output, names.down]) {
                let name = path.rsplit('.').next().unwrap();
                assert!(!work_of(name).is_empty(), "{path}");
            }
        }
        let error = Family::named("mamba").unwrap_err();
        assert!(error.message.contains("`mamba`"), "{error}");
        assert!(error.hint.unwrap().contains("qwen3 (Qwen3 (dense))"));
    }
}

//! transformers' `config.json`, of version 4 or 5. What a file leaves out is what transformers takes.

use super::rotary::{RotaryConfig, Scaling};
use super::{Biases, LayerConfig, ModelConfig, NormConfig, NormKind, QueryKeyNorm};
use crate::models::blocks::gated::{Activation, Unit};
use crate::models::families::Family;
use crate::{Error, Result};
use serde_json::Value;

/// The configuration in `value`.
pub(super) fn read(value: &Value) -> Result<ModelConfig> {
    let fields = Fields(value);
    let architecture = fields.0["model_type"].as_str().unwrap_or("?");
    if architecture == "gemma3" {
        return Err(refused("model_type", "Gemma 3 with images is not supported")
            .hint("supported: its text models (`gemma3_text`: 270M, 1B), and GGUF files of the others"));
    }
    Family::named(architecture).map_err(|error| error.field("model_type"))?;
    // Folders that transformers saved of a GGUF file keep its mark, and floats.
    let quantized = &value["quantization_config"];
    if !quantized.is_null() && quantized["quant_method"] != "gguf" {
        return Err(refused(
            "quantization_config",
            "quantized safetensors are not supported",
        )
        .hint("take the model in F32, F16 or BF16, or a GGUF file of it"));
    }
    let neox = architecture == "gpt_neox";
    let gemma = architecture.starts_with("gemma");
    let heads = fields.needed("num_attention_heads")?;
    if heads == 0 {
        return Err(refused(
            "num_attention_heads",
            "the model has no attention heads",
        ));
    }
    let hidden_size = fields.needed("hidden_size")?;
    let head_size = fields.count("head_dim")?.unwrap_or(match architecture {
        "qwen3" => 128,
        _ if gemma => 256,
        _ => hidden_size / heads,
    });
    let layers = fields.needed("num_hidden_layers")?;
    if layers > super::MOST_LAYERS {
        return Err(refused(
            "num_hidden_layers",
            format!("{layers} layers are too many"),
        ));
    }
    let windows = windows(&fields, architecture, layers)?;
    let (full, sliding) = (
        rotary(&fields, architecture, head_size, "full_attention")?,
        rotary(&fields, architecture, head_size, "sliding_attention")?,
    );
    // Most families turn all layers alike.
    let (of_sliding, rotary) = if sliding == full {
        (0, vec![full])
    } else {
        (1, vec![full, sliding])
    };
    let turned = turned(&fields, architecture, layers)?;
    let layers = windows
        .into_iter()
        .zip(turned)
        .map(|(window, turned)| LayerConfig {
            rotary: turned.then_some(if window.is_some() { of_sliding } else { 0 }),
            window,
        });
    let epsilon = if neox {
        fields.number("layer_norm_eps")?.unwrap_or(1e-5)
    } else {
        let usual = if architecture == "phi3" || architecture == "olmo2" {
            1e-5
        } else {
            1e-6
        };
        fields.number("rms_norm_eps")?.unwrap_or(usual)
    };
    Ok(ModelConfig {
        architecture: architecture.to_owned(),
        hidden_size,
        intermediate_size: fields.needed("intermediate_size")?,
        layers: layers.collect(),
        heads,
        key_value_heads: match fields.count("num_key_value_heads")? {
            Some(count) if !neox => count,
            _ => heads,
        },
        head_size,
        vocabulary: fields.needed("vocab_size")?,
        context: fields.needed("max_position_embeddings")?,
        rotary,
        norm: NormConfig {
            kind: if neox {
                NormKind::Layer
            } else {
                NormKind::RootMeanSquare
            },
            epsilon,
            offset: if gemma { 1.0 } else { 0.0 },
        },
        query_key_norm: match architecture {
            "qwen3" | "gemma3_text" => QueryKeyNorm::Head,
            "olmo2" => QueryKeyNorm::Whole,
            _ => QueryKeyNorm::None,
        },
        biases: biases(&fields, architecture)?,
        unit: unit(&fields, architecture)?,
        parallel: neox && fields.flag("use_parallel_residual")?.unwrap_or(true),
        interleaved: neox,
        embedding_scale: if gemma {
            (hidden_size as f64).sqrt()
        } else {
            1.0
        },
        query_scalar: match architecture {
            "gemma2" | "gemma3_text" => {
                Some(fields.number("query_pre_attn_scalar")?.unwrap_or(256.0))
            }
            _ => None,
        },
        attention_cap: capped(&fields, architecture, "attn_logit_softcapping", 50.0)?,
        logit_cap: capped(&fields, architecture, "final_logit_softcapping", 30.0)?,
        tied_embeddings: fields
            .flag("tie_word_embeddings")?
            .unwrap_or(gemma || architecture == "smollm3"),
    })
}

/// `config.json`'s fields. `null` stands for nothing.
struct Fields<'a>(&'a Value);

impl<'a> Fields<'a> {
    fn get(&self, field: &str) -> Option<&'a Value> {
        self.0.get(field).filter(|value| !value.is_null())
    }

    /// A whole number of 0 or more.
    fn count(&self, field: &str) -> Result<Option<usize>> {
        self.get(field)
            .map(|value| {
                let count = value.as_u64().and_then(|count| usize::try_from(count).ok());
                count.ok_or_else(|| wrong(field, value, "a whole number of 0 or more"))
            })
            .transpose()
    }

    fn needed(&self, field: &str) -> Result<usize> {
        self.count(field)?.ok_or_else(|| {
            refused(field, "the model's config lacks a field")
                .hint("download config.json again from where the model comes from")
        })
    }

    fn number(&self, field: &str) -> Result<Option<f64>> {
        self.get(field)
            .map(|value| {
                value
                    .as_f64()
                    .ok_or_else(|| wrong(field, value, "a number"))
            })
            .transpose()
    }

    fn flag(&self, field: &str) -> Result<Option<bool>> {
        self.get(field)
            .map(|value| {
                value
                    .as_bool()
                    .ok_or_else(|| wrong(field, value, "true or false"))
            })
            .transpose()
    }

    fn text(&self, field: &str) -> Result<Option<&'a str>> {
        self.get(field)
            .map(|value| value.as_str().ok_or_else(|| wrong(field, value, "a text")))
            .transpose()
    }

    fn list(&self, field: &str, length: usize) -> Result<Option<&'a [Value]>> {
        let Some(value) = self.get(field) else {
            return Ok(None);
        };
        match value.as_array() {
            Some(list) if list.len() == length => Ok(Some(list)),
            Some(list) => Err(refused(
                field,
                format!("{} entries for {length} layers", list.len()),
            )),
            None => Err(wrong(field, value, "a list")),
        }
    }
}

fn refused(field: &str, message: impl Into<String>) -> Error {
    Error::user(message.into())
        .field(field)
        .hint("the config may be damaged: download it again from where the model comes from")
}

fn wrong(field: &str, value: &Value, expected: &str) -> Error {
    refused(field, format!("`{value}` is not {expected}"))
}

/// The window of each layer, where it has one.
fn windows(fields: &Fields<'_>, architecture: &str, layers: usize) -> Result<Vec<Option<usize>>> {
    if fields.flag("use_bidirectional_attention")? == Some(true) {
        return Err(refused(
            "use_bidirectional_attention",
            "attention to later tokens is not supported",
        )
        .hint("supported: models that write text from left to right"));
    }
    let absent = fields.0.get("sliding_window").is_none();
    let window = match fields.count("sliding_window")? {
        None if absent && matches!(architecture, "mistral" | "gemma2" | "gemma3_text") => {
            Some(4096)
        }
        window => window,
    };
    let switched = matches!(architecture, "qwen2" | "qwen3" | "smollm3");
    if switched && fields.flag("use_sliding_window")? != Some(true) {
        return Ok(vec![None; layers]);
    }
    // Mistral's and Phi-3's own classes have no layers of two kinds.
    let listed = switched || matches!(architecture, "gemma2" | "gemma3_text");
    if listed && let Some(kinds) = fields.list("layer_types", layers)? {
        return kinds
            .iter()
            .map(|kind| match kind.as_str() {
                Some("full_attention") => Ok(None),
                Some("sliding_attention") => Ok(window),
                _ => Err(refused(
                    "layer_types",
                    format!("layers of type {kind} are not supported"),
                )
                .hint("supported: full_attention, sliding_attention")),
            })
            .collect();
    }
    let first_windowed = fields.count("max_window_layers")?.unwrap_or(28);
    let pattern = fields.count("sliding_window_pattern")?.unwrap_or(6).max(1);
    let turned = turned(fields, architecture, layers)?;
    let slides = |layer: usize| match architecture {
        "mistral" | "phi3" => true,
        "qwen2" | "qwen3" => layer >= first_windowed,
        "smollm3" => !turned[layer],
        "gemma2" => layer.is_multiple_of(2),
        "gemma3_text" => !(layer + 1).is_multiple_of(pattern),
        _ => false,
    };
    Ok((0..layers)
        .map(|layer| window.filter(|_| slides(layer)))
        .collect())
}

/// Whether each layer turns its queries and keys. (SmolLM3's list says 1 where it does.)
fn turned(fields: &Fields<'_>, architecture: &str, layers: usize) -> Result<Vec<bool>> {
    if architecture != "smollm3" {
        return Ok(vec![true; layers]);
    }
    if let Some(list) = fields.list("no_rope_layers", layers)? {
        return list
            .iter()
            .map(|value| match value.as_u64() {
                Some(0) => Ok(false),
                Some(1) => Ok(true),
                _ => Err(wrong("no_rope_layers", value, "0 or 1")),
            })
            .collect();
    }
    let interval = fields.count("no_rope_layer_interval")?.unwrap_or(4).max(1);
    Ok((1..=layers)
        .map(|number| !number.is_multiple_of(interval))
        .collect())
}

/// The rotary positions of layers of one kind.
fn rotary(
    fields: &Fields<'_>,
    architecture: &str,
    head_size: usize,
    layers: &str,
) -> Result<RotaryConfig> {
    // Version 5 has all in `rope_parameters`, by kind of layer where kinds differ.
    let given = ["rope_parameters", "rope_scaling"]
        .into_iter()
        .find_map(|field| Some((field, fields.get(field)?)));
    let (field, all) = given.unwrap_or(("rope_scaling", &Value::Null));
    let nested = all.get("full_attention").is_some() || all.get("sliding_attention").is_some();
    // Version 4 scales only the layers of Gemma 3 that see everything.
    let local = architecture == "gemma3_text" && layers == "sliding_attention";
    let own = match nested {
        true => &all[layers],
        false if local => &Value::Null,
        false => all,
    };
    let own = Fields(own);
    let usual = match architecture {
        "smollm3" => 2e6,
        "gemma3_text" if local => 1e4,
        "gemma3_text" => 1e6,
        _ => 1e4,
    };
    let at_top = match architecture {
        "gpt_neox" => "rotary_emb_base",
        _ if local => "rope_local_base_freq",
        _ => "rope_theta",
    };
    let theta = match own.number("rope_theta")? {
        Some(theta) => theta,
        None => fields.number(at_top)?.unwrap_or(usual),
    };
    let share = match own.number("partial_rotary_factor")? {
        Some(share) => share,
        None if architecture == "gpt_neox" => fields.number("rotary_pct")?.unwrap_or(0.25),
        None => fields.number("partial_rotary_factor")?.unwrap_or(1.0),
    };
    Ok(RotaryConfig {
        theta,
        size: (head_size as f64 * share) as usize,
        scaling: scaling(fields, &own, field)?,
    })
}

fn scaling(fields: &Fields<'_>, own: &Fields<'_>, field: &str) -> Result<Scaling> {
    let kind = match own.text("rope_type")? {
        Some(kind) => kind,
        None => own.text("type")?.unwrap_or("default"),
    };
    let needed = |name: &str| {
        own.number(name)?
            .ok_or_else(|| refused(field, format!("the rotary scaling lacks `{name}`")))
    };
    match kind {
        "default" => Ok(Scaling::None),
        "linear" => Ok(Scaling::Linear {
            factor: needed("factor")?,
        }),
        "llama3" => Ok(Scaling::Llama3 {
            factor: needed("factor")?,
            low: needed("low_freq_factor")?,
            high: needed("high_freq_factor")?,
            context: match own.number("original_max_position_embeddings")? {
                Some(context) => context,
                None => fields.needed("max_position_embeddings")? as f64,
            },
        }),
        "yarn" => yarn(fields, own),
        "longrope" | "su" => long_rope(fields, own, field),
        other => Err(refused(
            field,
            format!("rotary positions scaled by `{other}` are not supported"),
        )
        .hint("supported: default, linear, llama3, yarn, longrope")),
    }
}

/// The context that was first trained on, here or beside it, and how many times longer the model's is.
fn contexts(fields: &Fields<'_>, own: &Fields<'_>) -> Result<(f64, f64)> {
    let name = "original_max_position_embeddings";
    let whole = fields.needed("max_position_embeddings")? as f64;
    let first = match own.number(name)? {
        Some(first) => first,
        None => fields.number(name)?.unwrap_or(whole),
    };
    Ok((first, whole / first))
}

fn yarn(fields: &Fields<'_>, own: &Fields<'_>) -> Result<Scaling> {
    let (context, longer) = contexts(fields, own)?;
    let factor = own.number("factor")?.unwrap_or(longer);
    // Scores grow with the logarithm of the stretch (the paper's equation 22, twice its root).
    let larger = |weight: f64| match factor <= 1.0 {
        true => 1.0,
        false => 0.1 * weight * factor.ln() + 1.0,
    };
    let usual = match (own.number("mscale")?, own.number("mscale_all_dim")?) {
        (Some(own), Some(all)) if own != 0.0 && all != 0.0 => larger(own) / larger(all),
        _ => larger(1.0),
    };
    Ok(Scaling::Yarn {
        factor,
        fast: own.number("beta_fast")?.unwrap_or(32.0),
        slow: own.number("beta_slow")?.unwrap_or(1.0),
        context,
        whole: own.flag("truncate")?.unwrap_or(true),
        size: own.number("attention_factor")?.unwrap_or(usual),
    })
}

fn long_rope(fields: &Fields<'_>, own: &Fields<'_>, field: &str) -> Result<Scaling> {
    let divisors = |name: &str| {
        let list = own.0.get(name).and_then(Value::as_array);
        let numbers = list.and_then(|list| list.iter().map(Value::as_f64).collect());
        numbers.ok_or_else(|| refused(field, format!("the rotary scaling lacks the list `{name}`")))
    };
    let (context, longer) = contexts(fields, own)?;
    let factor = own.number("factor")?.unwrap_or(longer);
    let usual = match factor <= 1.0 {
        true => 1.0,
        false => (1.0 + factor.ln() / context.ln()).sqrt(),
    };
    Ok(Scaling::LongRope {
        short: divisors("short_factor")?,
        long: divisors("long_factor")?,
        context: context as usize,
        size: own.number("attention_factor")?.unwrap_or(usual),
    })
}

fn biases(fields: &Fields<'_>, architecture: &str) -> Result<Biases> {
    let attention = fields.flag("attention_bias")?;
    Ok(match architecture {
        "qwen2" => Biases {
            queries_keys_values: true,
            ..Biases::default()
        },
        "mistral" | "phi3" => Biases::default(),
        "gpt_neox" => Biases {
            queries_keys_values: attention.unwrap_or(true),
            output: attention.unwrap_or(true),
            feed_forward: true,
        },
        _ => {
            let attention = attention.unwrap_or(false);
            let may = matches!(architecture, "llama" | "smollm3");
            Biases {
                queries_keys_values: attention,
                output: attention,
                feed_forward: may && fields.flag("mlp_bias")?.unwrap_or(false),
            }
        }
    })
}

fn unit(fields: &Fields<'_>, architecture: &str) -> Result<Unit> {
    let (field, usual) = match architecture {
        "gemma" => ("hidden_act", "gelu_pytorch_tanh"),
        "gemma2" | "gemma3_text" => ("hidden_activation", "gelu_pytorch_tanh"),
        "gpt_neox" => ("hidden_act", "gelu"),
        _ => ("hidden_act", "silu"),
    };
    let activation = match fields.text(field)?.unwrap_or(usual) {
        "silu" | "swish" => Activation::Silu,
        "gelu_pytorch_tanh" | "gelu_new" | "gelu_fast" => Activation::GeluTanh,
        // The first files of Gemma 1 say `gelu` and mean the other.
        "gelu" if architecture == "gemma" => Activation::GeluTanh,
        "gelu" => Activation::Gelu,
        other => {
            return Err(
                refused(field, format!("the activation `{other}` is not supported"))
                    .hint("supported: silu, gelu, gelu_pytorch_tanh, gelu_new, gelu_fast"),
            );
        }
    };
    Ok(if architecture == "gpt_neox" {
        Unit::Plain(activation)
    } else {
        Unit::Gated(activation)
    })
}

/// A cap of Gemma 2's. Gemma 3's files have the field, and its class leaves it out of attention.
fn capped(fields: &Fields<'_>, architecture: &str, field: &str, usual: f64) -> Result<Option<f64>> {
    match architecture {
        "gemma2" if fields.0.get(field).is_none() => Ok(Some(usual)),
        "gemma2" => fields.number(field),
        "gemma3_text" if field == "final_logit_softcapping" => fields.number(field),
        _ => Ok(None),
    }
}

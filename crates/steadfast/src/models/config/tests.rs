//! Configurations as transformers writes them, in both spellings, and as damage leaves them.

use super::*;
use serde_json::{Value, json};

/// A small configuration of that architecture with these fields.
fn config(architecture: &str, fields: Value) -> Result<ModelConfig> {
    let mut value = json!({
        "model_type": architecture,
        "hidden_size": 64,
        "intermediate_size": 96,
        "num_hidden_layers": 6,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "vocab_size": 300,
        "max_position_embeddings": 512,
        "head_dim": 16,
    });
    for (field, of_field) in fields.as_object().into_iter().flatten() {
        value[field] = of_field.clone();
    }
    let config = json::read(&value)?;
    config.check()?;
    Ok(config)
}

fn windows(architecture: &str, fields: Value) -> Vec<Option<usize>> {
    let config = config(architecture, fields).unwrap();
    config.layers.iter().map(|layer| layer.window).collect()
}

#[test]
fn both_spellings_of_rotary_positions_say_the_same() {
    let old = config(
        "llama",
        json!({"rope_theta": 5e5, "rope_scaling": {"type": "linear", "factor": 4.0}}),
    );
    let new = config(
        "llama",
        json!({"rope_parameters": {"rope_type": "linear", "factor": 4.0, "rope_theta": 5e5}}),
    );
    assert_eq!(old.unwrap(), new.unwrap());
    let old = config(
        "gemma3_text",
        json!({"rope_theta": 1e6, "rope_local_base_freq": 1e4,
               "rope_scaling": {"rope_type": "linear", "factor": 8.0}}),
    );
    let new = config(
        "gemma3_text",
        json!({"rope_parameters": {
            "full_attention": {"rope_type": "linear", "factor": 8.0, "rope_theta": 1e6},
            "sliding_attention": {"rope_type": "default", "rope_theta": 1e4}}}),
    );
    let (old, new) = (old.unwrap(), new.unwrap());
    assert_eq!(old, new);
    assert_eq!(old.rotary.len(), 2);
    let kinds: Vec<_> = old.layers.iter().map(|layer| layer.rotary).collect();
    assert_eq!(
        kinds,
        [Some(1), Some(1), Some(1), Some(1), Some(1), Some(0)]
    );
    let plain = config("llama", json!({"rope_scaling": null})).unwrap();
    assert_eq!(
        (plain.rotary.len(), &plain.rotary[0].scaling),
        (1, &Scaling::None)
    );
}

#[test]
fn windows_are_where_transformers_has_them() {
    let (all, none) = (vec![Some(8); 6], vec![None; 6]);
    assert_eq!(windows("mistral", json!({"sliding_window": 8})), all);
    assert_eq!(windows("mistral", json!({"sliding_window": null})), none);
    assert_eq!(windows("mistral", json!({})), vec![Some(4096); 6]);
    assert_eq!(windows("phi3", json!({})), none);
    let qwen = json!({"sliding_window": 8, "max_window_layers": 4});
    assert_eq!(windows("qwen2", qwen.clone()), none);
    let mut used = qwen;
    used["use_sliding_window"] = json!(true);
    let upper = [None, None, None, None, Some(8), Some(8)];
    assert_eq!(windows("qwen2", used.clone()), upper);
    used["layer_types"] = json!([
        "full_attention",
        "sliding_attention",
        "full_attention",
        "full_attention",
        "full_attention",
        "full_attention"
    ]);
    assert_eq!(windows("qwen3", used)[..2], [None, Some(8)]);
    let gemma = json!({"sliding_window": 8});
    let odd = [Some(8), None, Some(8), None, Some(8), None];
    assert_eq!(windows("gemma2", gemma.clone()), odd);
    let fifth = [Some(8), Some(8), Some(8), Some(8), Some(8), None];
    assert_eq!(windows("gemma3_text", gemma), fifth);
    assert_eq!(windows("llama", json!({"sliding_window": 8})), none);
}

#[test]
fn smollm3_turns_most_layers_only() {
    let turned = |fields| -> Vec<bool> {
        let config = config("smollm3", fields).unwrap();
        config
            .layers
            .iter()
            .map(|layer| layer.rotary.is_some())
            .collect()
    };
    let usual = [true, true, true, false, true, true];
    assert_eq!(turned(json!({})), usual);
    assert_eq!(turned(json!({"no_rope_layers": [1, 1, 1, 0, 1, 1]})), usual);
}

#[test]
fn what_a_file_leaves_out_is_what_transformers_takes() {
    let tied = |architecture| config(architecture, json!({})).unwrap().tied_embeddings;
    assert!(tied("gemma2") && tied("gemma3_text") && tied("smollm3"));
    assert!(!tied("llama") && !tied("qwen2"));
    let gemma = config("gemma2", json!({})).unwrap();
    assert_eq!(
        (gemma.attention_cap, gemma.logit_cap),
        (Some(50.0), Some(30.0))
    );
    let gemma = config("gemma2", json!({"attn_logit_softcapping": null})).unwrap();
    assert_eq!((gemma.attention_cap, gemma.logit_cap), (None, Some(30.0)));
    let gemma = config("gemma", json!({"hidden_act": "gelu"})).unwrap();
    assert_eq!(gemma.unit, Unit::Gated(Activation::GeluTanh));
    let neox = config("gpt_neox", json!({})).unwrap();
    assert_eq!((neox.key_value_heads, neox.rotary[0].size), (4, 4));
    assert!(neox.parallel && neox.interleaved);
    assert_eq!(neox.unit, Unit::Plain(Activation::Gelu));
}

#[test]
fn what_is_not_supported_is_refused_by_its_name() {
    for (architecture, fields, field, said) in [
        ("mamba", json!({}), "model_type", "`mamba`"),
        ("gemma3", json!({}), "model_type", "images"),
        (
            "llama",
            json!({"hidden_act": "relu"}),
            "hidden_act",
            "`relu`",
        ),
        (
            "phi3",
            json!({"rope_scaling": {"type": "dynamic", "factor": 2.0}}),
            "rope_scaling",
            "`dynamic`",
        ),
        (
            "qwen3",
            json!({"rope_parameters": {"rope_type": "dynamic", "factor": 4.0}}),
            "rope_parameters",
            "`dynamic`",
        ),
        (
            "llama",
            json!({"quantization_config": {"quant_method": "awq"}}),
            "quantization_config",
            "quantized",
        ),
        (
            "gemma3_text",
            json!({"use_bidirectional_attention": true}),
            "use_bidirectional_attention",
            "later tokens",
        ),
        (
            "qwen2",
            json!({"use_sliding_window": true, "layer_types": vec!["chunked_attention"; 6]}),
            "layer_types",
            "chunked_attention",
        ),
    ] {
        let error = config(architecture, fields).unwrap_err();
        assert!(error.message.contains(said), "{error}");
        assert_eq!(error.place.field.as_deref(), Some(field), "{error}");
        assert!(
            error
                .hint
                .as_ref()
                .is_some_and(|hint| hint.contains("support") || hint.contains("GGUF")),
            "{error}"
        );
    }
}

#[test]
fn damage_is_refused_before_anything_is_allocated() {
    for (field, value) in [
        ("hidden_size", json!(0)),
        ("hidden_size", json!(-64)),
        ("hidden_size", json!("64")),
        ("num_attention_heads", json!(0)),
        ("num_key_value_heads", json!(3)),
        ("num_key_value_heads", json!(0)),
        ("num_hidden_layers", json!(0)),
        ("num_hidden_layers", json!(1_000_000_000_000u64)),
        ("intermediate_size", json!(u64::MAX)),
        ("vocab_size", json!(1u64 << 40)),
        ("max_position_embeddings", json!(1u64 << 40)),
        ("max_position_embeddings", json!(null)),
        ("head_dim", json!(15)),
        ("head_dim", json!(1u64 << 60)),
        ("rms_norm_eps", json!(-1.0)),
        ("rms_norm_eps", json!(0.0)),
        ("rope_theta", json!(0.0)),
        ("rope_theta", json!("much")),
        ("sliding_window", json!(0)),
        ("partial_rotary_factor", json!(1.5)),
        ("partial_rotary_factor", json!(0.01)),
        ("rope_scaling", json!({"type": "linear"})),
        ("rope_scaling", json!({"type": "linear", "factor": 0.0})),
        ("rope_scaling", json!({"type": "longrope"})),
        (
            "rope_scaling",
            json!({"type": "longrope", "short_factor": [1.0], "long_factor": [1.0]}),
        ),
        ("rope_scaling", json!({"type": "yarn", "factor": -4.0})),
        (
            "rope_scaling",
            json!({"type": "llama3", "factor": 8.0, "low_freq_factor": 4.0, "high_freq_factor": 1.0}),
        ),
    ] {
        let error = config("mistral", json!({ field: value.clone() })).unwrap_err();
        assert!(error.hint.is_some(), "{field} {value}: {error}");
    }
}

//! The metadata of a GGUF file for a base from a folder, in llama.cpp's words.

use crate::models::config::{ModelConfig, Scaling};
use crate::models::tokenizer::Tokenizer;
use crate::models::tokenizer::gguf::cut_of;
use crate::{Error, Result};
use candle_core::quantized::gguf_file::Value;
use serde_json::Value as Json;
use std::collections::BTreeMap;

/// llama.cpp's type numbers of tokens.
const NORMAL: i32 = 1;
const UNKNOWN: i32 = 2;
const CONTROL: i32 = 3;
const USER_DEFINED: i32 = 4;
const UNUSED: i32 = 5;
const BYTE: i32 = 6;

/// Values by their keys.
pub type Metadata = BTreeMap<String, Value>;

/// What the model is. Rotary frequencies that each have a divisor are a tensor, not metadata.
///
/// # Errors
/// A user error where llama.cpp's metadata has no word for something.
pub fn of_config(config: &ModelConfig, architecture: &str) -> Result<Metadata> {
    let gemma3 = architecture == "gemma3";
    let unsaid = |what: &str| {
        Error::user(format!(
            "a GGUF file of `{architecture}` has no word for {what}"
        ))
        .hint("write a folder with --merge instead")
    };
    let key = |name: &str| format!("{architecture}.{name}");
    let mut metadata = Metadata::from([(
        "general.architecture".to_owned(),
        Value::String(architecture.into()),
    )]);
    let counts = [
        ("embedding_length", config.hidden_size),
        ("feed_forward_length", config.intermediate_size),
        ("block_count", config.layers.len()),
        ("context_length", config.context),
        ("vocab_size", config.vocabulary),
        ("attention.head_count", config.heads),
        ("attention.head_count_kv", config.key_value_heads),
        ("attention.key_length", config.head_size),
        ("attention.value_length", config.head_size),
    ];
    for (name, count) in counts {
        metadata.insert(key(name), whole(count)?);
    }
    let epsilon = Value::F32(config.norm.epsilon as f32);
    metadata.insert(key("attention.layer_norm_rms_epsilon"), epsilon);

    let [full, local @ ..] = config.rotary.as_slice() else {
        return Err(unsaid("a model without positions"));
    };
    metadata.insert(key("rope.freq_base"), Value::F32(full.theta as f32));
    metadata.insert(key("rope.dimension_count"), whole(full.size)?);
    if matches!(
        full.scaling,
        Scaling::Yarn { .. } | Scaling::LongRope { .. }
    ) {
        return Err(unsaid("these rotary positions"));
    }
    if let Scaling::Linear { factor } = full.scaling {
        metadata.insert(key("rope.scaling.type"), Value::String("linear".into()));
        metadata.insert(key("rope.scaling.factor"), Value::F32(factor as f32));
    }
    if config.layers.iter().any(|layer| layer.rotary.is_none()) {
        return Err(unsaid("layers without positions"));
    }
    if config.attention_cap.is_some() || config.logit_cap.is_some() {
        return Err(unsaid("capped scores"));
    }
    // As llama.cpp scales the scores of the largest Gemma 3, of 62 layers.
    let largest = gemma3 && config.layers.len() == 62;
    let scalar = if largest {
        config.hidden_size as f64 / config.heads as f64
    } else {
        config.head_size as f64
    };
    if config.query_scalar.is_some_and(|own| own != scalar) {
        return Err(unsaid(
            "scores divided by another number than the head's width",
        ));
    }
    let Some(window) = config.layers.iter().find_map(|layer| layer.window) else {
        return Ok(metadata);
    };
    let pattern = (1..=config.layers.len()).find(|pattern| {
        let whole = |(index, window): (usize, Option<usize>)| {
            window.is_none() == (index + 1).is_multiple_of(*pattern)
        };
        let windows = config.layers.iter().map(|layer| layer.window);
        windows.enumerate().all(whole)
    });
    let (true, Some(pattern), [local]) = (gemma3, pattern, local) else {
        return Err(unsaid("these attention windows"));
    };
    metadata.insert(key("attention.sliding_window"), whole(window)?);
    metadata.insert(key("attention.sliding_window_pattern"), whole(pattern)?);
    metadata.insert(key("rope.freq_base_swa"), Value::F32(local.theta as f32));
    Ok(metadata)
}

/// The divisors of the rotary frequencies, where they are not all the same (Llama 3.1).
pub fn divisors(config: &ModelConfig) -> Option<Vec<f32>> {
    let full = config.rotary.first()?;
    if !matches!(full.scaling, Scaling::Llama3 { .. } | Scaling::Each { .. }) {
        return None;
    }
    let mut plain = full.clone();
    plain.scaling = Scaling::None;
    let scaled = full.frequencies();
    let plain = plain.frequencies();
    Some(
        plain
            .iter()
            .zip(scaled)
            .map(|(plain, scaled)| plain / scaled)
            .collect(),
    )
}

/// How text becomes tokens, and conversations text.
///
/// # Errors
/// A user error where llama.cpp cuts no text as this tokenizer does.
pub fn of_tokenizer(tokenizer: &Tokenizer, template: &str, vocabulary: usize) -> Result<Metadata> {
    let text = tokenizer
        .inner
        .to_string(false)
        .map_err(|cause| Error::bug("the tokenizer has no JSON form").because(cause))?;
    let json: Json = serde_json::from_str(&text)
        .map_err(|cause| Error::bug("the tokenizer's JSON cannot be read").because(cause))?;
    let model = &json["model"];
    if model["type"] != "BPE" {
        return Err(Error::user("only BPE tokenizers have a form in GGUF files here")
            .hint("write a folder with --merge, and convert it with llama.cpp's convert_hf_to_gguf.py"));
    }
    let pieces = model["byte_fallback"] == true;
    let mut metadata = Metadata::new();
    let mut put = |name: &str, value: Value| {
        metadata.insert(format!("tokenizer.{name}"), value);
    };
    put("chat_template", Value::String(template.to_owned()));
    put(
        "ggml.model",
        Value::String(if pieces { "llama" } else { "gpt2" }.into()),
    );
    let pre = if pieces { "default" } else { cut_of(&json)? };
    put("ggml.pre", Value::String(pre.into()));

    let (tokens, types) = tokens(tokenizer, &json, vocabulary, pieces);
    let merges = merges(model);
    if pieces {
        put("ggml.scores", floats(scores(&tokens, &merges)));
        let normalizer = json["normalizer"].to_string();
        put(
            "ggml.add_space_prefix",
            Value::Bool(normalizer.contains("Prepend")),
        );
    } else {
        let lines = merges.iter().map(|(left, right)| format!("{left} {right}"));
        put("ggml.merges", texts(lines));
    }
    put("ggml.tokens", texts(tokens));
    put(
        "ggml.token_type",
        Value::Array(types.into_iter().map(Value::I32).collect()),
    );
    let id = |token: Option<&str>| token.and_then(|token| tokenizer.inner.token_to_id(token));
    let (begin, end) = (id(tokenizer.bos.as_deref()), id(tokenizer.eos.as_deref()));
    let ends_turn = tokenizer
        .stop
        .first()
        .copied()
        .filter(|stop| Some(*stop) != end);
    let unknown = id(model["unk_token"].as_str());
    for (name, id) in [
        ("ggml.bos_token_id", begin),
        ("ggml.eos_token_id", end),
        ("ggml.eot_token_id", ends_turn),
        ("ggml.unknown_token_id", unknown),
    ] {
        if let Some(id) = id {
            put(name, Value::U32(id));
        }
    }
    let begins = tokenizer.encode_plain("a")?.first().copied() == begin && begin.is_some();
    put("ggml.add_bos_token", Value::Bool(begins));
    Ok(metadata)
}

/// All tokens by their ids, with their types; a model may have more rows than its tokenizer tokens.
fn tokens(
    tokenizer: &Tokenizer,
    json: &Json,
    vocabulary: usize,
    pieces: bool,
) -> (Vec<String>, Vec<i32>) {
    let added: BTreeMap<u64, bool> = (json["added_tokens"].as_array().into_iter().flatten())
        .filter_map(|token| Some((token["id"].as_u64()?, token["special"] == true)))
        .collect();
    let unknown = json["model"]["unk_token"].as_str();
    let is_byte = |token: &str| {
        let digits = token
            .strip_prefix("<0x")
            .and_then(|rest| rest.strip_suffix('>'));
        digits.is_some_and(|digits| digits.len() == 2)
    };
    (0..vocabulary as u32)
        .map(|id| {
            let Some(token) = tokenizer.inner.id_to_token(id) else {
                return (format!("[PAD{id}]"), UNUSED);
            };
            let kind = match added.get(&u64::from(id)) {
                _ if pieces && Some(token.as_str()) == unknown => UNKNOWN,
                Some(true) => CONTROL,
                Some(false) => USER_DEFINED,
                None if pieces && is_byte(&token) => BYTE,
                None => NORMAL,
            };
            (token, kind)
        })
        .unzip()
}

/// In pairs, or as older files have them, in words.
fn merges(model: &Json) -> Vec<(String, String)> {
    let merges = model["merges"].as_array().into_iter().flatten();
    merges
        .filter_map(|merge| match merge {
            Json::String(words) => words
                .split_once(' ')
                .map(|(a, b)| (a.to_owned(), b.to_owned())),
            pair => Some((pair[0].as_str()?.to_owned(), pair[1].as_str()?.to_owned())),
        })
        .collect()
}

/// SentencePiece merges first what makes the token with the highest score: the first of its merges.
fn scores(tokens: &[String], merges: &[(String, String)]) -> Vec<f32> {
    let mut ranks: BTreeMap<String, usize> = BTreeMap::new();
    for (rank, (left, right)) in merges.iter().enumerate() {
        ranks.entry(format!("{left}{right}")).or_insert(rank);
    }
    let score = |token: &String| ranks.get(token).map_or(0.0, |rank| -(*rank as f32) - 1.0);
    tokens.iter().map(score).collect()
}

fn whole(count: usize) -> Result<Value> {
    u32::try_from(count)
        .map(Value::U32)
        .map_err(|cause| Error::bug("a size exceeds 32 bits").because(cause))
}

fn texts(texts: impl IntoIterator<Item = String>) -> Value {
    Value::Array(texts.into_iter().map(Value::String).collect())
}

fn floats(numbers: Vec<f32>) -> Value {
    Value::Array(numbers.into_iter().map(Value::F32).collect())
}

//! A model folder as transformers writes it: config, tokenizer, template, safetensors.

use super::{Exported, as_a_whole, bytes_under, check_all_met, in_place_of, merged};
use crate::models::adapter::{Adapter, replaced};
use crate::models::config::{ModelConfig, Scaling};
use crate::models::language_model::read_text;
use crate::models::resolve::Located;
use crate::models::weights::{self, Form};
use crate::runs::atomic;
use crate::{Error, Result};
use candle_core::{Device, Tensor};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::Path;

/// What stands beside the weights of a model folder and goes along as it is.
pub(crate) const COMPANIONS: [&str; 10] = [
    "config.json",
    "generation_config.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.json",
    "merges.txt",
    "chat_template.jinja",
    "model.safetensors.index.json",
];

/// Writes base and adapter as one model into `folder`, which must be empty or absent.
///
/// A base from a folder keeps its shards, their types and its tokenizer files, a shard in memory at a
/// time. A GGUF base is written in f32, the values that its quantized weights stand for, with a
/// configuration and a tokenizer made from its metadata.
pub fn write(located: &Located, adapter: &Adapter, folder: &Path) -> Result<Exported> {
    as_a_whole(folder, |folder| {
        if located.path.is_dir() {
            from_folder(&located.path, adapter, folder)
        } else {
            from_gguf(&located.path, adapter, folder)
        }
    })?;
    Ok(Exported {
        path: folder.to_owned(),
        bytes: bytes_under(folder),
    })
}

fn from_folder(base: &Path, adapter: &Adapter, folder: &Path) -> Result<()> {
    let untied = replaced::unties(adapter, &ModelConfig::read(base)?)?;
    let mut head_in = None;
    let mut met = BTreeSet::new();
    for shard in weights::shards(base)? {
        let mut tensors = weights::read_shard(&shard, &Device::Cpu)?;
        let file = shard.file_name().unwrap_or_default();
        if let Some((embedding, head)) = &untied
            && let Some(shared) = tensors.get(embedding).cloned()
        {
            tensors.insert(head.clone(), shared.copy()?);
            head_in = Some((head, file.to_string_lossy().into_owned()));
        }
        let mut written = BTreeMap::new();
        for (name, tensor) in tensors {
            let kind = tensor.dtype();
            let tensor = with_change(adapter, &name, tensor, &mut met)?.to_dtype(kind)?;
            written.insert(name, tensor);
        }
        save(&written, &folder.join(file))?;
    }
    check_all_met(adapter, &met)?;
    for name in COMPANIONS {
        let from = base.join(name);
        if from.exists() {
            let bytes = std::fs::read(&from).map_err(|cause| Error::file("read", &from, cause))?;
            atomic::write(&folder.join(name), &bytes)?;
        }
    }
    if let Some((head, file)) = head_in {
        let config = folder.join("config.json");
        edit(&config, |config| {
            config["tie_word_embeddings"] = json!(false)
        })?;
        let index = folder.join("model.safetensors.index.json");
        if index.exists() {
            edit(&index, |index| {
                index["weight_map"][head.as_str()] = json!(file)
            })?;
        }
    }
    Ok(())
}

/// Changes a JSON file that was written.
fn edit(path: &Path, change: impl FnOnce(&mut Value)) -> Result<()> {
    let text = std::fs::read_to_string(path).map_err(|cause| Error::file("read", path, cause))?;
    let mut value = serde_json::from_str(&text)
        .map_err(|cause| Error::user("the file is not JSON").at(path).because(cause))?;
    change(&mut value);
    json_file(path, &value)
}

fn from_gguf(base: &Path, adapter: &Adapter, folder: &Path) -> Result<()> {
    let mut config = ModelConfig::read(base)?;
    let (tokenizer, template) = read_text(base)?;
    let mut weights = weights::read(base, Form::Floats, &Device::Cpu)?;
    if let Some((embedding, head)) = replaced::unties(adapter, &config)?
        && let Some(shared) = weights.remove(&embedding)
    {
        let shared = shared.into_floats()?;
        weights.insert(embedding, shared.clone().into());
        weights.insert(head, shared.copy()?.into());
        config.tied_embeddings = false;
    }
    let mut met = BTreeSet::new();
    let mut written = BTreeMap::new();
    for (name, weight) in weights {
        if config.tied_embeddings && name == "lm_head.weight" {
            continue;
        }
        let weight = with_change(adapter, &name, weight.into_floats()?, &mut met)?;
        written.insert(name, weight);
    }
    check_all_met(adapter, &met)?;
    save(&written, &folder.join("model.safetensors"))?;
    let ending = tokenizer.stop.clone();
    let beginning = tokenizer
        .bos
        .as_deref()
        .and_then(|token| tokenizer.inner.token_to_id(token));
    json_file(
        &folder.join("config.json"),
        &config_of(&config, beginning, &ending)?,
    )?;
    json_file(
        &folder.join("generation_config.json"),
        &json!({ "bos_token_id": beginning, "eos_token_id": ending }),
    )?;
    let text = tokenizer
        .inner
        .to_string(true)
        .map_err(|cause| Error::bug("the tokenizer has no JSON form").because(cause))?;
    atomic::write(&folder.join("tokenizer.json"), text.as_bytes())?;
    // Whoever asks a chat model for an answer wants it to end with the turn.
    let end_of_turn = ending
        .first()
        .and_then(|id| tokenizer.inner.id_to_token(*id));
    json_file(
        &folder.join("tokenizer_config.json"),
        &json!({
            "tokenizer_class": "PreTrainedTokenizerFast",
            "bos_token": tokenizer.bos,
            "eos_token": end_of_turn,
            "model_max_length": config.context,
            "clean_up_tokenization_spaces": false,
        }),
    )?;
    atomic::write(
        &folder.join("chat_template.jinja"),
        template.source().as_bytes(),
    )
}

/// The base's tensor with what the adapter does to it.
pub(super) fn with_change(
    adapter: &Adapter,
    name: &str,
    weight: Tensor,
    met: &mut BTreeSet<String>,
) -> Result<Tensor> {
    met.insert(name.to_owned());
    if let Some(own) = adapter.replaced.get(name) {
        return in_place_of(&weight, own, name);
    }
    let Some(path) = name.strip_suffix(".weight") else {
        return Ok(weight);
    };
    met.insert(path.to_owned());
    merged(adapter, path, weight)
}

/// transformers' configuration of a model whose GGUF file was read.
fn config_of(config: &ModelConfig, beginning: Option<u32>, ending: &[u32]) -> Result<Value> {
    let mut value = json!({
        "architectures": [config.family()?.class],
        "model_type": config.architecture,
        "attention_bias": config.biases.queries_keys_values,
        "bos_token_id": beginning,
        "eos_token_id": ending,
        "head_dim": config.head_size,
        "hidden_act": "silu",
        "hidden_size": config.hidden_size,
        "intermediate_size": config.intermediate_size,
        "max_position_embeddings": config.context,
        "mlp_bias": config.biases.feed_forward,
        "num_attention_heads": config.heads,
        "num_hidden_layers": config.layers.len(),
        "num_key_value_heads": config.key_value_heads,
        "rms_norm_eps": config.norm.epsilon,
        "tie_word_embeddings": config.tied_embeddings,
        "torch_dtype": "float32",
        "vocab_size": config.vocabulary,
    });
    for (kind, field) in config
        .rotary
        .iter()
        .zip(["rope_theta", "rope_local_base_freq"])
    {
        value[field] = json!(kind.theta);
    }
    match config.rotary.first().map(|kind| &kind.scaling) {
        None | Some(Scaling::None) => {}
        Some(Scaling::Linear { factor }) => {
            value["rope_scaling"] = json!({ "rope_type": "linear", "factor": factor });
        }
        // No GGUF file that is read says any of these.
        Some(_) => {
            return Err(Error::user(
                "the base's rotary divisors have no form in transformers' configuration",
            )
            .hint(
                "use the base's folder with config.json and safetensors instead of its GGUF file",
            ));
        }
    }
    if config.architecture == "gemma3_text" {
        value["hidden_activation"] = json!("gelu_pytorch_tanh");
        value["query_pre_attn_scalar"] =
            json!(config.query_scalar.unwrap_or(config.head_size as f64));
        value["sliding_window"] = json!(config.layers.iter().find_map(|layer| layer.window));
        let kinds: Vec<&str> = config
            .layers
            .iter()
            .map(|layer| match layer.window {
                Some(_) => "sliding_attention",
                None => "full_attention",
            })
            .collect();
        value["layer_types"] = json!(kinds);
    }
    Ok(value)
}

fn save(tensors: &BTreeMap<String, Tensor>, path: &Path) -> Result<()> {
    let tensors = tensors
        .iter()
        .map(|(name, tensor)| Ok((name.clone(), tensor.contiguous()?)))
        .collect::<Result<BTreeMap<_, _>>>()?;
    let metadata = HashMap::from([("format".to_owned(), "pt".to_owned())]);
    let bytes = safetensors::serialize(&tensors, Some(metadata))
        .map_err(|cause| Error::bug("the weights cannot be serialized").because(cause))?;
    atomic::write(path, &bytes)
}

fn json_file(path: &Path, value: &Value) -> Result<()> {
    let mut text = serde_json::to_string_pretty(value)
        .map_err(|cause| Error::bug("a configuration has no JSON form").because(cause))?;
    text.push('\n');
    atomic::write(path, text.as_bytes())
}

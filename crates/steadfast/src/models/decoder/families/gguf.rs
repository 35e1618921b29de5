//! The same models as GGUF files, as llama.cpp's converter writes them, against their folders.

use super::*;
use crate::models::config::Scaling;
use crate::models::export::{self, gguf::Quantization};
use crate::models::gguf::{interleave_rotary_rows, transformers_name, write_file};
use candle_core::quantized::gguf_file::{self, Value};
use candle_core::quantized::{GgmlDType, QTensor};
use serde_json::json;

/// Parts of a layer in llama.cpp's words.
const PARTS: [&str; 13] = [
    "attn_norm",
    "ffn_norm",
    "post_attention_norm",
    "post_ffw_norm",
    "attn_q_norm",
    "attn_k_norm",
    "attn_q",
    "attn_k",
    "attn_v",
    "attn_output",
    "ffn_gate",
    "ffn_up",
    "ffn_down",
];

/// llama.cpp's name of a tensor: the one that is read as transformers' name.
fn name_in_gguf(architecture: &str, name: &str) -> String {
    let whole = ["token_embd.weight", "output_norm.weight", "output.weight"].map(str::to_owned);
    let layers = (0..4).flat_map(|layer| {
        PARTS.iter().flat_map(move |part| {
            ["weight", "bias"].map(|kind| format!("blk.{layer}.{part}.{kind}"))
        })
    });
    let mut names = whole.into_iter().chain(layers);
    names
        .find(|known| transformers_name(architecture, known).as_deref() == Some(name))
        .unwrap_or_else(|| panic!("{name} has no name in a GGUF file"))
}

fn write(case: &Case, architecture: &str, config: &ModelConfig, path: &Path) -> Result<()> {
    let stored = |tensor: Tensor| Ok::<_, Error>(QTensor::quantize(&tensor, GgmlDType::F32)?);
    let mut tensors = Vec::new();
    for (name, shape) in &case.weights {
        let mut tensor = case.weight(name, shape)?;
        if architecture == "llama" && name.ends_with("q_proj.weight") {
            tensor = interleave_rotary_rows(&tensor, config.heads)?;
        }
        if architecture == "llama" && name.ends_with("k_proj.weight") {
            tensor = interleave_rotary_rows(&tensor, config.key_value_heads)?;
        }
        if architecture == "gemma3" && name.ends_with("norm.weight") {
            tensor = (tensor + 1.0)?;
        }
        tensors.push((name_in_gguf(architecture, name), stored(tensor)?));
    }
    let mut metadata = vec![
        (
            "general.architecture".to_owned(),
            Value::String(architecture.into()),
        ),
        (
            format!("{architecture}.attention.layer_norm_rms_epsilon"),
            Value::F32(config.norm.epsilon as f32),
        ),
        (
            format!("{architecture}.rope.freq_base"),
            Value::F32(config.rotary[0].theta as f32),
        ),
    ];
    for (key, count) in [
        ("embedding_length", config.hidden_size),
        ("feed_forward_length", config.intermediate_size),
        ("block_count", config.layers.len()),
        ("context_length", config.context),
        ("attention.head_count", config.heads),
        ("attention.head_count_kv", config.key_value_heads),
        ("attention.key_length", config.head_size),
    ] {
        metadata.push((format!("{architecture}.{key}"), Value::U32(count as u32)));
    }
    match &config.rotary[0].scaling {
        Scaling::Linear { factor } => {
            metadata.push((
                format!("{architecture}.rope.scaling.type"),
                Value::String("linear".into()),
            ));
            metadata.push((
                format!("{architecture}.rope.scaling.factor"),
                Value::F32(*factor as f32),
            ));
        }
        Scaling::Llama3 { .. } => {
            let mut plain = config.rotary[0].clone();
            let scaled = plain.frequencies();
            plain.scaling = Scaling::None;
            let plain = plain.frequencies();
            let divisors: Vec<f32> = plain
                .iter()
                .zip(&scaled)
                .map(|(plain, scaled)| plain / scaled)
                .collect();
            let count = divisors.len();
            let divisors = Tensor::from_vec(divisors, count, &Device::Cpu)?;
            tensors.push(("rope_freqs.weight".into(), stored(divisors)?));
        }
        Scaling::None | Scaling::Each { .. } => {}
    }
    if let [_, local] = config.rotary.as_slice() {
        let window = config.layers.iter().find_map(|layer| layer.window);
        let key = |name: &str| format!("{architecture}.{name}");
        metadata.push((key("rope.freq_base_swa"), Value::F32(local.theta as f32)));
        metadata.push((
            key("attention.sliding_window"),
            Value::U32(window.unwrap_or(0) as u32),
        ));
        metadata.push((key("attention.sliding_window_pattern"), Value::U32(3)));
    }
    let metadata = metadata.iter().map(|(key, value)| (key, value));
    let mut file =
        std::fs::File::create(path).map_err(|cause| Error::file("write", path, cause))?;
    Ok(write_file(&mut file, metadata, &tensors)?)
}

#[test]
fn a_gguf_file_answers_as_its_folder_does() -> Result<()> {
    for (name, architecture) in [
        ("llama3", "llama"),
        ("qwen2", "qwen2"),
        ("qwen3", "qwen3"),
        ("gemma3", "gemma3"),
    ] {
        let case = golden().cases.iter().find(|case| case.name == name);
        let mut case = case.expect("a known case").clone();
        // What llama.cpp's metadata has no word for.
        case.config["use_sliding_window"] = json!(false);
        case.config["query_pre_attn_scalar"] = json!(16);
        let place = tempfile::tempdir().expect("a folder");
        let file = place.path().join("model.gguf");
        case.write(place.path())?;
        let of_folder = read(place.path())?;
        write(
            &case,
            architecture,
            &ModelConfig::read(place.path())?,
            &file,
        )?;
        let of_file = read(&file)?;
        let tokens = &case.sequences[0];
        let logits = |decoder: &Decoder| -> Result<Tensor> {
            decoder.logits(&decoder.hidden(tokens, &[tokens.len()], None, None)?)
        };
        let apart = largest_difference(&logits(&of_file)?, &logits(&of_folder)?);
        assert!(apart < 2e-5, "{name}: {apart}");
        assert!(of_file.linear_paths() == of_folder.linear_paths());

        let adapter = case.adapter(&of_file);
        let expected =
            of_file.logits(&of_file.hidden(tokens, &[tokens.len()], Some(&adapter), None)?)?;
        let merged = place.path().join("merged.gguf");
        let located = Located {
            id: name.into(),
            path: file,
            revision: None,
            sha256: String::new(),
        };
        export::gguf::write(&located, &adapter, Quantization::F32, &merged)?;
        let apart = largest_difference(&logits(&read(&merged)?)?, &expected);
        assert!(apart < 1e-4, "{name}, merged: {apart}");
    }
    Ok(())
}

#[test]
fn other_architectures_are_refused_with_those_that_are_read() {
    let place = tempfile::tempdir().expect("a folder");
    let file = place.path().join("model.gguf");
    let architecture = Value::String("mamba".into());
    let mut out = std::fs::File::create(&file).expect("a file");
    gguf_file::write(&mut out, &[("general.architecture", &architecture)], &[])
        .expect("it is written");
    let error = ModelConfig::read(&file).expect_err("Mamba is no family");
    assert!(error.message.contains("`mamba`"), "{error}");
    assert!(
        error
            .hint
            .is_some_and(|hint| hint.contains("gemma3") && hint.contains("gpt_neox"))
    );
}

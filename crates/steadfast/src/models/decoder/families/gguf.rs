//! The same models as GGUF files, as llama.cpp's converter writes them, against their folders.

use super::*;
use crate::models::export;
use crate::models::export::gguf::{Quantization, metadata};
use crate::models::gguf::{gguf_name, interleave_rotary_rows, write_file};
use candle_core::quantized::gguf_file::{self, Value};
use candle_core::quantized::{GgmlDType, QTensor};
use serde_json::json;

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
        let name = gguf_name(architecture, name).expect("a name in a GGUF file");
        tensors.push((name, stored(tensor)?));
    }
    if let Some(divisors) = metadata::divisors(config) {
        let divisors = Tensor::new(divisors, &Device::Cpu)?;
        tensors.push(("rope_freqs.weight".into(), stored(divisors)?));
    }
    let metadata = metadata::of_config(config, architecture)?;
    let mut file =
        std::fs::File::create(path).map_err(|cause| Error::file("write", path, cause))?;
    Ok(write_file(&mut file, &metadata, &tensors)?)
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

        let own = ModelConfig::read(place.path())?;
        let known = ModelConfig::read(&file)?;
        assert_eq!(own.layers, known.layers, "{name}");

        let adapter = case.adapter(&of_file);
        let expected =
            of_file.logits(&of_file.hidden(tokens, &[tokens.len()], Some(&adapter), None)?)?;
        let merged = place.path().join("merged.gguf");
        let located = Located {
            id: name.into(),
            path: file,
            revision: None,
            sha256: String::new(),
            identity: String::new(),
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

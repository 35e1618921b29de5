use super::gguf::Quantization;
use super::*;
use crate::conversations::{Message, Role, tokens};
use crate::events::Silent;
use crate::models::resolve::{self, Located};
use crate::models::{LanguageModel, LowRank};
use candle_core::Device;
use std::collections::BTreeMap;

fn ramp(rows: usize, columns: usize, step: f32) -> Tensor {
    let values: Vec<f32> = (0..rows * columns)
        .map(|index| ((index as f32 * step).sin()) * 0.05)
        .collect();
    Tensor::from_vec(values, (rows, columns), &Device::Cpu).unwrap()
}

/// A change of some layers of each kind, large enough to be seen.
fn adapter(model: &LanguageModel) -> Adapter {
    let mut modules = BTreeMap::new();
    for (index, path) in model.decoder.linear_paths().into_iter().enumerate() {
        if index % 3 != 0 {
            continue;
        }
        let (outputs, inputs) = model.decoder.linear_shape(&path).unwrap();
        modules.insert(
            path,
            LowRank {
                whole: false,
                a: ramp(4, inputs, 0.37 + index as f32 * 0.01),
                b: ramp(outputs, 4, 0.73),
                scale: 2.0,
                train_a: false,
                train_b: false,
            },
        );
    }
    Adapter {
        modules,
        alpha: 8.0,
        rank: 4,
        ..Adapter::default()
    }
}

fn prompt(model: &LanguageModel) -> Vec<u32> {
    let question = "Why is the sky blue? I'd like to know, 12345 times.";
    tokens::prompt(model, &[Message::new(Role::User, question)]).unwrap()
}

fn logits(model: &LanguageModel, adapter: Option<&Adapter>) -> Vec<f32> {
    let tokens = prompt(model);
    let hidden = model
        .decoder
        .hidden(&tokens, &[tokens.len()], adapter, None);
    let last = hidden.unwrap().narrow(0, tokens.len() - 1, 1).unwrap();
    let logits = model.decoder.logits(&last).unwrap();
    logits.flatten_all().unwrap().to_vec1().unwrap()
}

fn furthest(one: &[f32], other: &[f32]) -> f32 {
    let pairs = one.iter().zip(other);
    pairs
        .map(|(one, other)| (one - other).abs())
        .fold(0.0, f32::max)
}

fn load(path: &std::path::Path) -> LanguageModel {
    let located = Located {
        id: "exported".into(),
        path: path.to_owned(),
        revision: None,
        sha256: String::new(),
        identity: String::new(),
    };
    LanguageModel::load(&located, &Device::Cpu).unwrap()
}

#[test]
fn what_is_written_answers_as_base_and_adapter_do() {
    let located = resolve::locate(None, &Silent).unwrap();
    let model = LanguageModel::load(&located, &Device::Cpu).unwrap();
    let adapter = adapter(&model);
    let expected = logits(&model, Some(&adapter));
    assert!(
        furthest(&expected, &logits(&model, None)) > 0.5,
        "the change is seen"
    );
    let place = tempfile::tempdir().unwrap();

    let folder = place.path().join("merged");
    folder::write(&located, &adapter, &folder).unwrap();
    let merged = load(&folder);
    assert_eq!(prompt(&merged), prompt(&model), "the same tokens");
    assert!(furthest(&logits(&merged, None), &expected) < 2e-3);

    // A folder is a base too; what it keeps it keeps as it is.
    let again = place.path().join("again");
    let of_folder = Located {
        path: folder.clone(),
        ..located.clone()
    };
    let nothing = Adapter::default();
    folder::write(&of_folder, &nothing, &again).unwrap();
    for name in ["model.safetensors", "tokenizer.json", "config.json"] {
        let read = |folder: &std::path::Path| std::fs::read(folder.join(name)).unwrap();
        assert_eq!(read(&again), read(&folder), "{name}");
    }
    // In llama.cpp's words, tokenizer and template say what the folder's say.
    let file = place.path().join("of-folder.gguf");
    gguf::write(&of_folder, &nothing, Quantization::F32, &file).unwrap();
    let of_file = load(&file);
    assert_eq!(prompt(&of_file), prompt(&merged), "the same tokens");
    assert_eq!(of_file.tokenizer.stop, merged.tokenizer.stop);
    assert_eq!(of_file.config.context, merged.config.context);
    assert!(furthest(&logits(&of_file, None), &logits(&merged, None)) < 1e-4);

    for (quantization, bound) in [
        (Quantization::F32, 2e-3),
        (Quantization::F16, 5e-2),
        (Quantization::Q8_0, 0.8),
        (Quantization::Q4KM, 6.0),
    ] {
        let file = place.path().join(format!("{quantization:?}.gguf"));
        let written = gguf::write(&located, &adapter, quantization, &file).unwrap();
        assert_eq!(written.bytes, std::fs::metadata(&file).unwrap().len());
        let model = load(&file);
        let apart = furthest(&logits(&model, None), &expected);
        assert!(apart < bound, "{quantization:?}: {apart}");
    }
}

#[test]
fn lengths_of_rows_and_a_head_of_its_own_are_in_every_file() {
    let located = resolve::locate(None, &Silent).unwrap();
    let model = LanguageModel::load(&located, &Device::Cpu).unwrap();
    let mut adapter = adapter(&model);
    for (path, change) in &adapter.modules {
        let lengths = Tensor::full(1.5f32, change.b.dim(0).unwrap(), &Device::Cpu).unwrap();
        adapter.magnitudes.insert(path.clone(), lengths);
    }
    // The base has one matrix for both, of which the embedding stays.
    let head = ramp(model.config.vocabulary, model.config.hidden_size, 0.41);
    adapter.replaced.insert("lm_head.weight".into(), head);
    drop(model);
    let (model, bound) =
        LanguageModel::load_adapted(&located, Some(adapter.clone()), &Device::Cpu).unwrap();
    let expected = logits(&model, bound.as_ref());
    let largest = furthest(&expected, &vec![0.0; expected.len()]);
    drop((model, bound));

    let place = tempfile::tempdir().unwrap();
    let base = place.path().join("base");
    folder::write(&located, &Adapter::default(), &base).unwrap();
    let of_folder = Located {
        path: base,
        ..located.clone()
    };
    let merged = place.path().join("merged");
    folder::write(&located, &adapter, &merged).unwrap();
    let (of_file, of_base) = (place.path().join("1.gguf"), place.path().join("2.gguf"));
    gguf::write(&located, &adapter, Quantization::F32, &of_file).unwrap();
    gguf::write(&of_folder, &adapter, Quantization::F32, &of_base).unwrap();
    for path in [merged, of_file, of_base] {
        let apart = furthest(&logits(&load(&path), None), &expected);
        assert!(apart < 1e-4 * largest, "{}: {apart}", path.display());
    }
}

#[test]
fn nothing_is_written_over_and_no_part_is_left_out() {
    let located = resolve::locate(None, &Silent).unwrap();
    let place = tempfile::tempdir().unwrap();
    std::fs::write(place.path().join("mine"), "important").unwrap();
    let error = folder::write(&located, &Adapter::default(), place.path()).unwrap_err();
    assert!(error.message.contains("already something"), "{error}");

    let mut adapter = Adapter::default();
    let tiny = Tensor::zeros((2, 2), DType::F32, &Device::Cpu).unwrap();
    adapter.modules.insert(
        "model.layers.99.mlp.up_proj".into(),
        LowRank {
            whole: false,
            a: tiny.clone(),
            b: tiny,
            scale: 1.0,
            train_a: false,
            train_b: false,
        },
    );
    let file = place.path().join("x.gguf");
    let error = gguf::write(&located, &adapter, Quantization::F16, &file).unwrap_err();
    assert!(error.message.contains("layers.99"), "{error}");
    assert!(!file.exists());
}

#[test]
fn the_modelfile_has_the_template_the_system_prompt_and_the_end() {
    let located = resolve::locate(None, &Silent).unwrap();
    let place = tempfile::tempdir().unwrap();
    let folder = place.path().join("ollama");
    ollama::write(&located, &Adapter::default(), Quantization::Q4_0, &folder).unwrap();
    let text = std::fs::read_to_string(folder.join("Modelfile")).unwrap();
    assert!(
        text.starts_with("# ollama create NAME -f Modelfile\nFROM ./model.gguf\nTEMPLATE \"\"\"")
    );
    assert!(
        text.contains("SYSTEM \"\"\"You are a helpful AI assistant named SmolLM"),
        "{text}"
    );
    assert!(text.contains("PARAMETER stop \"<|im_end|>\"\n"));
}

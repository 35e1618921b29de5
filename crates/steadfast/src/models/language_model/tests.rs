//! Model files that are damaged or of another kind.

use super::*;
use crate::error::Class;
use crate::events::Silent;
use crate::models::resolve;
use candle_core::quantized::gguf_file::{self, Content, Value};
use std::fs::File;
use std::io::{BufReader, Read};

/// Loads `path` as a model, and gives the user's mistake with its place checked.
fn refusal(path: &Path) -> Error {
    let located = resolve::locate(path.to_str(), &Silent).unwrap();
    let error = LanguageModel::load(&located, &Device::Cpu).unwrap_err();
    assert_eq!(error.class, Class::User, "{error:?}");
    assert_eq!(error.place.path.as_deref(), Some(path), "{error:?}");
    assert!(error.hint.is_some(), "{error:?}");
    error
}

#[test]
fn a_file_of_another_format_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.gguf");
    for content in [
        "",
        "GG",
        "NOPE and much more text than a header has",
        "GGUF\u{3}\0\0\0",
    ] {
        std::fs::write(&path, content).unwrap();
        assert!(refusal(&path).message.contains("GGUF"), "{content:?}");
    }
}

#[test]
fn a_truncated_file_is_refused() {
    let base = resolve::locate(None, &Silent).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.gguf");
    // Within the header, at the first tensors, and just before the end.
    let whole = std::fs::metadata(&base.path).unwrap().len();
    for length in [100_000, 4_000_000, whole - 1] {
        let mut part = File::open(&base.path).unwrap().take(length);
        std::io::copy(&mut part, &mut File::create(&path).unwrap()).unwrap();
        let hint = refusal(&path).hint.unwrap();
        assert!(hint.contains("truncated"), "{length}: {hint}");
    }
}

#[test]
fn a_missing_tensor_is_named() {
    let base = resolve::locate(None, &Silent).unwrap();
    let mut reader = BufReader::new(File::open(&base.path).unwrap());
    let content = Content::read(&mut reader).unwrap();
    let embedding = content
        .tensor(&mut reader, "token_embd.weight", &Device::Cpu)
        .unwrap();
    let metadata: Vec<(&str, &Value)> = content
        .metadata
        .iter()
        .map(|(key, value)| (key.as_str(), value))
        .collect();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.gguf");
    let mut file = std::io::BufWriter::new(File::create(&path).unwrap());
    gguf_file::write(&mut file, &metadata, &[("token_embd.weight", &embedding)]).unwrap();
    std::io::Write::flush(&mut file).unwrap();
    let error = refusal(&path);
    assert_eq!(error.place.field.as_deref(), Some("model.norm.weight"));
    assert!(error.message.contains("model.norm.weight"), "{error}");
}

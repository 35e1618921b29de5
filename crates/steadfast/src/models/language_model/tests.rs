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

/// The default base's file without its tensors but the first, and without metadata that `drops` says.
fn part_of_the_base(path: &Path, drops: impl Fn(&str) -> bool) {
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
        .filter(|(key, _)| !drops(key))
        .collect();
    let mut file = std::io::BufWriter::new(File::create(path).unwrap());
    gguf_file::write(&mut file, &metadata, &[("token_embd.weight", &embedding)]).unwrap();
    std::io::Write::flush(&mut file).unwrap();
}

#[test]
fn a_missing_tensor_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.gguf");
    part_of_the_base(&path, |_| false);
    let error = refusal(&path);
    assert_eq!(error.place.field.as_deref(), Some("model.norm.weight"));
    assert!(error.message.contains("model.norm.weight"), "{error}");
}

#[test]
fn a_file_without_a_template_takes_the_one_beside_it() {
    let folder = tempfile::tempdir().unwrap();
    let bare = folder.path().join("bare.gguf");
    let chat = folder.path().join("chat.gguf");
    part_of_the_base(&bare, |key| key == "tokenizer.chat_template");
    part_of_the_base(&chat, |_| false);
    let identity = |path: &Path| {
        let located = resolve::locate(path.to_str(), &Silent).unwrap();
        (located.identity, located.sha256)
    };
    let hint = read_text(&bare).unwrap_err().hint.unwrap();
    assert!(hint.contains("chat_template.jinja beside it"), "{hint}");
    let (before, weights) = identity(&bare);
    assert_eq!(before, weights);

    let template = "{% for m in messages %}{{ m.content }}{% endfor %}";
    std::fs::write(folder.path().join(TEMPLATE_FILE), template).unwrap();
    assert_eq!(read_text(&bare).unwrap().1.source(), template);
    let (after, same_weights) = identity(&bare);
    assert_ne!(after, before, "stored work must not outlive its template");
    assert_eq!(same_weights, weights);

    // Who brings a template keeps it.
    assert_ne!(read_text(&chat).unwrap().1.source(), template);
    let (own, weights) = identity(&chat);
    assert_eq!(own, weights);
}

/// SmolLM2's tokenizer with the turns of another family.
fn text_of(template: &str, ends: &[&str]) -> (Tokenizer, ChatTemplate) {
    let located = resolve::locate(None, &Silent).unwrap();
    let mut inner = Tokenizer::read(&located.path).unwrap().inner;
    let added: Vec<_> = ends
        .iter()
        .map(|end| tokenizers::AddedToken::from(*end, true))
        .collect();
    inner.add_special_tokens(added).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
    write("tokenizer.json", &inner.to_string(false).unwrap());
    write(
        "tokenizer_config.json",
        r#"{"bos_token": "<bos>", "eos_token": "</s>"}"#,
    );
    write("chat_template.jinja", template);
    read_text(folder.path()).unwrap()
}

#[test]
fn a_turn_ends_as_the_template_ends_it_and_that_end_is_learnt() {
    use crate::conversations::{Conversation, tokens};
    let families = [
        (
            "{{ bos_token }}{% for m in messages %}<start_of_turn>{{ 'model' if m.role == 'assistant' else m.role }}\n{{ m.content | trim }}<end_of_turn>\n{% endfor %}{% if add_generation_prompt %}<start_of_turn>model\n{% endif %}",
            "<end_of_turn>",
        ),
        (
            "{{ bos_token }}{% for m in messages %}<|start_header_id|>{{ m.role }}<|end_header_id|>\n\n{{ m.content | trim }}<|eot_id|>{% endfor %}{% if add_generation_prompt %}<|start_header_id|>assistant<|end_header_id|>\n\n{% endif %}",
            "<|eot_id|>",
        ),
        (
            "{% for m in messages %}<|{{ m.role }}|>\n{{ m.content }}<|end|>\n{% endfor %}{% if add_generation_prompt %}<|assistant|>\n{% endif %}",
            "<|end|>",
        ),
        (
            // Mistral's: nothing ends the user's turn but its bracket.
            "{{ bos_token }}{% for m in messages %}{% if m.role == 'user' %}[INST] {{ m.content }} [/INST]{% else %} {{ m.content }}{{ eos_token }}{% endif %}{% endfor %}",
            "</s>",
        ),
    ];
    let ends: Vec<&str> = families
        .iter()
        .map(|(_, end)| *end)
        .chain(["<bos>"])
        .collect();
    for (template, end) in families {
        let (tokenizer, template) = text_of(template, &ends);
        let id = tokenizer.inner.token_to_id(end).unwrap();
        assert_eq!(tokenizer.stop[0], id, "{end}");
        let conversation = Conversation {
            messages: vec![
                Message::new(Role::User, "A room?"),
                Message::new(Role::Assistant, "For how many nights?"),
            ],
        };
        let example = tokens::mark(&tokenizer, &template, &conversation).unwrap();
        let learnt: Vec<u32> = (example.tokens.iter().zip(&example.learn))
            .filter_map(|(token, learn)| learn.then_some(*token))
            .collect();
        assert_eq!(learnt.last(), Some(&id), "{end}");
        assert_eq!(
            learnt.iter().filter(|token| **token == id).count(),
            1,
            "{end}"
        );
        let said = tokenizer.decode(&learnt).unwrap();
        assert_eq!(said.trim(), "For how many nights?", "{end}");
    }
}

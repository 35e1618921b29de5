use super::*;
use crate::conversations::dialogues;
use crate::evaluation::suites::shared_data;
use crate::events::Silent;
use crate::models::language_model::read_text;
use crate::models::resolve;
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;

#[derive(serde::Deserialize)]
struct Golden {
    cases: Vec<Case>,
}

#[derive(serde::Deserialize)]
struct Case {
    messages: Vec<Message>,
    ids: Vec<u32>,
    learn: Vec<u8>,
}

/// The default base's tokenizer and template.
fn format() -> (Tokenizer, ChatTemplate) {
    let located = resolve::locate(None, &Silent).unwrap();
    let (tokenizer, template) = read_text(&located.path).unwrap();
    (tokenizer, template)
}

#[test]
fn ids_and_masks_equal_those_made_with_transformers() {
    let golden = include_str!("../../../../../tests/golden/templates.json");
    let golden: Golden = serde_json::from_str(golden).unwrap();
    let (tokenizer, template) = format();
    assert!(golden.cases.len() >= 25);
    for case in golden.cases {
        let conversation = Conversation {
            messages: case.messages,
        };
        let example = mark(&tokenizer, &template, &conversation).unwrap();
        assert_eq!(example.tokens, case.ids, "{conversation:?}");
        let learn: Vec<u8> = example.learn.iter().map(|&learn| learn.into()).collect();
        assert_eq!(learn, case.learn, "{conversation:?}");
    }
}

#[test]
fn public_dialogues_have_the_digests_made_with_transformers() {
    let Some(data) = shared_data::folder() else {
        return;
    };
    let golden = include_str!("../../../../../tests/golden/dialogues.json");
    let golden: BTreeMap<String, BTreeMap<String, String>> = serde_json::from_str(golden).unwrap();
    let (tokenizer, template) = format();
    for (corpus, digests) in golden {
        let file = data.join(&corpus).join("train.jsonl");
        let ids = std::fs::read_to_string(&file).unwrap();
        let ids = ids.lines().map(|line| {
            let record: serde_json::Value = serde_json::from_str(line).unwrap();
            record["id"].as_str().unwrap().to_owned()
        });
        let conversations = dialogues::conversations(&file).unwrap();
        let mut checked = 0;
        for (id, conversation) in ids.zip(&conversations) {
            let Some(expected) = digests.get(&id) else {
                continue;
            };
            let example = mark(&tokenizer, &template, conversation).unwrap();
            let pairs: Vec<String> = example
                .tokens
                .iter()
                .zip(&example.learn)
                .map(|(token, &learn)| format!("{token}:{}", u8::from(learn)))
                .collect();
            let digest = Sha256::digest(pairs.join(" "));
            let digest: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
            assert_eq!(&digest, expected, "{id}");
            checked += 1;
        }
        assert_eq!(checked, digests.len(), "{corpus}");
    }
}

#[test]
fn nothing_to_learn_from_is_an_error() {
    let (tokenizer, template) = format();
    let mut reply = Message::new(Role::Assistant, "Hello");
    reply.weight = Some(0);
    let conversation = Conversation {
        messages: vec![Message::new(Role::User, "Hi"), reply],
    };
    let error = mark(&tokenizer, &template, &conversation).unwrap_err();
    assert!(error.hint.unwrap().contains("weight"));
}

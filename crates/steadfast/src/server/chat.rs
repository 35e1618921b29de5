//! `POST /v1/chat/completions`

use super::asking::{self, Asked, Told};
use super::fields::{Fields, Read};
use super::http::{Document, House, Owner};
use super::refusal::Refusal;
use super::replies::Form;
use crate::conversations::{Message, Role, tokens};
use axum::extract::{Extension, State};
use axum::response::Response;
use serde_json::Value;
use std::sync::Arc;

/// Tokens of a reply where the request does not say.
const DEFAULT_TOKENS: usize = 1024;
/// Most messages of a request.
const MESSAGES: usize = 2048;

/// Answers a conversation.
pub async fn create(
    State(house): State<Arc<House>>,
    Extension(owner): Extension<Owner>,
    Document(document): Document,
) -> Result<Response, Refusal> {
    asking::answer(house, owner, document, read).await
}

fn read(document: &Value, house: &House, owner: &Owner) -> Read<Asked> {
    let fields = Fields::of(document)?;
    let model = asking::model(&fields, house, owner)?;
    let empty = |value: &Value| value.as_array().is_some_and(Vec::is_empty);
    fields.refuse("tools", empty)?;
    fields.refuse("functions", empty)?;
    fields.refuse("audio", |_| false)?;
    fields.refuse("modalities", |value| *value == serde_json::json!(["text"]))?;
    let mut writing = asking::writing(&fields, house)?;
    let context = house.model.decoder.context() as u64;
    let limit = house.limits.max_tokens.min(context as usize) as u64;
    let newer = fields.count("max_completion_tokens", 1..=limit)?;
    let older = fields.count("max_tokens", 1..=limit)?;
    let default = DEFAULT_TOKENS.min(limit as usize);
    writing.max_tokens = newer.or(older).unwrap_or(default);
    let top = fields.count("top_logprobs", 0..=20)?;
    let scored = fields.flag("logprobs")?;
    if top.is_some() && !scored {
        return Err(fields.wrong("top_logprobs", "left out unless `logprobs` is true"));
    }
    writing.scored = scored.then(|| top.unwrap_or(0));
    let most = house.engine.options.batch as u64;
    let each = fields.count("n", 1..=most)?.unwrap_or(1);
    let (stream, include_usage) = asking::stream(&fields)?;

    let prompt_told = fields.count("prompt_logprobs", 0..=20)?;
    if let Some(top) = prompt_told {
        if stream {
            return Err(fields.wrong("prompt_logprobs", "left out where `stream` is true"));
        }
        writing.prompt_scored = true;
        writing.scored = Some(writing.scored.unwrap_or(0).max(top));
    }

    let messages = messages(&fields)?;
    let prompt = prompt(&fields, house, &messages)?;
    asking::check_length(house, "messages", &prompt)?;
    Ok(Asked {
        form: Form::Chat,
        model,
        prompts: vec![prompt],
        each,
        writing,
        told: Told {
            reply: scored,
            prompt: prompt_told.is_some(),
        },
        echoes: None,
        stream,
        include_usage,
    })
}

/// The conversation as tokens: the assistant's turn opened, or, where its beginning is the last message
/// and is to be gone on with (as vLLM has it), opened and begun.
fn prompt(fields: &Fields<'_>, house: &House, messages: &[Message]) -> Read<Vec<u32>> {
    let begun = fields.flag("continue_final_message")?;
    let opened = fields
        .get("add_generation_prompt")
        .is_none_or(|value| *value == true);
    if begun == opened && fields.get("add_generation_prompt").is_some() {
        let expected = if begun {
            "false with `continue_final_message`"
        } else {
            "true"
        };
        return Err(fields.wrong("add_generation_prompt", expected));
    }
    let wrong = |error| Refusal {
        param: Some("messages".to_owned()),
        ..Refusal::from(error)
    };
    let tokens = |messages| tokens::prompt_now(&house.model, messages).map_err(wrong);
    match messages.split_last() {
        Some((last, before)) if begun && last.role == Role::Assistant && !before.is_empty() => {
            let mut prompt = tokens(before)?;
            prompt.extend(house.model.tokenizer.encode(&last.content)?);
            Ok(prompt)
        }
        _ if begun => Err(fields.wrong(
            "continue_final_message",
            "left out unless an assistant message follows others",
        )),
        _ => tokens(messages),
    }
}

fn messages(fields: &Fields<'_>) -> Read<Vec<Message>> {
    fields.required("messages")?;
    let list = fields.list("messages")?.map_or(&[][..], Vec::as_slice);
    if list.is_empty() || list.len() > MESSAGES {
        return Err(fields.wrong("messages", format!("a list of 1 to {MESSAGES} messages")));
    }
    list.iter()
        .enumerate()
        .map(|(index, value)| {
            let message = Fields::at(value, format!("messages[{index}]"))?;
            message.required("role")?;
            let role = match message.text("role")?.unwrap_or_default() {
                "system" | "developer" => Role::System,
                "user" => Role::User,
                "assistant" => Role::Assistant,
                _ => {
                    let roles = "`system`, `developer`, `user` or `assistant`";
                    return Err(message.wrong("role", roles));
                }
            };
            Ok(Message::new(role, content(&message)?))
        })
        .collect()
}

/// A text, or a list of texts that are joined.
fn content(message: &Fields<'_>) -> Read<String> {
    match message.required("content")? {
        Value::String(text) => Ok(text.clone()),
        Value::Array(parts) => parts
            .iter()
            .enumerate()
            .map(|(index, part)| {
                let path = format!("{}[{index}]", message.path("content"));
                let part = Fields::at(part, path)?;
                match part.text("type")? {
                    Some("text") => {
                        part.required("text")?;
                        Ok(part.text("text")?.unwrap_or_default())
                    }
                    _ => Err(part.wrong("type", "`text`: this model reads nothing else")),
                }
            })
            .collect(),
        _ => Err(message.wrong("content", "a string or a list of text parts")),
    }
}

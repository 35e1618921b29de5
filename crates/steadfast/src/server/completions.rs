//! `POST /v1/completions`, with the log-probabilities of prompts that evaluation harnesses ask for.

use super::asking::{self, Asked, Told};
use super::fields::{Fields, Read};
use super::http::{Document, House, Owner};
use super::refusal::Refusal;
use super::replies::Form;
use axum::extract::{Extension, State};
use axum::response::Response;
use serde_json::Value;
use std::sync::Arc;

/// Tokens of a reply where the request does not say, as OpenAI has it.
const DEFAULT_TOKENS: usize = 16;

/// Goes on from texts.
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
    fields.refuse("suffix", |value| value.as_str() == Some(""))?;
    let most = house.engine.options.batch as u64;
    let each = fields.count("n", 1..=most)?.unwrap_or(1);
    let own = each as u64;
    fields.refuse("best_of", move |value| value.as_u64() == Some(own))?;
    let mut writing = asking::writing(&fields, house)?;
    let limit = house.limits.max_tokens.min(house.model.decoder.context());
    let max_tokens = fields.count("max_tokens", 0..=limit as u64)?;
    writing.max_tokens = max_tokens.unwrap_or(DEFAULT_TOKENS);
    writing.scored = fields.count("logprobs", 0..=20)?;
    let echo = fields.flag("echo")?;
    writing.prompt_scored = echo && writing.scored.is_some();
    let (stream, include_usage) = asking::stream(&fields)?;

    let prompts = prompts(&fields, house)?;
    for prompt in &prompts {
        asking::check_length(house, "prompt", prompt)?;
    }
    let echoes = echo.then(|| {
        let text = |prompt: &Vec<u32>| {
            let bytes: Vec<u8> = prompt
                .iter()
                .flat_map(|token| house.bytes.written(*token))
                .copied()
                .collect();
            String::from_utf8_lossy(&bytes).into_owned()
        };
        prompts.iter().map(text).collect()
    });
    Ok(Asked {
        form: Form::Text,
        model,
        prompts,
        each,
        told: Told {
            reply: writing.scored.is_some(),
            prompt: false,
        },
        writing,
        echoes,
        stream,
        include_usage,
    })
}

/// A text, a list of texts, a list of tokens, or a list of lists of tokens.
fn prompts(fields: &Fields<'_>, house: &House) -> Read<Vec<Vec<u32>>> {
    let most = house.engine.options.places;
    let expected = || {
        fields.wrong(
            "prompt",
            format!("a string, a list of tokens, or a list of up to {most} of either"),
        )
    };
    // Begun as the tokenizer begins plain text, as vLLM does; the echo shows that token too.
    let encode = |text: &str| Ok(house.model.tokenizer.encode_plain(text)?);
    let tokens = |list: &[Value]| -> Read<Vec<u32>> {
        list.iter()
            .map(|token| {
                let id = token.as_u64().ok_or_else(expected)?;
                let known = (id as usize) < house.bytes.count();
                known.then_some(id as u32).ok_or_else(|| {
                    let message = format!("The model has no token {id}.");
                    Refusal::wrong("prompt", message)
                })
            })
            .collect()
    };
    match fields.required("prompt")? {
        Value::String(text) => Ok(vec![encode(text)?]),
        Value::Array(list) if list.first().is_some_and(Value::is_u64) => Ok(vec![tokens(list)?]),
        Value::Array(list) if !list.is_empty() && list.len() <= most => list
            .iter()
            .map(|entry| match entry {
                Value::String(text) => encode(text),
                Value::Array(list) => tokens(list),
                _ => Err(expected()),
            })
            .collect(),
        _ => Err(expected()),
    }
}

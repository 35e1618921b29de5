//! What chat and text requests have in common: the model, how to write, and handing it to the engine.

use super::engine::Work;
use super::fields::{Fields, Read};
use super::http::{House, Owner, in_background};
use super::refusal::Refusal;
use super::replies::{Answer, Form};
use super::sequence::Writing;
use crate::digest;
use axum::response::Response;
use rand::Rng;
use serde_json::Value;
use std::sync::Arc;
use std::time::Instant;

/// Most stop strings of a request.
const STOPS: usize = 16;
/// Longest stop string, bytes.
const STOP_LENGTH: usize = 256;

/// A request that is read and tokenized.
pub struct Asked {
    /// Chat or text.
    pub form: Form,
    /// The model's name, and the engine's group of it.
    pub model: (String, usize),
    /// The prompts' tokens.
    pub prompts: Vec<Vec<u32>>,
    /// Replies to each.
    pub each: usize,
    /// How to write them.
    pub writing: Writing,
    /// Which log-probabilities the answer tells.
    pub told: Told,
    /// The prompts' texts, where they are to stand before the replies.
    pub echoes: Option<Vec<String>>,
    /// Answer in events.
    pub stream: bool,
    /// Events end with the count of tokens.
    pub include_usage: bool,
}

/// Which log-probabilities an answer tells beside its text.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Told {
    /// Those of the reply.
    pub reply: bool,
    /// Those of a conversation that was read.
    pub prompt: bool,
}

/// Which model is asked.
pub fn model(fields: &Fields<'_>, house: &House, owner: &Owner) -> Read<(String, usize)> {
    fields.required("model")?;
    let name = fields.text("model")?.unwrap_or_default();
    Ok((name.to_owned(), house.group(name, &owner.0)?))
}

/// How to write, but for what chat and text say differently.
pub fn writing(fields: &Fields<'_>, house: &House) -> Read<Writing> {
    let seed = match fields.get("seed") {
        None => rand::rng().next_u64(),
        Some(value) => value
            .as_i64()
            .map(|seed| seed as u64)
            .or(value.as_u64())
            .ok_or_else(|| fields.wrong("seed", "a whole number"))?,
    };
    Ok(Writing {
        max_tokens: 0,
        temperature: fields.number("temperature", 0.0..=2.0)?.unwrap_or(1.0),
        top_p: fields.number("top_p", 0.0..=1.0)?.unwrap_or(1.0),
        seed,
        stop: stop(fields)?,
        frequency_penalty: fields
            .number("frequency_penalty", -2.0..=2.0)?
            .unwrap_or(0.0),
        presence_penalty: fields
            .number("presence_penalty", -2.0..=2.0)?
            .unwrap_or(0.0),
        bias: bias(fields, house)?,
        scored: None,
        prompt_scored: false,
        json_object: json_object(fields)?,
    })
}

fn stop(fields: &Fields<'_>) -> Read<Vec<String>> {
    let expected = || {
        let what = format!("a string or up to {STOPS} strings, of 1 to {STOP_LENGTH} bytes");
        fields.wrong("stop", what)
    };
    let stops: Vec<String> = match fields.get("stop") {
        None => Vec::new(),
        Some(Value::String(stop)) => vec![stop.clone()],
        Some(Value::Array(stops)) => stops
            .iter()
            .map(|stop| stop.as_str().map(str::to_owned).ok_or_else(expected))
            .collect::<Read<_>>()?,
        Some(_) => return Err(expected()),
    };
    let fits = |stop: &String| !stop.is_empty() && stop.len() <= STOP_LENGTH;
    if stops.len() > STOPS || !stops.iter().all(fits) {
        return Err(expected());
    }
    Ok(stops)
}

fn bias(fields: &Fields<'_>, house: &House) -> Read<Vec<(u32, f32)>> {
    let Some(value) = fields.get("logit_bias") else {
        return Ok(Vec::new());
    };
    let expected = || {
        fields.wrong(
            "logit_bias",
            "an object of token ids to numbers from -100 to 100",
        )
    };
    let entries = value.as_object().ok_or_else(expected)?;
    entries
        .iter()
        .map(|(token, bias)| {
            let token: u32 = token.parse().map_err(|_| expected())?;
            let bias = bias.as_f64().filter(|bias| bias.abs() <= 100.0);
            match bias {
                Some(bias) if (token as usize) < house.bytes.count() => Ok((token, bias as f32)),
                _ => Err(expected()),
            }
        })
        .collect()
}

fn json_object(fields: &Fields<'_>) -> Read<bool> {
    let Some(format) = fields.inner("response_format")? else {
        return Ok(false);
    };
    match format.text("type")? {
        Some("text") => Ok(false),
        Some("json_object") => Ok(true),
        _ => Err(format
            .wrong("type", "`text` or `json_object`; schemas are not supported")
            .code("unsupported_parameter")),
    }
}

/// The events' fields.
pub fn stream(fields: &Fields<'_>) -> Read<(bool, bool)> {
    let stream = fields.flag("stream")?;
    let options = fields.inner("stream_options")?;
    if options.is_some() && !stream {
        return Err(fields.wrong("stream_options", "left out unless `stream` is true"));
    }
    let include_usage = options.map_or(Ok(false), |options| options.flag("include_usage"))?;
    Ok((stream, include_usage))
}

/// Refuses prompts that cannot be read.
pub fn check_length(house: &House, param: &str, tokens: &[u32]) -> Read<()> {
    let context = house.model.decoder.context();
    if tokens.is_empty() {
        return Err(Refusal::wrong(
            param,
            "The prompt is empty: give at least one token.",
        ));
    }
    if tokens.len() > context {
        return Err(Refusal::too_long(param, tokens.len(), context));
    }
    // A tokenizer may know more than the model: one such token would end everybody's replies.
    let known = house.model.decoder.vocabulary();
    if let Some(token) = tokens.iter().find(|token| **token as usize >= known) {
        return Err(Refusal::wrong(
            param,
            format!("The prompt has the token {token}, and the model knows {known}."),
        ));
    }
    Ok(())
}

/// Answers a request that `read` understands, in events or as a whole.
pub async fn answer(
    house: Arc<House>,
    owner: Owner,
    document: Value,
    read: fn(&Value, &House, &Owner) -> Read<Asked>,
) -> Read<Response> {
    let reader = Arc::clone(&house);
    let asked = in_background(move || read(&document, &reader, &owner)).await?;
    let stream = asked.stream;
    let answer = begin(&house, asked)?;
    if stream {
        Ok(answer.streamed())
    } else {
        answer.whole().await
    }
}

/// Hands a request to the engine.
fn begin(house: &Arc<House>, asked: Asked) -> Read<Answer> {
    let choices = asked.prompts.len() * asked.each;
    let (each, most) = (asked.each, asked.writing.max_tokens);
    let mut lengths = asked.prompts.iter().map(Vec::len);
    if let Some(length) = lengths.find(|length| !house.engine.holds(*length, most, each)) {
        return Err(Refusal::wrong(
            "n",
            format!(
                "{each} replies to {length} tokens of prompt do not fit into this server's cache at once. Ask for fewer, or for shorter ones (`max_tokens`)."
            ),
        ));
    }
    let Some(places) = house.engine.places(asked.prompts.len()) else {
        house.metrics.turned_away.add(1);
        return Err(Refusal::busy(house.limits.retry_after.as_secs().max(1)));
    };
    let (listener, progress) = tokio::sync::mpsc::unbounded_channel();
    let deadline = Instant::now() + house.limits.request_timeout;
    let prompt_tokens = asked.prompts.iter().map(Vec::len).sum();
    for ((index, prompt), place) in asked.prompts.into_iter().enumerate().zip(places) {
        let first = index * asked.each;
        let handed_in = house.engine.submit(Work {
            group: asked.model.1,
            prompt,
            choices: first..first + asked.each,
            writing: asked.writing.clone(),
            listener: listener.clone(),
            deadline,
            place,
        });
        if !handed_in {
            return Err(Refusal::stopped());
        }
    }
    let echoes = asked.echoes.unwrap_or_default();
    let name = match asked.form {
        Form::Chat => "chatcmpl",
        Form::Text => "cmpl",
    };
    Ok(Answer {
        house: Arc::clone(house),
        form: asked.form,
        id: format!("{name}-{}", random_name()),
        created: jiff::Timestamp::now().as_second(),
        model: asked.model.0,
        choices,
        prompt_tokens,
        told: asked.told,
        echoes: echoes
            .into_iter()
            .flat_map(|echo| std::iter::repeat_n(echo, asked.each))
            .collect(),
        include_usage: asked.include_usage,
        progress,
    })
}

/// A name that no other answer has.
pub fn random_name() -> String {
    let mut bytes = [0; 12];
    rand::rng().fill_bytes(&mut bytes);
    digest::hexadecimal(&bytes)
}

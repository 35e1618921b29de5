//! From what the engine does to OpenAI's objects, whole or streamed.

use super::asking::Told;
use super::engine::Progress;
use super::http::House;
use super::refusal::Refusal;
use super::sequence::{Piece, Reason, Score};
use axum::Json;
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use futures_util::stream;
use serde_json::{Value, json};
use std::collections::VecDeque;
use std::convert::Infallible;
use std::sync::Arc;
use tokio::sync::mpsc::UnboundedReceiver;

/// What a prompt and its choices are made into.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// `chat.completion`
    Chat,
    /// `text_completion`
    Text,
}

/// All that the answer to one request needs to know.
pub struct Answer {
    /// The server.
    pub house: Arc<House>,
    /// Chat or text.
    pub form: Form,
    /// The answer's own name.
    pub id: String,
    /// Seconds since 1970.
    pub created: i64,
    /// The name of the model that answers.
    pub model: String,
    /// Number of all choices.
    pub choices: usize,
    /// Tokens of all prompts.
    pub prompt_tokens: usize,
    /// Which log-probabilities are told.
    pub told: Told,
    /// The prompt's text before each choice's own (`echo`).
    pub echoes: Vec<String>,
    /// A stream ends with the count of tokens.
    pub include_usage: bool,
    /// What the engine tells.
    pub progress: UnboundedReceiver<Progress>,
}

/// One choice so far.
#[derive(Default)]
struct Choice {
    text: String,
    scores: Vec<Score>,
    reason: Option<Reason>,
}

impl Answer {
    /// The whole answer as one object.
    pub async fn whole(mut self) -> Result<Response, Refusal> {
        let mut choices: Vec<Choice> = (0..self.choices).map(|_| Choice::default()).collect();
        let (mut left, mut written) = (self.choices, 0);
        let mut prompt_scores = Vec::new();
        while left > 0 {
            match self.next().await? {
                Progress::Read {
                    choices: own,
                    scores,
                } => {
                    if self.told.prompt {
                        prompt_scores.clone_from(&scores);
                    }
                    for choice in own {
                        if let Some(echo) = self.echoes.get(choice) {
                            choices[choice].text.clone_from(echo);
                            choices[choice].scores.clone_from(&scores);
                        }
                    }
                }
                Progress::Wrote { choice, piece } => {
                    written += piece.tokens;
                    left -= usize::from(piece.reason.is_some());
                    let own = &mut choices[choice];
                    own.text += &piece.text;
                    own.reason = piece.reason;
                    own.scores.extend(self.told_score(piece));
                }
                Progress::Failed(refusal) => return Err(refusal),
            }
        }
        let choices: Vec<Value> = choices
            .iter()
            .zip(0..)
            .map(|(choice, index)| self.whole_choice(index, choice))
            .collect();
        let mut object = self.object(match self.form {
            Form::Chat => "chat.completion",
            Form::Text => "text_completion",
        });
        object["choices"] = Value::Array(choices);
        if self.told.prompt {
            object["prompt_logprobs"] = self.prompt_scores(&prompt_scores);
        }
        object["usage"] = self.usage(written);
        Ok(Json(object).into_response())
    }

    /// The answer as server-sent events, the last of them `[DONE]`.
    pub fn streamed(self) -> Response {
        let stream = Stream {
            left: self.choices,
            written: 0,
            offsets: vec![0; self.choices],
            queue: VecDeque::new(),
            over: false,
            answer: self,
        };
        let events = stream::unfold(stream, |mut stream| async move {
            let data = stream.next().await?;
            Some((Ok::<_, Infallible>(Event::default().data(data)), stream))
        });
        Sse::new(events)
            .keep_alive(KeepAlive::default())
            .into_response()
    }

    async fn next(&mut self) -> Result<Progress, Refusal> {
        // The engine lets go of a request without a last word only when something broke.
        self.progress.recv().await.ok_or_else(|| {
            crate::Error::bug("the engine dropped a request without an answer").into()
        })
    }

    fn object(&self, kind: &str) -> Value {
        json!({
            "id": self.id,
            "object": kind,
            "created": self.created,
            "model": self.model,
            "system_fingerprint": self.house.fingerprint,
        })
    }

    fn usage(&self, written: usize) -> Value {
        json!({
            "prompt_tokens": self.prompt_tokens,
            "completion_tokens": written,
            "total_tokens": self.prompt_tokens + written,
        })
    }

    /// The score that is told: of a chat, not that of the token which ends the turn.
    fn told_score(&self, piece: Piece) -> Option<Score> {
        piece
            .score
            .filter(|_| self.form == Form::Text || !piece.ends_turn)
    }

    fn whole_choice(&self, index: usize, choice: &Choice) -> Value {
        let reason = choice.reason.map(Reason::name);
        let scores = self.told.reply.then_some(choice.scores.as_slice());
        match self.form {
            Form::Chat => json!({
                "index": index,
                "message": {"role": "assistant", "content": choice.text, "refusal": null},
                "logprobs": scores.map(|scores| self.chat_scores(scores)),
                "finish_reason": reason,
            }),
            Form::Text => json!({
                "index": index,
                "text": choice.text,
                "logprobs": scores.map(|scores| self.text_scores(scores, &mut 0)),
                "finish_reason": reason,
            }),
        }
    }

    /// A token as a text, and as its bytes.
    fn token(&self, token: u32) -> (String, &[u8]) {
        let bytes = self.house.bytes.written(token);
        (String::from_utf8_lossy(bytes).into_owned(), bytes)
    }

    fn chat_scores(&self, scores: &[Score]) -> Value {
        let one = |token: u32, log_probability: f64| {
            let (text, bytes) = self.token(token);
            json!({"token": text, "logprob": log_probability, "bytes": bytes})
        };
        let content: Vec<Value> = scores
            .iter()
            .map(|score| {
                let mut object = one(score.token, score.log_probability.unwrap_or(0.0));
                let top = score.top.iter().map(|(token, value)| one(*token, *value));
                object["top_logprobs"] = top.collect();
                object
            })
            .collect();
        json!({"content": content, "refusal": null})
    }

    /// As vLLM tells them: an object a token, which holds the token itself first, then the likeliest.
    fn prompt_scores(&self, scores: &[Score]) -> Value {
        let one = |token: u32, value: f64, rank: Option<usize>| json!({"logprob": value, "rank": rank, "decoded_token": self.token(token).0});
        let told = |score: &Score| {
            let Some(own) = score.log_probability else {
                return Value::Null;
            };
            let rank = score
                .top
                .iter()
                .position(|(token, _)| *token == score.token);
            let mut map = serde_json::Map::new();
            map.insert(
                score.token.to_string(),
                one(score.token, own, rank.map(|rank| rank + 1)),
            );
            for ((token, value), rank) in score.top.iter().zip(1..) {
                map.entry(token.to_string())
                    .or_insert_with(|| one(*token, *value, Some(rank)));
            }
            Value::Object(map)
        };
        scores.iter().map(told).collect()
    }

    /// `offset` is the number of characters before, and moves on.
    fn text_scores(&self, scores: &[Score], offset: &mut usize) -> Value {
        let mut tokens = Vec::new();
        let mut offsets = Vec::new();
        let mut top: Vec<Value> = Vec::new();
        for score in scores {
            let (text, bytes) = self.token(score.token);
            offsets.push(*offset);
            *offset += text.chars().count();
            tokens.push(name_of(&text, bytes));
            top.push(match score.log_probability {
                None => Value::Null,
                Some(own) => {
                    let mut map = serde_json::Map::new();
                    for (token, value) in &score.top {
                        let (text, bytes) = self.token(*token);
                        map.insert(name_of(&text, bytes), json!(value));
                    }
                    let (text, bytes) = self.token(score.token);
                    map.entry(name_of(&text, bytes)).or_insert(json!(own));
                    Value::Object(map)
                }
            });
        }
        let values: Vec<Option<f64>> = scores.iter().map(|score| score.log_probability).collect();
        json!({
            "tokens": tokens,
            "token_logprobs": values,
            "top_logprobs": top,
            "text_offset": offsets,
        })
    }
}

/// A token as the key of an object: its bytes are spelt out where they are no text, as OpenAI does,
/// so that two of them do not fall together.
fn name_of(text: &str, bytes: &[u8]) -> String {
    if std::str::from_utf8(bytes).is_ok() {
        return text.to_owned();
    }
    let spelt: String = bytes.iter().map(|byte| format!("\\x{byte:02x}")).collect();
    format!("bytes:{spelt}")
}

/// An answer on its way.
struct Stream {
    answer: Answer,
    left: usize,
    written: usize,
    /// Characters told of each choice.
    offsets: Vec<usize>,
    queue: VecDeque<String>,
    over: bool,
}

impl Stream {
    /// The data of the next event.
    async fn next(&mut self) -> Option<String> {
        loop {
            if let Some(data) = self.queue.pop_front() {
                return Some(data);
            }
            if self.over {
                return None;
            }
            match self.answer.next().await {
                Ok(Progress::Failed(refusal)) | Err(refusal) => {
                    self.queue.push_back(refusal.body().to_string());
                    self.over = true;
                }
                Ok(progress) => self.take(progress),
            }
        }
    }

    fn take(&mut self, progress: Progress) {
        match progress {
            Progress::Failed(_) => {}
            Progress::Read { choices, scores } => {
                for choice in choices {
                    if self.answer.form == Form::Chat {
                        let opening = json!({"role": "assistant", "content": "", "refusal": null});
                        self.chat(choice, opening, Value::Null, None);
                    } else if let Some(echo) = self.answer.echoes.get(choice).cloned() {
                        self.text(choice, &echo, &scores, None);
                    }
                }
            }
            Progress::Wrote { choice, piece } => {
                self.written += piece.tokens;
                let (text, reason) = (piece.text.clone(), piece.reason);
                let score: Vec<Score> = self.answer.told_score(piece).into_iter().collect();
                match self.answer.form {
                    Form::Chat => {
                        if !text.is_empty() || !score.is_empty() {
                            let scores = if self.answer.told.reply {
                                self.answer.chat_scores(&score)
                            } else {
                                Value::Null
                            };
                            self.chat(choice, json!({"content": text}), scores, None);
                        }
                        if reason.is_some() {
                            self.chat(choice, json!({}), Value::Null, reason);
                        }
                    }
                    Form::Text => {
                        if !text.is_empty() || !score.is_empty() || reason.is_some() {
                            self.text(choice, &text, &score, reason);
                        }
                    }
                }
                if reason.is_some() {
                    self.left -= 1;
                    if self.left == 0 {
                        self.end();
                    }
                }
            }
        }
    }

    fn chat(&mut self, index: usize, delta: Value, scores: Value, reason: Option<Reason>) {
        let choice = json!({
            "index": index,
            "delta": delta,
            "logprobs": scores,
            "finish_reason": reason.map(Reason::name),
        });
        self.push("chat.completion.chunk", json!([choice]));
    }

    fn text(&mut self, index: usize, text: &str, scores: &[Score], reason: Option<Reason>) {
        let mut offset = self.offsets[index];
        let scores = self
            .answer
            .told
            .reply
            .then(|| self.answer.text_scores(scores, &mut offset));
        self.offsets[index] = offset;
        let choice = json!({
            "index": index,
            "text": text,
            "logprobs": scores,
            "finish_reason": reason.map(Reason::name),
        });
        self.push("text_completion", json!([choice]));
    }

    fn push(&mut self, kind: &str, choices: Value) {
        let mut object = self.answer.object(kind);
        object["choices"] = choices;
        if self.answer.include_usage {
            object["usage"] = Value::Null;
        }
        self.queue.push_back(object.to_string());
    }

    fn end(&mut self) {
        if self.answer.include_usage {
            let kind = match self.answer.form {
                Form::Chat => "chat.completion.chunk",
                Form::Text => "text_completion",
            };
            let mut object = self.answer.object(kind);
            object["choices"] = json!([]);
            object["usage"] = self.answer.usage(self.written);
            self.queue.push_back(object.to_string());
        }
        self.queue.push_back("[DONE]".to_owned());
        self.over = true;
    }
}

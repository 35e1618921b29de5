//! A model behind a server, asked by its name.
//!
//! Replies come from chat completions. Likelihoods are offered by some servers only, in two forms, and
//! each is looked for by asking once:
//! - of plain text by OpenAI's completions with `echo` and `logprobs`;
//! - of a reply in a chat by `prompt_logprobs` with `continue_final_message`, as vLLM has them: the
//!   server renders its own template, so none is needed here.
//!
//! `steadfast serve` offers both, and vLLM documents both; OpenAI and Together offer neither.

use super::subject::{Ask, Likelihood, Prompt, Subject};
use crate::conversations::Message;
use crate::providers::chat::{self, Chat, Dialect, Said};
use crate::providers::connection::Connection;
use crate::providers::requests::{Reading, Refused, Requests, exchange, runtime};
use crate::providers::retry::Patience;
use crate::{Error, Result};
use reqwest::Client;
use reqwest::redirect::Policy;
use serde_json::{Value, json};
use std::cell::{Cell, OnceCell};

/// Most bytes of a response: a long prompt with a log-probability a token.
const MOST_BYTES: usize = 32 << 20;

const GIVEN_UP: &str = "start the same command again; a study keeps the suites that it has measured. Check the network, \
     the base URL and that the model can be asked, or lower `concurrency`";

/// What a server tells of texts that it did not write.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Offered {
    /// Likelihoods of plain text.
    pub text: bool,
    /// Likelihoods of replies in a chat.
    pub chat: bool,
}

impl Offered {
    /// Whether all that the scorers ask for is offered.
    pub fn all(self) -> bool {
        self.text && self.chat
    }
}

/// A model behind a server.
#[derive(Debug)]
pub struct HostedSubject<'a> {
    /// Its name there.
    pub model: &'a str,
    connection: &'a Connection,
    concurrency: usize,
    patience: Patience,
    offered: OnceCell<Offered>,
    dialect: Cell<Dialect>,
}

impl<'a> HostedSubject<'a> {
    /// A model there; so many questions are under way together.
    pub fn new(
        connection: &'a Connection,
        model: &'a str,
        concurrency: usize,
        patience: Patience,
    ) -> Self {
        Self {
            model,
            connection,
            concurrency,
            patience,
            offered: OnceCell::new(),
            dialect: Cell::default(),
        }
    }

    /// Where it is.
    pub fn place(&self) -> String {
        self.connection.base()
    }

    /// What the server tells, asked once.
    ///
    /// # Errors
    /// When it cannot be reached.
    pub fn offered(&self) -> Result<Offered> {
        if let Some(offered) = self.offered.get() {
            return Ok(*offered);
        }
        let probe = |prompt: Prompt| Ask {
            prompt,
            continuations: vec![" Paris".to_owned()],
        };
        let question = "The capital of France is";
        let message = Message::new(crate::conversations::Role::User, question);
        let asks = [
            probe(Prompt::Text(question.to_owned())),
            probe(Prompt::Chat(vec![message])),
        ];
        let answers = self.all_likelihoods(&asks, &mut |_| {})?;
        let told = |index: usize| answers.get(index).is_some_and(|answer| !answer.is_empty());
        Ok(*self.offered.get_or_init(|| Offered {
            text: told(0),
            chat: told(1),
        }))
    }

    fn run<T>(
        &self,
        count: usize,
        ask: impl AsyncFn(&Run<'_>, usize) -> Result<Option<T>>,
        on_answer: &mut dyn FnMut(usize, T) -> Result<()>,
    ) -> Result<()> {
        let seed = u64::from(std::process::id());
        let run = Run {
            client: self.connection.client(Policy::default())?,
            requests: Requests::new(self.connection, self.patience, seed, GIVEN_UP),
        };
        let each = async |index: usize| ask(&run, index).await;
        runtime(&self.connection.who)?.block_on(run.requests.all(
            count,
            self.concurrency,
            each,
            on_answer,
        ))
    }

    async fn reply(
        &self,
        run: &Run<'_>,
        messages: &Value,
        max_tokens: u64,
    ) -> Result<Option<Said>> {
        let chat = Chat {
            client: &run.client,
            connection: self.connection,
            model: self.model,
            dialect: &self.dialect,
            most_bytes: MOST_BYTES,
        };
        let attempt = async || chat.ask(messages, max_tokens, 0.0).await;
        run.requests.until_answered(attempt).await
    }

    /// A JSON answer; `Null` where the server does not take the request.
    async fn told(&self, run: &Run<'_>, path: &str, body: &Value) -> Result<Option<Value>> {
        let who = self.connection.who.as_str();
        let attempt = async || {
            let request = run.client.post(self.connection.url(path)).json(body);
            let response = match exchange(request, who, MOST_BYTES).await {
                Ok(response) => response,
                Err(reading) => return reading.unanswered(),
            };
            if response.status.is_success() {
                // What is no JSON tells nothing either.
                return Reading::Answer(serde_json::from_slice(&response.body).unwrap_or_default());
            }
            let refused = Refused::read(response.status, &response.body);
            match response.status.as_u16() {
                status @ (401 | 403) => Reading::Never(chat::lasting(who, status, &refused)),
                _ => refused
                    .passing(response.status, &response.headers)
                    .unwrap_or(Reading::Answer(Value::Null)),
            }
        };
        run.requests.until_answered(attempt).await
    }

    /// Likelihoods of all continuations, whether or not they are offered.
    fn all_likelihoods(
        &self,
        asks: &[Ask],
        on_done: &mut dyn FnMut(usize),
    ) -> Result<Vec<Vec<Likelihood>>> {
        let mut found = vec![Vec::new(); asks.len()];
        let mut done = 0;
        self.run(
            asks.len(),
            async |run, index| self.of_ask(run, &asks[index]).await,
            &mut |index, likelihoods: Option<Vec<Likelihood>>| {
                done += 1;
                on_done(done);
                found[index] = likelihoods.unwrap_or_default();
                Ok(())
            },
        )?;
        Ok(found)
    }

    /// Those of one ask, one after the other; nothing where any of them is not told, since a choice among
    /// some is none among all.
    async fn of_ask(&self, run: &Run<'_>, ask: &Ask) -> Result<Option<Option<Vec<Likelihood>>>> {
        let mut likelihoods = Vec::new();
        let mut read = None;
        for continuation in &ask.continuations {
            let told = match &ask.prompt {
                Prompt::Text(text) => {
                    let body = text_body(self.model, text, continuation);
                    let told = self.told(run, "completions", &body).await?;
                    told.map(|value| of_text(&value, text, continuation))
                }
                Prompt::Chat(messages) => {
                    if read.is_none() {
                        let body = chat_body(self.model, messages, None);
                        let Some(value) = self.told(run, chat::PATH, &body).await? else {
                            return Ok(None);
                        };
                        read = value["prompt_logprobs"].as_array().map(Vec::len);
                    }
                    let Some(before) = read else {
                        return Ok(Some(None));
                    };
                    let body = chat_body(self.model, messages, Some(continuation));
                    let told = self.told(run, chat::PATH, &body).await?;
                    told.map(|value| of_chat(&value, before))
                }
            };
            match told {
                None => return Ok(None),
                Some(None) => return Ok(Some(None)),
                Some(Some(likelihood)) => likelihoods.push(likelihood),
            }
        }
        Ok(Some(Some(likelihoods)))
    }
}

/// One batch of questions.
struct Run<'a> {
    client: Client,
    requests: Requests<'a>,
}

impl Subject for HostedSubject<'_> {
    fn replies(
        &self,
        prompts: &[Prompt],
        max_tokens: usize,
        on_done: &mut dyn FnMut(usize),
    ) -> Result<Vec<String>> {
        let messages: Vec<Value> = prompts
            .iter()
            .map(|prompt| match prompt {
                Prompt::Chat(messages) => Ok(turns(messages)),
                Prompt::Text(_) => Err(Error::bug("a hosted model was asked to go on from a text")),
            })
            .collect::<Result<_>>()?;
        let mut replies = vec![String::new(); prompts.len()];
        let mut done = 0;
        self.run(
            prompts.len(),
            async |run, index| self.reply(run, &messages[index], max_tokens as u64).await,
            &mut |index, said: Said| {
                done += 1;
                on_done(done);
                replies[index] = said.text;
                Ok(())
            },
        )?;
        Ok(replies)
    }

    fn likelihoods(
        &self,
        asks: &[Ask],
        on_done: &mut dyn FnMut(usize),
    ) -> Result<Vec<Vec<Likelihood>>> {
        if asks.is_empty() {
            return Ok(Vec::new());
        }
        let offered = self.offered()?;
        let told = |index: &usize| match asks[*index].prompt {
            Prompt::Chat(_) => offered.chat,
            Prompt::Text(_) => offered.text,
        };
        let asked: Vec<usize> = (0..asks.len()).filter(told).collect();
        let left: Vec<Ask> = asked.iter().map(|index| asks[*index].clone()).collect();
        let mut found = vec![Vec::new(); asks.len()];
        for (index, likelihoods) in asked.into_iter().zip(self.all_likelihoods(&left, on_done)?) {
            found[index] = likelihoods;
        }
        on_done(asks.len());
        Ok(found)
    }
}

/// Roles and contents alone: whether a turn is learnt is none of the server's business.
fn turns(messages: &[Message]) -> Value {
    messages
        .iter()
        .map(|message| json!({"role": message.role, "content": message.content}))
        .collect()
}

fn text_body(model: &str, text: &str, continuation: &str) -> Value {
    // Some servers write at least one token; it is cut off below.
    json!({
        "model": model,
        "prompt": format!("{text}{continuation}"),
        "max_tokens": 1,
        "temperature": 0,
        "echo": true,
        "logprobs": 1,
    })
}

/// The tokens of the echoed prompt that are the continuation's, by their places in characters.
pub(crate) fn of_text(value: &Value, text: &str, continuation: &str) -> Option<Likelihood> {
    let told = &value["choices"].get(0)?["logprobs"];
    let offsets = told["text_offset"].as_array()?;
    let values = told["token_logprobs"].as_array()?;
    let tops = told["top_logprobs"].as_array()?;
    // What a server puts before the text (`<bos>`) moves all of it.
    let echoed = value["choices"].get(0)?["text"].as_str();
    let before = echoed.and_then(|echoed| Some(echoed[..echoed.find(text)?].chars().count()));
    let seam = (before.unwrap_or(0) + text.chars().count()) as u64;
    let end = seam + continuation.chars().count() as u64;
    let mut likelihood = Likelihood {
        log_probability: 0.0,
        tokens: 0,
        greedy: true,
    };
    for (index, offset) in offsets.iter().enumerate() {
        let start = offset.as_u64()?;
        let next = offsets
            .get(index + 1)
            .and_then(Value::as_u64)
            .unwrap_or(u64::MAX);
        // A token that begins before the seam and ends behind it speaks for both.
        if next <= seam || start >= end {
            continue;
        }
        let own = values.get(index)?.as_f64()?;
        let best = tops
            .get(index)?
            .as_object()?
            .values()
            .filter_map(Value::as_f64)
            .fold(f64::NEG_INFINITY, f64::max);
        likelihood.log_probability += own;
        likelihood.tokens += 1;
        likelihood.greedy &= own >= best - 1e-6;
    }
    (likelihood.tokens > 0).then_some(likelihood)
}

fn chat_body(model: &str, messages: &[Message], continuation: Option<&str>) -> Value {
    let mut turns = turns(messages);
    if let (Some(text), Some(list)) = (continuation, turns.as_array_mut()) {
        list.push(json!({"role": "assistant", "content": text}));
    }
    json!({
        "model": model,
        "messages": turns,
        "max_tokens": 1,
        "temperature": 0,
        "prompt_logprobs": 1,
        "add_generation_prompt": continuation.is_none(),
        "continue_final_message": continuation.is_some(),
    })
}

/// The tokens behind the `before` ones that the conversation has without its last turn.
pub(crate) fn of_chat(value: &Value, before: usize) -> Option<Likelihood> {
    let told = value["prompt_logprobs"].as_array()?;
    let mut likelihood = Likelihood {
        log_probability: 0.0,
        tokens: 0,
        greedy: true,
    };
    for token in told.get(before..)? {
        // The token that stands there comes first, then the likeliest.
        let (_, own) = token.as_object()?.iter().next()?;
        likelihood.log_probability += own["logprob"].as_f64()?;
        likelihood.tokens += 1;
        likelihood.greedy &= own["rank"] == 1;
    }
    (likelihood.tokens > 0).then_some(likelihood)
}

#[cfg(test)]
mod tests;

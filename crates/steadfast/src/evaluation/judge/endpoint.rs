//! A judge behind any server that speaks OpenAI's chat protocol.
//!
//! Many questions are under way together on one thread. A server that is busy makes all of them wait;
//! one that fails is asked again with growing waits; one that fails for good ends the run after the
//! answers under way have come in, for they are paid for.

use super::price::{Price, Purse};
use super::request::{self, Dialect, Reading};
use super::retry::{Backoff, Patience};
use super::{Answer, Judge, OnAnswer, Question};
use crate::{Error, Result};
use futures_util::StreamExt;
use reqwest::header::{AUTHORIZATION, HeaderMap, HeaderValue};
use reqwest::{Client, Url};
use std::cell::{Cell, RefCell};
use std::fmt;
use std::pin::pin;
use std::time::Duration;
use tokio::time::Instant;

/// OpenAI's own address.
pub const OPENAI: &str = "https://api.openai.com/v1";
/// Most bytes of a response: a verdict needs a thousandth of it.
const MOST_BYTES: usize = 1 << 20;
/// How often a question that lacks money looks whether some was given back.
const MONEY: Duration = Duration::from_millis(20);

/// How an endpoint is asked.
#[derive(Clone, Debug, PartialEq)]
pub struct Asking {
    /// The model's name there.
    pub model: String,
    /// Dollars for a million tokens, if known.
    pub price: Option<Price>,
    /// Most dollars of one run.
    pub max_cost: Option<f64>,
    /// Questions under way together.
    pub concurrency: usize,
    /// Most tokens of an answer.
    pub answer_tokens: u64,
    /// Longest wait for one answer.
    pub timeout: Duration,
    /// How often, and after what waits, a question is asked again.
    pub patience: Patience,
    /// Of the jitter.
    pub seed: u64,
}

/// A key, which no message shows.
pub struct Key(String);

impl Key {
    /// From the environment; an empty variable is none.
    pub fn from_environment(variable: &str) -> Option<Self> {
        std::env::var(variable)
            .ok()
            .map(|key| key.trim().to_owned())
            .filter(|key| !key.is_empty())
            .map(Self)
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Key(…)")
    }
}

/// A judge behind a server.
#[derive(Debug)]
pub struct Endpoint {
    asking: Asking,
    address: Url,
    key: Option<Key>,
    name: String,
    purse: RefCell<Purse>,
}

impl Endpoint {
    /// A judge at `base` (`https://…/v1`).
    ///
    /// # Errors
    /// When `base` is no address, or when a spending cap is asked for and no price is known.
    pub fn new(asking: Asking, base: &str, key: Option<Key>) -> Result<Self> {
        let address = request::address(base)?;
        if asking.max_cost.is_some() && asking.price.is_none() {
            return Err(Error::user(format!(
                "no price is known for `{}` at {base}, so its cost cannot be capped",
                asking.model
            ))
            .field("--max-cost")
            .hint("add --judge-price IN,OUT, dollars for a million tokens (0,0 where nothing is charged)"));
        }
        Ok(Self {
            name: format!("openai:{}", asking.model),
            purse: RefCell::new(Purse::new(asking.max_cost)),
            address,
            key,
            asking,
        })
    }

    /// Dollars spent so far.
    pub fn spent(&self) -> f64 {
        self.purse.borrow().spent()
    }

    fn client(&self) -> Result<Client> {
        let mut headers = HeaderMap::new();
        if let Some(Key(key)) = &self.key {
            let mut value = HeaderValue::try_from(format!("Bearer {key}")).map_err(|_| {
                Error::user("the judge's key holds characters that no key has")
                    .hint("set the variable again, without line ends or quotes")
            })?;
            value.set_sensitive(true);
            headers.insert(AUTHORIZATION, value);
        }
        let mut builder = Client::builder()
            .default_headers(headers)
            .timeout(self.asking.timeout)
            .connect_timeout(self.asking.timeout.min(Duration::from_secs(15)))
            .user_agent(concat!("steadfast/", env!("CARGO_PKG_VERSION")));
        // A server on this machine is never behind a proxy.
        if self.is_here() {
            builder = builder.no_proxy();
        }
        builder
            .build()
            .map_err(|cause| Error::outside("cannot start the judge's client").because(cause))
    }

    fn is_here(&self) -> bool {
        is_here(&self.address)
    }

    /// A server's message may repeat the key.
    fn without_key(&self, mut error: Error) -> Error {
        if let Some(Key(key)) = &self.key {
            error.message = error.message.replace(key.as_str(), "…");
        }
        error
    }
}

/// Is this address on this machine?
pub fn is_here(address: &Url) -> bool {
    matches!(
        address.host_str(),
        Some("localhost" | "127.0.0.1" | "[::1]" | "0.0.0.0")
    )
}

impl Judge for Endpoint {
    fn name(&self) -> &str {
        &self.name
    }

    fn identity(&self) -> String {
        format!(
            "{} at {}, {} tokens",
            self.name, self.address, self.asking.answer_tokens
        )
    }

    fn estimate(&self, question: &Question) -> Option<f64> {
        self.asking.price.map(|price| price.likely(question))
    }

    fn answer(&self, questions: &[Question], on_answer: &mut OnAnswer<'_>) -> Result<()> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|cause| Error::outside("cannot start the judge's client").because(cause))?;
        let run = Run {
            endpoint: self,
            client: self.client()?,
            dialect: Cell::default(),
            backoff: RefCell::new(Backoff::new(self.asking.patience, self.asking.seed)),
            not_before: Cell::new(None),
            stopped: Cell::new(false),
        };
        runtime
            .block_on(run.all(questions, on_answer))
            .map_err(|error| self.without_key(error))
    }
}

/// One call of [`Judge::answer`].
struct Run<'a> {
    endpoint: &'a Endpoint,
    client: Client,
    dialect: Cell<Dialect>,
    backoff: RefCell<Backoff>,
    /// Until when all wait, because the server is busy.
    not_before: Cell<Option<Instant>>,
    /// Nothing new is sent any more.
    stopped: Cell<bool>,
}

impl Run<'_> {
    async fn all(&self, questions: &[Question], on_answer: &mut OnAnswer<'_>) -> Result<()> {
        let asked = futures_util::stream::iter(questions.iter().enumerate())
            .map(async |(index, question)| (index, self.ask(question).await))
            .buffer_unordered(self.endpoint.asking.concurrency.max(1));
        let mut asked = pin!(asked);
        let mut failure = None;
        while let Some((index, outcome)) = asked.next().await {
            let heard = outcome.and_then(|answer| match answer {
                Some(answer) => on_answer(index, answer),
                None => Ok(()),
            });
            if let Err(error) = heard {
                self.stopped.set(true);
                failure.get_or_insert(error);
            }
        }
        failure.map_or(Ok(()), Err)
    }

    /// `None` where the run was stopped before there was an answer.
    async fn ask(&self, question: &Question) -> Result<Option<Answer>> {
        let asking = &self.endpoint.asking;
        let most = asking
            .price
            .map_or(0.0, |price| price.most(question, asking.answer_tokens));
        let mut attempt = 0;
        loop {
            self.wait_for_turn().await;
            if self.stopped.get() || !self.take_money(most).await? {
                return Ok(None);
            }
            let settle = |cost| self.endpoint.purse.borrow_mut().settle(most, cost);
            let dialect = self.dialect.get();
            match self.attempt(question, dialect).await {
                Reading::Answer {
                    text,
                    input,
                    output,
                } => {
                    let cost = match (asking.price, input, output) {
                        (Some(price), Some(input), Some(output)) => price.of(input, output),
                        // Nobody counted: the most that it can have cost.
                        _ => most,
                    };
                    settle(cost);
                    return Ok(Some(Answer {
                        text,
                        input_tokens: input.unwrap_or(0),
                        output_tokens: output.unwrap_or(0),
                        cost,
                    }));
                }
                Reading::Again {
                    message,
                    wait,
                    charged,
                    all,
                } => {
                    settle(if charged { most } else { 0.0 });
                    attempt += 1;
                    let own = self.backoff.borrow_mut().wait(attempt);
                    let wait = wait.map_or(own, |asked| asked.max(own));
                    if attempt >= asking.patience.attempts || wait > self.too_long() {
                        return Err(self.given_up(attempt, wait, &message));
                    }
                    if all {
                        let until = Instant::now() + wait;
                        let later = self.not_before.get().map_or(until, |old| old.max(until));
                        self.not_before.set(Some(later));
                    } else {
                        tokio::time::sleep(wait).await;
                    }
                }
                Reading::Other(dialect) => {
                    settle(0.0);
                    self.dialect.set(Dialect {
                        max_tokens: dialect.max_tokens && self.dialect.get().max_tokens,
                        temperature: dialect.temperature && self.dialect.get().temperature,
                    });
                }
                Reading::Never(error) => {
                    settle(0.0);
                    return Err(error);
                }
            }
        }
    }

    /// A server may ask for a little more than our own longest wait, not for an hour.
    fn too_long(&self) -> Duration {
        self.endpoint.asking.patience.longest * 2
    }

    fn given_up(&self, attempts: u32, wait: Duration, message: &str) -> Error {
        let why = if wait > self.too_long() {
            format!("asks to wait {} seconds", wait.as_secs())
        } else {
            format!("has failed {attempts} times")
        };
        Error::outside(format!("the judge {} {why}: {message}", self.endpoint.name)).hint(
            "every verdict so far is kept: the same command goes on from here. Check the network and \
             the base URL, or lower the judge's concurrency",
        )
    }

    async fn wait_for_turn(&self) {
        while let Some(until) = self
            .not_before
            .get()
            .filter(|until| *until > Instant::now())
        {
            if self.stopped.get() {
                return;
            }
            tokio::time::sleep_until(until).await;
        }
    }

    /// Sets money aside; waits for what questions under way give back. `false` when stopped.
    async fn take_money(&self, most: f64) -> Result<bool> {
        loop {
            let taken = self.endpoint.purse.borrow_mut().set_aside(most);
            match taken {
                Ok(()) => return Ok(true),
                Err(error) if !self.endpoint.purse.borrow().is_any_set_aside() => {
                    return Err(error);
                }
                Err(_) if self.stopped.get() => return Ok(false),
                Err(_) => tokio::time::sleep(MONEY).await,
            }
        }
    }

    async fn attempt(&self, question: &Question, dialect: Dialect) -> Reading {
        let asking = &self.endpoint.asking;
        let body = request::body(&asking.model, question, asking.answer_tokens, dialect);
        let sent = self
            .client
            .post(self.endpoint.address.clone())
            .json(&body)
            .send()
            .await;
        let mut response = match sent {
            Ok(response) => response,
            Err(cause) => return broken(&cause),
        };
        let mut bytes = Vec::new();
        loop {
            match response.chunk().await {
                Ok(Some(chunk)) if bytes.len() + chunk.len() <= MOST_BYTES => bytes.extend(chunk),
                Ok(Some(_)) => {
                    return Reading::Again {
                        message: format!("the answer is longer than {MOST_BYTES} bytes"),
                        wait: None,
                        charged: true,
                        all: false,
                    };
                }
                Ok(None) => break,
                Err(cause) => return broken(&cause),
            }
        }
        request::read(response.status(), response.headers(), &bytes, dialect)
    }
}

/// A connection that failed. Only one that never came about has surely cost nothing.
fn broken(cause: &reqwest::Error) -> Reading {
    let mut message = cause.to_string();
    let mut beneath = std::error::Error::source(cause);
    while let Some(inner) = beneath {
        message = format!("{message}: {inner}");
        beneath = inner.source();
    }
    if cause.is_builder() {
        return Reading::Never(
            Error::user(format!("the judge cannot be asked: {message}"))
                .hint("check the base URL and the key"),
        );
    }
    Reading::Again {
        message,
        wait: None,
        charged: !cause.is_connect(),
        all: false,
    }
}

#[cfg(test)]
mod tests;

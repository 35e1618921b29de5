//! Requests to one service, many under way together on one thread. A service that is busy makes all
//! of them wait; one that fails is asked again with growing waits; one that fails for good ends them.

use super::connection::Connection;
use super::purse::Purse;
use super::retry::{Backoff, Patience, asked_to_wait};
use crate::{Error, Result};
use futures_util::StreamExt;
use jiff::Timestamp;
use reqwest::header::HeaderMap;
use reqwest::{RequestBuilder, StatusCode};
use serde_json::Value;
use std::cell::{Cell, RefCell};
use std::pin::pin;
use std::time::Duration;
use tokio::runtime::Runtime;
use tokio::time::Instant;

/// How often a request that lacks money looks whether some was given back.
const MONEY: Duration = Duration::from_millis(20);

/// What one attempt came to.
#[derive(Debug)]
pub enum Reading<T> {
    /// An answer.
    Answer(T),
    /// Something that may pass.
    Again {
        /// What happened.
        message: String,
        /// What the service asks to wait.
        wait: Option<Duration>,
        /// The service may have done the work, and may charge for it.
        charged: bool,
        /// Others should wait too: the service has too much to do.
        all: bool,
    },
    /// The service takes another form of the request, which is sent at once.
    Otherwise,
    /// Asking again is of no use.
    Never(Error),
}

/// A whole response.
#[derive(Debug)]
pub struct Response {
    /// Its status.
    pub status: StatusCode,
    /// Its headers.
    pub headers: HeaderMap,
    /// Its body.
    pub body: Vec<u8>,
}

/// Sends one request and reads at most `most` bytes of its response; a failed connection is read here.
pub async fn exchange(
    request: RequestBuilder,
    who: &str,
    most: usize,
) -> Result<Response, Reading<Response>> {
    let mut response = request.send().await.map_err(|cause| broken(who, &cause))?;
    let (status, headers) = (response.status(), response.headers().clone());
    let mut body = Vec::new();
    while let Some(chunk) = response
        .chunk()
        .await
        .map_err(|cause| broken(who, &cause))?
    {
        if body.len() + chunk.len() > most {
            return Err(Reading::Again {
                message: format!("the answer is longer than {most} bytes"),
                wait: None,
                charged: true,
                all: false,
            });
        }
        body.extend(chunk);
    }
    Ok(Response {
        status,
        headers,
        body,
    })
}

/// A connection that failed. Only one that never came about has surely cost nothing.
fn broken<T>(who: &str, cause: &reqwest::Error) -> Reading<T> {
    // An address may be signed: the part after `?` lets whoever reads it do what it was made for.
    let mut message = cause.to_string();
    if let Some(url) = cause.url() {
        let mut plain = url.clone();
        plain.set_query(None);
        message = message.replace(url.as_str(), plain.as_str());
    }
    let mut beneath = std::error::Error::source(cause);
    while let Some(inner) = beneath {
        message = format!("{message}: {inner}");
        beneath = inner.source();
    }
    if cause.is_builder() {
        return Reading::Never(
            Error::user(format!("{who} cannot be asked: {message}"))
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

impl<T> Reading<T> {
    /// The same with another answer, where there is none yet.
    pub fn unanswered<U>(self) -> Reading<U> {
        match self {
            Self::Answer(_) => Reading::Never(Error::bug("an answer was read as none")),
            Self::Again {
                message,
                wait,
                charged,
                all,
            } => Reading::Again {
                message,
                wait,
                charged,
                all,
            },
            Self::Otherwise => Reading::Otherwise,
            Self::Never(error) => Reading::Never(error),
        }
    }
}

/// A refusal in the service's own words.
#[derive(Debug)]
pub struct Refused {
    /// The status and what was said.
    pub message: String,
    /// Only what was said.
    pub said: String,
    /// `error.code`, or nothing.
    pub code: String,
    /// `error.type`, or nothing.
    pub kind: String,
    /// `error.param`, or nothing.
    pub param: String,
}

impl Refused {
    /// Reads OpenAI's error object, or the beginning of whatever stands there.
    pub fn read(status: StatusCode, body: &[u8]) -> Self {
        let value: Value = serde_json::from_slice(body).unwrap_or_default();
        let error = &value["error"];
        let word = |name: &str| error[name].as_str().unwrap_or_default().to_owned();
        let said = error["message"]
            .as_str()
            .or(error.as_str())
            .or(value["message"].as_str())
            .or(value["detail"].as_str())
            .map_or_else(|| beginning(body), str::to_owned);
        Self {
            message: format!("{status}: {said}"),
            code: word("code"),
            kind: word("type"),
            param: word("param"),
            said,
        }
    }

    /// What may pass: too many requests, a timeout, a failure of the service. `None` where asking
    /// again is of no use, for it was refused for good.
    pub fn passing<T>(&self, status: StatusCode, headers: &HeaderMap) -> Option<Reading<T>> {
        if !matches!(status.as_u16(), 408 | 409 | 425 | 429 | 500..=599) || self.no_money_left() {
            return None;
        }
        Some(Reading::Again {
            message: self.message.clone(),
            wait: asked_to_wait(headers, Timestamp::now()),
            charged: false,
            all: matches!(status.as_u16(), 429 | 503),
        })
    }

    /// The account, not the service, is exhausted.
    pub fn no_money_left(&self) -> bool {
        [self.code.as_str(), self.kind.as_str()].contains(&"insufficient_quota")
    }
}

/// The first line or so of a body that is not in OpenAI's form.
fn beginning(body: &[u8]) -> String {
    let text = String::from_utf8_lossy(&body[..body.len().min(800)]);
    let line: String = text.split_whitespace().collect::<Vec<_>>().join(" ");
    let short: String = line.chars().take(160).collect();
    if short.is_empty() {
        "no explanation".into()
    } else {
        short
    }
}

/// A runtime on this thread.
///
/// # Errors
/// When the system gives none.
pub fn runtime(who: &str) -> Result<Runtime> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|cause| Error::outside(format!("cannot start the client of {who}")).because(cause))
}

/// Requests that wait for one another.
#[derive(Debug)]
pub struct Requests<'a> {
    connection: &'a Connection,
    patience: Patience,
    /// What to do after it was given up on.
    hint: &'a str,
    /// What they are paid from; nothing where nobody counts.
    purse: Option<&'a RefCell<Purse>>,
    backoff: RefCell<Backoff>,
    /// Until when all wait, because the service is busy.
    not_before: Cell<Option<Instant>>,
    /// Nothing new is sent any more.
    stopped: Cell<bool>,
}

impl<'a> Requests<'a> {
    /// Requests whose cost nobody counts. `seed` is that of the jitter; `hint` says what to do when the
    /// service was given up on.
    pub fn new(connection: &'a Connection, patience: Patience, seed: u64, hint: &'a str) -> Self {
        Self {
            connection,
            patience,
            hint,
            purse: None,
            backoff: RefCell::new(Backoff::new(patience, seed)),
            not_before: Cell::new(None),
            stopped: Cell::new(false),
        }
    }

    /// The same, paid from `purse`.
    pub fn paid_from(self, purse: &'a RefCell<Purse>) -> Self {
        Self {
            purse: Some(purse),
            ..self
        }
    }

    /// Asks for each index below `count`, so many under way together; `on_answer` hears each answer.
    /// After a failure those under way come in before it is told, for they are paid for.
    ///
    /// # Errors
    /// The first failure, of a request or of `on_answer`.
    pub async fn all<T>(
        &self,
        count: usize,
        together: usize,
        ask: impl AsyncFn(usize) -> Result<Option<T>>,
        on_answer: &mut dyn FnMut(usize, T) -> Result<()>,
    ) -> Result<()> {
        let ask = &ask;
        let asked = futures_util::stream::iter(0..count)
            .map(async |index| (index, ask(index).await))
            .buffer_unordered(together.max(1));
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

    /// Attempts until there is an answer; `None` where all were stopped before.
    ///
    /// # Errors
    /// When the service refuses for good, or was asked too often.
    pub async fn until_answered<T>(
        &self,
        attempt: impl AsyncFn() -> Reading<T>,
    ) -> Result<Option<T>> {
        let answered = self.until_paid(0.0, attempt, |_| None).await?;
        Ok(answered.map(|(answer, _)| answer))
    }

    /// As [`Requests::until_answered`], with what the answer cost. `most` dollars are set
    /// aside for each attempt and settled at what `cost` says of its answer (`None`: all of it).
    ///
    /// # Errors
    /// When the service refuses for good, was asked too often, or the purse is empty.
    pub async fn until_paid<T>(
        &self,
        most: f64,
        attempt: impl AsyncFn() -> Reading<T>,
        cost: impl Fn(&T) -> Option<f64>,
    ) -> Result<Option<(T, f64)>> {
        let settle = |cost| {
            if let Some(purse) = self.purse {
                purse.borrow_mut().settle(most, cost);
            }
        };
        let mut attempts = 0;
        loop {
            self.wait_for_turn().await;
            if self.stopped.get() || !self.take_money(most).await? {
                return Ok(None);
            }
            match attempt().await {
                Reading::Answer(answer) => {
                    // Where nobody counted: the most that it can have cost.
                    let cost = cost(&answer).unwrap_or(most);
                    settle(cost);
                    return Ok(Some((answer, cost)));
                }
                Reading::Again {
                    message,
                    wait,
                    charged,
                    all,
                } => {
                    settle(if charged { most } else { 0.0 });
                    attempts += 1;
                    let own = self.backoff.borrow_mut().wait(attempts);
                    let wait = wait.map_or(own, |asked| asked.max(own));
                    if attempts >= self.patience.attempts || wait > self.too_long() {
                        return Err(self.given_up(attempts, wait, &message));
                    }
                    if all {
                        let until = Instant::now() + wait;
                        let later = self.not_before.get().map_or(until, |old| old.max(until));
                        self.not_before.set(Some(later));
                    } else {
                        tokio::time::sleep(wait).await;
                    }
                }
                Reading::Otherwise => settle(0.0),
                Reading::Never(mut error) => {
                    settle(0.0);
                    error.message = self.connection.without_key(&error.message);
                    return Err(error);
                }
            }
        }
    }

    /// A service may ask for a little more than our own longest wait, not for an hour.
    fn too_long(&self) -> Duration {
        self.patience.longest * 2
    }

    fn given_up(&self, attempts: u32, wait: Duration, message: &str) -> Error {
        let why = if wait > self.too_long() {
            format!("asks to wait {} seconds", wait.as_secs())
        } else {
            format!("has failed {attempts} times")
        };
        let message = self.connection.without_key(message);
        Error::outside(format!("{} {why}: {message}", self.connection.who)).hint(self.hint)
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

    /// Sets money aside; waits for what requests under way give back. `false` when stopped.
    async fn take_money(&self, most: f64) -> Result<bool> {
        let Some(purse) = self.purse else {
            return Ok(true);
        };
        loop {
            let taken = purse.borrow_mut().set_aside(most);
            match taken {
                Ok(()) => return Ok(true),
                Err(error) if !purse.borrow().is_any_set_aside() => return Err(error),
                Err(_) if self.stopped.get() => return Ok(false),
                Err(_) => tokio::time::sleep(MONEY).await,
            }
        }
    }
}

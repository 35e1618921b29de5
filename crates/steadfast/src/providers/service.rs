//! Calls to a service, one after the other, each attempted until it is answered.

use super::chat::lasting;
use super::connection::Connection;
use super::job::Creation;
use super::requests::{Reading, Refused, Requests, Response, exchange, runtime};
use super::retry::Patience;
use crate::{Error, Result};
use reqwest::header::CONTENT_TYPE;
use reqwest::redirect::Policy;
use reqwest::{Client, Method, RequestBuilder, Url};
use serde_json::Value;
use std::time::Duration;
use tokio::runtime::Runtime;

/// Most bytes of a response.
const MOST_BYTES: usize = 16 << 20;

/// Longest wait for an upload: a slow line and a large file.
const UPLOAD: Duration = Duration::from_secs(1800);

const GIVEN_UP: &str = "what is done so far is on record: the same command goes on from here. Check the network and the base URL";

/// A service that is asked one thing at a time.
#[derive(Debug)]
pub struct Service {
    connection: Connection,
    client: Client,
    runtime: Runtime,
    patience: Patience,
}

/// A multipart form.
#[derive(Clone, Debug, Default)]
pub struct Form {
    body: Vec<u8>,
}

impl Form {
    /// No part of data that is JSON Lines is this line: it is no JSON.
    const BOUNDARY: &'static str = "----steadfast-7d1f0c6e5b2a4938";

    /// With one more field.
    pub fn field(mut self, name: &str, value: &str) -> Self {
        self.part(&format!("form-data; name=\"{name}\""), value.as_bytes());
        self
    }

    /// With a file.
    pub fn file(mut self, name: &str, filename: &str, bytes: &[u8]) -> Self {
        let about = format!(
            "form-data; name=\"{name}\"; filename=\"{filename}\"\r\nContent-Type: application/jsonl"
        );
        self.part(&about, bytes);
        self
    }

    fn part(&mut self, about: &str, bytes: &[u8]) {
        let head = format!(
            "--{}\r\nContent-Disposition: {about}\r\n\r\n",
            Self::BOUNDARY
        );
        self.body.extend(head.as_bytes());
        self.body.extend(bytes);
        self.body.extend(b"\r\n");
    }

    fn request(&self, request: RequestBuilder) -> RequestBuilder {
        let kind = format!("multipart/form-data; boundary={}", Self::BOUNDARY);
        let end = format!("--{}--\r\n", Self::BOUNDARY);
        let body = [self.body.as_slice(), end.as_bytes()].concat();
        request.header(CONTENT_TYPE, kind).body(body)
    }
}

impl Service {
    /// Over a connection. It follows no redirect by itself: the key is for this service alone.
    ///
    /// # Errors
    /// When no client can be made.
    pub fn new(connection: Connection, patience: Patience) -> Result<Self> {
        Ok(Self {
            client: connection.client(Policy::none())?,
            runtime: runtime(&connection.who)?,
            connection,
            patience,
        })
    }

    /// The address that is asked.
    pub fn base_url(&self) -> String {
        self.connection.base()
    }

    /// The path of an address below the base, if it is one: only there the key may go.
    pub fn path_of(&self, address: &str) -> Option<String> {
        let rest = address.strip_prefix(&self.connection.base())?;
        rest.strip_prefix('/').map(str::to_owned)
    }

    /// How messages call it.
    pub fn who(&self) -> &str {
        &self.connection.who
    }

    /// How often, and after what waits, it is asked again.
    pub fn patience(&self) -> Patience {
        self.patience
    }

    /// GET. `what` says in an error what was wanted (`show the job ftjob-1`).
    ///
    /// # Errors
    /// When the service refuses, or was asked too often.
    pub fn get(&self, what: &str, path: &str) -> Result<Value> {
        let make = || self.client.get(self.connection.url(path));
        self.call(make, |response| self.json(what, response))
    }

    /// POST of something that may be done twice without harm.
    ///
    /// # Errors
    /// As [`Service::get`].
    pub fn post(&self, what: &str, path: &str, body: &Value) -> Result<Value> {
        let make = || self.client.post(self.connection.url(path)).json(body);
        self.call(make, |response| self.json(what, response))
    }

    /// POST of a form.
    ///
    /// # Errors
    /// As [`Service::get`].
    pub fn post_form<T>(
        &self,
        path: &str,
        form: &Form,
        read: impl Fn(&Response) -> Reading<T>,
    ) -> Result<T> {
        let make = || {
            let request = self.client.post(self.connection.url(path));
            form.request(request.timeout(UPLOAD))
        };
        self.call(make, read)
    }

    /// Any request that may be made twice without harm: `dress` gives it what it carries, `read` says
    /// what its answer means.
    ///
    /// # Errors
    /// As [`Service::get`].
    pub fn ask<T>(
        &self,
        method: Method,
        path: &str,
        dress: impl Fn(RequestBuilder) -> RequestBuilder,
        read: impl Fn(&Response) -> Reading<T>,
    ) -> Result<T> {
        let make = || {
            dress(
                self.client
                    .request(method.clone(), self.connection.url(path)),
            )
        };
        self.call(make, read)
    }

    /// PUT of bytes to an address that the service sent us to; the key does not go along.
    ///
    /// # Errors
    /// As [`Service::get`].
    pub fn put(&self, what: &str, address: &Url, bytes: &[u8]) -> Result<()> {
        let dress = |request: RequestBuilder| request.body(bytes.to_vec());
        self.elsewhere(Method::PUT, address, dress, |response| {
            if response.status.is_success() {
                Reading::Answer(())
            } else {
                self.refusal(what, response)
            }
        })
    }

    /// Any request to an address that the service sent us to; the key does not go along.
    ///
    /// # Errors
    /// As [`Service::get`].
    pub fn elsewhere<T>(
        &self,
        method: Method,
        address: &Url,
        dress: impl Fn(RequestBuilder) -> RequestBuilder,
        read: impl Fn(&Response) -> Reading<T>,
    ) -> Result<T> {
        let client = self.connection.plain_client()?;
        let make = || {
            let request = client.request(method.clone(), address.clone());
            dress(request.timeout(UPLOAD))
        };
        self.call(make, read)
    }

    /// POST of something that must not be done twice: where the answer is lost, that is said rather than
    /// asked again. `made` reads the id of what was made.
    ///
    /// # Errors
    /// When the service refuses, or has surely not heard of it too often.
    pub fn create(
        &self,
        what: &str,
        path: &str,
        body: &Value,
        made: impl Fn(&Value) -> Option<String>,
    ) -> Result<Creation> {
        self.answered(async || {
            let request = self.client.post(self.connection.url(path)).json(body);
            let lost = |message: String| Reading::Answer(Creation::Unknown(message));
            match exchange(request, self.who(), MOST_BYTES).await {
                Err(Reading::Again {
                    message,
                    charged: true,
                    ..
                }) => lost(message),
                Err(reading) => reading.unanswered(),
                Ok(response) => match response.status.as_u16() {
                    // It had too much to do to look at it.
                    429 => self.refusal(what, &response),
                    408 | 409 | 425 | 500..=599 => {
                        lost(Refused::read(response.status, &response.body).message)
                    }
                    200..=299 => serde_json::from_slice(&response.body)
                        .ok()
                        .and_then(|value| made(&value))
                        .map_or_else(
                            || lost("the answer names no job".to_owned()),
                            |id| Reading::Answer(Creation::Made(id)),
                        ),
                    _ => self.refusal(what, &response),
                },
            }
        })
    }

    fn call<T>(
        &self,
        make: impl Fn() -> RequestBuilder,
        read: impl Fn(&Response) -> Reading<T>,
    ) -> Result<T> {
        self.answered(
            async || match exchange(make(), self.who(), MOST_BYTES).await {
                Ok(response) => read(&response),
                Err(reading) => reading.unanswered(),
            },
        )
    }

    fn answered<T>(&self, attempt: impl AsyncFn() -> Reading<T>) -> Result<T> {
        let seed = u64::from(std::process::id());
        let requests = Requests::new(&self.connection, self.patience, seed, GIVEN_UP);
        self.runtime
            .block_on(requests.until_answered(attempt))?
            .ok_or_else(|| Error::bug("a call was stopped that nobody stops"))
    }

    /// Reads a JSON answer.
    pub fn json(&self, what: &str, response: &Response) -> Reading<Value> {
        if !response.status.is_success() {
            return self.refusal(what, response);
        }
        match serde_json::from_slice(&response.body) {
            Ok(value) => Reading::Answer(value),
            Err(_) => Reading::Again {
                message: "the answer is not JSON".into(),
                wait: None,
                charged: false,
                all: false,
            },
        }
    }

    /// Reads a refusal, in the service's own words.
    pub fn refusal<T>(&self, what: &str, response: &Response) -> Reading<T> {
        let refused = Refused::read(response.status, &response.body);
        refused
            .passing(response.status, &response.headers)
            .unwrap_or_else(|| {
                Reading::Never(match response.status.as_u16() {
                    status @ (401 | 403 | 429) => lasting(self.who(), status, &refused),
                    404 => Error::user(format!("{} cannot {what}: {}", self.who(), refused.message))
                        .hint(format!("check the name and the base URL ({})", self.base_url())),
                    _ => Error::user(format!("{} refuses to {what}: {}", self.who(), refused.message))
                        .hint("what it says decides: mend the recipe or the data, and start the same command again"),
                })
            })
    }
}

//! What the server serves, to whom, and how much.

use crate::{Error, Result};
use std::net::{IpAddr, Ipv4Addr};
use std::path::PathBuf;
use std::time::Duration;

/// How `--adapter` is written.
const FORM: &str = "write NAME=DIR, such as hotel=adapters/hotel";

/// What is refused, and how long is waited.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Limits {
    /// Bytes of a request's body.
    pub body_bytes: usize,
    /// Requests that may wait beside those under way; more are told to come again.
    pub queue: usize,
    /// Requests that a key may make in a minute; `None` counts none.
    pub requests_per_minute: Option<u32>,
    /// Tokens of one reply.
    pub max_tokens: usize,
    /// How long a request may take.
    pub request_timeout: Duration,
    /// What a client that is turned away is told to wait.
    pub retry_after: Duration,
    /// Connections.
    pub connections: usize,
    /// Bytes that the keys and values of the replies under way may come to.
    pub cache_bytes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            body_bytes: 4 << 20,
            queue: 256,
            requests_per_minute: None,
            max_tokens: usize::MAX,
            request_timeout: Duration::from_secs(600),
            retry_after: Duration::from_secs(2),
            connections: 1024,
            cache_bytes: 2 << 30,
        }
    }
}

/// One server.
#[derive(Clone, Debug, PartialEq)]
pub struct ServeSettings {
    /// The base; `None` is the one that is always there.
    pub model: Option<String>,
    /// Adapters over it, by the names they are served as.
    pub adapters: Vec<(String, PathBuf)>,
    /// Where to listen.
    pub host: IpAddr,
    /// 0 is any that is free.
    pub port: u16,
    /// The file of keys.
    pub keys: Option<PathBuf>,
    /// Where files and jobs are kept; without it there are none.
    pub state: Option<PathBuf>,
    /// Replies written together.
    pub batch: usize,
    /// What is refused.
    pub limits: Limits,
}

/// What the flags of `serve` say, unchecked.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ServeFlags {
    /// `--model`
    pub model: Option<String>,
    /// `--adapter`, any number of times.
    pub adapters: Vec<String>,
    /// `--host`
    pub host: Option<String>,
    /// `--port`
    pub port: u16,
    /// `--keys`
    pub keys: Option<PathBuf>,
    /// `--state`
    pub state: Option<PathBuf>,
    /// `--batch`
    pub batch: usize,
    /// `--queue`
    pub queue: usize,
    /// `--rate`, requests a minute and key.
    pub rate: Option<u32>,
    /// `--max-tokens`
    pub max_tokens: Option<usize>,
    /// `--timeout`, seconds.
    pub timeout: u64,
}

impl ServeSettings {
    /// Checks the flags; all mistakes are reported at once.
    pub fn new(flags: ServeFlags) -> Result<Self> {
        let mut mistakes = Vec::new();
        let mut adapters: Vec<(String, PathBuf)> = Vec::new();
        for text in &flags.adapters {
            let parts = text.split_once('=');
            match parts.filter(|(name, folder)| is_name(name) && !folder.is_empty()) {
                None => mistakes.push(
                    Error::user(format!("`{text}` is no named adapter"))
                        .field("--adapter")
                        .hint(FORM),
                ),
                Some((name, _)) if adapters.iter().any(|(other, _)| other == name) => mistakes
                    .push(
                        Error::user(format!("two adapters are called `{name}`"))
                            .field("--adapter")
                            .hint("give each a name of its own"),
                    ),
                Some((name, folder)) => adapters.push((name.to_owned(), PathBuf::from(folder))),
            }
        }
        let host = match flags.host.as_deref() {
            None | Some("localhost") => Some(IpAddr::V4(Ipv4Addr::LOCALHOST)),
            Some(text) => text.parse().ok(),
        };
        match (host, &flags.keys) {
            (None, _) => mistakes.push(
                Error::user("the host is no address of this machine")
                    .field("--host")
                    .hint("give an address such as 127.0.0.1, ::1 or 0.0.0.0"),
            ),
            (Some(host), None) if !host.is_loopback() => mistakes.push(
                Error::user(format!("without keys, anybody who reaches {host} could ask"))
                    .field("--host")
                    .hint("add --keys FILE (make one with --new-key NAME --keys FILE), or leave out --host"),
            ),
            _ => {}
        }
        for (flag, value) in [
            ("--batch", flags.batch),
            ("--rate", flags.rate.unwrap_or(1) as usize),
            ("--max-tokens", flags.max_tokens.unwrap_or(1)),
            ("--timeout", flags.timeout as usize),
        ] {
            if value == 0 {
                mistakes.push(
                    Error::user(format!("`{flag}` is 0"))
                        .field(flag)
                        .hint("give a whole number of at least 1"),
                );
            }
        }
        Error::all(mistakes)?;
        let limits = Limits::default();
        Ok(Self {
            model: flags.model,
            adapters,
            host: host.unwrap_or(IpAddr::V4(Ipv4Addr::LOCALHOST)),
            port: flags.port,
            keys: flags.keys,
            state: flags.state,
            batch: flags.batch,
            limits: Limits {
                queue: flags.queue,
                requests_per_minute: flags.rate,
                max_tokens: flags.max_tokens.unwrap_or(limits.max_tokens),
                request_timeout: Duration::from_secs(flags.timeout),
                ..limits
            },
        })
    }
}

/// Names appear in requests and in paths of the API.
fn is_name(name: &str) -> bool {
    let plain = |letter: char| letter.is_ascii_alphanumeric() || "-_.:/".contains(letter);
    !name.is_empty() && name.chars().all(plain)
}

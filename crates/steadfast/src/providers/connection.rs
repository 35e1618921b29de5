//! Where a service is, and the key it is asked with.

use crate::{Error, Result};
use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use reqwest::header::{AUTHORIZATION, HeaderMap, HeaderValue};
use reqwest::redirect::Policy;
use reqwest::{Client, Url};
use std::fmt;
use std::path::Path;
use std::time::Duration;

/// Longest wait for a connection.
const CONNECT: Duration = Duration::from_secs(15);
/// A connection that has rested so long is not used again: uvicorn, which MLflow runs on, closes its own
/// after 5 seconds, and a request that crosses the closing is lost.
const IDLE: Duration = Duration::from_secs(4);

/// A key, which no message shows.
#[derive(Clone)]
pub struct Key {
    /// How it stands in the header: `Bearer`, or `Basic`.
    scheme: &'static str,
    text: String,
}

impl Key {
    /// A key; white space around it is none of it, and nothing is no key.
    pub fn new(text: &str) -> Option<Self> {
        let text = text.trim();
        (!text.is_empty()).then(|| Self {
            scheme: "Bearer",
            text: text.to_owned(),
        })
    }

    /// Of a user with a password.
    pub fn of_user(name: &str, password: &str) -> Self {
        Self {
            scheme: "Basic",
            text: BASE64.encode(format!("{name}:{password}")),
        }
    }

    /// Whether this can be the name of a variable that holds a key, rather than the key.
    pub fn is_variable(name: &str) -> bool {
        let plain = |letter: char| letter.is_ascii_alphanumeric() || letter == '_';
        !name.is_empty() && name.chars().all(plain)
    }

    /// From the environment; an empty variable is none.
    pub fn from_environment(variable: &str) -> Option<Self> {
        std::env::var(variable)
            .ok()
            .and_then(|text| Self::new(&text))
    }

    /// From a file that holds the key alone.
    ///
    /// # Errors
    /// When the file cannot be read or is empty.
    pub fn from_file(path: &Path) -> Result<Self> {
        let text = std::fs::read_to_string(path).map_err(|cause| {
            Error::file("read", path, cause).hint("name a file with the key alone")
        })?;
        Self::new(&text).ok_or_else(|| {
            Error::user("the file holds no key")
                .at(path)
                .hint("write the key into it, and nothing else")
        })
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Key(…)")
    }
}

/// One service, and how it is reached.
#[derive(Clone, Debug)]
pub struct Connection {
    /// How messages call it (`the judge`, `openai`).
    pub who: String,
    base: Url,
    key: Option<Key>,
    /// Longest wait for one answer.
    pub timeout: Duration,
}

impl Connection {
    /// A service at `base` (`https://…/v1`).
    ///
    /// # Errors
    /// A user error when `base` is no HTTP address, or holds a name or a password.
    pub fn new(who: &str, base: &str, key: Option<Key>, timeout: Duration) -> Result<Self> {
        Ok(Self {
            who: who.to_owned(),
            base: address(who, base)?,
            key,
            timeout,
        })
    }

    /// The address of `path` under the base.
    pub fn url(&self, path: &str) -> Url {
        let mut url = self.base.clone();
        let (path, query) = path
            .split_once('?')
            .map_or((path, None), |(path, query)| (path, Some(query)));
        url.set_path(&format!(
            "{}/{path}",
            self.base.path().trim_end_matches('/')
        ));
        url.set_query(query);
        url
    }

    /// The base, as messages and records show it.
    pub fn base(&self) -> String {
        self.base.as_str().trim_end_matches('/').to_owned()
    }

    /// Is it on this machine?
    pub fn is_here(&self) -> bool {
        matches!(
            self.base.host_str(),
            Some("localhost" | "127.0.0.1" | "[::1]" | "0.0.0.0")
        )
    }

    /// Is there a key?
    pub fn has_key(&self) -> bool {
        self.key.is_some()
    }

    /// A client that sends the key along.
    ///
    /// # Errors
    /// When the key cannot stand in a header, or no client can be made.
    pub fn client(&self, redirects: Policy) -> Result<Client> {
        let mut headers = HeaderMap::new();
        if let Some(Key { scheme, text }) = &self.key {
            let mut value = HeaderValue::try_from(format!("{scheme} {text}")).map_err(|_| {
                Error::user(format!(
                    "the key of {} holds characters that no key has",
                    self.who
                ))
                .hint("set it again, without line ends or quotes")
            })?;
            value.set_sensitive(true);
            headers.insert(AUTHORIZATION, value);
        }
        self.build(headers, redirects)
    }

    /// A client without the key, for an address that the service sends us on to.
    ///
    /// # Errors
    /// When no client can be made.
    pub fn plain_client(&self) -> Result<Client> {
        self.build(HeaderMap::new(), Policy::default())
    }

    fn build(&self, headers: HeaderMap, redirects: Policy) -> Result<Client> {
        let mut builder = Client::builder()
            .default_headers(headers)
            .redirect(redirects)
            .timeout(self.timeout)
            .connect_timeout(self.timeout.min(CONNECT))
            .pool_idle_timeout(IDLE)
            .user_agent(concat!("steadfast/", env!("CARGO_PKG_VERSION")));
        // A server on this machine is never behind a proxy.
        if self.is_here() {
            builder = builder.no_proxy();
        }
        builder.build().map_err(|cause| {
            Error::outside(format!("cannot start the client of {}", self.who)).because(cause)
        })
    }

    /// The text without the key: a service's message may repeat it.
    pub fn without_key(&self, text: &str) -> String {
        match &self.key {
            Some(key) => text.replace(key.text.as_str(), "…"),
            None => text.to_owned(),
        }
    }
}

/// Checks the address up to `/v1`.
fn address(who: &str, base: &str) -> Result<Url> {
    let url = Url::parse(base.trim_end_matches('/')).ok();
    if url
        .as_ref()
        .is_some_and(|url| !url.username().is_empty() || url.password().is_some())
    {
        // It would stand in what is kept and in messages.
        return Err(
            Error::user(format!("the address of {who} holds a name or a password"))
                .field("base_url")
                .hint("leave them out of the address; the key stands in the environment"),
        );
    }
    url.filter(|url| ["http", "https"].contains(&url.scheme()) && url.host_str().is_some())
        .ok_or_else(|| {
            Error::user(format!("`{base}` is no address of {who}"))
                .field("base_url")
                .hint("give one such as https://api.openai.com/v1 or http://localhost:8000/v1")
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn to(base: &str) -> Result<Connection> {
        Connection::new("the judge", base, Key::new("sk-1"), Duration::from_secs(1))
    }

    #[test]
    fn addresses() {
        let here = to("http://localhost:8000/v1/").unwrap();
        assert_eq!(
            here.url("chat/completions").as_str(),
            "http://localhost:8000/v1/chat/completions"
        );
        assert_eq!(
            here.url("files?after=a").as_str(),
            "http://localhost:8000/v1/files?after=a"
        );
        assert!(here.is_here() && !to("https://api.openai.com/v1").unwrap().is_here());
        for wrong in ["", "localhost:8000", "ftp://x/v1", "file:///etc"] {
            assert!(to(wrong).is_err(), "{wrong}");
        }
        let secret = to("https://me:secret@host/v1").unwrap_err();
        assert!(!format!("{secret:?}").contains("secret@"), "{secret:?}");
    }

    #[test]
    fn a_key_is_never_shown() {
        let connection = to("http://localhost:1").unwrap();
        assert!(!format!("{connection:?}").contains("sk-1"));
        assert_eq!(connection.without_key("no key sk-1 here"), "no key … here");
        assert!(Key::new(" \n").is_none());
        let file = tempfile::NamedTempFile::new().unwrap();
        assert!(Key::from_file(file.path()).is_err());
        std::fs::write(file.path(), "sk-1\n").unwrap();
        assert_eq!(Key::from_file(file.path()).unwrap().text, "sk-1");
    }
}

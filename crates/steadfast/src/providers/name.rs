//! The services that are known, and where each is found.

use super::connection::{Connection, Key};
use crate::{Error, Result};
use serde::{Deserialize, Serialize};
use std::path::Path;
use std::time::Duration;

/// A service that trains and answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Name {
    /// OpenAI, or any server that speaks its protocol.
    OpenAi,
    /// Together, or any server that speaks its protocol.
    Together,
}

impl Name {
    /// The words a user may write.
    pub const NAMES: [&'static str; 2] = ["openai", "together"];

    /// The service of that name.
    pub fn named(name: &str) -> Option<Self> {
        match name {
            "openai" => Some(Self::OpenAi),
            "together" => Some(Self::Together),
            _ => None,
        }
    }

    /// The word a user writes.
    pub fn name(self) -> &'static str {
        match self {
            Self::OpenAi => "openai",
            Self::Together => "together",
        }
    }

    /// `openai:NAME` and `together:NAME`; `None` is another kind of model.
    pub fn of_model(spec: &str) -> Option<(Self, &str)> {
        let (name, model) = spec.split_once(':')?;
        Some((Self::named(name)?, model.trim()))
    }

    /// The service's own address.
    pub fn address(self) -> &'static str {
        match self {
            Self::OpenAi => "https://api.openai.com/v1",
            Self::Together => "https://api.together.ai/v1",
        }
    }

    /// The variable of another address, as the official clients have it.
    pub fn address_variable(self) -> &'static str {
        match self {
            Self::OpenAi => "OPENAI_BASE_URL",
            Self::Together => "TOGETHER_BASE_URL",
        }
    }

    /// The variable of the key, as the official clients have it.
    pub fn key_variable(self) -> &'static str {
        match self {
            Self::OpenAi => "OPENAI_API_KEY",
            Self::Together => "TOGETHER_API_KEY",
        }
    }

    /// The address: what was asked for, else the environment's, else the service's own.
    pub fn base_url(self, asked: Option<&str>) -> String {
        let from_environment = || {
            std::env::var(self.address_variable())
                .ok()
                .map(|url| url.trim().to_owned())
                .filter(|url| !url.is_empty())
        };
        let url = asked
            .map(str::to_owned)
            .or_else(from_environment)
            .unwrap_or_else(|| self.address().to_owned());
        // Together's newer client adds the version by itself, its older one does not.
        match url.trim_end_matches('/') {
            bare if self == Self::Together && !bare.ends_with("/v1") => format!("{bare}/v1"),
            _ => url,
        }
    }

    /// A connection to it. A server on this machine needs no key.
    ///
    /// # Errors
    /// When there is no key where one is needed, or the address is none.
    pub fn connect(self, place: &Place<'_>) -> Result<Connection> {
        let variable = place.key_variable.unwrap_or(self.key_variable());
        let key = match place.key_file {
            Some(path) => Some(Key::from_file(path)?),
            None => Key::from_environment(variable),
        };
        let base = self.base_url(place.base_url);
        let connection = Connection::new(self.name(), &base, key, place.timeout)?;
        if !connection.has_key() && !connection.is_here() {
            return Err(Error::user(format!("the variable {variable} holds no key for {}", self.name()))
                .hint(format!(
                    "export {variable}=…, or name a file with key_file = \"PATH\"; a server on this machine needs no key"
                )));
        }
        Ok(connection)
    }
}

/// Where a service is and what opens it; `None` is what the environment says.
#[derive(Clone, Copy, Debug)]
pub struct Place<'a> {
    /// The address up to `/v1`.
    pub base_url: Option<&'a str>,
    /// The environment variable that holds the key.
    pub key_variable: Option<&'a str>,
    /// A file that holds the key, in the place of a variable.
    pub key_file: Option<&'a Path>,
    /// Longest wait for one answer.
    pub timeout: Duration,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn models_are_named_by_their_service() {
        assert_eq!(
            Name::of_model("openai:gpt-4o"),
            Some((Name::OpenAi, "gpt-4o"))
        );
        let together = Name::of_model("together:meta-llama/L-8B:free");
        assert_eq!(together, Some((Name::Together, "meta-llama/L-8B:free")));
        for other in ["C:\\model.gguf", "org/model", "anthropic:x", "ft:openai:x"] {
            assert_eq!(Name::of_model(other), None, "{other}");
        }
        for name in Name::NAMES {
            assert_eq!(Name::named(name).map(Name::name), Some(name));
        }
    }

    #[test]
    fn togethers_address_is_read_with_its_version_and_without() {
        for asked in ["http://h", "http://h/", "http://h/v1", "http://h/v1/"] {
            let url = Name::Together.base_url(Some(asked));
            assert_eq!(url.trim_end_matches('/'), "http://h/v1");
        }
        assert_eq!(Name::OpenAi.base_url(Some("http://h/api")), "http://h/api");
    }

    #[test]
    fn a_far_service_needs_a_key_and_a_near_one_none() {
        let place = |base_url| Place {
            base_url: Some(base_url),
            key_variable: Some("STEADFAST_NO_SUCH_KEY"),
            key_file: None,
            timeout: Duration::from_secs(1),
        };
        let error = Name::Together
            .connect(&place("https://example.com/v1"))
            .unwrap_err();
        assert!(error.message.contains("STEADFAST_NO_SUCH_KEY"), "{error}");
        assert!(
            Name::OpenAi
                .connect(&place("http://127.0.0.1:8080/v1"))
                .is_ok()
        );
    }
}

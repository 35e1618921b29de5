//! What goes to a chat endpoint, and what its answer means.

use super::Question;
use super::retry::asked_to_wait;
use crate::{Error, Result};
use jiff::Timestamp;
use reqwest::StatusCode;
use reqwest::header::HeaderMap;
use serde_json::{Value, json};
use std::time::Duration;

/// What this server takes. Servers differ, and say so only when asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Dialect {
    /// `max_tokens`, rather than `max_completion_tokens`, which OpenAI's reasoning models want.
    pub max_tokens: bool,
    /// A temperature may be given; reasoning models take none but their own.
    pub temperature: bool,
}

impl Default for Dialect {
    fn default() -> Self {
        Self {
            max_tokens: true,
            temperature: true,
        }
    }
}

/// What one attempt came to.
#[derive(Debug)]
pub enum Reading {
    /// An answer; tokens as the server counts them, if it does.
    Answer {
        /// The judge's words; empty where the server let none through.
        text: String,
        /// Tokens read.
        input: Option<u64>,
        /// Tokens written.
        output: Option<u64>,
    },
    /// Something that may pass.
    Again {
        /// What happened.
        message: String,
        /// What the server asks to wait.
        wait: Option<Duration>,
        /// The server may have done the work, and may charge for it.
        charged: bool,
        /// Others should wait too: the server has too much to do.
        all: bool,
    },
    /// The server takes another form of the request.
    Other(Dialect),
    /// Asking again is of no use.
    Never(Error),
}

/// The request's body. The first sample is the likeliest answer; further ones are drawn.
pub fn body(model: &str, question: &Question, answer_tokens: u64, dialect: Dialect) -> Value {
    let limit = if dialect.max_tokens {
        "max_tokens"
    } else {
        "max_completion_tokens"
    };
    let mut body = json!({
        "model": model,
        "messages": [
            {"role": "system", "content": question.system},
            {"role": "user", "content": question.prompt},
        ],
        limit: answer_tokens,
    });
    if dialect.temperature {
        body["temperature"] = json!(if question.sample == 0 { 0.0 } else { 1.0 });
    }
    body
}

/// Reads a whole response.
pub fn read(status: StatusCode, headers: &HeaderMap, body: &[u8], dialect: Dialect) -> Reading {
    let value: Option<Value> = serde_json::from_slice(body).ok();
    if status.is_success() {
        return value
            .as_ref()
            .and_then(answer)
            .unwrap_or_else(|| Reading::Again {
                message: "the answer is no chat completion".into(),
                wait: None,
                charged: true,
                all: false,
            });
    }
    let error = value.as_ref().map_or(&Value::Null, |value| &value["error"]);
    let word = |name: &str| error[name].as_str().unwrap_or_default();
    let said = error["message"]
        .as_str()
        .or(error.as_str())
        .map_or_else(|| beginning(body), str::to_owned);
    let message = format!("{status}: {said}");
    let about = |name: &str| word("param") == name || said.contains(&format!("'{name}'"));
    match status.as_u16() {
        400 | 422 if dialect.max_tokens && about("max_tokens") => Reading::Other(Dialect {
            max_tokens: false,
            ..dialect
        }),
        400 | 422 if dialect.temperature && about("temperature") => Reading::Other(Dialect {
            temperature: false,
            ..dialect
        }),
        // The item is the trouble, not the request: no verdict, and on with the next.
        400 if ["content_filter", "context_length_exceeded"].contains(&word("code")) => {
            Reading::Answer {
                text: format!("[{}]", word("code")),
                input: Some(0),
                output: Some(0),
            }
        }
        429 if [word("code"), word("type")].contains(&"insufficient_quota") => Reading::Never(
            Error::outside(format!("the judge's account has nothing left: {message}"))
                .hint("add credit or name another judge; every verdict so far is kept"),
        ),
        408 | 409 | 425 | 429 | 500..=599 => Reading::Again {
            message,
            wait: asked_to_wait(headers, Timestamp::now()),
            charged: false,
            all: matches!(status.as_u16(), 429 | 503),
        },
        401 | 403 => Reading::Never(
            Error::user(format!("the judge's endpoint refuses the key: {message}"))
                .hint("check the key in the environment, and that it may use this model"),
        ),
        404 => Reading::Never(
            Error::user(format!(
                "the judge's endpoint knows no such model: {message}"
            ))
            .hint("check the model's name and the base URL, which usually ends in /v1"),
        ),
        _ => Reading::Never(
            Error::user(format!(
                "the judge's endpoint refuses the question: {message}"
            ))
            .hint("check the model's name and the base URL"),
        ),
    }
}

fn answer(value: &Value) -> Option<Reading> {
    let choice = value["choices"].get(0)?;
    let message = choice.get("message")?;
    let text = match &message["content"] {
        Value::String(text) => text.clone(),
        Value::Array(parts) => parts
            .iter()
            .filter_map(|part| part["text"].as_str())
            .collect(),
        // Nothing was let through, or all tokens went into thinking: asking again changes neither.
        _ if message["refusal"].is_string()
            || ["length", "content_filter"]
                .iter()
                .any(|reason| choice["finish_reason"] == **reason) =>
        {
            String::new()
        }
        _ => return None,
    };
    Some(Reading::Answer {
        text,
        input: value["usage"]["prompt_tokens"].as_u64(),
        output: value["usage"]["completion_tokens"].as_u64(),
    })
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

/// `{base}/chat/completions`.
///
/// # Errors
/// A user error when `base` is no HTTP address.
pub fn address(base: &str) -> Result<reqwest::Url> {
    let whole = format!("{}/chat/completions", base.trim_end_matches('/'));
    let url = reqwest::Url::parse(&whole).ok();
    if url
        .as_ref()
        .is_some_and(|url| !url.username().is_empty() || url.password().is_some())
    {
        // It would stand in the kept verdicts and in messages.
        return Err(
            Error::user("the judge's address holds a name or a password")
                .field("base_url")
                .hint("leave them out of the address; the key stands in the environment"),
        );
    }
    url.filter(|url| ["http", "https"].contains(&url.scheme()) && url.host_str().is_some())
        .ok_or_else(|| {
            Error::user(format!("`{base}` is no address of a judge"))
                .field("base_url")
                .hint("give one such as https://api.openai.com/v1 or http://localhost:8000/v1")
        })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Class;
    use proptest::prelude::*;

    fn reading(status: u16, body: &str) -> Reading {
        read(
            StatusCode::from_u16(status).unwrap(),
            &HeaderMap::new(),
            body.as_bytes(),
            Dialect::default(),
        )
    }

    #[test]
    fn each_kind_of_answer_is_told_apart() {
        let whole = r#"{"choices":[{"message":{"content":"hi"}}],"usage":{"prompt_tokens":4,"completion_tokens":2}}"#;
        assert!(matches!(
            reading(200, whole),
            Reading::Answer { text, input: Some(4), output: Some(2) } if text == "hi"
        ));
        for silent in [
            r#"{"choices":[{"message":{"content":null},"finish_reason":"length"}]}"#,
            r#"{"choices":[{"message":{"content":null,"refusal":"no"}}]}"#,
        ] {
            assert!(
                matches!(reading(200, silent), Reading::Answer { text, .. } if text.is_empty())
            );
        }
        for garbage in [
            "",
            "<html>",
            "{}",
            r#"{"choices":[]}"#,
            r#"{"choices":[{"message":{}}]}"#,
        ] {
            let again = matches!(reading(200, garbage), Reading::Again { charged: true, .. });
            assert!(again, "{garbage}");
        }
        let filtered = r#"{"error":{"code":"content_filter","message":"no"}}"#;
        assert!(matches!(reading(400, filtered), Reading::Answer { .. }));
        let quota = r#"{"error":{"code":"insufficient_quota","message":"no"}}"#;
        assert!(
            matches!(reading(429, quota), Reading::Never(error) if error.class == Class::Outside)
        );
        for passing in [429, 500, 502, 503, 408] {
            assert!(matches!(
                reading(passing, "busy"),
                Reading::Again { charged: false, .. }
            ));
        }
        for lasting in [400, 401, 403, 404, 413] {
            let never = reading(lasting, "no");
            assert!(
                matches!(never, Reading::Never(error) if error.class == Class::User && error.hint.is_some())
            );
        }
    }

    #[test]
    fn reasoning_models_get_another_form_of_the_request() {
        let limit = r#"{"error":{"message":"Unsupported parameter: 'max_tokens' is not supported with this model.","param":"max_tokens"}}"#;
        let Reading::Other(dialect) = reading(400, limit) else {
            panic!("the dialect is not changed");
        };
        let question = Question {
            system: "s".into(),
            prompt: "p".into(),
            sample: 0,
        };
        let body = body("m", &question, 9, dialect);
        assert_eq!(body["max_completion_tokens"], 9);
        assert_eq!(body["temperature"], 0.0);
        assert!(body.get("max_tokens").is_none());
        // The same complaint about a form that was not used changes nothing more.
        let again = read(
            StatusCode::BAD_REQUEST,
            &HeaderMap::new(),
            limit.as_bytes(),
            dialect,
        );
        assert!(matches!(again, Reading::Never(_)));
    }

    #[test]
    fn addresses() {
        let whole = address("http://localhost:8000/v1/").unwrap();
        assert_eq!(whole.as_str(), "http://localhost:8000/v1/chat/completions");
        for wrong in ["", "localhost:8000", "ftp://x/v1", "file:///etc"] {
            assert!(address(wrong).is_err(), "{wrong}");
        }
        let secret = address("https://me:secret@host/v1").unwrap_err();
        assert!(!format!("{secret:?}").contains("secret@"), "{secret:?}");
    }

    proptest! {
        #[test]
        fn no_body_makes_it_panic(status in 100u16..600, body in prop::collection::vec(any::<u8>(), 0..200)) {
            let status = StatusCode::from_u16(status).unwrap();
            let _ = read(status, &HeaderMap::new(), &body, Dialect::default());
        }
    }
}

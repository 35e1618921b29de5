//! What goes to a chat endpoint, and what its answer means.

use super::connection::Connection;
use super::requests::{Reading, Refused, Response, exchange};
use crate::Error;
use reqwest::Client;
use serde_json::{Value, json};
use std::cell::Cell;

/// Where chats are asked.
pub const PATH: &str = "chat/completions";

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

/// What was said.
#[derive(Clone, Debug, PartialEq)]
pub struct Said {
    /// The model's words; empty where the server let none through.
    pub text: String,
    /// Tokens read, as the server counts them, if it does.
    pub input: Option<u64>,
    /// Tokens written.
    pub output: Option<u64>,
}

/// A model that is asked by chats.
#[derive(Debug)]
pub struct Chat<'a> {
    /// Sends the requests.
    pub client: &'a Client,
    /// Where it is.
    pub connection: &'a Connection,
    /// Its name there.
    pub model: &'a str,
    /// What is known of the server, and learnt.
    pub dialect: &'a Cell<Dialect>,
    /// Most bytes of a response.
    pub most_bytes: usize,
}

impl Chat<'_> {
    /// One attempt at a reply of at most `tokens`.
    pub async fn ask(&self, messages: &Value, tokens: u64, temperature: f64) -> Reading<Said> {
        let (who, form) = (self.connection.who.as_str(), self.dialect.get());
        let body = body(self.model, messages, tokens, temperature, form);
        let request = self.client.post(self.connection.url(PATH)).json(&body);
        match exchange(request, who, self.most_bytes).await {
            Ok(response) => read(who, &response, form, self.dialect),
            Err(reading) => reading.unanswered(),
        }
    }
}

/// The request's body. At temperature 0 the answer is the likeliest.
fn body(model: &str, messages: &Value, tokens: u64, temperature: f64, dialect: Dialect) -> Value {
    let limit = if dialect.max_tokens {
        "max_tokens"
    } else {
        "max_completion_tokens"
    };
    let mut body = json!({"model": model, "messages": messages, limit: tokens});
    if dialect.temperature {
        body["temperature"] = json!(temperature);
    }
    body
}

/// Reads a whole response of `who` to a request in the dialect `asked`; what is learnt of the server's
/// own goes into `dialect`.
fn read(who: &str, response: &Response, asked: Dialect, dialect: &Cell<Dialect>) -> Reading<Said> {
    let (status, body) = (response.status, response.body.as_slice());
    if status.is_success() {
        let value: Option<Value> = serde_json::from_slice(body).ok();
        return value
            .as_ref()
            .and_then(said)
            .map_or_else(no_completion, Reading::Answer);
    }
    let refused = Refused::read(status, body);
    let about = |name: &str| refused.param == name || refused.said.contains(&format!("'{name}'"));
    let otherwise = |change: fn(&mut Dialect)| {
        // Another request may have learnt something else meanwhile.
        let mut learnt = dialect.get();
        change(&mut learnt);
        dialect.set(learnt);
        Reading::Otherwise
    };
    match status.as_u16() {
        400 | 422 if asked.max_tokens && about("max_tokens") => {
            return otherwise(|dialect| dialect.max_tokens = false);
        }
        400 | 422 if asked.temperature && about("temperature") => {
            return otherwise(|dialect| dialect.temperature = false);
        }
        // The item is the trouble, not the request: no words, and on with the next.
        400 if ["content_filter", "context_length_exceeded"].contains(&refused.code.as_str()) => {
            return Reading::Answer(Said {
                text: String::new(),
                input: Some(0),
                output: Some(0),
            });
        }
        _ => {}
    }
    refused
        .passing(status, &response.headers)
        .unwrap_or_else(|| Reading::Never(lasting(who, status.as_u16(), &refused)))
}

/// A refusal that asking again does not change.
pub fn lasting(who: &str, status: u16, refused: &Refused) -> Error {
    let message = &refused.message;
    match status {
        429 => Error::outside(format!("the account of {who} has nothing left: {message}"))
            .hint("add credit, or name another; what was answered so far is kept"),
        401 | 403 => Error::user(format!("{who} refuses the key: {message}"))
            .hint("check the key in the environment, and that it may use this model"),
        404 => Error::user(format!("{who} knows no such model: {message}"))
            .hint("check the model's name and the base URL, which usually ends in /v1"),
        _ => Error::user(format!("{who} refuses the question: {message}"))
            .hint("check the model's name and the base URL"),
    }
}

/// As [`read`], of a server of which nothing is known yet.
#[cfg(any(test, fuzzing))]
pub(crate) fn read_default(who: &str, response: &Response) -> Reading<Said> {
    read(who, response, Dialect::default(), &Cell::default())
}

fn no_completion() -> Reading<Said> {
    Reading::Again {
        message: "the answer is no chat completion".into(),
        wait: None,
        charged: true,
        all: false,
    }
}

fn said(value: &Value) -> Option<Said> {
    let choice = value["choices"].get(0)?;
    let message = choice.get("message")?;
    let text = match &message["content"] {
        Value::String(text) => text.clone(),
        Value::Array(parts) => parts
            .iter()
            .filter_map(|part| part["text"].as_str())
            .collect(),
        _ if message["refusal"].is_string() => {
            message["refusal"].as_str().unwrap_or_default().to_owned()
        }
        // Nothing was let through, or all tokens went into thinking: asking again changes neither.
        _ if ["length", "content_filter"]
            .iter()
            .any(|reason| choice["finish_reason"] == **reason) =>
        {
            String::new()
        }
        _ => return None,
    };
    Some(Said {
        text,
        input: value["usage"]["prompt_tokens"].as_u64(),
        output: value["usage"]["completion_tokens"].as_u64(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Class;
    use proptest::prelude::*;
    use reqwest::StatusCode;
    use reqwest::header::HeaderMap;

    fn response(status: u16, body: &[u8]) -> Response {
        Response {
            status: StatusCode::from_u16(status).unwrap(),
            headers: HeaderMap::new(),
            body: body.to_vec(),
        }
    }

    fn reading(status: u16, body: &str) -> Reading<Said> {
        read_default("it", &response(status, body.as_bytes()))
    }

    #[test]
    fn each_kind_of_answer_is_told_apart() {
        let whole = r#"{"choices":[{"message":{"content":"hi"}}],"usage":{"prompt_tokens":4,"completion_tokens":2}}"#;
        assert!(matches!(
            reading(200, whole),
            Reading::Answer(Said { text, input: Some(4), output: Some(2) }) if text == "hi"
        ));
        let says = |body: &str, expected: &str| matches!(reading(200, body), Reading::Answer(Said { text, .. }) if text == expected);
        assert!(says(
            r#"{"choices":[{"message":{"content":null},"finish_reason":"length"}]}"#,
            ""
        ));
        assert!(says(
            r#"{"choices":[{"message":{"content":null,"refusal":"no"}}]}"#,
            "no"
        ));
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
        assert!(matches!(reading(400, filtered), Reading::Answer(_)));
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
        let dialect = Cell::default();
        let answer = response(400, limit.as_bytes());
        let first = read("it", &answer, dialect.get(), &dialect);
        assert!(matches!(first, Reading::Otherwise));
        let body = body("m", &json!([]), 9, 0.0, dialect.get());
        assert_eq!(body["max_completion_tokens"], 9);
        assert_eq!(body["temperature"], 0.0);
        assert!(body.get("max_tokens").is_none());
        // The same complaint about a form that was not used changes nothing more.
        let again = read("it", &answer, dialect.get(), &dialect);
        assert!(matches!(again, Reading::Never(_)));
    }

    proptest! {
        #[test]
        fn no_body_makes_it_panic(status in 100u16..600, body in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = read_default("it", &response(status, &body));
        }
    }
}

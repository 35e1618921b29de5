//! Every answer that is no success, in OpenAI's shape.

use crate::error::{Class, Error};
use axum::Json;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

/// `{"error":{"message","type","param","code"}}` with its status.
#[derive(Clone, Debug)]
pub struct Refusal {
    /// The HTTP status.
    pub status: StatusCode,
    /// OpenAI's class of error.
    pub kind: &'static str,
    /// What is wrong and what to do.
    pub message: String,
    /// The field that is wrong (`messages[0].role`).
    pub param: Option<String>,
    /// A word for programs.
    pub code: Option<&'static str>,
    /// Seconds after which to try again.
    pub retry_after: Option<u64>,
}

impl Refusal {
    fn new(status: StatusCode, kind: &'static str, message: impl Into<String>) -> Self {
        Self {
            status,
            kind,
            message: message.into(),
            param: None,
            code: None,
            retry_after: None,
        }
    }

    /// A request that the client can put right.
    pub fn wrong(param: impl Into<String>, message: impl Into<String>) -> Self {
        Self {
            param: Some(param.into()),
            ..Self::new(StatusCode::BAD_REQUEST, "invalid_request_error", message)
        }
    }

    /// A request that is wrong as a whole.
    pub fn request(status: StatusCode, message: impl Into<String>) -> Self {
        Self::new(status, "invalid_request_error", message)
    }

    /// There is no model of that name.
    pub fn no_model(name: &str) -> Self {
        let message =
            format!("The model `{name}` does not exist. GET /v1/models lists those that do.");
        Self {
            param: Some("model".to_owned()),
            code: Some("model_not_found"),
            ..Self::request(StatusCode::NOT_FOUND, message)
        }
    }

    /// There is nothing of that kind by that name.
    pub fn nothing(kind: &str, id: &str) -> Self {
        let message = format!("There is no {kind} `{id}`.");
        Self {
            code: Some("not_found"),
            ..Self::request(StatusCode::NOT_FOUND, message)
        }
    }

    /// No key, or a wrong one.
    pub fn no_key() -> Self {
        let message = "No valid key was given. Send it as `Authorization: Bearer KEY`.";
        Self {
            code: Some("invalid_api_key"),
            ..Self::request(StatusCode::UNAUTHORIZED, message)
        }
    }

    /// Too many requests are waiting already.
    pub fn busy(retry_after: u64) -> Self {
        Self {
            code: Some("rate_limit_exceeded"),
            retry_after: Some(retry_after),
            ..Self::new(
                StatusCode::TOO_MANY_REQUESTS,
                "requests",
                "Too many requests are waiting. Try again after the seconds in `Retry-After`.",
            )
        }
    }

    /// A key has made as many requests as it may.
    pub fn too_often(per_minute: u32, retry_after: u64) -> Self {
        let message = format!(
            "This key may make {per_minute} requests a minute. Try again after the seconds in `Retry-After`."
        );
        Self {
            code: Some("rate_limit_exceeded"),
            retry_after: Some(retry_after),
            ..Self::new(StatusCode::TOO_MANY_REQUESTS, "requests", message)
        }
    }

    /// A prompt that the model cannot read.
    pub fn too_long(param: &str, tokens: usize, context: usize) -> Self {
        let message = format!(
            "The prompt has {tokens} tokens, and the model's context is {context}. Shorten it."
        );
        Self {
            code: Some("context_length_exceeded"),
            ..Self::wrong(param, message)
        }
    }

    /// The reply took too long.
    pub fn timeout(seconds: u64) -> Self {
        let message = format!(
            "The reply was not finished within {seconds} seconds. Ask for fewer tokens, or try again when the server is less busy."
        );
        Self {
            code: Some("timeout"),
            ..Self::new(StatusCode::GATEWAY_TIMEOUT, "server_error", message)
        }
    }

    /// The engine is gone.
    pub fn stopped() -> Self {
        Self::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "server_error",
            "The server is shutting down.",
        )
    }

    /// With a word for programs.
    pub fn code(mut self, code: &'static str) -> Self {
        self.code = Some(code);
        self
    }

    /// The body.
    pub fn body(&self) -> Value {
        json!({"error": {
            "message": self.message,
            "type": self.kind,
            "param": self.param,
            "code": self.code,
        }})
    }
}

impl From<Error> for Refusal {
    /// What the client can put right is told in full; of the rest only that it happened, since
    /// messages of the library name paths of the server.
    fn from(error: Error) -> Self {
        if error.class != Class::User {
            let message = "Something went wrong inside the server.";
            return Self::new(StatusCode::INTERNAL_SERVER_ERROR, "server_error", message);
        }
        let mut message = error.message;
        if let Some(cause) = &error.cause {
            message = format!("{message}: {cause}");
        }
        if let Some(hint) = &error.hint {
            message = format!("{message} (hint: {hint})");
        }
        Self::request(StatusCode::BAD_REQUEST, message)
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let mut response = (self.status, Json(self.body())).into_response();
        if let Some(seconds) = self.retry_after {
            let headers = response.headers_mut();
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        if self.status == StatusCode::UNAUTHORIZED {
            let headers = response.headers_mut();
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        response
    }
}

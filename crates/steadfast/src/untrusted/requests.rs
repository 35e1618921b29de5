//! What others send: requests to the server, and replies of services that are asked.

use super::{models, named};
use crate::evaluation::hosted;
use crate::evaluation::judge::verdict;
use crate::models::LanguageModel;
use crate::providers::chat;
use crate::providers::requests::{Reading, Refused, Response};
use crate::providers::{openai, retry, together};
use crate::server::http::bare::Bare;
use crate::{Error, Result};
use axum::body::Body;
use axum::http::{Request, StatusCode};
use candle_core::Device;
use reqwest::header::{HeaderMap, HeaderValue};
use serde_json::Value;
use std::sync::{Arc, LazyLock};

/// A model of one layer.
pub(super) fn small_model() -> &'static Arc<LanguageModel> {
    static MODEL: LazyLock<Arc<LanguageModel>> = LazyLock::new(|| {
        let bytes: &[u8] = include_bytes!("../../../../fuzz/seeds/gguf/good-llama");
        let model = super::in_folder(&[("tiny.gguf", bytes)], |folder| {
            LanguageModel::load(&models::located(&folder.join("tiny.gguf")), &Device::Cpu)
        });
        Arc::new(model.expect("the seed is a model"))
    });
    &MODEL
}

/// A request as far as the server sees it: method and path, then the body. `FILE` is an uploaded file.
pub fn request(bytes: &[u8]) -> Result<()> {
    static SERVER: LazyLock<Bare> =
        LazyLock::new(|| Bare::new(Arc::clone(small_model())).expect("a server"));
    let (line, body) = named(bytes)?;
    let (method, path) = line
        .split_once(' ')
        .ok_or_else(|| Error::user("the first line is no method and path"))?;
    let body = match std::str::from_utf8(body) {
        Ok(text) => text.replace("FILE", &SERVER.file).into_bytes(),
        Err(_) => body.to_vec(),
    };
    let kind = if path == "/v1/files" {
        "multipart/form-data; boundary=X"
    } else {
        "application/json"
    };
    let request = Request::builder()
        .method(method)
        .uri(path)
        .header("host", "localhost")
        .header("content-type", kind)
        .body(Body::from(body))
        .map_err(|cause| Error::user("this is no request").because(cause))?;
    let (status, answer) = SERVER.answer(request);
    assert!(
        !status.is_server_error() || status == StatusCode::GATEWAY_TIMEOUT,
        "{status}: {answer}"
    );
    if status.is_success() {
        return Ok(());
    }
    let value: Value = serde_json::from_str(&answer).expect("a refusal is JSON");
    assert!(value["error"]["message"].is_string(), "{answer}");
    Err(Error::user(format!("{status}")))
}

/// What a service answers; the first line says to which question.
pub fn reply(bytes: &[u8]) -> Result<()> {
    let (question, content) = named(bytes)?;
    let nothing = || Error::outside("the answer holds nothing");
    let text = String::from_utf8_lossy(content);
    let value: Value = serde_json::from_slice(content).unwrap_or_default();
    match question {
        "chat" => {
            let response = Response {
                status: StatusCode::OK,
                headers: HeaderMap::new(),
                body: content.to_vec(),
            };
            match chat::read_default("it", &response) {
                Reading::Answer(_) => Ok(()),
                _ => Err(nothing()),
            }
        }
        "refused" => {
            for status in [400, 401, 404, 422, 429, 500] {
                let status = StatusCode::from_u16(status).expect("a status");
                let refused = Refused::read(status, content);
                let _ = refused.passing::<()>(status, &HeaderMap::new());
                let _ = chat::lasting("it", status.as_u16(), &refused);
            }
            Ok(())
        }
        "wait" => {
            let mut headers = HeaderMap::new();
            let header = HeaderValue::from_bytes(content).map_err(|_| nothing())?;
            headers.insert("retry-after", header);
            retry::asked_to_wait(&headers, jiff::Timestamp::UNIX_EPOCH)
                .map(drop)
                .ok_or_else(nothing)
        }
        "openai" => {
            let _ = openai::happening(&value);
            openai::job(&value).map(drop).ok_or_else(nothing)
        }
        "together" => {
            let _ = together::happening(&value);
            together::job(&value).map(drop).ok_or_else(nothing)
        }
        "text" => hosted::of_text(&value, "The sun is", " hot")
            .map(drop)
            .ok_or_else(nothing),
        "turn" => hosted::of_chat(&value, 1).map(drop).ok_or_else(nothing),
        "verdict" => verdict::read(&text, ["agrees", "contradicts"])
            .map(drop)
            .ok_or_else(nothing),
        _ => super::unknown(question),
    }
}

//! The server's routes over a small model, asked without a connection: for tests of what requests hold.

use super::{House, Served, router};
use crate::events::Silent;
use crate::models::LanguageModel;
use crate::models::tokenizer::TokenBytes;
use crate::server::engine::{Engine, EngineOptions};
use crate::server::metrics::Metrics;
use crate::server::state::State;
use crate::server::trainer::{Queue, Trainer};
use crate::settings::serve::Limits;
use crate::{Error, Result};
use axum::body::Body;
use axum::http::{Request, StatusCode};
use hyper::service::Service;
use hyper_util::service::TowerToHyperService;
use std::sync::{Arc, Mutex, RwLock};
use std::time::Duration;

/// A server that is asked in memory. Its jobs wait for ever.
pub struct Bare {
    service: TowerToHyperService<axum::Router>,
    runtime: tokio::runtime::Runtime,
    /// The id of a file of one conversation.
    pub file: String,
    _queue: Mutex<Queue>,
    _state: tempfile::TempDir,
}

impl Bare {
    /// A server of this model alone.
    pub fn new(model: Arc<LanguageModel>) -> Result<Self> {
        let cannot = |cause| Error::outside("the server cannot start").because(cause);
        let folder = tempfile::tempdir().map_err(cannot)?;
        let (trainer, queue) = Trainer::new();
        let bytes = Arc::new(TokenBytes::new(&model.tokenizer));
        let metrics = Arc::new(Metrics::default());
        let limits = Limits {
            body_bytes: 1 << 18,
            request_timeout: Duration::from_secs(5),
            ..Limits::default()
        };
        let options = EngineOptions {
            batch: 4,
            places: 8,
            cache_bytes: 1 << 20,
            timeout: limits.request_timeout,
        };
        let engine = Engine::start(
            Arc::clone(&model),
            Vec::new(),
            Arc::clone(&bytes),
            options,
            Arc::clone(&metrics),
        )?;
        let house = Arc::new(House {
            model,
            bytes,
            served: RwLock::new(vec![Served {
                name: "tiny".into(),
                owner: None,
                gone: false,
            }]),
            engine,
            metrics,
            keys: None,
            limits,
            rate: None,
            started: 0,
            fingerprint: "fp".into(),
            listener: Arc::new(Silent),
            trainer,
            state: Some(State::open(folder.path())?),
        });
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(cannot)?;
        let mut bare = Self {
            service: TowerToHyperService::new(router(house)),
            runtime,
            file: String::new(),
            _queue: Mutex::new(queue),
            _state: folder,
        };
        bare.file = bare.upload()?;
        Ok(bare)
    }

    fn upload(&self) -> Result<String> {
        let line =
            r#"{"messages":[{"role":"user","content":"A"},{"role":"assistant","content":"B"}]}"#;
        let form = [
            "--X\r\nContent-Disposition: form-data; name=\"purpose\"\r\n\r\nfine-tune\r\n",
            "--X\r\nContent-Disposition: form-data; name=\"file\"; filename=\"a\"\r\n\r\n",
            line,
            "\r\n--X--\r\n",
        ];
        let request = Request::post("/v1/files")
            .header("host", "localhost")
            .header("content-type", "multipart/form-data; boundary=X")
            .body(Body::from(form.concat()))
            .map_err(|cause| Error::bug("this is no request").because(cause))?;
        let (_, answer) = self.answer(request);
        let value: serde_json::Value = serde_json::from_str(&answer).unwrap_or_default();
        let id = value["id"].as_str().map(str::to_owned);
        id.ok_or_else(|| Error::bug(format!("no file was taken up: {answer}")))
    }

    /// Status and body of the answer.
    pub fn answer(&self, request: Request<Body>) -> (StatusCode, String) {
        self.runtime.block_on(async {
            let response = match self.service.call(request).await {
                Ok(response) => response,
                Err(never) => match never {},
            };
            let status = response.status();
            let bytes = axum::body::to_bytes(response.into_body(), usize::MAX).await;
            let bytes = bytes.expect("an answer comes to its end");
            (status, String::from_utf8_lossy(&bytes).into_owned())
        })
    }
}

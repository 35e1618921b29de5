//! Listens, guards, and hands each request to its route.

use super::engine::{Engine, EngineOptions};
use super::keys::Keys;
use super::metrics::Metrics;
use super::rate::Rate;
use super::refusal::Refusal;
use super::state::State as Kept;
use super::trainer::{self, Trainer};
use super::{asking, chat, completions, connections, files, fine_tuning, models, page};
use crate::events::{Event, Listener};
use crate::models::tokenizer::TokenBytes;
use crate::models::{Adapter, LanguageModel, resolve};
use crate::settings::serve::{Limits, ServeSettings};
use crate::{Error, Result};
use axum::Router;
use axum::body::Body;
use axum::extract::{DefaultBodyLimit, FromRequest, MatchedPath, Request, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use candle_core::Device;
use futures_util::StreamExt;
use serde_json::Value;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, Instant};
use tokio::net::TcpListener;
use tokio::sync::watch;

/// How long a body may take to arrive.
const BODY_TIMEOUT: Duration = Duration::from_secs(60);
/// A body that is too large is read, and thrown away, up to so many times the limit: a client that is
/// cut off while it writes never sees why.
const DRAINED: usize = 4;
/// How long replies under way may go on after the server was told to stop.
pub(super) const GRACE: Duration = Duration::from_secs(10);

/// Who listens, from any thread.
pub type SharedListener = Arc<dyn Listener + Send + Sync>;

/// What all requests share.
pub struct House {
    /// The base.
    pub model: Arc<LanguageModel>,
    /// What each of its tokens stands for.
    pub bytes: Arc<TokenBytes>,
    /// The base and each adapter, in the order of the engine's groups.
    served: RwLock<Vec<Served>>,
    /// Who does the work.
    pub engine: Engine,
    /// What is counted.
    pub metrics: Arc<Metrics>,
    /// Who may ask; without keys, whoever is on this machine.
    pub keys: Option<Keys>,
    /// What is refused.
    pub limits: Limits,
    /// How often each key has asked.
    rate: Option<Rate>,
    /// When the server started, seconds since 1970.
    pub started: i64,
    /// Stands for the weights: with the same seed, the same fingerprint gives the same reply.
    pub fingerprint: String,
    /// Who hears of requests.
    pub listener: SharedListener,
    /// Who trains.
    pub trainer: Trainer,
    state: Option<Kept>,
}

/// Who asks: the name of a key; nothing where there are no keys.
#[derive(Clone, Debug)]
pub struct Owner(pub String);

/// A model that can be asked.
struct Served {
    name: String,
    /// Who alone may ask it.
    owner: Option<String>,
    /// It was deleted.
    gone: bool,
}

impl House {
    /// The engine's group of the model with that name.
    pub fn group(&self, name: &str, owner: &str) -> std::result::Result<usize, Refusal> {
        let served = self.served.read().unwrap_or_else(PoisonError::into_inner);
        let place = served
            .iter()
            .position(|model| model.name == name && model.is_for(owner));
        place.ok_or_else(|| Refusal::no_model(name))
    }

    /// Names of the models that `owner` may ask, the base first.
    pub fn names(&self, owner: &str) -> Vec<String> {
        let served = self.served.read().unwrap_or_else(PoisonError::into_inner);
        let own = served.iter().filter(|model| model.is_for(owner));
        own.map(|model| model.name.clone()).collect()
    }

    /// The base's name.
    pub fn base_name(&self) -> String {
        let served = self.served.read().unwrap_or_else(PoisonError::into_inner);
        served
            .first()
            .map_or_else(String::new, |base| base.name.clone())
    }

    /// Serves one more adapter.
    pub fn add(&self, name: &str, owner: &str, adapter: Adapter) {
        // The lock is held over both, so that places and groups agree.
        let mut served = self.served.write().unwrap_or_else(PoisonError::into_inner);
        self.engine.add(adapter);
        served.push(Served {
            name: name.to_owned(),
            owner: Some(owner.to_owned()),
            gone: false,
        });
    }

    /// Serves the adapter of that name no more. Its group stays with the engine, for replies under way: the
    /// numbers of the others do not move.
    pub fn forget(&self, name: &str) {
        let mut served = self.served.write().unwrap_or_else(PoisonError::into_inner);
        for model in served.iter_mut().filter(|model| model.name == name) {
            model.gone = true;
        }
    }

    /// Files and jobs, if the server was given a place for them.
    pub fn state(&self) -> std::result::Result<&Kept, Refusal> {
        self.state.as_ref().ok_or_else(|| {
            let message = "This server keeps no files and jobs. Start it with --state DIR.";
            Refusal::request(StatusCode::NOT_FOUND, message).code("no_state")
        })
    }
}

impl Served {
    fn is_for(&self, owner: &str) -> bool {
        !self.gone && self.owner.as_deref().is_none_or(|own| own == owner)
    }
}

/// Tells the server to stop.
#[derive(Clone, Debug)]
pub struct Stop(Arc<watch::Sender<bool>>);

impl Default for Stop {
    fn default() -> Self {
        Self(Arc::new(watch::Sender::new(false)))
    }
}

impl Stop {
    /// Replies under way may still be finished, for a few seconds.
    pub fn now(&self) {
        self.0.send_replace(true);
    }

    pub(super) async fn wait(&self) {
        // The sender lives as long as we do.
        let _ = self.0.subscribe().wait_for(|stopped| *stopped).await;
    }
}

/// Where the server listens, and what it serves.
#[derive(Clone, Debug, serde::Serialize)]
pub struct Ready {
    /// `http://127.0.0.1:8080`
    pub address: String,
    /// The base and the adapters.
    pub models: Vec<String>,
}

/// Serves until told to stop. `on_ready` hears the address when the first request can come.
pub fn serve(
    settings: &ServeSettings,
    listener: SharedListener,
    stop: &Stop,
    on_ready: &mut dyn FnMut(&Ready) -> Result<()>,
) -> Result<()> {
    let keys = settings.keys.as_deref().map(Keys::read).transpose()?;
    let adapters = settings
        .adapters
        .iter()
        .map(|(_, folder)| Adapter::read(folder))
        .collect::<Result<Vec<_>>>()?;
    let address = SocketAddr::new(settings.host, settings.port);
    // A port that is taken should be known before the model is loaded.
    let socket = std::net::TcpListener::bind(address).map_err(|cause| {
        Error::user(format!("cannot listen on {address}"))
            .field("--port")
            .because(cause)
            .hint("choose another port, or 0 for any that is free")
    })?;
    let located = resolve::locate(settings.model.as_deref(), &*listener)?;
    let model = Arc::new(LanguageModel::load(&located, &Device::Cpu)?);
    let adapters = (settings.adapters.iter().zip(adapters))
        .map(|((_, folder), adapter)| {
            let bound = adapter.bound_to(&model.decoder);
            bound.map_err(|error| error.at(folder))
        })
        .collect::<Result<Vec<_>>>()?;
    let mut names = vec![name_of(&located.id)];
    for (name, _) in &settings.adapters {
        if names.contains(name) {
            return Err(Error::user(format!("two models are called `{name}`"))
                .field("--adapter")
                .hint("give each adapter a name of its own, other than the base's"));
        }
        names.push(name.clone());
    }
    let open = |folder| Kept::open(folder)?.of_base(&located);
    let state = settings.state.as_deref().map(open).transpose()?;
    let (trainer, queue) = Trainer::new();
    let bytes = Arc::new(TokenBytes::new(&model.tokenizer));
    let metrics = Arc::new(Metrics::default());
    let options = EngineOptions {
        batch: settings.batch,
        places: settings.batch + settings.limits.queue,
        cache_bytes: settings.limits.cache_bytes,
        timeout: settings.limits.request_timeout,
    };
    let engine = Engine::start(
        Arc::clone(&model),
        adapters,
        Arc::clone(&bytes),
        options,
        Arc::clone(&metrics),
    )?;
    let house = Arc::new(House {
        fingerprint: format!("fp_{}", &located.sha256[..12]),
        model,
        bytes,
        served: RwLock::new(
            names
                .into_iter()
                .map(|name| Served {
                    name,
                    owner: None,
                    gone: false,
                })
                .collect(),
        ),
        engine,
        metrics,
        keys,
        limits: settings.limits,
        rate: settings.limits.requests_per_minute.map(Rate::new),
        started: jiff::Timestamp::now().as_second(),
        listener,
        trainer,
        state,
    });
    trainer::start(&house, queue)?;
    let cannot = |cause| Error::outside("the server cannot start").because(cause);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .map_err(cannot)?;
    socket.set_nonblocking(true).map_err(cannot)?;
    let outcome = runtime.block_on(async {
        let socket = TcpListener::from_std(socket).map_err(cannot)?;
        let address = socket.local_addr().map_err(cannot)?;
        on_ready(&Ready {
            address: format!("http://{address}"),
            models: house.names(""),
        })?;
        let most = house.limits.connections;
        connections::listen(socket, router(Arc::clone(&house)), stop, most).await;
        house.trainer.end(GRACE).await;
        Ok(())
    });
    // What is still under way after the grace is let go of.
    runtime.shutdown_background();
    outcome
}

/// A path on this machine is nobody's business: its last part names the model.
fn name_of(id: &str) -> String {
    let path = Path::new(id);
    match path.file_stem().filter(|_| path.exists()) {
        Some(stem) => stem.to_string_lossy().into_owned(),
        None => id.to_owned(),
    }
}

fn router(house: Arc<House>) -> Router {
    Router::new()
        .route("/", get(page::page))
        .route("/page.css", get(page::style))
        .route("/page.js", get(page::script))
        .route("/health", get(health))
        .route("/metrics", get(metrics))
        .route("/v1/models", get(models::list))
        .route(
            "/v1/models/{*name}",
            get(models::retrieve).delete(models::delete),
        )
        .route("/v1/chat/completions", post(chat::create))
        .route("/v1/completions", post(completions::create))
        .route("/v1/files", get(files::list).post(files::create))
        .route("/v1/files/{id}", get(files::retrieve).delete(files::delete))
        .route("/v1/files/{id}/content", get(files::content))
        .route(
            "/v1/fine_tuning/jobs",
            get(fine_tuning::list).post(fine_tuning::create),
        )
        .route("/v1/fine_tuning/jobs/{id}", get(fine_tuning::retrieve))
        .route(
            "/v1/fine_tuning/jobs/{id}/cancel",
            post(fine_tuning::cancel),
        )
        .route("/v1/fine_tuning/jobs/{id}/pause", post(fine_tuning::pause))
        .route(
            "/v1/fine_tuning/jobs/{id}/resume",
            post(fine_tuning::resume),
        )
        .route("/v1/fine_tuning/jobs/{id}/events", get(fine_tuning::events))
        .route(
            "/v1/fine_tuning/jobs/{id}/checkpoints",
            get(fine_tuning::checkpoints),
        )
        .route("/v1/fine_tuning/jobs/{id}/report", get(fine_tuning::report))
        .route(
            "/v1/fine_tuning/jobs/{id}/results",
            get(fine_tuning::results),
        )
        // A form has other parts beside its file.
        .layer(DefaultBodyLimit::max(files::LARGEST + (1 << 20)))
        .fallback(no_route)
        .method_not_allowed_fallback(no_method)
        .layer(from_fn_with_state(Arc::clone(&house), around))
        .with_state(house)
}

async fn health() -> &'static str {
    "ok\n"
}

async fn metrics(State(house): State<Arc<House>>) -> Response {
    let kind = [(header::CONTENT_TYPE, "text/plain; version=0.0.4")];
    (kind, house.metrics.render()).into_response()
}

async fn no_route(request: Request) -> Refusal {
    let message = format!("There is no {} {}.", request.method(), request.uri().path());
    Refusal::request(StatusCode::NOT_FOUND, message).code("unknown_url")
}

async fn no_method(request: Request) -> Refusal {
    let message = format!(
        "{} does not take {}.",
        request.uri().path(),
        request.method()
    );
    Refusal::request(StatusCode::METHOD_NOT_ALLOWED, message).code("method_not_allowed")
}

/// Around every request: who asks, a name for the answer, counting, a line for the listener.
async fn around(State(house): State<Arc<House>>, mut request: Request, next: Next) -> Response {
    let started = Instant::now();
    let route = request
        .extensions()
        .get::<MatchedPath>()
        .map_or("other", MatchedPath::as_str)
        .to_owned();
    let method = request.method().clone();
    let open = route == "/health" || page::OPEN.contains(&route.as_str());
    let admitted = house
        .guard(request.headers(), open)
        .and_then(|owner| house.in_time(owner, open));
    let mut response = match admitted {
        Ok(owner) => {
            request.extensions_mut().insert(owner);
            in_shape(next.run(request).await).await
        }
        Err(refusal) => refusal.into_response(),
    };
    let took = started.elapsed();
    let status = response.status().as_u16();
    house.metrics.answered(&route, status, took);
    let message = format!("{method} {route} {status} {:.3} s", took.as_secs_f64());
    house.listener.on(Event::Note { message });
    let headers = response.headers_mut();
    if let Ok(name) = HeaderValue::from_str(&format!("req_{}", asking::random_name())) {
        headers.insert("x-request-id", name);
    }
    headers.insert(
        header::X_CONTENT_TYPE_OPTIONS,
        HeaderValue::from_static("nosniff"),
    );
    response
}

/// What axum refuses by itself (a path or a query that it cannot read) it says in plain text.
async fn in_shape(response: Response) -> Response {
    let status = response.status();
    let kind = response.headers().get(header::CONTENT_TYPE);
    let plain = kind.is_some_and(|kind| kind.as_bytes().starts_with(b"text/plain"));
    if !plain || status.is_success() {
        return response;
    }
    let said = axum::body::to_bytes(response.into_body(), 4096).await;
    let said = said.unwrap_or_default();
    Refusal::request(status, String::from_utf8_lossy(&said)).into_response()
}

impl House {
    /// Whether who asks has not asked too often. What is open to all costs nothing to answer.
    fn in_time(&self, owner: Owner, open: bool) -> std::result::Result<Owner, Refusal> {
        if let Some(rate) = &self.rate
            && !open
            && let Err(wait) = rate.take(&owner.0, Instant::now())
        {
            self.metrics.turned_away.add(1);
            return Err(Refusal::too_often(
                rate.per_minute,
                wait.as_secs_f64().ceil() as u64,
            ));
        }
        Ok(owner)
    }

    /// Whether a request may come in.
    fn guard(&self, headers: &HeaderMap, open: bool) -> std::result::Result<Owner, Refusal> {
        let text = |name| headers.get(name).and_then(|value| value.to_str().ok());
        let Some(keys) = &self.keys else {
            // Without keys, whoever runs programs on this machine may ask; a page in its browser may
            // not, whether it asks from elsewhere or through a name that was made to lead here.
            let host = text(header::HOST).is_some_and(is_local);
            let origin = headers.get(header::ORIGIN).is_none()
                || text(header::ORIGIN)
                    .and_then(|origin| origin.split_once("://"))
                    .is_some_and(|(_, host)| is_local(host));
            if host && origin {
                return Ok(Owner(String::new()));
            }
            let message = "Without keys this server answers local programs only. Start it with --keys to serve others.";
            return Err(Refusal::request(StatusCode::FORBIDDEN, message));
        };
        let key = text(header::AUTHORIZATION)
            .and_then(|value| value.split_once(' '))
            .filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"));
        match key.and_then(|(_, key)| keys.name_of(key.trim())) {
            Some(name) => Ok(Owner(name.to_owned())),
            None if open => Ok(Owner(String::new())),
            None => Err(Refusal::no_key()),
        }
    }
}

/// Whether `host[:port]` is this machine by a name that no other machine can take.
fn is_local(host: &str) -> bool {
    let name = match host.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or_default(),
        None => host.split(':').next().unwrap_or_default(),
    };
    name.eq_ignore_ascii_case("localhost")
        || name
            .parse::<std::net::IpAddr>()
            .is_ok_and(|address| address.is_loopback())
}

/// The JSON document in a request's body.
pub struct Document(pub Value);

impl FromRequest<Arc<House>> for Document {
    type Rejection = Refusal;

    async fn from_request(
        request: Request,
        house: &Arc<House>,
    ) -> std::result::Result<Self, Refusal> {
        let limit = house.limits.body_bytes;
        let bytes = body(request.into_body(), limit).await?;
        serde_json::from_slice(&bytes).map(Self).map_err(|cause| {
            let message = format!("The body is not JSON: {cause}.");
            Refusal::request(StatusCode::BAD_REQUEST, message)
        })
    }
}

async fn body(body: Body, limit: usize) -> std::result::Result<Vec<u8>, Refusal> {
    match tokio::time::timeout(BODY_TIMEOUT, collected(body, limit)).await {
        Ok(collected) => collected,
        Err(_) => Err(Refusal::request(
            StatusCode::REQUEST_TIMEOUT,
            format!(
                "The body did not arrive within {} seconds.",
                BODY_TIMEOUT.as_secs()
            ),
        )),
    }
}

async fn collected(body: Body, limit: usize) -> std::result::Result<Vec<u8>, Refusal> {
    let mut pieces = body.into_data_stream();
    let (mut bytes, mut length) = (Vec::new(), 0);
    while let Some(piece) = pieces.next().await {
        let piece =
            piece.map_err(|_| Refusal::request(StatusCode::BAD_REQUEST, "The body broke off."))?;
        length += piece.len();
        if length <= limit {
            bytes.extend_from_slice(&piece);
        } else if length > DRAINED * limit {
            break;
        }
    }
    if length > limit {
        return Err(Refusal::request(
            StatusCode::PAYLOAD_TOO_LARGE,
            format!("The body is larger than {limit} bytes."),
        ));
    }
    Ok(bytes)
}

/// Does what takes the processor for a while (templates, tokenizing) where it holds up no connection.
pub async fn in_background<T: Send + 'static>(
    work: impl FnOnce() -> std::result::Result<T, Refusal> + Send + 'static,
) -> std::result::Result<T, Refusal> {
    match tokio::task::spawn_blocking(work).await {
        Ok(outcome) => outcome,
        Err(cause) => Err(Error::bug("reading a request failed").because(cause).into()),
    }
}

#[cfg(any(test, fuzzing))]
pub mod bare;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn local_names_and_others() {
        for host in [
            "localhost",
            "LOCALHOST:80",
            "127.0.0.1:8080",
            "[::1]:80",
            "127.8.8.8",
        ] {
            assert!(is_local(host), "{host}");
        }
        for host in [
            "example.com",
            "localhost.example.com",
            "10.0.0.1",
            "",
            "null",
            "127.0.0.1.nip.io",
        ] {
            assert!(!is_local(host), "{host}");
        }
    }
}

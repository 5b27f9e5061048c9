//! The RMS service, simulated: answers of the documented shapes over plain HTTP, for the lab and
//! the tests, and a record of who sent what. It makes no real certificates and checks no signatures.

pub mod sample;

mod answers;
mod certificate;
mod counts;
mod service;
#[cfg(test)]
mod tests;

pub use counts::{Counts, Seen, Snapshot};

use crate::rms::{Endpoint, EndpointKind, agreement, page, route};
use crate::tasks::Tasks;
use bytes::Bytes;
use counts::Arrival;
use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use hyper::body::{Body, Incoming};
use hyper::header::{ALLOW, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use sha2::{Digest, Sha256};
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tracing::debug;

/// What the simulated service is told.
#[derive(Clone, Debug)]
pub struct Config {
    /// The tenant's URL: in certificates, templates and service locations.
    pub tenant_url: String,
    /// How long each answer takes longer than the work it is.
    pub latency: Duration,
    /// How many templates there are.
    pub templates: u32,
    /// Where requests are recorded; keep a clone to read them.
    pub counts: Arc<Counts>,
}

impl Default for Config {
    fn default() -> Self {
        Config {
            tenant_url: "https://simulated.rms.example.net".to_owned(),
            latency: Duration::ZERO,
            templates: 3,
            counts: Arc::default(),
        }
    }
}

/// Serves until `tasks` is told to drain: then it takes no more connections, and those that are
/// open end after their request.
pub async fn serve(listener: TcpListener, config: Config, tasks: &Tasks) {
    let config = Arc::new(config);
    let accepted = |stream, _| {
        let (config, tasks) = (Arc::clone(&config), tasks.clone());
        async move { connection(stream, config, &tasks).await }
    };
    tasks.accept("simulator connection", listener, CONNECTIONS_MAX, accepted).await;
}

async fn connection(stream: TcpStream, config: Arc<Config>, tasks: &Tasks) {
    let service = service_fn(|request| answer(request, Arc::clone(&config)));
    let connection = hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADER_TIMEOUT)
        .serve_connection(TokioIo::new(stream), service);
    tokio::pin!(connection);
    let result = tokio::select! {
        result = connection.as_mut() => result,
        () = tasks.draining() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = result {
        debug!(%error, "a connection of the simulated service broke");
    }
}

async fn answer(
    request: Request<Incoming>,
    config: Arc<Config>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let path = request.uri().path();
    if let Some(below) = path.strip_prefix("/simulator/") {
        return Ok(inspect(request.method(), below, &config.counts));
    }
    let Some(endpoint) = route(path) else {
        return Ok(text(StatusCode::NOT_FOUND, "there is nothing at this path"));
    };
    let response = match (request.method(), endpoint.kind()) {
        (&Method::GET | &Method::HEAD, _) => get(endpoint, &config),
        (&Method::POST, EndpointKind::Service) => post(endpoint, request, &config).await,
        (_, kind) => not_allowed(kind),
    };
    Ok(response)
}

fn get(endpoint: Endpoint, config: &Config) -> Response<Full<Bytes>> {
    match endpoint.kind() {
        EndpointKind::TenantUrl => reply(
            StatusCode::OK,
            page::TENANT_URL_CONTENT_TYPE,
            page::tenant_url(&config.tenant_url).to_owned(),
        ),
        EndpointKind::Service | EndpointKind::Directory => {
            let page = page::page(endpoint, "simulated service", env!("CARGO_PKG_VERSION"));
            reply(StatusCode::OK, page::CONTENT_TYPE, page)
        }
    }
}

fn not_allowed(kind: EndpointKind) -> Response<Full<Bytes>> {
    let allowed = match kind {
        EndpointKind::Service => "GET, HEAD, POST",
        EndpointKind::TenantUrl | EndpointKind::Directory => "GET, HEAD",
    };
    let mut response = text(StatusCode::METHOD_NOT_ALLOWED, "this path does not take this method");
    response.headers_mut().insert(ALLOW, HeaderValue::from_static(allowed));
    response
}

async fn post(endpoint: Endpoint, request: Request<Incoming>, config: &Config) -> Response<Full<Bytes>> {
    let (head, body) = request.into_parts();
    let content_type = match agreement::content_type(value(&head.headers, CONTENT_TYPE)) {
        Ok(content_type) => content_type,
        Err(error) => return text(StatusCode::UNSUPPORTED_MEDIA_TYPE, &error.to_string()),
    };
    let too_large = || text(StatusCode::PAYLOAD_TOO_LARGE, "the request is larger than 16 MiB");
    if body.size_hint().lower() > BODY_BYTES_MAX as u64 {
        return too_large();
    }
    let body = match Limited::new(body, BODY_BYTES_MAX).collect().await {
        Ok(body) => body.to_bytes(),
        Err(error) if error.is::<LengthLimitError>() => return too_large(),
        Err(error) => return text(StatusCode::BAD_REQUEST, &format!("the request broke off: {error}")),
    };
    let soap_action = value(&head.headers, HeaderName::from_static("soapaction"));
    let entry = value(&head.headers, HeaderName::from_static("x-rmsc-entry-sid"));
    let call = service::Call { endpoint, content_type: &content_type, soap_action, entry, body: &body };
    let served = service::serve(&call, config);
    config.counts.record(&arrival(&head.headers, served.operation, &body));
    if !config.latency.is_zero() {
        tokio::time::sleep(config.latency).await;
    }
    reply(served.status, content_type.soap.content_type(), served.message)
}

fn arrival(headers: &HeaderMap, operation: &'static str, body: &[u8]) -> Arrival {
    let named = |name| value(headers, HeaderName::from_static(name)).unwrap_or("none").to_owned();
    Arrival {
        request_id: value(headers, HeaderName::from_static("x-rmsc-request-id")).map(str::to_owned),
        operation,
        node: named("x-rmsc-relay-node"),
        front: named("x-rmsc-front-node"),
        caller: named("x-rmsc-caller-sid"),
        entry: named("x-rmsc-entry-sid"),
        role: named("x-rmsc-role"),
        digest: Sha256::digest(body).into(),
    }
}

/// `/simulator/…`: what was recorded.
fn inspect(method: &Method, below: &str, counts: &Counts) -> Response<Full<Bytes>> {
    match (method, below) {
        (&Method::GET, "requests") => json(&counts.snapshot()),
        (&Method::GET, _) => match below.strip_prefix("requests/") {
            Some(id) => json(&counts.seen(id)),
            None => text(StatusCode::NOT_FOUND, "there is nothing at this path"),
        },
        (&Method::POST, "reset") => {
            counts.reset();
            text(StatusCode::OK, "reset")
        }
        _ => text(StatusCode::METHOD_NOT_ALLOWED, "this path does not take this method"),
    }
}

fn json(value: &impl serde::Serialize) -> Response<Full<Bytes>> {
    match serde_json::to_vec(value) {
        Ok(body) => reply(StatusCode::OK, "application/json", body),
        Err(error) => text(StatusCode::INTERNAL_SERVER_ERROR, &error.to_string()),
    }
}

fn text(status: StatusCode, message: &str) -> Response<Full<Bytes>> {
    reply(status, "text/plain; charset=utf-8", format!("{message}\n"))
}

fn reply(status: StatusCode, content_type: &'static str, body: impl Into<Bytes>) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(body.into()));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    response
}

fn value(headers: &HeaderMap, name: HeaderName) -> Option<&str> {
    headers.get(name).and_then(|value| value.to_str().ok())
}

/// The hard limit of a request; the service has none of its own that is known.
const BODY_BYTES_MAX: usize = 16 << 20;
/// Enough for a cluster under test; more wait in the backlog.
const CONNECTIONS_MAX: usize = 4_096;
const HEADER_TIMEOUT: Duration = Duration::from_secs(30);

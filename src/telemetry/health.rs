//! The ops port: is the process alive, does the node relay, can the cluster accept changes, and metrics.

use crate::tasks::Tasks;
use bytes::Bytes;
use http::{Method, Request, Response, StatusCode, header};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use prometheus_client::registry::Registry;
use std::convert::Infallible;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};

/// What the ops port asks of the node. Read-only.
#[derive(Clone)]
pub struct Ops {
    /// Can this node relay?
    pub ready: Arc<dyn Fn() -> Answer + Send + Sync>,
    /// Can the cluster accept changes?
    pub cluster: Arc<dyn Fn() -> Answer + Send + Sync>,
    /// The metrics of all parts.
    pub metrics: Arc<Registry>,
}

/// Yes or no, with details.
#[derive(Clone, Debug)]
pub struct Answer {
    /// The answer: status 200 or 503.
    pub yes: bool,
    /// The JSON to show.
    pub details: serde_json::Value,
}

/// Serves the ops port until the tasks drain.
pub async fn serve(listener: TcpListener, ops: Ops, tasks: Tasks) {
    let accepted = |stream, _| {
        let (ops, tasks) = (ops.clone(), tasks.clone());
        async move { converse(stream, ops, &tasks).await }
    };
    tasks.accept("ops connection", listener, CONNECTIONS_MAX, accepted).await;
}

async fn converse(stream: TcpStream, ops: Ops, tasks: &Tasks) {
    let service = service_fn(|request: Request<Incoming>| {
        let response = answer(&ops, request.method(), request.uri().path());
        async { Ok::<_, Infallible>(response) }
    });
    let serving = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(IDLE_TIMEOUT)
        .serve_connection(TokioIo::new(stream), service);
    let mut serving = pin!(serving);
    tokio::select! {
        _ = serving.as_mut() => return,
        () = tasks.draining() => serving.as_mut().graceful_shutdown(),
    }
    let _ = serving.await;
}

fn answer(ops: &Ops, method: &Method, path: &str) -> Response<Full<Bytes>> {
    if *method != Method::GET && *method != Method::HEAD {
        return respond(StatusCode::METHOD_NOT_ALLOWED, "text/plain", "The ops port is read-only.\n".into());
    }
    let json = |answer: Answer| {
        let status = if answer.yes { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
        respond(status, "application/json", format!("{}\n", answer.details))
    };
    match path {
        "/livez" => json(Answer { yes: true, details: serde_json::json!({ "live": true }) }),
        "/readyz" => json((ops.ready)()),
        "/clusterz" => json((ops.cluster)()),
        "/metrics" => metrics(&ops.metrics),
        _ => respond(
            StatusCode::NOT_FOUND,
            "text/plain",
            "Here are /livez, /readyz, /clusterz and /metrics.\n".into(),
        ),
    }
}

fn metrics(registry: &Registry) -> Response<Full<Bytes>> {
    let mut text = String::new();
    match prometheus_client::encoding::text::encode(&mut text, registry) {
        Ok(()) => respond(StatusCode::OK, "application/openmetrics-text; version=1.0.0; charset=utf-8", text),
        Err(error) => respond(StatusCode::INTERNAL_SERVER_ERROR, "text/plain", format!("{error}\n")),
    }
}

fn respond(status: StatusCode, content_type: &'static str, text: String) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(text.into()));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, http::HeaderValue::from_static(content_type));
    response
}

/// Monitors come one at a time.
const CONNECTIONS_MAX: usize = 64;
const IDLE_TIMEOUT: Duration = Duration::from_secs(60);

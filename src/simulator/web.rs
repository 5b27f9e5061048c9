//! One request to the simulated service: which page, message or fault it gets.

use super::counts::Arrival;
use super::spoil::{self, Body, CutOff, whole};
use super::wire::Cut;
use super::{Config, Paths, inspection, service};
use crate::rms::{Endpoint, EndpointKind, agreement, page, route};
use bytes::Bytes;
use http_body_util::{BodyExt, LengthLimitError, Limited};
use hyper::body::{Body as _, Incoming};
use hyper::header::{ALLOW, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use hyper::{Method, Request, Response, StatusCode};
use sha2::{Digest, Sha256};
use std::sync::Arc;

pub(super) async fn answer(
    request: Request<Incoming>,
    config: Arc<Config>,
    paths: Paths,
    cut: Cut,
) -> Result<Response<Body>, CutOff> {
    let path = request.uri().path();
    if path.starts_with("/simulator/") {
        return Ok(inspection::answer(request, &config).await);
    }
    let Some(endpoint) = route(path).filter(|_| paths == Paths::All) else {
        return Ok(text(StatusCode::NOT_FOUND, "there is nothing at this path"));
    };
    Ok(match (request.method(), endpoint.kind()) {
        (&Method::GET | &Method::HEAD, _) => get(endpoint, &config),
        (&Method::POST, EndpointKind::Service) => return post(endpoint, request, &config, &cut).await,
        (_, kind) => not_allowed(kind),
    })
}

fn get(endpoint: Endpoint, config: &Config) -> Response<Body> {
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

fn not_allowed(kind: EndpointKind) -> Response<Body> {
    let allowed = match kind {
        EndpointKind::Service => "GET, HEAD, POST",
        EndpointKind::TenantUrl | EndpointKind::Directory => "GET, HEAD",
    };
    let mut response = text(StatusCode::METHOD_NOT_ALLOWED, "this path does not take this method");
    response.headers_mut().insert(ALLOW, HeaderValue::from_static(allowed));
    response
}

async fn post(
    endpoint: Endpoint,
    request: Request<Incoming>,
    config: &Config,
    cut: &Cut,
) -> Result<Response<Body>, CutOff> {
    let (head, body) = request.into_parts();
    let content_type = match agreement::content_type(value(&head.headers, CONTENT_TYPE)) {
        Ok(content_type) => content_type,
        Err(error) => return Ok(text(StatusCode::UNSUPPORTED_MEDIA_TYPE, &error.to_string())),
    };
    let body = match read(body).await {
        Ok(body) => body,
        Err(refused) => return Ok(refused),
    };
    let soap_action = value(&head.headers, HeaderName::from_static("soapaction"));
    let entry = value(&head.headers, HeaderName::from_static("x-rmsc-entry-sid"));
    let licensor = &config.licensor;
    let call = service::Call {
        endpoint,
        content_type: &content_type,
        soap_action,
        entry,
        body: &body,
        config,
        licensor,
    };
    let served = service::serve(&call);
    config.counts.record(&arrival(&head.headers, served.operation, &body));
    let drawn = config.faults.draw(served.operation);
    for name in &drawn.names {
        config.counts.fault(name);
    }
    let latency = config.latency + drawn.latency;
    if !latency.is_zero() {
        tokio::time::sleep(latency).await;
    }
    spoil::answer(drawn.fault, content_type.soap, served, cut).await
}

async fn read(body: Incoming) -> Result<Bytes, Response<Body>> {
    let too_large = || text(StatusCode::PAYLOAD_TOO_LARGE, "the request is larger than 16 MiB");
    if body.size_hint().lower() > BODY_BYTES_MAX as u64 {
        return Err(too_large());
    }
    match Limited::new(body, BODY_BYTES_MAX).collect().await {
        Ok(body) => Ok(body.to_bytes()),
        Err(error) if error.is::<LengthLimitError>() => Err(too_large()),
        Err(error) => Err(text(StatusCode::BAD_REQUEST, &format!("the request broke off: {error}"))),
    }
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
        content_type: value(headers, CONTENT_TYPE).unwrap_or_default().to_owned(),
        soap_action: value(headers, HeaderName::from_static("soapaction")).unwrap_or_default().to_owned(),
    }
}

pub(super) fn text(status: StatusCode, message: &str) -> Response<Body> {
    reply(status, "text/plain; charset=utf-8", format!("{message}\n"))
}

pub(super) fn reply(
    status: StatusCode,
    content_type: &'static str,
    body: impl Into<Bytes>,
) -> Response<Body> {
    let mut response = Response::new(whole(body));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    response
}

fn value(headers: &HeaderMap, name: HeaderName) -> Option<&str> {
    headers.get(name).and_then(|value| value.to_str().ok())
}

/// The hard limit of a request; the service has none of its own that is known.
pub(super) const BODY_BYTES_MAX: usize = 16 << 20;

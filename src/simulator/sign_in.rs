//! A sign-in service, simulated, for labs and tests: it grants tokens (RFC 6749 4.4 and 6, RFC 7523, RFC 8628), and
//! stands before a simulated service as one that takes no request without such a token. Nothing in it is secure.

mod heard;

use super::fault::Certificate;
use super::{CONNECTIONS_MAX, Encryption, Paths};
use crate::tasks::Tasks;
use bytes::Bytes;
use heard::Heard;
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper::header::{AUTHORIZATION, CONTENT_TYPE, HOST, HeaderValue, WWW_AUTHENTICATE};
use hyper::http::request::Parts;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode, Uri};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioIo};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::convert::Infallible;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;

/// The application's secret that it takes.
pub const CLIENT_SECRET: &str = "simulated-secret";

/// What the simulated sign-in service is told.
pub struct SignInConfig {
    /// The service that requests with a token are handed to.
    pub service: Uri,
    /// How long a token lives.
    pub life: Duration,
    /// What stands in the place of `/_wmcs` in the paths of the service; below anything else there is nothing.
    pub path_prefix: String,
    /// The certificate to show; without one there is no TLS.
    pub encryption: Option<Encryption>,
}

/// The simulated sign-in service. Clones are the same one.
#[derive(Clone)]
pub struct SignIn {
    shared: Arc<Shared>,
}

struct Shared {
    config: SignInConfig,
    client: Client<HttpConnector, Full<Bytes>>,
    inner: Mutex<Inner>,
    go: Notify,
}

#[derive(Default)]
struct Inner {
    down: bool,
    takes_none: bool,
    /// The next question waits for leave to be answered.
    hold: bool,
    held: u64,
    approved: bool,
    count: u64,
    tokens: BTreeSet<String>,
    refresh: Option<String>,
    last_assertion: String,
    grants: BTreeMap<String, u64>,
    refused: u64,
    heard: Heard,
    /// The last two.
    granted_at: [Option<Instant>; 2],
}

impl SignIn {
    /// One that is up and takes tokens.
    #[must_use]
    pub fn new(config: SignInConfig) -> Self {
        let client = Client::builder(TokioExecutor::new()).build_http();
        SignIn { shared: Arc::new(Shared { config, client, inner: Mutex::default(), go: Notify::new() }) }
    }

    /// Serves until `tasks` is told to drain.
    pub async fn serve(self, listener: TcpListener, tasks: &Tasks) {
        self.accept(listener, Paths::All, tasks).await;
    }

    /// Serves what `/simulator/…` has, without TLS.
    pub async fn control(self, listener: TcpListener, tasks: &Tasks) {
        self.accept(listener, Paths::Control, tasks).await;
    }

    async fn accept(self, listener: TcpListener, paths: Paths, tasks: &Tasks) {
        let accepted = |stream, _| {
            let sign_in = self.clone();
            async move { sign_in.connection(stream, paths).await }
        };
        tasks.accept("sign-in connection", listener, CONNECTIONS_MAX, accepted).await;
    }

    async fn connection(self, stream: TcpStream, paths: Paths) {
        match &self.shared.config.encryption {
            Some(encryption) if paths == Paths::All => {
                match encryption.server(Certificate::Good).accept(stream).await {
                    Ok(stream) => self.converse(stream, paths).await,
                    Err(error) => tracing::debug!(%error, "a handshake with the simulated sign-in failed"),
                }
            }
            _ => self.converse(stream, paths).await,
        }
    }

    async fn converse<S: AsyncRead + AsyncWrite + Unpin>(&self, stream: S, paths: Paths) {
        let service = service_fn(|request| self.answer(request, paths));
        let served =
            hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
        if let Err(error) = served {
            tracing::debug!(%error, "a connection of the simulated sign-in broke");
        }
    }

    async fn answer(
        &self,
        request: Request<Incoming>,
        paths: Paths,
    ) -> Result<Response<Full<Bytes>>, Infallible> {
        let (head, body) = request.into_parts();
        let Ok(body) = Limited::new(body, BODY_BYTES_MAX).collect().await.map(|body| body.to_bytes()) else {
            return Ok(reply(StatusCode::BAD_REQUEST, &json!({ "error": "invalid_request" })));
        };
        let path = head.uri.path();
        Ok(if let Some(order) = path.strip_prefix("/simulator/") {
            self.order(&head.method, order)
        } else if paths == Paths::Control {
            nothing()
        } else if path.ends_with("/token") {
            self.wait_for_leave().await;
            self.token(path, &form(&body))
        } else if path.ends_with("/devicecode") {
            self.device(path, &form(&body))
        } else {
            self.hand_on(head, body).await
        })
    }

    async fn wait_for_leave(&self) {
        let leave = self.shared.go.notified();
        if self.is_held() {
            leave.await;
        }
    }

    fn is_held(&self) -> bool {
        let mut inner = self.inner();
        let is_held = std::mem::take(&mut inner.hold);
        inner.held += u64::from(is_held);
        is_held
    }

    /// What a test sets and reads.
    fn order(&self, method: &Method, order: &str) -> Response<Full<Bytes>> {
        let mut inner = self.inner();
        match (method, order) {
            (&Method::GET, "sign-in") => {}
            (&Method::POST, "down") => inner.down = true,
            (&Method::POST, "hold") => inner.hold = true,
            (&Method::POST, "go") => self.shared.go.notify_waiters(),
            (&Method::POST, "up") => inner.down = false,
            (&Method::POST, "approve") => inner.approved = true,
            (&Method::POST, "revoke") => inner.tokens.clear(),
            (&Method::POST, "lose-refresh") => inner.refresh = None,
            (&Method::POST, "refuse-all") => inner.takes_none = true,
            (&Method::POST, "take-again") => inner.takes_none = false,
            _ => return nothing(),
        }
        let said = json!({
            "granted": inner.count, "grants": inner.grants, "refused": inner.refused,
            "last_assertion": inner.last_assertion, "last": inner.heard, "apart_ms": inner.apart_ms(),
            "held": inner.held,
        });
        reply(StatusCode::OK, &said)
    }

    fn device(&self, path: &str, form: &BTreeMap<String, String>) -> Response<Full<Bytes>> {
        let mut inner = self.inner();
        inner.heard.form(path, form);
        if inner.down {
            return unavailable();
        }
        reply(
            StatusCode::OK,
            &json!({
                "device_code": "device-1", "user_code": "SIM-ULATED", "expires_in": 60, "interval": 1,
                "verification_uri": "https://sign-in.example/device",
            }),
        )
    }

    fn token(&self, path: &str, form: &BTreeMap<String, String>) -> Response<Full<Bytes>> {
        let mut inner = self.inner();
        inner.heard.form(path, form);
        if inner.down {
            return unavailable();
        }
        let field = |name: &str| form.get(name).map_or("", String::as_str);
        let refusal = match field("grant_type") {
            "client_credentials" if form.contains_key("client_assertion") => {
                inner.last_assertion = field("client_assertion").to_owned();
                None
            }
            "client_credentials" => (field("client_secret") != CLIENT_SECRET).then_some("invalid_client"),
            "refresh_token" => {
                (inner.refresh.as_deref() != Some(field("refresh_token"))).then_some("invalid_grant")
            }
            DEVICE => (!inner.approved).then_some("authorization_pending"),
            _ => Some("unsupported_grant_type"),
        };
        if let Some(error) = refusal {
            return reply(
                StatusCode::BAD_REQUEST,
                &json!({ "error": error, "error_description": "simulated" }),
            );
        }
        inner.count += 1;
        inner.granted_at = [inner.granted_at[1], Some(Instant::now())];
        *inner.grants.entry(field("grant_type").to_owned()).or_default() += 1;
        let token = format!("simulated-token-{}", inner.count);
        inner.tokens.insert(token.clone());
        let mut answer = json!({
            "token_type": "Bearer", "access_token": token, "expires_in": self.shared.config.life.as_secs(),
        });
        if field("grant_type") != "client_credentials" {
            // Each can be used once.
            let refresh = format!("simulated-refresh-{}", inner.count);
            inner.refresh = Some(refresh.clone());
            if let Value::Object(fields) = &mut answer {
                fields.insert("refresh_token".to_owned(), Value::String(refresh));
            }
        }
        reply(StatusCode::OK, &answer)
    }

    /// To the service, if the request has a token that was granted and not taken back.
    async fn hand_on(&self, head: Parts, body: Bytes) -> Response<Full<Bytes>> {
        let proof = head.headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok());
        let (scheme, token) = proof.and_then(|value| value.split_once(' ')).unwrap_or_default();
        let SignInConfig { service, path_prefix, .. } = &self.shared.config;
        {
            let mut inner = self.inner();
            inner.heard.request(&head, scheme);
            if inner.takes_none || !inner.tokens.contains(token) {
                inner.refused += 1;
                let mut response = reply(StatusCode::UNAUTHORIZED, &json!({ "error": "invalid_token" }));
                response.headers_mut().insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
                return response;
            }
        }
        let Some(path) = head.uri.path().strip_prefix(path_prefix.as_str()) else { return nothing() };
        let base = service.to_string();
        let mut request = Request::new(Full::new(body));
        *request.method_mut() = head.method;
        *request.uri_mut() =
            format!("{}/_wmcs{path}", base.trim_end_matches('/')).parse().unwrap_or_default();
        *request.headers_mut() = head.headers;
        request.headers_mut().remove(AUTHORIZATION);
        request.headers_mut().remove(HOST);
        match self.shared.client.request(request).await {
            Ok(response) => {
                let (head, body) = response.into_parts();
                let body = body.collect().await.map(|body| body.to_bytes()).unwrap_or_default();
                Response::from_parts(head, Full::new(body))
            }
            Err(error) => reply(StatusCode::BAD_GATEWAY, &json!({ "error": error.to_string() })),
        }
    }

    fn inner(&self) -> std::sync::MutexGuard<'_, Inner> {
        self.shared.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    /// How long after the one before it the last token was granted.
    fn apart_ms(&self) -> Option<u64> {
        let [before, last] = self.granted_at;
        u64::try_from((last? - before?).as_millis()).ok()
    }
}

fn nothing() -> Response<Full<Bytes>> {
    reply(StatusCode::NOT_FOUND, &json!({ "error": "there is nothing at this path" }))
}

fn unavailable() -> Response<Full<Bytes>> {
    reply(StatusCode::SERVICE_UNAVAILABLE, &json!({ "error": "temporarily_unavailable" }))
}

fn reply(status: StatusCode, value: &Value) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(value.to_string())));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

/// Pairs of `application/x-www-form-urlencoded`.
fn form(body: &[u8]) -> BTreeMap<String, String> {
    let text = String::from_utf8_lossy(body);
    let pairs = text.split('&').filter_map(|pair| pair.split_once('='));
    pairs.map(|(name, value)| (decoded(name), decoded(value))).collect()
}

fn decoded(text: &str) -> String {
    let mut parts = text.split('%');
    let mut bytes = parts.next().unwrap_or_default().replace('+', " ").into_bytes();
    for part in parts {
        let (digits, rest) = part.split_at_checked(2).unwrap_or((part, ""));
        bytes.extend(u8::from_str_radix(digits, 16));
        bytes.extend(rest.replace('+', " ").bytes());
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

const DEVICE: &str = "urn:ietf:params:oauth:grant-type:device_code";
const BODY_BYTES_MAX: usize = 16 << 20;

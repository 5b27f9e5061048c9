//! The service behind the connector: where it is, how it is reached, and one request to it, for each kind of
//! service that there is.

mod account;
pub mod cloud;
mod config;
mod connect;
mod gated;
mod hosts;
mod kept;
mod kernel;
mod line;
mod metrics;
mod negotiate;
mod path;
mod pool;
mod proxy;
mod question;
mod simulated;
mod slots;
#[cfg(test)]
mod tests;
mod tokens;
mod trouble;

pub use account::{AccountConfig, AccountError, Proof, Protocol};
pub use config::{Config, Kind};
pub use hosts::Hosts;
pub use metrics::Metrics;
pub use proxy::ProxyConfig;
pub use tokens::{AccessToken, TokenSource, Tokens};
pub use trouble::{SendError, Trouble};

use crate::secret::Secret;
use crate::tasks::Tasks;
use crate::tls;
use bytes::Bytes;
use connect::{Dialer, connector};
use gated::gated;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode, header};
use http_body_util::BodyExt;
use http_body_util::combinators::UnsyncBoxBody;
use kept::Kept;
use line::Lines;
use negotiate::{Authenticated, Waiting};
use path::Path;
use pool::{HttpClient, Pool};
use proxy::Proxy;
use std::error::Error;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::watch;
use trouble::When;

/// A body on its way, kept whole or streamed.
pub type Body = UnsyncBoxBody<Bytes, BodyError>;
/// Asked right before bytes leave for the service; an error ends the request there.
pub type Gate = Arc<dyn Fn() -> Result<(), BodyError> + Send + Sync>;
/// Why a body broke off.
pub type BodyError = Box<dyn Error + Send + Sync>;

/// The client of the service. Clones share its connections.
#[derive(Clone)]
pub struct Upstream {
    transport: Transport,
    dialer: Dialer,
    config: Arc<Config>,
    path: Path,
    metrics: Metrics,
}

/// How requests get there.
#[derive(Clone)]
enum Transport {
    /// Over any connection.
    Shared(Pool),
    /// With a proof of the connector's own account.
    Authenticated(Authenticated),
    /// With the connector's token.
    Bearer(Pool, Tokens),
}

/// One request to the service, with what the service may be told about it.
pub struct Outgoing {
    /// 32 hexadecimal digits.
    pub request_id: String,
    /// The canonical path, `/_wmcs/…`.
    pub path: &'static str,
    /// The content type, written anew out of what was inspected.
    pub content_type: String,
    /// The SOAPAction likewise, with its quotes; empty for none.
    pub soap_action: String,
    /// The client's User-Agent; usage logs of the service carry it.
    pub user_agent: String,
    /// The client's Accept-Encoding.
    pub accept_encoding: String,
    /// The marks of the clusters that it has come through, this one last.
    pub via: String,
    /// Who asked, by which entry.
    pub on_behalf_of: OnBehalfOf,
    /// The bytes, untouched.
    pub body: Body,
    /// Which attempt it is; a second one gets a connection of its own.
    pub attempt: u32,
    /// Whether it may still be sent, once there is a connection.
    pub gate: Gate,
    /// How long the service may take until its answer begins.
    pub timeout: Duration,
}

/// Who asked, by which entry of the table, through which node.
pub struct OnBehalfOf {
    /// The caller's SID.
    pub caller: String,
    /// The SID of the entry that matched.
    pub entry: String,
    /// The entry's role.
    pub role: &'static str,
    /// The node whose front took the request.
    pub front_node: String,
}

/// The beginning of the service's answer.
pub struct Answer {
    /// Its status.
    pub status: StatusCode,
    /// Its content type, if it is a text of header characters.
    pub content_type: String,
    /// Its content encoding, likewise.
    pub content_encoding: String,
    /// When to come again, likewise.
    pub retry_after: String,
    /// Its bytes, to come.
    pub body: Body,
}

impl Upstream {
    /// Makes the client; nothing is connected yet. Connections end when `tasks` drain.
    ///
    /// # Errors
    /// The certificate authority's file is unusable.
    pub fn new(
        config: Config,
        tokens: Tokens,
        metrics: Metrics,
        tasks: Tasks,
    ) -> Result<Self, tls::LoadError> {
        let proxy = config.proxy.clone().map(|config| Arc::new(Proxy::new(config)));
        let dialer = Dialer::new(proxy, config.hosts.clone()).with(Lines::new(tasks.clone()));
        let roots = config.roots();
        let connector = connector(dialer.clone(), tls::service_client(roots)?);
        let path = Path::new(connector.clone(), config.base.clone(), tasks.clone());
        let pool = Pool::new(connector, dialer.clone());
        let transport = match &config.kind {
            Kind::Simulated => Transport::Shared(pool),
            Kind::AdRms(account) | Kind::Chained(account) => {
                let tls = tls::ServiceClient::trusting(roots)?;
                Transport::Authenticated(Authenticated::new(account.clone(), dialer.clone(), tls, tasks))
            }
            Kind::OAuth(_) => Transport::Bearer(pool, tokens),
        };
        Ok(Upstream { transport, dialer, config: Arc::new(config), path, metrics })
    }

    /// What kind of service it is.
    #[must_use]
    pub fn kind(&self) -> &Kind {
        &self.config.kind
    }

    /// What this node lacks to send requests, and others may have.
    #[must_use]
    pub fn hampered(&self) -> Option<String> {
        let no_token = match &self.transport {
            Transport::Bearer(_, tokens) => tokens.now().is_none().then(|| Trouble::NoToken.to_string()),
            Transport::Shared(_) | Transport::Authenticated(_) => None,
        };
        self.path.cut().borrow().clone().or(no_token)
    }

    /// Why this node has no way to the service, if it has none; what it is now, and every change.
    #[must_use]
    pub fn path_cut(&self) -> watch::Receiver<Option<String>> {
        self.path.cut()
    }

    /// The service's own URL, which servers are told by `GetRmsoUri.aspx`.
    #[must_use]
    pub fn tenant_url(&self) -> String {
        self.config.base.to_string().trim_end_matches('/').to_owned()
    }

    /// Sends one request, once, and waits until its answer begins.
    ///
    /// # Errors
    /// [`SendError`] says what is wrong on the way. A redirect is an answer like any other.
    pub async fn send(&self, outgoing: Outgoing) -> Result<Answer, SendError> {
        let (timeout, gate) = (outgoing.timeout, outgoing.gate.clone());
        let (entry, attempt) = (outgoing.on_behalf_of.entry.clone(), outgoing.attempt);
        let request = self.request(outgoing).map_err(|trouble| self.failed(trouble, None))?;
        let proxied = !matches!(self.transport, Transport::Authenticated(_))
            && self.dialer.proxy_that_reads(request.uri()).is_some();
        let started = Instant::now();
        // Who gets no connection should hear that before the time is over.
        let patience = timeout.mul_f32(0.9);
        let exchange = self.exchange(request, gate, Waiting { entry, patience, attempt });
        let result = tokio::time::timeout(timeout, exchange).await;
        self.metrics.answered(started.elapsed(), matches!(&result, Ok(Ok(_))));
        match result {
            Err(_) => Err(self.failed(Trouble::TimedOut { waited: timeout }, None)),
            Ok(Err((trouble, source))) => Err(self.failed(trouble, source)),
            Ok(Ok(response)) if is_of_proxy(&response, proxied) => {
                Err(self.failed(Trouble::ProxyLogin, None))
            }
            Ok(Ok(response)) => {
                self.path.answered();
                Ok(answer(response))
            }
        }
    }

    async fn exchange(
        &self,
        request: Request<Body>,
        gate: Gate,
        waiting: Waiting,
    ) -> Result<Response<Body>, (Trouble, Option<BodyError>)> {
        match &self.transport {
            Transport::Shared(pool) => {
                shared(&pool.client(waiting.attempt), request.map(|body| gated(body, gate))).await
            }
            Transport::Bearer(pool, tokens) => {
                self.with_token(&pool.client(waiting.attempt), tokens, request, gate).await
            }
            Transport::Authenticated(account) => {
                let (parts, body) = request.into_parts();
                let head = negotiate::Head { uri: parts.uri, headers: parts.headers, waiting };
                account
                    .send(&head, body, gate)
                    .await
                    .map_err(|failed| (failed.trouble(), Some(failed.into())))
            }
        }
    }

    /// A token that is not taken is renewed once, and the request sent once more.
    async fn with_token(
        &self,
        client: &HttpClient,
        tokens: &Tokens,
        request: Request<Body>,
        gate: Gate,
    ) -> Result<Response<Body>, (Trouble, Option<BodyError>)> {
        let Kind::OAuth(oauth) = &self.config.kind else { return Err((Trouble::NoToken, None)) };
        let (parts, body) = request.into_parts();
        let mut token = tokens.now().ok_or((Trouble::NoToken, None))?;
        let mut body = Kept::of(body, gate).await.map_err(|error| (Trouble::Lost, Some(error)))?;
        for attempt in 1..=TOKENS_MAX {
            let Some(bytes) = body.take() else { break };
            let mut request = Request::from_parts(parts.clone(), bytes);
            let value = Secret::new(format!("{} {}", oauth.scheme, token.text.expose()));
            let mut value = HeaderValue::from_str(value.expose())
                .map_err(|error| (Trouble::NoToken, Some(error.into())))?;
            value.set_sensitive(true);
            request.headers_mut().insert(header::AUTHORIZATION, value);
            let response = shared(client, request).await?;
            if response.status() != StatusCode::UNAUTHORIZED {
                return Ok(response);
            }
            // What was streamed cannot be sent again: nobody waits for another token for that.
            if !body.is_left() {
                tokens.refuse(token.id);
                break;
            }
            if attempt < TOKENS_MAX {
                token = tokens.other_than(token.id).await.ok_or((Trouble::TokenRefused, None))?;
            }
        }
        Err((Trouble::TokenRefused, None))
    }

    fn failed(&self, trouble: Trouble, source: Option<BodyError>) -> SendError {
        self.metrics.failed(&trouble);
        self.path.troubled(&trouble);
        SendError { trouble, base: self.tenant_url(), source }
    }

    /// The path that the service has for one of ours.
    fn path(&self, path: &str) -> String {
        match (&self.config.kind, path.strip_prefix("/_wmcs")) {
            (Kind::OAuth(oauth), Some(below)) => format!("{}{below}", oauth.path_prefix),
            _ => path.to_owned(),
        }
    }

    /// The URL and the headers that a request is sent with, but for proofs.
    fn head(&self, outgoing: &Outgoing) -> Result<(String, HeaderMap), Trouble> {
        let unsendable = |reason: String| Trouble::Unsendable { reason };
        let uri = format!("{}{}", self.tenant_url(), self.path(outgoing.path));
        let mut headers = HeaderMap::new();
        let mut put = |name: HeaderName, value: &str| -> Result<(), Trouble> {
            if !value.is_empty() {
                let value = HeaderValue::from_str(value)
                    .map_err(|_| unsendable(format!("{name} has characters that no header may have")))?;
                headers.insert(name, value);
            }
            Ok(())
        };
        put(header::CONTENT_TYPE, &outgoing.content_type)?;
        put(HeaderName::from_static("soapaction"), &outgoing.soap_action)?;
        put(header::USER_AGENT, &outgoing.user_agent)?;
        put(header::ACCEPT_ENCODING, &outgoing.accept_encoding)?;
        put(HeaderName::from_static("x-rmsc-request-id"), &outgoing.request_id)?;
        match &self.config.kind {
            Kind::Simulated => {
                for (name, value) in simulated::headers(&self.config.node, &outgoing.on_behalf_of) {
                    put(HeaderName::from_static(name), value)?;
                }
            }
            // These are told nothing of the caller: their own headers are not public. Whatever it says to be, it may be
            // a connector.
            Kind::AdRms(_) | Kind::Chained(_) => put(HeaderName::from_static("x-rmsc-via"), &outgoing.via)?,
            Kind::OAuth(oauth) => {
                for (name, assertion) in &oauth.assertions {
                    put(name.clone(), assertion.of(&outgoing.on_behalf_of))?;
                }
            }
        }
        Ok((uri, headers))
    }

    fn request(&self, outgoing: Outgoing) -> Result<Request<Body>, Trouble> {
        let unsendable = |reason: String| Trouble::Unsendable { reason };
        let (uri, headers) = self.head(&outgoing)?;
        let mut request = Request::builder()
            .method(Method::POST)
            .uri(uri)
            .body(outgoing.body)
            .map_err(|error| unsendable(error.to_string()))?;
        *request.headers_mut() = headers;
        // What proves an account has a tunnel in any case.
        if let Transport::Shared(_) | Transport::Bearer(..) = self.transport {
            log_in_at_proxy(&self.dialer, &mut request)?;
        }
        Ok(request)
    }
}

/// Without TLS each request goes to the web proxy itself, with its own login; with TLS only the tunnel has one.
fn log_in_at_proxy(dialer: &Dialer, request: &mut Request<Body>) -> Result<(), Trouble> {
    if let Some(proxy) = dialer.proxy_that_reads(request.uri())
        && let Some(login) = proxy.authorization().map_err(|_| Trouble::ProxyPassword)?
    {
        request.headers_mut().insert(header::PROXY_AUTHORIZATION, login);
    }
    Ok(())
}

async fn shared(
    client: &HttpClient,
    request: Request<Body>,
) -> Result<Response<Body>, (Trouble, Option<BodyError>)> {
    let response = client.request(request).await.map_err(|source| {
        let when = if source.is_connect() { When::Connecting } else { When::Connected };
        (Trouble::of(&source, when), Some(source.into()))
    })?;
    Ok(response.map(|body| body.map_err(Into::into).boxed_unsync()))
}

/// Whether the web proxy itself asks for a login. Without TLS it answers in the service's place; what it passes on has
/// its mark (RFC 9110 7.6.3).
fn is_of_proxy<B>(response: &Response<B>, proxied: bool) -> bool {
    match response.status() {
        // From nowhere else, or the service says it itself.
        StatusCode::PROXY_AUTHENTICATION_REQUIRED => proxied,
        StatusCode::UNAUTHORIZED => proxied && !response.headers().contains_key(header::VIA),
        _ => false,
    }
}

fn answer(response: Response<Body>) -> Answer {
    let text = |name| {
        response.headers().get(name).and_then(|value| value.to_str().ok()).unwrap_or_default().to_owned()
    };
    Answer {
        status: response.status(),
        content_type: text(header::CONTENT_TYPE),
        content_encoding: text(header::CONTENT_ENCODING),
        retry_after: text(header::RETRY_AFTER),
        body: response.into_body(),
    }
}

/// The one that there is, and the one that is got in its place.
const TOKENS_MAX: usize = 2;

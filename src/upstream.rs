//! The service behind the connector: where it is, and one request to it. Of the kinds that the
//! design names, the simulated one is here; the others need this client and their own words.

mod connect;
mod metrics;
#[cfg(test)]
mod tests;
mod trouble;

pub use metrics::Metrics;
pub use trouble::{SendError, Trouble};

use crate::tls;
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, StatusCode, Uri, header};
use http_body_util::combinators::UnsyncBoxBody;
use hyper::body::Incoming;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use std::error::Error;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use trouble::When;

/// A body on its way, kept whole or streamed.
pub type Body = UnsyncBoxBody<Bytes, BodyError>;
/// Why a body broke off.
pub type BodyError = Box<dyn Error + Send + Sync>;

/// Which service, and how to reach it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// What kind of service it is.
    pub kind: Kind,
    /// `http(s)://authority`, without a path.
    pub base: Uri,
    /// The certificate authority to trust for `https`.
    pub authority: Option<PathBuf>,
    /// This node's name, told to a simulated service.
    pub node: String,
}

/// The kinds of service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// `rmsc simulate cloud`, which also likes to know who asked and through which nodes.
    Simulated,
}

impl Kind {
    /// The word for it in the configuration.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Kind::Simulated => "simulated",
        }
    }
}

/// The client of the service. Clones share its connections.
#[derive(Clone)]
pub struct Upstream {
    client: Client<HttpsConnector<connect::Tcp>, Body>,
    config: Arc<Config>,
    metrics: Metrics,
}

/// One request to the service, with what the service may be told about it.
pub struct Outgoing {
    /// 32 hexadecimal digits.
    pub request_id: String,
    /// The canonical path, `/_wmcs/…`.
    pub path: &'static str,
    /// The client's content type.
    pub content_type: String,
    /// The client's SOAPAction, with its quotes; empty if it sent none.
    pub soap_action: String,
    /// The client's User-Agent; usage logs of the service carry it.
    pub user_agent: String,
    /// The client's Accept-Encoding.
    pub accept_encoding: String,
    /// Who asked, by which entry.
    pub on_behalf_of: OnBehalfOf,
    /// The bytes, untouched.
    pub body: Body,
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
    /// Its bytes, to come.
    pub body: Incoming,
}

impl Upstream {
    /// Makes the client; nothing is connected yet.
    ///
    /// # Errors
    /// The certificate authority's file is unusable.
    pub fn new(config: Config, metrics: Metrics) -> Result<Self, tls::LoadError> {
        let connector = HttpsConnectorBuilder::new()
            .with_tls_config(tls::service_client(config.authority.as_deref())?)
            .https_or_http()
            .enable_http1()
            .wrap_connector(connect::tcp());
        let client = Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(POOL_IDLE_TIMEOUT)
            .pool_max_idle_per_host(POOL_IDLE_MAX)
            // Retries belong to the front alone, where they have a budget.
            .retry_canceled_requests(false)
            .build(connector);
        Ok(Upstream { client, config: Arc::new(config), metrics })
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
        let timeout = outgoing.timeout;
        let request = self.request(outgoing).map_err(|trouble| self.failed(trouble, None))?;
        let started = std::time::Instant::now();
        let result = tokio::time::timeout(timeout, self.client.request(request)).await;
        self.metrics.answered(started.elapsed(), matches!(&result, Ok(Ok(_))));
        match result {
            Err(_) => Err(self.failed(Trouble::TimedOut { waited: timeout }, None)),
            Ok(Err(source)) => {
                let when = if source.is_connect() { When::Connecting } else { When::Connected };
                Err(self.failed(Trouble::of(&source, when), Some(Box::new(source))))
            }
            Ok(Ok(response)) => Ok(answer(response)),
        }
    }

    fn failed(&self, trouble: Trouble, source: Option<BodyError>) -> SendError {
        self.metrics.failed(&trouble);
        SendError { trouble, base: self.tenant_url(), source }
    }

    fn request(&self, outgoing: Outgoing) -> Result<Request<Body>, Trouble> {
        let unsendable = |reason: String| Trouble::Unsendable { reason };
        let uri = format!("{}{}", self.tenant_url(), outgoing.path);
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
        match self.config.kind {
            Kind::Simulated => {
                put(HeaderName::from_static("x-rmsc-relay-node"), &self.config.node)?;
                put(HeaderName::from_static("x-rmsc-front-node"), &outgoing.on_behalf_of.front_node)?;
                put(HeaderName::from_static("x-rmsc-caller-sid"), &outgoing.on_behalf_of.caller)?;
                put(HeaderName::from_static("x-rmsc-entry-sid"), &outgoing.on_behalf_of.entry)?;
                put(HeaderName::from_static("x-rmsc-role"), outgoing.on_behalf_of.role)?;
            }
        }
        let mut request = Request::builder()
            .method(Method::POST)
            .uri(uri)
            .body(outgoing.body)
            .map_err(|error| unsendable(error.to_string()))?;
        *request.headers_mut() = headers;
        Ok(request)
    }
}

fn answer(response: http::Response<Incoming>) -> Answer {
    let text = |name| {
        response.headers().get(name).and_then(|value| value.to_str().ok()).unwrap_or_default().to_owned()
    };
    Answer {
        status: response.status(),
        content_type: text(header::CONTENT_TYPE),
        content_encoding: text(header::CONTENT_ENCODING),
        body: response.into_body(),
    }
}

/// Below the idle time-outs of common servers, so that they rarely close a connection under a request.
const POOL_IDLE_TIMEOUT: Duration = Duration::from_secs(15);
/// Connections kept for the next requests; more may be open while they are used.
const POOL_IDLE_MAX: usize = 64;

//! The service behind the connector: where it is, and one request to it. Of the kinds that the
//! design names, the simulated one is here; the others need this client and their own words.

mod metrics;

pub use metrics::Metrics;

use crate::tls;
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, StatusCode, Uri, header};
use http_body_util::combinators::UnsyncBoxBody;
use hyper::body::Incoming;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use std::error::Error;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

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
    client: Client<HttpsConnector<HttpConnector>, Body>,
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
    /// When to come again, likewise.
    pub retry_after: String,
    /// Its bytes, to come.
    pub body: Incoming,
}

/// There was no answer.
#[derive(Debug, thiserror::Error)]
pub enum SendError {
    /// No connection: the request was certainly not seen.
    #[error("cannot connect to the service at {base}")]
    Connect {
        /// Where the service should be.
        base: String,
        /// The cause.
        source: Box<hyper_util::client::legacy::Error>,
    },
    /// The connection broke before the answer began: the request may have been seen.
    #[error("the service at {base} broke off")]
    Lost {
        /// Where the service is.
        base: String,
        /// The cause.
        source: Box<hyper_util::client::legacy::Error>,
    },
    /// It took too long.
    #[error("the service at {base} did not answer within {waited:?}")]
    TimedOut {
        /// Where the service is.
        base: String,
        /// For how long was waited.
        waited: Duration,
    },
    /// A part of the request cannot stand in a header.
    #[error("the request cannot be sent on: {reason}")]
    Unsendable {
        /// Which part.
        reason: String,
    },
}

impl Upstream {
    /// Makes the client; nothing is connected yet.
    ///
    /// # Errors
    /// The certificate authority's file is unusable.
    pub fn new(config: Config, metrics: Metrics) -> Result<Self, tls::LoadError> {
        let mut http = HttpConnector::new();
        http.enforce_http(false);
        http.set_nodelay(true);
        http.set_connect_timeout(Some(CONNECT_TIMEOUT));
        let connector = HttpsConnectorBuilder::new()
            .with_tls_config(tls::service_client(config.authority.as_deref())?)
            .https_or_http()
            .enable_http1()
            .wrap_connector(http);
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

    /// The word for what kind of service it is.
    #[must_use]
    pub fn kind_word(&self) -> &'static str {
        self.config.kind.word()
    }

    /// Sends one request, once, and waits until its answer begins.
    ///
    /// # Errors
    /// [`SendError`] says whether the service can have seen it. A redirect is an answer like any other.
    pub async fn send(&self, outgoing: Outgoing) -> Result<Answer, SendError> {
        let timeout = outgoing.timeout;
        let request = self.request(outgoing)?;
        let started = std::time::Instant::now();
        let result = tokio::time::timeout(timeout, self.client.request(request)).await;
        self.metrics.answered(started.elapsed(), matches!(&result, Ok(Ok(_))));
        let base = || self.tenant_url();
        match result {
            Err(_) => Err(SendError::TimedOut { base: base(), waited: timeout }),
            Ok(Err(source)) if source.is_connect() => {
                Err(SendError::Connect { base: base(), source: Box::new(source) })
            }
            Ok(Err(source)) => Err(SendError::Lost { base: base(), source: Box::new(source) }),
            Ok(Ok(response)) => Ok(answer(response)),
        }
    }

    fn request(&self, outgoing: Outgoing) -> Result<Request<Body>, SendError> {
        let unsendable = |reason: String| SendError::Unsendable { reason };
        let uri = format!("{}{}", self.tenant_url(), outgoing.path);
        let mut headers = HeaderMap::new();
        let mut put = |name: HeaderName, value: &str| -> Result<(), SendError> {
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
        retry_after: text(header::RETRY_AFTER),
        body: response.into_body(),
    }
}

/// A service that is up answers a SYN within this; the caller's own limit is 30 s.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// Below the idle time-outs of common servers, so that they rarely close a connection under a request.
const POOL_IDLE_TIMEOUT: Duration = Duration::from_secs(15);
/// Connections kept for the next requests; more may be open while they are used.
const POOL_IDLE_MAX: usize = 64;

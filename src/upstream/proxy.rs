//! The web proxy: who goes through it, and the way through it (RFC 9110 9.3.6).

use super::line::Line;
use crate::secret::{PasswordError, Secret, read_password};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use futures::future::{Either, join, select};
use http::{HeaderValue, Method, Request, StatusCode, Uri, header};
use http_body_util::Empty;
use hyper::client::conn::http1;
use hyper_util::client::proxy::matcher::Matcher;
use hyper_util::rt::TokioIo;
use std::error::Error;
use std::path::PathBuf;
use std::pin::pin;
use std::time::Duration;

/// `[upstream.proxy]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProxyConfig {
    /// `http://HOST:PORT`.
    pub url: Uri,
    /// Who logs in there, and the file of the password; without it nobody does.
    pub login: Option<(String, PathBuf)>,
    /// Hosts, domains, addresses and networks that are reached without it.
    pub no_proxy: Vec<String>,
}

/// The web proxy does not lead to the service.
#[derive(Debug, thiserror::Error)]
pub(super) enum ProxyFault {
    #[error("the web proxy at {proxy} cannot be reached")]
    Unreachable { proxy: String, source: Box<dyn Error + Send + Sync> },
    #[error("the web proxy at {proxy} broke off")]
    Lost { proxy: String, source: hyper::Error },
    #[error("the web proxy at {proxy} answers {status}")]
    Status { proxy: String, status: StatusCode },
    #[error("no login at the web proxy")]
    Password(#[from] PasswordError),
}

pub(super) struct Proxy {
    config: ProxyConfig,
    matcher: Matcher,
}

impl Proxy {
    pub(super) fn new(config: ProxyConfig) -> Self {
        let matcher = Matcher::builder().all(config.url.to_string()).no(config.no_proxy.join(",")).build();
        Proxy { config, matcher }
    }

    pub(super) fn url(&self) -> &Uri {
        &self.config.url
    }

    /// Whether it is between this host and that address.
    pub(super) fn leads_to(&self, uri: &Uri) -> bool {
        self.matcher.intercept(uri).is_some()
    }

    /// The header of a login: the file is read anew, so that a changed password needs no restart.
    pub(super) fn authorization(&self) -> Result<Option<HeaderValue>, PasswordError> {
        let Some((user, file)) = &self.config.login else { return Ok(None) };
        let password = read_password("the web proxy's password file", file)?;
        let pair = Secret::new(format!("{user}:{}", password.expose()));
        let header = Secret::new(format!("Basic {}", STANDARD.encode(pair.expose())));
        // Base64 has nothing that a header cannot have.
        let mut header = HeaderValue::from_str(header.expose()).ok();
        if let Some(header) = &mut header {
            header.set_sensitive(true);
        }
        Ok(header)
    }

    /// Asks for a way to the host, on a connection to the proxy.
    pub(super) async fn tunnel(&self, stream: Line, to: &Uri) -> Result<Line, ProxyFault> {
        let proxy = || self.config.url.to_string();
        let asked = tokio::time::timeout(TUNNEL_TIMEOUT, self.ask(stream, to)).await;
        asked.unwrap_or_else(|late| Err(ProxyFault::Unreachable { proxy: proxy(), source: late.into() }))
    }

    async fn ask(&self, stream: Line, to: &Uri) -> Result<Line, ProxyFault> {
        let proxy = || self.config.url.to_string();
        let lost = |source| ProxyFault::Lost { proxy: proxy(), source };
        let port = to.port_u16().unwrap_or(if to.scheme_str() == Some("http") { 80 } else { 443 });
        let authority = format!("{}:{port}", to.host().unwrap_or_default());
        let mut request = Request::builder()
            .method(Method::CONNECT)
            .uri(&authority)
            .header(header::HOST, &authority)
            .body(Empty::<Bytes>::new())
            .map_err(|error| ProxyFault::Unreachable { proxy: proxy(), source: error.into() })?;
        if let Some(login) = self.authorization()? {
            request.headers_mut().insert(header::PROXY_AUTHORIZATION, login);
        }
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(lost)?;
        // The connection does the work while its sender waits, and ends when it becomes a tunnel.
        let connection = pin!(connection.with_upgrades());
        let (response, connection) = match select(pin!(sender.send_request(request)), connection).await {
            Either::Left((response, connection)) => (response.map_err(lost)?, Some(connection)),
            Either::Right((ended, response)) => {
                ended.map_err(lost)?;
                (response.await.map_err(lost)?, None)
            }
        };
        if !response.status().is_success() {
            return Err(ProxyFault::Status { proxy: proxy(), status: response.status() });
        }
        let upgraded = match connection {
            Some(connection) => join(hyper::upgrade::on(response), connection).await.0,
            None => hyper::upgrade::on(response).await,
        };
        let parts = upgraded.map_err(lost)?.downcast::<TokioIo<Line>>();
        // The service says nothing before it is spoken to.
        match parts {
            Ok(parts) if parts.read_buf.is_empty() => Ok(parts.io.into_inner()),
            _ => Err(ProxyFault::Status { proxy: proxy(), status: StatusCode::BAD_GATEWAY }),
        }
    }
}

/// The proxy connects to the service meanwhile.
const TUNNEL_TIMEOUT: Duration = Duration::from_secs(8);

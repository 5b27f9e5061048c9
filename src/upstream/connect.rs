//! The way to a host of the service: whether it may be called, its address, TCP, the web proxy.

use super::hosts::Hosts;
use super::line::{Line, Lines};
use super::proxy::{Proxy, ProxyFault};
use crate::tls;
use http::Uri;
use hyper::rt::{Read, ReadBufCursor, Write};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::connect::dns::{GaiAddrs, GaiResolver, Name};
use hyper_util::client::legacy::connect::{Connected, Connection, HttpConnector};
use hyper_util::rt::TokioIo;
use std::error::Error;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::net::TcpStream;
use tower::{Service, ServiceExt};

/// Why there is no way.
pub(super) type DialError = Box<dyn Error + Send + Sync>;

/// Goes to the hosts of the service. Clones go the same way.
#[derive(Clone)]
pub(super) struct Dialer {
    tcp: HttpConnector<Resolver>,
    proxy: Option<Arc<Proxy>>,
    hosts: Arc<Hosts>,
    lines: Option<Lines>,
}

/// A connection that is not encrypted yet, or never.
pub(super) struct Way {
    stream: TokioIo<Line>,
    /// At the other end is the web proxy, which wants whole addresses.
    at_proxy: bool,
}

impl Dialer {
    pub(super) fn new(proxy: Option<Arc<Proxy>>, hosts: Hosts) -> Self {
        let mut tcp = HttpConnector::new_with_resolver(Resolver { inner: GaiResolver::new() });
        tcp.enforce_http(false);
        tcp.set_nodelay(true);
        tcp.set_connect_timeout(Some(CONNECT_TIMEOUT));
        tcp.set_keepalive(Some(KEEPALIVE_AFTER));
        tcp.set_keepalive_interval(Some(KEEPALIVE_EVERY));
        tcp.set_keepalive_retries(Some(KEEPALIVES_MAX));
        Dialer { tcp, proxy, hosts: Arc::new(hosts), lines: None }
    }

    /// The same, with somebody who looks after its connections while they wait for answers.
    pub(super) fn with(self, lines: Lines) -> Self {
        Dialer { lines: Some(lines), ..self }
    }

    /// How many of its connections were given up, since nothing arrived at the other end.
    pub(super) fn given_up(&self) -> u64 {
        self.lines.as_ref().map_or(0, Lines::given_up)
    }

    /// The web proxy that is between this host and that address.
    fn proxy_to(&self, uri: &Uri) -> Option<&Arc<Proxy>> {
        self.proxy.as_ref().filter(|proxy| proxy.leads_to(uri))
    }

    /// The same if it reads what goes to that address: without TLS it wants to see the request.
    pub(super) fn proxy_that_reads(&self, uri: &Uri) -> Option<&Arc<Proxy>> {
        self.proxy_to(uri).filter(|_| uri.scheme_str() == Some("http"))
    }

    /// A connection whose other end is the service, whatever is between.
    pub(super) async fn dial(&self, uri: &Uri) -> Result<Line, DialError> {
        self.hosts.check(uri.host().unwrap_or_default())?;
        match self.proxy_to(uri) {
            None => Ok(self.line(self.tcp.clone().oneshot(uri.clone()).await?)),
            Some(proxy) => Ok(proxy.tunnel(self.to_proxy(proxy).await?, uri).await?),
        }
    }

    fn line(&self, tcp: TokioIo<TcpStream>) -> Line {
        match &self.lines {
            Some(lines) => lines.add(tcp.into_inner()),
            None => Line::alone(tcp.into_inner()),
        }
    }

    async fn to_proxy(&self, proxy: &Proxy) -> Result<Line, DialError> {
        let connected = self.tcp.clone().oneshot(proxy.url().clone()).await;
        let unreachable =
            |error: DialError| ProxyFault::Unreachable { proxy: proxy.url().to_string(), source: error };
        Ok(self.line(connected.map_err(|error| unreachable(error.into()))?))
    }

    async fn way(self, uri: Uri) -> Result<Way, DialError> {
        self.hosts.check(uri.host().unwrap_or_default())?;
        let (stream, at_proxy) = match self.proxy_that_reads(&uri) {
            Some(proxy) => (self.to_proxy(proxy).await?, true),
            None => (self.dial(&uri).await?, false),
        };
        Ok(Way { stream: TokioIo::new(stream), at_proxy })
    }
}

impl Service<Uri> for Dialer {
    type Response = Way;
    type Error = DialError;
    type Future = Pin<Box<dyn Future<Output = Result<Way, DialError>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), DialError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        Box::pin(self.clone().way(uri))
    }
}

impl Connection for Way {
    fn connected(&self) -> Connected {
        Connected::new().proxy(self.at_proxy)
    }
}

impl Read for Way {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl Write for Way {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(context, bytes)
    }
}

/// The host's resolver; its errors are told apart from those of a connection.
#[derive(Clone, Debug)]
struct Resolver {
    inner: GaiResolver,
}

/// A name has no address.
#[derive(Debug, thiserror::Error)]
#[error("the name {name} has no address")]
pub(super) struct NoName {
    pub(super) name: String,
    #[source]
    source: io::Error,
}

impl Service<Name> for Resolver {
    type Response = GaiAddrs;
    type Error = NoName;
    type Future = Pin<Box<dyn Future<Output = Result<GaiAddrs, NoName>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), NoName>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, name: Name) -> Self::Future {
        let host = name.to_string();
        let found = self.inner.call(name);
        Box::pin(async move { found.await.map_err(|source| NoName { name: host, source }) })
    }
}

/// Goes there with TLS where the address says so.
pub(super) fn connector(dialer: Dialer, tls: tls::ClientSettings) -> HttpsConnector<Dialer> {
    HttpsConnectorBuilder::new().with_tls_config(tls).https_or_http().enable_http1().wrap_connector(dialer)
}

/// A service that is up answers a SYN within this; the caller's own limit is 30 s.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// A connection on which nothing was said for so long is asked whether the other end is there, again after
/// [`KEEPALIVE_EVERY`], and is none when so many questions were not answered: after five seconds in all. So one that is
/// kept for the next request is rarely dead for longer, and nobody waits for an answer that cannot come. The other end's
/// kernel answers, however slow its service is.
const KEEPALIVE_AFTER: Duration = Duration::from_secs(2);
const KEEPALIVE_EVERY: Duration = Duration::from_secs(1);
const KEEPALIVES_MAX: u32 = 3;

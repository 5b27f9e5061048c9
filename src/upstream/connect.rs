//! The way to a host of the service: names, TCP, and what can go wrong with each.

use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::client::legacy::connect::dns::{GaiAddrs, GaiResolver, Name};
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;
use tower::Service;

/// TCP to a host by name.
pub(super) type Tcp = HttpConnector<Resolver>;

/// Makes it.
pub(super) fn tcp() -> Tcp {
    let mut tcp = HttpConnector::new_with_resolver(Resolver { inner: GaiResolver::new() });
    tcp.enforce_http(false);
    tcp.set_nodelay(true);
    tcp.set_connect_timeout(Some(CONNECT_TIMEOUT));
    tcp
}

/// The host's resolver; its errors are told apart from those of a connection.
#[derive(Clone, Debug)]
pub(super) struct Resolver {
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

/// A service that is up answers a SYN within this; the caller's own limit is 30 s.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

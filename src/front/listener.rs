//! Accepts clients' connections, within limits, and hands their requests to the front.

use super::patience::Patience;
use super::{Connection, Front};
use crate::identity::ChannelBinding;
use crate::principal::Channel;
use crate::tasks::Tasks;
use crate::tls::FrontServer;
use http::Request;
use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};

/// Limits of a listener.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// Connections open at once; further ones wait to be accepted.
    pub connections_max: usize,
}

/// One listener of the front: with TLS, or without.
pub struct Listener {
    listener: TcpListener,
    tls: Option<FrontServer>,
    connections_max: usize,
}

impl Listener {
    /// Binds an address. Without `tls` the connections are clear text.
    ///
    /// # Errors
    /// The address is in use, or not of this host.
    pub async fn bind(address: SocketAddr, tls: Option<FrontServer>, config: &Config) -> io::Result<Self> {
        let listener = TcpListener::bind(address).await?;
        Ok(Listener { listener, tls, connections_max: config.connections_max })
    }

    /// Accepts connections until the tasks drain; those that are open then finish their requests.
    pub async fn serve(self, front: Arc<Front>, tasks: Tasks) {
        let tls = self.tls;
        let accepted = |stream, remote| {
            let (front, tls, tasks) = (front.clone(), tls.clone(), tasks.clone());
            async move {
                front.metrics.connections.inc();
                if let Err(error) = shake_hands(stream, remote, tls, &front, &tasks).await {
                    tracing::debug!(%remote, error, "connection ended");
                }
                front.metrics.connections.dec();
            }
        };
        tasks.accept("client connection", self.listener, self.connections_max, accepted).await;
    }
}

async fn shake_hands(
    stream: TcpStream,
    remote: SocketAddr,
    tls: Option<FrontServer>,
    front: &Arc<Front>,
    tasks: &Tasks,
) -> Result<(), String> {
    match tls {
        Some(tls) => {
            let binding = ChannelBinding::of_certificate(tls.leaf()).map_err(|error| error.to_string())?;
            let stream = tls.accept(stream).await.map_err(|error| error.to_string())?;
            let connection = Connection::new(remote, Channel::Https, Some(binding));
            converse(stream, connection, front, tasks).await
        }
        None => converse(stream, Connection::new(remote, Channel::Http, None), front, tasks).await,
    }
}

async fn converse<S>(
    stream: S,
    connection: Connection,
    front: &Arc<Front>,
    tasks: &Tasks,
) -> Result<(), String>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let connection = Arc::new(connection);
    let service = service_fn(|request: Request<Incoming>| {
        let (front, connection) = (front.clone(), connection.clone());
        async move {
            let request = request.map(|body| body.map_err(Into::into).boxed_unsync());
            Ok::<_, Infallible>(front.handle(&connection, request).await)
        }
    });
    let serving = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(IDLE_TIMEOUT)
        .max_buf_size(HEADER_BYTES_MAX)
        .max_headers(HEADERS_MAX)
        .serve_connection(TokioIo::new(Patience::new(stream)), service);
    let mut serving = pin!(serving);
    tokio::select! {
        result = serving.as_mut() => return result.map_err(|error| error.to_string()),
        () = tasks.draining() => serving.as_mut().graceful_shutdown(),
    }
    serving.await.map_err(|error| error.to_string())
}

/// How long a connection may stay without a next request, its headers included.
const IDLE_TIMEOUT: Duration = Duration::from_secs(120);
/// A Windows token has up to 48,000 bytes, 64,000 in base64; the rest of a header is small.
const HEADER_BYTES_MAX: usize = 96 << 10;
/// Windows clients send about ten.
const HEADERS_MAX: usize = 64;

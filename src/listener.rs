//! Takes connections of members over mutual TLS, and hands each request with its member to a service:
//! the peer port and the admin port alike.

use crate::event::Seen;
use crate::tasks::Tasks;
use crate::tls::{Member, MemberServer};
use http::{Request, Response};
use http_body_util::combinators::UnsyncBoxBody;
use hyper::body::Incoming;
use hyper::server::conn::http2;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use std::convert::Infallible;
use std::error::Error;
use std::future::Future;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::net::{TcpListener, TcpStream};

/// A body of an answer.
pub type Body = UnsyncBoxBody<bytes::Bytes, Box<dyn Error + Send + Sync>>;

/// Answers the requests of members.
pub trait Service: Send + Sync + 'static {
    /// Answers one request; the member is who the connection's certificate says.
    fn call(
        &self,
        member: &Member,
        request: Request<Incoming>,
    ) -> Pin<Box<dyn Future<Output = Response<Body>> + Send>>;

    /// Whether this member may talk to this port at all; the error says why not.
    ///
    /// # Errors
    /// The reason, for the log.
    fn admit(&self, member: &Member) -> Result<(), String>;
}

/// Accepts connections until the tasks drain; those that are open then finish their requests.
pub async fn serve(listener: TcpListener, tls: MemberServer, service: Arc<dyn Service>, tasks: Tasks) {
    let refused = Arc::new(Seen::new(REFUSED_EVERY));
    let accepted = |stream, remote: SocketAddr| {
        let (tls, service, tasks, refused) = (tls.clone(), service.clone(), tasks.clone(), refused.clone());
        async move {
            if let Err(error) = converse(stream, &tls, service, &tasks).await
                && refused.is_new(remote.ip(), Instant::now())
            {
                tracing::warn!(%remote, error, "a connection was refused: it is of no member that may use this port");
            }
        }
    };
    tasks.accept("member connection", listener, CONNECTIONS_MAX, accepted).await;
}

async fn converse(
    stream: TcpStream,
    tls: &MemberServer,
    service: Arc<dyn Service>,
    tasks: &Tasks,
) -> Result<(), String> {
    let (stream, member) = tls.accept(stream).await.map_err(|error| error.to_string())?;
    service.admit(&member)?;
    let answer = service_fn(|request| {
        let answer = service.call(&member, request);
        async move { Ok::<_, Infallible>(answer.await) }
    });
    let serving = http2::Builder::new(TokioExecutor::new())
        .timer(TokioTimer::new())
        .keep_alive_interval(PING_EVERY)
        .keep_alive_timeout(PING_TIMEOUT)
        .max_concurrent_streams(STREAMS_MAX)
        .initial_stream_window_size(STREAM_WINDOW_BYTES)
        .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
        .serve_connection(TokioIo::new(stream), answer);
    let mut serving = pin!(serving);
    tokio::select! {
        // A member that goes away ends its connections as it likes.
        _ = serving.as_mut() => return Ok(()),
        () = tasks.draining() => serving.as_mut().graceful_shutdown(),
    }
    // Members keep streams open for as long as they can; only the calls that are about to end are waited for.
    let _ = tokio::time::timeout(LAST_CALLS, serving).await;
    Ok(())
}

/// A cluster has few members, and each a few connections.
const CONNECTIONS_MAX: usize = 256;
/// A front hands over so many requests at once on one connection; more wait.
const STREAMS_MAX: u32 = 1_000;
/// A stranger that knocks all the time must not fill the log.
const REFUSED_EVERY: Duration = Duration::from_secs(60);
/// After a drain began: what is in flight on the peer and admin ports is short.
const LAST_CALLS: Duration = Duration::from_secs(1);
/// A member that is gone without a word must not keep its connection.
const PING_EVERY: Duration = Duration::from_secs(10);
const PING_TIMEOUT: Duration = Duration::from_secs(10);
/// One long message must not wait for window updates on every 64 KiB.
const STREAM_WINDOW_BYTES: u32 = 1 << 20;
const CONNECTION_WINDOW_BYTES: u32 = 8 << 20;

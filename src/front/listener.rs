//! Accepts clients' connections, within limits, and hands their requests to the front.

use super::admission::{Held, TURNED_AWAY_MAX};
use super::patience::Patience;
use super::strict::{Conversation, HEAD_BYTES_MAX, HEADERS_MAX, Long, Strict};
use super::times::{HEAD_TIMEOUT, IDLE_TIMEOUT};
use super::{Connection, Front, expect, held};
use crate::identity::ChannelBinding;
use crate::principal::Channel;
use crate::tasks::Tasks;
use crate::tls::FrontServer;
use crate::upstream::Body;
use http::{HeaderValue, Request, Response, Version, header};
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
use std::time::{Duration, Instant};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;

/// Limits of a listener.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// Connections open at once; on further ones nothing but a refusal is said.
    pub connections_max: usize,
    /// Those of one source: an IPv4 address, or a /64 of IPv6.
    pub connections_per_source_max: usize,
    /// Requests in flight.
    pub requests_max: usize,
    /// Those of one source.
    pub requests_per_source_max: usize,
    /// Those of one account.
    pub requests_per_account_max: usize,
    /// Bytes of requests that are kept for another attempt.
    pub buffered_bytes_max: usize,
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
                let Some((_held, welcome)) = place(&front, remote) else { return };
                front.metrics.connections.inc();
                // Apart: what is awaited in two places would have room in both.
                let conversing = Box::pin(shake_hands(
                    stream,
                    remote,
                    tls,
                    Host { front: &front, welcome, tasks: &tasks },
                ));
                let ended = match welcome {
                    Welcome::Served => conversing.await,
                    Welcome::TurnedAway => timeout(TURNED_AWAY_WITHIN, conversing).await.unwrap_or(Ok(())),
                };
                if let Err(error) = ended {
                    tracing::debug!(%remote, error, "connection ended");
                }
                front.metrics.connections.dec();
            }
        };
        // Some more, of which nothing is kept, so that there is somebody to say no.
        let accepted_max = self.connections_max + 2 * TURNED_AWAY_MAX;
        tasks.accept("client connection", self.listener, accepted_max, accepted).await;
    }
}

/// What is done with a connection.
#[derive(Clone, Copy)]
enum Welcome {
    Served,
    /// There is no room: whatever comes gets a refusal.
    TurnedAway,
}

/// Who talks to a client, and how.
#[derive(Clone, Copy)]
struct Host<'a> {
    front: &'a Arc<Front>,
    welcome: Welcome,
    tasks: &'a Tasks,
}

/// A place for a connection. Without one it is closed at once.
fn place(front: &Front, remote: SocketAddr) -> Option<(Held, Welcome)> {
    match front.admission.connection(remote.ip()) {
        Ok(held) => Some((held, Welcome::Served)),
        Err(_) => Some((front.admission.turned_away()?, Welcome::TurnedAway)),
    }
}

async fn shake_hands(
    stream: TcpStream,
    remote: SocketAddr,
    tls: Option<FrontServer>,
    host: Host<'_>,
) -> Result<(), String> {
    match tls {
        Some(tls) => {
            // The certificate may be another one meanwhile; the client has seen this.
            let (stream, leaf) = tls.accept(stream).await.map_err(|error| error.to_string())?;
            let binding = ChannelBinding::of_certificate(&leaf).map_err(|error| error.to_string())?;
            let connection = Connection::new(remote, Channel::Https, Some(binding));
            converse(stream, connection, host).await
        }
        None => converse(stream, Connection::new(remote, Channel::Http, None), host).await,
    }
}

async fn converse<S>(stream: S, connection: Connection, host: Host<'_>) -> Result<(), String>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let Host { front, welcome, tasks } = host;
    let connection = Arc::new(connection);
    let conversation = Arc::new(Conversation::default());
    let service = service_fn(|request: Request<Incoming>| {
        let (front, connection, conversation) = (front.clone(), connection.clone(), conversation.clone());
        async move {
            let (answering, version) = (conversation.answering(), request.version());
            let request = request.map(|body| body.map_err(Into::into).boxed_unsync());
            let (request, awaited) = expect::follow(request);
            let is_refused = answering.refused().is_some();
            let response = match (answering.refused(), welcome) {
                (Some(kind), _) => front.not_http(&connection, kind),
                (None, Welcome::TurnedAway) => front.no_room(),
                // Apart, so that a connection without a request has no room for one.
                (None, Welcome::Served) => Box::pin(front.handle(&connection, request)).await,
            };
            // Whatever was made of the rest: nobody knows what the client has meant.
            let response = match answering.refused() {
                Some(kind) if !is_refused => front.not_http(&connection, kind),
                _ if awaited.is_due() || connection.ends_with(response.status()) => closing(response),
                _ => response,
            };
            let response = in_words_of(version, response);
            Ok::<_, Infallible>(response.map(|body| held::until_the_end(body, answering)))
        }
    });
    let leaving = connection.clone();
    let long = Long::new(&front.admission, connection.remote.ip());
    let stream = Strict::new(Patience::new(stream), conversation.clone(), long);
    let serving = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(IDLE_TIMEOUT + HEAD_TIMEOUT)
        .max_buf_size(HEAD_BYTES_MAX)
        .max_headers(HEADERS_MAX)
        .serve_connection(TokioIo::new(stream), service);
    let mut serving = pin!(serving);
    tokio::select! {
        result = serving.as_mut() => return result.map_err(|error| error.to_string()),
        () = left(&leaving, tasks) => serving.as_mut().graceful_shutdown(),
    }
    serving.await.map_err(|error| error.to_string())
}

/// Waits until a connection of a node that ends can be closed between two requests. To whoever closes it at once, a
/// request may be on its way, and the client that has its challenge has its logon cut.
async fn left(connection: &Connection, tasks: &Tasks) {
    tasks.draining().await;
    connection.leave();
    tokio::time::sleep(LINGER).await;
    let begun = Instant::now();
    while connection.is_shaking_hands() && begun.elapsed() < LEG_WITHIN {
        tokio::time::sleep(LEG_LOOK_EVERY).await;
    }
}

fn closing(mut response: Response<Body>) -> Response<Body> {
    response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    response
}

/// To a client of HTTP/1.0 that asks for `keep-alive` hyper would say both that and `close`, unless the answer is in that
/// version too.
fn in_words_of(version: Version, mut response: Response<Body>) -> Response<Body> {
    if version == Version::HTTP_10 && response.headers().contains_key(header::CONNECTION) {
        *response.version_mut() = version;
    }
    response
}

/// So long a connection of a node that ends is kept for a request that is on its way; its answer says that it is the last.
const LINGER: Duration = Duration::from_secs(1);
/// And so long for the next leg of a handshake.
const LEG_WITHIN: Duration = Duration::from_secs(3);
const LEG_LOOK_EVERY: Duration = Duration::from_millis(50);
/// Who is turned away has so long in all, its handshake included.
const TURNED_AWAY_WITHIN: Duration = Duration::from_secs(5);

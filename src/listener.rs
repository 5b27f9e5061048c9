//! Takes connections of members over mutual TLS, and hands each request with its member to a service:
//! the peer port and the admin port alike.

mod places;

use crate::event::{Event, Refused, Seen};
use crate::tasks::Tasks;
use crate::tls::{Accepted, MemberServer, Refusal, Who};
use futures::future::BoxFuture;
use http::{Request, Response};
use http_body_util::combinators::UnsyncBoxBody;
use hyper::body::Incoming;
use hyper::server::conn::http2;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use places::{Limits, Place, Places};
use std::convert::Infallible;
use std::error::Error;
use std::net::{IpAddr, SocketAddr};
use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;

/// A body of an answer.
pub type Body = UnsyncBoxBody<bytes::Bytes, Box<dyn Error + Send + Sync>>;

/// Answers the requests of members.
pub trait Service: Send + Sync + 'static {
    /// Answers one request; who asks is what the connection's certificate says.
    fn call(
        &self,
        who: &Who,
        remote: SocketAddr,
        request: Request<Incoming>,
    ) -> BoxFuture<'static, Response<Body>>;

    /// Whether this one may talk to this port at all.
    ///
    /// # Errors
    /// Why not.
    fn admit(&self, who: &Who) -> Result<(), Unwelcome>;

    /// Ends when one that was let in may talk to this port no longer, and says why. The connection is closed
    /// then, with all that is on it.
    fn dismissed(&self, who: &Who) -> BoxFuture<'static, Unwelcome>;
}

/// Somebody may not talk to a port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unwelcome {
    /// Why.
    pub why: Refused,
    /// Who it is.
    pub who: String,
}

/// The address of a port, and what it is called.
pub struct Port {
    /// Where it listens.
    pub listener: TcpListener,
    /// `peer` or `admin`.
    pub name: &'static str,
    /// Calls at once on one connection of a member; more wait.
    pub streams_max: u32,
}

struct Serving {
    port: &'static str,
    streams_max: u32,
    tls: MemberServer,
    service: Arc<dyn Service>,
    members: Semaphore,
    strangers: Places,
    guests: Places,
    refused: Seen<(IpAddr, u16, String)>,
    tasks: Tasks,
}

/// Accepts connections until the tasks drain; those that are open then finish their requests.
pub async fn serve(port: Port, tls: MemberServer, service: Arc<dyn Service>, tasks: Tasks) {
    let serving = Arc::new(Serving {
        port: port.name,
        streams_max: port.streams_max,
        tls,
        service,
        members: Semaphore::new(MEMBERS_MAX),
        strangers: Places::new(STRANGERS),
        guests: Places::new(GUESTS),
        refused: Seen::new(REFUSED_EVERY),
        tasks: tasks.clone(),
    });
    let accepted = |stream, remote: SocketAddr| {
        let serving = serving.clone();
        async move {
            // Until it has proven who it is, it takes no place of a member; too many are dropped at once.
            if let Some(place) = serving.strangers.take(remote.ip()) {
                serving.meet(stream, remote, place).await;
            }
        }
    };
    tasks.accept("member connection", port.listener, CONNECTIONS_MAX, accepted).await;
}

impl Serving {
    async fn meet(&self, stream: TcpStream, remote: SocketAddr, place: Place) {
        let Ok(accepted) = tokio::time::timeout(HANDSHAKE_TIMEOUT, self.tls.accept(stream)).await else {
            tracing::debug!(port = self.port, %remote, "a handshake took too long");
            return;
        };
        drop(place);
        match accepted {
            Ok(accepted) => self.receive(accepted, remote).await,
            Err(refusal) => self.refuse(&refusal, remote),
        }
    }

    async fn receive(&self, accepted: Accepted, remote: SocketAddr) {
        if let Err(unwelcome) = self.service.admit(&accepted.who) {
            self.say(&unwelcome, remote, unwelcome.who.clone());
            if unwelcome.why.is_told() {
                let _ = tokio::time::timeout(TOLD_WITHIN, self.tell(accepted, remote)).await;
            }
            return;
        }
        match &accepted.who {
            Who::Member(_) => {
                if let Ok(_place) = self.members.try_acquire() {
                    self.converse(accepted, remote).await;
                }
            }
            // Few at once, and not for long.
            Who::Guest(_) => {
                if let Some(_place) = self.guests.take(remote.ip()) {
                    let _ = tokio::time::timeout(GUEST_TIMEOUT, self.converse(accepted, remote)).await;
                }
            }
        }
    }

    /// To one that was refused: the service refuses every call as well, and says why.
    async fn tell(&self, accepted: Accepted, remote: SocketAddr) {
        let Accepted { stream, who } = accepted;
        let answer = service_fn(|request| {
            let answer = self.service.call(&who, remote, request);
            async move { Ok::<_, Infallible>(answer.await) }
        });
        let _ = guarded(1).serve_connection(TokioIo::new(stream), answer).await;
    }

    async fn converse(&self, accepted: Accepted, remote: SocketAddr) {
        let Accepted { stream, who } = accepted;
        let answer = service_fn(|request| {
            let answer = self.service.call(&who, remote, request);
            async move { Ok::<_, Infallible>(answer.await) }
        });
        let streams_max = match &who {
            Who::Member(_) => self.streams_max,
            Who::Guest(_) => GUEST_STREAMS_MAX,
        };
        let serving = guarded(streams_max)
            .timer(TokioTimer::new())
            .keep_alive_interval(PING_EVERY)
            .keep_alive_timeout(PING_TIMEOUT)
            .serve_connection(TokioIo::new(stream), answer);
        let mut serving = pin!(serving);
        tokio::select! {
            // A member that goes away ends its connections as it likes.
            _ = serving.as_mut() => return,
            unwelcome = self.service.dismissed(&who) => {
                let who = unwelcome.who.clone();
                return self.say(&unwelcome, remote, who);
            }
            () = self.tasks.draining() => serving.as_mut().graceful_shutdown(),
        }
        // Members keep streams open for as long as they can; only the calls that are about to end are waited for.
        let _ = tokio::time::timeout(LAST_CALLS, serving).await;
    }

    fn refuse(&self, refusal: &Refusal, remote: SocketAddr) {
        let why = match refusal {
            Refusal::OtherCluster { .. } => Refused::OtherCluster,
            Refusal::Expired => Refused::Expired,
            Refusal::NotYetValid => Refused::NotYetValid,
            Refusal::UnknownAuthority => Refused::UnknownAuthority,
            Refusal::NoCertificate | Refusal::NotAMember => Refused::NoMember,
            Refusal::Handshake(error) => {
                // A port that is only looked at, or a program that speaks no TLS.
                tracing::debug!(port = self.port, %remote, %error, "a handshake failed");
                return;
            }
        };
        // Its words are its own: a new name each time must not make a new line each time.
        self.say(&Unwelcome { why, who: refusal.to_string() }, remote, String::new());
    }

    /// Says it once in a while for each address, reason and proven name.
    fn say(&self, unwelcome: &Unwelcome, remote: SocketAddr, proven: String) {
        let Unwelcome { why, who } = unwelcome;
        let key = (places::source(remote.ip()), why.description().number, proven);
        if self.refused.is_new(key, Instant::now()) {
            Event::ConnectionRefused { why: *why, port: self.port, remote: &remote, who }.log();
        }
    }
}

/// HTTP/2 with every limit that it has said, whatever the defaults of a later version are: what a member may keep open,
/// and how often it may take back what it has asked for, or break the rules, before its connection ends.
fn guarded(streams_max: u32) -> http2::Builder<TokioExecutor> {
    let mut serving = http2::Builder::new(TokioExecutor::new());
    serving
        .max_concurrent_streams(streams_max)
        .initial_stream_window_size(STREAM_WINDOW_BYTES)
        .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
        .max_frame_size(FRAME_BYTES_MAX)
        .max_header_list_size(HEADER_BYTES_MAX)
        .max_pending_accept_reset_streams(PENDING_RESETS_MAX)
        .max_local_error_reset_streams(ERROR_RESETS_MAX);
    serving
}

/// A cluster has few members, and each a few connections.
const MEMBERS_MAX: usize = 256;
/// Who shakes hands: a member has half a dozen connections, and several may share an address.
const STRANGERS: Limits = Limits { all_max: 128, each_max: 16 };
/// Hosts that join at the same time; more try again.
const GUESTS: Limits = Limits { all_max: 16, each_max: 8 };
/// All of these together, and some that are only dropped: nobody keeps the port from accepting.
const CONNECTIONS_MAX: usize = MEMBERS_MAX + STRANGERS.all_max + GUESTS.all_max + 64;
/// Several times what a member needs in another town; silence costs no more than this.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(3);
/// A join is one call, which may wait for a leader.
const GUEST_TIMEOUT: Duration = Duration::from_secs(20);
/// A join is one call.
const GUEST_STREAMS_MAX: u32 = 4;
const FRAME_BYTES_MAX: u32 = 16 << 10;
/// Calls have a dozen short headers.
const HEADER_BYTES_MAX: u32 = 16 << 10;
/// A front that is told to drop all its requests at once takes back so many before they are looked at.
const PENDING_RESETS_MAX: usize = 1_000;
/// Streams that broke the rules, in the life of a connection: a member breaks none.
const ERROR_RESETS_MAX: usize = 100;
/// A stranger that knocks all the time must not fill the log.
const REFUSED_EVERY: Duration = Duration::from_secs(60);
/// Who was refused may ask once why.
const TOLD_WITHIN: Duration = Duration::from_secs(1);
/// After a drain began: what is in flight on the peer and admin ports is short.
const LAST_CALLS: Duration = Duration::from_secs(1);
/// A member that is gone without a word must not keep its connection.
const PING_EVERY: Duration = Duration::from_secs(10);
const PING_TIMEOUT: Duration = Duration::from_secs(10);
/// One long message must not wait for window updates on every 64 KiB.
const STREAM_WINDOW_BYTES: u32 = 1 << 20;
const CONNECTION_WINDOW_BYTES: u32 = 8 << 20;

//! One HTTP/2 connection to another node's peer port.

use super::Peer;
use crate::front::payload::{Payload, Release};
use crate::relay::{
    Answered, Course, Deadline, Failure, FrameError, Frames, HANDLE_PATH, Head, KEPT_PATH, Prefixed,
    READY_PATH, Read, Readiness, Watched, encode_head, read_readiness,
};
use crate::tasks::Tasks;
use crate::tls::MemberClient;
use crate::upstream::{Body, BodyError};
use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body::{Body as HttpBody, Frame};
use http_body_util::{BodyExt, Empty, StreamBody};
use hyper::body::Incoming;
use hyper::client::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::sync::oneshot;

/// A connection; clones are the same one.
#[derive(Clone)]
pub(super) struct Link {
    sender: http2::SendRequest<Body>,
    // Its own group: closing it ends the connection and all that is on it at once.
    end: Tasks,
    id: Arc<()>,
}

/// How far a request came that has no answer.
#[derive(Debug, thiserror::Error)]
pub enum HopError {
    /// The node gave no sign of life: the body was never sent to it.
    #[error("the node did not accept the request: {reason}")]
    NotAccepted {
        /// Why.
        reason: String,
    },
    /// The node had the request, and is gone: it may have sent it on.
    #[error("the node was lost")]
    Lost {
        /// The cause.
        source: FrameError,
    },
    /// The node said why.
    #[error("{0}")]
    Failure(Failure),
    /// The time was over before the request was sent to the service.
    #[error("the node did nothing with the request in time")]
    NotStarted,
    /// The time was over while the service had it.
    #[error("the answer did not begin in time")]
    TimedOut,
    /// The bytes went to an earlier attempt.
    #[error("the request was too long to be kept for another attempt")]
    BodyGone,
}

impl HopError {
    /// Whether it says something about the node, and not about the service or the client.
    pub(in crate::front) fn is_of_the_node(&self) -> bool {
        match self {
            HopError::NotAccepted { .. } | HopError::Lost { .. } | HopError::NotStarted => true,
            HopError::Failure(_) | HopError::TimedOut | HopError::BodyGone => false,
        }
    }
}

impl Link {
    /// Connects to a peer, and makes sure that it is the one.
    pub(super) async fn open(client: &MemberClient, peer: &Peer, tasks: &Tasks) -> io::Result<Self> {
        let connect = async {
            let (stream, found) = client.connect(&peer.address).await?;
            if found.node_id() != Some(peer.id) || found.key != peer.key {
                return Err(io::Error::other(format!("{} is not node {}", peer.address, peer.id)));
            }
            http2::Builder::new(TokioExecutor::new())
                .timer(TokioTimer::new())
                .keep_alive_interval(PING_EVERY)
                .keep_alive_timeout(PING_TIMEOUT)
                .keep_alive_while_idle(true)
                .initial_stream_window_size(STREAM_WINDOW_BYTES)
                .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
                .handshake(TokioIo::new(stream))
                .await
                .map_err(io::Error::other)
        };
        let (sender, connection) = tokio::time::timeout(OPEN_TIMEOUT, connect)
            .await
            .map_err(|_| io::Error::new(io::ErrorKind::TimedOut, "no connection in time"))??;
        let end = tasks.child();
        let driver = end.clone();
        tasks.spawn("link", async move {
            tokio::select! {
                _ = connection => {}
                () = driver.draining() => {}
            }
            driver.start_draining();
        });
        Ok(Link { sender, end, id: Arc::new(()) })
    }

    /// Ends the connection, and every request on it.
    pub(super) fn close(&self) {
        self.end.start_draining();
    }

    /// Waits until the connection has ended.
    pub(super) async fn closed(&self) {
        self.end.draining().await;
    }

    /// Whether both are the same connection.
    pub(super) fn is(&self, other: &Link) -> bool {
        Arc::ptr_eq(&self.id, &other.id)
    }

    /// Asks whether the node takes requests.
    pub(super) async fn probe(&self) -> io::Result<Readiness> {
        let ask = async {
            let body = Empty::new().map_err(|never| match never {}).boxed_unsync();
            let response = self.send(READY_PATH, body).await?;
            let bytes = response.into_body().collect().await.map_err(io::Error::other)?.to_bytes();
            read_readiness(bytes).map_err(io::Error::other)
        };
        tokio::time::timeout(PROBE_TIMEOUT, ask)
            .await
            .map_err(|_| io::Error::new(io::ErrorKind::TimedOut, "no answer to the probe in time"))?
    }

    /// Hands a request over. Its bytes leave only once the node has begun to answer, so that a node
    /// that was frozen all the while finds nothing to send when it thaws.
    pub(super) async fn hand_over(
        &self,
        head: &Head,
        payload: &Payload,
        deadline: Deadline,
    ) -> Result<Answered, HopError> {
        let (release, deferred) = Deferred::new();
        let path = if head.kept_only { KEPT_PATH } else { HANDLE_PATH };
        let response = tokio::time::timeout(ACCEPT_TIMEOUT, self.send(path, deferred.boxed_unsync()))
            .await
            .map_err(|_| HopError::NotAccepted { reason: "no sign of life in time".into() })?
            .map_err(|error| not_accepted(head, &error))?;
        let (body, released) = payload.take().ok_or(HopError::BodyGone)?;
        let budget_ms = u32::try_from(deadline.left().as_millis()).unwrap_or(u32::MAX);
        let (body, fault) = Watched::new(body);
        let body = Prefixed::new(encode_head(head, budget_ms), body.boxed_unsync(), None).boxed_unsync();
        // An error means that the stream is gone, which the next read tells with its cause.
        let _ = release.send(body);
        let mut frames = Frames::new(response.into_body().map_err(Into::into).boxed_unsync());
        let mut release = Some(released);
        let beginning = begin(&mut frames, &head.course, &mut release);
        let begun = tokio::time::timeout(deadline.left(), beginning).await;
        match (begun, fault.failure()) {
            (Ok(Ok((status, content_type, content_encoding))), _) => {
                Ok(Answered { status, content_type, content_encoding, body: rest(frames) })
            }
            // A client that breaks off ends the stream; the node has done nothing wrong.
            (Ok(Err(_)) | Err(_), Some(failure)) => Err(HopError::Failure(failure)),
            (Ok(Err(error)), None) => Err(error),
            (Err(_), None) if release.is_some() => Err(HopError::NotStarted),
            (Err(_), None) => Err(HopError::TimedOut),
        }
    }

    async fn send(&self, path: &'static str, body: Body) -> io::Result<Response<Incoming>> {
        let request = Request::post(path).body(body).map_err(io::Error::other)?;
        let response = self.sender.clone().send_request(request).await.map_err(io::Error::other)?;
        if response.status() != StatusCode::OK {
            let kind = match response.status() {
                StatusCode::NOT_FOUND => io::ErrorKind::NotFound,
                _ => io::ErrorKind::Other,
            };
            return Err(io::Error::new(kind, format!("the node answered {}", response.status())));
        }
        Ok(response)
    }
}

fn not_accepted(head: &Head, error: &io::Error) -> HopError {
    let reason = error.to_string();
    // A node of an older version is well, and keeps nothing.
    if head.kept_only && error.kind() == io::ErrorKind::NotFound {
        HopError::Failure(Failure::Lasting { reason })
    } else {
        HopError::NotAccepted { reason }
    }
}

/// What follows from an answer that cannot be read on. A node of a later version is well: what it says is an answer that
/// is of no use here.
fn unread(error: FrameError) -> HopError {
    match error {
        FrameError::Unknown => HopError::Failure(Failure::Lasting { reason: error.to_string() }),
        source @ (FrameError::Broken { .. } | FrameError::Unreadable(_)) => HopError::Lost { source },
    }
}

async fn begin(
    frames: &mut Frames,
    course: &Course,
    release: &mut Option<Release>,
) -> Result<(StatusCode, String, String), HopError> {
    loop {
        match frames.next().await.map_err(unread)? {
            Read::Started { facts } => {
                course.note(|known| *known = facts);
                if let Some(release) = release.take() {
                    release.release();
                }
            }
            Read::Answer { status, content_type, content_encoding, facts } => {
                course.note(|known| *known = facts);
                return Ok((status, content_type, content_encoding));
            }
            Read::Failure { failure, facts } => {
                course.note(|known| *known = facts);
                return Err(HopError::Failure(failure));
            }
            Read::Data(_) | Read::End => {
                return Err(HopError::Lost { source: FrameError::Unreadable("data before an answer") });
            }
        }
    }
}

/// The answer's bytes. An end without the last frame is an error: a half answer must not look whole.
fn rest(frames: Frames) -> Body {
    let stream = futures::stream::try_unfold(frames, |mut frames| async move {
        match frames.next().await.map_err(|error| Box::new(error) as BodyError)? {
            Read::Data(data) => Ok(Some((Frame::data(data), frames))),
            Read::End => Ok(None),
            Read::Started { .. } | Read::Answer { .. } | Read::Failure { .. } => {
                Err(Box::new(FrameError::Unreadable("another answer inside an answer")) as BodyError)
            }
        }
    });
    StreamBody::new(stream).boxed_unsync()
}

/// A body that is not known yet.
struct Deferred {
    waiting: Option<oneshot::Receiver<Body>>,
    body: Option<Body>,
}

impl Deferred {
    fn new() -> (oneshot::Sender<Body>, Self) {
        let (sender, receiver) = oneshot::channel();
        (sender, Deferred { waiting: Some(receiver), body: None })
    }
}

impl HttpBody for Deferred {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        if let Some(waiting) = &mut self.waiting {
            match Pin::new(waiting).poll(context) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Ok(body)) => {
                    self.body = Some(body);
                    self.waiting = None;
                }
                Poll::Ready(Err(gone)) => {
                    self.waiting = None;
                    return Poll::Ready(Some(Err(Box::new(gone))));
                }
            }
        }
        match &mut self.body {
            Some(body) => Pin::new(body).poll_frame(context),
            None => Poll::Ready(None),
        }
    }
}

/// HTTP/2 PING: a dead connection is noticed even when nothing is asked on it.
const PING_EVERY: Duration = Duration::from_millis(250);
const PING_TIMEOUT: Duration = Duration::from_millis(500);
/// A live node on a LAN shakes hands in a few milliseconds.
const OPEN_TIMEOUT: Duration = Duration::from_secs(1);
const PROBE_TIMEOUT: Duration = Duration::from_millis(500);
/// No sign of life for so long: the request goes to the next node.
const ACCEPT_TIMEOUT: Duration = Duration::from_millis(300);
/// One long message must not wait for window updates on every 64 KiB.
const STREAM_WINDOW_BYTES: u32 = 1 << 20;
const CONNECTION_WINDOW_BYTES: u32 = 8 << 20;

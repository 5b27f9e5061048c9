//! Takes requests from other nodes' fronts over the peer port, and from nobody else.

use super::wire::{self, FrameError};
use super::{
    Answered, Course, Deadline, Facts, Failure, HANDLE_PATH, Head, KEPT_PATH, Prefixed, READY_PATH, Relay,
};
use crate::principal::Caller;
use crate::proto::peer::v1::Empty;
use crate::proto::peer::v1::relay_frame::Frame;
use crate::tasks::Tasks;
use crate::upstream::{Body, BodyError};
use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt, Full, StreamBody};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio_stream::StreamExt;
use tokio_stream::wrappers::ReceiverStream;

/// Serves the hop. The peer listener calls it for members of this cluster alone.
#[derive(Clone)]
pub struct Server {
    relay: Relay,
    tasks: Tasks,
    proven: Arc<dyn Fn(&Caller) + Send + Sync>,
}

type Sender = mpsc::Sender<Bytes>;

impl Server {
    /// Serves this relay. `proven` is told who has proven itself at another node.
    #[must_use]
    pub fn new(relay: Relay, tasks: Tasks, proven: impl Fn(&Caller) + Send + Sync + 'static) -> Self {
        Server { relay, tasks, proven: Arc::new(proven) }
    }

    /// Answers one hop request. The answer begins at once, which tells the front that this node is
    /// alive; only then the front sends the body, so that a node that was frozen has nothing to send late.
    #[must_use]
    pub fn serve(&self, request: Request<Body>) -> Response<Body> {
        match request.uri().path() {
            READY_PATH => respond(StatusCode::OK, wire::encode_readiness(&self.relay.readiness())),
            HANDLE_PATH => self.handle(request.into_body(), false),
            KEPT_PATH => self.handle(request.into_body(), true),
            _ => respond(StatusCode::NOT_FOUND, Bytes::new()),
        }
    }

    fn handle(&self, body: Body, kept_only: bool) -> Response<Body> {
        let (sender, frames) = mpsc::channel(FRAMES_QUEUED_MAX);
        let (relay, proven) = (self.relay.clone(), self.proven.clone());
        self.tasks.spawn("hop request", async move {
            tokio::select! {
                () = run(&relay, &*proven, (body, kept_only), &sender) => {}
                // The front gave up: what was not sent to the service yet never will be.
                () = sender.closed() => {}
            }
        });
        let stream =
            ReceiverStream::new(frames).map(|bytes| Ok::<_, BodyError>(http_body::Frame::data(bytes)));
        Response::new(StreamBody::new(stream).boxed_unsync())
    }
}

async fn run(
    relay: &Relay,
    proven: &(dyn Fn(&Caller) + Send + Sync),
    (body, kept_only): (Body, bool),
    sender: &Sender,
) {
    let mut course = Course::default();
    let answer = match tokio::time::timeout(HEAD_TIMEOUT, begin(body)).await {
        Ok(Ok((head, body, deadline))) => {
            let head = Head { kept_only, ..head };
            course = head.course.clone();
            proven(&head.caller);
            let (frames, facts) = (sender.downgrade(), course.clone());
            let started = move || {
                // The queue is empty here: `started` is the first frame of a request.
                if let Some(frames) = frames.upgrade() {
                    let _ = frames.try_send(wire::started_frame(&facts.facts()));
                }
            };
            relay.handle(&head, body, deadline, started).await
        }
        Ok(Err(error)) => Err(Failure::Malformed(error.to_string())),
        Err(_) => Err(Failure::BrokenOff),
    };
    match answer {
        Ok(answered) => send_answer(answered, &course.facts(), sender).await,
        Err(failure) => {
            let _ = sender.send(wire::failure_frame(&failure, &course.facts())).await;
        }
    }
}

async fn begin(mut body: Body) -> Result<(Head, Body, Deadline), FrameError> {
    let (head, budget_ms, rest) = wire::read_head(&mut body).await?;
    let deadline = Deadline::after(Duration::from_millis(budget_ms.into()));
    let body = Prefixed::new(rest, body, head.body_bytes).boxed_unsync();
    Ok((head, body, deadline))
}

/// Sends the answer on, piece by piece. Without the last frame the front knows that it is not whole.
async fn send_answer(mut answered: Answered, facts: &Facts, sender: &Sender) {
    if sender.send(wire::answer_frame(&answered, facts)).await.is_err() {
        return;
    }
    while let Some(frame) = answered.body.frame().await {
        let Ok(frame) = frame else { return };
        if let Ok(data) = frame.into_data()
            && send_data(data, sender).await.is_err()
        {
            return;
        }
    }
    let _ = sender.send(wire::frame(Frame::End(Empty {}))).await;
}

async fn send_data(mut data: Bytes, sender: &Sender) -> Result<(), mpsc::error::SendError<Bytes>> {
    while !data.is_empty() {
        let piece = data.split_to(data.len().min(DATA_FRAME_BYTES_MAX));
        sender.send(wire::frame(Frame::Data(piece))).await?;
    }
    Ok(())
}

fn respond(status: StatusCode, bytes: Bytes) -> Response<Body> {
    let mut response = Response::new(Full::new(bytes).map_err(|never| match never {}).boxed_unsync());
    *response.status_mut() = status;
    response
}

/// Enough to keep the connection busy, and a small part of a body in memory.
const FRAMES_QUEUED_MAX: usize = 8;
/// Pieces of an answer are far below the limit of a frame.
const DATA_FRAME_BYTES_MAX: usize = 64 << 10;
/// The front sends the head as soon as the answer begins.
const HEAD_TIMEOUT: Duration = Duration::from_secs(5);

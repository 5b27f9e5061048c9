//! Clients that send a body only when they are told to: `Expect: 100-continue`. One that gets its answer instead may leave
//! the body out, or send it all the same. A program on the way that takes it for the other one would take what follows for
//! the body, or the body for the next request, which may be somebody else's. So that answer is the last of its connection.

use crate::upstream::{Body, BodyError};
use bytes::Bytes;
use http::{HeaderMap, Request, header};
use http_body::{Body as HttpBody, Frame, SizeHint};
use http_body_util::BodyExt;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};

/// Whether a client may wait for a word before it sends its body. Whatever it expects: that is read in many ways.
pub(super) fn waits(headers: &HeaderMap) -> bool {
    headers.contains_key(header::EXPECT)
}

/// What is known of the body of a client that may wait; nothing of all others.
pub(super) struct Awaited(Option<Arc<AtomicBool>>);

/// Follows a request's body, if its client may wait with it.
pub(super) fn follow(request: Request<Body>) -> (Request<Body>, Awaited) {
    if !waits(request.headers()) || request.body().is_end_stream() {
        return (request, Awaited(None));
    }
    let is_whole = Arc::new(AtomicBool::new(false));
    let followed = is_whole.clone();
    let request = request.map(|body| Followed { body, is_whole: followed }.boxed_unsync());
    (request, Awaited(Some(is_whole)))
}

impl Awaited {
    /// Whether it has not come to its end yet: an answer now is the last one.
    pub(super) fn is_due(&self) -> bool {
        self.0.as_ref().is_some_and(|is_whole| !is_whole.load(Ordering::Relaxed))
    }
}

struct Followed {
    body: Body,
    is_whole: Arc<AtomicBool>,
}

impl HttpBody for Followed {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let frame = ready!(Pin::new(&mut self.body).poll_frame(context));
        if frame.is_none() || self.body.is_end_stream() {
            self.is_whole.store(true, Ordering::Relaxed);
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

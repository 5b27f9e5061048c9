//! A body that is asked whether it may be sent when its first bytes are wanted: then there is a connection, however long
//! that was waited for.

use super::{Body, BodyError, Gate};
use bytes::Bytes;
use http_body::{Body as HttpBody, Frame, SizeHint};
use http_body_util::BodyExt;
use std::pin::Pin;
use std::task::{Context, Poll};

struct Gated {
    body: Body,
    gate: Option<Gate>,
}

/// Puts a gate before a body.
pub(super) fn gated(body: Body, gate: Gate) -> Body {
    Gated { body, gate: Some(gate) }.boxed_unsync()
}

impl HttpBody for Gated {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        if let Some(gate) = self.gate.take()
            && let Err(error) = gate()
        {
            return Poll::Ready(Some(Err(error)));
        }
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

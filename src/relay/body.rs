//! Bodies of which the beginning was read already, that remember how they ended, or that keep something.

use super::{Failure, broken_body};
use crate::upstream::{Body, BodyError};
use bytes::{Bytes, BytesMut};
use http_body::{Body as HttpBody, Frame, SizeHint};
use http_body_util::BodyExt;
use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll};

/// The bytes that were read, then the rest.
pub struct Prefixed {
    prefix: Bytes,
    rest: Body,
    length: Option<u64>,
}

impl Prefixed {
    /// Puts `prefix` back before `rest`. With a `length`, the whole is known to be that long.
    #[must_use]
    pub fn new(prefix: Bytes, rest: Body, length: Option<u64>) -> Self {
        Prefixed { prefix, rest, length }
    }
}

impl HttpBody for Prefixed {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        if !self.prefix.is_empty() {
            return Poll::Ready(Some(Ok(Frame::data(std::mem::take(&mut self.prefix)))));
        }
        Pin::new(&mut self.rest).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.prefix.is_empty() && self.rest.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        match self.length {
            Some(length) => SizeHint::with_exact(length),
            None if self.rest.is_end_stream() => SizeHint::with_exact(self.prefix.len() as u64),
            None => SizeHint::default(),
        }
    }
}

/// A body that tells afterwards what its sender did wrong: whoever sends it on sees only that its own
/// connection broke, and would blame the other end.
pub struct Watched {
    body: Body,
    fault: SenderFault,
}

/// A body that keeps something for as long as somebody reads it.
pub(super) struct Keeping<K> {
    body: Body,
    _kept: K,
}

impl<K> Keeping<K> {
    pub(super) fn new(body: Body, kept: K) -> Self {
        Keeping { body, _kept: kept }
    }
}

impl<K: Unpin> HttpBody for Keeping<K> {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// What the sender of a body did wrong, if it did.
#[derive(Clone, Debug, Default)]
pub struct SenderFault(Arc<OnceLock<Failure>>);

impl Watched {
    /// Watches a body.
    #[must_use]
    pub fn new(body: Body) -> (Self, SenderFault) {
        let fault = SenderFault::default();
        (Watched { body, fault: fault.clone() }, fault)
    }
}

impl SenderFault {
    /// The failure that follows from it.
    #[must_use]
    pub fn failure(&self) -> Option<Failure> {
        self.0.get().cloned()
    }
}

impl HttpBody for Watched {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let polled = Pin::new(&mut self.body).poll_frame(context);
        if let Poll::Ready(Some(Err(error))) = &polled {
            // The first error is the one that counts.
            let _ = self.fault.0.set(broken_body(error));
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// Reads until the prefix has `bytes_wanted`, or the body ends.
///
/// # Errors
/// The body broke off.
pub async fn read_prefix(
    body: &mut Body,
    prefix: &mut BytesMut,
    bytes_wanted: usize,
) -> Result<End, BodyError> {
    while prefix.len() < bytes_wanted {
        let Some(frame) = body.frame().await else { return Ok(End::Reached) };
        if let Ok(data) = frame?.into_data() {
            prefix.extend_from_slice(&data);
        }
    }
    Ok(if body.is_end_stream() { End::Reached } else { End::NotYet })
}

/// Whether more bytes may come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// More may come.
    NotYet,
    /// That was all.
    Reached,
}

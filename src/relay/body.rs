//! Bodies of which the beginning was read already, that are watched, that remember how they ended, or that keep
//! something.

use super::{Failure, broken_body};
use crate::rms::passing::Passing;
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

/// A request's body behind its beginning, whose bytes are looked at while they pass: it ends with an error where
/// the request is not fit to be sent on, so that the service never has the whole of it.
pub(super) struct Inspected {
    body: Body,
    passing: Passing,
}

impl Inspected {
    pub(super) fn new(body: Body, passing: Passing) -> Self {
        Inspected { body, passing }
    }
}

impl HttpBody for Inspected {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let polled = std::task::ready!(Pin::new(&mut self.body).poll_frame(context));
        let fit = match &polled {
            Some(Ok(frame)) => frame.data_ref().map_or(Ok(()), |data| self.passing.read(data)),
            Some(Err(_)) => Ok(()),
            None => self.passing.finish(),
        };
        Poll::Ready(match fit {
            Ok(()) => polled,
            Err(unfit) => Some(Err(Box::new(unfit))),
        })
    }

    /// At the end it is judged once more.
    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream() && self.passing.finish().is_ok()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// The beginning of a body. One piece is not copied: mostly it is enough.
pub enum Prefix {
    /// As it came.
    Piece(Bytes),
    /// Put together out of several.
    Grown(BytesMut),
}

impl Prefix {
    fn push(&mut self, data: Bytes) {
        match self {
            Prefix::Piece(piece) if piece.is_empty() => *piece = data,
            Prefix::Piece(piece) => {
                let mut grown = BytesMut::from(&piece[..]);
                grown.extend_from_slice(&data);
                *self = Prefix::Grown(grown);
            }
            Prefix::Grown(grown) => grown.extend_from_slice(&data),
        }
    }

    /// The bytes so far.
    pub fn bytes(&self) -> &[u8] {
        match self {
            Prefix::Piece(piece) => piece,
            Prefix::Grown(grown) => grown,
        }
    }

    /// All of them, to send on.
    pub fn freeze(self) -> Bytes {
        match self {
            Prefix::Piece(piece) => piece,
            Prefix::Grown(grown) => grown.freeze(),
        }
    }
}

/// Reads until the prefix has `bytes_wanted`, or the body ends.
///
/// # Errors
/// The body broke off.
pub async fn read_prefix(
    body: &mut Body,
    prefix: &mut Prefix,
    bytes_wanted: usize,
) -> Result<End, BodyError> {
    while prefix.bytes().len() < bytes_wanted {
        let Some(frame) = body.frame().await else { return Ok(End::Reached) };
        if let Ok(data) = frame?.into_data() {
            prefix.push(data);
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

//! Bodies of which the beginning was read already, that are watched, that remember how they ended, or that keep
//! something.

use super::gate::Gate;
use super::{Failure, broken_body, unfit};
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

/// A request's body, whose bytes are looked at while they pass. One piece is always held back: it ends with an error
/// where the request is not fit to be sent on, and the last piece leaves only when all of it is fit and its caller
/// still may. So the service never has the whole of what it must not have.
pub(super) struct Inspected {
    body: Body,
    passing: Passing,
    gate: Gate,
    /// The next to leave; nothing when all have left.
    held: Option<Bytes>,
    /// How many bytes are to come, where that is known.
    left: Option<u64>,
    /// How many bytes may come.
    room: usize,
    bytes_max: usize,
}

impl Inspected {
    /// `passing` has read `prefix` already.
    pub(super) fn new(prefix: Bytes, body: Body, passing: Passing, gate: Gate) -> Self {
        Inspected { body, passing, gate, held: Some(prefix), left: None, room: 0, bytes_max: 0 }
    }

    /// How long all of it is, if that is known, and how long it may be.
    ///
    /// # Errors
    /// There are more bytes already.
    pub(super) fn of_length(mut self, length: Option<u64>, bytes_max: usize) -> Result<Self, Failure> {
        let prefix = self.held.as_ref().map_or(0, Bytes::len);
        let left = |length: u64| length.checked_sub(prefix as u64).ok_or(Failure::BrokenOff);
        self.left = length.map(left).transpose()?;
        self.room = bytes_max.checked_sub(prefix).ok_or(Failure::TooLarge { bytes_max })?;
        self.bytes_max = bytes_max;
        Ok(self)
    }

    /// Holds a piece, and gives the one before it.
    fn exchange(&mut self, data: Bytes) -> Result<Bytes, Failure> {
        let too_large = Failure::TooLarge { bytes_max: self.bytes_max };
        self.room = self.room.checked_sub(data.len()).ok_or(too_large)?;
        if let Some(left) = &mut self.left {
            *left = left.checked_sub(data.len() as u64).ok_or(Failure::BrokenOff)?;
        }
        // Whatever may follow: whoever takes the message as it comes has all that it needs with what is held.
        if self.passing.has_operation() {
            self.gate.check()?;
        }
        self.passing.read(&data).map_err(|malformed| unfit(&malformed))?;
        Ok(self.held.replace(data).unwrap_or_default())
    }

    /// The piece with which the service has all of it.
    fn last(&mut self) -> Result<Bytes, Failure> {
        let held = self.held.take().unwrap_or_default();
        if self.left.is_some_and(|left| left > 0) {
            return Err(Failure::BrokenOff);
        }
        self.passing.finish().map_err(|malformed| unfit(&malformed))?;
        self.gate.check()?;
        Ok(held)
    }
}

impl HttpBody for Inspected {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        while self.held.is_some() {
            // Whoever sends it does not ask for more than its length.
            let next = if self.left == Some(0) {
                None
            } else {
                std::task::ready!(Pin::new(&mut self.body).poll_frame(context))
            };
            let piece = match next {
                None => self.last(),
                Some(Ok(frame)) => {
                    let data = frame.into_data().unwrap_or_default();
                    if data.is_empty() {
                        continue;
                    }
                    self.exchange(data)
                }
                Some(Err(error)) => Err(broken_body(&error)),
            };
            match piece {
                Ok(piece) if piece.is_empty() => {}
                Ok(piece) => return Poll::Ready(Some(Ok(Frame::data(piece)))),
                Err(failure) => {
                    self.held = None;
                    return Poll::Ready(Some(Err(failure.into())));
                }
            }
        }
        Poll::Ready(None)
    }

    fn is_end_stream(&self) -> bool {
        self.held.is_none()
    }

    fn size_hint(&self) -> SizeHint {
        let held = self.held.as_ref().map_or(0, Bytes::len) as u64;
        match self.left {
            Some(left) => SizeHint::with_exact(held.saturating_add(left)),
            None if self.held.is_none() || self.body.is_end_stream() => SizeHint::with_exact(held),
            None => SizeHint::default(),
        }
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

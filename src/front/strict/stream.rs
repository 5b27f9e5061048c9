//! The gate at a connection: between its bytes and the HTTP parser.

use super::{Gate, HEAD_BYTES_MAX, Kind, Refused};
use crate::front::admission::{Admission, Held};
use crate::front::times::{HEAD_TIMEOUT, IDLE_TIMEOUT, LINGER_BYTES_MAX, LINGER_TIMEOUT};
use std::io;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Sleep;

/// A stream of which only whole, canonical heads and the bodies that belong to them are read.
///
/// In the place of a head that is refused the parser gets a request of our own, so that the answer to it comes behind
/// those to earlier ones; and then nothing.
pub(in crate::front) struct Strict<S> {
    stream: S,
    gate: Gate,
    conversation: Arc<Conversation>,
    /// What was read and not passed on: a head that is not whole, or `cleared` bytes for which there was no room.
    held: Vec<u8>,
    cleared: usize,
    long: Long,
    waiting: Option<Waiting>,
    /// What was written is not all sent.
    is_writing: bool,
    is_at_end: bool,
    lingering: Option<Pin<Box<Sleep>>>,
    lingered: usize,
}

/// Where a long head has its room from.
pub(in crate::front) struct Long {
    admission: Arc<Admission>,
    from: IpAddr,
    /// For the one that is coming.
    room: Option<Room>,
}

/// What a long head has, and until when it must be whole: nobody keeps room by taking earlier answers slowly.
struct Room {
    _held: Held,
    until: Pin<Box<Sleep>>,
}

/// What the stream and who answers its requests know together.
#[derive(Debug, Default)]
pub(in crate::front) struct Conversation {
    refused: OnceLock<(usize, Refused)>,
    begun: AtomicUsize,
    answering: AtomicUsize,
}

/// A request is being answered, until this is dropped.
#[derive(Debug)]
pub(in crate::front) struct Answering {
    conversation: Arc<Conversation>,
    /// The how many of its connection it is, from 1 on.
    number: usize,
}

/// How long there may be nothing, from when on.
struct Waiting {
    phase: Phase,
    /// Behind so many requests.
    begun: usize,
    until: Pin<Box<Sleep>>,
}

/// What is waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// A next request.
    Idle,
    /// The rest of what has begun.
    Begun,
}

impl Conversation {
    /// A request has come to whoever answers it.
    pub(in crate::front) fn answering(self: &Arc<Self>) -> Answering {
        self.answering.fetch_add(1, Ordering::Relaxed);
        Answering { conversation: self.clone(), number: self.begun.fetch_add(1, Ordering::Relaxed) + 1 }
    }
}

impl Answering {
    /// What is wrong with the request, if anything is: it stands for one that was refused, or so far its body has shown
    /// it. The parser has all that passed in its order, so it counts as the gate does.
    pub(in crate::front) fn refused(&self) -> Option<Kind> {
        match self.conversation.refused.get() {
            Some((number, Refused::Head(kind) | Refused::Body(kind))) if *number == self.number => {
                Some(*kind)
            }
            _ => None,
        }
    }
}

impl Drop for Answering {
    fn drop(&mut self) {
        self.conversation.answering.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Long {
    /// Counted as what this source takes.
    pub(in crate::front) fn new(admission: &Arc<Admission>, from: IpAddr) -> Self {
        Long { admission: admission.clone(), from, room: None }
    }

    /// Whether there is room for so many bytes of a head that is not whole, or they need none.
    fn has_room(&mut self, bytes: usize) -> bool {
        if bytes > SHORT_BYTES_MAX && self.room.is_none() {
            let held = self.admission.head(self.from).ok();
            self.room = held.map(|held| Room { _held: held, until: sleep(HEAD_TIMEOUT) });
        }
        bytes <= SHORT_BYTES_MAX || self.room.is_some()
    }

    fn is_late(&mut self, context: &mut Context<'_>) -> bool {
        self.room.as_mut().is_some_and(|room| room.until.as_mut().poll(context).is_ready())
    }
}

impl<S> Strict<S> {
    pub(in crate::front) fn new(stream: S, conversation: Arc<Conversation>, long: Long) -> Self {
        Strict {
            stream,
            gate: Gate::default(),
            conversation,
            held: Vec::new(),
            cleared: 0,
            long,
            waiting: None,
            is_writing: false,
            is_at_end: false,
            lingering: None,
            lingered: 0,
        }
    }

    /// Passes on what was held back and may pass.
    fn give(&mut self, buffer: &mut ReadBuf<'_>) {
        let given = self.cleared.min(buffer.remaining());
        buffer.put_slice(self.held.get(..given).unwrap_or_default());
        self.cleared -= given;
        self.held.drain(..given);
        if self.held.is_empty() {
            // A connection that waits for its next request keeps nothing.
            self.held = Vec::new();
            self.long.room = None;
        }
    }

    /// Takes what came into the buffer behind `before`; what may not pass is not in it any more.
    fn take(&mut self, buffer: &mut ReadBuf<'_>, before: usize) {
        let came = buffer.filled_mut().get_mut(before..).unwrap_or_default();
        let (pass, refused) = if self.held.is_empty() {
            let looked = self.gate.look(came);
            keep(&mut self.held, came.get(looked.pass..).unwrap_or_default());
            (before + looked.pass, looked.refused)
        } else {
            keep(&mut self.held, came);
            let looked = self.gate.look(&mut self.held);
            self.cleared = looked.pass;
            (before, looked.refused)
        };
        buffer.set_filled(pass);
        if let Some(refused) = refused {
            self.refuse(refused);
        } else if !self.long.has_room(self.held.len() - self.cleared) {
            self.refuse(Refused::Head(Kind::NoRoom));
        }
    }

    /// Refuses a long head whose time is over, whatever goes on before it. One that is whole, and waits for a client to
    /// take its earlier answers, ends the connection.
    fn hurry(&mut self, context: &mut Context<'_>) -> io::Result<()> {
        if !self.long.is_late(context) {
            return Ok(());
        }
        if self.held.len() == self.cleared {
            return Err(io::ErrorKind::TimedOut.into());
        }
        self.refuse(Refused::Head(Kind::TooSlow));
        Ok(())
    }

    fn refuse(&mut self, refused: Refused) {
        self.held.truncate(self.cleared);
        self.held.shrink_to_fit();
        self.long.room = None;
        let number = match refused {
            Refused::Head(_) => self.gate.heads() + 1,
            Refused::Body(_) => self.gate.heads(),
        };
        // There is one only: nothing is looked at behind it.
        let _ = self.conversation.refused.set((number, refused));
        if let Refused::Head(_) = refused {
            self.held.extend_from_slice(STAND_IN);
            self.cleared = self.held.len();
        }
    }

    /// Nothing is there: for how long that may go on. While a request is answered, and until its answer is sent, its time
    /// is its own; what comes next has all of its time, whatever was waited for before.
    fn wait(&mut self, context: &mut Context<'_>) -> Poll<()> {
        if self.is_writing || self.conversation.answering.load(Ordering::Relaxed) > 0 {
            self.waiting = None;
            return Poll::Pending;
        }
        let begun = self.conversation.begun.load(Ordering::Relaxed);
        let is_idle = self.held.is_empty() && !self.gate.is_in_body();
        let (phase, limit) = if is_idle { (Phase::Idle, IDLE_TIMEOUT) } else { (Phase::Begun, HEAD_TIMEOUT) };
        let goes_on = self.waiting.take().filter(|waiting| waiting.phase == phase && waiting.begun == begun);
        let waiting = goes_on.unwrap_or_else(|| Waiting { phase, begun, until: sleep(limit) });
        self.waiting.insert(waiting).until.as_mut().poll(context)
    }
}

/// The parser gets it in the place of what was refused; nothing but its number is ever looked at.
const STAND_IN: &[u8] = b"GET / HTTP/1.1\r\nHost: -\r\n\r\n";

/// The beginning of a head is kept so far without asking for room: a token of a usual size with all others.
const SHORT_BYTES_MAX: usize = 8 << 10;

/// A long head gets all of its room at once, and no more.
fn keep(held: &mut Vec<u8>, came: &[u8]) {
    let needed = held.len() + came.len();
    if needed > held.capacity() && (SHORT_BYTES_MAX + 1..=HEAD_BYTES_MAX).contains(&needed) {
        held.reserve_exact(HEAD_BYTES_MAX - held.len());
    }
    held.extend_from_slice(came);
}

fn sleep(limit: Duration) -> Pin<Box<Sleep>> {
    Box::pin(tokio::time::sleep(limit))
}

impl<S: AsyncRead + Unpin> AsyncRead for Strict<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        loop {
            if self.cleared > 0 {
                self.give(buffer);
                return Poll::Ready(Ok(()));
            }
            match self.conversation.refused.get() {
                // Nothing more comes; an end would make the parser drop what is being answered.
                Some((_, Refused::Head(_))) => {
                    ready!(self.wait(context));
                    return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
                }
                Some((_, Refused::Body(kind))) => {
                    return Poll::Ready(Err(io::Error::new(io::ErrorKind::InvalidData, kind.reason())));
                }
                None => {}
            }
            match Pin::new(&mut self.stream).poll_read(context, buffer)? {
                Poll::Ready(()) if buffer.filled().len() == before => {
                    self.is_at_end = true;
                    return Poll::Ready(Ok(()));
                }
                Poll::Ready(()) => {
                    self.take(buffer, before);
                    if buffer.filled().len() > before {
                        self.waiting = None;
                        return Poll::Ready(Ok(()));
                    }
                }
                Poll::Pending => {
                    ready!(self.wait(context));
                    if self.held.is_empty() {
                        return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
                    }
                    self.refuse(Refused::Head(Kind::TooSlow));
                }
            }
        }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Strict<S> {
    /// Reads what the client still sends, so that it sees the answer before the connection is gone. Only a client that
    /// may be sending is waited for.
    fn linger(&mut self, context: &mut Context<'_>) -> Poll<()> {
        let is_sending = self.conversation.refused.get().is_some() || self.gate.is_in_body();
        if self.is_at_end || !is_sending {
            return Poll::Ready(());
        }
        let mut room = [0; 4 << 10];
        while self.lingered < LINGER_BYTES_MAX {
            let mut buffer = ReadBuf::new(&mut room);
            match Pin::new(&mut self.stream).poll_read(context, &mut buffer) {
                Poll::Ready(Ok(())) if !buffer.filled().is_empty() => self.lingered += buffer.filled().len(),
                Poll::Ready(_) => return Poll::Ready(()),
                Poll::Pending => {
                    let until = self.lingering.get_or_insert_with(|| sleep(LINGER_TIMEOUT));
                    return until.as_mut().poll(context);
                }
            }
        }
        Poll::Ready(())
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Strict<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.is_writing = true;
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.is_writing = true;
        Pin::new(&mut self.stream).poll_write_vectored(context, bytes)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        // The parser asks for this each time, even while it reads nothing.
        self.hurry(context)?;
        let flushed = Pin::new(&mut self.stream).poll_flush(context);
        self.is_writing &= flushed.is_pending();
        flushed
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(Pin::new(&mut self.stream).poll_shutdown(context))?;
        self.linger(context).map(Ok)
    }
}

#[cfg(test)]
mod tests;

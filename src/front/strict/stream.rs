//! The gate at a connection: between its bytes and the HTTP parser.

use super::{Gate, Kind, Refused};
use crate::front::times::{HEAD_TIMEOUT, IDLE_TIMEOUT, LINGER_BYTES_MAX, LINGER_TIMEOUT};
use std::io;
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
    waiting: Option<(Phase, Pin<Box<Sleep>>)>,
    is_at_end: bool,
    lingering: Option<Pin<Box<Sleep>>>,
    lingered: usize,
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

impl<S> Strict<S> {
    pub(in crate::front) fn new(stream: S, conversation: Arc<Conversation>) -> Self {
        Strict {
            stream,
            gate: Gate::default(),
            conversation,
            held: Vec::new(),
            cleared: 0,
            waiting: None,
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
        }
    }

    /// Takes what came into the buffer behind `before`; what may not pass is not in it any more.
    fn take(&mut self, buffer: &mut ReadBuf<'_>, before: usize) {
        let came = buffer.filled().get(before..).unwrap_or_default();
        let (pass, refused) = if self.held.is_empty() {
            let looked = self.gate.look(came);
            self.held.extend_from_slice(came.get(looked.pass..).unwrap_or_default());
            (before + looked.pass, looked.refused)
        } else {
            self.held.extend_from_slice(came);
            let looked = self.gate.look(&self.held);
            self.cleared = looked.pass;
            (before, looked.refused)
        };
        buffer.set_filled(pass);
        if let Some(refused) = refused {
            self.refuse(refused);
        }
    }

    fn refuse(&mut self, refused: Refused) {
        self.held.truncate(self.cleared);
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

    /// Nothing is there: for how long that may go on. While a request is answered, its time is its own.
    fn wait(&mut self, context: &mut Context<'_>) -> Poll<()> {
        if self.conversation.answering.load(Ordering::Relaxed) > 0 {
            self.waiting = None;
            return Poll::Pending;
        }
        let is_idle = self.held.is_empty() && !self.gate.is_in_body();
        let (phase, limit) = if is_idle { (Phase::Idle, IDLE_TIMEOUT) } else { (Phase::Begun, HEAD_TIMEOUT) };
        if self.waiting.as_ref().is_none_or(|(waiting, _)| *waiting != phase) {
            self.waiting = Some((phase, sleep(limit)));
        }
        match &mut self.waiting {
            Some((_, until)) => until.as_mut().poll(context),
            None => Poll::Pending,
        }
    }
}

/// The parser gets it in the place of what was refused; nothing but its number is ever looked at.
const STAND_IN: &[u8] = b"GET / HTTP/1.1\r\nHost: -\r\n\r\n";

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
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(context, bytes)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(Pin::new(&mut self.stream).poll_shutdown(context))?;
        self.linger(context).map(Ok)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
    use tokio::time::{Instant, timeout};

    const GOOD: &[u8] = b"GET /a HTTP/1.1\r\nHost: rms\r\n\r\n";

    fn pair() -> (Strict<DuplexStream>, DuplexStream, Arc<Conversation>) {
        let (ours, theirs) = duplex(1 << 20);
        let conversation = Arc::new(Conversation::default());
        (Strict::new(ours, conversation.clone()), theirs, conversation)
    }

    /// Reads with so much room at a time, until the end.
    async fn read(strict: &mut Strict<DuplexStream>, room: usize) -> (Vec<u8>, io::Result<()>) {
        let (mut all, mut buffer) = (Vec::new(), vec![0; room]);
        loop {
            match strict.read(&mut buffer).await {
                Ok(0) => return (all, Ok(())),
                Ok(read) => all.extend_from_slice(&buffer[..read]),
                Err(error) => return (all, Err(error)),
            }
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_request_of_our_own_stands_for_one_that_is_refused() {
        for room in [1, 7, 64 << 10] {
            let (mut strict, mut theirs, conversation) = pair();
            let row =
                [GOOD, b"POST /a HTTP/1.1\r\nHost: rms\r\nContent-Length: 3\r\n\r\nabc", b"GET /a\r\n", GOOD];
            theirs.write_all(&row.concat()).await.unwrap();
            let (read, ended) = read(&mut strict, room).await;
            assert_eq!(ended.unwrap_err().kind(), io::ErrorKind::TimedOut);
            assert_eq!(read, [row[0], row[1], STAND_IN].concat(), "with room for {room}");
            let refused: Vec<_> = (0..3).map(|_| conversation.answering().refused()).collect();
            assert_eq!(refused, [None, None, Some(Kind::RequestLine)]);
        }
    }

    #[tokio::test]
    async fn a_body_that_breaks_is_an_error() {
        let (mut strict, mut theirs, conversation) = pair();
        let head = b"POST /a HTTP/1.1\r\nHost: rms\r\nTransfer-Encoding: chunked\r\n\r\n";
        theirs.write_all(&[GOOD, &head[..], b"2\r\nabX"].concat()).await.unwrap();
        let (read, ended) = read(&mut strict, 1_024).await;
        assert_eq!(
            (read.starts_with(&[GOOD, head].concat()), ended.unwrap_err().kind()),
            (true, io::ErrorKind::InvalidData)
        );
        let refused: Vec<_> = (0..2).map(|_| conversation.answering().refused()).collect();
        assert_eq!(refused, [None, Some(Kind::ChunkMalformed)]);
    }

    #[tokio::test]
    async fn nothing_is_kept_between_requests() {
        let (mut strict, mut theirs, _) = pair();
        for piece in GOOD.chunks(5) {
            theirs.write_all(piece).await.unwrap();
            let mut buffer = [0; 8];
            let _ = futures::poll!(Box::pin(strict.read(&mut buffer)));
        }
        drop(theirs);
        let (_, ended) = read(&mut strict, 3).await;
        assert!(ended.is_ok() && strict.held.capacity() == 0);
    }

    #[tokio::test(start_paused = true)]
    async fn a_head_has_ten_seconds_and_a_connection_two_minutes() {
        let (mut strict, mut theirs, conversation) = pair();
        let begun = Instant::now();
        let sending = async {
            for byte in GOOD {
                theirs.write_all(&[*byte]).await.unwrap();
                timeout(Duration::from_secs(1), std::future::pending::<()>()).await.unwrap_err();
            }
            theirs
        };
        let ((got, ended), _theirs) = tokio::join!(read(&mut strict, 1_024), sending);
        assert_eq!((&got[..], ended.unwrap_err().kind()), (STAND_IN, io::ErrorKind::TimedOut));
        assert_eq!(conversation.answering().refused(), Some(Kind::TooSlow));
        assert_eq!(begun.elapsed().as_secs(), 10 + 120);
        let (mut strict, _theirs, _) = pair();
        let begun = Instant::now();
        let (got, ended) = read(&mut strict, 1_024).await;
        assert_eq!((got.len(), ended.unwrap_err().kind()), (0, io::ErrorKind::TimedOut));
        assert_eq!(begun.elapsed().as_secs(), 120);
    }

    #[tokio::test(start_paused = true)]
    async fn while_a_request_is_answered_its_client_may_be_silent() {
        let (mut strict, _theirs, conversation) = pair();
        let answering = conversation.answering();
        let silent = timeout(Duration::from_secs(600), read(&mut strict, 1_024)).await;
        assert!(silent.is_err());
        drop(answering);
        let silent = timeout(Duration::from_secs(600), read(&mut strict, 1_024)).await;
        assert!(silent.unwrap().1.is_err());
    }

    #[tokio::test(start_paused = true)]
    async fn who_still_sends_sees_the_answer_and_no_reset() {
        let (mut strict, mut theirs, _) = pair();
        theirs.write_all(b"GET /a\r\n").await.unwrap();
        let (got, _) = read(&mut strict, 1_024).await;
        assert_eq!(got, STAND_IN);
        theirs.write_all(&[b'x'; 100_000]).await.unwrap();
        let begun = Instant::now();
        strict.shutdown().await.unwrap();
        assert_eq!(begun.elapsed().as_secs(), 2);
        assert_eq!(strict.lingered, 100_000);
        // Nobody waits for a client that has nothing more to say.
        let (mut strict, _theirs, _) = pair();
        let begun = Instant::now();
        strict.shutdown().await.unwrap();
        assert_eq!(begun.elapsed().as_secs(), 0);
    }
}

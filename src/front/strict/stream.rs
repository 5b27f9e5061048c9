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
    room: Option<Held>,
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
            self.room = self.admission.head(self.from).ok();
        }
        bytes <= SHORT_BYTES_MAX || self.room.is_some()
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
mod tests {
    use super::*;
    use crate::front::metrics::Metrics;
    use crate::front::{Config, held};
    use crate::upstream::Body;
    use bytes::Bytes;
    use http::{HeaderValue, Request, Response, header};
    use http_body_util::{BodyExt, Full};
    use hyper::body::Incoming;
    use hyper::server::conn::http1;
    use hyper::service::service_fn;
    use hyper_util::rt::TokioIo;
    use prometheus_client::registry::Registry;
    use std::convert::Infallible;
    use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
    use tokio::time::{Instant, timeout};

    const GOOD: &[u8] = b"GET /a HTTP/1.1\r\nHost: rms\r\n\r\n";

    fn admission() -> Arc<Admission> {
        let limits = Config {
            connections_max: 10,
            connections_per_source_max: 10,
            requests_max: 10,
            requests_per_source_max: 10,
            requests_per_account_max: 10,
            buffered_bytes_max: 1 << 20,
        };
        Admission::new(limits, Metrics::register(&mut Registry::default()), Arc::default())
    }

    fn pair() -> (Strict<DuplexStream>, DuplexStream, Arc<Conversation>) {
        pair_of(&admission(), 1 << 20)
    }

    /// With so much room on the way.
    fn pair_of(
        admission: &Arc<Admission>,
        room: usize,
    ) -> (Strict<DuplexStream>, DuplexStream, Arc<Conversation>) {
        let (ours, theirs) = duplex(room);
        let conversation = Arc::new(Conversation::default());
        let long = Long::new(admission, [10, 0, 0, 1].into());
        (Strict::new(ours, conversation.clone(), long), theirs, conversation)
    }

    /// Answers each request with so many bytes, until the connection ends.
    async fn serve(
        strict: Strict<DuplexStream>,
        conversation: Arc<Conversation>,
        bytes: usize,
    ) -> hyper::Result<()> {
        let service = service_fn(|_: Request<Incoming>| {
            let answering = conversation.answering();
            let body = Full::new(Bytes::from(vec![b'x'; bytes])).map_err(|never| match never {});
            let body: Body = body.boxed_unsync();
            let mut response = Response::new(held::until_the_end(body, answering));
            // Only the last one is as long as that.
            if bytes > 100_000 {
                response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
            }
            async { Ok::<_, Infallible>(response) }
        });
        let builder = http1::Builder::new();
        builder.serve_connection(TokioIo::new(strict), service).await
    }

    /// All that comes, so many bytes at a time with so long between, and when the last of them came.
    async fn read_slowly(theirs: &mut DuplexStream, bytes: usize, pause: Duration) -> (usize, Instant) {
        let (mut all, mut buffer, mut last) = (0, vec![0; bytes], Instant::now());
        loop {
            match theirs.read(&mut buffer).await {
                Ok(0) | Err(_) => return (all, last),
                Ok(read) => all += read,
            }
            last = Instant::now();
            timeout(pause, std::future::pending::<()>()).await.unwrap_err();
        }
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

    /// What comes next has its own two minutes, from when the answer is with its client.
    #[tokio::test(start_paused = true)]
    async fn while_an_answer_is_sent_slowly_nothing_is_waited_for() {
        let (strict, mut theirs, conversation) = pair_of(&admission(), 1_024);
        theirs.write_all(GOOD).await.unwrap();
        let begun = Instant::now();
        let reading = read_slowly(&mut theirs, 1_024, Duration::from_secs(10));
        let (_, (read, last)) = tokio::join!(serve(strict, conversation, 64 << 10), reading);
        assert!(read > 64 << 10, "{read} bytes");
        assert!(last - begun > Duration::from_secs(600), "{:?}", last - begun);
        let idle = begun.elapsed().saturating_sub(last - begun);
        assert!((100..=120).contains(&idle.as_secs()), "{idle:?}");
    }

    /// The timer of before has no part in it.
    #[tokio::test(start_paused = true)]
    async fn each_request_is_waited_for_anew() {
        let (mut strict, _theirs, conversation) = pair();
        let mut wait = async |seconds| {
            timeout(Duration::from_secs(seconds), read(&mut strict, 1_024)).await.map(|(_, ended)| ended)
        };
        assert!(wait(100).await.is_err());
        // Nobody has looked meanwhile.
        drop(conversation.answering());
        assert!(wait(100).await.is_err());
        assert!(wait(21).await.unwrap().is_err());
    }

    #[tokio::test]
    async fn a_long_head_takes_room_until_it_is_whole() {
        let admission = admission();
        let long = format!("GET /a HTTP/1.1\r\nHost: rms\r\nAuthorization: NTLM {}", "A".repeat(20_000));
        let mut open = Vec::new();
        for _ in 0..3 {
            let (mut strict, mut theirs, _) = pair_of(&admission, 1 << 20);
            theirs.write_all(long.as_bytes()).await.unwrap();
            assert!(futures::poll!(Box::pin(read(&mut strict, 8_192))).is_pending());
            assert_eq!(strict.held.capacity(), HEAD_BYTES_MAX);
            open.push((strict, theirs));
        }
        let (mut strict, mut theirs, conversation) = pair_of(&admission, 1 << 20);
        theirs.write_all(&[GOOD, long.as_bytes()].concat()).await.unwrap();
        let mut buffer = vec![0; 8_192];
        let mut got = Vec::new();
        while got.len() < GOOD.len() + STAND_IN.len() {
            let read = strict.read(&mut buffer).await.unwrap();
            got.extend_from_slice(&buffer[..read]);
        }
        assert_eq!(got, [GOOD, STAND_IN].concat());
        let refused = [conversation.answering().refused(), conversation.answering().refused()];
        assert_eq!(refused, [None, Some(Kind::NoRoom)]);
        for (mut strict, mut theirs) in open {
            theirs.write_all(b"\r\n\r\n").await.unwrap();
            drop(theirs);
            let (got, ended) = read(&mut strict, 8_192).await;
            assert_eq!((got.len(), ended.is_ok()), (long.len() + 4, true));
            assert_eq!(strict.held.capacity(), 0);
        }
        assert!(admission.bytes(1 << 20).is_ok());
    }
}
